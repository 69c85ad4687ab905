"""A geometric conformal dose: what a plan of good quality gives, drawn from distances alone.

It stands in for a treatment plan where none is given. It knows neither beams
nor tissue densities, so doses to organs are lower bounds of what a real plan
gives and no complication probability may be drawn from them. A course that names beams
gets one that enters and leaves along them (`twin.beams`), which is a what-if as well.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from twin.beams import beam_dose, body_of
from twin.courses import Radiotherapy
from twin.errors import InvalidInput, NotConverged
from twin.radiotherapy import UNKNOWN_DOSE
from twin.targets import boost_target, distance_to, gross_target, planning_target

if TYPE_CHECKING:
    from twin.patient import Grid, Twin
    from twin.regimen import Regimen
    from twin.setup_error import SetupError

__all__ = ["DoseMap", "check_dose", "dose_maps", "redrawn_dose"]

#: assumed: 80 % to 20 % distance of 6.7 mm, usual for conformal photon plans in the brain.
PENUMBRA_SIGMA_MM = 4.0
#: assumed: the low-dose bath of crossing beams, as a share of the prescription and its reach.
BATH_SHARE = 0.25
BATH_REACH_MM = 25.0
#: Coverage asked of the plan, ICRU report 83: D98 at least 95 % of the prescription.
COVERAGE = 0.955


@dataclass(frozen=True, slots=True)
class DoseMap:
    """Physical dose of one course of radiotherapy on the twin's grid.

    Parameters
    ----------
    total_gy : ndarray, [Gy], shape of the twin's grid
        Dose of all fractions together, float32.
    fractions : int
        Equal fractions in which it is prescribed.
    given : int
        Those that are given: fewer where missed ones are not made up for.
    target : ndarray of bool, shape of the twin's grid
        Planning target volume; of a plan's dose the target itself.
    rbe_model : {"mcnamara", "wedenberg"} or None
        How the effectiveness of a proton dose follows from `let_kev_um`; None where the dose
        is one of photons, or has a constant effectiveness in it.
    let_kev_um : ndarray or None, [keV/um], shape of the twin's grid
    """

    total_gy: NDArray[np.float32]
    fractions: int
    given: int
    target: NDArray[np.bool_]
    rbe_model: str | None = None
    let_kev_um: NDArray[np.float32] | None = None

    @property
    def per_fraction_gy(self) -> NDArray[np.float32]:
        """Dose of one fraction, [Gy], shape of the twin's grid."""
        return self.total_gy / np.float32(self.fractions)

    @property
    def given_gy(self) -> NDArray[np.float32]:
        """Dose of the fractions that are given, [Gy], shape of the twin's grid."""
        return self.per_fraction_gy * np.float32(self.given)

    @property
    def d50_gy(self) -> float:
        """Median dose of the planning target, [Gy]."""
        return float(np.percentile(self.total_gy[self.target], 50))

    @property
    def d98_gy(self) -> float:
        """Dose that 98 % of the planning target receives at least, [Gy]."""
        return float(np.percentile(self.total_gy[self.target], 2))


def conformal(distance_mm: NDArray[np.float32], inside: NDArray[np.bool_], bath: float) -> NDArray:
    """Relative dose around a target, 1 in its median, shape of `distance_mm`.

    ``bath * exp(-distance/reach) + (1 - bath) * Phi((shift - distance)/sigma)``,
    normalised to the target's median, with the least shift at which 98 % of
    the target receive 95.5 % of it.

    Parameters
    ----------
    distance_mm : ndarray, [mm]
        Signed distance to the target's surface, negative inside.
    inside : ndarray of bool
        The target.
    bath : float, [1]
        Share of the low-dose bath.
    """

    def shape(distance: NDArray, shift: float) -> NDArray:
        falloff = ndtr((shift - distance) / PENUMBRA_SIGMA_MM)
        return bath * np.exp(-np.maximum(distance, 0.0) / BATH_REACH_MM) + (1 - bath) * falloff

    within = distance_mm[inside].astype(np.float64)
    low, high = 0.0, 4.0 * PENUMBRA_SIGMA_MM

    def coverage(shift: float) -> float:
        dose = shape(within, shift)
        return float(np.percentile(dose, 2) / np.percentile(dose, 50))

    if not coverage(high) >= COVERAGE:
        raise NotConverged("No geometric dose covers this target; it may be empty or too thin.")
    for _ in range(40):
        middle = 0.5 * (low + high)
        low, high = (low, middle) if coverage(middle) >= COVERAGE else (middle, high)
    return (shape(distance_mm, high) / np.percentile(shape(within, high), 50)).astype(np.float32)


_Shape = tuple[NDArray[np.float32], NDArray[np.bool_]]
_shapes: dict[tuple[str, ...], _Shape] = {}
_lock = threading.Lock()
_REMEMBERED_AT_MOST = 16


def _remembered(key: tuple[str, ...], make: Callable[[], _Shape]) -> _Shape:
    """A relative dose and its target, made once for each anatomy, target and margins."""
    with _lock:
        if key not in _shapes:
            while len(_shapes) >= _REMEMBERED_AT_MOST:
                _shapes.pop(next(iter(_shapes)))
            _shapes[key] = make()
        return _shapes[key]


