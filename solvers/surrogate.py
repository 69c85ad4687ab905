"""The surrogate: a patient's what-ifs in milliseconds, with an interval and a guard.

A reduced run on shells around the tumour (`solvers.shells`) gives the physics of
the question: its schedule, dose, drug and growth to the horizon. An ensemble of
small neural networks, trained on runs of the finite-element solver for this
patient, gives what the reduction loses: the ratio of the true volumes to the
reduced ones, and the coefficients of a few modes of the density. Split-conformal
intervals are scaled by the ensemble's spread; what lies outside the training
domain goes to the solver.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from solvers.finite_element import NUMERICS_VERSION, FiniteElementSolver
from solvers.output import run_dataset
from solvers.prepared import prepare
from solvers.surrogate_check import held_out_summary, volumes
from solvers.surrogate_store import read_model, write_model
from solvers.surrogate_training import Plan, Trained, spread_of, train
from solvers.training_domain import Range, TrainingDomain, default_ranges
from solvers.treatment import Treatment
from twin.errors import GeometryMismatch, InvalidInput
from twin.model_choice import ModelChoice
from twin.parameters import ParameterSet
from twin.patient import Twin
from twin.protocol import Progress, Save, State, checked_thresholds, checked_times
from twin.regimen import Regimen
from twin.response import time_to_progression
from twin.results import describe_variables

__all__ = ["Answer", "SurrogateSolver"]

THRESHOLDS = ("t1gd", "flair")


@dataclass(frozen=True, slots=True)
class Answer:
    """What the surrogate says of one question.

    Parameters
    ----------
    times : ndarray, [day], shape (time,)
    soft, low, high : ndarray, [mm3], shape (threshold, time)
        Softened volumes at T1Gd and FLAIR with the ends of their 90 % intervals.
    viable : ndarray, [mm3], shape (time,)
        Integral of the viable density.
    time_to_progression : dict of str to float, [day]
        By threshold; infinite where it is not reached.
    progression_error_day : dict of str to float, [day]
        Error that 90 % of the held-out runs did not exceed.
    """

    times: NDArray[np.float64]
    soft: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    viable: NDArray[np.float64]
    time_to_progression: dict[str, float]
    progression_error_day: dict[str, float]


@dataclass(frozen=True, slots=True)
class SurrogateSolver:
    """A trained surrogate of one patient; made by `train` or `load`.

    Parameters
    ----------
    trained : Trained
    about : mapping
        Hash of the twin, versions, numerics.
    """

    trained: Trained
    about: Mapping[str, Any]

    @classmethod
    def train(
        cls,
        twin: Twin,
        reference: Regimen,
        *,
        horizon_day: float = 540.0,
        ranges: Mapping[str, Range] | None = None,
        plan: Plan | None = None,
        seed: int = 0,
        threads: int = 2,
        progress: Progress | None = None,
    ) -> SurrogateSolver:
        """Train a surrogate of `twin` on runs of the finite-element solver.

        Parameters
        ----------
        twin : Twin
        reference : Regimen
            One course of radiotherapy, with temozolomide or without: its target,
            margins and drug schedule hold for every answer.
        horizon_day : float, [day]
        ranges : mapping of str to Range, optional
            Of the eight inputs; around the patient's own values by default.
        plan : Plan, optional
            Numbers of runs and sizes of the networks.
        seed : int
            Of the design and the networks.
        threads : int
        progress : callable, optional

        Raises
        ------
        InvalidInput
            A reference that cannot be varied, ranges that are empty or reversed,
            fewer runs than can be checked.
        NotConverged
            A training run failed.
        """
        if twin.model != ModelChoice():
            raise InvalidInput(
                "A surrogate learns logistic growth with migration by tissue, not "
                f"{twin.model.describe()}; leave [model] out of the patient file, or ask the "
                "finite-element solver."
            )
        if twin.evidence is not None and twin.evidence.density is not None:
            raise InvalidInput(
                "A surrogate learns a tumour that begins from its outlines, and this patient's "
                "begins from a density in images; leave density out of the patient file, or ask "
                "the finite-element solver."
            )
        if twin.hypoxia is not None:
            raise InvalidInput(
                "A surrogate learns one radiosensitivity for all places, and this patient's varies "
                "by a hypoxia image; leave hypoxia out of the patient file, or ask the "
                "finite-element solver."
            )
        if not 28.0 <= horizon_day <= 3650.0:
            raise InvalidInput(
                f"The horizon is {horizon_day:g} day; a surrogate learns 28 to 3650 days."
            )
        chosen = default_ranges(twin.parameters) if ranges is None else dict(ranges)
        domain = TrainingDomain(chosen, reference, twin.parameters, float(horizon_day))
        trained = train(
            twin,
            domain,
            plan=Plan() if plan is None else plan,
            seed=seed,
            threads=threads,
            progress=progress,
        )
        about = {
            "twin_hash": twin.content_hash,
            "numerics_version": NUMERICS_VERSION,
            "name": twin.name,
        }
        return cls(trained, about)

    @property
    def capabilities(self) -> frozenset[str]:
        """What this solver answers by itself."""
        drug = {"temozolomide"} if self.domain.reference.temozolomide else set()
        return frozenset({"radiotherapy", "dead_pool", *drug})

    @property
    def domain(self) -> TrainingDomain:
        """The questions that the surrogate answers."""
        return self.trained.reduced.domain

    def options(self) -> dict[str, Any]:
        """Every choice that alters a result."""
        return {
            "solver": "surrogate",
            "numerics_version": self.about["numerics_version"],
            **self.trained.record["runs"],
            "seed": self.trained.record["seed"],
        }

    def answer(
        self,
        regimen: Regimen,
        parameters: ParameterSet,
        times: Sequence[float] | NDArray[np.float64] | None = None,
    ) -> Answer:
        """Volumes with intervals, in milliseconds, at weekly times or the given ones [day].

        Raises
        ------
        OutsideTrainingDomain
            With every reason why the question lies outside.
        """
        grid = self.trained.reduced.grid()
        wanted = grid if times is None else checked_times(times, what="Output times")
        self.domain.check(regimen, parameters, wanted)
        reduced = self.trained.reduced.answer(regimen, parameters)
        members = self.trained.scalars.predict(reduced.features)
        middle = reduced.logs + members.mean(axis=0)
        half = self.trained.interval_factor * (spread_of(members) + self.trained.interval_floor)
        start = regimen.schedule(self.trained.reduced.calendar).fractions[0].day
        curve = volumes(middle)
        errors = self.summary()["held_out"]
        names = dict(zip(THRESHOLDS, ("T1Gd volume", "FLAIR volume"), strict=True))
        progression = {
            name: time_to_progression(grid, curve[:, k], start_day=start)
            for k, name in enumerate(THRESHOLDS)
        }

        def at(logs: NDArray[np.float64]) -> NDArray[np.float64]:
            return volumes(np.stack([np.interp(wanted, grid, column) for column in logs.T]))

        best, low, high = at(middle), at(middle - half), at(middle + half)
        return Answer(
            wanted,
            best[:2],
            low[:2],
            high[:2],
            best[2],
            progression,
            {k: errors[v]["progression_error_days"]["p90"] for k, v in names.items()},
        )

    def density(
        self,
        regimen: Regimen,
        parameters: ParameterSet,
        days: Sequence[float] | NDArray[np.float64],
    ) -> NDArray[np.float32]:
        """Visible density at the nodes, [1], shape (day, node)."""
        wanted = checked_times(days, what="Field times")
        self.domain.check(regimen, parameters, wanted)
        reduced = self.trained.reduced.answer(regimen, parameters)
        grid = self.trained.reduced.grid()
        coefficients = self.trained.fields.predict(reduced.features).mean(axis=0)
        visible = _rows_at(wanted, grid, reduced.visible)
        weights = self.trained.reduced.shells.weights
        return self.trained.modes.density(weights, visible, _rows_at(wanted, grid, coefficients))

    def solve(
        self,
        twin: Twin,
        regimen: Regimen,
        times: Sequence[float],
        *,
        save: Save | None = None,
        start: State | None = None,
        error_bars: bool = False,
        progress: Progress | None = None,
        outside: str = "solver",
    ) -> xr.Dataset:
        """One run by the result schema, softened volumes with their 90 % intervals.

        A question outside of the training domain, one that goes on from a state, or one
        with other thresholds goes to the finite-element solver: attrs ``answered_by``
        and ``surrogate_refused`` say so.

        Parameters
        ----------
        outside : {"solver", "raise"}
            "raise" gives `OutsideTrainingDomain` instead.

        Raises
        ------
        GeometryMismatch
            The model was trained on another twin.
        """
        if twin.content_hash != self.about["twin_hash"]:
            raise GeometryMismatch(
                "The model was trained on another patient or mesh; train one for this twin."
            )
        save = Save() if save is None else save
        every = np.union1d(np.asarray(times, np.float64), np.asarray(save.fields_at))
        reasons = self.domain.refusals(regimen, twin.parameters, every)
        thresholds = checked_thresholds(None, twin.parameters)
        if save.thresholds is not None and dict(save.thresholds) != thresholds:
            reasons.append("other thresholds were trained")
        if start is not None:
            reasons.append("it cannot go on from a state")
        if save.fewest_from is not None:
            reasons.append("it does not know the density of the fewest cells")
        if reasons and outside == "raise":
            self.domain.check(regimen, twin.parameters, every)
        if reasons:
            found = FiniteElementSolver().solve(
                twin, regimen, times, save=save, start=start, error_bars=error_bars,
                progress=progress,
            )  # fmt: skip
            found.attrs["answered_by"] = "finite_element"
            found.attrs["surrogate_refused"] = "; ".join(reasons)
            return found
        answer = self.answer(regimen, twin.parameters, times)
        fields = np.asarray(save.fields_at, np.float64)
        density = np.zeros((0, len(twin.mesh.points)), np.float32)
        if len(fields):
            density = self.density(regimen, twin.parameters, fields)
        dose = Treatment(prepare(twin), regimen, twin.parameters).total_dose()
        capacity = twin.parameters.value("carrying_capacity")
        result = run_dataset(
            twin, regimen, self.options(), thresholds=thresholds, times=answer.times,
            hard=np.full_like(answer.soft, np.nan), soft=answer.soft,
            burden=answer.viable * capacity, field_times=fields, density=density, dose=dose,
        ).drop_vars("tumour_volume")  # fmt: skip
        dims = ("threshold", "time")
        result = describe_variables(
            result.assign(
                tumour_volume_soft_low=(dims, answer.low),
                tumour_volume_soft_high=(dims, answer.high),
            )
        )
        result.attrs["answered_by"] = "surrogate"
        return result

    def save(self, folder: Path | str, **more: Any) -> None:
        """Store the model as a folder, whole or not at all; `more` goes on its card."""
        write_model(Path(folder), self.trained, {**self.about, **more})

    @classmethod
    def load(cls, folder: Path | str) -> SurrogateSolver:
        """The model stored in `folder`; refuses files that are cut short or edited."""
        trained, card = read_model(Path(folder))
        known = ("twin_hash", "numerics_version", "name", "patient", "inputs", "reference_name")
        return cls(trained, {key: card[key] for key in known if key in card})

    def summary(self) -> dict[str, Any]:
        """What it was trained on and what its held-out runs say, as plain values."""
        held_out = self.trained.record.get("held_out")
        if held_out is None:
            held_out = held_out_summary(self.trained.held_out)
            self.trained.record["held_out"] = held_out
        return {
            "record": {k: v for k, v in self.trained.record.items() if k != "held_out"},
            "held_out": held_out,
            "domain": self.domain.as_dict()["ranges"],
            "horizon_day": self.domain.horizon_day,
        }

    def describe(self) -> str:
        """Training, errors on held-out runs and the treatments covered, in plain sentences."""
        record, held_out = self.trained.record, self.summary()["held_out"]
        runs, seconds = record["runs"], record["seconds"]
        lines = [
            f"Surrogate of {self.about['name']!r}, trained on {runs['training']} runs of the "
            f"finite-element solver on {record['nodes']:,} nodes (batch on the study's mesh), "
            f"{runs['calibration']} more for its intervals; {runs['held_out']} held out to check "
            "it.",
            "Seconds: " + ", ".join(f"{what} {value:g}" for what, value in seconds.items()) + ".",
            "",
            f"Error on the {held_out['runs']} held-out runs, volumes above 1 ml, softened, to "
            f"day {self.domain.horizon_day:g}:",
        ]
        for name in ("FLAIR volume", "T1Gd volume", "viable tumour"):
            entry = held_out[name]
            error = entry["error_percent"]
            if error is None:
                lines.append(f"  {name}: never above 1 ml")
                continue
            text = (
                f"  {name}: median {error['median']:.2f} %, 95th percentile {error['p95']:.1f} %, "
                f"worst {error['worst']:.0f} %; 90 % interval covers "
                f"{100 * entry['interval_coverage_of_times']:.0f} % of the times"
            )
            if "dice" in entry:
                text += (
                    f"; progression within 7 days in "
                    f"{entry['progression_within_7_days_percent']:.0f} %; Dice of the outline "
                    f"{entry['dice']['median']:.3f} in the median"
                )
            lines.append(text)
        lines += ["", "It answers, and hands everything else to the solver:"]
        lines += [f"  {line}" for line in self.reference_text()]
        for name, limits in self.domain.ranges.items():
            unit = "" if limits.unit == "1" else f" {limits.unit}"
            lines.append(f"  {name.replace('_', ' ')}: {limits.low:.4g} to {limits.high:.4g}{unit}")
        lines.append("  no resection, boost, other target or margin; temozolomide as above or none")
        return "\n".join(lines)

    def reference_text(self) -> list[str]:
        """The treatment that what-ifs change, in sentences."""
        return self.domain.reference.describe(self.trained.reduced.calendar)


def _rows_at(times: NDArray, grid: NDArray, rows: NDArray) -> NDArray[np.float64]:
    """Rows at `times`, linear in between, shape (time, ...)."""
    k = np.clip(np.searchsorted(grid, times, side="right") - 1, 0, len(grid) - 2)
    share = ((times - grid[k]) / (grid[k + 1] - grid[k]))[:, None]
    return (1.0 - share) * rows[k] + share * rows[k + 1]
