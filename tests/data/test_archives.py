"""Archives from elsewhere: what is read, and every attack and damage refused by the member's name."""

import bz2
import gzip
import io
import lzma
import random
import re
import stat
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from semiseg.base.errors import UserError
from semiseg.data.arrival.archives import Limits, members

CONTENT = {"a/img 1.nii.gz": b"one" * 1000, "b/Bild-Ä.nii.gz": bytes(range(256)) * 50, "b/LEER": b""}
NOISE = random.Random(1).randbytes(200_000)


def make_zip(path: Path, content: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.mkdir("a")
        for name, data in content.items():
            archive.writestr(name, data)
    return path


def make_tar(path: Path, content: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:" + ("" if path.suffix == ".tar" else "gz")) as archive:
        folder = tarfile.TarInfo("a")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for name, data in content.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


MAKE: dict[str, Callable[[Path, dict[str, bytes]], Path]] = {"zip": make_zip, "tar": make_tar, "tar.gz": make_tar}
KINDS = pytest.mark.parametrize("kind", MAKE)


def made(tmp_path: Path, kind: str, content: dict[str, bytes]) -> Path:
    return MAKE[kind](tmp_path / f"archive.{kind}", content)


def read(path: Path, **limits: Any) -> dict[str, bytes]:
    with path.open("rb") as file:
        return {str(m.name): b"".join(m.chunks()) for m in members(file, path.name, Limits(**limits))}


def refused(path: Path, message: str, **limits: Any) -> None:
    with pytest.raises(UserError, match=message) as caught:
        read(path, **limits)
    assert path.name in str(caught.value) and "\n" not in str(caught.value)


@KINDS
def test_files_are_read_as_they_are(tmp_path: Path, kind: str) -> None:
    assert read(made(tmp_path, kind, CONTENT)) == CONTENT


@KINDS
def test_a_member_need_not_be_read(tmp_path: Path, kind: str) -> None:
    path = made(tmp_path, kind, CONTENT)
    with path.open("rb") as file:
        sizes = {str(member.name): member.size for member in members(file, path.name)}
    assert sizes == {name: len(data) for name, data in CONTENT.items()}


@KINDS
@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tar.gz", "a.tgz", "a", "a.nii.gz"])
def test_the_content_decides_and_not_the_name(tmp_path: Path, kind: str, name: str) -> None:
    """Browsers unpack .gz on the way, and people rename."""
    assert read(made(tmp_path, kind, CONTENT).rename(tmp_path / name)) == CONTENT


def test_archives_of_unusual_forms(tmp_path: Path) -> None:
    old = tarfile.TarInfo("a")
    old.size = 1
    block = bytearray(old.tobuf(tarfile.USTAR_FORMAT))
    block[257:265] = bytes(8)  # as tar wrote it before POSIX, without a mark
    block[148:156] = b"%06o\0 " % (sum(block[:148]) + 8 * 32 + sum(block[156:512]))
    (tmp_path / "old.tar").write_bytes(bytes(block) + b"x".ljust(512, b"\0") + bytes(1024))
    assert read(tmp_path / "old.tar") == {"a": b"x"}
    (tmp_path / "with_program.zip").write_bytes(b"MZ" * 500 + make_zip(tmp_path / "a.zip", CONTENT).read_bytes())
    assert read(tmp_path / "with_program.zip") == CONTENT
    with tarfile.open(tmp_path / "pax.tar", "w", format=tarfile.PAX_FORMAT, pax_headers={"comment": "x"}) as archive:
        archive.addfile(tarfile.TarInfo("a" * 300))
    assert read(tmp_path / "pax.tar") == {"a" * 300: b""}


UNREAD: dict[str, tuple[bytes, str]] = {
    "a.tar.bz2": (bz2.compress(b"x"), "is of the kind bzip2, which is not read .*: unpack it yourself"),
    "a.tar.xz": (lzma.compress(b"x"), "kind xz"),
    "a.tar.lzma": (lzma.compress(b"x", lzma.FORMAT_ALONE), "kind lzma"),
    "a.7z": (b"7z\xbc\xaf\x27\x1c" + NOISE, "kind 7z"),
    "a.rar": (b"Rar!\x1a\x07\x01\x00" + NOISE, "kind rar"),
    "a.tar.zst": (b"\x28\xb5\x2f\xfd" + NOISE, "kind zstandard"),
    "a.tar.Z": (b"\x1f\x9d\x90" + NOISE, r"kind compress \(\.Z\)"),
    "a.zip": (bz2.compress(b"x"), "kind bzip2"),
    "a.tar.gz": (gzip.compress(gzip.compress(tarfile.TarInfo("a").tobuf())), "kind gzip of tar.gz"),
    "b.tar.gz": (gzip.compress(NOISE), "is one file packed by gzip and no archive: give the folder that holds it"),
    "a.z01": (b"PK\x07\x08PK\x03\x04" + NOISE, "part of a split archive"),
    "a.zip.001": (b"PK\x03\x04" + NOISE, "part of a split archive"),
}


@pytest.mark.parametrize("name", UNREAD)
def test_kinds_that_are_not_read_are_named(tmp_path: Path, name: str) -> None:
    content, message = UNREAD[name]
    (tmp_path / name).write_bytes(content)
    refused(tmp_path / name, message)


def test_the_last_part_of_a_split_zip(tmp_path: Path) -> None:
    whole = bytearray(make_zip(tmp_path / "a.zip", CONTENT).read_bytes())
    end = whole.rindex(b"PK\x05\x06")
    whole[end + 4 : end + 8] = struct.pack("<HH", 2, 2)
    (tmp_path / "a.zip").write_bytes(whole)
    refused(tmp_path / "a.zip", "part of a split archive")


def test_names_that_are_not_utf8(tmp_path: Path) -> None:
    """As bytes of a Latin-1 machine. UTF-8 counts where a zip states no encoding, as the Finder of macOS writes it."""
    name = "Müller".encode("latin-1").decode("utf-8", "surrogateescape")
    for kind in ("tar", "tar.gz"):
        with tarfile.open(
            tmp_path / f"a.{kind}", "w:gz" if kind == "tar.gz" else "w", format=tarfile.GNU_FORMAT
        ) as tar:
            tar.addfile(tarfile.TarInfo(name))
        assert read(tmp_path / f"a.{kind}") == {name: b""}
    written = make_zip(tmp_path / "stated.zip", {"M\u00fcller": b"x"}).read_bytes()
    for raw, expected in (("Müller".encode(), "Müller"), (b"M\xfcller\xfc", name + "\udcfc")):
        unstated = bytearray(written.replace("Müller".encode(), raw.ljust(7, b"_")))
        for start, flag in ((b"PK\x03\x04", 7), (b"PK\x01\x02", 9)):
            for found in re.finditer(re.escape(start), written):
                unstated[found.start() + flag] &= ~8
        (tmp_path / "unstated.zip").write_bytes(unstated)
        assert read(tmp_path / "unstated.zip") == {expected: b"x"}
    (tmp_path / "stated.zip").write_bytes(written.replace("Müller".encode(), b"M\xfcller_"))
    refused(tmp_path / "stated.zip", r"member b'M\\xfcller_' has a name that is not UTF-8: unpack it yourself, rename")


EVIL_NAMES = {
    "/etc/passwd": "has an absolute path",
    "\\windows\\system.ini": "has an absolute path",
    "C:/temp/x": "has an absolute path",
    "c:x": "has an absolute path",
    "../x": "points out of the archive",
    "a/../../x": "points out of the archive",
    "a\\..\\..\\x": "points out of the archive",
}


@KINDS
@pytest.mark.parametrize("name", EVIL_NAMES)
def test_names_that_point_elsewhere(tmp_path: Path, kind: str, name: str) -> None:
    path = made(tmp_path, kind, {"good": b"x", name: b"x"})
    refused(path, f"{re.escape(repr(name))} {EVIL_NAMES[name]}")


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_nothing_is_given_before_all_names_are_known(tmp_path: Path, kind: str) -> None:
    path = made(tmp_path, kind, {"good": b"x", "../x": b"x"})
    with path.open("rb") as file, pytest.raises(UserError, match=r"'\.\./x' points out"):
        next(members(file, path.name))


@KINDS
@pytest.mark.parametrize(
    ("one", "other"), [("a/Case.nii", "a/case.nii"), ("straße", "STRASSE"), ("\u00e4.nii", "a\u0308.nii")]
)
def test_names_equal_but_for_case_or_accents(tmp_path: Path, kind: str, one: str, other: str) -> None:
    refused(made(tmp_path, kind, {one: b"1", other: b"2"}), f"{other}' occurs beside '{one}', equal but for case")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_that_occurs_twice(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("x", b"1")
        archive.writestr("x", b"2")
    refused(tmp_path / "a.zip", "'x' occurs twice")
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        tar.addfile(tarfile.TarInfo("x"))
        tar.addfile(tarfile.TarInfo("./x"))
    refused(tmp_path / "a.tar", "'x' occurs twice")


TAR_KINDS = {
    tarfile.SYMTYPE: "link",
    tarfile.LNKTYPE: "link",
    tarfile.CHRTYPE: "device, pipe",
    tarfile.BLKTYPE: "device, pipe",
    tarfile.FIFOTYPE: "device, pipe",
    tarfile.GNUTYPE_SPARSE: "sparse",
}


LETS_PASS = {
    "an absolute name": ("/etc/passwd", tarfile.REGTYPE, "has an absolute path"),
    "a drive letter": ("C:/temp/x", tarfile.REGTYPE, "has an absolute path"),
    "a way out by backslashes": ("a\\..\\..\\x", tarfile.REGTYPE, "points out of the archive"),
    "a link inside": ("x", tarfile.SYMTYPE, "is a link"),
    "a sparse file": ("x", tarfile.GNUTYPE_SPARSE, "sparse"),
}


@pytest.mark.skipif(not hasattr(tarfile, "data_filter"), reason="versions: Python before 3.11.4 has no filter")
@pytest.mark.parametrize("what", LETS_PASS)
def test_the_filter_of_tarfile_lets_pass_what_is_refused_here(tmp_path: Path, what: str) -> None:
    """Why names and kinds are checked by code of our own (docs/dependencies.md)."""
    name, kind, message = LETS_PASS[what]
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, "good"
    assert not Path(tarfile.data_filter(info, str(tmp_path)).name).is_absolute()
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        archive.addfile(info)
    refused(tmp_path / "a.tar", message)


@pytest.mark.parametrize("suffix", ["tar", "tar.gz"])
@pytest.mark.parametrize("kind", TAR_KINDS)
def test_tar_members_that_are_no_files(tmp_path: Path, kind: bytes, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    with tarfile.open(path, "w:gz" if suffix == "tar.gz" else "w") as archive:
        info = tarfile.TarInfo("evil")
        info.type, info.linkname = kind, "/etc/passwd"
        archive.addfile(info)
    refused(path, f"'evil' is a .*{TAR_KINDS[kind]}")


@pytest.mark.parametrize(("mode", "word"), [(stat.S_IFLNK, "link"), (stat.S_IFIFO, "pipe"), (stat.S_IFCHR, "device")])
def test_zip_members_that_are_no_files(tmp_path: Path, mode: int, word: str) -> None:
    info = zipfile.ZipInfo("evil")
    info.create_system, info.external_attr = 3, (mode | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(info, "/etc/passwd")
    refused(tmp_path / "a.zip", f"'evil' is a .*{word}")


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_bombs_by_ratio(tmp_path: Path, kind: str) -> None:
    path = made(tmp_path, kind, {"bomb.nii": bytes(4_000_000)})
    refused(path, "'bomb.nii' .*more than 900 times", ratio=900.0, ratio_from_bytes=1 << 20)
    assert read(path) == {"bomb.nii": bytes(4_000_000)}  # small ones pass: an empty label map is one


def test_bombs_of_many_small_members(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", {f"{i:02}.nii": bytes(1_000_000) for i in range(12)})
    refused(path, "'10.nii' with those before .*more than 800 times", ratio=800.0, ratio_from_bytes=8 << 20)


@KINDS
def test_limits_of_size_and_number(tmp_path: Path, kind: str) -> None:
    path = made(tmp_path, kind, {"a": bytes(600), "b": bytes(700), "c": bytes(10)})
    refused(path, "'b' declares 700 bytes, at most 650", member_bytes=650)
    refused(path, "'b' makes the archive declare more than 1200", total_bytes=1200)
    refused(path, "'c' is one of more than 2 members", members=2)


@pytest.mark.parametrize("factor", [-1, 1])
def test_a_zip_that_lies_about_a_size(tmp_path: Path, factor: int) -> None:
    """The real bytes count, not the declared ones: more is cut off and refused, less is refused."""
    path = make_zip(tmp_path / "a.zip", {"x.nii": NOISE})
    declared = struct.pack("<L", len(NOISE))
    path.write_bytes(path.read_bytes().replace(declared, struct.pack("<L", len(NOISE) + factor * 1000)))
    refused(path, "'x.nii' (is damaged|declares 201000 bytes but holds 200000)")
    given = 0
    with path.open("rb") as file, pytest.raises(UserError):
        for member in members(file, path.name):
            for chunk in member.chunks():
                given += len(chunk)
    assert given <= len(NOISE) + min(factor, 0) * 1000


@KINDS
@pytest.mark.parametrize("keep", [0.0, 0.3, 0.9])
def test_archives_cut_short(tmp_path: Path, kind: str, keep: float) -> None:
    path = made(tmp_path, kind, {"a": NOISE, "b": NOISE[::-1]})
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * keep)])
    refused(path, "damaged or cut short")


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_archives_that_lack_their_last_bytes(tmp_path: Path, kind: str) -> None:
    path = made(tmp_path, kind, CONTENT)
    path.write_bytes(path.read_bytes()[:-4])
    refused(path, "damaged or cut short")


def test_a_tar_cut_between_two_members(tmp_path: Path) -> None:
    """tarfile alone takes this for the end."""
    path = make_tar(tmp_path / "a.tar", {"a": bytes(512), "b": bytes(512)})
    for end in (512 + 1024, 512 + 1024 + 100):  # the folder, and a whole: then nothing, or part of a header
        (tmp_path / "cut.tar").write_bytes(path.read_bytes()[:end])
        refused(tmp_path / "cut.tar", "damaged or cut short")


@KINDS
def test_a_flipped_bit(tmp_path: Path, kind: str) -> None:
    path = made(tmp_path, kind, {"a": NOISE})
    whole = bytearray(path.read_bytes())
    whole[600 if kind == "tar" else len(whole) // 2] ^= 4  # a plain tar has a checksum of headers alone
    path.write_bytes(whole)
    refused(path, "damaged or cut short")


@KINDS
def test_a_web_page_under_an_archives_name(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"archive.{kind}"
    path.write_bytes(b"<!DOCTYPE html><html><body>Please log in</body></html>" * 30)
    refused(path, f"archive.{kind} is a web page and no archive: log in")


def test_much_data_after_the_end_of_a_tar(tmp_path: Path) -> None:
    path = make_tar(tmp_path / "a.tar", {"a": b"x"})
    with gzip.open(tmp_path / "b.tar.gz", "wb", compresslevel=1) as file:
        file.write(path.read_bytes() + bytes(20 << 20))
    refused(tmp_path / "b.tar.gz", "bytes after its end")


@KINDS
def test_several_archives_in_one_file(tmp_path: Path, kind: str) -> None:
    """Parts that were joined by ``cat``: the libraries read the first tar alone, or the last zip."""
    one, two = (MAKE[kind](tmp_path / f"{name}.{kind}", {name: NOISE}).read_bytes() for name in "ab")
    joined = tmp_path / f"joined.{kind}"
    joined.write_bytes(one + two)
    refused(joined, f"joined.{kind} has .*, as several archives in one file have: separate them")


def test_encrypted_and_oddly_packed_zips(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", {"x.nii": NOISE})
    whole = path.read_bytes()
    central = whole.rindex(b"PK\x01\x02")
    path.write_bytes(whole[: central + 8] + b"\x01" + whole[central + 9 :])
    refused(path, "'x.nii' is encrypted")
    deflate64 = bytearray(whole)
    deflate64[central + 10] = deflate64[whole.index(b"PK\x03\x04", 10) + 8] = 9
    path.write_bytes(deflate64)
    refused(path, "'x.nii' cannot be unpacked .*unpack it yourself")