def _dose_map(twin: Twin, radiotherapy: Radiotherapy, anatomy: str) -> DoseMap:
    if radiotherapy.dose is not None:
        return _planned(twin, radiotherapy, radiotherapy.dose)

    def main() -> _Shape:
        return _around(twin, radiotherapy, planning_target(twin, radiotherapy))

    beams = radiotherapy.beams
    margins = (
        radiotherapy.target, radiotherapy.ctv_margin_mm, radiotherapy.ptv_margin_mm,
        radiotherapy.density_guided_day, *beams,
    )  # fmt: skip
    relative, target = _remembered((anatomy, *map(str, margins)), main)
    total = np.float32(radiotherapy.total_dose_gy) * relative
    boosted = boost_target(twin, radiotherapy)
    if boosted is not None and radiotherapy.boost_total_dose_gy is not None:
        inside = boosted

        def boost() -> _Shape:
            return _around(twin, radiotherapy, inside, bath=0.0)

        of_boost = "boost", str(radiotherapy.boost_target), *map(str, beams)
        extra, boosted = _remembered((anatomy, *of_boost), boost)
        missing = radiotherapy.boost_total_dose_gy - float(np.median(total[boosted]))
        total = total + np.float32(missing) * extra
    return DoseMap(total, radiotherapy.fractions, radiotherapy.fractions_given, target)


def _around(
    twin: Twin, course: Radiotherapy, target: NDArray[np.bool_], bath: float = BATH_SHARE
) -> _Shape:
    """The relative dose around a planning target, by the course's beams or without, and that."""
    if course.beams:
        body = body_of(twin.tissues) | target
        shape = beam_dose(
            body, twin.grid, target, course.beams, sigma_mm=PENUMBRA_SIGMA_MM, coverage=COVERAGE
        )
        return shape, target
    return conformal(distance_to(target, twin.grid.spacing_mm), target, bath), target


def redrawn_dose(twin: Twin, radiotherapy: Radiotherapy, gross: NDArray[np.bool_]) -> DoseMap:
    """The dose of a course as if all of it were given to another gross tumour volume.

    Parameters
    ----------
    twin : Twin
    radiotherapy : Radiotherapy
        Whose prescription and margins hold; without boost or planned dose.
    gross : ndarray of bool, shape of the twin's grid
    """
    relative, target = _around(twin, radiotherapy, planning_target(twin, radiotherapy, gross))
    total = np.float32(radiotherapy.total_dose_gy) * relative
    found = DoseMap(total, radiotherapy.fractions, radiotherapy.fractions_given, target)
    return found if twin.setup is None else _given(found, twin.setup, twin.grid)


def _planned(twin: Twin, radiotherapy: Radiotherapy, name: str) -> DoseMap:
    """The dose of a plan, scaled to the prescription."""
    check_dose(twin, radiotherapy)
    plan = twin.doses[name]
    return DoseMap(
        np.float32(radiotherapy.total_dose_gy) * plan.relative,
        radiotherapy.fractions,
        radiotherapy.fractions_given,
        gross_target(twin, radiotherapy),
        plan.variable,
        plan.let_kev_um,
    )


def check_dose(twin: Twin, radiotherapy: Radiotherapy) -> None:
    """Refuse a course whose dose cannot be had from a twin; quick, no dose is made.

    Raises
    ------
    InvalidInput
        A target or boost that the twin does not have, a planned dose that it does not have, or
        one whose grid leaves out a part of the target.
    """
    target = gross_target(twin, radiotherapy)
    boost_target(twin, radiotherapy)
    name = radiotherapy.dose
    if name is None:
        return
    if name == UNKNOWN_DOSE:
        raise InvalidInput(
            'dose = "unknown" is for courses before day 0 only; leave it out for the geometric '
            "dose, or name one of [doses] in patient.toml."
        )
    if name not in twin.doses:
        known = ", ".join(sorted(twin.doses)) or "none"
        raise InvalidInput(
            f"The patient has no planned dose {name!r}; it has {known}: add "
            f"[doses.{name}] to patient.toml."
        )
    share = float(twin.doses[name].covered[target].mean())
    if share < 1.0:
        raise InvalidInput(
            f"The planned dose {name!r} covers {100 * share:.1f} % of the target "
            f"{radiotherapy.target!r}; export a grid that covers all of it."
        )


def dose_maps(twin: Twin, regimen: Regimen) -> list[DoseMap]:
    """The dose of each course of radiotherapy in the regimen, in its order.

    With a boost, the dose per fraction differs from place to place; each
    place is given its own total in the same number of fractions. With a set-up error of the
    twin the dose is where that puts it.
    """
    if not regimen.radiotherapy:
        return []
    planned = twin if twin.setup is None else twin.replace(setup=None)
    anatomy = planned.content_hash
    maps = [_dose_map(planned, course, anatomy) for course in regimen.radiotherapy]
    return maps if twin.setup is None else [_given(one, twin.setup, twin.grid) for one in maps]


def _given(planned: DoseMap, error: SetupError, grid: Grid) -> DoseMap:
    """A dose as it is given with a set-up error; its linear energy transfer goes with it."""
    let = planned.let_kev_um
    return replace(
        planned,
        total_gy=error.applied(planned.total_gy, grid.affine),
        let_kev_um=None if let is None else error.applied(let, grid.affine),
    )
