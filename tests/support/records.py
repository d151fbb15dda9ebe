"""Forged lineage records."""

from semiseg.base.files import read_json, write_json
from semiseg.jobs.record import identity, seal


def resealed(path, **changes):
    """A record with other content and a seal that fits it: what only someone who wants to deceive would write."""
    content = {**read_json(path), **changes}
    content["id"] = identity(content)
    content["seal"] = seal(content)
    write_json(path, content)
