"""Bad sources, disks and servers through the command line: one sentence, exit status 2, nothing half done."""

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import ROOT
from support.faulty_server import serve
from support.needs import root, skip
from support.prepared_cases import raw_spec
from support.raw_forms import (
    AFFINE,
    PLAIN,
    block,
    ct,
    flip,
    good,
    one_sentence,
    printed,
    with_value,
    write_h5,
    zip_of,
)

from semiseg.base.errors import UserError
from semiseg.base.files import write_json
from semiseg.base.volume import Volume
from semiseg.cli.main import main
from semiseg.data.arrival.download import fetch_all
from semiseg.data.arrival.http import Patience
from semiseg.data.arrival.zenodo import API
from semiseg.data.images import write_nifti
from semiseg.data.split_lists import PARTS, read_list
from semiseg.dataset import RemoteFile
from semiseg.datasets.flare22 import ARCHIVE, RECORD

PARAMS = ROOT / "params.yaml"
Verb = Callable[[Path], list[str]]
FLARE, OUT = "FLARE22_Tr_0001", "made/out.json"


def nifti(path: Path, seed: int = 0) -> None:
    write_nifti(path, Volume(ct(seed), AFFINE))


def import_of(dataset: str, fill: Callable[[Path], object], name: str = "brought") -> Verb:
    """``semiseg import`` of a source that ``fill`` writes."""

    def verb(folder: Path) -> list[str]:
        fill(folder / name)
        return ["import", dataset, str(folder / name)]

    return verb


def raw_of(dataset: str, *names: str, extra: Callable[[Path], object] = lambda raw: None) -> Verb:
    """The rule ``raw`` over a folder with these files; their content does not matter before the preparation."""

    def verb(folder: Path) -> list[str]:
        for name in names:
            path = folder / "made" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(name.encode())
        extra(folder / "made")
        return ["raw", "--spec", json.dumps(raw_spec(dataset)), "--out", OUT]

    return verb


def split_of(spoil: Callable[[Path], object], **definition: Any) -> Verb:
    """The rule ``split`` after ``raw`` over the 100 cases of LA, less what ``spoil`` takes away."""

    def verb(folder: Path) -> list[str]:
        content = read_list("la_uamt_8lab")
        for case in (case for part in PARTS for case in content[part]):
            (folder / "raw" / case).mkdir(parents=True)
            (folder / "raw" / case / "lgemri.nrrd").write_text(case)
            (folder / "raw" / case / "laendo.nrrd").write_text(case)
        spoil(folder / "raw")
        assert main(["raw", "--spec", json.dumps(raw_spec("la")), "--out", "raw/manifest.json"]) == 0
        spec = {"dataset": "la", "name": "8lab", "split": definition or {"list": "la_uamt_8lab"}}
        return ["split", "--spec", json.dumps(spec), "--raw", "raw/manifest.json", "--out", OUT]

    return verb


def damaged_manifest(folder: Path) -> list[str]:
    (folder / "manifest.json").write_text('{"cases": [')
    spec = {"dataset": "phantom", "name": "plain", "preparation": PLAIN}
    return ["prepare", "--spec", json.dumps(spec), "--raw", "manifest.json", "--out", OUT]


def zipped(name: str, spoil: Callable[[Path], object] = lambda archive: None) -> Callable[[Path], None]:
    def fill(archive: Path) -> None:
        nifti(archive.parent / "to_pack" / "image.nii.gz")
        (archive.parent / "to_pack" / "image.nii.gz").rename(archive.parent / "to_pack" / name)
        zip_of(archive.parent / "to_pack", archive)
        spoil(archive)

    return fill


def two_copies(folder: Path) -> None:
    for seed, generation in enumerate(("2021", "2022")):
        nifti(folder / generation / f"{FLARE}_0000.nii.gz", seed)


def cut_here(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-300])


def flip_here(path: Path) -> None:
    flip(path.name, 0.5)(path.parent)


def spoilt_scan(folder: Path) -> None:
    write_h5(folder / LABELLED / "mri_norm2.h5", with_value(np.abs(ct()), np.nan), block())


