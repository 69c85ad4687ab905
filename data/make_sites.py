"""Makes the synthetic anatomies of the example studies other than glioblastoma.

    python data/make_sites.py [FOLDER]

Everything is drawn from ellipsoids and tubes with round numbers, in millimetres from the middle of
the image (right, anterior, superior): no image of a person is in it, and nothing is to scale with
one. The files that it writes are in the repository, so nobody has to run it.
"""

from __future__ import annotations

import gzip
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
Triple = tuple[float, float, float]

BARRIER, SECOND, FIRST = 1, 2, 3  # tissues: none passes the barrier, the first is like the tumour's
SOLID, MARGIN = 1, 2  # the tumour's parts


@dataclass(frozen=True)
class Space:
    """Voxel centres about the middle of an image, [mm], shape (i, j, k, 3)."""

    points: NDArray[np.float64]
    affine: NDArray[np.float64]
    spacing_mm: float

    @classmethod
    def of(cls, half_axes_mm: Triple, spacing_mm: float) -> Space:
        """A box of these half sizes and a voxel more on each side."""
        count = [2 * int(np.ceil(half / spacing_mm)) + 3 for half in half_axes_mm]
        affine = np.diag([spacing_mm, spacing_mm, spacing_mm, 1.0])
        affine[:3, 3] = [-0.5 * (n - 1) * spacing_mm for n in count]
        points = np.moveaxis(np.indices(count), 0, -1) * spacing_mm + affine[:3, 3]
        return cls(points, affine, spacing_mm)

    @property
    def empty(self) -> NDArray[np.int8]:
        """A map of nothing."""
        return np.zeros(self.points.shape[:3], np.int8)

    def ellipsoid(self, centre: Triple, half_axes: Triple) -> Mask:
        """Voxels whose centre lies in an ellipsoid."""
        scaled = (self.points - np.array(centre)) / np.array(half_axes)
        return np.asarray((scaled**2).sum(axis=-1) <= 1.0)

    def tube(self, centre: tuple[float, float], half_axes: tuple[float, float],
             z: tuple[float, float]) -> Mask:  # fmt: skip
        """Voxels in a tube along z of an elliptic section."""
        scaled = (self.points[..., :2] - np.array(centre)) / np.array(half_axes)
        up = self.points[..., 2]
        return np.asarray(((scaled**2).sum(axis=-1) <= 1.0) & (up >= z[0]) & (up <= z[1]))


@dataclass(frozen=True)
class Anatomy:
    """What is written for one example.

    Parameters
    ----------
    space : Space
    tissues, tumour : ndarray of int8
    organs : mapping of str to Mask
        In the order of their numbers; they do not overlap.
    grey : mapping of int to int
        Brightness of each tissue in the picture; the tumour's solid part is `bright`.
    """

    space: Space
    tissues: NDArray[np.int8]
    tumour: NDArray[np.int8]
    organs: Mapping[str, Mask] = field(default_factory=dict)
    grey: Mapping[int, int] = field(default_factory=lambda: {BARRIER: 30, SECOND: 80, FIRST: 130})
    bright: int = 200


def tumour_in(
    space: Space, centre: Triple, half_axes: Triple, margin_mm: float
) -> NDArray[np.int8]:
    """A solid ellipsoid with a margin around it."""
    labels = space.empty
    wide: Triple = tuple(half + margin_mm for half in half_axes)  # type: ignore[assignment]
    labels[space.ellipsoid(centre, wide)] = MARGIN
    labels[space.ellipsoid(centre, half_axes)] = SOLID
    return labels


def breast() -> Anatomy:
    """A breast on a flat chest wall, glandular tissue in fat, a mass in its upper part."""
    space = Space.of((64.0, 40.0, 60.0), 2.0)
    tissues, y = space.empty, space.points[..., 1]
    outline = space.ellipsoid((0.0, -30.0, 0.0), (62.0, 66.0, 58.0)) & (y >= -38.0)
    tissues[outline] = SECOND
    tissues[space.ellipsoid((2.0, -12.0, 0.0), (46.0, 40.0, 43.0)) & outline & (y > -24.0)] = FIRST
    tissues[outline & (y <= -28.0)] = BARRIER
    tumour = tumour_in(space, (18.0, -2.0, 14.0), (12.0, 10.0, 11.0), 6.0)
    return Anatomy(space, tissues, tumour, grey={BARRIER: 90, SECOND: 40, FIRST: 120})


