"""A volume as the DICOM slices of one CT series; equal arguments give equal files."""

import uuid
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

INTERCEPT = -1024
CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"


def uid_of(*names: str) -> str:
    """A UID below 2.25, which no publisher owns, made from the names."""
    return f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, '/'.join(names)).int}"


def series_uid(patient: str) -> str:
    """Series instance UID of a patient's only series."""
    return uid_of("stand-in", patient, "series")


def write_slices(
    hu: NDArray[np.int16], spacing_mm: tuple[float, float, float], first_lps: NDArray[np.float64], patient: str
) -> Mapping[str, bytes]:
    """File name -> content of each axial slice, named as TCIA names them (1-001.dcm ..).

    hu: ``[x y z]`` running to the patient's left, front and feet. first_lps: centre of the first voxel, mm.
    """
    common = {
        "0008|0008": "ORIGINAL\\PRIMARY\\AXIAL", "0008|0012": "20150101", "0008|0013": "120000",
        "0008|0016": CT_IMAGE, "0008|0020": "20150101", "0008|0021": "20150101", "0008|0030": "120000",
        "0008|0060": "CT", "0008|103e": "Pancreas", "0010|0010": patient, "0010|0020": patient,
        # unless 0018|0088 is given, GDCM writes it or not depending on what it has read before
        "0018|0050": f"{spacing_mm[2]:g}", "0018|0088": f"{spacing_mm[2]:g}",
        "0020|000d": uid_of("stand-in", patient, "study"),
        "0020|000e": series_uid(patient), "0020|0037": "1\\0\\0\\0\\-1\\0",
        "0020|0052": uid_of("stand-in", patient, "frame"),
        "0028|1052": str(INTERCEPT), "0028|1053": "1",
    }  # fmt: skip
    slices = {}
    with TemporaryDirectory() as scratch:
        for index in range(hu.shape[2]):
            image = sitk.GetImageFromArray(np.ascontiguousarray(hu[:, :, index].T[None]))
            image.SetSpacing(spacing_mm)
            place = first_lps - (0, 0, index * spacing_mm[2])
            own = {
                "0008|0018": uid_of("stand-in", patient, str(index)),
                "0020|0013": str(index + 1),
                "0020|0032": "\\".join(f"{value:.6f}" for value in place),
            }
            for key, value in {**common, **own}.items():
                image.SetMetaData(key, value)
            name = f"1-{index + 1:03d}.dcm"
            writer = sitk.ImageFileWriter()
            writer.KeepOriginalImageUIDOn()
            writer.SetFileName(str(Path(scratch) / name))
            writer.Execute(image)
            slices[name] = (Path(scratch) / name).read_bytes()
    return slices
