"""A signal that requests the end of the process takes effect after the current step, and costs no work."""

import os
import signal
import threading

import pandas as pd
import pytest
import torch
from support.prepared_cases import build, outputs, train_spec

from semiseg.learning import signals
from semiseg.learning.build import Runtime
from semiseg.learning.loop import Trainer
from semiseg.stages.train import train

ENDING = (signal.SIGTERM, signal.SIGHUP)
SELDOM = Runtime(torch.device("cpu"), 0, checkpoint_seconds=3600)


@pytest.fixture(autouse=True)
def as_from_a_terminal():
    """Nothing is ignored, although the tests may run in the background, where a shell lets SIGINT be ignored."""
    handlers = {signal.SIGINT: signal.default_int_handler, **dict.fromkeys(ENDING, signal.SIG_DFL)}
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def data(tmp_path):
    return build(tmp_path / "data")


def signalled_at(monkeypatch, step: int, number: int) -> None:
    """Send this process a signal in the middle of a step."""
    plain = Trainer.step

    def noisy(trainer, batch):
        if trainer.state.iteration == step:
            os.kill(os.getpid(), number)
        plain(trainer, batch)

    monkeypatch.setattr(Trainer, "step", noisy)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_an_ended_training_continues_from_the_very_step_to_the_same_weights(
    data, tmp_path, monkeypatch, capsys, number
):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    whole, parts = outputs(tmp_path / "whole"), outputs(tmp_path / "parts")
    train(train_spec(), *data, tmp_path / "state_whole", whole, SELDOM)
    signalled_at(monkeypatch, 3, number)
    with pytest.raises(KeyboardInterrupt):
        train(train_spec(), *data, tmp_path / "state", parts, SELDOM)
    assert not parts.weights.exists()
    train(train_spec(), *data, tmp_path / "state", parts, SELDOM)
    assert "continuing from step 4 " in capsys.readouterr().err
    assert parts.weights.read_bytes() == whole.weights.read_bytes()


ROTATION = {"step": "rotate", "axis": 0, "degrees": [-15, 15], "probability": 0.5}


def test_a_run_of_the_dhc_kind_continues_in_the_middle_of_its_last_epoch(data, tmp_path, monkeypatch):
    """Three of four cases in a step, one in the next; one epoch more than the rates count; validated after 1 and 3."""
    spec = train_spec(
        "mt",
        iterations=None,
        epochs=2,
        extra_epochs=1,
        order="two_loaders",
        batch={"labelled": 3, "unlabelled": 3},
        augmentation={"flip_each": [1, 2], "crop": "first", "strong": {"choose": 1, "steps": [ROTATION]}},
        validation={"every": 2, "per": "epoch", "first": 1, "region": "centre_crop", "absent": "half"},
    )
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    whole, parts = outputs(tmp_path / "whole"), outputs(tmp_path / "parts")
    train(spec, *data, tmp_path / "state_whole", whole, SELDOM)
    history = pd.read_csv(whole.history)
    assert (history.index[history["val_dice"].notna()] + 1).tolist() == [2, 6]
    signalled_at(monkeypatch, 4, signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt):
        train(spec, *data, tmp_path / "state", parts, SELDOM)
    train(spec, *data, tmp_path / "state", parts, SELDOM)
    assert parts.weights.read_bytes() == whole.weights.read_bytes()
    assert parts.history.read_bytes() == whole.history.read_bytes()


def test_in_a_slurm_job_the_signal_saves_and_the_work_goes_on(data, tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    signalled_at(monkeypatch, 3, signal.SIGTERM)
    out = outputs(tmp_path / "out")
    train(train_spec(), *data, tmp_path / "state", out, SELDOM)
    assert out.weights.exists()
    assert (tmp_path / "state/state.safetensors").exists()  # nothing else would have written it in that hour


def test_a_second_ctrl_c_does_not_wait():
    with pytest.raises(KeyboardInterrupt), signals.watch() as request:
        os.kill(os.getpid(), signal.SIGINT)
        assert request.save and request.end
        os.kill(os.getpid(), signal.SIGINT)


def test_handlers_are_put_back():
    before = signal.getsignal(signal.SIGTERM)
    with signals.watch():
        assert signal.getsignal(signal.SIGTERM) != before
    assert signal.getsignal(signal.SIGTERM) == before


def test_an_ignored_hangup_stays_ignored():
    """As under ``nohup``: the training outlives its terminal."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with signals.watch() as request:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not request.save and not request.end
    finally:
        signal.signal(signal.SIGHUP, before)


def test_outside_the_main_thread_nothing_is_watched():
    seen = []

    def work():
        with signals.watch() as request:
            seen.append((request.save, request.end))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [(False, False)]