def head_and_neck() -> Anatomy:
    """A neck with airway, spine and jaw, a tumour of the right tonsil, both parotids, the cord."""
    space = Space.of((66.0, 76.0, 72.0), 2.5)
    tissues = space.empty
    tissues[space.tube((0.0, 0.0), (64.0, 74.0), (-70.0, 70.0))] = FIRST
    jaw = space.tube((0.0, 14.0), (46.0, 50.0), (6.0, 34.0))
    jaw &= ~space.tube((0.0, 12.0), (36.0, 40.0), (-80.0, 80.0)) & (space.points[..., 1] > 0.0)
    tissues[jaw | space.tube((0.0, -26.0), (17.0, 14.0), (-70.0, 60.0))] = SECOND
    cord = space.tube((0.0, -30.0), (5.0, 5.0), (-67.0, 57.0))
    tissues[space.tube((0.0, -30.0), (8.0, 8.0), (-70.0, 60.0))] = FIRST
    tissues[space.tube((0.0, 10.0), (10.0, 9.0), (-70.0, 45.0))] = BARRIER
    tumour = tumour_in(space, (24.0, 6.0, 12.0), (11.0, 12.0, 15.0), 5.0)
    organs = {
        "spinal_cord": cord,
        "parotid_left": space.ellipsoid((-50.0, -12.0, 34.0), (9.0, 15.0, 21.0)),
        "parotid_right": space.ellipsoid((50.0, -12.0, 34.0), (9.0, 15.0, 21.0)),
    }
    return Anatomy(space, tissues, tumour, organs, {BARRIER: 5, SECOND: 230, FIRST: 110}, 150)


def lung() -> Anatomy:
    """A chest with both lungs and the spine, a small tumour in the right upper lobe."""
    space = Space.of((132.0, 92.0, 82.0), 3.0)
    tissues = space.empty
    tissues[space.tube((0.0, 0.0), (130.0, 90.0), (-80.0, 80.0))] = FIRST
    lungs = space.ellipsoid((66.0, 4.0, 0.0), (48.0, 66.0, 74.0))
    lungs |= space.ellipsoid((-66.0, 4.0, 0.0), (48.0, 66.0, 74.0))
    heart = space.ellipsoid((-16.0, 16.0, -30.0), (40.0, 38.0, 36.0))
    lungs &= ~heart
    tissues[lungs] = SECOND
    tissues[space.tube((0.0, -58.0), (20.0, 18.0), (-80.0, 80.0))] = BARRIER
    cord = space.tube((0.0, -62.0), (6.0, 6.0), (-78.0, 78.0))
    tissues[space.tube((0.0, -62.0), (9.0, 9.0), (-80.0, 80.0))] = FIRST
    tumour = tumour_in(space, (78.0, 6.0, 24.0), (11.0, 10.0, 12.0), 5.0)
    organs = {"lungs_minus_gtv": lungs & (tumour == 0), "heart": heart, "spinal_cord": cord}
    return Anatomy(space, tissues, tumour, organs, {BARRIER: 230, SECOND: 25, FIRST: 120}, 140)


def prostate() -> Anatomy:
    """A pelvis with its bones, bladder, rectum and a prostate with one dominant lesion."""
    space = Space.of((142.0, 96.0, 66.0), 3.0)
    tissues = space.empty
    tissues[space.tube((0.0, 0.0), (140.0, 94.0), (-64.0, 64.0))] = SECOND
    tissues[space.tube((0.0, 0.0), (118.0, 74.0), (-64.0, 64.0))] = FIRST
    bones = space.ellipsoid((82.0, 4.0, 0.0), (24.0, 24.0, 24.0))
    bones |= space.ellipsoid((-82.0, 4.0, 0.0), (24.0, 24.0, 24.0))
    bones |= space.ellipsoid((0.0, -66.0, 22.0), (40.0, 14.0, 36.0))
    bones |= space.ellipsoid((24.0, 48.0, -14.0), (18.0, 10.0, 12.0))
    bones |= space.ellipsoid((-24.0, 48.0, -14.0), (18.0, 10.0, 12.0))
    tissues[bones] = BARRIER
    gland = space.ellipsoid((0.0, 5.0, -12.0), (24.0, 18.0, 21.0))
    bladder = space.ellipsoid((0.0, 22.0, 33.0), (35.0, 28.0, 23.0)) & ~gland
    rectum = space.tube((0.0, -30.0), (14.0, 13.5), (-54.0, 42.0)) & ~gland
    tumour = tumour_in(space, (11.0, -2.0, -12.0), (8.0, 6.5, 9.0), 4.0)
    tumour[~gland] = 0
    return Anatomy(
        space, tissues, tumour, {"prostate": gland, "bladder": bladder, "rectum": rectum},
        {BARRIER: 230, SECOND: 60, FIRST: 120}, 165,
    )  # fmt: skip


