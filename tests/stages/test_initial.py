"""Trainings that start from the weights of another run."""

from pathlib import Path

import pytest
import torch
from support import prepared_cases
from support.prepared_cases import train_spec

from semiseg.base.errors import UserError
from semiseg.base.official_weights import weight_names
from semiseg.learning import weights
from semiseg.learning.build import Facts, Runtime, build_method
from semiseg.network import build
from semiseg.params.config import Network
from semiseg.stages.train import train

Data = tuple[Path, Path]
RUNTIME = Runtime(torch.device("cpu"), 0, 1e9)
INITIAL = {"initial": {"method": "bcp_pretrain", "protocol": "first"}}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Data:
    return prepared_cases.build(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def first(data: Data, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The weights of a pre-training."""
    return run(tmp_path_factory.mktemp("first"), train_spec("bcp_pretrain", 2, validation=None), data)


def run(folder: Path, spec: dict, data: Data, initial: Path | None = None) -> Path:
    out = prepared_cases.outputs(folder)
    train(spec, *data, folder / "state", out, RUNTIME, initial=initial)
    return out.weights


def test_student_and_teacher_start_from_the_weights(first: Path) -> None:
    """The random weights of both are replaced."""
    tensors = weights.load(first)[0]
    given = Facts([[10.0] * prepared_cases.CLASSES], 4, (16, 16, 32), (16, 16, 32))
    method = build_method("bcp", {}, Network(name="unet3d", filters=2), None, given)
    method.start_from(tensors)
    for role in ("student", "teacher"):
        state = method.get_submodule(role).state_dict()
        assert all(torch.equal(state[name], tensor) for name, tensor in weights.part(tensors, "student").items())


def test_a_training_begins_where_the_first_one_ended(data: Data, first: Path, tmp_path: Path) -> None:
    """With a learning rate of nearly 0 the weights stay."""
    still = {"lr": 1e-12, "momentum": 0.0, "weight_decay": 0.0}
    spec = {**train_spec("bcp", 1, validation=None, optimiser=still), **INITIAL}
    after, before = weights.load(run(tmp_path, spec, data, first))[0], weights.load(first)[0]
    learned = [name for name in before if name.endswith(("weight", "bias"))]
    assert learned and all(torch.allclose(after[name], before[name], atol=1e-9) for name in learned)


def test_another_first_run_gives_other_weights_and_continues_no_state(data: Data, first: Path, tmp_path: Path) -> None:
    spec = {**train_spec("bcp", 2, validation=None), **INITIAL}
    once, again = (run(tmp_path / name, spec, data, first).read_bytes() for name in "ab")
    assert once == again
    tensors, note = weights.load(first)
    other = tmp_path / "other.safetensors"
    weights.save(other, {name: tensor + 0.01 for name, tensor in tensors.items()}, note)
    assert run(tmp_path / "a", spec, data, other).read_bytes() != once, "the state in this folder is of another start"


def changed(first: Path, folder: Path, name: str, tensor: torch.Tensor) -> Path:
    tensors, note = weights.load(first)
    path = folder / "weights.safetensors"
    weights.save(path, {**tensors, name: tensor}, note)
    return path


def test_weights_that_do_not_fit_are_one_sentence(data: Data, first: Path, tmp_path: Path) -> None:
    spec = {**train_spec("bcp", 2, validation=None), **INITIAL}
    for name, tensor, reason in (
        ("student.head.weight", torch.zeros(9, 2, 1, 1, 1), r"student\.head\.weight has shape \(9, .*BCP needs \(3, "),
        ("network.head.weight", torch.zeros(3), r"network\.head\.weight has shape \(3,\), and BCP has no such tensor"),
    ):
        path = changed(first, tmp_path, name, tensor)
        with pytest.raises(UserError, match=rf"weights\.safetensors cannot be started from: {reason}.*; name other"):
            run(tmp_path / "out", spec, data, path)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(UserError, match=r"weights\.safetensors is damaged .* train the run again"):
        run(tmp_path / "out", spec, data, path)
    with pytest.raises(UserError, match=r"no --initial names them: give their path"):
        run(tmp_path / "out", spec, data)
    assert not (tmp_path / "out" / "weights.safetensors").exists()


def test_a_method_that_needs_a_first_run_is_not_trained_without(data: Data, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^bcp starts from the weights of a pre-training, but the protocol names none"):
        run(tmp_path, train_spec("bcp", 2), data)


def test_a_training_begins_with_the_weights_of_a_file(data: Data, tmp_path: Path) -> None:
    """They have the names of the official code there."""
    network = build("vnet", 1, prepared_cases.CLASSES, "default", filters=2)
    names = {ours: theirs for theirs, ours in weight_names(network.state_dict(), network.official_modules()).items()}
    tensors = {names[name]: tensor for name, tensor in network.state_dict().items()}
    file = tmp_path / "theirs.safetensors"
    weights.save(file, tensors, {"brought": [], "tensors": len(tensors)})
    still = {"lr": 1e-12, "momentum": 0.0, "weight_decay": 0.0}
    spec = train_spec("sup_only", 1, validation=None, optimiser=still) | {"initial": {"weights": "theirs"}}
    spec["network"] = {"name": "vnet", "filters": 2}
    after = weights.load(run(tmp_path / "out", spec, data, file))[0]
    learned = [name for name in names if name.endswith(("weight", "bias"))]
    assert all(torch.allclose(after[f"network.{name}"], tensors[names[name]], atol=1e-9) for name in learned)
    weights.save(file, {**tensors, "out_conv.weight": torch.zeros(2, 2, 1, 1, 1)}, {})
    with pytest.raises(UserError, match=r"theirs\.safetensors cannot be started from: network\.head\.weight has shape"):
        run(tmp_path / "out", spec, data, file)
    weights.save(file, {}, {"standin": True})
    run(tmp_path / "rehearsal", spec, data, file)
    with pytest.raises(UserError, match=r"no --brought names them: give their path"):
        run(tmp_path / "none", spec, data)


ADAM = {"rule": "adam", "lr": 0.01, "momentum": 0.9, "weight_decay": 0.0}


@pytest.mark.parametrize("validation", [None, {"every": 2, "per": "iteration", "region": "volume", "absent": "zero"}])
def test_adam_goes_on_where_the_first_run_keeps_its_state(data: Data, tmp_path: Path, validation: dict | None) -> None:
    """As sup_only in two runs of two steps and in one of four, but for the crops: counts of steps and moments go on."""
    spec = train_spec("sup_only", 2, validation=validation, optimiser=ADAM)
    kept = run(tmp_path / "kept", {**spec, "training": {**spec["training"], "keep_optimiser": True}}, data)
    plain = run(tmp_path / "plain", spec, data)
    tensors, networks = weights.load(kept)[0], weights.load(plain)[0]
    moments = weights.part(tensors, "optimiser")
    assert tensors.keys() - networks.keys() == weights.prefixed("optimiser", moments).keys()
    assert all(torch.equal(tensors[name], tensor) for name, tensor in networks.items())
    assert {int(tensor) for name, tensor in moments.items() if name.endswith(".step")} == {2}
    second = {**spec, "initial": {"method": "sup_only", "protocol": "first"}}
    second["training"] = {**spec["training"], "keep_optimiser": True}
    counts = {
        first: {
            int(each)
            for name, each in weights.load(run(tmp_path / f"after_{first.parent.name}", second, data, first))[0].items()
            if name.endswith(".step")
        }
        for first in (kept, plain)
    }
    assert counts == {kept: {4}, plain: {2}}


def test_the_state_of_another_optimiser_is_refused(data: Data, tmp_path: Path) -> None:
    spec = train_spec("sup_only", 1, validation=None, optimiser=ADAM, keep_optimiser=True)
    first = run(tmp_path / "first", spec, data)
    second = {**train_spec("sup_only", 1, validation=None), "initial": {"method": "sup_only", "protocol": "first"}}
    with pytest.raises(
        UserError, match=r"cannot be started from: the state of its optimiser has .*, which SGD does not"
    ):
        run(tmp_path / "second", second, data, first)
