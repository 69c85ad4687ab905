"""How a tumour comes back after radiotherapy, and what each modelling choice does about it.

A round tumour in a ball of white matter, solved by finite volumes on spherical
shells. It shares the equations with the package but none of its code, and prints
the tables of regrowth.md: ``python docs/regrowth.py``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.integrate import solve_ivp
from scipy.linalg import expm
from scipy.special import ndtr

# The example: outlines in mm, volumes of its segmentation as balls; parameters of its set.
NECROSIS, CORE, GAP, HEAD = 10.4, 14.8, 12.7, 74.3
DIFFUSIVITY, RATE, ALPHA, ALPHA_BETA = 0.13, 0.03, 0.036, 10.0
T1GD, FLAIR = 0.80, 0.16
FRACTION_DAYS = [28 + 7 * week + day for week in range(6) for day in range(5)]
DOSE, MARGIN = 2.0, 18.0
PENUMBRA, BATH, BATH_REACH, SHIFT = 4.0, 0.25, 25.0, 6.0
EXPOSURE_PER_MG_M2 = 1.8 / 10.0  # body surface [m2] over clearance [L/h]
KAPPA = 1.2e-3
DRUG_DAYS = {
    **dict.fromkeys(range(28, 68), 75.0),
    **{95 + 28 * k + day: 200.0 if k else 150.0 for k in range(6) for day in range(5)},
}
SHELL, STEP, LAST_DAY = 0.25, 0.5, 540


@dataclass(frozen=True)
class Choice:
    """One variant of the model; half-life of dead tissue in days."""

    name: str
    half_life: float = 60.0
    profile: str = "settled"
    resistant: float = 0.0
    drug: bool = True
    resistant_alpha: float = 0.3
    alpha_at_centre: float = 1.0


@dataclass(frozen=True)
class Run:
    """Visible density by day and shell, and where the shells are."""

    radius: np.ndarray
    visible: np.ndarray

    def volume(self, level: float, softness: float | None = None) -> np.ndarray:
        """Volume above `level` without the necrosis, [ml], shape (day,), hard or softened."""
        fine = np.arange(NECROSIS, HEAD, 0.02) + 0.01
        there = np.array([np.interp(fine, self.radius, density) for density in self.visible])
        none = 0.0 if softness is None else ndtr(-level / softness)
        seen = there > level if softness is None else ndtr((there - level) / softness) - none
        return seen @ (4.0 * np.pi * fine**2 * 0.02 / 1000.0) / (1.0 - none)


def settled(radius: np.ndarray) -> np.ndarray:
    """Density on day 0: the wave of least speed between the outlines, its tail beyond."""
    width = np.sqrt(DIFFUSIVITY / RATE)
    root = np.sqrt(2.0) - 1.0
    start = [1.0 - 1e-8, -1e-8 * root]
    slope = lambda _, y: [y[1], -2.0 * y[1] - y[0] * (1.0 - y[0])]  # noqa: E731
    wave = solve_ivp(slope, (0.0, 80.0), start, rtol=1e-9, atol=1e-12, max_step=0.1)
    place, density = wave.t, wave.y[0]
    upper, lower = (np.interp(-level, -density, place) for level in (T1GD, FLAIR))
    share = np.clip((radius - CORE) / GAP, 0.0, 1.0)
    inside = upper + np.minimum(radius - CORE, 0.0) / width
    at = np.where(radius < CORE, inside, upper + share * (lower - upper))
    beyond = np.maximum(radius - CORE - GAP, 0.0)
    return np.interp(at, place, density) * np.exp(-beyond / width)


def step_profile(radius: np.ndarray) -> np.ndarray:
    """Two plateaus with nothing beyond: the package's profile "step"."""
    rim = np.where(radius < CORE + GAP, 0.5 * (T1GD + FLAIR), 0.0)
    return np.where(radius < CORE, 0.5 * (1.0 + T1GD), rim)


def react(
    u: np.ndarray, dead: np.ndarray, tau: float, clearance: float
) -> tuple[np.ndarray, np.ndarray]:
    """Both populations, rows of `u`, grown in the room that the dead leave, and what is left."""
    free = RATE * (1.0 - dead * np.exp(-0.5 * clearance * tau))
    rise = np.where(np.abs(free) < 1e-12, tau, np.expm1(free * tau) / free)
    grown = u * np.exp(free * tau) / (1.0 + RATE * u.sum(axis=0) * rise)
    return grown, dead * np.exp(-clearance * tau)


def relative_dose(radius: np.ndarray) -> np.ndarray:
    """Dose over the prescription: the package's geometric dose around a round target."""
    away = radius - CORE - MARGIN
    bath = BATH * np.exp(-np.maximum(away, 0.0) / BATH_REACH)
    return bath + (1.0 - BATH) * ndtr((SHIFT - away) / PENUMBRA)


