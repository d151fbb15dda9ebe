"""Front pages: every name has one, and it tells what matters."""

import functools
import io
import shutil
import subprocess
import sys
from typing import ClassVar

import pytest
import torch
from rich.console import Console
from support import ROOT, params_yaml
from support.new_plug_ins import forget
from torch import nn

from semiseg import catalogue
from semiseg.base import sources
from semiseg.base.controls import is_control
from semiseg.base.errors import UserError
from semiseg.base.files import sha256
from semiseg.data.split_lists import list_names, parse_list, read_list
from semiseg.dataset import get_dataset
from semiseg.describe.check_params import check_params
from semiseg.describe.command import describe
from semiseg.describe.cost import _duration
from semiseg.describe.preparation import steps
from semiseg.describe.protocol import training
from semiseg.describe.split import KINDS
from semiseg.graph.plan import Plan
from semiseg.learning.loop import start
from semiseg.method import Context, Method, hyperparameters, method_class
from semiseg.params.augmentation import Augmentation
from semiseg.params.preparation import Preparation
from semiseg.params.reading import parse_params, read

PARAMS = read(ROOT / "params.yaml")
PLAN = Plan(PARAMS)
SPLITS = [f"{dataset}/{split}" for dataset, splits in PARAMS.splits.items() for split in splits]


def page(name: str) -> str:
    """The page as one line, so that wrapping does not matter."""
    console = Console(file=io.StringIO(), width=100, highlight=False)
    describe(PLAN, name, console)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert all(len(line) <= 100 for line in text.splitlines())
    return " ".join(text.split())


@pytest.mark.parametrize("name", [*PARAMS.tables, *PARAMS.protocols, *PARAMS.preparations, *SPLITS])
def test_everything_in_params_has_a_page(name: str) -> None:
    assert name in page(name)


class OneNetwork(Method):
    networks: ClassVar = {"network": "default"}
    inference_networks = ("network",)


@pytest.mark.parametrize("name", PARAMS.protocols)
def test_a_protocol_names_the_optimiser_that_trains(name: str) -> None:
    rule, text = PARAMS.protocols[name].training.optimiser, page(name)
    sides = (16, 16, 16)
    context = Context(
        2, lambda _, channels, *__: nn.Conv3d(1, channels, 1), torch.mul, torch.ones(1, 2), 1, sides, sides
    )
    state = start(OneNetwork(context), PARAMS.protocols[name].inference, rule, torch.device("cpu"))
    used = state.optimiser.param_groups[0]
    assert f"{type(state.optimiser).__name__}, learning rate {used['lr']:g}," in text
    assert f"weight decay {used['weight_decay']:g}" in text
    if rule.rule != "sgd":
        assert "beta 1 {:g}, beta 2 {:g}, eps {:g}".format(*used["betas"], used["eps"]) in text
    else:
        assert f"momentum {used['momentum']:g}" in text
        assert (" (Nesterov)" in text) == used["nesterov"]


@pytest.mark.parametrize("name", catalogue.entries("datasets"))
def test_a_dataset(name: str) -> None:
    kind, text = get_dataset(name), page(name)
    for word in (kind.title, kind.licence, kind.citation.split(",")[0], *(organ.name for organ in kind.organs)):
        assert " ".join(word.split()) in text
    for note in kind.notes:
        assert " ".join(note.split())[:60] in text


@pytest.mark.parametrize(
    ("name", "text"),
    [("la", "as published: float32"), ("dhc", "as published: half precision (float16) on a GPU, float32 on a CPU")],
)
def test_a_protocol_shows_its_precision(name: str, text: str) -> None:
    assert training(PARAMS.protocols[name], "x y z")["precision"] == text


def test_a_protocol_shows_its_strong_augmentation() -> None:
    steps = [
        {"step": "rotate", "axis": 0, "degrees": [-15, 15], "probability": 0.7},
        {"step": "zoom", "factor": [0.7, 1], "probability": 0.35},
        {"step": "contrast", "factor": [0.7, 1.3], "probability": 0.7},
    ]
    dhc = PARAMS.protocols["dhc"]
    augmentation = Augmentation.model_validate({"strong": {"choose": 2, "steps": steps}})
    changed = dhc.model_copy(update={"training": dhc.training.model_copy(update={"augmentation": augmentation})})
    assert training(changed, "x y z")["augmentation"] == (
        "random crop, then 2 of: rotation about axis 0 by degrees -15 to 15 (probability 0.7), zoom to a part of the"
        " sides 0.7 to 1 (probability 0.35), contrast times 0.7 to 1.3 (probability 0.7)"
    )


