"""Round tumours in a ball of white matter: the same equations on spherical shells.

For virtual cohorts, where hundreds of patients are solved again and again. Equation, splitting
(half of the reaction, RKL2 diffusion, half of the reaction), start (`settled_state`), survival of
a fraction, kinetics of drugs, geometric dose and softened volumes are those of the
finite-element solver; only the mesh is another one: shells of equal thickness, finite volumes,
no flux through the outside. There is no grey matter, no barrier, no necrosis and no resection.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from solvers.dose_response import log_surviving_fraction
from solvers.drug_effects import drug_effects, sensitisation
from solvers.growth import GrowthRates
from solvers.initial_state import settled_front, settled_state
from solvers.legendre import legendre_coefficients, stages_needed
from solvers.march import automatic_step
from solvers.radial_kernels import march_shells
from solvers.radiosensitivity import check_basis
from solvers.stepping import Step, plan_steps
from solvers.volumes import softened_table
from twin.courses import Radiotherapy
from twin.dose import BATH_SHARE, conformal
from twin.errors import InvalidInput, NotConverged
from twin.events import Fraction
from twin.response import MEASURABLE_MM3, PROGRESSION_RISE

if TYPE_CHECKING:
    from twin.calendar import Calendar
    from twin.events import Schedule
    from twin.parameters import ParameterSet
    from twin.regimen import Regimen

__all__ = ["HEAD_RADIUS_MM", "RoundRun", "RoundTumour", "round_dose", "solve_round"]

#: assumed: a ball of the volume of an adult's brain, 1.7 L with its fluid.
HEAD_RADIUS_MM = 74.0
#: Shells in one front width sqrt(D/rho), and how many there are at least and at most.
SHELLS_A_WIDTH, FEWEST_SHELLS, MOST_SHELLS = 5.0, 120, 900
#: Fractions closer than this [day] would pair their damage.
LEAST_GAP_DAY = 0.75
#: Points of equal volume by which coverage and medians of a round target are read.
TARGET_POINTS = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundTumour:
    """A tumour whose enhancing outline is a sphere, in the middle of a ball of white matter.

    Parameters
    ----------
    outline_mm : float, [mm]
        Radius of the T1Gd outline on day 0.
    parameters : ParameterSet
    body_surface_m2 : float, [m2]
    gfr_ml_min : float or None, [mL/min]
    head_mm : float, [mm]
        Radius of the ball.
    """

    outline_mm: float
    parameters: ParameterSet
    body_surface_m2: float = 1.8
    gfr_ml_min: float | None = None
    head_mm: float = HEAD_RADIUS_MM

    def __post_init__(self) -> None:
        if not 1.0 <= self.outline_mm <= 0.9 * self.head_mm:
            raise InvalidInput(
                f"The outline's radius is {self.outline_mm:g} mm; it must lie between 1 mm and "
                f"0.9 of the head's, {0.9 * self.head_mm:g} mm."
            )

    @property
    def width_mm(self) -> float:
        """Width of the front sqrt(D/rho), [mm]."""
        value = self.parameters.value
        return float(np.sqrt(value("diffusivity_white") / value("proliferation_rate")))

    def shells(self) -> int:
        """How many shells resolve its front.

        Raises
        ------
        InvalidInput
            The front is too thin for this solver.
        """
        wanted = int(np.ceil(SHELLS_A_WIDTH * self.head_mm / self.width_mm))
        if wanted > 3 * MOST_SHELLS:
            raise InvalidInput(
                f"The front is {self.width_mm:.2g} mm wide, too thin for shells of a ball of "
                f"{self.head_mm:g} mm; choose a larger diffusivity or a smaller growth rate."
            )
        return min(max(wanted, FEWEST_SHELLS), MOST_SHELLS)


@dataclass(frozen=True, slots=True, eq=False)
class RoundRun:
    """Softened volumes of a round tumour at the end of every step.

    Parameters
    ----------
    days : ndarray, [day], shape (time,)
        From day 0; at the time of a fraction just after it.
    soft : ndarray, [mm3], shape (time, 2)
        Softened volume at the T1Gd and at the FLAIR threshold.
    """

    days: NDArray[np.float64]
    soft: NDArray[np.float64]


def solve_round(
    tumour: RoundTumour,
    regimen: Regimen,
    calendar: Calendar,
    *,
    horizon_day: float,
    enough_mm3: float = np.inf,
    until_progression: bool = False,
    shells: int | None = None,
    step_day: float | None = None,
) -> RoundRun:
    """The run of one tumour under one regimen.

    Parameters
    ----------
    tumour : RoundTumour
    regimen : Regimen
        Radiotherapy by its geometric dose, and drugs that do not sensitise to radiation.
    calendar : Calendar
    horizon_day : float, [day]
    enough_mm3 : float, [mm3]
        The run ends early when the softened T1Gd volume has passed this and has progressed
        (`twin.response.PROGRESSION_RULE`, since the first fraction).
    until_progression : bool
        Drugs are given until it has progressed and no longer, as trials have it; else to the
        end of their schedule.
    shells : int or None
        By the front's width if None.
    step_day : float or None, [day]
        At most a day if None, less where cells grow by more than 9 % a day.

    Raises
    ------
    InvalidInput
        A regimen or parameters with what this solver does not know.
    NotConverged
        A density fell below zero.

    Examples
    --------
    >>> import datetime
    >>> from twin.calendar import Calendar
    >>> from twin.parameters import load_parameter_set
    >>> from twin.regimen import Regimen
    >>> tumour = RoundTumour(outline_mm=15.0, parameters=load_parameter_set("glioblastoma"))
    >>> monday = Calendar(datetime.date(2024, 1, 1))
    >>> run = solve_round(tumour, Regimen(), monday, horizon_day=30.0)
    >>> bool(run.soft[-1, 0] > 1.5 * run.soft[0, 0])
    True
    """
    parameters = tumour.parameters
    schedule = regimen.schedule(calendar)
    _refuse_unknown(regimen, schedule, parameters)
    count = tumour.shells() if shells is None else shells
    edge, centre = _grid(count, tumour.head_mm)
    volume = 4.0 / 3.0 * np.pi * np.diff(edge**3)
    diffusivity = parameters.value("diffusivity_white")
    flow = diffusivity * 4.0 * np.pi * edge[1:-1] ** 2 / np.diff(centre)
    longest = min(1.0, automatic_step(parameters)) if step_day is None else step_day
    steps = _steps(schedule, horizon_day, longest)
    ends = np.array([0.0, *(step.end for step in steps)])
    out = np.append(flow, 0.0) + np.append(0.0, flow)
    explicit_limit = 1.0 / float((out / volume).max())  # 2 over Gershgorin's bound, 2 max
    stages = stages_needed(float(np.diff(ends).max()), explicit_limit)
    rates = GrowthRates.of(parameters)
    viable = _start(tumour, centre)
    soft = np.empty((len(ends), 2))
    levels = tuple(parameters.value(f"threshold_{name}") for name in ("t1gd", "flair"))
    first = schedule.fractions[0].day if schedule.fractions else 0.0
    kind, survival = _fractions(steps, regimen, tumour, count)
    taken, wrong = march_shells(
        ends, _kills(schedule, tumour, ends), kind, survival, flow, volume,
        legendre_coefficients(stages),
        _table(levels, parameters.value("visibility_softness")),
        rates.proliferation, rates.clearance, viable, np.zeros_like(viable), soft,
        first, 1.0 + PROGRESSION_RISE, MEASURABLE_MM3, enough_mm3, until_progression,
    )  # fmt: skip
    if wrong or not np.isfinite(soft[: taken + 1]).all():
        raise NotConverged(
            f"{wrong} densities on shells fell below zero; choose a smaller step than "
            f"{longest:g} day."
        )
    return RoundRun(ends[: taken + 1], soft[: taken + 1])


def _grid(count: int, head_mm: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Edges and middles of the shells, [mm]."""
    edge = np.linspace(0.0, head_mm, count + 1)
    return edge, 0.5 * (edge[1:] + edge[:-1])


