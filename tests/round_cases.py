"""Round tumours of many kinds on the patient's mesher, and how good their error bars are.

`PYTHONPATH=tests python -m round_cases` prints the study of coverage case by case.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise

import numpy as np
from radial_reference import SOFTNESS, THRESHOLDS, Round, curves

from solvers import error_bars
from solvers.error_bars import MeshEdges
from solvers.growth import Growth, GrowthRates
from solvers.initial_state import settled_front
from solvers.mesh_error import NEAR_TUMOUR_MM
from solvers.operators import mesh_operators
from solvers.volumes import VisibleVolumes
from twin.mesh import Mesh
from twin.meshing import build_mesh, wanted_cell_size

#: As much coarser as the second and third mesh of a patient are.
RATIOS = (1.0, 1.6, 1.6**2)
CASES = 60
SEED = 20261125
#: Volumes below this [mm3] or this share of their greatest are not counted.
SMALLEST_MM3, SMALLEST_SHARE = 20.0, 0.02
CLEARANCE = np.log(2.0) / 60.0
#: The edges of a tetrahedron, by its corners.
PAIRS = tuple(combinations(range(4), 2))


@dataclass(frozen=True, slots=True)
class Ball:
    """A ball of tissue with its middle off the lattice, meshed as a patient is.

    Parameters
    ----------
    centre_mm : ndarray, [mm], shape (3,)
    radius_mm, cell_mm : float, [mm]
    """

    centre_mm: np.ndarray
    radius_mm: float
    cell_mm: float

    def mesh(self, ratio: float = 1.0) -> Mesh:
        """The mesh with all cells larger by `ratio`."""
        side = int(np.ceil(2.0 * (self.radius_mm + 3.0)))
        where = np.moveaxis(np.indices((side,) * 3), 0, -1) - self.centre_mm
        labels = (np.linalg.norm(where, axis=-1) < self.radius_mm).astype(np.int16)
        cell = self.cell_mm * ratio
        size = wanted_cell_size(
            labels, 1.0, fine_mm=cell, fine_region=labels > 0, coarse_mm=4.0 * cell
        )
        return build_mesh(
            labels,
            np.eye(4),
            label_names={1: "white_matter"},
            cell_size_mm=size,
            smallest_cell_mm=cell,
        )


def steps_of(problem: Round, last: float, parts: int = 1) -> list[tuple[float, float]]:
    """Steps of a day cut by the fractions, up to `last` [day], each in so many parts."""
    whole = {float(day) for day in range(int(last) + 1)}
    days = np.array(sorted(whole | dict(problem.fractions).keys()))
    cut = np.concatenate(
        [begin + (end - begin) * np.arange(parts) / parts for begin, end in pairwise(days)]
    )
    return list(pairwise([*cut.tolist(), float(days[-1])]))


class OnMesh:
    """The finite-element scheme on one mesh of a ball."""

    def __init__(self, mesh: Mesh, centre_mm: np.ndarray) -> None:
        self.mesh = mesh
        self.radius = np.linalg.norm(mesh.points - centre_mm, axis=1)
        self.operators = mesh_operators(mesh)
        self.edge_mm = float(mesh.edge_length().mean())
        corners = mesh.points[mesh.cells]
        self.place = np.linalg.norm(corners.mean(axis=1) - centre_mm, axis=1)
        self.edges = np.stack(
            [np.linalg.norm(corners[:, a] - corners[:, b], axis=1) for a, b in PAIRS]
        )

    def edge_near(self, problem: Round) -> float:
        """Mean edge near the visible tumour, [mm], as `solvers.mesh_error` has it of a patient."""
        visible = self.radius[problem.initial(self.radius) >= THRESHOLDS[-1]].max()
        return float(self.edges[:, self.place <= visible + NEAR_TUMOUR_MM].mean())

    def curves(self, problem: Round, days: Sequence[float], parts: int = 1) -> np.ndarray:
        """Hard and softened volumes [mm3] on whole days, shape (2, threshold, day)."""
        everywhere = np.ones(len(self.mesh.cells), bool)
        diffusion = self.operators.diffusion(
            np.full(len(self.mesh.cells), problem.diffusivity), everywhere
        )
        meter = VisibleVolumes(
            self.mesh.cells, self.mesh.cell_volume, diffusion.mass, THRESHOLDS, SOFTNESS,
            points=self.mesh.points,
        )  # fmt: skip
        viable = problem.initial(self.radius)
        nothing = np.zeros_like(viable)
        growth = Growth.logistic(
            GrowthRates(problem.rate, problem.clearance),
            {"viable": viable, "dead": nothing, "necrosis": nothing},
        )
        (row,) = growth.model.rows("viable")
        events, kill = dict(problem.fractions), problem.kill
        found = [meter.measure(growth.total(growth.model.names))] if days[0] == 0.0 else []
        for begin, end in steps_of(problem, max(days), parts):
            growth.step(diffusion, end - begin, kill, kill)
            if end in events:
                growth.irradiate({row: np.full_like(viable, events[end])})
            if end in days:
                found.append(meter.measure(growth.total(growth.model.names)))
        return np.stack(found, axis=-1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One tumour: its true curves and what the error bars say of them.

    All arrays have shape (hard or softened, threshold, day), [mm3].
    """

    width_by_edge: float
    order: float
    true: np.ndarray
    found: np.ndarray
    bar: np.ndarray
    time_bar: np.ndarray
    extrapolated: np.ndarray

    @property
    def counted(self) -> np.ndarray:
        """Volumes that are not next to nothing."""
        least = np.maximum(SMALLEST_MM3, SMALLEST_SHARE * self.true.max(axis=-1, keepdims=True))
        return self.true > least

    @property
    def error(self) -> np.ndarray:
        """How wrong the finest mesh is, [mm3]."""
        return np.abs(self.found - self.true)

    @property
    def inside(self) -> np.ndarray:
        """Whether the error bar contains the truth, of the volumes counted."""
        return (self.error <= self.bar)[self.counted]

    @property
    def width(self) -> np.ndarray:
        """Bar by true error, of the volumes counted."""
        return (self.bar / np.maximum(self.error, 1e-9))[self.counted]