@pytest.mark.parametrize("name", list_names())
def test_a_list_shows_source_hash_and_notes(name: str) -> None:
    text, content = page(name), read_list(name)
    assert sha256(sources.PACKAGE / "splits" / f"{name}.yaml") in text
    for line in (*content["source"], *content["notes"]):
        assert " ".join(line.split())[:50] in text
    if content["instead"]:
        assert f"The nearest sound list is {content['instead']}." in text


def test_a_table_tells_what_is_odd_about_all_of_it() -> None:
    text = page("la_8")
    for word in ("UA-MT", "ua_mt", "112 x 112 x 80 voxels (x y z)", "6,000 iterations", "0.9", "stride 18 x 18 x 4"):
        assert word in text
    for note in (*PARAMS.protocols["la"].notes, *read_list("la_uamt_8lab")["notes"]):
        assert " ".join(note.split())[:60] in text


def test_a_name_of_several_kinds_prints_all_of_them() -> None:
    text = page("la")
    assert text.index("dataset la") < text.index("protocol la") < text.rindex("preparation la")


def test_steps_in_words() -> None:
    preparation = {"axes": "zyx", "steps": [
        {"step": "orient", "to": "LPI"},
        {"step": "clip", "low": -325, "high": 325},
        {"step": "resample", "spacing": [1.25, 1.25, 2.5], "library": "scipy", "order": 3},
        {"step": "rescale", "low": 0.5, "high": 99.5},
    ]}  # fmt: skip
    assert steps(Preparation.model_validate(preparation)) == [
        "axes turned and flipped so that they run towards left, posterior, inferior (LPI)",
        "intensities clipped to -325 .. 325 (HU for CT)",
        "resampled to 1.25 x 1.25 x 2.5 mm (x y z): image by cubic splines (scipy), labels by the nearest voxel",
        "rescaled so that the volume's percentiles 0.5 and 99.5 are 0 and 1",
    ]


@pytest.mark.parametrize(
    ("modality", "unit"), [("CT", " HU"), ("MRI", ""), ("CT and MRI", " (HU for CT)"), (None, " (HU for CT)")]
)
def test_a_clip_has_the_unit_of_the_scans(modality: str | None, unit: str) -> None:
    preparation = {"axes": "zyx", "steps": [{"step": "clip", "low": 0, "high": 600}]}
    assert steps(Preparation.model_validate(preparation), modality) == [f"intensities clipped to 0 .. 600{unit}"]


@pytest.mark.parametrize(
    ("hours", "text"),
    [(0.0, "none"), (0.001, "about 1 minute"), (0.5, "about 30 minutes"), (2, "about 2.0 hours")],
)
def test_a_time_in_words(hours: float, text: str) -> None:
    assert _duration(hours) == text


def test_an_own_list_does_not_pass_for_a_published_one() -> None:
    content = "source: [ours]\ncounts: {labelled: 1, test: 1, unlabelled: 0, val: 0}\nlabelled: [a]\ntest: [b]\n"
    content += "unlabelled: []\nval: []\n"
    assert "published;" in KINDS[parse_list("mine", f"kind: published\n{content}")["kind"]]
    assert KINDS[parse_list("mine", content)["kind"]].startswith("not stated; give kind: ")


@pytest.mark.parametrize(
    ("name", "near"), [("flare2", "flare22"), ("la_9", "la_8"), ("la/8lb", "la/8lab"), ("xyzzy", "datasets are")]
)
def test_an_unknown_name_gives_close_ones(name: str, near: str) -> None:
    with pytest.raises(UserError, match=f"'{name}' is no table.*{near}"):
        describe(PLAN, name)


