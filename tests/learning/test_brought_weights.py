"""`semiseg import-weights`: files of weights as users have them, and files that are refused without loss."""

import json
import os
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from support.project_folder import write_params
from torch import nn

from semiseg.base.files import UNFINISHED, sha256
from semiseg.cli.main import main
from semiseg.learning import weights

STATE = {"a.weight": torch.arange(6.0).view(2, 3), "a.bias": torch.tensor([0.5, -1.0])}
OTHER = {"b.weight": torch.ones(1)}
OUT = Path("data/weights/one.safetensors")


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def save(content, name="file.pth", **options):
    torch.save(content, name, **options)
    return name


def bring(*arguments):
    return main(["import-weights", "one", *map(str, arguments)])


def adam():
    layer = nn.Linear(2, 1)
    optimiser = torch.optim.Adam(layer.parameters())
    layer(torch.ones(1, 2)).sum().backward()
    optimiser.step()
    return optimiser.state_dict()


GOOD = {
    "a state dict": STATE,
    "a state_dict entry": {"state_dict": STATE, "epoch": 3, "best": 0.9},
    "a net beside its optimiser": {"net": STATE, "opt": adam()},
    "a model below a model": {"checkpoint": {"model": STATE}, "iteration": torch.tensor(3)},
    "of DataParallel": {"model": {f"module.{name}": tensor for name, tensor in STATE.items()}},
    "compiled": {f"_orig_mod.module.{name}": tensor for name, tensor in STATE.items()},
    "with parameters": {name: nn.Parameter(tensor) for name, tensor in STATE.items()},
}


@pytest.mark.parametrize("what", GOOD)
def test_the_tensors_of_a_checkpoint_arrive_under_their_names(what):
    assert bring(save(GOOD[what])) == 0
    tensors, note = weights.load(OUT)
    assert tensors.keys() == STATE.keys()
    assert all(torch.equal(tensors[name], tensor) for name, tensor in STATE.items())
    facts = {"sha256": sha256("file.pth"), "bytes": Path("file.pth").stat().st_size, "network": ""}
    assert note == {"brought": [facts], "tensors": 2}
    record = json.loads(Path(f"{OUT}.lineage.json").read_text(encoding="utf-8"))
    assert record["rule"] == "weights" and record["params"] == {"name": "one"}
    assert record["environment"]["brought"] == [{"file": "file.pth", **facts}]
    assert record["outputs"][0]["sha256"] == sha256(OUT)


def test_the_old_format_of_torch_and_safetensors_give_the_same_tensors():
    save(STATE, "old.pt", _use_new_zipfile_serialization=False)
    save_file(STATE, "new.safetensors")
    for name in ("old.pt", "new.safetensors"):
        assert bring(name) == 0
        assert all(torch.equal(weights.load(OUT)[0][key], tensor) for key, tensor in STATE.items())


def test_tensors_that_share_memory_are_brought():
    whole = torch.arange(4.0)
    assert bring(save({"whole": whole, "half": whole[:2], "turned": torch.ones(2, 3).T})) == 0
    assert weights.load(OUT)[0]["half"].tolist() == [0.0, 1.0]


def test_a_file_for_each_network():
    save(STATE, "first.pth"), save(STATE, "second.pth")
    assert bring("a=first.pth", "b=second.pth") == 0
    assert weights.load(OUT)[0].keys() == {f"{network}.{name}" for network in "ab" for name in STATE}


def test_one_of_several_dictionaries_is_named(capfd):
    name = save({"student": STATE, "teacher": {"ema": OTHER}})
    assert bring(name) == 2
    assert "holds 2 dictionaries of tensors (student, teacher.ema)" in capfd.readouterr().err
    assert bring(name, "--entry", "teacher.ema") == 0
    assert weights.load(OUT)[0].keys() == OTHER.keys()
    assert bring(name, "--entry", "pupil") == 2
    assert "file.pth has no weights under 'pupil'; it has: student, teacher.ema" in capfd.readouterr().err


class Code:
    """What runs when it is unpickled."""

    def __reduce__(self):
        return os.mkdir, ("pwned",)


