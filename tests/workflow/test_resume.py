"""Eight kills -9 at random moments over prepare, train, predict and evaluate: the same bits as without."""

import random
from pathlib import Path

from support import finished_project, kills, project_folder
from support.kills import Killer, Phase

TARGET = "results/tiny/cps.csv"
OFTEN = ("--set-resources", "train:checkpoint_seconds=0")  # the state is saved after every step
PHASES = {
    "prepare": Phase(most=2, pieces=2, longest=0.2),
    "train": Phase(most=2, pieces=6, longest=0.2),
    "predict": Phase(most=2, pieces=0, longest=0.2),
    "evaluate": Phase(most=20, pieces=0, longest=0.05),  # of half a second or less
}


def project(folder: Path) -> Path:
    """A project of one run with enough to do in every phase."""
    content = finished_project.params()
    content["datasets"]["phantom_mri"]["generate"] |= {"labelled": 10, "unlabelled": 2, "size": 48}
    draw = {"labelled": 2, "unlabelled": 2, "val": 1, "test": 7, "seed": 1}
    content["splits"]["phantom_mri"]["tiny"] = {"draw": draw}
    protocol = content["protocols"]["la_small"]
    protocol["training"]["iterations"] = 20
    protocol["training"]["validation"]["every"] = 10
    protocol["inference"]["stride"] = [4, 8, 8]
    content["tables"]["tiny"]["seeds"] = [1]
    return project_folder.new(folder, content)


def test_eight_kills_at_random_moments_change_no_bit(tmp_path):
    chance = random.Random(7)
    whole = project(tmp_path / "whole")
    finished_project.build(whole, TARGET)
    killed = project(tmp_path / "killed")
    victims = ["job"] * 4 + ["snakemake"] * 2 + ["machine"] * 2
    chance.shuffle(victims)
    killer = Killer(killed, TARGET, chance, *OFTEN)
    hits = []
    for kill in killer.kills(victims, PHASES):
        hits.append(kill)
        print(kill)
    killer.finish()
    assert len(hits) == 8
    assert {kill.phase for kill in hits} == set(PHASES)
    assert kills.artefacts(killed) == kills.artefacts(whole)
    assert not list(killed.rglob(".tmp-*")) and not list(killed.rglob(".*.lock"))
    assert not kills.jobs(killed)
    again = kills.start(killed, TARGET)
    assert again.wait() == 0
    assert "Nothing to be done" in (killed / "snakemake.log").read_text(encoding="utf-8").rpartition("SNAKEMAKE")[2]
