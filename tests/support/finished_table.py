"""A finished little project: six test cases with two organs, two trained rows, two controls, with real files.

The volume is 10 x 12 x 16 voxels of 3 x 2 x 1 mm, stored z y x. Organ ``Box`` is a cuboid of 4 x 4 x 4 voxels in every
case, organ ``Rod`` one of 2 x 2 x 8 voxels that the first case lacks. ``mt`` shifts both by one voxel, ``sup_only`` by
two and misses the rod of the last case.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from semiseg.base.files import atomic, sha256, write_json
from semiseg.base.volume import Volume
from semiseg.data.geometry import Geometry
from semiseg.data.images import write_nifti
from semiseg.data.store import PreparedCase, write_case
from semiseg.params.table_spec import TableSpec
from semiseg.scoring.measurements import OrganScore, organ_scores

SHAPE, SPACING = (10, 12, 16), (3.0, 2.0, 1.0)
AFFINE = np.array([[0.0, 0, -1, 8], [0, -2, 0, 11], [-3, 0, 0, 15], [0, 0, 0, 1]])  # axes run down, back and left
ORGANS = [{"id": 1, "name": "box", "abbreviation": "Box"}, {"id": 5, "name": "rod", "abbreviation": "Rod"}]
CASES = [f"case{number}" for number in range(6)]
ROWS = {"sup_only": "Sup only", "control_perfect": "perfect", "mt": "MT & co_1", "control_empty": "empty"}
RUN = "results/runs/{method}/seed{seed}"
SPLIT, PREPARED = "data/splits/toy/half.json", "data/prepared/toy/plain/index.json"


def truth(case: str) -> np.ndarray:
    labels = np.zeros(SHAPE, np.uint8)
    labels[2:6, 2:6, 2:6] = 1
    if case != CASES[0]:
        labels[3:5, 8:10, 4:12] = 5
    return labels


def prediction(method: str, case: str) -> np.ndarray:
    labels = truth(case)
    if method == "control_empty":
        return np.zeros_like(labels)
    if method == "sup_only" and case == CASES[-1]:
        labels[labels == 5] = 0
    return np.roll(labels, {"control_perfect": 0, "mt": 1, "sup_only": 2}[method], axis=2)


def score_table(method: str) -> pd.DataFrame:
    """cases.csv of a run; the native grid is the prepared one."""
    lines = [
        {"case": case, "grid": grid, "organ": organ["abbreviation"], **score.columns()}
        for case in CASES
        for grid in ("prepared", "native")
        for organ, score in zip(ORGANS, _scores(method, case), strict=True)
    ]
    return pd.DataFrame(lines)


def _scores(method: str, case: str) -> list[OrganScore]:
    ids = [int(organ["id"]) for organ in ORGANS]
    return organ_scores(truth(case), prediction(method, case), ids, np.diag(SPACING))


def scoring(method: str, published: str = "la") -> dict[str, Any]:
    """Specification of the rule ``row`` as JSON, as ``Specs.row`` gives it."""
    organs, metrics = ["Rod", "Box"], ["dice", "jaccard", "asd", "hd95"]
    head = {"method": method, "label": ROWS[method], "dataset": "toy"}
    alone = {"labelled_only": method == "sup_only"}
    return {**head, **alone, "organs": organs, "metrics": metrics, "published": published}


def tabulation(seeds: tuple[int, ...] = (7,)) -> dict[str, Any]:
    """Specification of the rule ``table`` as JSON, as ``Specs.table`` gives it."""
    validation = {"every": 2, "per": "iteration", "first": 50, "region": "volume", "absent": "zero", "patience": None}
    return {
        "table": "toy",
        "title": "Toy <table> & 50 % of it",
        "paper": "Nobody, Table 0",
        "dataset": "toy",
        "collection": {"title": "Toy set", "modality": "CT", "citation": "nobody"},
        "organs": [ORGANS[1], ORGANS[0]],
        "metrics": ["dice", "jaccard", "asd", "hd95"],
        "seeds": list(seeds),
        "protocol": "plain",
        "published": "la",
        "preparation": {"axes": "zyx", "steps": []},
        "network": {"name": "unet3d", "filters": 2},
        "training": {
            "patch": [4, 4, 4],
            "batch": {"labelled": 2, "unlabelled": 1},
            "iterations": 100,
            "epochs": None,
            "extra_epochs": 0,
            "epoch": "labelled",
            "order": "endless",
            "supervised": "half_ce_dice_all",
            "optimiser": {"rule": "sgd", "lr": 0.1, "momentum": 0.9, "weight_decay": 0.0, "nesterov": False},
            "schedule": {"rule": "poly", "per": "iteration", "lag": 0, "power": 0.9, "every": 2500, "factor": 0.1},
            "ramp": {"per": "iteration", "every": 1, "length": None, "lag": 0},
            "augmentation": {"rot90": False, "flip_one_of": [], "flip_each": [], "crop": "last", "strong": None},
            "amp": False,
            "precision": "published",
            "validation": validation,
        },
        "inference": {"window": [4, 4, 4], "stride": [2, 2, 2], "networks": "one"},
        "rows": list(ROWS),
        "names": {method: [label] for method, label in ROWS.items()},
        "printed": [],
        "printed_sha256": {},
        "reference": "sup_only",
        "skipped": {},
        "failed": {},
        "variants": {},
        "hyper": {method: {"weight": 0.1, "form": "released"} if method == "mt" else {} for method in ROWS},
        "own_protocols": {},
        "same_as": {},
        "trained_elsewhere": {},
        "runs": {method: [RUN.format(method=method, seed=seed) for seed in seeds] for method in ROWS},
        "split": SPLIT,
        "prepared": PREPARED,
    }


def table_spec(seeds: tuple[int, ...] = (7,), **changes: Any) -> TableSpec:
    """The same specification as the code reads it, some of its keys changed."""
    return TableSpec.model_validate({**tabulation(seeds), **changes})


def write_table(path: Path, table: pd.DataFrame) -> None:
    with atomic(path) as temporary:
        table.to_csv(temporary, index=False)


def build(root: Path, seeds: tuple[int, ...] = (7,)) -> None:
    """Write split, prepared cases and run folders under ``root``."""
    parts = {"labelled": ["a", "b"], "unlabelled": ["c", "d", "e"], "val": ["f"], "test": CASES}
    write_json(root / SPLIT, {"dataset": "toy", "split": "half", "source": "drawn", "notes": [], **parts})
    noise = np.random.default_rng(0)
    geometry = Geometry(SHAPE, SPACING, AFFINE, "zyx", SHAPE, AFFINE)
    for case in CASES:
        image = (truth(case) + noise.normal(0, 0.2, SHAPE)).astype(np.float32)
        write_case((root / PREPARED).parent / f"{case}.h5", PreparedCase(image, truth(case), geometry))
    files = {case: (root / PREPARED).parent / f"{case}.h5" for case in CASES}
    entries = {case: {"file": file.name, "sha256": sha256(file)} for case, file in files.items()}
    write_json(root / PREPARED, {"axes": "zyx", "cases": entries})
    for method in ROWS:
        for seed in seeds:
            folder = root / RUN.format(method=method, seed=seed)
            write_table(folder / "cases.csv", score_table(method))
            write_table(folder / "history.csv", history(method))
            for case in CASES:
                file = folder / "predictions" / f"{case}.prepared.nii.gz"
                write_nifti(file, Volume(prediction(method, case), AFFINE))
            list_predictions(folder)


def list_predictions(folder: Path) -> None:
    """Write the manifest of the label maps that lie in a run's folder now."""
    files = {file.name: sha256(file) for file in sorted((folder / "predictions").iterdir())}
    write_json(folder / "predictions.json", {"cases": CASES, "files": files})


def history(method: str) -> pd.DataFrame:
    if method.startswith("control_"):
        return pd.DataFrame(columns=["iteration", "lr", "total", "val_dice"])
    steps = np.arange(100)
    judged = np.where(steps % 25 == 24, 0.5 + steps / 400, np.nan)
    loss = 1 / (1 + steps)
    return pd.DataFrame({"iteration": steps, "lr": 0.1, "total": loss, "loss_sup": loss, "val_dice": judged})
