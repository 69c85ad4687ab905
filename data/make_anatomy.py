"""Makes the example head with a glioblastoma from the ICBM152 2009a template.

    python data/make_anatomy.py [FOLDER]

needs nilearn, whose package ships the template (T1, grey and white matter maps
at 1 mm); everything else of the project does without it. The files that it
writes are in the repository, so nobody has to run it. The same versions of
numpy and scipy write the same bytes.

The head is real (an average of 152 people); the tumour, its appearance on the
T1 image and the organs at risk are drawn, by the recipe below.
"""

from __future__ import annotations

import gzip
import heapq
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import nibabel as nib
import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy import ndimage

Mask = NDArray[np.bool_]
Floats = NDArray[np.float64]

FLUID, GREY, WHITE = 1, 2, 3
NECROSIS, FLAIR, ENHANCING = 1, 2, 4  # the BraTS convention
SMALLEST_ISLAND = 40  # voxels; smaller patches of a tissue take the tissue around them

# Tumour: seed in the white matter of the right frontal lobe, MNI millimetres.
SEED_MM = (27.0, 25.0, 26.0)
CORE_ML = 14.0
GREY_SPEED = 5.0**-0.5  # fronts move as sqrt(D), and D in grey matter is a fifth
RIM_MM = 3.2  # asked for; the smoothing of the necrosis adds a millimetre and more
DIFFUSIVITY_WHITE, PROLIFERATION_RATE = 0.13, 0.03  # as in parameters/glioblastoma.toml
FLAIR_GAP_MM = 6.11 * (DIFFUSIVITY_WHITE / PROLIFERATION_RATE) ** 0.5
IRREGULARITY = 0.38  # standard deviation of ln(speed) within the core
RANDOM_SEED = 20090102

# Organs at risk, MNI millimetres, stylised. Read by eye off the template's own
# T1 image; agreement with published coordinates was not checked [unverified].
# Tubes: points of the centre line with the half axes across (x, y) or a radius.
BRAINSTEM = (  # z, y of the centre, half axis along x, half axis along y
    (-5.0, -27.0, 8.0, 7.0),
    (-12.0, -26.0, 14.0, 10.0),
    (-20.0, -23.0, 15.0, 13.0),
    (-30.0, -22.5, 16.0, 14.0),
    (-40.0, -29.0, 13.0, 11.0),
    (-50.0, -37.0, 10.0, 9.0),
    (-60.0, -42.0, 8.0, 8.0),
    (-72.0, -47.0, 7.0, 7.0),
)
HIPPOCAMPUS = (  # right; the left one is its mirror image: x, y, z, radius
    (22.0, -10.0, -21.0, 5.5),
    (27.0, -19.0, -17.0, 5.5),
    (29.0, -28.0, -10.0, 5.0),
    (27.0, -37.0, -3.0, 3.5),
)
CHIASM_CENTRE, CHIASM_HALF_AXES = (0.0, 0.0, -17.0), (7.0, 4.5, 2.5)
OPTIC_TRACT = (  # right
    (5.0, -2.0, -16.0, 2.0),
    (11.0, -8.0, -14.0, 2.0),
    (18.0, -17.0, -10.0, 2.0),
    (23.0, -23.0, -7.0, 2.5),
)


def template() -> tuple[Floats, Floats, Floats, Floats]:
    """Return T1, grey and white matter maps (0 to 255, 0 to 1, 0 to 1) and the affine."""
    import nilearn.datasets

    folder = Path(nilearn.datasets.__file__).parent / "data"
    images = [
        nib.load(folder / f"mni_icbm152_{kind}_tal_nlin_sym_09a_converted.nii.gz")
        for kind in ("t1", "gm", "wm")
    ]
    t1, grey, white = (np.asarray(image.dataobj, np.float64) for image in images)
    return t1, grey / 254.0, white / 254.0, np.asarray(images[0].affine)


