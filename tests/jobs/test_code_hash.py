"""Hashes follow meaning: code and imports count, comments and dates do not."""

import sys

import pytest

from semiseg.base import files
from semiseg.jobs import code_hash as code


def forget():
    code.code_hash.cache_clear()
    code._read.cache_clear()
    code._closure.cache_clear()
    code._source.cache_clear()
    code._packages.cache_clear()
    code._runs_code.cache_clear()


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Write modules of a package named semiseg.sample_* that can be edited."""
    import semiseg

    monkeypatch.setattr(semiseg, "__path__", [*semiseg.__path__, str(tmp_path)])

    def write(name, text):
        (tmp_path / f"{name}.py").write_text(text)
        sys.modules.pop(f"semiseg.{name}", None)
        forget()

    return write


def test_comments_and_docstrings_do_not_count_code_does(package):
    package("sample_a", "x = 1\n")
    first = code.code_hash("semiseg.sample_a")
    package("sample_a", '"""New docstring."""\n\n# a comment\nx = 1\n')
    assert code.code_hash("semiseg.sample_a") == first
    package("sample_a", "x = 2\n")
    assert code.code_hash("semiseg.sample_a") != first


def test_an_edit_of_an_imported_module_counts(package):
    package("sample_b", "y = 1\n")
    package("sample_a", "from semiseg.sample_b import y\n")
    first = code.code_hash("semiseg.sample_a")
    package("sample_b", "y = 2\n")
    assert code.code_hash("semiseg.sample_a") != first


def test_a_template_beside_its_module_counts(package, tmp_path):
    package("sample_page", "x = 1\n")
    first = code.code_hash("semiseg.sample_page")
    (tmp_path / "sample_page.html.j2").write_text("<p>")
    forget()
    assert code.code_hash("semiseg.sample_page") != first


def test_a_package_counts_as_soon_as_it_runs_code(package, tmp_path):
    (tmp_path / "sample_package").mkdir()
    package("sample_package/__init__", '"""A docstring runs nothing."""\n')
    package("sample_package/inner", "x = 1\n")
    first = code.module_hashes("semiseg.sample_package.inner")
    assert list(first) == ["semiseg.sample_package.inner"]
    package("sample_package/__init__", "import numpy\n")
    assert "semiseg.sample_package" in code.module_hashes("semiseg.sample_package.inner")


def test_modules_imported_from_their_package_count():
    assert "semiseg.learning.weights" in _closure("semiseg.stages.train"), "from semiseg import weights"


def test_a_better_sentence_retrains_nothing():
    """What only speaks to people is not part of any job's code."""
    assert not {"semiseg.base.progress", "semiseg.base.errors", "semiseg.jobs.code_hash"} & _closure(
        "semiseg.stages.train"
    )


def test_metrics_are_not_part_of_training():
    assert "semiseg.scoring.metrics" not in _closure("semiseg.stages.train")
    assert "semiseg.learning.batches" in _closure("semiseg.stages.train")
    assert "semiseg.learning.loop" not in _closure("semiseg.stages.evaluate")


def _closure(module):
    return set(code.module_hashes(module))


def test_digest_ignores_the_order_of_keys():
    assert files.digest({"a": 1, "b": [1, 2]}) == files.digest({"b": [1, 2], "a": 1})
    assert files.digest([1, 2]) != files.digest([2, 1])
