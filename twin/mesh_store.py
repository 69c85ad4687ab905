"""Meshes as files, and a cache of them by what they were made from."""

from __future__ import annotations

import json
import logging
import os
import zipfile
from collections.abc import Callable, Sequence
from importlib import resources
from pathlib import Path

import numpy as np

from twin.errors import InvalidInput
from twin.mesh import Mesh
from twin.storage import cache_folder, sha256_of, write_atomically

__all__ = ["cached_mesh", "mesher_source", "read_mesh", "write_mesh"]

_logger = logging.getLogger(__name__)


def write_mesh(path: str | os.PathLike[str], mesh: Mesh) -> None:
    """Write a mesh as a plain ``.npz`` file (arrays only, no pickle)."""
    names = json.dumps({str(number): name for number, name in mesh.label_names.items()})

    def write(temporary: Path) -> None:
        np.savez_compressed(
            temporary,
            points=mesh.points,
            cells=mesh.cells,
            cell_label=mesh.cell_label,
            label_names=np.frombuffer(names.encode(), np.uint8),
            origin=np.frombuffer(mesh.origin.encode(), np.uint8),
        )

    write_atomically(path, write)


def read_mesh(path: str | os.PathLike[str]) -> Mesh:
    """Return the mesh that `write_mesh` wrote.

    Raises
    ------
    InvalidInput
        Missing or damaged.
    """
    try:
        with Path(path).open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            names = json.loads(arrays["label_names"].tobytes().decode())
            origin = arrays["origin"].tobytes().decode() if "origin" in arrays.files else ""
            return Mesh(
                points=arrays["points"],
                cells=arrays["cells"],
                cell_label=arrays["cell_label"],
                label_names={int(number): str(name) for number, name in names.items()},
                origin=origin,
            )
    except (OSError, EOFError, KeyError, ValueError, AttributeError, zipfile.BadZipFile) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InvalidInput(f"The mesh {path} is damaged ({reason}); build it again.") from None


def cached_mesh(made_from: Sequence[object], make: Callable[[], Mesh]) -> Mesh:
    """Return the mesh that `make` makes, from the cache where it was made before.

    Parameters
    ----------
    made_from : sequence
        All that decides the mesh, as `sha256_of` takes it. The mesher's own
        source is added, so that a changed mesher makes new meshes.
    make : callable
        Called where the cache has no such mesh.
    """
    path = cache_folder() / "meshes" / f"{sha256_of(mesher_source(), *made_from)}.npz"
    if path.is_file():
        try:
            return read_mesh(path)
        except InvalidInput:
            _logger.warning("A mesh in the cache was damaged and is made again.")
    mesh = make()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_mesh(path, mesh)
    except OSError as error:  # a full or read-only cache costs time, not the result
        _logger.warning("The mesh was not kept for next time: %s", error)
    return mesh


def mesher_source() -> bytes:
    """Source of the mesher and its gate, for keys of what is kept of them."""
    files = [f for f in resources.files("twin.meshing").iterdir() if f.name.endswith(".py")]
    return b"".join(f.read_bytes() for f in sorted(files, key=lambda f: f.name))
