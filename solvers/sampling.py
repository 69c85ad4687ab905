"""Compiled: means over elements of images that are interpolated linearly, and their adjoint."""

from __future__ import annotations

import numpy as np

from twin.compiled import compiled

__all__ = ["element_means", "element_means_adjoint"]


@compiled
def _place(position, side):
    """First of the two voxels about a position, the weight of the second, and whether inside."""
    inside = 0.0 < position < side - 1.0
    kept = min(max(position, 0.0), side - 1.0)
    first = min(int(kept), max(side - 2, 0))
    return first, kept - first, inside


@compiled
def element_means(images, corners, cells, barycentric, result):
    """Mean of each image over the sample points of the elements `cells`, into `result`.

    Parameters
    ----------
    images : ndarray, shape (image, i, j, k)
    corners : ndarray, [voxel], shape (cell, 4, 3)
        Of all elements, in voxels of the images.
    cells : ndarray of int
    barycentric : ndarray, [1], shape (point, 4)
    result : ndarray, shape (cell, image)
    """
    count, si, sj, sk = images.shape
    share = 1.0 / len(barycentric)
    more_i, more_j, more_k = min(1, si - 1), min(1, sj - 1), min(1, sk - 1)
    for c in cells:
        for m in range(count):
            result[c, m] = 0.0
        for b in range(len(barycentric)):
            x = y = z = 0.0  # scalars: an array for each point would cost ten times as much
            for corner in range(4):
                weight = barycentric[b, corner]
                x += weight * corners[c, corner, 0]
                y += weight * corners[c, corner, 1]
                z += weight * corners[c, corner, 2]
            i, p, _ = _place(x, si)
            j, q, _ = _place(y, sj)
            k, r, _ = _place(z, sk)
            ii, jj, kk = i + more_i, j + more_j, k + more_k
            for m in range(count):
                near = images[m, i, j, k] * (1.0 - r) + images[m, i, j, kk] * r
                far = images[m, i, jj, k] * (1.0 - r) + images[m, i, jj, kk] * r
                low = near * (1.0 - q) + far * q
                near = images[m, ii, j, k] * (1.0 - r) + images[m, ii, j, kk] * r
                far = images[m, ii, jj, k] * (1.0 - r) + images[m, ii, jj, kk] * r
                high = near * (1.0 - q) + far * q
                result[c, m] += share * (low * (1.0 - p) + high * p)


@compiled
def element_means_adjoint(images, corners, nodes, cells, barycentric, cotangent, result):
    """Add the gradient of ``sum(cotangent * means)`` by each node's position, [1/voxel].

    `nodes` are the elements' node numbers, shape (cell, 4); `result` has shape (node, 3).
    """
    count, si, sj, sk = images.shape
    share = 1.0 / len(barycentric)
    slope = np.empty(3)
    for c in cells:
        for b in barycentric:
            x = b[0] * corners[c, 0] + b[1] * corners[c, 1] + b[2] * corners[c, 2]
            x = x + b[3] * corners[c, 3]
            i, p, ini = _place(x[0], si)
            j, q, inj = _place(x[1], sj)
            k, r, ink = _place(x[2], sk)
            slope[:] = 0.0
            for di in range(min(2, si)):
                for dj in range(min(2, sj)):
                    for dk in range(min(2, sk)):
                        a = p if di else 1.0 - p
                        e = q if dj else 1.0 - q
                        f = r if dk else 1.0 - r
                        total = 0.0
                        for m in range(count):
                            total += cotangent[c, m] * images[m, i + di, j + dj, k + dk]
                        if ini:
                            slope[0] += (2 * di - 1) * e * f * total
                        if inj:
                            slope[1] += (2 * dj - 1) * a * f * total
                        if ink:
                            slope[2] += (2 * dk - 1) * a * e * total
            for n in range(4):
                for axis in range(3):
                    result[nodes[c, n], axis] += share * b[n] * slope[axis]
