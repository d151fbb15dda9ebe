"""A Zenodo record as its server answers: the JSON that lists one archive, and the archive."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from semiseg.data.arrival.zenodo import API
from semiseg.data.standin import SERVED


def serve_record(folder: Path, record: int, archive: str, members: Mapping[str, bytes | Path]) -> None:
    """Write the archive with these members and the record's JSON below ``folder/served``."""
    from semiseg.base.files import write_text
    from semiseg.data.arrival.zipped import write_zip

    place = f"zenodo.org/records/{record}/files/{archive}"
    path = folder / SERVED / place
    write_zip(path, members, compress=False)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "md5").hexdigest()
    entry = {
        "key": archive,
        "size": path.stat().st_size,
        "checksum": f"md5:{digest}",
        "links": {"self": f"https://{place}"},
    }
    answer = json.dumps({"id": record, "files": [entry]})
    write_text(folder / SERVED / API.removeprefix("https://") / str(record), answer)
