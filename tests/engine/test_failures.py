"""The errors of failed jobs are found in their logs, each once."""

from pathlib import Path

from semiseg.engine.failures import causes


def test_each_error_stands_once_with_the_rows_that_it_stopped(tmp_path: Path) -> None:
    logs = {
        "cps": "device: CPU\nerror: a try before this one\nerror: total is nan: lower the rate\n",
        "mt": "error: total is nan: lower the rate\nTraceback (most recent call last):\n  error: of a print\n",
        "dtc": b"\xff\nerror: the disk is full\n",
        "killed": "ua_mt: 1/6 step\n",
    }
    for row, text in logs.items():
        (tmp_path / row).write_bytes(text if isinstance(text, bytes) else text.encode())
    (tmp_path / "folder").mkdir()
    paths = {row: str(tmp_path / row) for row in (*logs, "folder", "missing")}
    assert causes(paths) == {"total is nan: lower the rate": ["cps", "mt"], "the disk is full": ["dtc"]}