@functools.lru_cache(maxsize=64)
def _steps(schedule: Schedule, horizon_day: float, longest: float) -> tuple[Step, ...]:
    """The steps, which all patients of an arm share."""
    return tuple(plan_steps(schedule, [horizon_day], step_day=longest))


@functools.lru_cache(maxsize=16)
def _table(levels: tuple[float, ...], softness: float) -> NDArray[np.float64]:
    return softened_table(levels, softness)


def _refuse_unknown(regimen: Regimen, schedule: Schedule, parameters: ParameterSet) -> None:
    """Say in a sentence what of a treatment is not known on shells."""
    what = "A round tumour on shells"
    if regimen.resections:
        raise InvalidInput(f"{what} cannot be resected; use the finite-element solver.")
    if schedule.fractions:
        check_basis(parameters)
    if np.isfinite(parameters.value_or("transition_dose", np.inf)):
        raise InvalidInput(f"{what} knows no transition dose; leave it out of the parameters.")
    days = [fraction.day for fraction in schedule.fractions]
    if len(days) > 1 and float(np.diff(days).min()) < LEAST_GAP_DAY:
        raise InvalidInput(
            f"{what} knows no incomplete repair, but fractions are {24 * np.diff(days).min():.3g} "
            "h apart; give one a day."
        )
    for course in regimen.radiotherapy:
        if course.dose is not None or course.target not in ("gtv", "core"):
            raise InvalidInput(
                f"{what} takes the geometric dose about its enhancing outline, not "
                f"{course.dose or course.target!r}; leave dose and target out."
            )
        if course.boost_target not in (None, "enhancing", "gtv", "core"):
            raise InvalidInput(
                f"{what} has no structure {course.boost_target!r} to boost; it has 'enhancing'."
            )


