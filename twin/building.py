"""Building and loading a patient."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from twin.assemble import assemble
from twin.built_folder import check_target, read_built, write_built
from twin.errors import InvalidInput
from twin.patient import Twin
from twin.patient_file import MeshTable, read_patient_file
from twin.protocol import Progress
from twin.quality_gate import (
    QualityFound,
    require_good_meshes,
    require_good_meshes_once,
)

__all__ = ["build", "load"]


def build(
    patient_toml: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    *,
    mesh: MeshTable | None = None,
    force: bool = False,
    more: Callable[[Twin, QualityFound, Path], object] | None = None,
    progress: Progress | None = None,
) -> Twin:
    """Return the twin of a ``patient.toml`` and write it into `folder`.

    Meshes are kept in the cache by their content, so that a second build takes
    no time. The folder appears when it is whole: ``twin.json``, ``mesh.npz``,
    ``coarse_mesh.npz``, ``coarsest_mesh.npz``, ``voxels.npz``, ``quality.txt``
    and ``quality.json``.

    Parameters
    ----------
    patient_toml : path
    folder : path
        New, empty, or a built patient. The same patient is left alone, another
        one is replaced only with `force`.
    mesh : MeshTable or None
        How fine the mesh is, or which file holds it (a relative path begins at
        the patient file's folder), instead of the file's ``[mesh]``.
    force : bool
    more : callable or None
        Writes further files: called with the twin, what the quality gate found, and the
        folder, before that appears under its name.
    progress : callable or None
        Called with the part done, 0 to 1, and what is being done.

    Raises
    ------
    InvalidInput, GeometryMismatch
        Bad input, or a folder that holds something else; nothing is written.
    MeshRejected
        A mesh is below a bar of the quality gate; nothing is written.
    StorageFailed
        The disk is full; nothing half-written stays.
    """
    target = Path(folder)
    check_target(target)
    file = _patient_file(Path(patient_toml))
    twin = assemble(file, mesh=mesh, progress=progress)
    options = mesh if mesh is not None else read_patient_file(file).mesh
    found = require_good_meshes(twin, options)
    remarks = (*twin.mesh_origins(), *found.remarks)
    write = None if more is None else lambda partial: more(twin, found, partial)
    write_built(twin, target, force=force, remarks=remarks, more=write)
    return twin


def load(
    path: str | os.PathLike[str],
    *,
    mesh: MeshTable | None = None,
    progress: Progress | None = None,
) -> Twin:
    """Return the twin of a ``patient.toml`` or of a built folder.

    Parameters
    ----------
    path : path
        A file is assembled (its meshes come from the cache where they were
        made before); a folder is one that `build` wrote, or one that holds a
        ``patient.toml``.
    mesh, progress
        As in `build`; a built folder takes no `mesh`.

    Raises
    ------
    InvalidInput, GeometryMismatch
        One sentence about the first thing that is wrong.
    MeshRejected
        A mesh that was made here is below a bar of the quality gate.
    """
    place = Path(path)
    if place.is_dir() and not (place / "patient.toml").is_file():
        if mesh is not None:
            raise InvalidInput(f"{place} is built already; its mesh cannot be changed by options.")
        return read_built(place)
    file = _patient_file(place)
    twin = assemble(file, mesh=mesh, progress=progress)
    require_good_meshes_once(twin, mesh if mesh is not None else read_patient_file(file).mesh)
    return twin


def _patient_file(path: Path) -> Path:
    return path / "patient.toml" if path.is_dir() else path
