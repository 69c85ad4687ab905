"""Meshes of a ball and of a thick-walled sphere, for tests with closed forms."""

from __future__ import annotations

import numpy as np

from tests.box_meshes import box_mesh
from twin.mesh import Mesh


def shell_mesh(n, layers, inner, outer):
    """A thick-walled sphere: the six sides of a cube, cut into triangles, in geometric layers."""
    ticks = np.tan(np.linspace(-np.pi / 4, np.pi / 4, n + 1))
    cube = np.stack(np.meshgrid(ticks, ticks, ticks, indexing="ij"), axis=-1)
    surface = (np.abs(cube) > 1.0 - 1e-9).any(axis=-1)
    number = np.full(surface.shape, -1)
    number[surface] = np.arange(surface.sum())
    direction = cube[surface] / np.linalg.norm(cube[surface], axis=1, keepdims=True)
    triangles = []
    for axis in range(3):
        for end in (0, n):
            side = np.take(number, end, axis=axis)
            a, b, c, d = side[:-1, :-1], side[1:, :-1], side[1:, 1:], side[:-1, 1:]
            triangles += [np.stack([a, b, c], -1), np.stack([a, c, d], -1)]
    # Vertices in ascending order: neighbouring prisms then cut their common side alike.
    triangles = np.sort(np.concatenate([t.reshape(-1, 3) for t in triangles]), axis=1)
    radii = np.geomspace(inner, outer, layers + 1)
    points = (radii[:, None, None] * direction).reshape(-1, 3)
    cells = []
    for layer in range(layers):
        a, b, c = (triangles + layer * len(direction)).T
        d, e, f = (triangles + (layer + 1) * len(direction)).T
        cells += [np.stack(t, 1) for t in ((a, b, c, f), (a, b, e, f), (a, d, e, f))]
    mesh = _oriented(points, np.concatenate(cells))
    return mesh, triangles


def ball_mesh(n, radius):
    """A ball: a cube's bricks moved along their rays, finer towards the centre."""
    box = box_mesh((2.0, 2.0, 2.0), (n, n, n))
    points = box.points - 1.0
    size, length = np.abs(points).max(axis=1), np.linalg.norm(points, axis=1)
    factor = np.divide(radius * size**1.5, length, out=np.zeros(len(points)), where=length > 0)
    return _oriented(points * factor[:, None], box.cells)


def _oriented(points, cells):
    cells = np.array(cells)
    edges = points[cells[:, 1:]] - points[cells[:, :1]]
    inverted = np.linalg.det(edges) < 0
    cells[inverted] = cells[inverted][:, [0, 1, 3, 2]]
    return Mesh(points, cells, np.ones(len(cells)), {1: "white_matter"})
