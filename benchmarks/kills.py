"""Build a table twice, once undisturbed and once under random kills -9, and compare every artefact.

    python benchmarks/kills.py demo --kills 20 --seed 1 [--folder DIR] [--checkpoint-seconds 5] [--cores 2]

Both projects are made anew in DIR (a temporary folder where it is not given). Per kill it prints who was killed (a job,
Snakemake alone, or everything at once as by a power cut), in which phase, and how many seconds of work were lost: since
the job had last kept a case or a training state. Exit status 0 if nothing differs.
"""

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

import yaml

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from support import kills, project_folder  # noqa: E402 (the tests' own way of killing)

SHARES = {"prepare": 0.25, "train": 0.4, "predict": 0.2, "evaluate": 0.15}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("table")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--checkpoint-seconds", type=int, default=5)
    parser.add_argument("--cores", type=int, default=2)
    options = parser.parse_args()
    folder = options.folder or Path(tempfile.mkdtemp(prefix="kills-"))
    chance, target = random.Random(options.seed), f"results/{options.table}.csv"
    settings = ("--set-resources", f"train:checkpoint_seconds={options.checkpoint_seconds}")
    whole, killed = (_project(folder / name) for name in ("whole", "killed"))
    start = time.monotonic()
    kills.Killer(whole, target, chance, *settings, cores=options.cores).finish()
    print(f"undisturbed: {time.monotonic() - start:.0f} s", flush=True)
    start = time.monotonic()
    killer = kills.Killer(killed, target, chance, *settings, cores=options.cores)
    victims = chance.choices(kills.VICTIMS, (1, 1, 2), k=options.kills)
    count = 0
    print("| kill | victim | phase | work lost, s |\n| --- | --- | --- | --- |")
    for kill in killer.kills(victims, _phases(options.kills, options.checkpoint_seconds)):
        count += 1
        print(f"| {count} | {kill.victim} | {kill.phase} | {kill.lost:.1f} |", flush=True)
    killer.finish()
    print(f"with {count} kills: {time.monotonic() - start:.0f} s")
    return _compare(kills.artefacts(whole), kills.artefacts(killed))


def _project(folder: Path) -> Path:
    content = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    return project_folder.new(folder, content, "constraints.txt")


def _phases(kills: int, checkpoint_seconds: float) -> dict[str, kills.Phase]:
    """Kills of each phase by its share; a training is given time to save its state, or not."""
    most = {name: max(round(share * kills), 1) for name, share in SHARES.items()} | {"evaluate": kills}
    longest = {"prepare": 2.0, "train": 2 * checkpoint_seconds + 4, "predict": 3.0, "evaluate": 2.0}
    pieces = {"prepare": 3, "predict": 2}
    return {name: kills.Phase(most[name], pieces.get(name, 0), longest[name]) for name in SHARES}


def _compare(whole: dict[str, str], killed: dict[str, str]) -> int:
    differing = sorted(name for name in {*whole, *killed} if whole.get(name) != killed.get(name))
    print(f"{len(whole)} artefacts, {len(differing)} differ {' '.join(differing[:10])}")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
