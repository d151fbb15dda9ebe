"""Files of a Zenodo record as its server lists them now.

Shape of the answer (inveniosoftware/invenio-rdm-records; public clients such as jet-net/JetNet read it so): ``files``
is a list of objects with ``key`` (file name), ``size`` (bytes), ``checksum`` (``md5:..``) and ``links.self`` (its
address).
"""

from semiseg.base.errors import UserError
from semiseg.dataset import FetchJson, RemoteFile

API = "https://zenodo.org/api/records"


def zenodo_file(fetch_json: FetchJson, record: int, name: str) -> RemoteFile:
    """The file of this name in the record; UserError when the server's answer does not list it."""
    url = f"{API}/{record}"
    answer = fetch_json(url)
    try:
        entries = {entry["key"]: entry for entry in answer["files"]}
        if name in entries:
            entry = entries[name]
            return RemoteFile(name, entry["links"]["self"], entry["size"], entry["checksum"])
    except (KeyError, TypeError) as error:
        raise UserError(
            f"{url} does not answer with a record and its files ({error!r}): download {name} from "
            f"https://zenodo.org/records/{record} yourself and run `semiseg import`"
        ) from None
    raise UserError(
        f"{url} lists {', '.join(sorted(entries)) or 'no file'}, expected {name}: look for a newer version of the "
        f"record at https://zenodo.org/records/{record}"
    )
