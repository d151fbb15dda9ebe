"""What tests of locks share."""

import os

import pytest


@pytest.fixture
def squeue(tmp_path, monkeypatch):
    """A scheduler's command that gives the wanted answer: no cluster is started for a table of its states."""
    folder = tmp_path / "bin"
    folder.mkdir()

    def answers(shell: str) -> None:
        (folder / "squeue").write_text(f"#!/bin/sh\n{shell}\n")
        (folder / "squeue").chmod(0o755)

    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return answers
