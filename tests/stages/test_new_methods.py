"""Methods of other forms than the ones here, through training and prediction: what they receive, and what predicts."""

import io
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from rich.console import Console
from support import ROOT, prepared_cases
from support.new_plug_ins import added
from support.prepared_cases import train_spec

from semiseg import catalogue
from semiseg.base.errors import UserError
from semiseg.base.files import read_json
from semiseg.data.images import read_nifti
from semiseg.describe.command import describe
from semiseg.graph.plan import Plan
from semiseg.graph.requirements import Pairing, check_declared, why_not
from semiseg.jobs.code_hash import module_hashes, modules_of
from semiseg.learning import weights
from semiseg.learning.build import choose_runtime
from semiseg.learning.counting import count
from semiseg.method import method_class
from semiseg.params.config import Inference, Network, Training
from semiseg.params.reading import read
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

COMPOSITE = '''
"""A method whose only module is its own: one encoder with two decoders."""
import torch
from torch import nn
from semiseg.blocks.consistency import consistency
from semiseg.method import Method

class Shared(nn.Module):
    def __init__(self, network):
        super().__init__()
        self.network, self.decoder = network, network.new_decoder("nearest")
        self.head = nn.Conv3d(network.widths[0], network.head.out_channels, 1)

    def both(self, image):
        maps = self.network.encode(image)
        return self.network.head(self.network.decode(maps)[-1]), self.head(self.decoder(maps)[-1])

    def forward(self, image):
        return self.both(image)[1]

class Composite(Method):
    inference_networks = ("model",)

    def __init__(self, context, **hyper):
        super().__init__(context, **hyper)
        self.model = Shared(context.network("kaiming", context.classes))

    def losses(self, batch, time):
        first, second = self.model.both(batch.everything)
        count = len(batch.images)
        return {
            "first": self.context.supervised(first[:count], batch.labels),
            "second": self.context.supervised(second[:count], batch.labels),
            "consistency": consistency(first[count:], second[count:]),
        }
'''
TINY_NET = '''
"""A backbone of one convolution."""
from torch import nn
from semiseg.network import Backbone

class TinyNet(Backbone):
    divisor = 4

    def __init__(self, channels, classes, filters):
        super().__init__()
        self.widths = (filters,)
        self.first, self.head = nn.Conv3d(channels, filters, 3, padding=1), nn.Conv3d(filters, classes, 1)

    def features(self, image):
        self.check_sides(image)
        return (self.first(image).relu(),)
'''
UNEQUAL = '''
"""A method with three unequal networks."""
import torch
from semiseg.method import Method, Net
from semiseg.networks.tiny_net import TinyNet

class Unequal(Method):
    networks = {"a": "kaiming", "b": Net("xavier", TinyNet), "c": Net("default", in_channels=2)}
    teachers = {"average": "b"}
    inference_networks = ("b",)

    def losses(self, batch, time):
        logits = {"a": self.a(batch.images), "b": self.b(batch.images)}
        logits["c"] = self.c(torch.cat([batch.images, batch.images], 1))
        return {name: self.context.supervised(each, batch.labels) for name, each in logits.items()}
'''
PAGE = (ROOT / "docs/add-a-method.md").read_text(encoding="utf-8")
OF_THE_PAGE = dict(re.findall(r"`src/semiseg/methods/(\w+)\.py`(?:(?!```).)*```python\n(.*?)^```", PAGE, re.M | re.S))
UNTRAINED = '''
"""A method that forgot its networks."""
from semiseg.method import Method

class Untrained(Method):
    inference_networks = ("model",)

    def __init__(self, context, **hyper):
        super().__init__(context, **hyper)
        self.model = context.network("default", context.classes).requires_grad_(False)
'''


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return prepared_cases.build(tmp_path_factory.mktemp("cases"))


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    methods = {"keeps_facts": FACTS, "composite": COMPOSITE, "untrained": UNTRAINED, "unequal": UNEQUAL}
    methods |= OF_THE_PAGE
    files = {"networks/tiny_net.py": TINY_NET} | {f"methods/{name}.py": text for name, text in methods.items()}
    with added(tmp_path_factory.mktemp("package"), files):
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


def described(method: str) -> str:
    """The page of a method."""
    console = Console(file=io.StringIO(), width=100)
    describe(Plan(read(ROOT / "params.yaml")), method, console)
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def test_a_method_receives_the_same_facts_in_training_and_in_prediction(package, cases, tmp_path) -> None:
    spec = train_spec("keeps_facts", iterations=1, validation=None)
    spec["inference"]["window"] = [16, 32, 32]
    predicted(spec, trained(spec, cases, tmp_path), cases)
    index, parts = map(read_json, cases)
    voxels = [index["cases"][name]["voxels"] for name in sorted(parts["labelled"])]
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


