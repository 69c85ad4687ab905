"""The meshes of a twin held to the quality gate."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from twin.mesh_store import mesher_source
from twin.meshing.gate import LIMITS, OWN_MESH_LIMITS, Limits, MeshRejected, Verdict, judge
from twin.meshing.inspection import MeshInspection, inspect_mesh
from twin.patient import Twin
from twin.patient_file import MeshTable
from twin.patient_meshes import mesh_labels
from twin.storage import StorageFailed, cache_folder, sha256_of, write_atomically

__all__ = ["QualityFound", "judge_twin", "require_good_meshes", "require_good_meshes_once"]

_logger = logging.getLogger(__name__)

_REMEDY = (
    "ask for other cells with cell_size or far_cell_size of [mesh], or for another seed, or mend "
    "the segmentation there"
)
_OWN_REMEDY = "improve the mesh there, or leave it out so that one is made here"


@dataclass(frozen=True, slots=True)
class QualityFound:
    """What the gate found of the meshes of a twin, by "mesh", "coarse mesh", "coarsest mesh".

    Parameters
    ----------
    inspections : mapping of str to MeshInspection
        The mesh itself held against the voxels; of the coarser ones, which are there for
        the error bars and are meant to resolve less, the elements alone.
    verdicts : mapping of str to Verdict
    """

    inspections: Mapping[str, MeshInspection]
    verdicts: Mapping[str, Verdict]

    @property
    def remarks(self) -> tuple[str, ...]:
        """What is said about meshes that pass: targets missed, thin and tiny labels."""
        return tuple(
            f"{name}: {remark}"
            for name, verdict in self.verdicts.items()
            for remark in (
                *(f"{found}, short of the target" for found in verdict.short),
                *verdict.remarks,
            )
        )


def judge_twin(twin: Twin, options: MeshTable) -> QualityFound:
    """Return what the gate finds; a mesh from a file is held to the bars for such meshes.

    Parameters
    ----------
    twin : Twin
    options : MeshTable
        Says which of its meshes come from files.
    """
    core = (twin.structures[name].mask for name in ("enhancing", "necrosis"))
    labels = mesh_labels(twin.tissues, *core)
    found = {
        "mesh": inspect_mesh(twin.mesh, labels, twin.grid.affine),
        "coarse mesh": inspect_mesh(twin.coarse_mesh),
        "coarsest mesh": inspect_mesh(twin.coarsest_mesh),
    }
    limits = _limits(options)
    verdicts = {name: judge(figures, limits[name]) for name, figures in found.items()}
    return QualityFound(MappingProxyType(found), MappingProxyType(verdicts))


def require_good_meshes(twin: Twin, options: MeshTable) -> QualityFound:
    """Return what the gate finds where every mesh passes.

    Raises
    ------
    MeshRejected
        With the first mesh below a bar: what, where, and what to do.
    """
    found = judge_twin(twin, options)
    limits = _limits(options)
    for name, verdict in found.verdicts.items():
        if not verdict.passed:
            remedy = _OWN_REMEDY if limits[name] is OWN_MESH_LIMITS else _REMEDY
            raise MeshRejected(name, verdict, remedy, twin)
    return found


def require_good_meshes_once(twin: Twin, options: MeshTable) -> None:
    """As `require_good_meshes`, but meshes that passed here before are not measured again.

    What passed is kept in the cache, by the content of meshes and voxels and by the gate's
    own source.
    """
    meshes = (twin.mesh, twin.coarse_mesh, twin.coarsest_mesh)
    key = sha256_of(
        mesher_source(),
        [mesh.content_hash for mesh in meshes],
        twin.tissues,
        *(twin.structures[name].mask for name in ("enhancing", "necrosis")),
        twin.grid.affine,
        sorted(_limits(options).items(), key=lambda item: item[0]).__repr__(),
    )
    passed = cache_folder() / "meshes" / f"{key}.passed"
    if passed.is_file():
        return
    require_good_meshes(twin, options)
    try:
        passed.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(passed, lambda temporary: temporary.write_text("passed\n"))
    except (OSError, StorageFailed) as error:
        _logger.warning("That the meshes are good was not kept for next time: %s", error)


def _limits(options: MeshTable) -> dict[str, Limits]:
    return {
        "mesh": LIMITS if options.file is None else OWN_MESH_LIMITS,
        "coarse mesh": LIMITS if options.coarse_file is None else OWN_MESH_LIMITS,
        "coarsest mesh": LIMITS,
    }
