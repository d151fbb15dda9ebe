"""Files of a folder in the place of publishers' servers: a rehearsal downloads without a network."""

import io
import urllib.parse
from pathlib import Path
from typing import Any

import requests
import urllib3
from requests.adapters import HTTPAdapter


def folder_session(folder: Path) -> requests.Session:
    """A session whose answers come from ``folder``, for every host; it opens no connection."""
    session = requests.Session()
    for scheme in ("http://", "https://"):
        session.mount(scheme, FolderAdapter(folder))
    return session


class FolderAdapter(HTTPAdapter):
    """Answers ``https://host/path?query`` with the file ``<folder>/host/path?query``, else with status 404.

    A query is part of a file's name (``getSeries?Collection=X``). When the address is a folder here, the answer is the
    ``index.json`` in it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        super().__init__()

    def send(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> requests.Response:
        """The whole file, whatever the range that was requested."""
        path = (self.folder / urllib.parse.unquote(str(request.url).split("://", 1)[-1])).resolve()
        path = path / "index.json" if path.is_dir() else path
        if path.is_file() and path.is_relative_to(self.folder):
            headers = {"Content-Length": str(path.stat().st_size)}
            raw = urllib3.HTTPResponse(path.open("rb"), headers, 200, reason="OK", preload_content=False)
        else:
            raw = urllib3.HTTPResponse(io.BytesIO(), status=404, reason="Not Found", preload_content=False)
        return self.build_response(request, raw)
