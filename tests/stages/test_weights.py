"""The rule of a file that the user brings: what it finds in order, and what it refuses."""

from pathlib import Path

import pytest
import torch

from semiseg.base.errors import UserError
from semiseg.learning import weights
from semiseg.stages.weights import is_standin, keep_weights

NOTE = {"brought": [{"sha256": "ab" * 32, "bytes": 1, "network": ""}]}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "one.safetensors"
    weights.save(path, {"a": torch.ones(3)}, NOTE)
    return path


def refused(spec: dict, path: Path, sentence: str) -> None:
    before = path.read_bytes() if path.exists() else None
    with pytest.raises(UserError, match=sentence):
        keep_weights({"name": "one", **spec}, path, "")
    assert (path.read_bytes() if path.exists() else None) == before


def test_a_file_of_the_right_content_stays_as_it_is(file: Path) -> None:
    before = file.read_bytes()
    keep_weights({"name": "one", "sha256": "abababab"}, file, "somewhere")
    assert file.read_bytes() == before


def test_what_is_refused_is_kept(file: Path, tmp_path: Path) -> None:
    refused(
        {"sha256": "abababac"}, file, r"with sha256 (ab){32}, expected abababac as weights\.one of params\.yaml says"
    )
    refused({"standin": True}, file, r"was brought by the user, so it is not replaced .* remove weights\.one\.standin")
    refused({}, tmp_path / "none.safetensors", r"no weights one are here .*its authors offer it, where the page of the")
    by_hand = tmp_path / "hand.safetensors"
    weights.save(by_hand, {"a": torch.ones(3)}, {})
    refused({}, by_hand, r"was not brought by `semiseg import-weights`, so it is not known: move it, then run")
    file.write_bytes(file.read_bytes()[:-1])
    refused({}, file, r"one\.safetensors is damaged .*bring it again by `semiseg import-weights one FILE`")


def test_a_stand_in_has_no_tensors_and_can_be_made_again(tmp_path: Path) -> None:
    path = tmp_path / "one.safetensors"
    for _ in range(2):
        keep_weights({"name": "one", "standin": True}, path, "")
    tensors, note = weights.load(path)
    assert not tensors and is_standin(note)
    refused({}, path, r"stands for weights one in a rehearsal: bring the file by `semiseg import-weights one FILE`")