def phantom() -> Anatomy:
    """A ball of tumour in the middle of a block."""
    space = Space.of((36.0, 36.0, 36.0), 1.0)
    tissues = space.empty
    tissues[(np.abs(space.points) <= 36.0).all(axis=-1)] = FIRST
    return Anatomy(space, tissues, tumour_in(space, (0.0, 0.0, 0.0), (10.0, 10.0, 10.0), 12.0))


ANATOMIES: dict[str, Callable[[], Anatomy]] = {
    "breast": breast,
    "head_and_neck": head_and_neck,
    "lung": lung,
    "prostate": prostate,
    "phantom": phantom,
}


def picture(anatomy: Anatomy) -> NDArray[np.uint8]:
    """An image for pictures: each tissue of one brightness, organs a little brighter, smoothed."""
    from scipy import ndimage

    shown = np.zeros(anatomy.tissues.shape, np.float64)
    for tissue, value in anatomy.grey.items():
        shown[anatomy.tissues == tissue] = value
    for number, mask in enumerate(anatomy.organs.values()):
        shown[mask & (anatomy.tissues == FIRST)] += 18.0 + 6.0 * number
    shown[anatomy.tumour == MARGIN] += 0.35 * (anatomy.bright - shown[anatomy.tumour == MARGIN])
    shown[anatomy.tumour == SOLID] = anatomy.bright
    return np.rint(ndimage.gaussian_filter(shown, 0.6)).clip(0, 255).astype(np.uint8)


def save(path: Path, data: NDArray[np.int8] | NDArray[np.uint8], affine: NDArray) -> None:
    """Write a compressed NIfTI file, the same bytes every time."""
    image = nib.Nifti1Image(data.astype(np.uint8), affine)
    image.set_sform(affine, code=1)
    image.set_qform(affine, code=1)
    image.header.set_xyzt_units("mm")
    path.write_bytes(gzip.compress(image.to_bytes(), compresslevel=9, mtime=0))


def make(name: str, folder: Path, say: Callable[[str], None]) -> None:
    """Write the images of one example into `folder`."""
    anatomy = ANATOMIES[name]()
    affine, millilitre = anatomy.space.affine, anatomy.space.spacing_mm**3 / 1e3
    organs = anatomy.space.empty
    for number, mask in enumerate(anatomy.organs.values(), start=1):
        if (organs[mask] > 0).any():
            raise SystemExit(f"{name}: organ {number} overlaps another one")
        organs[mask] = number
    folder.mkdir(parents=True, exist_ok=True)
    save(folder / "image.nii.gz", picture(anatomy), affine)
    save(folder / "tissues.nii.gz", anatomy.tissues, affine)
    save(folder / "segmentation.nii.gz", anatomy.tumour, affine)
    if anatomy.organs:
        save(folder / "structures.nii.gz", organs, affine)
    parts = {"solid": SOLID, "margin": MARGIN}
    said = [f"{k} {(anatomy.tumour == n).sum() * millilitre:.1f} mL" for k, n in parts.items()]
    said += [f"{k} {mask.sum() * millilitre:.1f} mL" for k, mask in anatomy.organs.items()]
    say(f"{name}: {anatomy.tissues.shape}, " + ", ".join(said))


if __name__ == "__main__":
    here = Path(__file__).resolve().parent / "examples"
    for example in ANATOMIES:
        make(example, (Path(sys.argv[1]) if len(sys.argv) > 1 else here) / example, print)
