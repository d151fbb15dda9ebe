"""Methods of other forms than the ones here, through training and prediction: what they receive, and what predicts."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from support import prepared_cases
from support.new_plug_ins import added
from support.prepared_cases import train_spec

from semiseg.base.files import read_json
from semiseg.learning.build import choose_runtime
from semiseg.learning.counting import count
from semiseg.method import method_class
from semiseg.stages.predict import predict
from semiseg.stages.train import train

FACTS = '''
"""A method that keeps what it receives."""
from semiseg.method import Method

class KeepsFacts(Method):
    networks = {"network": "default"}
    inference_networks = ("network",)
    received = []

    def __init__(self, context, **hyper):
        super().__init__(context, **hyper)
        self.received.append(context)

    def losses(self, batch, time):
        return {"supervised": self.context.supervised(self.network(batch.images), batch.labels)}
'''


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return prepared_cases.build(tmp_path_factory.mktemp("cases"))


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with added(tmp_path_factory.mktemp("package"), {"methods/keeps_facts.py": FACTS}):
        yield


def trained(spec, cases, folder: Path) -> Path:
    """Train; returns the path of the weights."""
    machine = choose_runtime("cpu", 1, 1e9)
    train(spec, *cases, folder / "state", prepared_cases.outputs(folder), machine)
    return folder / "weights.safetensors"


def predicted(spec, weights: Path, cases) -> list[Path]:
    """Predict the test cases; returns the files of their label maps."""
    out = weights.parent / "predictions.json"
    predict(spec, weights, *cases, out, choose_runtime("cpu", 1, 1e9))
    return sorted(weights.parent.rglob("*.nii.gz"))


def test_a_method_receives_the_same_facts_in_training_and_in_prediction(package, cases, tmp_path) -> None:
    spec = train_spec("keeps_facts", iterations=1, validation=None)
    spec["inference"]["window"] = [16, 32, 32]
    predicted(spec, trained(spec, cases, tmp_path), cases)
    index, parts = map(read_json, cases)
    voxels = [index["cases"][name]["voxels"] for name in parts["labelled"]]
    first, second = method_class("keeps_facts").received
    for context in (first, second):
        assert context.labelled_voxels.dtype == torch.float64 and context.labelled_voxels.tolist() == voxels
        assert (context.labelled_cases, context.unlabelled_cases) == (len(voxels), len(parts["unlabelled"]))
        assert (context.patch, context.window) == ((16, 16, 32), (16, 32, 32))
    assert len(voxels) > 1 and first.classes == second.classes == len(voxels[0])
    method_class("keeps_facts").received.clear()


def test_the_counted_step_has_the_small_crop_as_patch_and_window(package) -> None:
    work = count(train_spec("keeps_facts"), 3, (16, 16, 32))
    (context,) = method_class("keeps_facts").received
    assert context.patch == context.window == (16, 16, 32) and work.parameters > 0
    assert context.labelled_voxels.shape == (1, 3)
    method_class("keeps_facts").received.clear()
