"""Training on copies of the cases: the same bits, also where the node's disk vanishes under it."""

import shutil
from pathlib import Path

import pytest
from support import prepared_cases
from support.prepared_cases import train_spec

from semiseg.base.errors import UserError
from semiseg.learning.build import choose_runtime
from semiseg.learning.loop import Trainer
from semiseg.stages.train import train


def run(folder: Path, data: tuple[Path, Path], out: str, local_disk: str = "", **changed) -> bytes:
    """Train in this process; returns the weights."""
    index, split = data
    files = prepared_cases.outputs(folder / out)
    runtime = choose_runtime("cpu", 1, 1e9)
    train(train_spec("mt") | changed, index, split, folder / f"state_{out}", files, runtime, local_disk)
    return files.weights.read_bytes()


def after(steps: int, change, monkeypatch: pytest.MonkeyPatch) -> None:
    """Call ``change`` when the training has made so many steps."""
    step = Trainer.step

    def stepped(trainer: Trainer, batch) -> None:
        step(trainer, batch)
        if trainer.state.iteration == steps:
            change()

    monkeypatch.setattr(Trainer, "step", stepped)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return prepared_cases.build(tmp_path_factory.mktemp("prepared"))


@pytest.fixture(scope="module")
def plain(tmp_path_factory, data):
    """The weights of an undisturbed training."""
    return run(tmp_path_factory.mktemp("plain"), data, "run")


def test_copies_change_no_bit_nor_does_their_loss(tmp_path, data, plain, monkeypatch, caplog):
    local = tmp_path / "local"
    local.mkdir()
    made = []

    def vanish():
        (copies,) = local.iterdir()
        made.extend(copies.glob("*.h5"))
        shutil.rmtree(copies)

    after(3, vanish, monkeypatch)
    assert run(tmp_path, data, "run", str(local)) == plain
    assert len(made) == 4 + 4 + 2  # the cases of the test are not read
    (line,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert f"cases are read from {data[0].parent}, where they have the same bits" in line


def test_only_what_is_read_is_copied_and_nothing_for_a_training_that_is_refused(tmp_path, data):
    local = tmp_path / "local"
    local.mkdir()
    run(tmp_path, data, "run", str(local), method="sup_only", hyper={})
    assert len(list(local.rglob("*.h5"))) == 4 + 2, "labelled cases and those of the validation"
    shutil.rmtree(*local.iterdir())
    with pytest.raises(UserError, match=r"MeanTeacher has no parameter 'wait'"):
        run(tmp_path, data, "other", str(local), hyper={"wait": 1})
    assert not list(local.iterdir())


def test_a_case_that_is_shortened_under_a_training_is_one_sentence_and_it_goes_on_later(
    tmp_path, data, plain, monkeypatch
):
    index, split = data
    whole = {path: path.read_bytes() for path in index.parent.glob("labelled*.h5")}

    def shorten():
        for path, content in whole.items():
            path.write_bytes(content[:20000])

    files, state = prepared_cases.outputs(tmp_path / "run"), tmp_path / "state_run"
    with monkeypatch.context() as patched:
        after(3, shorten, patched)
        with pytest.raises(
            UserError, match=r"^\S+/labelled\d.h5 cannot be read as HDF5 .*: delete it and run the prep"
        ):
            train(train_spec("mt"), index, split, state, files, choose_runtime("cpu", 1, 0.0))
    assert list(state.iterdir()) and not files.weights.exists()
    for path, content in whole.items():
        path.write_bytes(content)
    assert run(tmp_path, data, "run") == plain  # from its state on
