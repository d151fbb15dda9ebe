"""Datasets of one's own: nnU-Net's folders and pairs of equal names, read as they are or refused in one sentence."""

import json
import re
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import yaml
from support import ROOT
from support.raw_forms import AFFINE, block, ct

from semiseg.base.errors import UserError
from semiseg.base.volume import Volume
from semiseg.data.images import write_nifti
from semiseg.data.layouts import nifti_pairs, nnunet
from semiseg.data.raw_case import read_case
from semiseg.dataset import Dataset, Organ, RawCase
from semiseg.graph.plan import Plan
from semiseg.params.reading import parse_params

ORGANS = (Organ(1, "liver", "Liv"), Organ(2, "left kidney", "L.kid"))
MINE = nnunet("mine", title="Mine", modality="CT", organs=ORGANS)
PAIRS = nifti_pairs("mine", title="Mine", modality="CT", organs=ORGANS)
V2: dict[str, Any] = {
    "channel_names": {"0": "CT"},
    "labels": {"background": 0, "liver": 1, "Left_kidney": 2},
    "numTraining": 2,
    "file_ending": ".nii.gz",
}
V1 = {"modality": {"0": "CT"}, "labels": {"0": "background", "1": "liver", "2": "left kidney"}, "training": []}


def write(folder: Path, *names: str) -> Path:
    """Images and label maps by the names of their folders."""
    for name in names:
        write_nifti(folder / name, Volume(block((1, 2)) if "label" in name else ct(), AFFINE))
    return folder


def described(folder: Path, content: Mapping[str, Any]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "dataset.json").write_text(json.dumps(content))
    return folder


def brought(kind: Dataset, source: Path, raw: Path) -> list[RawCase]:
    assert kind.import_from is not None
    kind.import_from(source, raw, None)
    return kind.find(raw)


@pytest.mark.parametrize("description", [V2, V1], ids=["v2", "v1"])
def test_nnunets_folders(tmp_path: Path, description: Mapping[str, Any]) -> None:
    source = tmp_path / "Dataset011_Mine"
    write(
        source, "imagesTr/a_0000.nii.gz", "imagesTr/b_0000.nii.gz", "imagesTs/c_0000.nii.gz", "imagesTs/d_0000.nii.gz"
    )
    write(described(source, description), "labelsTr/a.nii.gz", "labelsTs/c.nii.gz")
    (source / "imagesTr" / "._a_0000.nii.gz").write_bytes(b"macOS")
    (source / "imagesTr" / "notes.txt").write_text("words")
    cases = brought(MINE, source, tmp_path / "raw")
    assert cases == [
        RawCase("a", "imagesTr/a_0000.nii.gz", "labelsTr/a.nii.gz"),
        RawCase("b", "imagesTr/b_0000.nii.gz", None),
        RawCase("c", "imagesTs/c_0000.nii.gz", "labelsTs/c.nii.gz"),
        RawCase("d", "imagesTs/d_0000.nii.gz", None),
    ]
    scan = read_case(MINE, cases[0], tmp_path / "raw")
    assert (scan.image == ct()).all() and scan.label is not None and (scan.label == block((1, 2))).all()


def test_names_of_cases_may_end_with_digits(tmp_path: Path) -> None:
    write(tmp_path, "imagesTr/BRATS_0001_0000.nii.gz", "labelsTr/BRATS_0001.nii.gz")
    assert MINE.find(tmp_path) == [
        RawCase("BRATS_0001", "imagesTr/BRATS_0001_0000.nii.gz", "labelsTr/BRATS_0001.nii.gz")
    ]


