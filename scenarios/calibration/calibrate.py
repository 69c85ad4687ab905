"""Fitting a patient in a folder, and what came of it in words."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from scenarios.calibration.case import Case
from scenarios.calibration.store import FitFolder, draws_of, posterior_dataset
from solvers.calibration.draws import Draws, check_effective
from solvers.calibration.fit import LITTLE, fit
from twin.errors import InvalidInput
from twin.parameters import LogNormal, ParameterSet
from twin.protocol import Progress
from twin.storage import sha256_of

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["Calibrated", "calibrate", "summary", "summary_text"]

#: Raised by hand when what a fit keeps changes.
FIT_FORMAT = 1
INTERVAL = (0.05, 0.5, 0.95)


@dataclass(frozen=True, slots=True)
class Calibrated:
    """A fit in a folder.

    Parameters
    ----------
    posterior : xarray.Dataset
    found_before : bool
        It was finished already; nothing was run.
    """

    posterior: xr.Dataset
    found_before: bool


def calibrate(
    case: Case,
    folder: str | Path,
    *,
    resume: bool = False,
    starts: int = 4,
    effective: int = 1000,
    seed: int = 0,
    threads: int = 1,
    progress: Progress | None = None,
) -> Calibrated:
    """Fit a patient in a folder, or go on with it there.

    Every block of runs is kept as it is made, so that a fit that was stopped goes on where it
    was: the same runs are asked for again and found.

    Raises
    ------
    InvalidInput
        The folder holds something else, or an unfinished fit without `resume`.
    NotConverged
        No most likely point, or draws that cannot be trusted; nothing is written as if it had.
    """
    place = FitFolder(Path(folder))
    if not 1 <= starts <= 64:
        raise InvalidInput(f"There are {starts} starts; give 1 to 64.")
    check_effective(effective)
    inputs = sha256_of([FIT_FORMAT, case.inputs, starts, effective, seed])
    unfinished = place.record is not None and not place.finished
    place.begin(inputs, case)
    if place.finished:
        return Calibrated(place.posterior(), True)
    if unfinished and not resume:
        raise InvalidInput(f"The fit in {folder} is not finished; add --resume to go on with it.")
    with place.locked():
        found = fit(
            case.twin,
            case.follow_ups,
            case.regimen,
            case.unknowns,
            case.how,
            starts=starts,
            effective=effective,
            seed=seed,
            threads=threads,
            records=place.records,
            progress=progress,
        )
        place.finish(posterior_dataset(case, found, inputs))
    return Calibrated(place.posterior(), False)


def summary(posterior: xr.Dataset, base: ParameterSet) -> list[dict[str, Any]]:
    """One row an unknown: prior and posterior with 90 % intervals, and how much was learnt.

    With both diffusivity and proliferation among the unknowns two rows follow of what scans
    tell better than either: the front's speed 2 sqrt(D rho) and its width sqrt(D/rho).

    Parameters
    ----------
    posterior : xarray.Dataset
    base : ParameterSet
        With the priors of the fit.
    """
    draws = draws_of(posterior)
    names = [str(name) for name in posterior.unknown.values]
    values = np.asarray(posterior.value.values, np.float64)
    found = draws.quantiles(values, INTERVAL)
    rows = []
    for k, name in enumerate(names):
        entry = base[name]
        if entry.prior is None:
            raise InvalidInput(f"The parameter {name!r} has no prior any more.")
        prior = [entry.prior.quantile(p) for p in INTERVAL]
        rows.append(
            {
                "name": name,
                "unit": entry.unit,
                "prior": prior,
                "posterior": found[:, k].tolist(),
                "most_likely": float(posterior.most_likely[k]),
                "contraction": float(posterior.contraction[k]),
                "learnt": bool(posterior.contraction[k] >= LITTLE),
            }
        )
    if {"diffusivity_white", "proliferation_rate"} <= set(names):
        d = values[:, names.index("diffusivity_white")]
        rho = values[:, names.index("proliferation_rate")]
        rows += _front_rows(d, rho, base, draws)
    return rows


def _front_rows(
    d: NDArray[np.float64],
    rho: NDArray[np.float64],
    base: ParameterSet,
    draws: Draws,
) -> list[dict[str, Any]]:
    """Of the front's speed and width, with what their prior follows from."""
    weights = draws.weights
    of_d, of_rho = base["diffusivity_white"].prior, base["proliferation_rate"].prior
    rows = []
    for name, unit, power in (
        ("front speed 2 sqrt(D rho)", "mm/day", 1.0),
        ("front width sqrt(D/rho)", "mm", -1.0),
    ):
        scale = 2.0 if power > 0 else 1.0
        values = scale * np.sqrt(d * rho**power)
        log = np.log(values)
        variance = float(weights @ (log - weights @ log) ** 2)
        row: dict[str, Any] = {
            "name": name,
            "unit": unit,
            "posterior": draws.quantiles(values[:, None], INTERVAL)[:, 0].tolist(),
        }
        if isinstance(of_d, LogNormal) and isinstance(of_rho, LogNormal):
            both = of_d.times(of_rho, power)
            row["prior"] = [scale * np.sqrt(both.quantile(p)) for p in INTERVAL]
            row["contraction"] = 1.0 - variance / (0.5 * both.sigma_ln) ** 2
            row["learnt"] = row["contraction"] >= LITTLE
        rows.append(row)
    return rows


def summary_text(rows: list[dict[str, Any]], posterior: xr.Dataset) -> str:
    """The rows as a table, with what was not learnt said in words."""
    head = f"{'':<28}{'prior median [90 %]':<34}{'posterior median [90 %]':<34}learnt"
    lines = [head]
    for row in rows:
        name = f"{row['name'].replace('_', ' ')} [{row['unit']}]"
        prior = _interval(row["prior"]) if "prior" in row else ""
        learnt = "" if "contraction" not in row else f"{100 * max(0.0, row['contraction']):.0f} %"
        word = "" if row.get("learnt", True) else "  prior"
        lines.append(
            f"{name:<28}  {prior:<32}{_interval(row['posterior']):<34}{learnt}{word}"[:140]
        )
    lines.append("")
    little = [row["name"].replace("_", " ") for row in rows if not row.get("learnt", True)]
    for name in little:
        lines.append(f"The scans say next to nothing about {name}: its interval is the prior's.")
    lines += [f"Left out or weakened: {line}" for line in posterior.attrs["remarks"].splitlines()]
    lines.append(
        f"{posterior.attrs['effective_draws']:.0f} effective draws of {posterior.sizes['draw']} "
        f"(Pareto's k {posterior.attrs['pareto_k']:.2f}, R-hat {posterior.attrs['r_hat']:.3f}). "
        "Learnt: by how much the variance is less than the prior's."
    )
    return "\n".join(lines)


def _interval(three: list[float]) -> str:
    low, middle, high = three
    return f"{middle:.3g} [{low:.3g}, {high:.3g}]"
