"""Commands work where streams are closed, terminals are gone or narrow in their signs, and users have no name."""

import os
import subprocess
import sys

import pytest
from support import ROOT
from support.ordinary_user import FIRST, call, open_folder

TITLE = "Grösse ≥ 3 – 東"


def semiseg(redirections: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """A call under a shell's redirections."""
    command = ["sh", "-c", f'exec "$@" {redirections}', "sh", sys.executable, "-m", "semiseg", *arguments]
    return subprocess.run(command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True)


@pytest.mark.parametrize("redirections", ["<&- >&- 2>&-", ">&-", "2>&-", "2>/dev/full", "<&-"])
def test_closed_and_full_streams_change_no_status_and_no_file(tmp_path, redirections):
    log = tmp_path / "job.log"
    assert semiseg(redirections, "schema", "--markdown").returncode == 0
    assert semiseg(redirections, "--log", str(log), "import", "nothing", "here").returncode == 2
    assert len(log.read_text(encoding="utf-8").splitlines()) == 1, "what was printed went into an open file"


@pytest.mark.parametrize("encoding", ["ascii", "cp437"])
def test_signs_that_a_terminal_lacks_are_escaped(tmp_path, encoding):
    name = tmp_path / TITLE
    done = semiseg("", "import", "la", str(name), PYTHONIOENCODING=encoding)
    assert done.returncode == 2
    shown = TITLE.encode(encoding, errors="backslashreplace").decode(encoding)
    assert shown in done.stderr.decode(encoding) and "Traceback" not in done.stderr.decode(encoding)
    listed = semiseg("", "describe", "la_8", PYTHONIOENCODING=encoding)
    assert listed.returncode == 0, listed.stderr


def test_a_user_without_name_and_home_is_no_obstacle():
    asks = (
        "import getpass, os\nfrom pathlib import Path\nos.environ.pop('HOME')\n"
        "from semiseg.base.surroundings import complete\ncomplete()\nprint(getpass.getuser(), Path.home())\n"
    )
    with open_folder() as folder:
        (folder / "asks.py").write_text(asks)
        assert call(FIRST, folder, "asks").stdout.split()[0] == str(FIRST)
