"""What the machine can do, so that seconds measured on two of them can be compared."""

from __future__ import annotations

import math
import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import numpy as np
import scipy.sparse

__all__ = ["Reference", "busy_seconds", "describe_machine", "grid_laplacian", "reference"]

#: Working set of the triad: three arrays of doubles, well beyond a processor's caches.
TRIAD_MEGABYTES = 3 * 32
#: Nodes along each side of the cube of the sparse product: about as many as the head's mesh.
SIDE = 48
PACKAGES = ("numpy", "scipy", "numba", "torch", "xarray", "pyvista")


@dataclass(frozen=True, slots=True)
class Reference:
    """Speed of one thread.

    Parameters
    ----------
    triad_gb_s : float, [GB/s]
        ``a = s c`` and ``a = b + a`` in numpy, five arrays moved, 40 bytes an element.
    product_ms : float, [ms]
        One product of `grid_laplacian(SIDE)` with a vector, in double precision.
    """

    triad_gb_s: float
    product_ms: float

    def mean(self, other: Reference) -> Reference:
        """Between a measurement before and one after; harmonic where it is a speed."""
        speed = 2.0 / (1.0 / self.triad_gb_s + 1.0 / other.triad_gb_s)
        return Reference(speed, 0.5 * (self.product_ms + other.product_ms))


def reference(*, megabytes: float = TRIAD_MEGABYTES, side: int = SIDE) -> Reference:
    """Measure the machine, in about half a second."""
    length = int(megabytes * 1e6 / 3 / 8)
    b, c, a = np.ones(length), np.full(length, 2.0), np.empty(length)

    def triad() -> None:
        np.multiply(c, 3.0, out=a)
        np.add(b, a, out=a)

    matrix = grid_laplacian(side)
    vector = np.linspace(0.0, 1.0, matrix.shape[0])
    gigabytes = 5 * 8 * length / 1e9
    return Reference(gigabytes / _best(triad, 5), 1e3 * _best(lambda: matrix @ vector, 15))


def _best(what: Callable[[], object], times: int) -> float:
    """Shortest of several runs, [s]; the first, which touches the memory, does not count."""
    what()
    found = []
    for _ in range(times):
        begin = time.perf_counter()
        what()
        found.append(time.perf_counter() - begin)
    return min(found)


def grid_laplacian(side: int) -> scipy.sparse.csr_matrix:
    """A 27-point operator on a cube of nodes, shape (side^3, side^3), rows sum to 0 inside."""
    line = scipy.sparse.diags([1.0, 1.0, 1.0], [-1, 0, 1], shape=(side, side))
    ones = scipy.sparse.kron(scipy.sparse.kron(line, line), line)
    return (27.0 * scipy.sparse.identity(side**3) - ones).tocsr()


def busy_seconds() -> float:
    """Processor seconds of all programs since the machine began, [s]; NaN where it is not known."""
    try:
        with Path("/proc/stat").open(encoding="ascii") as file:
            user, nice, system, _, _, interrupt, soft, *_ = map(int, file.readline().split()[1:])
    except (OSError, ValueError):
        return math.nan
    return (user + nice + system + interrupt + soft) / os.sysconf("SC_CLK_TCK")


def describe_machine() -> dict[str, object]:
    """Processor, number of cores, load and versions."""
    model = platform.processor() or platform.machine()
    information = Path("/proc/cpuinfo")
    if information.is_file():
        for line in information.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    versions = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "not known"
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "versions": versions,
    }
