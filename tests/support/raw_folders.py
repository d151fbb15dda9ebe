"""Raw folders filled from a user's copy, as ``semiseg import`` does it."""

from pathlib import Path

from semiseg.stages.raw import build_raw


def import_raw(dataset: str, source: Path, folder: Path, wanted: frozenset[str] | None = None) -> None:
    """Import a copy into ``folder``. wanted: the cases to import of parts that are imported on demand, None for all."""
    options = {"source": None, "generate": None}
    names = None if wanted is None else sorted(wanted)
    build_raw({"dataset": dataset, "options": options, "standin": False, "wanted": names}, folder, copy=source)
