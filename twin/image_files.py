"""Images and label maps in whatever container they come: NIfTI, NRRD or DICOM.

Everything is put in RAS axis order on reading, so that the same patient in another container,
voxel order or axis flip is the same patient.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from twin.errors import GeometryMismatch, InvalidInput
from twin.images import Image, read_nifti, same_grid

__all__ = ["IMAGE_ENDINGS", "read_image", "read_labels"]

_NRRD = (".nrrd", ".nhdr")
_NIFTI = (".nii", ".nii.gz")
#: Files that hold whole images, in lower case.
IMAGE_ENDINGS = (*_NIFTI, *_NRRD)


def read_image(path: str | Path, *, what: str = "image") -> Image:
    """Return an image in RAS axis order.

    Parameters
    ----------
    path : path
        A ``.nii``, ``.nii.gz``, ``.nrrd`` or ``.nhdr`` file, a DICOM file, or a folder that
        holds one DICOM series.
    what : str
        What it is for ("T1 image"); errors begin with it.

    Raises
    ------
    InvalidInput, GeometryMismatch
        Missing, of another kind, damaged, too large, without orientation, several series.
    """
    file = Path(path)
    if file.name.lower().endswith(_NRRD) and file.is_file():
        from twin.nrrd_file import read_nrrd

        return read_nrrd(file, what=what)
    return _image(_dicom_files(file, what), file, what)


def read_labels(path: str | Path, *, what: str = "label map") -> Image:
    """Return a label map in RAS axis order.

    As `read_image`; a DICOM segmentation gives the numbers of its segments, a segmentation
    of 3D Slicer (``.seg.nrrd``) its label values. Segments that overlap are refused, since a
    voxel has one label here.
    """
    file = Path(path)
    if file.name.lower().endswith(_NRRD) and file.is_file():
        return _nrrd_labels(file, what)
    files = _dicom_files(file, what)
    if files and _is_segmentation(files[0]):
        return _segments(files, file, what)
    return _image(files, file, what)


def _image(files: list[Path], file: Path, what: str) -> Image:
    """The image of these DICOM files, or, where there are none, of the NIfTI file."""
    if files:
        from twin.dicom.series import read_series

        return read_series(files, what=f"{what} {file}").image
    return read_nifti(file, what=what)


def _dicom_files(file: Path, what: str) -> list[Path]:
    """The files of a DICOM image at this place; none where it is something else."""
    if file.is_dir():
        from twin.dicom.files import read_header, safe_files

        found = [one for one in safe_files(file) if read_header(one) is not None]
        if not found:
            raise InvalidInput(
                f"{what[:1].upper()}{what[1:]} {file} is a folder without a DICOM file; name the "
                "image's file, or the folder of one DICOM series."
            )
        return found
    if not file.is_file() or file.name.lower().endswith(_NIFTI):
        return []
    from twin.dicom.files import read_header

    return [file] if read_header(file) is not None else []


def _is_segmentation(file: Path) -> bool:
    from twin.dicom.files import read_header

    header = read_header(file)
    return header is not None and str(header.get("Modality") or "").upper() == "SEG"


def _segments(files: list[Path], place: Path, what: str) -> Image:
    from twin.dicom.segmentation import read_segmentation

    label = f"{what[:1].upper()}{what[1:]} {place}"
    if len(files) != 1:
        raise InvalidInput(f"{label} holds several DICOM segmentations; name one file.")
    found = read_segmentation(files[0])
    numbers: np.ndarray | None = None
    first: Image | None = None
    for name, image in found.segments.items():
        mask = np.asarray(image.data, np.float32) >= 0.5
        if first is None or numbers is None:
            first, numbers = image, np.zeros(image.shape, np.int16)
        same_grid(image, first, names=(f"the segment {name}", "the first segment"))
        if (numbers[mask] != 0).any():
            raise InvalidInput(
                f"{label} has segments that overlap, but a voxel has one label here; export them "
                "without overlap, or as one file each."
            )
        numbers[mask] = found.labels[name]
    if first is None or numbers is None:
        raise InvalidInput(f"{label} has no segment.")
    return Image(numbers, first.affine)


def _nrrd_labels(file: Path, what: str) -> Image:
    from twin.nrrd_file import read_nrrd_segments

    found = read_nrrd_segments(file, what=what)
    label = f"{what[:1].upper()}{what[1:]} {file}"
    numbers = np.zeros(found.layers[0].shape, found.layers[0].data.dtype)
    for layer in found.layers:
        inside = layer.data != 0
        if (numbers[inside] != 0).any():
            raise InvalidInput(
                f"{label} has segments that overlap, but a voxel has one label here; save them "
                "without overlap."
            )
        numbers[inside] = layer.data[inside]
    labels = {place[1] for place in found.segments.values()}
    if len(found.layers) > 1 and len(labels) < len(found.segments):
        raise GeometryMismatch(f"{label} uses one label in two layers; save it with its own each.")
    return Image(numbers, found.layers[0].affine)
