"""The meshes of a twin held to the quality gate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from twin.assemble import mesh_labels
from twin.meshing.gate import LIMITS, OWN_MESH_LIMITS, Limits, MeshRejected, Verdict, judge
from twin.meshing.inspection import MeshInspection, inspect_mesh
from twin.patient import Twin
from twin.patient_file import MeshTable

__all__ = ["QualityFound", "judge_twin", "require_good_meshes"]

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


def _limits(options: MeshTable) -> dict[str, Limits]:
    return {
        "mesh": LIMITS if options.file is None else OWN_MESH_LIMITS,
        "coarse mesh": LIMITS if options.coarse_file is None else OWN_MESH_LIMITS,
        "coarsest mesh": LIMITS,
    }