def truncated(name, share=0.5):
    content = Path(name).read_bytes()
    Path(name).write_bytes(content[: int(len(content) * share)])
    return name


def text(content, name="file.pth"):
    Path(name).write_text(content, encoding="utf-8")
    return name


BAD = {
    "with code": (lambda: [save({"net": STATE, "logger": Code()})], r"file.pth holds an object of (posix|nt)\.mkdir"),
    "a whole model": (lambda: [save(nn.Linear(2, 1))], "holds an object of torch.nn.modules.linear.Linear beside"),
    "truncated": (lambda: [truncated(save(STATE))], "file.pth is truncated, or no file of weights"),
    "truncated, old": (
        lambda: [truncated(save(STATE, _use_new_zipfile_serialization=False))],
        "file.pth is truncated, or no file of weights",
    ),
    "truncated safetensors": (
        lambda: [save_file(STATE, "x.safetensors") or truncated("x.safetensors", 0.9)],
        "x.safetensors is truncated, or no file of weights",
    ),
    "empty": (lambda: [text("")], "file.pth is truncated, or no file of weights"),
    "a page": (lambda: [text("<html>404</html>")], "file.pth is truncated, or no file of weights"),
    "no tensors": (lambda: [save({"epoch": 3})], "file.pth holds no dictionary of tensors by name"),
    "a list": (lambda: [save([torch.ones(1)])], "file.pth holds no dictionary of tensors by name"),
    "not finite": (
        lambda: [save({"a": torch.tensor([1.0, float("nan")])})],
        "file.pth: a holds values that are not fin",
    ),
    "sparse": (lambda: [save({"a": torch.eye(2).to_sparse()})], "file.pth: a is sparse or quantised"),
    "missing": (lambda: ["nowhere.pth"], "nowhere.pth is not there: give the file of weights"),
    "a folder": (lambda: ["."], ". is a folder: give the file of weights"),
    "another file": (
        lambda: [save(OTHER), "--sha256", "0123456789"],
        "expected 0123456789 .--sha256.: it is damag",
    ),
    "no digits": (lambda: [save(OTHER), "--sha256", "xyz"], "--sha256 is xyz, expected 8 to 64 hexadecimal digits"),
    "twice": (lambda: [save(OTHER), save(OTHER, "again.pth")], "again.pth holds b.weight like the file before it"),
}


@pytest.mark.parametrize("what", BAD)
def test_a_bad_file_is_one_sentence_and_what_was_brought_before_stays(what, capfd):
    """Nothing of the file runs, and no half of a file is left."""
    assert bring(save(STATE, "before.pth")) == 0
    before = {path: path.read_bytes() for path in OUT.parent.iterdir()}
    make, sentence = BAD[what]
    arguments = make()
    capfd.readouterr()
    assert bring(*arguments) == 2
    shown = capfd.readouterr().err
    assert shown.startswith("error: ") and shown.count("\n") == 1, shown
    assert re.search(sentence, shown), shown
    assert {path: path.read_bytes() for path in OUT.parent.iterdir() if path in before} == before
    assert not list(OUT.parent.glob(f"{UNFINISHED}*")) and not Path("pwned").exists()


def test_the_sha256_of_params_yaml_is_compared(capfd, project):
    name = save(STATE)
    known = {"one": {"source": "the authors' page", "sha256": "0" * 8}}
    sections = {key: {} for key in ("datasets", "preparations", "splits", "protocols", "tables")}
    write_params(project, {**sections, "weights": known})
    assert bring(name) == 2
    assert "expected 00000000 (weights.one.sha256)" in capfd.readouterr().err
    write_params(project, {**sections, "weights": {"one": {"sha256": sha256(name)[:12]}}})
    assert bring(name, "--sha256", sha256(name).upper()) == 0


def test_a_name_that_params_yaml_cannot_hold_is_refused(capfd):
    assert main(["import-weights", "../one", save(STATE)]) == 2
    assert "'../one' is no name for weights: use letters, digits and _ alone" in capfd.readouterr().err
