"""What earlier releases of the readers did wrong, and what the lowest versions that pyproject.toml allows do right."""

from pathlib import Path

import numpy as np
import pytest
from nibabel.orientations import aff2axcodes

from semiseg.base.volume import Volume
from semiseg.data.images import read_nifti, write_nifti
from semiseg.data.nrrd import read_nrrd
from semiseg.data.preparation import Scan, orient
from semiseg.params.preparation import Orient

HEADER = """\
NRRD0004
type: int16
dimension: 3
space: {space}
sizes: 2 3 4
space directions: (2,0,0) (0,1.5,0) (0,0,3)
kinds: domain domain domain
endian: little
encoding: raw
space origin: (5,6,7)

"""
ARRAY = np.arange(24, dtype="<i2").reshape(2, 3, 4)


@pytest.mark.parametrize(
    ("space", "signs"),
    [
        ("right-anterior-superior", (1, 1, 1)),
        ("left-posterior-superior", (-1, -1, 1)),
        ("left-anterior-superior", (-1, 1, 1)),  # SimpleITK before 2.5.6 mirrors these in x and y
    ],
)
def test_an_nrrd_lies_where_its_space_says(tmp_path: Path, space: str, signs: tuple[int, int, int]) -> None:
    (tmp_path / "a.nrrd").write_bytes(HEADER.format(space=space).encode() + ARRAY.tobytes("F"))
    volume = read_nrrd(tmp_path / "a.nrrd")
    np.testing.assert_array_equal(volume.array, ARRAY)
    place = np.array([[2, 0, 0, 5], [0, 1.5, 0, 6], [0, 0, 3, 7], [0, 0, 0, 1]])
    np.testing.assert_allclose(volume.affine, np.diag([*signs, 1]) @ place)


def test_an_oblique_scan_is_oriented(tmp_path: Path) -> None:
    """nibabel before 5.4 assigns the axes of this scan in their order, not by strength, and it ends as SAL."""
    affine = np.eye(4)
    affine[:3, :3] = [[-2.43, -1.84, 1.28], [2.48, -2.63, -0.45], [2.72, 0.76, 1.56]]
    write_nifti(tmp_path / "a.nii.gz", Volume(ARRAY, affine))
    raw = read_nifti(tmp_path / "a.nii.gz")
    scan = Scan("a", raw.array.astype(np.float32), None, raw.affine)
    assert "".join(aff2axcodes(orient(scan, Orient(step="orient", to="RAS")).affine)) == "RAS"
