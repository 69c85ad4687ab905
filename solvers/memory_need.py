"""The memory that a run needs, and what the machine has left: known before the run begins."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from pathlib import Path

from twin.errors import InvalidInput

__all__ = ["available_memory", "check_memory", "memory_of_run"]

_MIB = 2**20

# Fitted to the figures in the docstring of `memory_of_run`.
_PROGRAM = 319 * _MIB  # interpreter, libraries and compiled kernels
_CELL_LOADED = 150  # bytes per cell of a mesh that is loaded
_CELL_RUN = 490  # bytes per cell that is run on: operators, distances, their making
_COARSER = 0.31  # cells of a mesh 1.6 times coarser near the tumour, over those of the finer one
_LOADED = 3  # meshes that come with every patient
_COPIES = 6  # of the state in float64: the stages of a step
_VOXEL = 32  # bytes per voxel: images, masks, and distances while they are made
_FIELD = 4  # bytes per value of a field that is kept
_STATE = 8  # bytes per value of the state


def memory_of_run(
    nodes: int,
    cells: int,
    field_times: int,
    *,
    meshes: int = 1,
    species: int = 3,
    fields: int = 1,
    checkpoints: int = 0,
    voxels: int = 0,
) -> int:
    """Most memory that a process holds that loads a patient and makes one run, [byte].

    Parameters
    ----------
    nodes, cells : int
        Of the mesh. Each coarser one counts as 0.31 of the one before; three are loaded.
    field_times : int
        Instants whose fields are kept, float32 at every node.
    meshes : int
        Meshes that are run on: more than one with error bars.
    species : int
        Rows of the state, float64.
    fields : int
        Fields kept at each instant.
    checkpoints : int
        States that an adjoint keeps.
    voxels : int
        Of the patient's grid.

    Notes
    -----
    Measured as the largest resident set (Debian 12, dolfinx 0.5, one thread, a built patient
    loaded and run with five fractions to the last field), against this estimate:

    ============ ======== ========== ======= ======= ======== ========== =========
    nodes        cells    voxels     fields  meshes  species  measured   estimate
    ============ ======== ========== ======= ======= ======== ========== =========
    4,730        25,802   24,389     0       1       3        338 MiB    337 MiB
    4,730        25,802   24,389     400     1       3        345 MiB    344 MiB
    27,308       158,154  24,389     0       1       3        438 MiB    429 MiB
    27,308       158,154  24,389     400     1       3        439 MiB    470 MiB
    27,308       158,154  24,389     0       2       3        438 MiB    452 MiB
    112,095      649,366  4,327,705  0       1       3        905 MiB    900 MiB
    112,095      649,366  4,327,705  100     1       3        955 MiB    943 MiB
    112,095      649,366  4,327,705  400     1       3        1,041 MiB  1,071 MiB
    112,095      649,366  4,327,705  0       2       3        989 MiB    994 MiB
    112,095      649,366  4,327,705  0       1       6        951 MiB    915 MiB
    ============ ======== ========== ======= ======= ======== ========== =========

    The first run on a machine compiles its forms and takes 26 MiB more. Making the meshes
    (``twin build``) and gathering a study's runs are not in it.

    Examples
    --------
    >>> memory_of_run(112_095, 649_366, 400, voxels=4_327_705) // 2**20
    1071
    """
    shares = [_COARSER**number for number in range(max(meshes, _LOADED))]
    loaded = cells * sum(shares[:_LOADED]) * _CELL_LOADED + voxels * _VOXEL
    run = cells * sum(shares[:meshes]) * _CELL_RUN
    states = nodes * species * _STATE * (_COPIES + checkpoints)
    kept = nodes * field_times * fields * _FIELD
    return int(_PROGRAM + loaded + run + states + kept)


def available_memory(*, root: Path = Path("/")) -> int:
    """What this process may hold in all: what it holds now and what is left, [byte].

    The least of what the machine has left, what every control group (version 1 or 2)
    around this process has left, and the limit on its address space.

    Parameters
    ----------
    root : Path
        Where ``proc`` and ``sys`` are.

    Examples
    --------
    >>> available_memory() > 2**20
    True
    """
    own = _own(root)
    left = [_machine_left(root), *_groups_left(root)]
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit != resource.RLIM_INFINITY:
        left.append(limit - _own(root, field=0))
    return own + max(0, min(left))


def check_memory(need_bytes: int, what: str, *, root: Path = Path("/")) -> None:
    """Refuse what needs more memory than there is, before it begins.

    Parameters
    ----------
    need_bytes : int
        As `memory_of_run` gives it: what the process holds already is part of it.
    what : str
        What needs it, as the beginning of the sentence: ``"The run with 400 fields"``.
    root : Path
        As in `available_memory`.

    Raises
    ------
    InvalidInput
        With both figures and what to do.

    Examples
    --------
    >>> check_memory(2**60, "The run with 400 fields")
    Traceback (most recent call last):
    twin.errors.InvalidInput: The run with 400 fields needs about 1152921504.6 GB of memory, ...
    """
    there = available_memory(root=root)
    if not need_bytes <= there:
        raise InvalidInput(
            f"{what} needs about {need_bytes / 1e9:.1f} GB of memory, but {there / 1e9:.1f} GB "
            "are available; keep fewer fields, take a coarser mesh or close other programs."
        )


def _own(root: Path, *, field: int = 1) -> int:
    """Resident memory of this process (its address space with field 0), [byte]."""
    try:
        pages = int((root / "proc/self/statm").read_text().split()[field])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def _machine_left(root: Path) -> int:
    """Memory of the machine that can be had without swapping, [byte]."""
    try:
        lines = (root / "proc/meminfo").read_text().splitlines()
        sizes = {line.split(":")[0]: int(line.split()[1]) for line in lines if ":" in line}
        return sizes["MemAvailable"] * 1024
    except (OSError, ValueError, IndexError, KeyError):
        names = ("SC_AVPHYS_PAGES", "SC_PHYS_PAGES")  # macOS knows only the second
        name = next(name for name in names if name in os.sysconf_names)
        return os.sysconf(name) * os.sysconf("SC_PAGE_SIZE")


def _groups_left(root: Path) -> Iterator[int]:
    """What each control group around this process has left of its limit, [byte].

    A group's files that can be dropped count as free, as in ``MemAvailable``.
    https://docs.kernel.org/admin-guide/cgroup-v2.html, section Memory;
    https://docs.kernel.org/admin-guide/cgroup-v1/memory.html.
    """
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        number, _, rest = line.partition(":")
        controllers, _, place = rest.partition(":")
        if number == "0" and not controllers:
            top, names = root / "sys/fs/cgroup", ("memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            top = root / "sys/fs/cgroup/memory"
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        inside = [part for part in place.split("/") if part not in ("", "..")]
        for depth in range(len(inside), -1, -1):
            left = _group_left(top.joinpath(*inside[:depth]), *names)
            if left is not None:
                yield left


def _group_left(folder: Path, limit: str, usage: str, droppable: str) -> int | None:
    """Return the memory left in one group, None where it has no limit."""
    try:
        most = (folder / limit).read_text().strip()
        if most == "max":
            return None
        used = int((folder / usage).read_text())
        statistics = dict(
            line.split() for line in (folder / "memory.stat").read_text().splitlines()
        )
        return int(most) - used + int(statistics.get(droppable, 0))
    except (OSError, ValueError):
        return None
