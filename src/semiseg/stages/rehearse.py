"""``semiseg rehearse``: one table built on stand-ins by the same workflow, in a project folder of its own."""

import subprocess
import sys
from pathlib import Path

import yaml

from semiseg.config import Params
from semiseg.errors import UserError
from semiseg.files import write_text
from semiseg.paths import TABLE
from semiseg.progress import say
from semiseg.rehearsal import shrunk


def rehearse(params: Params, table: str, folder: Path, cores: str) -> Path:
    """Build ``table`` below ``folder`` and return the path of its CSV. Raises UserError when a job fails.

    cores: as Snakemake's option. Finished jobs of an earlier rehearsal are kept.
    """
    snakefile = Path("Snakefile").resolve()
    if not snakefile.exists():
        raise UserError(f"{snakefile} is missing: run from the project's folder")
    text = yaml.safe_dump(shrunk(params, table).model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    write_text(folder / "params.yaml", f"# Written by `semiseg rehearse {table}`.\n{text}")
    target = TABLE.format(table=table)
    command = ["--snakefile", str(snakefile), "--directory", str(folder), "--cores", cores, target]
    done = subprocess.run([sys.executable, "-m", "snakemake", *command], check=False)
    if done.returncode != 0:
        raise UserError(f"the rehearsal of {table} failed: its jobs' logs are in {folder / 'results' / 'logs'}")
    say(f"{folder / target} is there: numbers of stand-ins, good for nothing but to see the road walked")
    return folder / target