def test_a_method_may_build_its_only_network_itself(package, cases, tmp_path) -> None:
    """It is trained, validated, predicts with its own forward pass, and its pages and counts do not say otherwise."""
    check_declared("composite")
    spec = train_spec("composite", iterations=4)
    path = trained(spec, cases, tmp_path)
    tensors, note = weights.load(path)
    assert note["networks"] == ["model"] and note["val_dice"] is not None
    assert {"model.network.head.weight", "model.decoder.blocks.0.0.0.weight", "model.head.weight"} <= tensors.keys()
    history = (path.parent / "history.csv").read_text(encoding="utf-8").splitlines()
    totals = [line.split(",")[2] for line in history[1:]]
    assert len(set(totals)) == len(totals) == 4
    maps = predicted(spec, path, cases)
    changed = {**tensors, "model.head.bias": torch.tensor([0.0, 0.0, 1e6])}
    weights.save(path, changed, note)
    assert maps and all((read_nifti(file).array == 2).all() for file in predicted(spec, path, cases))
    assert "a split with unlabelled cases" in described("composite")
    assert count(spec, 3, (16, 16, 32)).parameters > 0


def test_a_method_without_parameters_to_train_is_refused(package, cases, tmp_path) -> None:
    with pytest.raises(UserError, match=r"^Untrained has no parameters to train: name a network in networks, or"):
        trained(train_spec("untrained"), cases, tmp_path)


def test_networks_may_have_unequal_backbones_and_inputs(package, cases, tmp_path) -> None:
    spec = train_spec("unequal", iterations=2)
    path = trained(spec, cases, tmp_path)
    tensors, note = weights.load(path)
    assert note["networks"] == ["b"]
    assert {name: tuple(tensor.shape) for name, tensor in tensors.items()} == {
        **{"b.first.weight": (2, 1, 3, 3, 3), "b.first.bias": (2,)},
        **{"b.head.weight": (3, 2, 1, 1, 1), "b.head.bias": (3,)},
    }
    assert predicted(spec, path, cases)
    assert "semiseg.networks.tiny_net" in module_hashes(*modules_of("train", spec))
    assert count(spec, 3, (16, 16, 32)).parameters > 0


def test_the_planner_checks_the_crops_of_an_own_backbone(package) -> None:
    """The file is read, not imported: the page names the networks, and sides follow the own network's divisor."""
    check_declared("unequal")
    assert "a (kaiming), b (xavier, TinyNet), c (default, 2 channels)" in " ".join(described("unequal").split())
    spec = train_spec("unequal")
    training, network = Training.model_validate(spec["training"]), Network.model_validate(spec["network"])

    def reason(patch: tuple[int, int, int], window: tuple[int, int, int]) -> str | None:
        inference = Inference(window=window, stride=window)
        return why_not(Pairing("unequal", {}, 2, network, training.model_copy(update={"patch": patch}), inference))

    start = "unequal has a network b of its own, which does not fit: "
    good, odd, small = (16, 16, 32), (16, 18, 32), (4, 4, 4)
    assert reason(good, good) is None
    assert reason(odd, good) == (
        f"{start}training.patch: TinyNet takes sides that are multiples of 4, found 16 x 18 x 32:"
        " take 16 x 16 x 32, say"
    )
    assert str(reason(good, odd)).startswith(f"{start}inference.window: TinyNet takes sides that are multiples of 4")
    assert str(reason(good, small)).startswith(f"{start}inference.window: 4 x 4 x 4 voxels are too few for TinyNet")


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        ('Net("xavir", TinyNet)', r"networks\.b: unknown initialisation 'xavir'; .* mean xavier"),
        ('Net("xavier", Method)', r"networks\.b: expected the class of a backbone of networks, found Method$"),
        ('Net("xavier", in_channels=0)', r"networks\.b: expected in_channels of 1 or more, found 0$"),
        (
            'Net("xavier", chanels=2)',
            r"line 8: expected Net\(initialisation, .*, found Net\('xavier', chanels=2\): correct",
        ),
        ('Net("xavier", "tiny_net")', r"networks\.b: expected the class of a backbone of networks, found 'tiny_net'$"),
        ("Net(min('a'), TinyNet)", ""),
        ('Net("xavier", nn.Conv3d)', ""),
    ],
)
def test_a_network_that_cannot_be_built_is_one_sentence_and_a_computed_one_is_left_to_the_training(
    tmp_path, entry, sentence
) -> None:
    text = UNEQUAL.replace('Net("xavier", TinyNet)', entry)
    with added(tmp_path, {"networks/tiny_net.py": TINY_NET, "methods/wrong.py": text}):
        if not sentence:
            check_declared("wrong")
            assert "networks" not in catalogue.declared("wrong") and not catalogue.own_backbones("wrong")
            return
        with pytest.raises(UserError, match=rf"methods/wrong\.py(:|,) {sentence}"):
            check_declared("wrong")


@pytest.mark.parametrize(("name", "terms", "networks"), [
    ("entropy_min", ["supervised", "entropy"], ["network"]),
    ("weak_strong", ["supervised", "pseudo"], ["teacher"]),
])  # fmt: skip
def test_the_methods_of_the_page_are_trained_and_predict(package, cases, tmp_path, name, terms, networks) -> None:
    """Each has its terms in the history, predicts with its networks, and its work can be counted."""
    assert sorted(OF_THE_PAGE) == ["entropy_min", "weak_strong"]
    check_declared(name)
    spec = train_spec(name, iterations=3)
    path = trained(spec, cases, tmp_path)
    header, *rows = (path.parent / "history.csv").read_text(encoding="utf-8").splitlines()
    assert header.split(",")[3:-1] == [f"loss_{term}" for term in terms] and len(rows) == 3
    assert weights.load(path)[1]["networks"] == networks and predicted(spec, path, cases)
    assert count(spec, 3, (16, 16, 32)).parameters > 0
