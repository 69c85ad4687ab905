"""A regimen made ready for one mesh and one set of parameters."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solvers.checkpoint import checkpoints
from solvers.dose_response import log_surviving_fraction, proton_factors
from solvers.drug_delivery import placed_effects
from solvers.drug_effects import drug_effects, sensitisation
from solvers.heat import Heat
from solvers.prepared import Prepared
from solvers.radiosensitivity import check_basis
from solvers.redrawn_doses import RedrawnDoses
from twin.courses import Radiotherapy
from twin.errors import InvalidInput
from twin.events import Fraction
from twin.parameters import ParameterSet
from twin.regimen import Regimen

__all__ = ["NO_DRUG", "PULSE_DAY", "Treatment"]

HOURS_PER_DAY = 24.0

#: Below this mean kill rate [1/day] a step counts as without a drug.
NO_DRUG = 1e-7
#: Damage of earlier fractions that pairs with a later one counts from this share on: a daily
#: course with repair half-lives of two hours has none.
UNREPAIRED = 1e-3
#: Events that every executor knows.
_KNOWN = {"Fraction", "DrugDose", "ResectionEvent"}
#: A drug's pulse is followed in parts of this length [day]; temozolomide's half-life is 0.09.
PULSE_DAY = 0.125


class Treatment:
    """Schedule, survival at every node and drug exposure of a regimen."""

    def __init__(self, prepared: Prepared, regimen: Regimen, parameters: ParameterSet) -> None:
        twin = prepared.twin
        self._given = regimen.schedule(twin.calendar)
        self._prepared, self._regimen, self._parameters = prepared, regimen, parameters
        self.heat = Heat(prepared, regimen, self._given, parameters)
        #: What a run stops for: sessions of heat that kill nothing by themselves are left out.
        self.schedule = self._given if self.heat.kills else self._given.without_heat()
        self._surviving: dict[Any, NDArray[np.float64]] = {}
        if self.schedule.fractions:
            check_basis(parameters, twin.model)
        #: Dose maps that follow from the run, and the number of every fraction's map.
        self.redrawn = RedrawnDoses(prepared, regimen, self.schedule)
        self._oxygen = prepared.oxygen_factor(parameters) if self.schedule.fractions else None
        self._unrepaired = self._repair()
        self._transition = parameters.value_or("transition_dose", np.inf)
        self._drugs = drug_effects(self.schedule.drug_doses, parameters, twin)
        self.checkpoints = checkpoints(self.schedule.drug_doses, parameters, twin)
        self._gain = self._sensitised()
        self._placed = placed_effects(self._drugs, regimen, parameters, prepared)

    def surviving(
        self, fraction: Fraction, sensitivities: Mapping[int, tuple[float, float]]
    ) -> dict[int, NDArray[np.float64]]:
        """Share that survives one fraction, of the cells of each row, each of shape (node,).

        Parameters
        ----------
        fraction : Fraction
        sensitivities : mapping of int to (float, float)
            Factors of alpha and beta of each row, as `Model.sensitivities` gives them.
        """
        return {row: self._share(fraction, factors) for row, factors in sensitivities.items()}

    def kind_of(self, fraction: Fraction) -> tuple[Any, ...]:
        """What the survival of a fraction depends on: dose map, what is unrepaired, drugs, heat."""
        warmth = self.heat.warmth(fraction)
        dose = self.redrawn.map_of(fraction)
        return dose, self._unrepaired[fraction], self.gain(fraction), warmth

    def _share(self, fraction: Fraction, factors: tuple[float, float]) -> NDArray[np.float64]:
        unrepaired = self._unrepaired[fraction]
        key = (*self.kind_of(fraction), factors)
        if key not in self._surviving:
            of_alpha, of_beta = factors
            alpha, ratio = self._parameters.value("alpha"), self._parameters.value("alpha_beta")
            dose = self._effective(self.redrawn.map_of(fraction))
            if of_alpha == 0.0:
                self._surviving[key] = np.ones_like(dose)
            else:
                warmth = self.heat.warmth(fraction)
                warm, curved = (1.0, 1.0) if warmth is None else self.heat.factors(warmth)
                gain = self.gain(fraction)  # of alpha alone, beta stays
                log = self._log_survival(
                    self.redrawn.map_of(fraction),
                    dose,
                    alpha * of_alpha * gain * warm,
                    ratio,
                    of_alpha / of_beta * gain * (warm / curved),
                )
                ratio *= of_alpha / of_beta
                for course, share in unrepaired:  # 2 beta d_j sum_i d_i exp(-mu (t_j - t_i))
                    pairs = 2.0 * alpha * of_alpha / ratio * share * curved
                    log -= pairs * dose * self._effective(course)
                self._surviving[key] = np.exp(log)
        return self._surviving[key]

    def _log_survival(
        self,
        number: int,
        dose: NDArray[np.float64],
        alpha: float | NDArray[np.float64],
        ratio: float,
        of_ratio: float | NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """Logarithm of what survives a fraction alone, at the nodes, shape (node,).

        A proton's alpha is R times and its beta r squared times that of photons, by the linear
        energy transfer of the place and the alpha/beta of the cells (McNamara 2015,
        Wedenberg 2013).
        """
        if self.redrawn.each(number) is not None:  # geometric, so of photons
            return log_surviving_fraction(
                dose, alpha=alpha, alpha_beta=ratio * of_ratio, transition_dose=self._transition
            )
        course = self._radiotherapy(number)
        let, plan = self._prepared.let_at_nodes(course), self._prepared.planned(course)
        if let is None or plan is None:
            return log_surviving_fraction(
                dose, alpha=alpha, alpha_beta=ratio * of_ratio, transition_dose=self._transition
            )
        of_alpha, root = proton_factors(let, ratio, plan.variable)  # type: ignore[arg-type]
        return -alpha * dose * (of_alpha + root**2 * dose / (ratio * of_ratio))

    def _radiotherapy(self, number: int) -> Radiotherapy:
        course = self._regimen.courses[number]
        if not isinstance(course, Radiotherapy):
            raise InvalidInput(f"Course {number} of the regimen is no radiotherapy.")
        return course

    def _effective(self, number: int) -> NDArray[np.float64]:
        """As `_each`, of what counts where oxygen is lacking: alpha by f and beta by f squared."""
        dose = self._each(number)
        return dose if self._oxygen is None else self._oxygen * dose

    def _each(self, number: int) -> NDArray[np.float64]:
        """Dose of one fraction by a dose map at the nodes, [Gy], shape (node,)."""
        redrawn = self.redrawn.each(number)
        if redrawn is not None:
            return redrawn
        course = self._radiotherapy(number)
        return self._prepared.dose_at_nodes(course) / course.fractions

    def _repair(self) -> dict[Fraction, tuple[tuple[int, float], ...]]:
        """What is left unrepaired at each fraction: sum of exp(-mu gap) by earlier dose map.

        Only what is above `UNREPAIRED`, in steps of a millionth so that equal gaps are equal.
        """
        half_life = self._parameters.value_or("repair_half_life", 0.0) / HOURS_PER_DAY
        found: dict[Fraction, tuple[tuple[int, float], ...]] = {}
        left: dict[int, float] = {}
        before = 0.0
        for fraction in self.schedule.fractions:
            decay = 0.5 ** ((fraction.day - before) / half_life) if half_life > 0.0 else 0.0
            left = {course: share * decay for course, share in left.items()}
            found[fraction] = tuple(
                (course, round(share, 6)) for course, share in left.items() if share > UNREPAIRED
            )
            number = self.redrawn.map_of(fraction)
            left[number] = left.get(number, 0.0) + 1.0
            before = fraction.day
        return found

    def _sensitised(self) -> dict[Fraction, float]:
        """Factor on alpha at each fraction at which drugs raise it, [1]."""
        found: dict[Fraction, float] = {}
        for effect in self._drugs:
            for fraction in self.schedule.fractions:
                gain = sensitisation(effect, fraction.day, self._parameters)
                if gain != 1.0:
                    found[fraction] = found.get(fraction, 1.0) * gain
        return found

    def gain(self, fraction: Fraction) -> float:
        """Factor on alpha at a fraction, by drugs that make radiation kill more, [1]."""
        return self._gain.get(fraction, 1.0)

    def require_temozolomide_alone(self, what: str) -> None:
        """Refuse drugs other than temozolomide, which `what` does not know.

        Raises
        ------
        InvalidInput
            The regimen has another drug, or one that makes radiation kill more.
        """
        others = [effect.drug for effect in self._drugs if effect.drug != "temozolomide"]
        if others or self._gain:
            raise InvalidInput(
                f"{what} knows no drug but temozolomide, and this treatment has "
                f"{' and '.join(others) or 'one that sensitises to radiation'}; use the "
                "finite-element solver, or leave it out."
            )

    def require_known(self, what: str) -> None:
        """Refuse treatments that only the finite-element solver knows.

        Raises
        ------
        InvalidInput
            Hyperthermia, a checkpoint drug, or a treatment of one's own.
        """
        others = {type(event).__name__ for event in self._given.events} - _KNOWN
        names = ["hyperthermia" if name == "HeatSession" else name for name in sorted(others)]
        names += [drug.name for drug in self.checkpoints]
        if names:
            raise InvalidInput(
                f"{what} knows no {' and no '.join(names)}; use the finite-element solver, or "
                "leave it out."
            )

    def unrepaired(self, fraction: Fraction) -> tuple[tuple[int, float], ...]:
        """By earlier dose map, how many of its fractions' damage is left: sum of exp(-mu gap)."""
        return self._unrepaired[fraction]

    def require_planned_targets(self, what: str) -> None:
        """Refuse targets that are redrawn during the run, which `what` does not know.

        Raises
        ------
        InvalidInput
            A course has replans.
        """
        if self.redrawn:
            raise InvalidInput(
                f"{what} redraws no target during a run, but this treatment is replanned; use the "
                "finite-element solver, or leave replan out."
            )

    def require_even_oxygen(self, what: str) -> None:
        """Refuse a hypoxia image, which `what` does not know.

        Raises
        ------
        InvalidInput
            The twin has one, and the treatment radiotherapy.
        """
        if self._oxygen is not None:
            raise InvalidInput(
                f"{what} knows no hypoxia image; use the finite-element solver, or leave hypoxia "
                "out of the patient file."
            )

    def require_linear_quadratic(self, what: str, *, independent: bool = False) -> None:
        """Refuse what `what` does not know.

        Raises
        ------
        InvalidInput
            A transition dose; with `independent`, fractions within hours of each other as well.
        """
        if np.isfinite(self._transition):
            raise InvalidInput(
                f"{what} knows no transition dose, but the parameters have one of "
                f"{self._transition:g} Gy; use the finite-element solver."
            )
        plans = [self._prepared.planned(course) for course in self._regimen.radiotherapy]
        if any(plan is not None and plan.variable for plan in plans):
            raise InvalidInput(
                f"{what} knows no effectiveness by LET; use the finite-element solver, or a "
                "constant rbe."
            )
        if independent and any(self._unrepaired.values()):
            raise InvalidInput(
                f"{what} knows no incomplete repair, but this treatment has fractions within hours "
                "of each other; use a solver instead, or a fraction a day."
            )

    def mean_kill(self, times: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
        """Mean kill rate of all drugs together between successive times, [1/day].

        The sum of each drug's integral over the interval, which is exact for a kill by exposure
        (``log-kill = kappa AUC``). Shape (time - 1,).
        """
        times = np.asarray(times, np.float64)
        if not self._drugs:
            return np.zeros(len(times) - 1)
        total = self._drugs[0].mean_kill(times)
        for effect in self._drugs[1:]:
            total = total + effect.mean_kill(times)
        return total

    def require_even_delivery(self, what: str) -> None:
        """Refuse drugs that do not reach all of the tumour alike, which `what` does not know.

        Raises
        ------
        InvalidInput
            The regimen has one, by a barrier or a perfusion image.
        """
        if self._placed:
            raise InvalidInput(
                f"{what} knows no delivery of a drug by places, which {' and '.join(self._placed)} "
                'has here; use the finite-element solver alone, or write delivery = "uniform".'
            )

    def _kill_by_places(self, times: NDArray[np.float64]) -> NDArray[np.float64]:
        """As `mean_kill`, at every node, [1/day], shape (time - 1, node)."""
        even = np.zeros(len(times) - 1)
        for effect in self._drugs:
            if effect.drug not in self._placed:
                even = even + effect.mean_kill(times)
        total = even[:, None]
        for part in itertools.chain.from_iterable(self._placed.values()):
            total = total + part.effect.mean_kill(times)[:, None] * part.share
        return total

    def kills(self, begin: float, end: float) -> NDArray[np.float64]:
        """Mean kill rates of the drugs in equal parts of both halves of a step, [1/day].

        One part where there is hardly any drug, parts of at most `PULSE_DAY` where there is:
        what a pulse kills dies at its time, from which its clearance counts. Shape (2, part), or
        (2, part, node) where a drug does not reach all of the tumour alike.
        """
        halves = np.array([begin, 0.5 * (begin + end), end])
        whole = self.mean_kill(halves)
        parts = int(np.ceil(0.5 * (end - begin) / PULSE_DAY))
        if whole.max(initial=0.0) < NO_DRUG or (parts <= 1 and not self._placed):
            return whole[:, None]
        borders = np.concatenate(
            [np.linspace(a, b, parts + 1)[:-1] for a, b in itertools.pairwise(halves)] + [[end]]
        )
        if self._placed:
            return self._kill_by_places(borders).reshape(2, parts, -1)
        return self.mean_kill(borders).reshape(2, parts)

    def total_dose(self) -> NDArray[np.float64]:
        """Physical dose of all courses together at the nodes, [Gy], shape (node,).

        Not a number where a target was to be redrawn and the run has not come so far.
        """
        total = np.zeros(len(self._prepared.twin.mesh.points))
        if self.redrawn:
            for fraction in self.schedule.fractions:
                total += self._each(self.redrawn.map_of(fraction))
            return total
        for course in self._regimen.radiotherapy:
            part = course.fractions_given / course.fractions
            total = total + part * self._prepared.dose_at_nodes(course)
        return total
