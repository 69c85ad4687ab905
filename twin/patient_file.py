"""The file ``patient.toml``: what it may say, and its JSON schema."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from twin.calendar import Calendar
from twin.errors import InvalidInput
from twin.history_tables import HistoryTable, cavity_name
from twin.label_conventions import convention, convention_names
from twin.parameters import ParameterSet
from twin.parameters_table import ParametersTable
from twin.patient import MESH_LABELS
from twin.patient_tables import (
    LabelNumber,
    ModelTable,
    VisitTable,
    all_different,
)
from twin.planned_dose import PlannedDoseTable
from twin.radiotherapy import UNKNOWN_DOSE
from twin.site_tables import in_own_words
from twin.temperature_map import TemperatureTable
from twin.toml_file import FileModel, check, quantity, read_toml

__all__ = [
    "MeshTable",
    "PatientFile",
    "VisitTable",
    "cavity_name",
    "json_schema",
    "read_patient_file",
]


#: Tags that stand for one tissue in a mesh file: numbers, or names of physical groups.
MeshTags = int | str | tuple[int | str, ...]


class PatientTable(FileModel):
    """``[patient]``: who."""

    name: str = Field(
        default="patient", max_length=200, description="a pseudonym, never a real name"
    )
    body_surface: quantity("m2", example="1.8 m2", at_least=0.3, at_most=3.5)  # type: ignore[valid-type]
    gfr: quantity("mL/min", example="90 mL/min", at_least=5.0, at_most=250.0) | None = Field(  # type: ignore[valid-type]
        default=None, description="glomerular filtration rate, for carboplatin by its AUC"
    )


class StructureTable(FileModel):
    """One organ in ``[structures.labels]``."""

    label: LabelNumber
    parameter: str | None = Field(default=None, description="parameter that is its alpha/beta")
    stylised: bool = Field(default=False, description="drawn from coordinates, not from images")
    source: str = ""


class StructuresTable(FileModel):
    """``[structures]``: organs at risk."""

    file: str = Field(description="NIfTI file of organ labels")
    labels: dict[str, StructureTable] = Field(min_length=1)

    @model_validator(mode="after")
    def _names(self) -> StructuresTable:
        all_different({name: organ.label for name, organ in self.labels.items()})
        for name in self.labels:
            if name in ("necrosis", "enhancing", "flair", "brain", "gtv", "core", "cavity"):
                raise InvalidInput(f'"{name}" is a name of the program\'s own; choose another.')
        return self


class MeshTable(FileModel):
    """``[mesh]``: how fine the mesh is."""

    cell_size: quantity("mm", example="2.05 mm", at_least=0.5, at_most=20.0) = Field(  # type: ignore[valid-type]
        default=2.05, description="lattice cell around the tumour"
    )
    fine_margin: quantity("mm", example="20 mm", at_most=200.0) = Field(  # type: ignore[valid-type]
        default=20.0, description="how far around the core the mesh is fine"
    )
    far_cell_size: quantity("mm", example="7.2 mm", at_least=0.5, at_most=50.0) | None = Field(  # type: ignore[valid-type]
        default=None,
        description="largest lattice cell far from the tumour; four times cell_size if absent",
    )
    thin_cell_size: quantity("mm", example="4 mm", at_least=0.5, at_most=50.0) | None = Field(  # type: ignore[valid-type]
        default=None,
        description="smallest cell for thin layers far from the tumour; twice cell_size if absent",
    )
    front_time: quantity("day", example="90 day", at_most=3650.0) = Field(  # type: ignore[valid-type]
        default=0.0,
        description="as far as the tumour's front comes in this time, cells are no wider than it",
    )
    coarse_ratio: float = Field(
        default=1.6,
        ge=1.2,
        le=4.0,
        description="how much coarser the second mesh is, and the third than it (1.6 at most)",
    )
    seed: int = Field(default=0, ge=0)
    file: str | None = Field(
        default=None, description="a mesh of one's own: .msh, .vtu or .xdmf, with tissue tags"
    )
    coarse_file: str | None = Field(
        default=None, description="a coarser one for the error bars; made here if absent"
    )
    labels: dict[str, MeshTags] = Field(
        default={}, description="tags of each tissue in the file, by number or by name"
    )
    tags: str | None = Field(
        default=None, description="the file's array of tags, where it has several"
    )
    coordinates: Literal["RAS", "LPS"] = "RAS"
    unit: Literal["mm", "cm", "m"] = "mm"

    @property
    def far_mm(self) -> float:
        """Largest lattice cell, [mm]."""
        return 4.0 * self.cell_size if self.far_cell_size is None else self.far_cell_size

    @property
    def thin_mm(self) -> float:
        """Smallest lattice cell for thin layers far from the tumour, [mm]."""
        return (
            min(2.0 * self.cell_size, self.far_mm)
            if self.thin_cell_size is None
            else self.thin_cell_size
        )

    @model_validator(mode="after")
    def _order(self) -> MeshTable:
        if not self.far_mm >= self.cell_size:
            raise InvalidInput(
                f"far_cell_size ({self.far_mm:g} mm) must be at least cell_size "
                f"({self.cell_size:g} mm)."
            )
        if not self.cell_size <= self.thin_mm <= self.far_mm:
            raise InvalidInput(
                f"thin_cell_size ({self.thin_mm:g} mm) must lie between cell_size "
                f"({self.cell_size:g} mm) and the largest cells ({self.far_mm:g} mm)."
            )
        return self

    @model_validator(mode="after")
    def _own(self) -> MeshTable:
        if self.coarse_file is not None and self.file is None:
            raise InvalidInput("coarse_file goes with file; name the finer mesh as well.")
        known = (*MESH_LABELS, "outside")
        for name in self.labels:
            if name not in known:
                raise InvalidInput(
                    f'labels: "{name}" is no tissue of a mesh; known are {", ".join(known)}.'
                )
        return self


class PatientFile(FileModel):
    """A whole ``patient.toml``."""

    format: Literal[1]
    patient: PatientTable
    visit: tuple[VisitTable, ...] = Field(min_length=1, max_length=100)
    structures: StructuresTable | None = None
    parameters: ParametersTable
    markers: dict[str, str | int] = Field(
        default={}, description='from the laboratory: mgmt = "methylated", idh, grade'
    )
    model: ModelTable = ModelTable()
    mesh: MeshTable = MeshTable()
    history: HistoryTable = HistoryTable()
    doses: dict[str, PlannedDoseTable] = Field(
        default={}, description="doses of treatment plans, by a name for the study"
    )
    temperatures: dict[str, TemperatureTable] = Field(
        default={}, description="temperature maps of hyperthermia, by a name for the study"
    )

    @model_validator(mode="before")
    @classmethod
    def _in_words_of_the_site(cls, content: Any) -> Any:
        return in_own_words(content)

    @model_validator(mode="after")
    def _one_reference(self) -> PatientFile:
        marked = sum(visit.reference for visit in self.visit)
        if len(self.visit) > 1:
            raise InvalidInput(
                f"there are {len(self.visit)} visits, but follow-up visits are not used yet; "
                "keep the reference visit only."
            )
        if marked != 1:
            raise InvalidInput("no visit is the reference; write reference = true in it.")
        return self

    @model_validator(mode="after")
    def _dose_names(self) -> PatientFile:
        if UNKNOWN_DOSE in self.doses:
            raise InvalidInput(
                f'doses: "{UNKNOWN_DOSE}" stands for a dose that is not known; choose another name.'
            )
        return self

    @model_validator(mode="after")
    def _tensor_where_needed(self) -> PatientFile:
        if self.model.migration == "tensor" and self.reference.tensor is None:
            raise InvalidInput(
                'model, migration is "tensor", but the reference visit has no tensor; add '
                'tensor = { file = ..., order = ..., frame = ... } to it, or write "tissue".'
            )
        return self

    def resolved_parameters(self, *, where: str) -> ParameterSet:
        """The parameter set with this patient's own values, and as their markers make the rest."""
        return self.parameters.resolve(where=where, markers=self.markers)

    @property
    def reference(self) -> VisitTable:
        """The visit that is day 0."""
        return next(visit for visit in self.visit if visit.reference)

    @property
    def calendar(self) -> Calendar:
        """Day 0 is the date of the reference segmentation."""
        return Calendar(self.reference.date)


