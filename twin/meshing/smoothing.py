"""Vertices moved to the interfaces while every tetrahedron keeps a good shape.

Each vertex in turn takes one safeguarded Newton step on the sum, over the
tetrahedra about it, of their inverse mean ratio to the sixth power, plus the
squared distances to the interfaces that it should lie on. The inverse mean
ratio of a tetrahedron with edges l and volume V is

    sum(l**2) / (12 (3 V)**(2/3)),

1 for a regular one and infinite for a flat one (A. Liu and B. Joe, Relationship
between tetrahedron shape measures, BIT 34, 268-287 (1994),
doi:10.1007/BF01955874; its use for smoothing: L. A. Freitag and
P. M. Knupp, Tetrahedral mesh improvement via optimization of the element
condition number, International Journal for Numerical Methods in Engineering
53, 1377-1391 (2002), doi:10.1002/nme.341). A step that would invert a
tetrahedron has infinite energy and is never taken, so a valid mesh stays valid.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from twin.compiled import compiled
from twin.meshing.geometry import FACES

__all__ = ["Star", "star_of", "sweep"]

Array = NDArray[Any]


class Star(NamedTuple):
    """The tetrahedra about each vertex: rows ``start[v]`` to ``start[v + 1]`` of `opposite`.

    Each row of `opposite`, shape (4 * cell, 3), is the face across from the
    vertex, turned so that (face, vertex) is positively oriented.
    """

    start: Array
    opposite: Array


def star_of(cells: Array, node_count: int) -> Star:
    """Return the star of every vertex."""
    return Star(*_star(np.ascontiguousarray(cells), node_count, FACES))


@compiled
def _star(cells: Array, node_count: int, faces: Array) -> tuple[Array, Array]:
    """Both parts of a `Star`; about a vertex, cells come in the order of their numbers."""
    start = np.zeros(node_count + 1, np.int64)
    for n in range(len(cells)):
        for k in range(4):
            start[cells[n, k] + 1] += 1
    for vertex in range(node_count):
        start[vertex + 1] += start[vertex]
    row = start[:-1].copy()
    opposite = np.empty((4 * len(cells), 3), cells.dtype)
    for n in range(len(cells)):
        for k in range(4):
            at = row[cells[n, k]]
            row[cells[n, k]] += 1
            for d in range(3):
                opposite[at, d] = cells[n, faces[k, d]]
    return start, opposite


@compiled
def _shape_energy(x: float, y: float, z: float, points: Array, face: Array) -> float:
    """Inverse mean ratio**6 of the tetrahedron (face, (x, y, z)); infinite if not positive."""
    a, b, c = face[0], face[1], face[2]
    bx, by, bz = (
        points[b, 0] - points[a, 0],
        points[b, 1] - points[a, 1],
        points[b, 2] - points[a, 2],
    )
    cx, cy, cz = (
        points[c, 0] - points[a, 0],
        points[c, 1] - points[a, 1],
        points[c, 2] - points[a, 2],
    )
    px, py, pz = x - points[a, 0], y - points[a, 1], z - points[a, 2]
    six_volumes = (by * cz - bz * cy) * px + (bz * cx - bx * cz) * py + (bx * cy - by * cx) * pz
    if not six_volumes > 1e-11:
        return np.inf
    edges = (
        (bx * bx + by * by + bz * bz + cx * cx + cy * cy + cz * cz + px * px + py * py + pz * pz)
        + ((bx - cx) ** 2 + (by - cy) ** 2 + (bz - cz) ** 2)
        + ((px - bx) ** 2 + (py - by) ** 2 + (pz - bz) ** 2)
        + ((px - cx) ** 2 + (py - cy) ** 2 + (pz - cz) ** 2)
    )
    cubed = (edges / 12.0) ** 3 / (0.5 * six_volumes) ** 2
    return cubed * cubed


@compiled
def _interface_energy(
    x: float, y: float, z: float, count: int, normal: Array, offset: Array
) -> float:
    """Sum of squared distances to up to three planes."""
    total = 0.0
    for k in range(count):
        distance = normal[k, 0] * x + normal[k, 1] * y + normal[k, 2] * z - offset[k]
        total += distance * distance
    return total


@compiled
def _add_shape_derivatives(
    position: Array, points: Array, face: Array, gradient: Array, hessian: Array
) -> tuple[float, float]:
    """Add one tetrahedron's derivatives; its energy and its three squared edges at the vertex.

    The Hessian leaves out the negative term of the squared edges' logarithm,
    so that it is positive definite.
    """
    a, b, c = face[0], face[1], face[2]
    bx, by, bz = (
        points[b, 0] - points[a, 0],
        points[b, 1] - points[a, 1],
        points[b, 2] - points[a, 2],
    )
    cx, cy, cz = (
        points[c, 0] - points[a, 0],
        points[c, 1] - points[a, 1],
        points[c, 2] - points[a, 2],
    )
    px = position[0] - points[a, 0]
    py = position[1] - points[a, 1]
    pz = position[2] - points[a, 2]
    nx, ny, nz = by * cz - bz * cy, bz * cx - bx * cz, bx * cy - by * cx
    six_volumes = nx * px + ny * py + nz * pz
    own_edges = (
        (px * px + py * py + pz * pz)
        + ((px - bx) ** 2 + (py - by) ** 2 + (pz - bz) ** 2)
        + ((px - cx) ** 2 + (py - cy) ** 2 + (pz - cz) ** 2)
    )
    edges = (
        own_edges
        + (bx * bx + by * by + bz * bz + cx * cx + cy * cy + cz * cz)
        + ((bx - cx) ** 2 + (by - cy) ** 2 + (bz - cz) ** 2)
    )
    cubed = (edges / 12.0) ** 3 / (0.5 * six_volumes) ** 2
    energy = cubed * cubed
    # logarithmic gradients of the volume (n / V) and of the inverse mean ratio (v)
    nx, ny, nz = nx / six_volumes, ny / six_volumes, nz / six_volumes
    vx = 2.0 * (3.0 * px - bx - cx) / edges - 2.0 / 3.0 * nx
    vy = 2.0 * (3.0 * py - by - cy) / edges - 2.0 / 3.0 * ny
    vz = 2.0 * (3.0 * pz - bz - cz) / edges - 2.0 / 3.0 * nz
    scale = 6.0 * energy
    gradient[0] += scale * vx
    gradient[1] += scale * vy
    gradient[2] += scale * vz
    round_part = scale * 6.0 / edges
    hessian[0] += round_part + scale * (6.0 * vx * vx + 2.0 / 3.0 * nx * nx)
    hessian[1] += scale * (6.0 * vx * vy + 2.0 / 3.0 * nx * ny)
    hessian[2] += scale * (6.0 * vx * vz + 2.0 / 3.0 * nx * nz)
    hessian[3] += round_part + scale * (6.0 * vy * vy + 2.0 / 3.0 * ny * ny)
    hessian[4] += scale * (6.0 * vy * vz + 2.0 / 3.0 * ny * nz)
    hessian[5] += round_part + scale * (6.0 * vz * vz + 2.0 / 3.0 * nz * nz)
    return energy, own_edges


@compiled
def _newton_step(gradient: Array, hessian: Array, step: Array) -> bool:
    """Solve the symmetric 3 x 3 system for minus the gradient; False if it is not definite."""
    xx, xy, xz, yy, yz, zz = hessian
    cofactor_xx = yy * zz - yz * yz
    cofactor_xy = xz * yz - xy * zz
    cofactor_xz = xy * yz - xz * yy
    determinant = xx * cofactor_xx + xy * cofactor_xy + xz * cofactor_xz
    if not determinant > 0.0:
        return False
    cofactor_yy = xx * zz - xz * xz
    cofactor_yz = xy * xz - xx * yz
    cofactor_zz = xx * yy - xy * xy
    gx, gy, gz = gradient
    step[0] = -(cofactor_xx * gx + cofactor_xy * gy + cofactor_xz * gz) / determinant
    step[1] = -(cofactor_xy * gx + cofactor_yy * gy + cofactor_yz * gz) / determinant
    step[2] = -(cofactor_xz * gx + cofactor_yz * gy + cofactor_zz * gz) / determinant
    return True


@compiled
def sweep(
    points: Array,
    vertices: Array,
    start: Array,
    opposite: Array,
    plane_count: Array,
    plane_normal: Array,
    plane_offset: Array,
    interface_weight: Array,
) -> float:
    """Move each of `vertices` by one safeguarded step; sum of the squared moves, [mm2].

    Parameters
    ----------
    points : ndarray, [mm], shape (node, 3)
        Changed in place.
    vertices : ndarray, shape (moved,)
        In the order in which they move.
    start, opposite : ndarray
        The two parts of a `Star`.
    plane_count : ndarray, shape (node,)
        Number of planes, up to three, that each vertex should lie on.
    plane_normal : ndarray, shape (node, 3, 3)
    plane_offset : ndarray, [mm], shape (node, 3)
    interface_weight : ndarray, [1], shape (node,)
        Weight of the distance to the planes, in mean edges, against the shape.
    """
    gradient, hessian = np.empty(3), np.empty(6)
    step, position = np.empty(3), np.empty(3)
    moved = 0.0
    for vertex in vertices:
        first, last = start[vertex], start[vertex + 1]
        position[:] = points[vertex]
        gradient[:] = 0.0
        hessian[:] = 0.0
        energy, squared_edges = 0.0, 0.0
        for row in range(first, last):
            one, edges = _add_shape_derivatives(position, points, opposite[row], gradient, hessian)
            energy += one
            squared_edges += edges
        squared_edge = squared_edges / (3 * (last - first))
        weight = interface_weight[vertex] * (last - first) / squared_edge
        normal, offset = plane_normal[vertex], plane_offset[vertex]
        count = plane_count[vertex]
        for k in range(count):
            nx, ny, nz = normal[k]
            distance = nx * position[0] + ny * position[1] + nz * position[2] - offset[k]
            energy += weight * distance * distance
            scale = 2.0 * weight
            gradient[0] += scale * distance * nx
            gradient[1] += scale * distance * ny
            gradient[2] += scale * distance * nz
            hessian[0] += scale * nx * nx
            hessian[1] += scale * nx * ny
            hessian[2] += scale * nx * nz
            hessian[3] += scale * ny * ny
            hessian[4] += scale * ny * nz
            hessian[5] += scale * nz * nz
        if not _newton_step(gradient, hessian, step):
            continue
        length = 1.0
        for _ in range(5):
            x = position[0] + length * step[0]
            y = position[1] + length * step[1]
            z = position[2] + length * step[2]
            trial = weight * _interface_energy(x, y, z, count, normal, offset)
            for row in range(first, last):
                trial += _shape_energy(x, y, z, points, opposite[row])
                if not trial < energy:
                    break
            if trial < energy:
                points[vertex, 0], points[vertex, 1], points[vertex, 2] = x, y, z
                moved += length * length * (step[0] ** 2 + step[1] ** 2 + step[2] ** 2)
                break
            length *= 0.4
    return moved
