"""The original slices that an export is drawn on, with as little of their headers as it needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from twin.dicom.files import read_header
from twin.dicom.geometry import LPS_TO_RAS, SAME_PLACE, Plane, check_alike
from twin.dicom.header_values import number_of, whole_of
from twin.dose_resampling import mean_on_grid
from twin.errors import GeometryMismatch, InvalidInput
from twin.images import Image

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["OriginalSeries", "read_original_series"]

_IMAGES = ("CT", "MR", "PT")
#: Whose study it is: written into an export, which goes back to where the series came from.
_OF_THE_PATIENT = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime",
    "StudyID", "AccessionNumber", "ReferringPhysicianName",
)  # fmt: skip
_OF_THE_SLICE = (
    "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID",
    "FrameOfReferenceUID", "Modality", "InstanceNumber", "Rows", "Columns", "PixelSpacing",
    "ImagePositionPatient", "ImageOrientationPatient",
)  # fmt: skip
_LEAST_COVERED = 0.5
_LEVELS = (0.35, 0.65)  # shares between which the surface is drawn


@dataclass(frozen=True, slots=True, eq=False)
class OriginalSeries:
    """Slices of one series, by rising place along their normal.

    Parameters
    ----------
    headers : tuple of Dataset
        Of each slice: place, size, numbers, and whose study it is. Nothing else is kept.
    planes : tuple of Plane
    thickness_mm : ndarray, [mm], shape (slice,)
        From half-way to the slice below to half-way to the slice above.
    """

    headers: tuple[Dataset, ...] = field(repr=False)
    planes: tuple[Plane, ...]
    thickness_mm: NDArray[np.float64]

    def shares(self, image: Image, *, what: str) -> tuple[NDArray[np.float32], float]:
        """Mean of an image over each voxel of the slices, and where its surface is drawn.

        Parameters
        ----------
        image : Image
            A mask, or the share of each voxel that lies inside.
        what : str
            Its name; errors begin with it.

        Returns
        -------
        shares : ndarray, [1], shape (slice, row, column)
        level : float, [1]
            The share from which a voxel belongs to it: near a half, so that the voxels that do
            have the volume of the image. Thick slices would lose some of a round shape at a half.

        Raises
        ------
        GeometryMismatch
            More than half of it lies outside of the series.
        InvalidInput
            It marks nothing, or has values outside 0 to 1.
        """
        image = _cropped(image, what)
        columns, rows = self.planes[0].size
        found = np.zeros((len(self.planes), rows, columns), np.float32)
        for number, plane in enumerate(self.planes):
            affine = np.eye(4)
            affine[:3, 0] = plane.spacing[0] * plane.along_columns
            affine[:3, 1] = plane.spacing[1] * plane.along_rows
            affine[:3, 2] = self.thickness_mm[number] * plane.normal
            affine[:3, 3] = plane.position
            grid = Image(np.broadcast_to(np.False_, (columns, rows, 1)), LPS_TO_RAS @ affine)
            if _apart(image, grid):
                continue
            values, covered = mean_on_grid(image, grid)
            found[number] = (values * covered)[..., 0].T
        voxel = np.prod(self.planes[0].spacing) * self.thickness_mm
        drawn = float(found.sum(axis=(1, 2), dtype=np.float64) @ voxel)
        given = float(image.data.sum(dtype=np.float64)) * image.voxel_mm3
        if not drawn >= _LEAST_COVERED * given:
            raise GeometryMismatch(
                f"{what}: {100 * drawn / given:.0f} % of it lies on the series; give the series "
                "that the patient was built from, or one that is registered to it."
            )
        found = np.clip(found, 0.0, 1.0)
        return found, _level(found, voxel, drawn)


def _level(shares: NDArray[np.float32], voxel_mm3: NDArray[np.float64], volume_mm3: float) -> float:
    """The share at which whole voxels have a volume; a half where none near it does."""
    between = (shares > _LEVELS[0]) & (shares < _LEVELS[1])
    values = shares[between]
    order = np.argsort(values)[::-1]
    size = np.broadcast_to(voxel_mm3[:, None, None], shares.shape)
    sure = float((shares >= _LEVELS[1]).sum(axis=(1, 2)) @ voxel_mm3)
    reached = sure + np.concatenate([[0.0], np.cumsum(size[between][order])])
    ends = np.concatenate([[_LEVELS[1]], values[order], [_LEVELS[0]]])
    count = int(np.abs(reached - volume_mm3).argmin())
    if not len(values) or count in (0, len(values)):
        return 0.5
    return float(ends[count] + ends[count + 1]) / 2.0


def _cropped(image: Image, what: str) -> Image:
    """The box of voxels that are not 0, with a margin of one."""
    values = np.asarray(image.data, np.float32)
    if not (values >= 0.0).all() or not (values <= 1.0 + 1e-6).all():
        raise InvalidInput(f"{what} has shares of voxels outside 0 to 1.")
    marked = np.argwhere(values > 0.0)
    if not len(marked):
        raise InvalidInput(f"{what} marks no voxel, so there is nothing to draw.")
    low, high = marked.min(axis=0) - 1, marked.max(axis=0) + 2
    margin = [(max(0, -a), max(0, b - n)) for a, b, n in zip(low, high, values.shape, strict=True)]
    padded = np.pad(values, margin)
    shift = np.array([first for first, _ in margin])
    part = tuple(slice(a + s, b + s) for a, b, s in zip(low, high, shift, strict=True))
    affine = image.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ low
    return Image(padded[part], affine)


def _apart(image: Image, grid: Image) -> bool:
    """Whether a slice cannot reach an image, by their boxes in numbers of the image's voxels."""
    ends = np.array(np.meshgrid(*[(-0.5, n - 0.5) for n in grid.shape])).reshape(3, -1)
    to_image = np.linalg.inv(image.affine) @ grid.affine
    corners = to_image[:3, :3] @ ends + to_image[:3, 3:]
    return bool(
        (corners.max(axis=1) < -0.5).any()
        or (corners.min(axis=1) > np.array(image.shape) - 0.5).any()
    )


