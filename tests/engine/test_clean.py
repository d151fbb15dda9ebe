"""`semiseg clean` deletes what comes back to the same bits, and nothing else."""

import shutil

from support.finished_project import RUN, TABLE, params, write_params

from semiseg.base.files import sha256
from semiseg.cli.main import main
from semiseg.stages.restore_volumes import restore_volumes

VOLUMES = ("data/prepared/phantom_mri/la_half/*.h5", f"{RUN}/*/*/predictions/*.nii.gz")


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): sha256(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and not path.relative_to(folder).as_posix().startswith(".")
        and path.suffix != ".lock"
        and ".code" not in path.parts  # what the planner remembers
    }


def volumes(folder):
    return {path.relative_to(folder).as_posix() for pattern in VOLUMES for path in folder.glob(pattern)}


def test_a_dry_run_lists_sizes_and_deletes_nothing(project, capsys):
    before = contents(project)
    assert main(["clean", "tiny", "--dry-run"]) == 0
    told = capsys.readouterr().out
    assert contents(project) == before
    assert "data/prepared/phantom_mri/la_half: 7 volumes, 0.2 MiB" in told and "prepared again from data/raw" in told
    assert told.count("predicted again from the weights") == 4 and "would free 0." in told
    assert "shared" not in told


def test_what_other_tables_share_is_said(project, capsys):
    content = params()
    content["tables"]["other"] = content["tables"]["tiny"] | {"rows": ["cps"]}
    write_params(project, content)
    assert main(["clean", "tiny", "--dry-run"]) == 0
    shared = [line.partition(":")[0] for line in capsys.readouterr().out.splitlines() if "shared with other" in line]
    assert shared == ["data/prepared/phantom_mri/la_half", f"{RUN}/cps/seed1", f"{RUN}/cps/seed2"]


def test_volumes_alone_are_deleted_and_come_back_to_the_same_bits(project, capsys):
    before, gone = contents(project), volumes(project)
    assert len(gone) > 7 and main(["clean", "tiny"]) == 0
    assert contents(project) == {path: content for path, content in before.items() if path not in gone}
    assert main(["audit", TABLE]) == 0
    restore_volumes(project / RUN / "cps/seed1/predictions.json")
    back = contents(project)
    assert volumes(project) >= {path for path in gone if "/cps/seed1/" in path or ".h5" in path}
    assert {path: back[path] for path in volumes(project)} == {path: before[path] for path in volumes(project)}
    capsys.readouterr()
    shutil.rmtree(project / "data/raw/phantom_mri/imagesTr")
    assert main(["clean", "tiny"]) == 0
    told = capsys.readouterr().out
    assert (
        "data/prepared/phantom_mri/la_half: 7 volumes" in told and "stay, because data/raw/phantom_mri/manifest" in told
    )
    assert len(list(project.glob(VOLUMES[0]))) == 7
    assert main(["clean", "tiny"]) == 0
    assert "seed1" not in capsys.readouterr().out, "predictions were deleted: prepared cases are here"


def test_volumes_of_other_weights_stay(project, capsys):
    weights = project / RUN / "cps/seed1/weights.safetensors"
    weights.write_bytes(weights.read_bytes() + b" ")
    before = volumes(project)
    assert main(["clean", "tiny"]) == 0
    told = capsys.readouterr().out
    assert f"{RUN}/cps/seed1/weights.safetensors, from which they were made, is missing or another" in told
    assert {path for path in before if "/cps/seed1/" in path} <= volumes(project)
    assert weights.exists() and main(["clean", "tny"]) == 2
