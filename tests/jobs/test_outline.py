"""What is kept of the sources between calls: nothing is read twice, and nothing stale is believed."""

import json
import os
import shutil

import pytest

from semiseg.base import sources
from semiseg.jobs import code_hash, outline

MODULE = "semiseg.scoring.score"


@pytest.fixture
def call(monkeypatch, tmp_path):
    """The hashes behind a module as a new process computes them in a project, and how many sources it reads for it."""
    (tmp_path / "params.yaml").touch()
    monkeypatch.chdir(tmp_path)
    read, original = [], outline._read
    monkeypatch.setattr(outline, "_read", lambda *given: (read.append(given), original(*given))[1])

    def call():
        forget()
        read.clear()
        return code_hash.module_hashes(MODULE), len(read)

    yield call
    forget()


def forget():
    kept = (outline.outline, outline._outline, outline._kept, outline._readers)
    for function in (*kept, code_hash._read, code_hash._closure, code_hash._runs_code, sources.source_of):
        function.cache_clear()


def test_a_source_is_read_once_for_all_calls(call):
    first, read = call()
    assert read >= len(first) > 3
    assert call() == (first, 0)


def test_an_edited_source_is_read_again_whatever_its_date(call, monkeypatch, tmp_path):
    package = tmp_path / "semiseg"
    shutil.copytree(sources.PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(sources, "PACKAGE", package)
    first, _ = call()
    file = package / "scoring/score.py"
    before, text = file.stat(), file.read_text(encoding="utf-8")
    assert "distances**2" in text
    file.write_text(text.replace("distances**2", "distances**3"), encoding="utf-8")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    edited, read = call()
    assert read == 1 and {name for name in first if edited[name] != first[name]} == {MODULE}
    file.write_text(text, encoding="utf-8")
    assert call() == (first, 1)


def test_other_code_that_reads_sources_reads_all_again(call, monkeypatch):
    first, read = call()
    monkeypatch.setattr(outline, "READERS", outline.READERS[1:])
    assert call() == (first, read)


@pytest.mark.parametrize("damaged", ["", "[]", '{"semiseg.scoring/score.py": {}}', "{"])
def test_a_damaged_file_counts_as_none(call, damaged):
    first, _ = call()
    outline.KEPT.write_text(damaged, encoding="utf-8")
    again, read = call()
    assert again == first and read > 0 and call() == (first, 0)


def test_source_that_is_read_anew_owes_nothing_to_what_is_kept(call):
    first, _ = call()
    forged = json.loads(outline.KEPT.read_text(encoding="utf-8"))
    forged["semiseg.scoring/score.py"]["outline"]["code"] = "0"
    outline.KEPT.write_text(json.dumps(forged), encoding="utf-8")
    believed, _ = call()
    assert believed != first
    code_hash.read_source_anew()
    assert code_hash.module_hashes(MODULE) == first
    assert call() == (first, 0), "the forged outline was replaced"


def test_outside_a_project_nothing_is_written(call, tmp_path):
    (tmp_path / "params.yaml").unlink()
    call()
    assert list(tmp_path.iterdir()) == []


def test_a_project_that_cannot_be_written_into_is_no_error(call, tmp_path):
    (tmp_path / "results").touch()  # a file where the folder would be
    first, read = call()
    assert call() == (first, read)
