"""What every picture of a study needs, taken from the results and the twin once."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from twin.calendar import Calendar
from twin.errors import InvalidInput
from twin.events import Cavity, Schedule
from twin.regimen import Regimen
from twin.site import Site, site_from_record
from twin.targets import cavity_mask

if TYPE_CHECKING:
    from twin.patient import Twin

__all__ = ["Subject", "subject_of"]


@dataclass(frozen=True)
class Subject:
    """Results and patient of one study, with the lookups that pictures share.

    Parameters
    ----------
    results : xarray.Dataset
        By the result schema; one run, or a study with scenarios and cases.
    twin : Twin or None
        The patient; without it the anatomy is taken from the mesh.
    """

    results: xr.Dataset
    twin: Twin | None = None

    def __post_init__(self) -> None:
        for name in ("node_x", "node_y", "node_z", "cells", "tumour_volume_soft"):
            if name not in self.results.variables:
                raise InvalidInput(
                    f"The results have no variable {name!r}; pictures need results as "
                    "twin.open_results returns them."
                )
        count = self.results.sizes["node"]
        if self.twin is not None and len(self.twin.mesh.points) != count:
            raise InvalidInput(
                f"The results were computed on {count} nodes, but the mesh of the twin has "
                f"{len(self.twin.mesh.points)}; give the twin that the study was run with."
            )

    @cached_property
    def points(self) -> NDArray[np.float64]:
        """Node coordinates, [mm], RAS, shape (node, 3)."""
        axes = [np.asarray(self.results[f"node_{axis}"].values, np.float64) for axis in "xyz"]
        return np.stack(axes, axis=1)

    @cached_property
    def cells(self) -> NDArray[np.int64]:
        """Node numbers of every tetrahedron, shape (cell, 4)."""
        return np.asarray(self.results["cells"].values, np.int64)

    @cached_property
    def cell_label(self) -> NDArray[np.int64]:
        """Label of every tetrahedron, shape (cell,)."""
        return np.asarray(self.results["cell_label"].values, np.int64)

    @cached_property
    def label_names(self) -> dict[int, str]:
        """Name of every label."""
        names = json.loads(self.results.attrs.get("label_names", "{}"))
        return {int(number): str(name) for number, name in names.items()}

    @cached_property
    def tissue_cells(self) -> NDArray[np.int64]:
        """The tetrahedra outside fluid, where tumour can be, shape (cell, 4)."""
        fluid = [number for number, name in self.label_names.items() if name == "fluid"]
        return self.cells[~np.isin(self.cell_label, fluid)]

    @cached_property
    def site(self) -> Site:
        """The words of the site that the tumour lies at."""
        return site_from_record(self.results.attrs)

    @property
    def scenarios(self) -> list[str]:
        """Names of the scenarios in the order of the study; [""] for a single run."""
        if "scenario" not in self.results.dims:
            return [""]
        return [str(name) for name in self.results["scenario"].values]

    @property
    def cases(self) -> list[str]:
        """Names of the cases; the first is the reference that pictures show."""
        if "case" not in self.results.dims:
            return [""]
        return [str(name) for name in self.results["case"].values]

    @property
    def thresholds(self) -> dict[str, float]:
        """Level of each visibility threshold, [1]; the highest level first."""
        names = [str(name) for name in self.results["threshold"].values]
        levels = np.asarray(self.results["threshold_level"].values, float)
        pairs = zip(names, levels.tolist(), strict=True)
        return dict(sorted(pairs, key=lambda pair: -pair[1]))

    @cached_property
    def calendar(self) -> Calendar:
        """Days of the simulation as dates."""
        text = str(self.results.attrs.get("reference_date", ""))[:10]
        try:
            return Calendar(dt.date.fromisoformat(text))
        except ValueError as error:
            raise InvalidInput(
                f"The results' reference_date is {text!r}; it must be a date such as 2026-03-30."
            ) from error

    @cached_property
    def study(self) -> dict[str, Any]:
        """The study as it was resolved, as plain data; empty for a single run."""
        value = json.loads(self.results.attrs.get("study", "{}"))
        return value if isinstance(value, dict) else {}

    @cached_property
    def scenario_records(self) -> dict[str, Mapping[str, Any]]:
        """What the study says about each scenario, by name."""
        found = self.study.get("scenarios", self.study.get("scenario", {}))
        if isinstance(found, Mapping):
            return {str(name): record for name, record in found.items()}
        return {str(record["name"]): record for record in found if "name" in record}

    def regimen(self, scenario: str) -> Regimen:
        """The regimen of a scenario; an empty one where the results do not hold it."""
        record = self.scenario_records.get(scenario, {})
        entries = record.get("regimen", record.get("courses"))
        if entries is None and self.results.attrs.get("regimen"):
            stored = json.loads(self.results.attrs["regimen"])
            entries = stored.get(scenario) if isinstance(stored, dict) else stored
        if isinstance(entries, str):
            entries = json.loads(entries)
        return Regimen.from_dict(list(entries)) if entries else Regimen()

    def schedule(self, scenario: str) -> Schedule:
        """The events of a scenario in time order."""
        return self.regimen(scenario).schedule(self.calendar)

    def select(
        self, name: str, *, scenario: str | None = None, case: str | None = None
    ) -> xr.DataArray:
        """A variable of one scenario and case; the first of each if not named."""
        if name not in self.results.variables:
            raise InvalidInput(f"The results have no variable {name!r}.")
        array = self.results[name]
        for dim, value, known in (
            ("scenario", scenario, self.scenarios),
            ("case", case, self.cases),
        ):
            if dim in array.dims:
                if value is not None and value not in known:
                    raise InvalidInput(
                        f"There is no {dim} {value!r} in the results; there are {', '.join(known)}."
                    )
                array = array.isel({dim: 0 if value is None else known.index(value)})
        return array.isel(draw=0) if "draw" in array.dims else array

    def nearest_field_day(self, day: float) -> float:
        """The day nearest to `day` at which the density was kept, [day]."""
        if "field_time" not in self.results.dims or self.results.sizes["field_time"] == 0:
            raise InvalidInput("The results keep no density fields; run the study with fields.")
        days = np.asarray(self.results["field_time"].values, float)
        return float(days[np.abs(days - day).argmin()])

    def density(
        self, day: float, *, scenario: str | None = None, case: str | None = None
    ) -> NDArray[np.float64]:
        """Visible tumour density at the kept day nearest to `day`, [1], shape (node,)."""
        array = self.select("tumour_density", scenario=scenario, case=case)
        days = np.asarray(self.results["field_time"].values, float)
        index = int(np.abs(days - self.nearest_field_day(day)).argmin())
        return np.nan_to_num(np.asarray(array.isel(field_time=index).values, np.float64))

    def dose(self, scenario: str | None = None) -> NDArray[np.float64] | None:
        """Total physical dose of a scenario, [Gy], shape (node,); None where none is given."""
        if "dose" not in self.results.variables:
            return None
        dose = np.nan_to_num(np.asarray(self.select("dose", scenario=scenario).values, np.float64))
        return dose if dose.max() > 0 else None

    def prescription(self, scenario: str) -> float:
        """Prescribed dose of the first course, without its boost, [Gy]; 0 where there is none."""
        courses = self.regimen(scenario).radiotherapy
        if courses:
            return courses[0].total_dose_gy
        if "fraction_dose" in self.results.variables:
            return float(np.nansum(self.select("fraction_dose", scenario=scenario).values))
        return 0.0

    def boost(self, scenario: str) -> float:
        """Total dose of the simultaneous boost of a scenario, [Gy]; 0 where there is none."""
        doses = [
            course.boost_total_dose_gy or 0.0 for course in self.regimen(scenario).radiotherapy
        ]
        return max(doses, default=0.0)

    def fraction_days(self, scenario: str) -> NDArray[np.float64]:
        """Days of the fractions of a scenario, [day], shape (fraction,)."""
        if "fraction_day" in self.results.variables:
            days = np.asarray(self.select("fraction_day", scenario=scenario).values, float)
            return days[np.isfinite(days)]
        return np.array([event.day for event in self.schedule(scenario).fractions])

    def resected(self, scenario: str, day: float) -> list[str | Cavity]:
        """What is removed by `day` [day] in a scenario."""
        return [course.cavity for course in self.regimen(scenario).resections if course.day <= day]

    def structure_mask(self, name: str | Cavity) -> NDArray[np.bool_] | None:
        """Voxels of a structure of the twin; "core" is enhancing tumour with its necrosis.

        Of a cavity with a margin all that it reaches, its rim included.
        """
        if self.twin is None:
            return None
        if isinstance(name, Cavity):
            return cavity_mask(self.twin, name.structure, name.margin_mm)
        parts = ("enhancing", "necrosis") if name in ("core", "gtv") else (name,)
        masks = [self.twin.structures[part].mask for part in parts if part in self.twin.structures]
        return np.logical_or.reduce(masks) if masks else None

    @cached_property
    def brain_centre(self) -> NDArray[np.float64]:
        """Middle of the mesh's bounding box, [mm], shape (3,)."""
        return 0.5 * (self.points.min(axis=0) + self.points.max(axis=0))

    @cached_property
    def tumour_centre(self) -> NDArray[np.float64]:
        """Centre of the tumour on the first kept day of the first scenario, [mm], shape (3,)."""
        density = self.density(0.0)
        weight = np.where(density >= max(self.thresholds.values()), density, 0.0)
        if not weight.sum() > 0:
            weight = density
        if not weight.sum() > 0:
            return self.brain_centre
        return weight @ self.points / weight.sum()


def subject_of(results: xr.Dataset | Subject, twin: Twin | None = None) -> Subject:
    """`results` as a `Subject`; one that is given already is returned as it is."""
    if isinstance(results, Subject):
        return results if twin is None or results.twin is twin else Subject(results.results, twin)
    return Subject(results, twin)
