"""Bringing a user's copy: from folder and archives, kept or replaced, and refused without a trace."""

import bz2
import io
import os
import subprocess
import tarfile
import zipfile
from pathlib import Path, PurePosixPath

import pytest

from semiseg.base.errors import UserError
from semiseg.data.arrival.importing import import_files

FILES = {"Imgs/Fall 1.nii.gz": b"one" * 1000, "Imgs/FÄLL-2.nii.gz": b"two" * 3000, "readme.txt": b"not ours"}
BROUGHT = {"images/Fall 1.nii.gz": FILES["Imgs/Fall 1.nii.gz"], "images/FÄLL-2.nii.gz": FILES["Imgs/FÄLL-2.nii.gz"]}


def place(inside: PurePosixPath) -> str | None:
    return f"images/{inside.name}" if inside.name.endswith(".nii.gz") else None


def run(source: Path, raw: Path, **given: object) -> None:
    import_files(source, raw, **{"dataset": "la", "place": place, "get": "bring the images", **given})  # type: ignore[arg-type]


def content(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def write_folder(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def zipped(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def tarred(files: dict[str, bytes], mode: str = "w:gz") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


SOURCES = {
    "folder": FILES,
    "copy.zip": zipped(FILES),
    "copy.tar": tarred(FILES, "w"),
    "copy.tar.gz": tarred(FILES),
    "COPY.TGZ": tarred(FILES),
    "zip in folder": {"My Data/images.zip": zipped(FILES)},
    "tar in folder": {"images.tar.gz": tarred(FILES)},
    "zip in zip": zipped({"x/images.zip": zipped(FILES)}),
    "zip in tar.gz": tarred({"x/images.zip": zipped(FILES)}),
    "tar.gz in zip": zipped({"x/images.tar.gz": tarred(FILES)}),
    "one in a zip, one beside it": {"a.zip": zipped(dict([*FILES.items()][:1])), **dict([*FILES.items()][1:])},
}


def write_source(tmp_path: Path, name: str, given: object) -> Path:
    tmp_path.mkdir(exist_ok=True)
    if isinstance(given, dict):
        return write_folder(tmp_path / name, given)
    suffix = f".{name.split(' in ')[1]}" if " in " in name else ""
    path = tmp_path / f"{name}{suffix}"
    assert isinstance(given, bytes)
    path.write_bytes(given)
    return path


@pytest.mark.parametrize("name", SOURCES)
def test_the_same_from_every_kind_of_source(tmp_path: Path, name: str) -> None:
    raw = tmp_path / "raw"
    run(write_source(tmp_path, name, SOURCES[name]), raw)
    assert content(raw) == BROUGHT
    assert (raw / "images" / "Fall 1.nii.gz").stat().st_mode & 0o777 == 0o644


def test_place_sees_archives_as_folders(tmp_path: Path) -> None:
    seen = set()

    def look(inside: PurePosixPath) -> str | None:
        seen.add(str(inside))
        return place(inside)

    run(write_folder(tmp_path / "a", {"x/images.zip": zipped({"b/1.nii.gz": b"1"})}), tmp_path / "r1", place=look)
    assert "x/images.zip/b/1.nii.gz" in seen
    (tmp_path / "top.zip").write_bytes(zipped({"in.zip": zipped({"b/2.nii.gz": b"2"})}))
    run(tmp_path / "top.zip", tmp_path / "r2", place=look)
    assert "in.zip/b/2.nii.gz" in seen


def test_an_archive_with_a_place_is_not_opened(tmp_path: Path) -> None:
    series = zipped({"1-001.dcm": b"slice"})
    source = write_folder(tmp_path / "tcia", {"x/PANCREAS_0001.zip": series, "labels.zip": zipped({"l.nii.gz": b"l"})})

    def by_name(inside: PurePosixPath) -> str | None:
        return inside.name if inside.name.startswith("PANCREAS") or inside.name == "l.nii.gz" else None

    run(source, tmp_path / "raw", place=by_name)
    assert content(tmp_path / "raw") == {"PANCREAS_0001.zip": series, "l.nii.gz": b"l"}


def test_archives_are_opened_one_level_deep(tmp_path: Path) -> None:
    (tmp_path / "deep.zip").write_bytes(zipped({"a.zip": zipped({"b.zip": zipped({"1.nii.gz": b"1"})})}))
    with pytest.raises(UserError, match=r"holds no file of la: .*: a\.zip: b\.zip \(zip in an archive in an archive\)"):
        run(tmp_path / "deep.zip", tmp_path / "raw")


@pytest.mark.parametrize("name", ["RawData.tar.gz", "RawData.tar", "RawData.zip", "RawData", "RawData.gz"])
@pytest.mark.parametrize("kind", ["copy.zip", "copy.tar", "copy.tar.gz"])
def test_archives_that_are_not_what_their_names_say(tmp_path: Path, name: str, kind: str) -> None:
    data = SOURCES[kind]
    assert isinstance(data, bytes)
    (tmp_path / name).write_bytes(data)
    run(tmp_path / name, tmp_path / "raw")
    run(write_folder(tmp_path / "folder", {name: data}), tmp_path / "raw2")
    run(write_source(tmp_path, "in.zip", zipped({f"x/{name}": data})), tmp_path / "raw3")
    assert [content(tmp_path / raw) for raw in ("raw", "raw2", "raw3")] == [BROUGHT] * 3


def test_archives_of_kinds_that_are_not_read_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    packed = bz2.compress(tarred(FILES, "w"))
    (tmp_path / "RawData.tar.bz2").write_bytes(packed)
    refused(
        tmp_path / "RawData.tar.bz2", tmp_path / "raw", r"RawData\.tar\.bz2 is of the kind bzip2, which is not read"
    )
    folder = write_folder(tmp_path / "copy", {"a/RawData": packed, "b.7z": b"7z\xbc\xaf\x27\x1c"})
    refused(folder, tmp_path / "raw", r"holds no file of la: .* unpack .*: .*b\.7z \(7z\), .*RawData \(bzip2\)")
    (tmp_path / "in.zip").write_bytes(zipped({"b.7z": b"7z\xbc\xaf\x27\x1c"}))
    refused(tmp_path / "in.zip", tmp_path / "raw", r"holds no file of la: .*in\.zip: b\.7z \(7z\)")
    run(write_folder(folder, FILES), tmp_path / "raw")
    assert content(tmp_path / "raw") == BROUGHT
    assert "warning: import la: archives of these kinds are not read" in capsys.readouterr().err


@pytest.mark.parametrize("form", ["folder", "copy.tar", "copy.tar.gz"])
def test_names_that_are_not_utf8(tmp_path: Path, form: str) -> None:
    """Refused where the name would become a file of the dataset, by the file; others do not matter."""
    name = "Müller".encode("latin-1").decode("utf-8", "surrogateescape")
    files = {f"Imgs/{name}.nii.gz": b"x", f"{name}.txt": b"x", **FILES}
    for given, fine in ((files, False), ({f"{name}/{key}": data for key, data in FILES.items()}, True)):
        source = write_source(
            tmp_path / str(fine), form, given if form == "folder" else tarred(given, "w:gz" if "gz" in form else "w")
        )
        if fine:
            run(source, tmp_path / "raw")
            assert content(tmp_path / "raw") == BROUGHT
        else:
            refused(source, tmp_path / "raw", r"Imgs/M\\udcfcller\.nii\.gz has a name that is not UTF-8: .* rename")


def test_files_that_are_there_are_kept_and_others_replaced(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    write_folder(raw, {**BROUGHT, "images/FÄLL-2.nii.gz": b"two" * 2999 + b"owt", "images/other.nii.gz": b"o"})
    os.utime(raw / "images" / "Fall 1.nii.gz", ns=(5, 5))
    (tmp_path / "copy.zip").write_bytes(zipped(FILES))
    run(tmp_path / "copy.zip", raw)
    assert content(raw) == {**BROUGHT, "images/other.nii.gz": b"o"}
    assert (raw / "images" / "Fall 1.nii.gz").stat().st_mtime_ns == 5


def test_a_large_file_that_differs_late_is_replaced(tmp_path: Path) -> None:
    """The member is read once, so its start is taken from the old file."""
    new, raw = bytes(range(256)) * 12_000, tmp_path / "raw"
    write_folder(raw, {"images/a.nii.gz": new[:-1] + b"?"})
    (tmp_path / "copy.tgz").write_bytes(tarred({"a.nii.gz": new}))
    run(tmp_path / "copy.tgz", raw)
    assert content(raw) == {"images/a.nii.gz": new}


def test_only_wanted_files_are_brought(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write_folder(tmp_path / "copy", FILES)
    run(source, tmp_path / "raw", wanted=lambda name: "1" in name)
    assert list(content(tmp_path / "raw")) == ["images/Fall 1.nii.gz"]
    assert "1 files to bring, 0 are there already, 1 not needed by any split" in capsys.readouterr().err


def test_what_a_mac_leaves_is_passed_over(tmp_path: Path) -> None:
    junk = {
        "__MACOSX/Imgs/._Fall 1.nii.gz": b"junk",
        "Imgs/._Fall 1.nii.gz": b"junk",
        ".hidden/x.nii.gz": b"x",
        "Imgs/@eaDir/Fall 1.nii.gz": b"a NAS's",
        "Imgs/Thumbs.db": b"Windows's",
    }
    (tmp_path / "copy.zip").write_bytes(zipped({**junk, **FILES}))
    run(tmp_path / "copy.zip", tmp_path / "raw")
    run(write_folder(tmp_path / "copy", {**junk, **FILES}), tmp_path / "raw2")
    assert content(tmp_path / "raw") == content(tmp_path / "raw2") == BROUGHT


def test_linked_files_and_folders_are_followed(tmp_path: Path) -> None:
    """As users of DVC or git-annex have them; a link back to its own folder ends."""
    store = write_folder(tmp_path / "store", FILES)
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / "all").symlink_to(store)
    (store / "Imgs" / "back").symlink_to(copy)
    seen: set[str] = set()

    def look(inside: PurePosixPath) -> str | None:
        seen.add(str(inside))
        return place(inside)

    run(copy, tmp_path / "raw", place=look)
    assert content(tmp_path / "raw") == BROUGHT
    assert seen == {f"all/{name}" for name in FILES}


# --- refusals: one sentence, and the raw folder as it was ------------------------------------------------------------


def refused(source: Path, raw: Path, message: str, **given: object) -> None:
    before = content(raw) if raw.exists() else None
    with pytest.raises(UserError, match=message) as caught:
        run(source, raw, **given)
    assert "\n" not in str(caught.value)
    assert (content(raw) if raw.exists() else None) == before


@pytest.mark.parametrize("name", ["folder", "wrong.zip", "wrong.tar.gz"])
def test_a_source_of_another_dataset(tmp_path: Path, name: str) -> None:
    other = {"laendo.nrrd": b"x"}
    given = {"folder": other, "wrong.zip": zipped(other), "wrong.tar.gz": tarred(other)}[name]
    refused(write_source(tmp_path, name, given), tmp_path / "raw", "holds no file of la: bring the images")


def test_a_file_that_is_no_archive(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"words")
    refused(tmp_path / "a.txt", tmp_path / "raw", r"a\.txt holds no file of la: bring the images")


def test_two_generations_claim_one_place(tmp_path: Path) -> None:
    old, new = {"2021/1.nii.gz": b"old", "a.nii.gz": b"a"}, {"2022/1.nii.gz": b"new!"}
    source = write_folder(tmp_path / "both", {**old, **new})
    refused(
        source, tmp_path / "raw", r"2021/1\.nii\.gz and .*2022/1\.nii\.gz differ, and both would become .*raw/images/1"
    )
    (tmp_path / "both.zip").write_bytes(zipped({**old, **new}))
    refused(tmp_path / "both.zip", tmp_path / "raw", r"both\.zip: 2021/1\.nii\.gz and .*differ")


def test_two_equal_copies_are_one(tmp_path: Path) -> None:
    source = write_folder(tmp_path / "both", {"x/1.nii.gz": b"same", "y/1.nii.gz": b"same"})
    run(source, tmp_path / "raw")
    run(source, tmp_path / "raw")
    assert content(tmp_path / "raw") == {"images/1.nii.gz": b"same"}


def test_an_older_import_stays_when_a_new_one_is_refused(tmp_path: Path) -> None:
    raw = write_folder(tmp_path / "raw", {"images/1.nii.gz": b"mine"})
    whole = zipped({"1.nii.gz": b"new", "2.nii.gz": bytes(range(256)) * 40})
    (tmp_path / "cut.tgz").write_bytes(tarred({"1.nii.gz": b"new", "2.nii.gz": os.urandom(9000)})[:-900])
    refused(tmp_path / "cut.tgz", raw, r"cut\.tgz.*damaged or cut short")
    (tmp_path / "cut.zip").write_bytes(whole.replace(b"PK\x03\x04", b"PK\x03\x05", 1))
    refused(tmp_path / "cut.zip", raw, r"cut\.zip: member '1\.nii\.gz' is damaged")


def test_unsafe_members_of_a_nested_archive(tmp_path: Path) -> None:
    source = write_folder(tmp_path / "copy", {"a.nii.gz": b"a", "images.zip": zipped({"../evil.nii.gz": b"x"})})
    refused(source, tmp_path / "raw", r"images\.zip: member '\.\./evil\.nii\.gz' points out of the archive")
    (tmp_path / "top.zip").write_bytes(zipped({"in.zip": zipped({"/evil.nii.gz": b"x"})}))
    refused(tmp_path / "top.zip", tmp_path / "raw", r"top\.zip: in\.zip: member '/evil\.nii\.gz' has an absolute path")


def test_a_broken_link(tmp_path: Path) -> None:
    source = write_folder(tmp_path / "copy", FILES)
    (source / "gone.nii.gz").symlink_to(tmp_path / "nowhere")
    refused(source, tmp_path / "raw", r"gone\.nii\.gz cannot be read \(No such file or directory\)")


def test_a_raw_folder_that_is_a_file(tmp_path: Path) -> None:
    source = write_folder(tmp_path / "copy", FILES)
    (tmp_path / "raw").write_text("in the way")
    with pytest.raises(UserError, match=r"cannot write to .*raw"):
        run(source, tmp_path / "raw")


def test_a_read_only_folder(tmp_path: Path, small_disk: Path) -> None:
    """A read-only mount: permissions alone do not stop root."""
    source, raw = write_folder(tmp_path / "copy", FILES), small_disk / "raw"
    raw.mkdir()
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    refused(source, raw, r"cannot write to .*raw \(Read-only file system\): check the folder's permissions")


@pytest.mark.parametrize("nested", [False, True])
def test_a_full_disk(tmp_path: Path, small_disk: Path, nested: bool) -> None:
    raw, noise = small_disk / "raw", {f"{i}.nii.gz": os.urandom(150_000) for i in range(4)}
    data = zipped({"in.zip": zipped(noise)} if nested else noise)
    (tmp_path / "copy.zip").write_bytes(data)
    refused(tmp_path / "copy.zip", raw, "no space left on the disk")
    subprocess.run(["mount", "-o", "remount,size=4m", small_disk], check=True)
    run(tmp_path / "copy.zip", raw)
    assert content(raw) == {f"images/{name}": data for name, data in noise.items()}


def test_what_a_killed_call_left_is_removed(tmp_path: Path) -> None:
    raw = write_folder(tmp_path / "raw", {".incoming/1-a.nii.gz.part": b"half"})
    run(write_folder(tmp_path / "copy", FILES), raw)
    assert content(raw) == BROUGHT
