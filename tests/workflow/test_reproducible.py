"""The tiny table comes out byte for byte under other circumstances, in the manner of Debian's reprotest.

All circumstances are varied in one build. Only when a file differs, each is varied alone, to name the one to blame, and
``diffoscope``, where it is installed, explains the difference.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path

from support import finished_project, kills, ordinary_user
from support.ordinary_user import FIRST, GROUP, open_folder

TESTS = Path(__file__).parents[1]
BUILD = """
import os, sys
from pathlib import Path
class Turned:  # entries of a folder in the opposite order
    def __init__(self, entries): self.entries = iter(list(entries)[::-1])
    def __iter__(self): return self
    def __next__(self): return next(self.entries)
    def __enter__(self): return self
    def __exit__(self, *given): pass
    def close(self): pass
if "entries" in sys.argv:
    listed, scanned = os.listdir, os.scandir
    os.listdir = lambda *given: listed(*given)[::-1]
    os.scandir = lambda *given: Turned(scanned(*given))
if __name__ == "__main__":
    from support import finished_project
    finished_project.build(Path.cwd(), workers=3 if "workers" in sys.argv else 1)
"""
ENVIRONMENT = {
    "locale": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LANG": "tr_TR.UTF-8"},
    "time zone": {"TZ": "Pacific/Kiritimati"},
    "hash seed": {"PYTHONHASHSEED": "77"},
    "terminal": {"COLUMNS": "40", "TERM": "dumb", "NO_COLOR": "1"},
    "home": {"HOME": "/nonexistent"},
}
OTHERS = ("path", "umask", "user", "entries", "workers")
VARIATIONS = (*ENVIRONMENT, *OTHERS)


def build(place: Path, varied: Collection[str]) -> Path:
    """A project whose table was built while these circumstances differ from the usual ones."""
    folder = place / ("another place/grösser/x" if "path" in varied else "project")
    folder.mkdir(parents=True)
    finished_project.write_params(folder, finished_project.params())
    (folder / "builds.py").write_text(BUILD, encoding="utf-8")
    environment = {"PYTHONHASHSEED": "0", "TZ": "UTC"}
    for name in varied:
        environment |= ENVIRONMENT.get(name, {})
    umask, words = 0o077 if "umask" in varied else 0o022, [name for name in varied if name in OTHERS]
    if "user" in varied and os.geteuid() == 0:
        for path in (folder, *folder.rglob("*")):
            os.chown(path, FIRST, GROUP)
        path = [TESTS, folder]
        done = ordinary_user.call(FIRST, folder, "builds", *words, umask=umask, path=path, **environment)
    else:
        env = {**os.environ, "PYTHONPATH": f"{TESTS}:{os.environ.get('PYTHONPATH', '')}"}
        command = [sys.executable, "builds.py", *words]
        done = subprocess.run(
            command, cwd=folder, env={**env, **environment}, capture_output=True, encoding="utf-8", umask=umask
        )
    assert done.returncode == 0, done.stderr[-4000:]
    return folder


def differing(one: Path, other: Path) -> list[str]:
    """Files that are not the same in both, records by their id."""
    here, there = kills.artefacts(one), kills.artefacts(other)
    return sorted(path for path in here.keys() | there.keys() if here.get(path) != there.get(path))


def explained(one: Path, other: Path, paths: list[str]) -> str:
    """What diffoscope says about the first of these files."""
    if not paths or shutil.which("diffoscope") is None:
        return "install diffoscope to see the difference"
    command = ["diffoscope", "--max-report-size", "4000", str(one / paths[0]), str(other / paths[0])]
    return subprocess.run(command, capture_output=True, encoding="utf-8").stdout


def test_ten_other_circumstances_change_no_byte(tmp_path_factory):
    usual = finished_project.copy(tmp_path_factory)
    with open_folder() as place:
        varied = build(place, VARIATIONS)
        paths = differing(usual, varied)
        if paths:
            blamed = []
            for name in VARIATIONS:
                (place / name).mkdir(mode=0o755)
                if differing(usual, build(place / name, [name])):
                    blamed.append(name)
            raise AssertionError(f"{paths[:5]} depend on {blamed}\n{explained(usual, varied, paths)}")
    assert len(kills.artefacts(usual)) > 60
