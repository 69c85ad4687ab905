"""A patient without meshes: the voxels, and all that is written about the patient."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from twin.assemble import doses_of, read_written, structures_of, temperatures_of
from twin.built_folder import read_built
from twin.calendar import Calendar
from twin.hypoxia import HypoxiaImage
from twin.model_choice import ModelChoice
from twin.parameters import ParameterSet
from twin.patient import Grid, Structure, check_organ_parameters
from twin.patient_images import read_voxels
from twin.planned_dose import PlannedDose
from twin.regimen import Regimen
from twin.setup_error import SetupError
from twin.temperature_map import TemperatureMap

if TYPE_CHECKING:
    from twin.guided_target import GuidedTarget

__all__ = ["Anatomy", "read_anatomy"]


@dataclass(frozen=True, slots=True, eq=False)
class Anatomy:
    """What doses and dates need of a patient; the fields are those of `twin.patient.Twin`.

    Parameters
    ----------
    name : str
    grid : Grid
    tissues : ndarray of int8, shape of the grid
    structures : mapping of str to Structure
    parameters : ParameterSet
    calendar : Calendar
    body_surface_m2 : float, [m2]
    delivered : Regimen
        Treatment given already, with its days.
    doses : mapping of str to PlannedDose
        Of treatment plans, for courses of radiotherapy that name one.
    gfr_ml_min : float or None, [mL/min]
        Glomerular filtration rate, for drugs that are dosed by it.
    setup : SetupError or None
        Where the dose of every course goes instead of its place.
    hypoxia : HypoxiaImage or None
        By which the effect of radiation varies from place to place.
    temperatures : mapping of str to TemperatureMap
        Of hyperthermia, for courses that name one.
    model : ModelChoice
        The growth model.
    perfusion : ndarray of float32 or None, shape of the grid
        Over its reference, [1], for drugs that are delivered by it.
    guided : mapping of str to GuidedTarget
        None: density-guided targets need a mesh.
    """

    name: str
    grid: Grid
    tissues: NDArray[np.int8]
    structures: Mapping[str, Structure]
    parameters: ParameterSet
    calendar: Calendar
    body_surface_m2: float
    delivered: Regimen
    doses: Mapping[str, PlannedDose]
    gfr_ml_min: float | None = None
    setup: SetupError | None = None
    hypoxia: HypoxiaImage | None = None
    temperatures: Mapping[str, TemperatureMap] = field(default_factory=dict)
    model: ModelChoice = field(default_factory=ModelChoice)
    perfusion: NDArray[np.float32] | None = None
    guided: Mapping[str, GuidedTarget] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_organ_parameters(self.structures, self.parameters)

    @property
    def content_hash(self) -> str:
        """Hexadecimal SHA-256 of grid, tissues and masks."""
        digest = hashlib.sha256(b"anatomy")
        digest.update(repr(self.grid.shape).encode() + self.grid.affine.tobytes())
        digest.update(self.tissues.tobytes())
        for name, structure in sorted(self.structures.items()):
            digest.update(name.encode() + np.packbits(structure.mask).tobytes())
        return digest.hexdigest()


def read_anatomy(path: str | os.PathLike[str]) -> Anatomy:
    """The patient of a ``patient.toml``, or of a built folder, without making meshes.

    Parameters
    ----------
    path : path
        As `twin.load` takes it.

    Raises
    ------
    InvalidInput, GeometryMismatch
        One sentence about the first thing that is wrong.
    """
    place = Path(path)
    if place.is_dir() and not (place / "patient.toml").is_file():
        built = read_built(place)
        return Anatomy(
            name=built.name,
            grid=built.grid,
            tissues=built.tissues,
            structures=built.structures,
            parameters=built.parameters,
            calendar=built.calendar,
            body_surface_m2=built.body_surface_m2,
            delivered=built.delivered,
            doses=built.doses,
            gfr_ml_min=built.gfr_ml_min,
            hypoxia=built.hypoxia,
            temperatures=built.temperatures,
            model=built.model,
            perfusion=built.perfusion,
        )
    file = place / "patient.toml" if place.is_dir() else place
    content, parameters, delivered = read_written(file)
    voxels = read_voxels(content, parameters, file.parent, file.name)
    return Anatomy(
        name=content.patient.name,
        grid=voxels.grid,
        tissues=voxels.tissues,
        structures=structures_of(content, voxels),
        parameters=parameters,
        calendar=content.calendar,
        body_surface_m2=content.patient.body_surface,
        delivered=delivered,
        doses=doses_of(content, voxels, file),
        gfr_ml_min=content.patient.gfr,
        hypoxia=voxels.hypoxia,
        temperatures=temperatures_of(content, voxels, file),
        model=content.model.choice,
        perfusion=voxels.perfusion,
    )