def read_original_series(files: Sequence[Path], *, pseudonym: str | None = None) -> OriginalSeries:
    """Return the slices of one series of CT, MR or PET, other objects among the files left out.

    Parameters
    ----------
    files : sequence of path
    pseudonym : str or None
        Written for the patient's name and number, with no birth date, sex, dates or numbers of the
        study. The UIDs stay: by them the export lies on its series.

    Raises
    ------
    InvalidInput, GeometryMismatch
        No image, several series, an enhanced multi-frame object, two slices at one place, no
        frame of reference.
    """
    from pydicom.dataset import Dataset

    found: list[tuple[Any, Plane]] = []
    for path in files:
        header = read_header(path)
        if header is None or str(header.get("Modality") or "").upper() not in _IMAGES:
            continue
        if "PerFrameFunctionalGroupsSequence" in header:
            raise InvalidInput(
                f"{path.name} is an enhanced multi-frame image; an export needs the series as one "
                "file a slice."
            )
        size = whole_of(header.get("Columns")), whole_of(header.get("Rows"))
        plane = Plane.of(
            header.get("ImagePositionPatient"), header.get("ImageOrientationPatient"),
            header.get("PixelSpacing"), size, what=f"The slice {path.name}",
        )  # fmt: skip
        missing = [key for key in _OF_THE_SLICE if header.get(key) in (None, "")]
        if missing and missing != ["InstanceNumber"]:
            raise InvalidInput(
                f"The slice {path.name} lacks {missing[0]}, by which an export refers to it; "
                "export the series again."
            )
        found.append((header, plane))
    if not found:
        raise InvalidInput("There is no CT, MR or PET image among the files of the series.")
    series = {str(header.SeriesInstanceUID) for header, _ in found}
    frames = {str(header.FrameOfReferenceUID) for header, _ in found}
    if len(series) > 1 or len(frames) > 1:
        raise InvalidInput(
            f"The files hold {max(len(series), len(frames))} series; name the folder of one."
        )
    check_alike([plane for _, plane in found], what="The series")
    normal = found[0][1].normal
    found.sort(key=lambda one: float(one[1].position @ normal))
    planes = tuple(plane for _, plane in found)
    gaps = np.diff([float(plane.position @ normal) for plane in planes])
    if len(gaps) and not gaps.min() > SAME_PLACE:
        raise GeometryMismatch("The series has two slices at one place; name one volume alone.")
    thickness = _thickness(gaps, found[0][0])
    headers = []
    for number, (header, _) in enumerate(found):
        kept = Dataset()
        for key in _OF_THE_SLICE:
            setattr(kept, key, header.get(key))
        kept.InstanceNumber = kept.InstanceNumber or number + 1
        kept.SliceThickness = f"{thickness[number]:.6g}"
        texts = {key: str(header.get(key) or "") for key in _OF_THE_PATIENT}
        if pseudonym is not None:
            texts = dict.fromkeys(texts, "")
            texts["PatientName"] = texts["PatientID"] = pseudonym
        for key, text in texts.items():
            setattr(kept, key, text)
        kept.SpecificCharacterSet = "ISO_IR 192"
        headers.append(kept)
    return OriginalSeries(tuple(headers), planes, thickness)


def _thickness(gaps: NDArray[np.float64], header: Any) -> NDArray[np.float64]:
    if not len(gaps):
        stated = number_of(header.get("SliceThickness")) or 0.0
        return np.array([stated if 0.0 < stated < 1e3 else 1.0])
    sides = np.concatenate([gaps[:1], gaps, gaps[-1:]])
    return np.asarray((sides[1:] + sides[:-1]) / 2.0)
