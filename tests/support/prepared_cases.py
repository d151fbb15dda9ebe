"""A prepared dataset small enough to train on in seconds: bright balls in noise, in a few files."""

from pathlib import Path
from typing import Any

import numpy as np

from semiseg.base.files import sha256, write_json
from semiseg.data.geometry import Geometry
from semiseg.data.store import PreparedCase, write_case
from semiseg.stages.train import Outputs

SIDE = 24
CLASSES = 3


def case(seed: int, labelled: bool = True) -> PreparedCase:
    rng = np.random.default_rng(seed)
    grid = np.indices((SIDE,) * 3)
    label = np.zeros((SIDE,) * 3, np.uint8)
    for organ in range(1, CLASSES):
        centre = rng.uniform(7, SIDE - 7, (3, 1, 1, 1))
        label[((grid - centre) ** 2).sum(0) < 30] = organ
    image = (label + rng.normal(0, 0.3, label.shape)).astype(np.float32)
    geometry = Geometry(
        label.shape, (2.0, 1.0, 1.0), np.diag([2.0, 1, 1, 1]), "xyz", label.shape, np.diag([2.0, 1, 1, 1])
    )
    return PreparedCase(image, label if labelled else None, geometry)


def build(folder: Path, unlabelled_truth: str = "absent") -> tuple[Path, Path]:
    """Write cases, index and split; truth of unlabelled cases: "absent", "there", or "poisoned" (an unknown class)."""
    parts = {"labelled": 4, "unlabelled": 4, "val": 2, "test": 2}
    names = {part: [f"{part}{i}" for i in range(count)] for part, count in parts.items()}
    entries: dict[str, Any] = {}
    for seed, name in enumerate(name for part in names.values() for name in part):
        alone = name.startswith("unlabelled")
        made = case(seed, labelled=not alone or unlabelled_truth != "absent")
        if alone and unlabelled_truth == "poisoned":
            assert made.label is not None
            made.label[:] = 200
        path = folder / f"{name}.h5"
        write_case(path, made)
        counts = None if made.label is None else np.bincount(made.label.ravel(), minlength=CLASSES).tolist()[:CLASSES]
        entries[name] = {
            "file": path.name,
            "sha256": sha256(path),
            "shape": list(made.image.shape),
            "spacing_mm": [2.0, 1.0, 1.0],
            "label": made.label is not None,
            "voxels": counts,
            "statistics": {},
        }
    index, split = folder / "index.json", folder / "split.json"
    write_json(index, {"dataset": "tiny", "preparation": "tiny", "axes": "xyz", "classes": CLASSES, "cases": entries})
    write_json(split, {"dataset": "tiny", "split": "tiny", "source": "drawn", "notes": [], **names})
    return index, split


def train_spec(method: str = "sup_only", iterations: int = 6, **training: Any) -> dict[str, Any]:
    """Parameters of a training run on the tiny dataset."""
    return {
        "dataset": "tiny",
        "method": method,
        "hyper": {},
        "seed": 5,
        "network": {"name": "unet3d", "filters": 2},
        "inference": {"window": [16, 16, 32], "stride": [8, 8, 16], "networks": "one"},
        "training": {
            "patch": [16, 16, 32],
            "batch": {"labelled": 2, "unlabelled": 2},
            "iterations": iterations,
            "epoch": "unlabelled",
            "supervised": "half_ce_dice_all",
            "optimiser": {"lr": 0.05, "momentum": 0.9, "weight_decay": 0.0001},
            "schedule": {"rule": "poly"},
            "ramp": {"length": 3},
            "augmentation": {"rot90": True, "flip_one_of": [0, 1]},
            "validation": {"every": 2, "per": "iteration", "first": 4, "region": "volume", "absent": "zero"},
            **training,
        },
    }


def outputs(folder: Path) -> Outputs:
    """Where the rule ``train`` puts the results of a run."""
    return Outputs(folder / "weights.safetensors", folder / "history.csv", folder / "cost.json")


def raw_spec(dataset: str, **options: Any) -> dict[str, Any]:
    """Parameters of the rule ``raw`` (``Specs.raw``)."""
    return {"dataset": dataset, "options": options, "standin": False, "wanted": None}
