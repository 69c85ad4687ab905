"""What a quality page is about: one mesh with its image, and all that was measured of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from twin.mesh import Mesh
from twin.meshing.gate import LIMITS, OWN_MESH_LIMITS, Limits, Verdict
from twin.meshing.inspection import MeshInspection

if TYPE_CHECKING:
    from twin.meshing.surface_distance import SurfaceDistance
    from twin.meshing.transmissibility import NegativeShare
    from twin.patient import Twin
    from twin.patient_file import MeshTable
    from twin.quality_gate import QualityFound

__all__ = ["OtherMesh", "QualitySubject", "subject_of_mesh", "subject_of_twin"]


@dataclass(frozen=True, slots=True)
class OtherMesh:
    """A coarser mesh of the same patient.

    Parameters
    ----------
    mesh : Mesh
    inspection : MeshInspection
    verdict : Verdict
    """

    mesh: Mesh
    inspection: MeshInspection
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class QualitySubject:
    """One mesh and what was measured of it.

    Parameters
    ----------
    mesh : Mesh
    labels : ndarray of int, shape (i, j, k)
        Voxel labels that it was made from.
    affine : ndarray, [mm], shape (4, 4)
    image : ndarray or None, shape (i, j, k)
    centre : ndarray, [mm], shape (3,)
        Where the planes go through; `centre_of` says what is there.
    centre_of : str
    inspection : MeshInspection
    verdict : Verdict
    limits : Limits
    share : NegativeShare
        Of the diffusivities of the patient, or of one everywhere.
    share_of : str
        Which of the two.
    distances : mapping of str to SurfaceDistance
    others : mapping of str to OtherMesh
    notes : sequence of str
        Sentences about how the mesh was made.
    """

    mesh: Mesh
    labels: NDArray[Any]
    affine: NDArray[np.float64]
    image: NDArray[Any] | None
    centre: NDArray[np.float64]
    centre_of: str
    inspection: MeshInspection
    verdict: Verdict
    limits: Limits
    share: NegativeShare
    share_of: str
    distances: Mapping[str, SurfaceDistance]
    others: Mapping[str, OtherMesh] = field(default_factory=dict)
    notes: Sequence[str] = ()


def subject_of_twin(
    twin: Twin, found: QualityFound, options: MeshTable, *, notes: Sequence[str] = ()
) -> QualitySubject:
    """The mesh of a twin, cut through the centre of its tumour.

    Parameters
    ----------
    twin : Twin
    found : QualityFound
        Of `twin.quality_gate.judge_twin`.
    options : MeshTable
        Says which meshes come from files.
    notes : sequence of str
    """
    from solvers.element_diffusivity import element_diffusivity
    from twin.meshing.surface_distance import surface_distances
    from twin.meshing.transmissibility import negative_transmissibility_share
    from twin.patient_meshes import mesh_labels

    masks = [twin.structures[name].mask for name in ("enhancing", "necrosis")]
    labels = mesh_labels(twin.tissues, *masks)
    core = masks[0] | masks[1]
    if not core.any():
        core = twin.structures["flair"].mask
    grows = twin.model.grows
    diffusivity = (
        element_diffusivity(twin, twin.parameters) if grows else np.ones(len(twin.mesh.cells))
    )
    diffusivity[twin.mesh.cells_labelled("fluid")] = 0.0
    return QualitySubject(
        mesh=twin.mesh,
        labels=labels,
        affine=twin.grid.affine,
        image=twin.image,
        centre=_centre(core if core.any() else labels > 0, twin.grid.affine),
        centre_of="the tumour" if core.any() else f"the {twin.parameters.site.body}",
        inspection=found.inspections["mesh"],
        verdict=found.verdicts["mesh"],
        limits=LIMITS if options.file is None else OWN_MESH_LIMITS,
        share=negative_transmissibility_share(twin.mesh, diffusivity),
        share_of=(
            "the diffusivities of this patient" if grows else "the same diffusivity in all tissue"
        ),
        distances=surface_distances(twin.mesh, labels, twin.grid.affine, points=4000),
        others={
            name: OtherMesh(mesh, found.inspections[name], found.verdicts[name])
            for name, mesh in (
                ("coarse mesh", twin.coarse_mesh),
                ("coarsest mesh", twin.coarsest_mesh),
            )
        },
        notes=notes,
    )


def subject_of_mesh(
    mesh: Mesh,
    labels: NDArray[Any],
    affine: NDArray[np.float64],
    inspection: MeshInspection,
    verdict: Verdict,
    *,
    centre_of: str | None = None,
    image: NDArray[Any] | None = None,
    limits: Limits = LIMITS,
    notes: Sequence[str] = (),
) -> QualitySubject:
    """A mesh of any labels.

    Parameters
    ----------
    mesh : Mesh
    labels : ndarray of int, shape (i, j, k)
    affine : ndarray, [mm], shape (4, 4)
    inspection : MeshInspection
    verdict : Verdict
    centre_of : str or None
        Label through whose centre the planes go; all labels together if None.
    image : ndarray or None, shape (i, j, k)
    limits : Limits
    notes : sequence of str
    """
    from twin.meshing.surface_distance import surface_distances
    from twin.meshing.transmissibility import negative_transmissibility_share

    inside = labels > 0 if centre_of is None else labels == mesh.label_number(centre_of)
    return QualitySubject(
        mesh=mesh,
        labels=labels,
        affine=affine,
        image=image,
        centre=_centre(inside, affine),
        centre_of="all labels" if centre_of is None else f"the {centre_of.replace('_', ' ')}",
        inspection=inspection,
        verdict=verdict,
        limits=limits,
        share=negative_transmissibility_share(mesh),
        share_of="the same diffusivity everywhere",
        distances=surface_distances(mesh, labels, affine, points=4000),
        notes=notes,
    )


def _centre(mask: NDArray[np.bool_], affine: NDArray[np.float64]) -> NDArray[np.float64]:
    """RAS position of the voxel of a mask nearest to its mean, [mm]."""
    places = np.argwhere(mask)
    place = places[((places - places.mean(axis=0)) ** 2).sum(axis=1).argmin()]
    centre: NDArray[np.float64] = affine[:3, :3] @ place + affine[:3, 3]
    return centre