def test_files_of_other_forms(tmp_path: Path) -> None:
    """NRRD, and NIfTI that is not packed; one form for images, another for label maps."""
    image = sitk.GetImageFromArray(ct().transpose(2, 1, 0))
    image.SetSpacing((2, 2.5, 4))
    (tmp_path / "imagesTr").mkdir()
    sitk.WriteImage(image, str(tmp_path / "imagesTr" / "a_0000.nrrd"))
    with zipfile.ZipFile(tmp_path / "mine.zip", "w") as archive:
        archive.write(tmp_path / "imagesTr" / "a_0000.nrrd", "x/imagesTr/a_0000.nrrd")
    cases = brought(MINE, tmp_path / "mine.zip", tmp_path / "raw")
    assert cases == [RawCase("a", "imagesTr/a_0000.nrrd", None)]
    assert (read_case(MINE, cases[0], tmp_path / "raw").image == ct()).all()


def test_endings_in_capitals_and_a_mark_before_the_description(tmp_path: Path) -> None:
    source = write(tmp_path / "copy", "imagesTr/a_0000.nii.gz", "labelsTr/a.nii.gz")
    (source / "imagesTr" / "a_0000.nii.gz").rename(source / "imagesTr" / "a_0000.NII.GZ")
    (source / "dataset.json").write_text(json.dumps(V2), encoding="utf-8-sig")
    (case,) = cases = brought(MINE, source, tmp_path / "raw")
    assert cases == [RawCase("a", "imagesTr/a_0000.NII.GZ", "labelsTr/a.nii.gz")]
    assert (read_case(MINE, case, tmp_path / "raw").image == ct()).all()


@pytest.mark.parametrize("channels", [None, [], ["CT"], "CT", {"0": "CT"}])
def test_forms_of_the_one_channel(tmp_path: Path, channels: Any) -> None:
    described(write(tmp_path, "imagesTr/a_0000.nii.gz"), {**V2, "channel_names": channels})
    assert [case.id for case in MINE.find(tmp_path)] == ["a"]


def test_pairs_of_equal_names(tmp_path: Path) -> None:
    write(tmp_path / "copy", "images/a.nii.gz", "images/b_0001.nii.gz", "labels/a.nii.gz")
    cases = brought(PAIRS, tmp_path / "copy", tmp_path / "raw")
    assert cases == [
        RawCase("a", "images/a.nii.gz", "labels/a.nii.gz"),
        RawCase("b_0001", "images/b_0001.nii.gz", None),
    ]
    assert (read_case(PAIRS, cases[0], tmp_path / "raw").image == ct()).all()