def solve(choice: Choice) -> Run:
    """The run of one variant, daily to day 540."""
    faces = np.arange(NECROSIS, HEAD + SHELL, SHELL)
    radius = 0.5 * (faces[1:] + faces[:-1])
    volume = 4.0 / 3.0 * np.pi * np.diff(faces**3)
    flow = DIFFUSIVITY * 4.0 * np.pi * faces[1:-1] ** 2 / SHELL
    exchange = np.diag(flow, 1) + np.diag(flow, -1)
    exchange -= np.diag(exchange.sum(axis=1))
    spread = expm(exchange / volume[:, None] * STEP).T
    clearance = np.log(2.0) / choice.half_life
    viable = (settled if choice.profile == "settled" else step_profile)(radius)
    u = np.stack([(1.0 - choice.resistant) * viable, choice.resistant * viable])
    dead = np.zeros_like(radius)
    dose = DOSE * relative_dose(radius)
    alike = np.interp(radius, [NECROSIS, CORE + GAP], [choice.alpha_at_centre, 1.0])
    kill = ALPHA * alike * dose * (1.0 + dose / ALPHA_BETA)
    survival = np.exp(-np.stack([kill, choice.resistant_alpha * kill]))
    visible = [u.sum(axis=0)]
    for day in range(LAST_DAY + 1):
        before = u.sum(axis=0)
        if day in FRACTION_DAYS:
            u = u * survival
        if choice.drug and day in DRUG_DAYS:
            u = u * np.exp(-KAPPA * EXPOSURE_PER_MG_M2 * DRUG_DAYS[day])
        dead = dead + before - u.sum(axis=0)
        for _ in range(round(1.0 / STEP)):
            u, dead = react(u, dead, 0.5 * STEP, clearance)
            u, dead = react(u @ spread, dead, 0.5 * STEP, clearance)
        visible.append(u.sum(axis=0) + dead)
    return Run(radius, np.array(visible[:-1]))


def crossing(volume: np.ndarray, level: float) -> float:
    """Day after the nadir at which a volume reaches `level`; NaN if it never lay below."""
    nadir = FRACTION_DAYS[0] + int(volume[FRACTION_DAYS[0] :].argmin())
    if volume[nadir] > level or volume[nadir:].max() < level:
        return np.nan
    after = nadir + int((volume[nadir:] >= level).argmax())
    return after - (volume[after] - level) / (volume[after] - volume[after - 1])


def measures(run: Run, softness: float | None) -> list[str]:
    """The columns of the tables: doubling before treatment, then what the enhancing part does."""
    start, volume = FRACTION_DAYS[0], run.volume(T1GD, softness)
    whole = volume[: start + 1] + 4.0 / 3.0 * np.pi * NECROSIS**3 / 1000.0
    low = start + np.flatnonzero(volume[start:-30] < 5.0)
    back = crossing(volume, 50.0)
    columns = [
        start * np.log(2.0) / np.log(whole[start] / whole[0]),
        100.0 * (1.0 - volume[start + 14] / volume[start]),
        (volume[low + 30] - volume[low]).max(),
        back - crossing(volume, 1.0),
        back,
    ]
    return [str(round(float(value))) for value in columns]


CHOICES = [
    Choice("as chosen: 60 d, settled, none resistant"),
    Choice("no dead pool (half-life 1 d)", half_life=1.0),
    Choice("dead tissue 15 d", half_life=15.0),
    Choice("dead tissue 30 d", half_life=30.0),
    Choice("dead tissue 120 d", half_life=120.0),
    Choice("step profile", profile="step"),
    Choice("resistant 0.1 %", resistant=0.001),
    Choice("resistant 1 %", resistant=0.01),
    Choice("resistant 5 %", resistant=0.05),
    Choice("resistant 5 %, radiation kills none", resistant=0.05, resistant_alpha=0.0),
    Choice("half as sensitive at the centre", alpha_at_centre=0.5),
]


def print_table(title: str, first: str, rows: list[list[str]]) -> None:
    """Print one table in Markdown."""
    head = f"| {first} | doubling, d | lost in 2 weeks, % | worst 30 days, ml "
    print(f"\n{title}\n\n{head}| 1 to 50 ml, d | 50 ml on day |\n|{'-|' * 6}")
    for row in rows:
        print(f"| {' | '.join(row)} |")


def main() -> None:
    """Print the tables of the page."""
    for drug, arm in ((False, "60 Gy in 30"), (True, "60 Gy in 30 + temozolomide")):
        base = solve(replace(CHOICES[0], drug=drug))
        rows = [
            ["hard" if s is None else f"softened by {s:.2f}", *measures(base, s)]
            for s in (None, 0.05, 0.07, 0.10)
        ]
        print_table(f"{arm}, how it is measured", "volume", rows)
        rows = []
        for choice in CHOICES:
            run = solve(replace(choice, drug=drug))
            pairs = zip(measures(run, None), measures(run, 0.07), strict=True)
            rows.append([choice.name, *(f"{hard} / {soft}" for hard, soft in pairs)])
        print_table(f"{arm}, hard / softened by 0.07", "variant", rows)


if __name__ == "__main__":
    main()