def drawn(
    ball: Ball, edge_mm: float, number: int, rng: np.random.Generator
) -> tuple[Round, np.ndarray]:
    """A tumour from the priors of the parameter set, wherever it fits into the ball.

    Front widths from 0.2 edges (not resolved) upwards, enhancing radius 3 to 9 mm, every
    second one with thirty fractions, every fourth with a kill besides. The days are those in
    which the front stays 2.5 widths away from the outside.
    """
    front, place_of = settled_front()
    while True:
        diffusivity = float(np.exp(rng.normal(np.log(0.13), 0.9)))
        rate = float(np.exp(rng.normal(np.log(0.03), 0.9)))
        width = np.sqrt(diffusivity / rate)
        radius = rng.uniform(3.0, 9.0)
        room = ball.radius_mm - radius - (6.11 + 2.5) * width
        days = min(rng.uniform(40.0, 180.0), room / (2.0 * np.sqrt(diffusivity * rate)))
        allowed = 0.005 < diffusivity < 1.3 and 0.0027 < rate < 0.19 and width > 0.2 * edge_mm
        if allowed and days >= 20.0:
            break
    at = float(place_of(THRESHOLDS[0]))

    def initial(r: np.ndarray) -> np.ndarray:
        return front(np.clip(at + (r - radius) / width, front.x[0], front.x[-1]))

    surviving = rng.uniform(0.75, 0.93)
    fractions = [(7.375 + 7 * week + day, surviving) for week in range(6) for day in range(5)]
    return Round(
        initial=initial,
        outer_mm=ball.radius_mm,
        diffusivity=diffusivity,
        rate=rate,
        clearance=CLEARANCE,
        kill=0.02 if number % 4 == 3 else 0.0,
        fractions=[one for one in fractions if one[0] <= days] if number % 2 else (),
    ), np.unique(np.linspace(0.0, days, 13).round())


