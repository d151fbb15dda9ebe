"""A file is whole or not there."""

import pytest

from semiseg.base.errors import UserError
from semiseg.base.files import atomic, read_json, sha256, write_json, write_text


def test_a_failure_leaves_the_old_file_and_no_temporary(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(RuntimeError), atomic(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text(encoding="utf-8") == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_json_is_equal_for_equal_content(tmp_path):
    write_json(tmp_path / "a.json", {"b": 1, "a": "ü"})
    write_json(tmp_path / "b.json", {"a": "ü", "b": 1})
    assert sha256(tmp_path / "a.json") == sha256(tmp_path / "b.json")
    assert read_json(tmp_path / "a.json") == {"a": "ü", "b": 1}


def test_damaged_and_missing_json_are_one_sentence(tmp_path):
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(UserError, match=r"a\.json is not valid JSON .* delete it and build it again"):
        read_json(tmp_path / "a.json")
    with pytest.raises(UserError, match=r"b\.json is missing: build it with `snakemake"):
        read_json(tmp_path / "b.json")


def test_a_full_disk_is_one_sentence_and_leaves_nothing(small_disk):
    expected = r"no space left on the disk while writing .*big\.bin: free some and run again"
    with pytest.raises(UserError, match=expected), atomic(small_disk / "big.bin") as temporary:
        temporary.write_bytes(bytes(1 << 20))
    assert list(small_disk.iterdir()) == []
    write_text(small_disk / "small.txt", "fits")
    assert (small_disk / "small.txt").read_text(encoding="utf-8") == "fits"