def tissue_map(t1: Floats, grey: Floats, white: Floats, points: Floats) -> NDArray[np.int8]:
    """Return the likeliest tissue of each voxel of the brain; fluid is what the maps leave."""
    brain = t1 > 0
    fluid = np.clip(1.0 - grey - white, 0.0, 1.0)
    tissues = (1 + np.argmax([fluid, grey, white], axis=0)).astype(np.int8)
    tissues[~brain] = 0
    # The fissure between the hemispheres is narrower than the average of 152 heads
    # resolves: grey voxels of the middle three millimetres that are darker than the
    # cortex to both sides become fluid, so that a tumour does not grow through the falx.
    sides = [ndimage.uniform_filter(np.roll(t1, shift, axis=0), (1, 3, 3)) for shift in (-5, 5)]
    dark = ndimage.uniform_filter(t1, (1, 3, 3)) < np.minimum(*sides) - 4.0
    x, y, z = np.moveaxis(points, -1, 0)
    beneath_callosum = (y > -62.0) & (y < 8.0) & (z < 22.0)  # no fissure there
    tissues[(np.abs(x) <= 1.0) & ~beneath_callosum & dark & (tissues == GREY)] = FLUID
    for tissue in (FLUID, GREY, WHITE):
        parts, count = ndimage.label(tissues == tissue)
        sizes = np.bincount(parts.ravel(), minlength=count + 1)
        islands = (sizes < SMALLEST_ISLAND)[parts] & (parts > 0)
        nearest = ndimage.distance_transform_edt(
            ~brain | islands, return_distances=False, return_indices=True
        )
        tissues[islands] = tissues[tuple(nearest)][islands]
    tissues[~brain] = 0
    return tissues


@njit(cache=False)
def _march(start: Floats, slowness: Floats) -> Floats:  # pragma: no cover - compiled
    """First-order fast marching (Sethian 1996): |grad T| = slowness, T given where finite."""
    time = np.full(start.shape, np.inf)
    done = np.zeros(start.shape, np.bool_)
    heap = [(0.0, 0, 0, 0)]
    heap.pop()
    for i in range(start.shape[0]):
        for j in range(start.shape[1]):
            for k in range(start.shape[2]):
                if np.isfinite(start[i, j, k]) and np.isfinite(slowness[i, j, k]):
                    time[i, j, k] = start[i, j, k]
                    heapq.heappush(heap, (start[i, j, k], i, j, k))
    steps = ((1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 1), (0, 0, -1))
    while len(heap) > 0:
        _, i, j, k = heapq.heappop(heap)
        if done[i, j, k]:
            continue
        done[i, j, k] = True
        for a, b, c in steps:
            p, q, r = i + a, j + b, k + c
            if not (0 <= p < time.shape[0] and 0 <= q < time.shape[1] and 0 <= r < time.shape[2]):
                continue
            s = slowness[p, q, r]
            if done[p, q, r] or not np.isfinite(s):
                continue
            near = np.full(3, np.inf)
            for axis in range(3):
                for sign in (-1, 1):
                    u = p + sign * (axis == 0)
                    v = q + sign * (axis == 1)
                    w = r + sign * (axis == 2)
                    if (
                        0 <= u < time.shape[0]
                        and 0 <= v < time.shape[1]
                        and 0 <= w < time.shape[2]
                        and done[u, v, w]
                    ):
                        near[axis] = min(near[axis], time[u, v, w])
            near.sort()
            value = near[0] + s
            for n in (2, 3):
                if value > near[n - 1]:
                    total = near[:n].sum()
                    root = total * total - n * ((near[:n] ** 2).sum() - s * s)
                    if root >= 0:
                        value = (total + np.sqrt(root)) / n
            if value < time[p, q, r]:
                time[p, q, r] = value
                heapq.heappush(heap, (value, p, q, r))
    return time


def slowness_of(tissues: NDArray[np.int8]) -> Floats:
    """Return the time per millimetre: 1 in white matter, sqrt(5) in grey, inf in fluid."""
    return np.select([tissues == WHITE, tissues == GREY], [1.0, 1.0 / GREY_SPEED], np.inf)


def smooth_noise(shape: tuple[int, ...], length_mm: float, seed: int) -> Floats:
    """Return smooth random numbers of mean 0 and deviation 1."""
    noise = np.random.default_rng(seed).standard_normal(shape)
    noise = ndimage.gaussian_filter(noise, length_mm)
    return (noise - noise.mean()) / noise.std()


