"""What a table needs beside GPU hours: disk and memory of the machine."""

import re
from collections.abc import Iterable, Mapping
from math import prod
from pathlib import Path

from semiseg.data.split_lists import PARTS
from semiseg.dataset import Dataset
from semiseg.learning.estimate import prepared_voxels
from semiseg.params.preparation import Preparation

GIB = 2**30
RAW_BYTES = 3  # of a voxel of a raw scan and its label, before compression: int16 and uint8, as most files hold them
PREPARED_BYTES = 5  # of a voxel of a prepared case, before compression: float32 and uint8
LABEL_BYTES = 1  # of a voxel of a label map, before compression
RULES = Path("workflow/rules")
REQUEST = re.compile(r"^rule (\w+):(?:(?!^rule ).)*?^ +mem_mb=(?:lambda [^:]*: )?([^\n]+),$", re.MULTILINE | re.DOTALL)


def disk(dataset: Dataset, preparation: Preparation, counts: Mapping[str, int], runs: int) -> dict[str, float]:
    """Most GiB that raw scans, prepared cases and label maps take; nothing for a dataset without a typical scan.

    counts: cases of each part of the split; runs: of all rows, each of which predicts every test case on two grids.
    """
    if dataset.typical is None:
        return {}
    raw = prod(dataset.typical.shape)
    steps = [step.model_dump() for step in preparation.steps]
    prepared = prepared_voxels(dataset.typical.shape, dataset.typical.spacing_mm, steps)
    cases = sum(counts[part] for part in PARTS)
    return {
        f"{cases} raw scans": cases * raw * RAW_BYTES / GIB,
        f"{cases} prepared cases": cases * prepared * PREPARED_BYTES / GIB,
        f"label maps of {runs} runs": runs * counts["test"] * (raw + prepared) * LABEL_BYTES / GIB,
    }


def host_memory(rules: Iterable[str] = ("prepare", "train", "predict", "evaluate")) -> str:
    """Memory that the jobs of these rules request, as the workflow of the working folder states it; empty without."""
    texts = [file.read_text(encoding="utf-8") for file in sorted(RULES.glob("*.smk"))]
    requests = {rule: request for text in texts for rule, request in REQUEST.findall(text)}
    return ", ".join(f"{rule} {_megabytes(requests[rule])}" for rule in rules if rule in requests)


def _megabytes(request: str) -> str:
    number, _, factor = request.partition(" * ")
    return f"{int(number) / 1000:g} GB" + (" a thread" if factor == "threads" else "")
