"""Large buffers lie in files of their own, written when they change; state and files fit after a kill at any place."""

import os
import signal
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from semiseg.base.errors import UserError
from semiseg.learning import weights
from semiseg.learning.large_state import FOLDER, LargeState, move, pause
from semiseg.learning.loop import start
from semiseg.learning.state import STATE, State, drop
from semiseg.method import Method
from semiseg.params.config import Inference, Optimiser

CPU = torch.device("cpu")


class Storing(Method):
    """Two large buffers, one of them in a part, and a small one."""

    inference_networks = ("network",)
    large_state = {"often": "device", "part.seldom": "cpu"}  # noqa: RUF012

    def __init__(self, context) -> None:
        super().__init__(context)
        self.network, self.part = nn.Linear(2, 2), nn.Module()
        self.register_buffer("often", torch.zeros(3, 4))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))
        self.part.register_buffer("seldom", torch.zeros(5, dtype=torch.float64))


def begin() -> State:
    rule, inference = Optimiser(lr=0.1, momentum=0.9, weight_decay=0), Inference(window=(16,) * 3, stride=(16,) * 3)
    return start(Storing(SimpleNamespace(classes=2)), inference, rule, CPU)


def advance(state: State) -> None:
    """One step: one row of ``often`` changes in place."""
    state.method.often[state.iteration % 3] = torch.arange(4) + state.iteration
    state.method.count += 1
    state.iteration += 1


def files(folder: Path) -> dict[str, int]:
    """Names and times of writing of the files of large buffers."""
    return {path.name: path.stat().st_mtime_ns for path in (folder / FOLDER).iterdir()}


def test_only_what_changed_is_written_and_a_resumed_state_has_all_of_it(tmp_path):
    state = begin()
    for _ in range(4):
        advance(state)
    state.save(tmp_path / STATE, "run")
    assert weights.load(tmp_path / STATE)[0].keys() & {"method.often", "method.part.seldom"} == set()
    first = files(tmp_path)
    assert first.keys() == {"often.4.safetensors", "part.seldom.4.safetensors"}
    advance(state)
    state.save(tmp_path / STATE, "run")
    assert files(tmp_path).keys() == {"often.5.safetensors", "part.seldom.4.safetensors"}
    resumed = begin()
    resumed.resume(tmp_path / STATE, "run")
    assert resumed.iteration == 5
    for name, expected in state.method.state_dict().items():
        assert torch.equal(resumed.method.state_dict()[name], expected), name
    resumed.method.part.seldom = torch.ones(5, dtype=torch.float64)  # another tensor, of the same number of changes
    resumed.iteration += 1
    resumed.save(tmp_path / STATE, "run")
    assert files(tmp_path).keys() == {"often.5.safetensors", "part.seldom.6.safetensors"}
    drop(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("killed_in", "expected"), [("writing", 5), ("removing", 6)])
def test_a_kill_between_two_writes_leaves_a_state_with_its_files(tmp_path, monkeypatch, killed_in, expected):
    """A process is killed after it wrote the large buffers of step 6: before it writes the state, or removes files."""
    state = begin()
    for _ in range(5):
        advance(state)
    state.save(tmp_path / STATE, "run")
    stores = {5: state.method.often.clone()}
    advance(state)
    stores[6] = state.method.often.clone()
    child = os.fork()
    if not child:
        real = weights.save

        def save(path, *content):
            if path.name == STATE and killed_in == "writing":
                os.kill(os.getpid(), signal.SIGKILL)
            real(path, *content)

        monkeypatch.setattr(weights, "save", save)
        monkeypatch.setattr(LargeState, "tidy", lambda *given: os.kill(os.getpid(), signal.SIGKILL))
        try:
            state.save(tmp_path / STATE, "run")
        finally:
            os._exit(1)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    assert {"often.5.safetensors", "often.6.safetensors"} <= files(tmp_path).keys()
    resumed = begin()
    resumed.resume(tmp_path / STATE, "run")
    assert resumed.iteration == resumed.method.count == expected
    assert torch.equal(resumed.method.often, stores[expected]) and not torch.equal(stores[5], stores[6])
    advance(resumed)
    resumed.save(tmp_path / STATE, "run")
    assert files(tmp_path).keys() == {f"often.{expected + 1}.safetensors", "part.seldom.5.safetensors"}


def test_a_state_without_its_files_or_with_those_of_another_run_is_not_continued(tmp_path, capfd):
    state = begin()
    advance(state)
    state.save(tmp_path / STATE, "run")
    store = tmp_path / FOLDER / "often.1.safetensors"
    weights.save(store, {"often": torch.ones(3, 4)}, {"fingerprint": "another run"})
    for reason in ("is of another run than", "is missing: train the run again"):
        resumed = begin()
        resumed.resume(tmp_path / STATE, "run")
        assert resumed.iteration == 0 and not resumed.method.often.any()
        assert f"starting from step 0: {store} {reason}" in capfd.readouterr().err
        store.unlink(missing_ok=True)


def test_a_buffer_in_main_memory_is_not_moved():
    method = Storing(SimpleNamespace(classes=2))
    seldom = method.part.seldom
    move(method, torch.device("meta"))
    assert method.often.device.type == method.network.weight.device.type == "meta"
    assert method.part.seldom is seldom and seldom.device == CPU


@pytest.mark.parametrize(
    ("declared", "sentence"),
    [
        ({"oftne": "cpu"}, r"Storing\.large_state: unknown buffer 'oftne'; .*did you mean often\?"),
        ({"often": "gpu"}, r"Storing\.large_state\.often: unknown place 'gpu'; known: device, cpu"),
    ],
)
def test_a_wrong_declaration_is_refused_before_the_training(monkeypatch, declared, sentence):
    monkeypatch.setattr(Storing, "large_state", declared)
    with pytest.raises(UserError, match=sentence):
        begin()


def test_a_state_that_takes_long_to_write_is_written_less_often():
    assert pause(120, 1) == 120
    assert pause(120, 12) == pytest.approx(240), "a twentieth of the time"
    assert pause(120, 300) == 1200, "at most ten times as long"
    assert pause(0, 3) == 0, "after every step, where that is wanted"
    assert pause(float("inf"), 3) == float("inf")