def _start(tumour: RoundTumour, centre: NDArray[np.float64]) -> NDArray[np.float64]:
    """Viable density of the settled front about the outline, [1], shape (shell,)."""
    parameters = tumour.parameters
    upper, lower = parameters.value("threshold_t1gd"), parameters.value("threshold_flair")
    _, place_of = settled_front()
    gap = tumour.width_mm * float(place_of(lower) - place_of(upper))
    core = centre - tumour.outline_mm
    whole = core - gap
    distances: Mapping[str, NDArray[np.float64]] = {
        "core": core,
        "whole": whole,
        "beyond": np.maximum(whole, 0.0),
        "necrotic": np.zeros_like(core),
    }
    return settled_state(dict(distances), tumour.width_mm, upper, lower)["viable"]


@functools.lru_cache(maxsize=4096)
def round_dose(
    course: Radiotherapy, outline_mm: float, shells: int, head_mm: float
) -> NDArray[np.float64]:
    """Total dose about a round target on shells of equal thickness, [Gy], shape (shell,).

    The geometric dose of `twin.dose` with distances to a sphere; the margins end at the head.

    Parameters
    ----------
    course : Radiotherapy
    outline_mm : float, [mm]
        Radius of the gross tumour.
    shells : int
    head_mm : float, [mm]

    Examples
    --------
    >>> course = Radiotherapy(total_dose_gy=60, fractions=30, start_day=7)
    >>> round_dose(course, 20.0, 74, 74.0)[[0, 30, 73]].round(0).tolist()
    [60.0, 60.0, 4.0]
    """
    radius = _grid(shells, head_mm)[1]
    margin = course.ctv_margin_mm + course.ptv_margin_mm
    target = min(outline_mm + margin, head_mm)
    total = course.total_dose_gy * _relative(target, radius, BATH_SHARE)
    if course.boost_total_dose_gy is not None:
        within = outline_mm * _equal_volumes()
        inside = course.total_dose_gy * _relative(target, within, BATH_SHARE)
        missing = course.boost_total_dose_gy - float(np.median(inside))
        total += missing * _relative(outline_mm, radius, 0.0)
    total.setflags(write=False)
    return total


def _equal_volumes() -> NDArray[np.float64]:
    """Radii in a ball of radius 1 that stand for equal volumes, [1], shape (point,)."""
    return np.cbrt((np.arange(TARGET_POINTS) + 0.5) / TARGET_POINTS)


def _relative(target_mm: float, radius_mm: NDArray[np.float64], bath: float) -> NDArray[np.float64]:
    """Dose over the target's median about a ball of this radius, [1], shape of `radius_mm`."""
    places = np.concatenate([target_mm * _equal_volumes(), radius_mm]) - target_mm
    inside = np.arange(len(places)) < TARGET_POINTS
    found = conformal(places.astype(np.float32), inside, bath)
    return found[TARGET_POINTS:].astype(np.float64)


def _fractions(
    steps: tuple[Step, ...], regimen: Regimen, tumour: RoundTumour, shells: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Which fraction ends each step, and what survives each kind, [1], shape (kind, shell)."""
    kind = np.full(len(steps), -1)
    kinds: dict[tuple[int, float], int] = {}
    survival = [np.ones(shells)]
    alpha, ratio = tumour.parameters.value("alpha"), tumour.parameters.value("alpha_beta")
    for number, step in enumerate(steps):
        for event in step.events:
            if not isinstance(event, Fraction):
                continue
            key = (event.course, event.dose_gy)
            if key not in kinds:
                course = regimen.courses[event.course]
                assert isinstance(course, Radiotherapy)  # noqa: S101 - whose fraction it is
                dose = round_dose(course, tumour.outline_mm, shells, tumour.head_mm)
                log = log_surviving_fraction(dose / course.fractions, alpha=alpha, alpha_beta=ratio)
                kinds[key] = len(survival)
                survival.append(np.exp(log))
            kind[number] = kinds[key]
    return kind, np.stack(survival)


def _kills(
    schedule: Schedule, tumour: RoundTumour, ends: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Mean kill rate of all drugs in both halves of every step, [1/day], shape (step, 2)."""
    effects = drug_effects(schedule.drug_doses, tumour.parameters, tumour)
    halves = np.empty(2 * len(ends) - 1)
    halves[::2] = ends
    halves[1::2] = 0.5 * (ends[1:] + ends[:-1])
    total = np.zeros(len(halves) - 1)
    for effect in effects:
        for fraction in schedule.fractions:
            if sensitisation(effect, fraction.day, tumour.parameters) != 1.0:
                raise InvalidInput(
                    f"A round tumour on shells knows no drug that sensitises to radiation, as "
                    f"{effect.drug} does; use the finite-element solver."
                )
        total = total + effect.mean_kill(halves)
    return total.reshape(-1, 2)
