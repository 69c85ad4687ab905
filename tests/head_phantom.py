"""A head in closed form for tests of registration: ellipsoids, evaluated at any point."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from twin.images import Image

SPACING_MM = 4.0
SHAPE = (40, 46, 40)
#: (centre, half axes) [mm]: an outline, the brain, and what breaks its symmetry.
SKIN = ((0, 0, 0), (62, 76, 60))
BRAIN = ((0, 0, 0), (55, 69, 53))
WHITE = ((-2, 3, 2), (44, 57, 41))
DEEP = ((0, 2, 0), (36, 48, 34))  # inside it nothing is folded
VENTRICLES = (((10, 2, 8), (6, 24, 9)), ((-13, -4, 6), (7, 18, 12)))
NUCLEUS = ((24, 12, -8), (11, 15, 10))
STEM = ((3, -22, -34), (11, 13, 26))
FLUID_LABEL, GREY_LABEL, WHITE_LABEL, NUCLEUS_LABEL = 1, 2, 3, 4
GREYS = np.array([0.0, 60.0, 140.0, 220.0, 180.0])


def grid(shape=SHAPE, spacing=SPACING_MM):
    """Return the affine of a grid about the origin."""
    affine = np.diag([spacing, spacing, spacing, 1.0])
    affine[:3, 3] = -spacing * (np.array(shape) - 1) / 2.0
    return affine


def centres(shape=SHAPE, affine=None):
    """Return the voxels' centres, [mm], shape (*shape, 3)."""
    affine = grid(shape) if affine is None else affine
    return np.moveaxis(np.indices(shape), 0, -1) @ affine[:3, :3].T + affine[:3, 3]


def inside(points, ellipsoid):
    centre, half_axes = ellipsoid
    return (((points - np.array(centre)) / np.array(half_axes)) ** 2).sum(axis=-1) < 1.0


def labels(points):
    """Return the tissue at each point: 0 outside, 1 fluid, 2 grey, 3 white, 4 a nucleus."""
    found = np.zeros(points.shape[:-1], np.uint8)
    found[inside(points, SKIN)] = FLUID_LABEL
    found[inside(points, BRAIN)] = GREY_LABEL
    found[inside(points, WHITE)] = WHITE_LABEL
    x, y, z = np.moveaxis(points, -1, 0)
    folds = np.sin(x / 6.0 + 0.4) * np.sin(y / 7.0) * np.sin(z / 6.5 - 0.3)
    outer = inside(points, BRAIN) & ~inside(points, DEEP)
    found[outer & (folds > 0.35)] = FLUID_LABEL
    found[outer & (folds < -0.35)] = WHITE_LABEL
    found[inside(points, STEM)] = WHITE_LABEL
    found[inside(points, NUCLEUS)] = NUCLEUS_LABEL
    for ventricle in VENTRICLES:
        found[inside(points, ventricle)] = FLUID_LABEL
    return found


def picture(transform=lambda points: points, *, inverted=False, shape=SHAPE, affine=None, seed=3):
    """Return the image whose voxel at x shows the head at transform(x), with a little noise."""
    affine = grid(shape) if affine is None else affine
    side = np.linalg.norm(affine[:3, :3], axis=0)
    values = np.zeros(shape)
    for shift in np.array(np.meshgrid(*[(-0.25, 0.25)] * 3)).reshape(3, -1).T:  # partial volumes
        found = GREYS[labels(transform(centres(shape, affine) + shift * side))]
        values += np.where(found > 0, 260.0 - found, 0.0) / 8 if inverted else found / 8
    values += np.random.default_rng(seed).normal(0.0, 3.0, shape)
    return Image(values.astype(np.float32), affine)


def linear(angles_deg=(0.0, 0.0, 0.0), shift=(0.0, 0.0, 0.0), scale=(1.0, 1.0, 1.0)):
    """Return the matrix of a rotation after a stretch, and a shift."""
    matrix = np.eye(4)
    turn = Rotation.from_euler("xyz", angles_deg, degrees=True).as_matrix()
    matrix[:3, :3] = turn @ np.diag(scale)
    matrix[:3, 3] = shift
    return matrix


def apply(matrix, points):
    return points @ matrix[:3, :3].T + matrix[:3, 3]


def wave(points, amplitude=5.0):
    """Return the points moved smoothly by at most about `amplitude`, [mm]."""
    x, y, z = np.moveaxis(points, -1, 0) / 38.0
    by = np.stack([np.sin(y + 0.3), np.sin(z - 0.4) * np.cos(x), np.sin(x + y)], axis=-1)
    return points + amplitude * by / np.sqrt(3.0)


def with_tumour(image, centre=(-22.0, 20.0, 10.0), radius=15.0):
    """Return the image with a bright ring and a dark core painted in, and its mask."""
    distance = np.linalg.norm(centres(image.shape, image.affine) - np.array(centre), axis=-1)
    data = np.array(image.data)
    data[distance < radius] = 255.0
    data[distance < 0.5 * radius] = 20.0
    return Image(data, image.affine), Image((distance < radius).astype(np.uint8), image.affine)
