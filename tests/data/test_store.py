"""Prepared store: crops, bytes read, damage, copies, geometry, determinism, and the way back to the raw grid."""

import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from scipy import ndimage
from support.needs import skip

from semiseg.base.errors import UserError
from semiseg.base.files import sha256
from semiseg.data.geometry import Geometry, spacing_of
from semiseg.data.raw_grid import to_native
from semiseg.data.store import (
    Copied,
    PreparedCase,
    read_geometry,
    read_image,
    read_image_crop,
    read_label,
    read_label_crop,
    read_made_from,
    read_statistics,
    read_voxels,
    write_case,
)

ZYX = np.eye(4)[:, [2, 1, 0, 3]]


def made_case(labelled: bool = True) -> PreparedCase:
    rng = np.random.default_rng(0)
    image = rng.normal(size=(20, 33, 40)).astype(np.float32)
    label = rng.integers(0, 3, image.shape).astype(np.uint8) if labelled else None
    affine = np.array([[0, 0, 1.5, -10], [0, 1.25, 0, 4], [6.0, 0, 0, 7], [0, 0, 0, 1]])
    raw = np.diag([0.75, 0.75, 3.0, 1.0])
    geometry = Geometry((20, 33, 40), spacing_of(affine), affine, "zyx", (80, 55, 40), raw)
    return PreparedCase(image, label, geometry, {"rescale": {"low": -1.5}})


def test_everything_comes_back(tmp_path: Path) -> None:
    case, path = made_case(), tmp_path / "a.h5"
    assert write_case(path, case, "abc", [3, 4, 5]) == sha256(path)
    assert read_image(path).dtype == np.float32 and read_label(path).dtype == np.uint8
    np.testing.assert_array_equal(read_image(path), case.image)
    np.testing.assert_array_equal(read_label(path), case.label)
    geometry = read_geometry(path)
    assert geometry.shape == (20, 33, 40) and geometry.raw_shape == (80, 55, 40) and geometry.axes == "zyx"
    assert geometry.spacing_mm == pytest.approx((6.0, 1.25, 1.5))
    np.testing.assert_array_equal(geometry.affine, case.geometry.affine)
    np.testing.assert_array_equal(geometry.raw_affine, case.geometry.raw_affine)
    assert read_statistics(path) == {"rescale": {"low": -1.5}}
    assert read_made_from(path) == "abc" and read_voxels(path) == [3, 4, 5]


@pytest.mark.parametrize("labelled", [True, False])
@pytest.mark.parametrize("shape", [(20, 33, 40), (2, 3, 2), (3, 700, 5)])
def test_the_arrays_lie_plain_in_an_hdf5_file(tmp_path: Path, shape: tuple[int, int, int], labelled: bool) -> None:
    """h5py alone reads them, and so does a program that knows no HDF5 but the place of the first byte."""
    path, rng = tmp_path / "a.h5", np.random.default_rng(0)
    image, label = rng.normal(size=shape).astype(np.float32), rng.integers(0, 9, shape).astype(np.uint8)
    case = made_case()
    write_case(path, PreparedCase(image, label if labelled else None, case.geometry, case.statistics))
    arrays = {"image": image, **({"label": label} if labelled else {})}
    with h5py.File(path) as file:
        assert set(file) == set(arrays)
        for name, array in arrays.items():
            assert file[name].chunks is None and file[name].compression is None
            np.testing.assert_array_equal(file[name][()], array)
            first = file[name].id.get_offset()
            np.testing.assert_array_equal(np.fromfile(path, array.dtype, array.size, offset=first), array.ravel())
            assert array.nbytes < 4096 or first % 4096 == 0


def turned(array: np.ndarray, turns: int, flips: tuple[int, ...]) -> np.ndarray:
    return np.flip(np.rot90(array, turns), flips)