def text(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("x")


Fill = Callable[[Path], object]
GOOD = ("imagesTr/a_0000.nii.gz", "labelsTr/a.nii.gz")
REFUSED: dict[str, tuple[Fill, str]] = {
    "a second channel": (
        lambda folder: write(folder, *GOOD, "imagesTr/a_0001.nii.gz"),
        r"imagesTr/a_0001\.nii\.gz is channel 1 of case a by its name, expected one channel a case \(_0000\): leave",
    ),
    "two channels by the description": (
        lambda folder: described(write(folder, *GOOD), {**V2, "channel_names": {"0": "T1", "1": "T2"}}),
        r"dataset\.json has 2 channels \(T1, T2\), expected one",
    ),
    "two channels by a description of v1": (
        lambda folder: described(write(folder, *GOOD), {**V1, "modality": {"0": "FLAIR", "1": "T1w"}}),
        r"has 2 channels \(FLAIR, T1w\)",
    ),
    "another modality": (
        lambda folder: described(write(folder, *GOOD), {**V2, "channel_names": {"0": "MRI"}}),
        r"has the channel MRI, src/semiseg/datasets/mine\.py the modality CT: correct one of them",
    ),
    "other organs": (
        lambda folder: described(write(folder, *GOOD), {**V2, "labels": {"background": 0, "liver": 2, "spleen": 1}}),
        r"has labels 1 spleen, 2 liver, src/semiseg/datasets/mine\.py has organs 1 liver, 2 left kidney: make them",
    ),
    "fewer organs": (
        lambda folder: described(write(folder, *GOOD), {**V2, "labels": {"background": 0, "liver": 1}}),
        "has labels 1 liver, .* has organs 1 liver, 2 left kidney",
    ),
    "a region": (
        lambda folder: described(write(folder, *GOOD), {**V2, "labels": {"background": 0, "liver": [1, 2]}}),
        "liver is a region of several labels, which is not read: list single labels",
    ),
    "a label that is ignored": (
        lambda folder: described(write(folder, *GOOD), {**V2, "labels": {**V2["labels"], "ignore": 3}}),
        "label 'ignore' is 3, expected an organ and its id",
    ),
    "files that are listed elsewhere": (
        lambda folder: described(write(folder, *GOOD), {**V2, "dataset": {"a": {"images": ["x"]}}}),
        "lists files by its key dataset, which is not read",
    ),
    "another ending": (
        lambda folder: described(write(folder, *GOOD), {**V2, "file_ending": ".nrrd"}),
        r"has file_ending '\.nrrd', and imagesTr/a_0000\.nii\.gz ends otherwise",
    ),
    "no labels": (lambda folder: described(write(folder, *GOOD), {"name": "x"}), "has no labels, expected nnU-Net's"),
    "a broken description": (
        lambda folder: (write(folder, *GOOD) / "dataset.json").write_text("{"),
        r"dataset\.json is not valid JSON .*: correct it or take it away",
    ),
    "an id that is no decimal number": (
        lambda folder: described(write(folder, *GOOD), {**V2, "labels": {**V2["labels"], "Left_kidney": "\u00b2"}}),
        "label 'Left_kidney' is '\u00b2', expected an organ and its id",
    ),
    "a name without channel": (
        lambda folder: write(folder, "imagesTr/a.nii.gz", "labelsTr/a.nii.gz"),
        r"imagesTr/a\.nii\.gz has no channel in its name, .*: rename it, or use nifti_pairs",
    ),
    "two images of a case": (
        lambda folder: write(folder, *GOOD, "imagesTs/a_0000.nii.gz"),
        r"two images of case a, imagesTr/a_0000\.nii\.gz and imagesTs/a_0000\.nii\.gz, expected one",
    ),
    "two label maps of a case": (
        lambda folder: write(folder, *GOOD, "labelsTr/a.nii"),
        r"two label maps of case a, labelsTr/a\.nii and labelsTr/a\.nii\.gz, expected one",
    ),
    "a label map without image": (
        lambda folder: write(folder, *GOOD, "labelsTr/A.nii.gz"),
        r"holds label maps without an image \(labelsTr/A\.nii\.gz\): bring the images, or rename them",
    ),
    "a format that is not read": (
        lambda folder: (write(folder, *GOOD) / "imagesTr" / "b_0000.mha").write_text("x"),
        r"imagesTr/b_0000\.mha is of a format that is not read, expected \.nii\.gz, \.nii, \.nrrd: convert it",
    ),
    "a format that is not read, packed": (
        lambda folder: (write(folder, *GOOD) / "imagesTr" / "b_0000.nii.bz2").write_text("x"),
        r"imagesTr/b_0000\.nii\.bz2 is of a format that is not read",
    ),
    "a format of FreeSurfer": (
        lambda folder: (write(folder, *GOOD) / "labelsTr" / "a.MGZ").write_text("x"),
        r"labelsTr/a\.MGZ is of a format that is not read",
    ),
    "a folder named like the file in it": (
        lambda folder: write(folder, *GOOD, "imagesTr/b_0000.nii.gz/b_0000.nii.gz"),
        r"b_0000\.nii\.gz/b_0000\.nii\.gz lies in a folder below imagesTr, expected the files directly in imagesTr",
    ),
    "slices in a folder": (
        lambda folder: text(write(folder, *GOOD) / "imagesTr" / "b" / "1.dcm"),
        r"imagesTr/b/1\.dcm is of a format that is not read",
    ),
    "no case": (
        lambda folder: write(folder, "images/a.nii.gz"),
        "holds no (file|case) of mine: bring a folder in nnU-Net",
    ),
}


@pytest.mark.parametrize(("fill", "sentence"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_refused(tmp_path: Path, fill: Fill, sentence: str) -> None:
    """In a raw folder that was filled by hand, and in a copy that is imported."""
    (tmp_path / "mine").mkdir()
    fill(tmp_path / "mine")
    for act in (lambda: MINE.find(tmp_path / "mine"), lambda: brought(MINE, tmp_path / "mine", tmp_path / "raw")):
        with pytest.raises(UserError, match=sentence) as caught:
            act()
        assert "\n" not in str(caught.value)


def test_optional_fields_are_the_datasets(tmp_path: Path) -> None:
    kind = nnunet(
        "mine", title="M", modality="MRI", organs=ORGANS, licence="ours", notes=("old",), patient=lambda case: case[:2]
    )
    assert (kind.licence, kind.citation, kind.notes, kind.patient("p1_2")) == ("ours", "not stated", ("old",), "p1")


def blocks(language: str) -> list[str]:
    page = (ROOT / "docs/add-a-dataset.md").read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", page, re.M | re.S)


@pytest.mark.parametrize(("number", "image"), [(0, "imagesTr/a_0000.nii.gz"), (1, "images/a.nii.gz")])
def test_the_files_of_the_page_read_data(tmp_path: Path, number: int, image: str) -> None:
    code = blocks("python")[number]
    assert len([line for line in code.splitlines() if line.strip()]) <= 10
    names: dict[str, Any] = {}
    exec(code, names)
    write(tmp_path, image)
    assert names["DATASET"].find(tmp_path) == [RawCase("a", image, None)]


def test_the_entries_of_the_page_are_valid() -> None:
    """With a dataset that exists in the place of the reader's own."""
    (entries,) = blocks("yaml")
    plan = Plan(parse_params({"methods": {}, **yaml.safe_load(entries.replace("mine", "phantom"))}))
    (table,) = plan.params.tables
    assert len(plan.table(table).rows) == 4 and not plan.skipped(table)
    assert all(np.array(plan.protocol("liver").training.patch) % 16 == 0)


def test_the_page_trains_ten_steps_on_the_data_themselves_and_replaces_no_run() -> None:
    """The order of spacing and patch, and the command for a dataset without a stand-in, belong to the entries above."""
    page = (ROOT / "docs/add-a-dataset.md").read_text(encoding="utf-8")
    entries = yaml.safe_load(blocks("yaml")[0])
    protocol, preparation = entries["protocols"]["liver"], entries["preparations"]["liver"]
    spacing = next(step["spacing"] for step in preparation["steps"] if step["step"] == "resample")
    assert preparation["axes"] == "zyx" and f"z y x: a spacing of `{spacing}` has its slices {spacing[2]} mm" in page
    assert f"a patch of `{protocol['training']['patch']}` has {protocol['training']['patch'][0]} of them" in page
    run, given = re.findall(r"^snakemake results/runs/(\S+)/cases\.csv --config \"protocols=(.*)\"$", page, re.M)[0]
    dataset, name, split, method, seed = run.split("/")
    table = entries["tables"]["liver_4"]
    assert (table["dataset"], table["protocol"], table["split"]) == (dataset, name, split) and method in table["rows"]
    assert int(seed.removeprefix("seed")) not in table["seeds"]
    few = yaml.safe_load(given)[name]["training"]
    protocol["training"] |= {**few, "validation": protocol["training"]["validation"] | few["validation"]}
    text = yaml.safe_dump({"methods": {}, **entries}).replace("mine", "phantom")
    assert Plan(parse_params(yaml.safe_load(text))).protocol(name).training.iterations == 10


def test_the_page_lists_every_preparation_step() -> None:
    steps = re.findall(
        r"^## `preparations.* with `step: (\w+)`", (ROOT / "docs/params.md").read_text(encoding="utf-8"), re.M
    )
    page = (ROOT / "docs/add-a-dataset.md").read_text(encoding="utf-8")
    assert (
        steps
        and [step for step in steps if f"[`{step}`](params.md#preparationsnamesteps-with-step-{step})" not in page]
        == []
    )