def judged(meshes: Sequence[OnMesh], problem: Round, days: np.ndarray) -> Judged:
    """Run one tumour as the solver does with error bars, and hold it against the truth."""
    edges = MeshEdges(*(one.edge_near(problem) for one in meshes))
    fine, coarse, coarsest = (one.curves(problem, days) for one in meshes)
    halved = meshes[-1].curves(problem, days, parts=2)
    in_time = error_bars.time_error(fine, coarsest, halved)
    return Judged(
        width_by_edge=float(np.sqrt(problem.diffusivity / problem.rate) / edges.fine_mm),
        order=error_bars.observed_order(fine, coarse, coarsest, edges),
        true=curves(problem, days),
        found=fine,
        bar=error_bars.SAFETY * (error_bars.space_error(fine, coarse, coarsest, edges) + in_time),
        time_bar=in_time,
        extrapolated=error_bars.extrapolated(fine, coarse, edges),
    )


def study(cases: int = CASES, seed: int = SEED) -> list[Judged]:
    """The study of coverage: tumours on three balls with cells of 1.5, 1.95 and 2.4 mm."""
    rng = np.random.default_rng(seed)
    balls = [
        Ball(np.full(3, radius + 2.7) + rng.uniform(-0.5, 0.5, 3), radius, cell)
        for cell, radius in ((1.5, 20.0), (1.95, 24.0), (2.4, 24.0))
    ]
    meshes = [[OnMesh(ball.mesh(ratio), ball.centre_mm) for ratio in RATIOS] for ball in balls]
    found = []
    for number in range(cases):
        of_ball = meshes[number % len(balls)]
        problem, days = drawn(balls[number % len(balls)], of_ball[0].edge_mm, number, rng)
        found.append(judged(of_ball, problem, days))
    return found


def summary(found: Sequence[Judged]) -> list[str]:
    """The study in lines: overall, and by hard or softened volume and threshold."""
    kept = [one for one in found if error_bars.is_asymptotic(one.order)]
    inside = np.concatenate([one.inside for one in kept])
    width = np.concatenate([one.width for one in kept])
    lines = [
        f"{len(kept)} of {len(found)} asymptotic, {len(inside)} volumes: {inside.mean():.3f} "
        f"inside, median width {np.median(width):.2f}"
    ]
    for kind, word in enumerate(("hard", "softened")):
        for k, level in enumerate(THRESHOLDS):
            rows = []
            for one in kept:
                some, true = one.counted[kind, k], one.true[kind, k]
                parts = one.bar, one.error, np.abs(one.extrapolated - one.true), one.time_bar
                rows.append([(part[kind, k] / np.maximum(true, 1e-9))[some] for part in parts])
            bar, error, better, in_time = (np.concatenate(part) for part in zip(*rows, strict=True))
            lines.append(
                f"{word} {level:.2f}: {len(bar)} volumes, {(error <= bar).mean():.3f} inside, "
                f"median width {np.median(bar / np.maximum(error, 1e-12)):.2f}, error median "
                f"{100 * np.median(error):.2f} % (greatest {100 * error.max():.1f} %), bar "
                f"{100 * np.median(bar):.2f} %, in time {100 * np.max(in_time):.3f} % at most, "
                f"extrapolated {100 * np.median(better):.2f} %"
            )
    return lines


def main() -> None:
    """Print the study of coverage."""
    found = study()
    print("width/edge  order  inside  median width")
    for one in sorted(found, key=lambda one: one.width_by_edge):
        kind = "" if error_bars.is_asymptotic(one.order) else "  not asymptotic"
        numbers = f"{one.width_by_edge:10.2f} {one.order:6.2f} {one.inside.mean():7.2f}"
        print(f"{numbers} {np.median(one.width):13.2f}{kind}")
    print(*summary(found), sep="\n")


if __name__ == "__main__":
    main()