def test_any_box_is_cut_from_the_padded_volume_in_any_order_of_memory(tmp_path: Path) -> None:
    """Random boxes, some of them outside; as new arrays, and written into the turned view of an array."""
    case, path, border, rng = made_case(), tmp_path / "a.h5", 60, np.random.default_rng(7)
    write_case(path, case)
    padded = [np.pad(case.image, border), np.pad(case.label, border)]
    for _ in range(120):
        start = [int(rng.integers(-50, side + 10)) for side in case.image.shape]
        size = [int(rng.integers(1, 50)) for _ in start]
        turns, flips = int(rng.integers(4)), tuple(axis for axis in range(3) if rng.random() < 0.5)
        box = tuple(slice(first + border, first + border + side) for first, side in zip(start, size, strict=True))
        for read, whole in zip((read_image_crop, read_label_crop), padded, strict=True):
            expected = np.ascontiguousarray(turned(whole[box], turns, flips))
            np.testing.assert_array_equal(read(path, start, size), whole[box])
            out = np.full(expected.shape, 77, whole.dtype)
            view = np.rot90(np.flip(out, flips), -turns)
            assert read(path, start, size, view) is view
            np.testing.assert_array_equal(out, expected)


def counted(name: str) -> int:
    """What the system has counted of this process: read_bytes from disks, or syscr, calls that read."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(name)))


def test_a_crop_reads_its_rows_and_nothing_else_from_the_disk(tmp_path: Path) -> None:
    """At most 1.5 times its own bytes where the stored rows and planes are little longer than its own, as in LA."""
    if not Path("/proc/self/io").exists():
        skip("disk reads", "this system does not count them")
    path, rng = tmp_path / "a.h5", np.random.default_rng(0)
    case = made_case()
    image = rng.normal(size=(60, 150, 88)).astype(np.float32)
    write_case(path, PreparedCase(image, image.astype(np.uint8), case.geometry))
    read_image_crop(path, (0, 0, 0), (2, 2, 2))  # HDF5 is asked once

    def cold(start: tuple[int, int, int], size: tuple[int, int, int]) -> int:
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        return more(start, size)

    def more(start: tuple[int, int, int], size: tuple[int, int, int]) -> int:
        before = counted("read_bytes")
        np.testing.assert_array_equal(
            read_image_crop(path, start, size), image[tuple(slice(a, a + b) for a, b in zip(start, size, strict=True))]
        )
        return counted("read_bytes") - before

    size = (40, 112, 80)
    own = 4 * int(np.prod(size))
    if not cold((10, 20, 4), size):
        skip("disk reads", "the temporary folder's file system is in memory")
    for start in ((10, 20, 4), (0, 0, 0), (20, 38, 8)):
        assert own < cold(start, size) <= 1.5 * own
    narrow = (40, 60, 44)  # half of the row, less than half of the plane
    assert cold((10, 20, 30), narrow) <= 2 * 1.2 * 4 * np.prod(narrow)
    missing = 4 * 40 * 30 * 88  # rows of the second crop that the first does not have
    for first, second in ((10, 40), (40, 10)):
        assert cold((10, first, 4), (40, 80, 80))
        assert missing < more((10, second, 4), (40, 80, 80)) <= 1.5 * missing
    assert more((10, 10, 4), (40, 110, 80)) == 0
    calls = counted("syscr")
    read_image_crop(path, (10, 10, 4), (40, 110, 80))
    assert counted("syscr") - calls < 10, "of 40 planes fewer than every fourth is looked for in memory"


def test_nothing_of_a_file_stays_open_or_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    write_case(path, made_case())
    for _ in range(3):
        read_image_crop(path, (0, 0, 0), (9, 9, 9)), read_label_crop(path, (0, 0, 0), (9, 9, 9)), read_image(path)
    assert str(path) not in Path("/proc/self/maps").read_text()
    assert path not in [link.resolve() for link in Path("/proc/self/fd").iterdir()]


def test_a_file_that_is_replaced_is_read_anew(tmp_path: Path) -> None:
    case, path = made_case(), tmp_path / "a.h5"
    for image in (case.image, case.image + 1, case.image[:, ::-1, :17]):
        write_case(path, PreparedCase(np.ascontiguousarray(image), None, case.geometry))
        np.testing.assert_array_equal(read_image_crop(path, (3, 4, 5), (9, 9, 9)), image[3:12, 4:13, 5:14])


def test_equal_cases_have_equal_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_case(tmp_path / "a.h5", made_case())
    monkeypatch.setattr("time.time", lambda: 0.0)
    write_case(tmp_path / "b.h5", made_case())
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_an_unlabelled_case_has_no_label(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    write_case(path, made_case(labelled=False))
    assert read_voxels(path) is None
    with pytest.raises(UserError, match=r"a\.h5 has no label map"):
        read_label_crop(path, (0, 0, 0), (2, 2, 2))


def shortened(path: Path, share: float) -> None:
    os.truncate(path, int(share * path.stat().st_size))


def chunked(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("image", data=made_case().image, chunks=(16, 16, 16))


def other_kind(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("image", data=made_case().image.astype(np.float64))


DAMAGES = {
    "missing": (lambda path: path.unlink(), "is missing: run the preparation again"),
    "shortened": (lambda path: shortened(path, 0.5), "cannot be read as HDF5 .*truncated.*: delete it and run"),
    "header only": (lambda path: shortened(path, 0.01), "cannot be read as HDF5 .*: delete it and run"),
    "empty": (lambda path: path.write_bytes(b""), "cannot be read as HDF5 .*: delete it and run"),
    "another file": (lambda path: path.write_bytes(b"no HDF5" * 999), "cannot be read as HDF5 .*: delete it and run"),
    "another HDF5": (lambda path: h5py.File(path, "w").close(), "cannot be read as HDF5 .*: delete it and run"),
    "an earlier version": (chunked, "holds its image packed or in another form, as an earlier version wrote it"),
    "other numbers": (other_kind, "holds its image packed or in another form"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_file_that_is_damaged_after_it_was_read_is_one_sentence(tmp_path: Path, damage: str) -> None:
    path, (spoil, sentence) = tmp_path / "a.h5", DAMAGES[damage]
    write_case(path, made_case())
    read_image_crop(path, (0, 0, 0), (9, 9, 9))
    spoil(path)
    for read in (read_image, read_geometry, lambda path: read_image_crop(path, (0, 0, 0), (9, 9, 9))):
        with pytest.raises(UserError, match=rf"^{path} {sentence}"):
            read(path)


SHORTENED_WHILE_READ = """
import os, sys
from pathlib import Path
from semiseg.base.errors import UserError
from semiseg.data import stored_arrays