def rounded(mask: Mask, allowed: Mask, sigma_mm: float) -> Mask:
    """Return the mask with its edges smoothed: one piece, no holes, within `allowed`."""
    weight = ndimage.gaussian_filter(allowed.astype(float), sigma_mm)
    share = ndimage.gaussian_filter((mask & allowed).astype(float), sigma_mm)
    smooth = (share > 0.5 * np.maximum(weight, 1e-9)) & allowed
    parts, count = ndimage.label(smooth)
    largest = 1 + int(np.argmax(ndimage.sum_labels(smooth, parts, range(1, count + 1))))
    return ndimage.binary_fill_holes(parts == largest) & allowed


def tumour(tissues: NDArray[np.int8], seed_voxel: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Return the segmentation.

    The core is what a front reaches first from the seed, at speed 1 in white
    matter, 1/sqrt(5) in grey and 0 in fluid, made irregular by a smooth random
    factor, up to the wanted volume. Its inner part, deeper than a rim of uneven
    thickness, is necrotic. The FLAIR abnormality reaches as far outside the
    core as the settled front of the model between its two thresholds, 6.11
    sqrt(D/rho) in white matter, measured as the same travel time without the
    random factor.
    """
    tissue = tissues >= GREY
    slowness = slowness_of(tissues)
    uneven = np.exp(IRREGULARITY * smooth_noise(tissues.shape, 4.5, RANDOM_SEED))
    offsets = np.indices(tissues.shape) - seed_voxel[:, None, None, None]
    distance = np.sqrt((offsets**2).sum(axis=0))
    time = _march(np.where(distance <= 3.0, distance, np.inf), slowness * uneven)
    voxels = round(CORE_ML * 1e3)
    core = rounded(time <= np.partition(time.ravel(), voxels)[voxels], tissue, 1.5)

    depth = ndimage.distance_transform_edt(core)
    rim = RIM_MM + 1.3 * smooth_noise(tissues.shape, 4.0, RANDOM_SEED + 1)
    necrosis = rounded(depth > np.clip(rim, 2.5, None), core, 1.0)

    outside = ndimage.distance_transform_edt(~core) - 0.5
    start = np.where(outside <= 1.0, np.maximum(outside, 0.0), np.inf) * np.where(
        np.isfinite(slowness), slowness, 1.0
    )
    reach = _march(np.where(core, 0.0, start), slowness)
    whole = rounded((reach <= FLAIR_GAP_MM) | core, tissue, 1.0) | core

    labels = np.zeros(tissues.shape, np.uint8)
    labels[whole] = FLAIR
    labels[core] = ENHANCING
    labels[necrosis] = NECROSIS
    return labels


def painted(t1: Floats, labels: NDArray[np.uint8], tissues: NDArray[np.int8]) -> NDArray[np.uint8]:
    """Return the T1 image as after contrast: bright rim, dark centre, slightly dark oedema."""
    image = 0.72 * t1
    texture = smooth_noise(t1.shape, 1.2, RANDOM_SEED + 2)
    coarse = smooth_noise(t1.shape, 4.0, RANDOM_SEED + 3)
    oedema = ndimage.gaussian_filter((labels > 0).astype(float), 2.0) * (tissues >= GREY)
    image = image * (1.0 - 0.20 * oedema) + 1.5 * texture * oedema
    for label, level, grain, slow in ((ENHANCING, 212.0, 7.0, 9.0), (NECROSIS, 66.0, 4.0, 5.0)):
        share = ndimage.gaussian_filter((labels == label).astype(float), 0.6)
        image = image * (1.0 - share) + share * (level + grain * texture + slow * coarse)
    return np.where(t1 > 0, np.clip(np.rint(image), 1, 255), 0).astype(np.uint8)


def tube(line: tuple[tuple[float, ...], ...], points: Floats, mirror: bool = False) -> Mask:
    """Return the points within the interpolated radius of a broken line (x, y, z, radius)."""
    inside = np.zeros(points.shape[:-1], bool)
    turn = np.array([-1.0 if mirror else 1.0, 1.0, 1.0])
    for first, second in pairwise(line):
        a, b = np.array(first[:3]) * turn, np.array(second[:3]) * turn
        along = np.clip((points - a) @ (b - a) / ((b - a) @ (b - a)), 0.0, 1.0)
        away = np.linalg.norm(points - a - along[..., None] * (b - a), axis=-1)
        inside |= away <= first[3] + along * (second[3] - first[3])
    return inside


def organs(points: Floats, tissues: NDArray[np.int8]) -> NDArray[np.uint8]:
    """Return the organs at risk, numbered as in `patient.toml`; earlier ones win."""
    tissue = tissues >= GREY
    x, y, z = np.moveaxis(points, -1, 0)
    heights = np.array([row[0] for row in BRAINSTEM])[::-1]
    centre, half_x, half_y = (
        np.interp(z, heights, np.array([row[n] for row in BRAINSTEM])[::-1]) for n in (1, 2, 3)
    )
    stem = (x / half_x) ** 2 + ((y - centre) / half_y) ** 2 <= 1.0
    stem &= (z >= heights[0]) & (z <= heights[-1]) & tissue
    chiasm_axes = (points - np.array(CHIASM_CENTRE)) / np.array(CHIASM_HALF_AXES)
    parts = [
        stem,
        tube(HIPPOCAMPUS, points, mirror=True) & tissue,
        tube(HIPPOCAMPUS, points) & tissue,
        (chiasm_axes**2).sum(axis=-1) <= 1.0,
        tube(OPTIC_TRACT, points, mirror=True),
        tube(OPTIC_TRACT, points),
    ]
    labels = np.zeros(tissues.shape, np.uint8)
    for number, mask in enumerate(parts, start=1):
        labels[mask & (labels == 0)] = number
    return labels


def save(path: Path, data: NDArray[np.generic], affine: Floats) -> None:
    """Write a NIfTI file whose bytes depend on its content alone."""
    image = nib.Nifti1Image(data, affine)
    image.header.set_xyzt_units("mm")
    path.write_bytes(gzip.compress(image.to_bytes(), compresslevel=9, mtime=0))


def make(folder: Path, say: Callable[[str], None]) -> None:
    """Write the four images of the example into `folder`."""
    t1, grey, white, affine = template()
    filled = np.argwhere(t1 > 0)
    low, high = filled.min(axis=0) - 2, filled.max(axis=0) + 3
    low, high = np.maximum(low, 0), np.minimum(high, t1.shape)
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    t1, grey, white = t1[box], grey[box], white[box]
    affine = affine.copy()
    affine[:3, 3] += low  # 1 mm voxels
    points = np.moveaxis(np.indices(t1.shape), 0, -1) + affine[:3, 3]

    tissues = tissue_map(t1, grey, white, points)
    seed_voxel = np.rint(np.array(SEED_MM) - affine[:3, 3]).astype(np.int64)
    labels = tumour(tissues, seed_voxel)
    structures = organs(points, tissues)
    folder.mkdir(parents=True, exist_ok=True)
    save(folder / "t1.nii.gz", painted(t1, labels, tissues), affine)
    save(folder / "tissues.nii.gz", tissues, affine)
    save(folder / "segmentation.nii.gz", labels, affine)
    save(folder / "structures.nii.gz", structures, affine)
    for name, data, numbers in (
        ("tissues", tissues, {"fluid": 1, "grey_matter": 2, "white_matter": 3}),
        ("tumour", labels, {"necrosis": 1, "flair": 2, "enhancing": 4}),
        ("organs", structures, {str(n): n for n in range(1, 7)}),
    ):
        volumes = ", ".join(f"{key} {(data == n).sum() / 1e3:.1f} mL" for key, n in numbers.items())
        say(f"{name}: {volumes}")


if __name__ == "__main__":
    here = Path(__file__).resolve().parent / "examples" / "glioblastoma"
    make(Path(sys.argv[1]) if len(sys.argv) > 1 else here, print)