def read_patient_file(path: str | os.PathLike[str]) -> PatientFile:
    """Return the checked content of a ``patient.toml``.

    Raises
    ------
    InvalidInput
        One sentence about the first mistake.
    """
    file = Path(path)
    return check(PatientFile, read_toml(file, what="patient file"), where=file.name)


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of ``patient.toml``.

    Examples
    --------
    >>> sorted(json_schema()["required"])
    ['format', 'parameters', 'patient', 'visit']
    """
    schema = PatientFile.model_json_schema()
    labels = schema["$defs"]["VisitTable"]["properties"]["labels"]
    table = next(form for form in labels.pop("oneOf") if "$ref" in form)
    known = [name for name in convention_names() if convention(name).tumour]
    file = {"type": "string", "pattern": r"\.(toml|json)$"}
    labels["anyOf"] = [{"enum": known}, file, table]
    # a site other than the brain has names of its own, and `image` for what the brain calls t1
    for name in ("TissueLabels", "TumourLabels"):
        schema["$defs"][name]["additionalProperties"] = {"type": "integer"}
        schema["$defs"][name].pop("required", None)
    properties = schema["$defs"]["VisitTable"]["properties"]
    properties["image"] = {"type": "string", "description": "as t1, at sites other than the brain"}
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "patient.toml"
    return schema
