"""Meshes of boxes and of a ball in a box, for tests with closed forms."""

from __future__ import annotations

import itertools

import numpy as np

from twin.mesh import Mesh
from twin.meshing import build_mesh, wanted_cell_size

BALL_CENTRE_MM = np.array([17.7, 17.4, 17.1])


def box_mesh(lengths, counts, *, label=None, names=None) -> Mesh:
    """A box from the origin, each brick of it cut into the six tetrahedra of Kuhn.

    Neighbouring bricks are mirror images, so a closed side is a plane of symmetry.
    `label` gives the label of each tetrahedron from its centre, of shape (cell, 3).
    """
    nx, ny, nz = counts
    axes = [np.linspace(0.0, side, n + 1) for side, n in zip(lengths, counts, strict=True)]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    number = np.arange(len(points)).reshape(nx + 1, ny + 1, nz + 1)
    brick = np.stack(np.meshgrid(*map(np.arange, counts), indexing="ij"), axis=-1).reshape(-1, 3)
    cells = []
    for order in itertools.permutations(range(3)):
        corner = np.zeros(3, int)
        path = []
        for axis in (None, *order):
            if axis is not None:
                corner[axis] = 1
            at = brick + np.where(brick % 2 == 1, 1 - corner, corner)
            path.append(number[tuple(at.T)])
        cells.append(np.stack(path, axis=1))
    cells = np.concatenate(cells)
    edges = points[cells[:, 1:]] - points[cells[:, :1]]
    inverted = np.linalg.det(edges) < 0
    cells[inverted] = cells[inverted][:, [0, 1, 3, 2]]
    if label is None:
        return Mesh(points, cells, np.ones(len(cells)), names or {1: "white_matter"})
    return Mesh(points, cells, label(points[cells].mean(axis=1)), names)


def ball_in_a_box(fine_mm=2.5) -> Mesh:
    """The patient mesher's lattice, moved onto balls of 6 and 11 mm in a box of 30 mm."""
    radius = np.linalg.norm(
        np.moveaxis(np.indices((36, 36, 36)), 0, -1) - BALL_CENTRE_MM,
        axis=-1,
    )
    labels = np.zeros(radius.shape, int)
    labels[(slice(3, -3),) * 3] = 1
    labels[radius < 11.0] = 2
    labels[radius < 6.0] = 3
    size = wanted_cell_size(
        labels, 1.0, fine_mm=fine_mm, fine_region=labels > 1, coarse_mm=4 * fine_mm, grading=0.5
    )
    names = {1: "white_matter", 2: "enhancing", 3: "fluid"}
    return build_mesh(
        labels, np.eye(4), label_names=names, cell_size_mm=size, smallest_cell_mm=fine_mm
    )


def observed_order(sizes, errors) -> float:
    """Slope of log(error) over log(size), by least squares."""
    return float(np.polyfit(np.log(sizes), np.log(errors), 1)[0])
