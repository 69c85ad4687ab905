"""Reading NIfTI images safely; the only code that knows orientations."""

from __future__ import annotations

import difflib
import gzip
import math
import os
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from twin.errors import GeometryMismatch, InvalidInput

__all__ = [
    "Image",
    "box_about",
    "in_ras_order",
    "on_voxels_of",
    "read_nifti",
    "read_volumes",
    "same_grid",
]

MAX_SIDE = 1024
MAX_VOXELS = 2**28
_MAX_OFFSET = 2**24  # bytes before the first voxel: header and extensions
_DAMAGE = (OSError, EOFError, zlib.error, ValueError, KeyError, ImageFileError, HeaderDataError)
_LENGTH_UNITS = {0: 1.0, 1: 1e3, 2: 1.0, 3: 1e-3}  # NIfTI-1 xyzt_units to mm


@dataclass(frozen=True, slots=True)
class Image:
    """A three-dimensional image in RAS axis order.

    Parameters
    ----------
    data : ndarray, shape (i, j, k)
    affine : ndarray, [mm], shape (4, 4)
        From voxel numbers to RAS millimetres of the voxel centres.
    """

    data: NDArray[np.generic]
    affine: NDArray[np.float64]

    def __post_init__(self) -> None:
        affine = np.array(self.affine, np.float64)
        if self.data.ndim != 3:
            raise InvalidInput(f"An image has three axes, not {self.data.ndim}.")
        if affine.shape != (4, 4) or not np.isfinite(affine).all():
            raise InvalidInput("An image's affine must be 4 by 4 and finite.")
        if not abs(np.linalg.det(affine[:3, :3])) > 1e-9:
            raise InvalidInput("An image's affine is singular: one of its voxel sides is zero.")
        affine.setflags(write=False)
        data = self.data.view()
        data.setflags(write=False)
        object.__setattr__(self, "data", data)
        object.__setattr__(self, "affine", affine)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along each axis."""
        return self.data.shape  # type: ignore[return-value]

    @property
    def spacing_mm(self) -> NDArray[np.float64]:
        """Sides of a voxel, [mm], shape (3,)."""
        return np.linalg.norm(self.affine[:3, :3], axis=0)

    @property
    def voxel_mm3(self) -> float:
        """Volume of a voxel, [mm3]."""
        return float(abs(np.linalg.det(self.affine[:3, :3])))


def read_nifti(path: str | os.PathLike[str], *, what: str = "image") -> Image:
    """Return the image in a ``.nii`` or ``.nii.gz`` file, in RAS axis order.

    The declared size is checked before anything is decompressed (at most 1024
    voxels along an axis and 2**28 in all). Integers stay integers; all else
    becomes float32.

    Parameters
    ----------
    path : path
    what : str
        What the image is for ("T1 image"); errors begin with it.

    Raises
    ------
    InvalidInput
        Missing, not NIfTI, truncated, too large, not three-dimensional,
        without orientation, or with values that are not finite.
    """
    data, affine, _ = _read(Path(path), what, volumes=1)
    return Image(data, affine)


def read_volumes(
    path: str | os.PathLike[str], count: int, *, what: str = "image"
) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.float64]]:
    """Return the volumes of a four-dimensional NIfTI file, in RAS axis order.

    Parameters
    ----------
    path : path
    count : int
        How many volumes there must be.
    what : str
        As in `read_nifti`.

    Returns
    -------
    data : ndarray of float32, shape (i, j, k, count)
    affine : ndarray, [mm], shape (4, 4)
        From voxel numbers to RAS millimetres.
    file_affine : ndarray, [mm], shape (4, 4)
        The same before the axes were put in RAS order: the axes of the file.

    Raises
    ------
    InvalidInput
        As in `read_nifti`, or another number of volumes.
    """
    data, affine, file_affine = _read(Path(path), what, volumes=count)
    return data.astype(np.float32, copy=False), affine, file_affine


def _read(
    file: Path, what: str, *, volumes: int
) -> tuple[NDArray[np.generic], NDArray[np.float64], NDArray[np.float64]]:
    """Values and affine in RAS order, and the affine of the file."""
    label = f"{what[:1].upper()}{what[1:]} {file}"
    if not file.is_file():
        raise InvalidInput(f"{label} does not exist{_similar(file)}; check name and folder.")
    if not file.name.endswith((".nii", ".nii.gz")):
        raise InvalidInput(f"{label} is not a NIfTI file by its name; give a .nii or .nii.gz file.")
    _check_declared_size(file, label, volumes)
    try:
        picture: Any = nib.load(file)
        header = picture.header
        if not (int(header["sform_code"]) or int(header["qform_code"])):
            raise InvalidInput(
                f"{label} states no orientation (its sform and qform codes are 0), so left and "
                "right are unknown; export it again with its orientation."
            )
        unit = _LENGTH_UNITS.get(int(header["xyzt_units"]) & 7)
        if unit is None:
            raise InvalidInput(
                f"{label} states a unit of length that NIfTI does not have; export it again in mm."
            )
        affine = np.array(picture.affine, np.float64)
        affine[:3] *= unit
        if not np.isfinite(affine).all() or not abs(np.linalg.det(affine[:3, :3])) > 1e-9:
            raise InvalidInput(
                f"{label} has an affine that is singular or not finite; export it again."
            )
        data = _values(picture, label, volumes)
    except InvalidInput:
        raise
    except MemoryError:
        raise InvalidInput(f"{label} does not fit into memory; crop or resample it.") from None
    except _DAMAGE as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InvalidInput(
            f"{label} is damaged or cut short ({reason}); copy or export it again."
        ) from None
    turned, ras_affine = _turned(data, affine)
    return np.ascontiguousarray(turned), ras_affine, affine


def _similar(file: Path) -> str:
    if not file.parent.is_dir():
        return f" (nor does the folder {file.parent})"
    near = difflib.get_close_matches(
        file.name, [entry.name for entry in file.parent.iterdir()], n=1
    )
    return f" (there is {near[0]})" if near else ""


def _open(file: Path) -> IO[bytes]:
    return gzip.open(file) if file.name.endswith(".gz") else file.open("rb")  # type: ignore[return-value]


def _check_declared_size(file: Path, label: str, volumes: int = 1) -> None:
    """Read the header alone and judge what it declares."""
    try:
        with _open(file) as stream:
            start = stream.read(348)
            if start[:4] in (b"\x1c\x02\x00\x00", b"\x00\x00\x02\x1c"):
                start += stream.read(540 - 348)
    except (OSError, EOFError, zlib.error) as error:
        raise InvalidInput(
            f"{label} cannot be read ({str(error) or 'cut short'}); copy or export it again."
        ) from None
    kinds = {348: nib.Nifti1Header, 540: nib.Nifti2Header}
    if len(start) not in kinds:
        raise InvalidInput(f"{label} is cut short within its header; copy or export it again.")
    try:
        header = kinds[len(start)](start, check=False)
        valid = int(header["sizeof_hdr"]) == len(start)
    except Exception:  # nibabel raises many kinds on garbage
        valid = False
    if not valid or header["magic"].item()[:2] not in (b"n+", b"ni"):
        raise InvalidInput(f"{label} is not a NIfTI file; export it as NIfTI.")
    axes = int(header["dim"][0])
    sides = [int(side) for side in header["dim"][1 : 1 + max(0, min(axes, 7))]]
    while len(sides) > 3 and sides[-1] == 1:
        sides.pop()
    if volumes > 1:
        if len(sides) < 4 or math.prod(sides[3:]) != volumes or min(sides) < 1:
            raise InvalidInput(
                f"{label} has the shape {tuple(sides)}; it must hold {volumes} volumes along its "
                "fourth axis."
            )
        sides = sides[:3]
    if len(sides) != 3 or min(sides) < 1:
        raise InvalidInput(
            f"{label} has the shape {tuple(sides)}; it must be one three-dimensional volume."
        )
    if max(sides) > MAX_SIDE or math.prod(sides) > MAX_VOXELS:
        raise InvalidInput(
            f"{label} declares {' x '.join(map(str, sides))} voxels; at most {MAX_SIDE} along an "
            f"axis and {MAX_VOXELS} in all are read; crop or resample it."
        )
    if not 0 <= float(header["vox_offset"]) <= _MAX_OFFSET:
        raise InvalidInput(f"{label} has a damaged header (voxel offset); export it again.")


def _values(picture: Any, label: str, volumes: int) -> NDArray[np.generic]:
    kind = picture.get_data_dtype()
    if kind.fields is not None or kind.kind not in "iuf":
        raise InvalidInput(f"{label} holds values of type {kind}; it must hold plain numbers.")
    proxy = picture.dataobj
    scaled = (proxy.slope, proxy.inter) != (1.0, 0.0)
    shape = picture.shape[:3] if volumes == 1 else (*picture.shape[:3], volumes)
    if kind.kind in "iu" and not scaled:
        return np.asarray(proxy).reshape(shape)
    data = np.asarray(proxy, np.float32).reshape(shape)
    if not np.isfinite(data).all():
        count = int((~np.isfinite(data)).sum())
        raise InvalidInput(f"{label} has {count} voxels that are NaN or infinite; replace them.")
    return data


def in_ras_order(data: NDArray[np.generic], affine: NDArray[np.float64]) -> Image:
    """The image whose axes run as nearly as possible right, anterior and superior.

    Parameters
    ----------
    data : ndarray, shape (i, j, k)
    affine : ndarray, [mm], shape (4, 4)
        From voxel numbers, in the order of the data, to RAS millimetres.

    Examples
    --------
    >>> flipped = in_ras_order(np.arange(2).reshape(2, 1, 1), np.diag([-1.0, 1.0, 1.0, 1.0]))
    >>> flipped.data.ravel().tolist(), flipped.affine[0].tolist()
    ([1, 0], [1.0, 0.0, 0.0, -1.0])
    """
    turned, affine = _turned(data, affine)
    # in the order in memory that it has: another one takes seconds for a large image
    return Image(np.array(turned, order="K"), affine)


def _turned(
    data: NDArray[np.generic], affine: NDArray[np.float64]
) -> tuple[NDArray[np.generic], NDArray[np.float64]]:
    """A view of the data, its first three axes flipped and swapped, and the affine that fits."""
    affine = _snapped(affine)
    order = nib.orientations.io_orientation(affine)
    turned = nib.orientations.apply_orientation(data, order)
    return turned, affine @ nib.orientations.inv_ornt_aff(order, data.shape[:3])


def on_voxels_of(image: Image, grid: Image) -> Image:
    """The image cut or filled up to the voxels of another, where these are the same ones.

    A DICOM segmentation leaves out slices without a voxel, a cropped image its rim: what is
    missing becomes 0 or, of an image below 0, its least value. An image whose voxels lie
    elsewhere, or have another size, is returned as it is.

    Examples
    --------
    >>> whole = Image(np.zeros((4, 4, 4)), np.eye(4))
    >>> shifted = np.eye(4)
    >>> shifted[:3, 3] = 1.0
    >>> part = on_voxels_of(Image(np.ones((2, 2, 2), int), shifted), whole)
    >>> part.shape, int(part.data.sum())
    ((4, 4, 4), 8)
    """
    if image.shape == grid.shape and np.array_equal(image.affine, grid.affine):
        return image
    step = np.linalg.inv(grid.affine) @ image.affine
    shift = np.rint(step[:3, 3]).astype(int)
    reach = np.abs(step[:3, :3] - np.eye(3)) @ np.array(image.shape)
    if not (reach.max() <= 0.05 and np.abs(step[:3, 3] - shift).max() <= 0.05):
        return image
    low = np.maximum(shift, 0)
    high = np.minimum(shift + np.array(image.shape), np.array(grid.shape))
    if not (high > low).all():
        return image
    data = np.full(grid.shape, min(0, image.data.min()), image.data.dtype)
    target = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    source = tuple(slice(a - s, b - s) for a, b, s in zip(low, high, shift, strict=True))
    data[target] = image.data[source]
    return Image(data, grid.affine)


def box_about(mask: NDArray[np.bool_], margin: int = 0) -> tuple[slice, ...]:
    """Return the box about a mask that is not empty, wider by `margin` voxels within the array.

    Examples
    --------
    >>> box_about(np.array([False, True, False, True, False, False]), 1)
    (slice(0, 5, None),)
    """
    box = []
    for axis, length in enumerate(mask.shape):
        filled = np.flatnonzero(mask.any(axis=tuple(a for a in range(mask.ndim) if a != axis)))
        low, high = int(filled[0]) - margin, int(filled[-1]) + margin + 1
        box.append(slice(max(0, low), min(length, high)))
    return tuple(box)


def same_grid(a: Image, b: Image, *, names: tuple[str, str]) -> None:
    """Check that two images lie on the same voxels.

    Corners may differ by a twentieth of a voxel, which files that store their
    orientation twice do.

    Raises
    ------
    GeometryMismatch
        With what differs and by how much.
    """
    if a.shape != b.shape:
        raise GeometryMismatch(
            f"{names[0]} has {' x '.join(map(str, a.shape))} voxels but {names[1]} has "
            f"{' x '.join(map(str, b.shape))}; resample one onto the grid of the other."
        )
    ends = np.array(np.meshgrid(*[(0.0, side - 1.0) for side in a.shape])).reshape(3, -1)
    corners = np.vstack([ends, np.ones(8)])
    apart = float(np.abs(((a.affine - b.affine) @ corners)[:3]).max())
    if not apart <= 0.05 * float(min(a.spacing_mm.min(), b.spacing_mm.min())):
        raise GeometryMismatch(
            f"{names[0]} and {names[1]} have the same shape but lie {apart:.3g} mm apart in the "
            "head; resample one onto the grid of the other."
        )


def _snapped(affine: NDArray[np.float64]) -> NDArray[np.float64]:
    """The affine with voxel sides that are meant to be round made so.

    Containers keep it in single precision, in mm or m; a side of 2.00000009 mm would be meshed
    by other cells than one of 2 mm.
    """
    sides = np.linalg.norm(affine[:3, :3], axis=0)
    wanted = np.round(sides, 4)
    near = np.abs(wanted - sides) <= 1e-5 * sides
    snapped = affine.copy()
    snapped[:3, :3] *= np.where(near, wanted / sides, 1.0)
    return snapped