original = stored_arrays.mmap.mmap


def mapped_and_shortened(*given, **more):
    memory = original(*given, **more)
    os.truncate(path, path.stat().st_size // 2)
    return memory


def read(name, shortening):
    global path
    path = Path(sys.argv[1]) / name
    with stored_arrays.opened(path) as file:
        assert file.arrays
        if not shortening:
            os.truncate(path, path.stat().st_size // 2)
        try:
            file.whole("image") if name == "a.h5" else file.crop("image", (0, 0, 0), (20, 33, 40), None)
        except UserError as error:
            print(error)


read("a.h5", False)
read("b.h5", False)
stored_arrays.mmap.mmap = mapped_and_shortened
read("c.h5", True)
"""


def test_a_file_that_is_shortened_while_it_is_read_ends_no_process(tmp_path: Path) -> None:
    for name in "abc":
        write_case(tmp_path / f"{name}.h5", made_case())
    done = subprocess.run([sys.executable, "-c", SHORTENED_WHILE_READ, tmp_path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    whole, before, after = done.stdout.splitlines()  # the crops: shortened before and after the file was mapped
    early = "ends too early, because it was shortened while it was read: delete it and run the preparation again"
    assert whole == f"{tmp_path}/a.h5 {early}" and after == f"{tmp_path}/c.h5 {early}"
    assert before.startswith(f"{tmp_path}/b.h5 cannot be read to its end (")


@pytest.mark.parametrize("damage", ["missing", "shortened", "another file", "an earlier version"])
def test_a_copy_that_is_lost_is_one_line_and_the_original_is_read(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    original, copy = tmp_path / "shared" / "a.h5", tmp_path / "local" / "a.h5"
    case = made_case()
    write_case(original, case)
    write_case(copy, PreparedCase(case.image + 1, case.label, case.geometry))
    both = Copied(original, copy)
    np.testing.assert_array_equal(read_image(both), case.image + 1)  # the copy is what is read
    DAMAGES[damage][0](copy)
    for _ in range(2):
        np.testing.assert_array_equal(read_image_crop(both, (0, 0, 0), (9, 9, 9)), case.image[:9, :9, :9])
        np.testing.assert_array_equal(read_label(both), case.label)
    (line,) = caplog.messages
    assert line == (
        f"warning: the copy {copy} cannot be read, so cases are read from {original.parent}, "
        "where they have the same bits"
    )
    original.unlink()
    with pytest.raises(UserError, match=rf"^{original} is missing"):
        read_image(both)


def one_hot(label: np.ndarray, classes: int) -> np.ndarray:
    return np.eye(classes, dtype=np.float32)[label].transpose(3, 0, 1, 2)


def test_identical_grids_are_a_plain_argmax() -> None:
    scores = np.random.default_rng(1).normal(size=(3, 4, 5, 6)).astype(np.float32)
    affine = np.diag([0.625, 0.625, 0.625, 1.0])
    geometry = Geometry((4, 5, 6), (0.625,) * 3, affine, "xyz", (4, 5, 6), affine)
    np.testing.assert_array_equal(to_native(scores, geometry), scores.argmax(0))


def test_turned_and_flipped_grids_are_exact() -> None:
    label = np.random.default_rng(2).integers(0, 3, (4, 5, 6)).astype(np.uint8)  # raw, x y z
    raw = np.diag([2.0, 3.0, 4.0, 1.0])
    flip = np.diag([-1.0, 1.0, 1.0, 1.0])
    flip[0, 3] = 3
    stored = label[::-1].transpose(2, 1, 0)
    geometry = Geometry((6, 5, 4), (4.0, 3.0, 2.0), raw @ flip @ ZYX, "zyx", (4, 5, 6), raw)
    result = to_native(one_hot(stored, 3), geometry)
    assert result.dtype == np.uint8
    np.testing.assert_array_equal(result, label)


@pytest.mark.parametrize("tilt", [0.0, 0.2])
def test_interpolation_agrees_with_sampling_point_by_point(tilt: float) -> None:
    rng = np.random.default_rng(3)
    scores = ndimage.gaussian_filter(rng.normal(size=(4, 8, 9, 10)), (0, 1, 1, 1)).astype(np.float32)
    scores[2] -= 1  # nowhere ahead of the background
    scores[3, 3:] -= 1  # ahead in a part only
    stored = np.diag([5.0, 4.0, 4.0, 1.0])[:, [2, 1, 0, 3]]  # stored z y x
    turn = np.array(
        [[np.cos(tilt), -np.sin(tilt), 0, 3], [np.sin(tilt), np.cos(tilt), 0, 2], [0, 0, 1, 4], [0, 0, 0, 1]]
    )
    raw = turn @ np.diag([2.0, 2.0, 3.0, 1.0])
    geometry = Geometry((8, 9, 10), (4.0, 4.0, 5.0), stored, "zyx", (12, 11, 9), raw)
    indices = np.indices((12, 11, 9)).reshape(3, -1)
    inside = np.linalg.inv(stored) @ raw @ np.vstack([indices, np.ones(indices.shape[1])])
    expected = np.stack([ndimage.map_coordinates(s, inside[:3], order=1, mode="nearest") for s in scores]).argmax(0)
    size = np.array([[8], [9], [10]])
    expected[((inside[:3] < -0.5) | (inside[:3] > size - 0.5)).any(0)] = 0
    assert (to_native(scores, geometry).ravel() == expected).mean() > 0.999


def test_outside_the_stored_field_of_view_is_background() -> None:
    scores = np.zeros((2, 2, 2, 2), np.float32)
    scores[1] = 1  # organ everywhere
    affine = np.eye(4)
    shift = np.eye(4)
    shift[:3, 3] = -3
    result = to_native(scores, Geometry((2, 2, 2), (1.0,) * 3, affine, "xyz", (8, 8, 8), shift))
    assert result.sum() == 8 and result[3:5, 3:5, 3:5].all()