LABELLED = read_list("la_uamt_8lab")["labelled"][0]
UNLABELLED = read_list("la_uamt_8lab")["unlabelled"][0]
STOPPED: dict[str, tuple[Verb, str]] = {
    "archive of another dataset": (
        import_of("flare22", zipped("img0001.nii.gz"), "RawData.zip"),
        r"RawData\.zip holds no file of flare22: .* bring",
    ),
    "folder of another dataset": (
        import_of("la", lambda folder: nifti(folder / f"{FLARE}_0000.nii.gz")),
        "brought holds no file of la: register",
    ),
    "prepared slices for scans": (
        import_of("btcv", zipped("case0005_slice000.npz"), "Synapse.zip"),
        r"case0005_slice000\.npz is of TransUNet's prepared slices .*: register",
    ),
    "archive cut off": (
        import_of("flare22", zipped(f"{FLARE}_0000.nii.gz", cut_here), "images.zip"),
        r"images\.zip is damaged or cut short .*: fetch the archive again",
    ),
    "archive with a flipped bit": (
        import_of("flare22", zipped(f"{FLARE}_0000.nii.gz", flip_here), "images.zip"),
        r"images\.zip: member .* is damaged or cut short .*: fetch the archive again",
    ),
    "two generations in one folder": (
        import_of("flare22", two_copies),
        "2021.* and .*2022.* differ, and both would become .*: .* give a source that holds one",
    ),
    "no such folder": (import_of("la", lambda folder: None), "brought does not exist: give the folder or archive"),
    "no such dataset": (import_of("lits", lambda folder: None), "unknown dataset 'lits'.* flare22"),
    "a dataset that is drawn": (import_of("phantom", two_copies), "phantom cannot be imported: "),
    "a prepared scan with NaN": (import_of("la", spoilt_scan), r"mri_norm2\.h5.* NaN or infinite: fetch it again"),
    "nothing brought yet": (raw_of("mmwhs"), "no data for mmwhs: register .* `semiseg import mmwhs FOLDER_OR_ARCHIVE`"),
    "two forms of a dataset": (
        raw_of("la", "A/mri_norm2.h5", "B/lgemri.nrrd"),
        r"made mixes mri_norm2\.h5 \(A\) and lgemri\.nrrd \(B\): keep one form, remove the other",
    ),
    "two generations of folders": (
        raw_of("amos22", "imagesTr/amos_0001.nii.gz", "imagesVa/amos_0001.nii.gz"),
        "holds two images of case amos_0001, imagesTr/.* and imagesVa/.*, expected one: remove the other",
    ),
    "a case in two folders": (
        raw_of("flare22", f"a/{FLARE}_0000.nii.gz", f"b/{FLARE}_0000.nii.gz"),
        rf"holds two images of case {FLARE}, a/.* and b/.*, expected one: remove the other",
    ),
    "a case in two grades": (
        raw_of(
            "brats19", *(f"{grade}/BraTS19_CBICA_AAP_1/BraTS19_CBICA_AAP_1_flair.nii.gz" for grade in ("HGG", "LGG"))
        ),
        "holds two images of case BraTS19_CBICA_AAP_1, HGG/.* and LGG/.*, expected one: remove the other",
    ),
    "another year's cases": (
        raw_of("flare22", f"{FLARE}_0000.nii.gz", "FLARE23_0001_0000.nii.gz", "amos_0001_0000.nii.gz"),
        "expected files of FLARE22 only",
    ),
    "damaged manifest": (damaged_manifest, r"manifest\.json is not valid JSON .*: delete it and build it again"),
    "a labelled case without label": (
        split_of(lambda raw: (raw / LABELLED / "laendo.nrrd").unlink()),
        rf"split 8lab of la: cases without a label cannot be labelled, val or test \({LABELLED}\): add labels",
    ),
    "a label without image": (
        split_of(lambda raw: (raw / UNLABELLED / "lgemri.nrrd").unlink()),
        rf"split 8lab of la: 1 of 100 cases are not in the raw data \({UNLABELLED}\): import them",
    ),
    "too few cases for a drawn split": (
        split_of(lambda raw: None, draw={"labelled": 90, "unlabelled": 0, "val": 10, "test": 10, "seed": 1}),
        "split 8lab of la: needs 110 cases with a label, the dataset has 100: ask for fewer",
    ),
}


