"""From a patient file and its images to a twin."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from twin.errors import InvalidInput
from twin.parameters import ParameterSet
from twin.patient import Structure, Twin
from twin.patient_file import MeshTable, PatientFile, read_patient_file
from twin.patient_images import PatientVoxels, read_voxels
from twin.patient_meshes import patient_meshes
from twin.planned_dose import PlannedDose, read_planned_dose
from twin.protocol import Progress
from twin.regimen import Regimen
from twin.site import site_of
from twin.temperature_map import TemperatureMap, read_temperature_map

__all__ = ["assemble", "doses_of", "read_written", "structures_of", "temperatures_of"]

Mask = NDArray[np.bool_]


def assemble(
    path: Path, *, mesh: MeshTable | None = None, progress: Progress | None = None
) -> Twin:
    """Return the twin that a ``patient.toml`` describes; meshes come from the cache if there.

    Raises
    ------
    InvalidInput, GeometryMismatch
        One sentence about the first thing that is wrong.
    """
    report: Progress = progress if progress is not None else lambda part, what: None
    content, parameters, delivered = read_written(path)
    report(0.0, "images")
    voxels = read_voxels(content, parameters, path.parent, path.name)
    report(0.05, "mesh")
    options = mesh if mesh is not None else content.mesh

    def part(begin: float, end: float, name: str) -> Progress:
        """The progress of a part of the meshing, which is all but the images."""
        return lambda done, what: report(
            0.05 + 0.95 * (begin + (end - begin) * done), f"{name}, {what}"
        )

    fine, coarse, coarsest = patient_meshes(voxels, options, parameters, path.parent, part)
    report(1.0, "done")
    return Twin(
        name=content.patient.name,
        mesh=fine,
        coarse_mesh=coarse,
        coarsest_mesh=coarsest,
        grid=voxels.grid,
        tissues=voxels.tissues,
        image=voxels.image,
        structures=structures_of(content, voxels),
        parameters=parameters,
        calendar=content.calendar,
        body_surface_m2=content.patient.body_surface,
        delivered=delivered,
        model=content.model.choice,
        tissue_probabilities=voxels.probabilities,
        tensor=voxels.tensor,
        evidence=voxels.evidence,
        hypoxia=voxels.hypoxia,
        doses=doses_of(content, voxels, path),
        gfr_ml_min=content.patient.gfr,
        perfusion=voxels.perfusion,
        temperatures=temperatures_of(content, voxels, path),
    )


def read_written(path: Path) -> tuple[PatientFile, ParameterSet, Regimen]:
    """What a ``patient.toml`` says, its parameters, and the treatment given before day 0."""
    content = read_patient_file(path)
    parameters = content.resolved_parameters(where=path.name)
    try:
        delivered = content.history.regimen(content.calendar)
    except InvalidInput as error:
        raise InvalidInput(f"{path.name}: {error}") from None
    return content, parameters, delivered


def doses_of(content: PatientFile, voxels: PatientVoxels, path: Path) -> dict[str, PlannedDose]:
    """The doses of treatment plans that the patient file at `path` names, on its grid."""
    return {
        name: read_planned_dose(
            table,
            path.parent,
            voxels.grid.shape,
            voxels.grid.affine,
            where=f"{path.name}: doses, {name}",
        )
        for name, table in content.doses.items()
    }


def temperatures_of(
    content: PatientFile, voxels: PatientVoxels, path: Path
) -> dict[str, TemperatureMap]:
    """The temperature maps that the patient file at `path` names, on its grid."""
    return {
        name: read_temperature_map(
            table,
            path.parent,
            voxels.grid.shape,
            voxels.grid.affine,
            where=f"{path.name}: temperatures, {name}",
        )
        for name, table in content.temperatures.items()
    }


def structures_of(content: PatientFile, voxels: PatientVoxels) -> dict[str, Structure]:
    """The tumour's parts, cavities, the brain and the organs at risk, by name.

    At another site than the brain, "brain" is all that the tissue map covers.
    """
    image = "segmentation of the reference visit"
    structures = {
        name: Structure(mask, "tumour", source=image) for name, mask in voxels.tumour.items()
    }
    structures |= {
        name: Structure(mask, "tumour", source="cavity of a resection")
        for name, mask in voxels.cavities.items()
    }
    core = voxels.tumour["enhancing"] | voxels.tumour["necrosis"]
    of_brain = "alpha_beta_brain" if site_of(content.parameters.set).is_brain else None
    structures["brain"] = Structure(
        (voxels.tissues > 0) | core, "organ", parameter=of_brain, source="tissue map"
    )
    tables = {} if content.structures is None else content.structures.labels
    for name, table in tables.items():
        mask = voxels.organs[name]
        structures[name] = Structure(
            mask, "organ", stylised=table.stylised, parameter=table.parameter, source=table.source
        )
    return structures
