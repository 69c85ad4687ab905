"""Meshes whose shape is known exactly: a box, and a ball.

What has a closed form lives on a box or a ball; the patient's mesher is not needed there.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from twin.errors import InvalidInput
from twin.mesh import Mesh

__all__ = ["ball_mesh", "box_mesh"]


def box_mesh(
    lengths: Sequence[float],
    counts: Sequence[int],
    *,
    label: Callable[[NDArray[np.float64]], NDArray[np.integer]] | None = None,
    names: Mapping[int, str] | None = None,
) -> Mesh:
    """A box from the origin, each brick of it cut into the six tetrahedra of Kuhn.

    Neighbouring bricks are mirror images, so a closed side is a plane of symmetry.

    Parameters
    ----------
    lengths : sequence of float, [mm], shape (3,)
    counts : sequence of int, shape (3,)
        Bricks along each side.
    label : callable or None
        Gives the label of each tetrahedron from its centre, [mm], shape (cell, 3); all
        are 1, white matter, if None.
    names : mapping of int to str or None
        Names of the labels.

    Raises
    ------
    InvalidInput
        A side or a number of bricks that is not positive.

    Examples
    --------
    >>> mesh = box_mesh((3.0, 2.0, 1.0), (3, 2, 1))
    >>> len(mesh.points), len(mesh.cells), round(float(mesh.cell_volume.sum()), 9)
    (24, 36, 6.0)
    """
    if not (len(lengths) == len(counts) == 3 and min(lengths) > 0.0 and min(counts) >= 1):
        raise InvalidInput(
            f"A box of {lengths!r} mm in {counts!r} bricks cannot be meshed; give three sides "
            "above 0 mm and three counts from 1."
        )
    nx, ny, nz = counts
    axes = [np.linspace(0.0, side, n + 1) for side, n in zip(lengths, counts, strict=True)]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    number = np.arange(len(points)).reshape(nx + 1, ny + 1, nz + 1)
    brick = np.stack(np.meshgrid(*map(np.arange, counts), indexing="ij"), axis=-1).reshape(-1, 3)
    parts = []
    for order in itertools.permutations(range(3)):
        corner = np.zeros(3, int)
        path = []
        for axis in (None, *order):
            if axis is not None:
                corner[axis] = 1
            at = brick + np.where(brick % 2 == 1, 1 - corner, corner)
            path.append(number[tuple(at.T)])
        parts.append(np.stack(path, axis=1))
    cells = np.concatenate(parts)
    _turn_outward(points, cells)
    if label is None:
        return Mesh(points, cells, np.ones(len(cells), np.int16), names or {1: "white_matter"})
    labels = np.asarray(label(points[cells].mean(axis=1)), np.int16)
    return Mesh(points, cells, labels, names or {1: "white_matter"})


def ball_mesh(radius: float, layers: int) -> Mesh:
    """A ball around the origin: a cube of ``2 layers`` bricks a side, drawn in to the sphere.

    A point at x goes to ``x |x|_max / |x|``, so cubes become spheres; the surface is
    met to the second order of the cell size.

    Parameters
    ----------
    radius : float, [mm]
    layers : int
        Elements from the centre to the surface.

    Examples
    --------
    >>> mesh = ball_mesh(3.0, 2)
    >>> len(mesh.points), round(float(abs(mesh.points).max()), 9)
    (125, 3.0)
    """
    if not (0.0 < radius < np.inf and layers >= 1):
        raise InvalidInput(
            f"A ball of radius {radius!r} mm in {layers!r} layers cannot be meshed; give a radius "
            "above 0 mm and at least one layer."
        )
    cube = box_mesh((2.0, 2.0, 2.0), (2 * layers,) * 3)
    inside = cube.points - 1.0
    inside[np.abs(inside) < 1e-12] = 0.0
    length = np.linalg.norm(inside, axis=1)
    largest = np.abs(inside).max(axis=1)
    factor = np.divide(largest, length, out=np.zeros_like(length), where=length > 0)
    points = radius * inside * factor[:, None]
    cells = np.array(cube.cells)
    _turn_outward(points, cells)
    return Mesh(points, cells, cube.cell_label, cube.label_names)


def _turn_outward(points: NDArray[np.float64], cells: NDArray[np.integer]) -> None:
    """Reorder the nodes of inverted tetrahedra, in place."""
    inverted = np.linalg.det(points[cells[:, 1:]] - points[cells[:, :1]]) < 0
    cells[inverted] = cells[inverted][:, [0, 1, 3, 2]]
