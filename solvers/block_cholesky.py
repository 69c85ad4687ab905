"""Incomplete Cholesky without fill of a matrix of 3 by 3 blocks, applied in single precision.

``A ~ U^T D U`` with U of unit blocks on the diagonal and A's pattern above it. As a
preconditioner it need not be exact, so the factors are kept in single precision, which
halves the memory that a sweep reads.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from twin.compiled import compiled, compiled_sums

__all__ = ["BlockCholesky"]


class BlockCholesky:
    """The factors of a symmetric positive matrix.

    Parameters
    ----------
    upper : bsr_matrix
        Its upper triangle of 3 by 3 blocks: columns ascending, the diagonal first in each row.

    Examples
    --------
    >>> block = np.array([[[4.0, 1.0, 0.0], [1.0, 3.0, 0.0], [0.0, 0.0, 2.0]]])
    >>> upper = scipy.sparse.bsr_matrix((block, [0], [0, 1]))
    >>> solution = np.zeros(3)
    >>> BlockCholesky(upper).apply(np.array([5.0, 4.0, 2.0]), solution)
    >>> solution.round(6).tolist()
    [1.0, 1.0, 1.0]
    """

    def __init__(self, upper: scipy.sparse.bsr_matrix) -> None:
        blocks = upper.data.copy()
        inverse = np.empty((len(upper.indptr) - 1, 3, 3))
        #: Diagonal blocks that lost their positiveness and were taken from the matrix itself.
        self.replaced = int(_factor(upper.indptr, upper.indices, upper.data, blocks, inverse))
        self._pattern = upper.indptr, upper.indices
        self._blocks, self._inverse = blocks.astype(np.float32), inverse.astype(np.float32)
        self._work = np.empty(upper.shape[0], np.float32)

    def apply(self, right: NDArray[np.float64], solution: NDArray[np.float64]) -> None:
        """Write the factors' solution of a right side to `solution`."""
        self._work[:] = right
        _sweep(*self._pattern, self._blocks, self._inverse, self._work)
        solution[:] = self._work


@compiled
def _inverse_of(a, out):
    """Inverse of a symmetric 3 by 3 block; False where it is not positive."""
    c00 = a[1, 1] * a[2, 2] - a[1, 2] * a[2, 1]
    c01 = a[0, 2] * a[2, 1] - a[0, 1] * a[2, 2]
    c02 = a[0, 1] * a[1, 2] - a[0, 2] * a[1, 1]
    det = a[0, 0] * c00 + a[1, 0] * c01 + a[2, 0] * c02
    minor = a[0, 0] * a[1, 1] - a[0, 1] * a[1, 0]
    if not (a[0, 0] > 0.0 and minor > 0.0 and det > 0.0):
        return False
    out[0, 0], out[0, 1], out[0, 2] = c00 / det, c01 / det, c02 / det
    out[1, 0], out[1, 1] = c01 / det, (a[0, 0] * a[2, 2] - a[0, 2] * a[2, 0]) / det
    out[2, 0], out[2, 2] = c02 / det, minor / det
    out[1, 2] = (a[0, 2] * a[1, 0] - a[0, 0] * a[1, 2]) / det
    out[2, 1] = out[1, 2]
    return True


@compiled
def _factor(starts, columns, original, blocks, inverse):
    """Turn the matrix's blocks into those of U, row by row, and invert D."""
    replaced = 0
    scaled = np.empty((3, 3))
    for k in range(starts.shape[0] - 1):
        first, last = starts[k] + 1, starts[k + 1]
        if not _inverse_of(blocks[first - 1], inverse[k]):
            replaced += 1
            _inverse_of(original[first - 1], inverse[k])
        for p in range(first, last):
            # D U of this block is what the matrix has left here: U = D^-1 (D U)
            left = blocks[p].copy()
            for i in range(3):
                for j in range(3):
                    scaled[i, j] = 0.0
                    for m in range(3):
                        scaled[i, j] += inverse[k, i, m] * left[m, j]
            row, at = columns[p], starts[columns[p]]
            for q in range(p, last):
                while at < starts[row + 1] and columns[at] < columns[q]:
                    at += 1
                if at == starts[row + 1]:
                    break
                if columns[at] != columns[q]:
                    continue
                # blocks[q] still holds D U: only the blocks before p are finished
                for i in range(3):
                    for j in range(3):
                        for m in range(3):
                            blocks[at, i, j] -= scaled[m, i] * blocks[q, m, j]
            blocks[p] = scaled
    return replaced


@compiled_sums
def _sweep(starts, columns, blocks, inverse, x):
    """Solve ``U^T D U x = x`` in place."""
    rows = starts.shape[0] - 1
    for i in range(rows):
        x0, x1, x2 = x[3 * i], x[3 * i + 1], x[3 * i + 2]
        for p in range(starts[i] + 1, starts[i + 1]):
            j = 3 * columns[p]
            x[j] -= blocks[p, 0, 0] * x0 + blocks[p, 1, 0] * x1 + blocks[p, 2, 0] * x2
            x[j + 1] -= blocks[p, 0, 1] * x0 + blocks[p, 1, 1] * x1 + blocks[p, 2, 1] * x2
            x[j + 2] -= blocks[p, 0, 2] * x0 + blocks[p, 1, 2] * x1 + blocks[p, 2, 2] * x2
        d = inverse[i]
        x[3 * i] = d[0, 0] * x0 + d[0, 1] * x1 + d[0, 2] * x2
        x[3 * i + 1] = d[1, 0] * x0 + d[1, 1] * x1 + d[1, 2] * x2
        x[3 * i + 2] = d[2, 0] * x0 + d[2, 1] * x1 + d[2, 2] * x2
    for i in range(rows - 1, -1, -1):
        s0, s1, s2 = x[3 * i], x[3 * i + 1], x[3 * i + 2]
        for p in range(starts[i] + 1, starts[i + 1]):
            j = 3 * columns[p]
            x0, x1, x2 = x[j], x[j + 1], x[j + 2]
            s0 -= blocks[p, 0, 0] * x0 + blocks[p, 0, 1] * x1 + blocks[p, 0, 2] * x2
            s1 -= blocks[p, 1, 0] * x0 + blocks[p, 1, 1] * x1 + blocks[p, 1, 2] * x2
            s2 -= blocks[p, 2, 0] * x0 + blocks[p, 2, 1] * x1 + blocks[p, 2, 2] * x2
        x[3 * i], x[3 * i + 1], x[3 * i + 2] = s0, s1, s2
