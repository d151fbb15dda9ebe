"""Files of weights: readable for those whom the user's umask allows, and one sentence where the disk is full."""

import os
import stat

import pytest
import torch

from semiseg.base.errors import UserError
from semiseg.learning import weights


@pytest.mark.parametrize(("umask", "mode"), [(0o077, 0o600), (0o022, 0o644), (0o002, 0o664)])
def test_weights_are_written_with_the_users_umask(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        weights.save(tmp_path / "new.safetensors", {"a": torch.zeros(3)}, {})
        weights.save(tmp_path / "new.safetensors", {"a": torch.ones(3)}, {})
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new.safetensors").stat().st_mode) == mode


def test_a_full_disk_is_one_sentence_and_costs_no_earlier_weights(small_disk):
    path = small_disk / "weights.safetensors"
    weights.save(path, {"a": torch.zeros(10)}, {})
    before = path.read_bytes()
    with pytest.raises(UserError, match=r"no space left on the disk while writing .*weights\.safetensors: free some"):
        weights.save(path, {"a": torch.zeros(200_000)}, {})
    assert path.read_bytes() == before and [file.name for file in small_disk.iterdir()] == [path.name]
