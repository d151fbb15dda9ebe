"""Files that arrive in a raw folder: all of them when they have been checked, or none."""

import contextlib
import gzip
import math
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from semiseg.base.errors import Faults, UserError
from semiseg.data.raw_files import walk
from semiseg.dataset import Dataset, RawCase

ARRIVING = ".arriving"  # below the raw folder, so that a file gets its final place without a second copy
HEADERS = {  # first bytes of a NIfTI file, the size of its header in either order -> nibabel's class
    size.to_bytes(4, order): name
    for size, name in ((348, "Nifti1Header"), (540, "Nifti2Header"))
    for order in ("little", "big")
}
TRAILER = 4  # bytes at the end of gzip's format that hold the unpacked size


@contextlib.contextmanager
def changed_at_once(folder: Path) -> Iterator[Path]:
    """Yield a folder that looks like ``folder``; what the block puts into it comes into ``folder`` at the end.

    It holds links to the files that are there. Files that the block adds, or puts in the place of a link, are moved by
    renaming. ``folder`` stays as it is if the block raises an error. Sentences of errors name ``folder``, and files by
    their place in it. Raises UserError when ``folder`` cannot be written.
    """
    arriving = folder / ARRIVING
    try:
        shutil.rmtree(arriving, ignore_errors=True)  # of an earlier call that was killed
        _link(folder, arriving)
        yield arriving
        _move(arriving, folder)
    except UserError as error:
        # the folder does not hold the files, so they are named by their place in it
        raise UserError(str(error).replace(f"{arriving}/", "").replace(str(arriving), str(folder))) from None
    finally:
        shutil.rmtree(arriving, ignore_errors=True)
        with contextlib.suppress(OSError):  # only an empty folder can be removed
            folder.rmdir()


def _link(folder: Path, arriving: Path) -> None:
    try:
        arriving.mkdir(parents=True)
        for path, inside in list(walk(folder)):
            link = arriving / inside
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(path.absolute())
    except OSError as error:
        raise UserError(
            f"cannot write to {folder} ({error.strerror}): check the folder's permissions and the disk, which must be "
            "one that can hold links"
        ) from None


def _move(arriving: Path, folder: Path) -> None:
    new = [(path, folder / inside) for path, inside in walk(arriving) if not path.is_symlink()]
    try:
        for target in (target for _, target in new):
            target.parent.mkdir(parents=True, exist_ok=True)
            if not os.access(target.parent, os.W_OK):
                raise UserError(f"cannot write {target} (Permission denied): check the folder's permissions")
        for path, target in new:
            path.replace(target)
    except OSError as error:
        raise UserError(f"cannot write to {folder} ({error.strerror}): check the folder's permissions") from None


def check_arrivals(dataset: Dataset, cases: Sequence[RawCase], arriving: Path, folder: Path) -> None:
    """Raise UserError for files of cases that arrive and cannot be read; the first ten are named.

    A file that would replace one of ``folder`` is read in full. Any other is, where its size is not the one that its
    header states.
    """
    faults = Faults()
    for case in cases:
        for name, read in ((case.image, dataset.read_image), (case.label, dataset.read_label)):
            if name is None or (arriving / name).is_symlink():
                continue
            if (folder / name).exists() or not _looks_whole(arriving / name):
                with faults.noted():
                    read(arriving / name)
    faults.raise_all("files")


def _looks_whole(path: Path) -> bool:
    """Whether a NIfTI file has as many bytes as its header states, by header and size alone; True for other files.

    A packed file has its unpacked size, modulo 2^32, at its end. One that was packed in pieces or twice looks damaged.
    """
    if not path.name.lower().endswith((".nii", ".nii.gz")):
        return True
    import nibabel

    try:
        with path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
            file.seek(-TRAILER if packed else 0, os.SEEK_END)
            size = int.from_bytes(file.read(TRAILER), "little") if packed else file.tell()
        with gzip.open(path) if packed else path.open("rb") as file:
            kind = HEADERS[file.read(4)]
            file.seek(0)
            header = getattr(nibabel, kind).from_fileobj(file, check=False)
        voxels = math.prod(int(side) for side in header.get_data_shape())
        stated = int(header.get_data_offset()) + voxels * int(header.get_data_dtype().itemsize)
    except Exception:  # whatever damaged files raise; the dataset's reader words it
        return False
    return size % 2**32 == stated % 2**32 if packed else size == stated