@pytest.mark.parametrize(("verb", "sentence"), STOPPED.values(), ids=STOPPED.keys())
def test_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], verb: Verb, sentence: str
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(PARAMS, "params.yaml")
    arguments = verb(tmp_path)
    capfd.readouterr()
    assert main(arguments) == 2
    one_sentence(printed(capfd), f"^error: .*{sentence}")
    assert not Path(OUT).exists()
    assert not [path for path in Path("data").rglob("*") if path.is_file()]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mounts a small disk with the given options."""
    root("mounting a disk")
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(options: str) -> Path:
        if subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True).returncode:
            skip("mounts", "mounting a tmpfs is not allowed here")
        return folder

    yield mount
    subprocess.run(["umount", folder], capture_output=True)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [("size=4k", "no space left on the disk while writing .*: free some"), ("ro", "cannot write .*permissions")],
)
@pytest.mark.parametrize("verb", ["import", "raw", "prepare"])
def test_disks_that_take_nothing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    disk: Callable[[str], Path],
    verb: str,
    options: str,
    sentence: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(PARAMS, "params.yaml")
    good("phantom", tmp_path / "raw")
    arguments = raw_of("phantom", extra=lambda made: None)(tmp_path)
    if verb == "prepare":
        assert main([*arguments[:-1], "raw/manifest.json"]) == 0
        spec = {"dataset": "phantom", "name": "plain", "preparation": PLAIN}
        arguments = ["prepare", "--spec", json.dumps(spec), "--raw", "raw/manifest.json", "--out", "disk/a/index.json"]
    elif verb == "import":
        nifti(tmp_path / "brought" / f"{FLARE}_0000.nii.gz")
        (tmp_path / "data").symlink_to("disk")
        arguments = ["import", "flare22", "brought"]
    else:
        generate = {"seed": 1, "labelled": 1, "unlabelled": 0, "size": 48}
        arguments = [
            "raw",
            "--spec",
            json.dumps(raw_spec("phantom", generate=generate)),
            "--out",
            "disk/a/manifest.json",
        ]
    folder = disk(options)
    capfd.readouterr()
    assert main(arguments) == 2
    one_sentence(printed(capfd), f"^error: {sentence}")
    assert not [path for path in folder.rglob("*") if path.is_file()]


def zenodo(size: int, checksum: str) -> dict[str, Any]:
    content = f"{API}/{RECORD}/files/{ARCHIVE}/content"
    return {"files": [{"key": ARCHIVE, "size": size, "checksum": checksum, "links": {"self": content}}]}


SERVERS: dict[str, tuple[Any, str]] = {
    "no such record": (None, "/zenodo.org/api/records/.* answers 404 .*: open the address in a browser"),
    "another record": ({"files": []}, rf"lists no file, expected {ARCHIVE}: look for a newer version"),
    "another kind of answer": ([1], "record.*: download .* `semiseg import`"),
    "file that is gone": (zenodo(9, "md5:0"), rf"{ARCHIVE}/content answers 404 .*: open the address in a browser"),
}


@pytest.mark.parametrize(("record", "sentence"), SERVERS.values(), ids=SERVERS.keys())
def test_servers_that_give_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], record: Any, sentence: str
) -> None:
    served, out = tmp_path / "served", tmp_path / "data" / "archives" / "flare22" / "list.json"
    served.mkdir()
    if record is not None:
        write_json(served / API.removeprefix("https://") / f"{RECORD}" / "index.json", record)
    with serve(served) as base:
        spec = {"dataset": "flare22", "mirror": base, "standin": False}
        assert main(["download", "--spec", json.dumps(spec), "--out", str(out)]) == 2
    one_sentence(printed(capfd), f"^error: .*{sentence}")
    assert not [path for path in out.parent.glob("*") if path.is_file()]


def test_a_proxy_that_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    spec = {"dataset": "flare22", "mirror": "http://files.example", "standin": False}
    assert main(["download", "--spec", json.dumps(spec), "--out", str(tmp_path / "list.json")]) == 2
    one_sentence(printed(capfd), "^error: .*cannot be reached through the proxy .*: correct or unset HTTP_PROXY")


def test_a_checksum_that_does_not_fit(tmp_path: Path) -> None:
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "a.zip").write_bytes(b"other bytes")
    with serve(tmp_path / "served") as base:
        file = RemoteFile("a.zip", f"{base}/a.zip", 11, "md5:" + "0" * 32)
        with pytest.raises(UserError, match=r"a\.zip.* gave other bytes than published \(md5 .*, given up .*run again"):
            fetch_all([file], tmp_path / "got", patience=Patience(attempts=2, first_wait_s=0))
    assert not list((tmp_path / "got").glob("a.zip*"))