def test_no_torch_is_imported() -> None:
    code = (
        "import sys; from semiseg.cli.main import main; status = main(['describe', 'la_8']); "
        "sys.exit(status or 10 * ('torch' in sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, encoding="utf-8", check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith("table la_8")
    assert 80 < max(map(len, run.stdout.splitlines())) <= 100  # the width of a page in a file or pipe


def test_the_optimiser_is_the_protocols() -> None:
    assert "Adam, learning rate 0.01, beta 1 0.9" in page("openkbp_small")
    assert "SGD, learning rate 0.03, momentum 0.9 (Nesterov)" in page("dhc")


def test_a_supervised_row_has_no_unlabelled_cases() -> None:
    text = page("la_8")
    assert "V-Net sup_only la 8lab 8 labelled, 20 test" in text
    assert "UA-MT ua_mt la 8lab 8 labelled, 72 unlabelled" in text


@pytest.mark.parametrize("name", [name for name in catalogue.entries("methods") if not is_control(name)])
def test_a_method_tells_its_hyperparameters_as_the_class_declares_them(name: str) -> None:
    text, kind = page(name), method_class(name)
    assert f"src/semiseg/methods/{name}.py" in text
    for key, hyper in hyperparameters(kind).items():
        default = str(hyper.default).lower() if isinstance(hyper.default, bool) else str(hyper.default)
        assert f"{key} {default}" in text
        assert hyper.source.split()[0] in text and hyper.meaning.split()[0] in text
    required = text.partition("what it asks of a protocol")[2]
    assert ("as many unlabelled as labelled crops" in required) == ("equal_halves" in kind.requires)
    assert ("can be cut into cubes" in required) == ("cubes:cube_size" in kind.requires)
    assert ("labelled cases alone" in required) == kind.labelled_only
    assert ("trained against the networks" in required) == (kind.adversaries is not Method.adversaries)
    assert all(f"{network} ({start})" in required for network, start in kind.networks.items())


@pytest.mark.parametrize("name", ["control_perfect", "control_empty"])
def test_a_control_asks_nothing_of_a_protocol(name: str) -> None:
    text = page(name)
    assert f"src/semiseg/methods/{name}.py" in text and "used by demo" in text and "hyperparameters" not in text
    assert "what it asks of a protocol - nothing: it is a control, which is not trained" in text


def test_a_variant_shows_its_own_values_and_all_methods_are_listed() -> None:
    text = page("dvcl_tau_5")
    assert "variant of dvcl, changed: temperature 5.0" in text and "temperature 5.0 temperature of HqCL" in text
    text = page("methods")
    assert all(f" {name} " in text for name in (*catalogue.entries("methods"), *PARAMS.variants))


def wrong(changes) -> str:
    """What check-params says of the project's parameters with some entries changed, by key path."""
    content = params_yaml.content()
    for path, value in changes.items():
        *parents, last = path.split("/")
        functools.reduce(lambda place, part: place[part], parents, content)[last] = value
    with pytest.raises(UserError) as refused:
        check_params(Plan(parse_params(content)))
    return str(refused.value)


def test_check_params_finds_what_no_job_could_use(tmp_path, monkeypatch) -> None:
    assert check_params(PLAN).startswith("params.yaml: ") and f"{len(PARAMS.tables)} tables" in check_params(PLAN)
    assert "datasets.la.source: /nowhere does not exist" in wrong({"datasets/la/source": "/nowhere"})
    block = [{"paper": "crln", "table": "99"}]
    assert wrong({"tables/la_8/printed": block}).startswith("tables.la_8.printed: crln")
    draw = {"draw": {"labelled": 4, "unlabelled": 0, "val": 2, "test": 6, "seed": 22}}
    assert "it has no unlabelled cases" in wrong({"splits/phantom_three/demo": draw})
    package = tmp_path / "semiseg"
    shutil.copytree(sources.PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    (package / "methods/unused.py").write_text("x = 1\n")
    with monkeypatch.context() as patch:
        patch.setattr(sources, "PACKAGE", package)
        forget()
        assert "methods/unused.py must define exactly one Method, it defines 0" in wrong({})
    forget()


def test_a_name_of_several_things_says_so_first() -> None:
    first = "guidednet is the name of 3 things, one page each: protocol, method and preparation"
    assert page("guidednet").startswith(first)
    assert "things, one page each" not in page("la_8")


def test_a_row_on_another_split_tells_why() -> None:
    sentence = "Sup only reads no unlabelled case, and the other cases of {} are those of {}: one training serves both."
    assert sentence.format("50pct", "10pct") in page("flare22_10pct")
    assert "rows on another split" not in page("flare22_50pct")
    assert "V-Net (fully) reads no" not in page("amos_5pct"), "its labelled cases are others"


def test_a_ramp_that_the_training_does_not_end_tells_how_far_it_gets() -> None:
    demo = training(PARAMS.protocols["demo"], "x y z")["ramp"]
    # the last of 150 iterations has s = 149 / 300, and exp(-5 (151 / 300)^2) = exp(-1.26672) = 0.28175
    assert demo.endswith("; the training ends at s = 0.50, weight 0.28")
    assert "ends at" not in training(PARAMS.protocols["dhc_amos"], "x y z")["ramp"]
    ended = PARAMS.protocols["demo"].training.model_copy(update={"iterations": 301})
    ended = PARAMS.protocols["demo"].model_copy(update={"training": ended})
    assert "ends at" not in training(ended, "x y z")["ramp"]


def test_distances_in_voxels_are_told_without_a_stray_comma() -> None:
    assert "Distances (ASD) are in voxels, not mm." in page("amos_5pct")
