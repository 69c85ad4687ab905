"""Migration: modes of a box and of a ball, a spreading Gaussian, steps in time, conservation."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from solvers.verification.registry import Check, Row

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from solvers.verification.bench_problem import BenchProblem
    from twin.mesh import Mesh

__all__ = ["CHECKS"]

_SIDES = 12.0, 10.0, 8.0  # [mm]
_DIFFUSIVITY = 0.4  # [mm2/day]
_RADIUS = 10.0  # [mm]


def _box_modes() -> list[Row]:
    from solvers.closed_forms.modes import box_mode, box_mode_amplitude
    from solvers.verification.bench_problem import BenchProblem
    from solvers.verification.measures import order_rows, root_mean_square
    from twin.meshing.boxes import box_mesh

    numbers, days = (1, 2, 1), 10.0

    def error_at(size: float) -> float:
        count = round(_SIDES[0] / size)
        problem = BenchProblem.of(box_mesh(_SIDES, (count,) * 3), _DIFFUSIVITY)
        mode = box_mode(problem.mesh.points, _SIDES, numbers)
        end = problem.run(0.5 + 0.4 * mode, days, 0.25)
        left = box_mode_amplitude(_SIDES, numbers, _DIFFUSIVITY, days)
        return root_mean_square(end - (0.5 + 0.4 * left * mode), problem.mass)

    sizes = [_SIDES[0] / count for count in (6, 8, 12, 16)]
    return order_rows("Mode of a box", "cell size [mm]", sizes, error_at, largest_error=0.004)


def _ball_error(problem: BenchProblem, centre: NDArray[np.float64], degree: int) -> float:
    """Error of a mode of a ball after its decay by e, root of the mean square."""
    import numpy as np

    from solvers.closed_forms.modes import ball_mode, ball_mode_rate
    from solvers.verification.measures import root_mean_square

    days = 1.0 / ball_mode_rate(_RADIUS, _DIFFUSIVITY, degree, 1)
    points = problem.mesh.points - centre
    r = np.linalg.norm(points, axis=1)
    cosine = np.divide(points[:, 2], r, out=np.ones_like(r), where=r > 0)
    mode = 0.5 * ball_mode(r, np.arccos(np.clip(cosine, -1.0, 1.0)), _RADIUS, degree, 1)
    end = problem.run(0.5 + mode, days, days / 64)
    return root_mean_square(end - (0.5 + mode / np.e), problem.mass)


def _ball_modes() -> list[Row]:
    """On a ball whose tetrahedra are obtuse everywhere, so with the full operator."""
    import numpy as np

    from solvers.verification.bench_problem import BenchProblem
    from solvers.verification.measures import order_rows
    from twin.meshing.boxes import ball_mesh

    centre = np.zeros(3)

    problems = {
        _RADIUS / layers: BenchProblem.of(ball_mesh(_RADIUS, layers), _DIFFUSIVITY, clip=False)
        for layers in (4, 6, 8)
    }
    rows: list[Row] = []
    for degree in (0, 1, 2):
        rows += order_rows(
            f"Mode of a ball, degree {degree}",
            "cell size [mm]",
            list(problems),
            lambda size, degree=degree: _ball_error(problems[size], centre, degree),  # type: ignore[misc]
            largest_error=0.004,
        )
    return rows


def _ball_on_lattice() -> list[Row]:
    """On the patient's mesher, as runs use it: what is left of the order is in the error."""
    import numpy as np

    from solvers.verification.bench_problem import BenchProblem
    from twin.meshing import build_mesh

    size, voxel = 2.0, 0.5
    centre = np.array([11.9, 12.05, 11.95])
    at = np.moveaxis(np.indices((48, 48, 48)), 0, -1) * voxel
    labels = np.where(np.linalg.norm(at - centre, axis=-1) < _RADIUS, 1, 0)
    mesh = build_mesh(
        labels,
        np.diag([voxel, voxel, voxel, 1.0]),
        label_names={1: "white_matter"},
        cell_size_mm=np.full(labels.shape, size),
        smallest_cell_mm=size,
    )
    problem = BenchProblem.of(mesh, _DIFFUSIVITY)
    return [
        Row(
            f"Ball, degree {degree}, by the patient's mesher: error at a cell size of {size:g} mm",
            _ball_error(problem, centre, degree),
            0.0,
            0.003,
        )
        for degree in (0, 1, 2)
    ]


def _gaussian() -> list[Row]:
    import numpy as np

    from solvers.closed_forms.diffusion import gaussian_spread
    from solvers.verification.bench_problem import BenchProblem
    from solvers.verification.measures import order_rows, root_mean_square
    from twin.meshing.boxes import box_mesh

    # an eighth of a Gaussian: the box's sides through its centre are planes of symmetry
    side, days, sigma = 14.0, 10.0, 2.5

    def error_at(size: float) -> float:
        count = round(side / size)
        problem = BenchProblem.of(box_mesh((side,) * 3, (count,) * 3), 0.2)
        r = np.linalg.norm(problem.mesh.points, axis=1)
        end = problem.run(gaussian_spread(r, 0.0, 0.2, sigma=sigma), days, 0.5)
        exact = gaussian_spread(r, days, 0.2, sigma=sigma)
        return root_mean_square(end - exact, problem.mass)

    sizes = [side / count for count in (8, 12, 16)]
    return order_rows("Spreading Gaussian", "cell size [mm]", sizes, error_at, largest_error=0.003)


def _time_steps() -> list[Row]:
    from scipy.sparse.linalg import expm_multiply

    from solvers.closed_forms.modes import box_mode
    from solvers.verification.bench_problem import BenchProblem
    from solvers.verification.measures import order_rows
    from twin.meshing.boxes import box_mesh

    problem = BenchProblem.of(box_mesh(_SIDES, (6, 5, 4)), 0.9)
    start = 0.5 + 0.4 * box_mode(problem.mesh.points, _SIDES, (1, 1, 1))
    exact = expm_multiply(problem.operator.matrix() * 12.0, start)

    def error_at(step: float) -> float:
        return float(abs(problem.run(start, 12.0, step) - exact).max())

    return order_rows(
        "Migration in time", "time step [day]", [0.5, 0.375, 0.25, 0.125], error_at,
        largest_error=2e-4,
    )  # fmt: skip


@functools.lru_cache(maxsize=1)
def _patient_like() -> Mesh:
    """The patient's mesher on three nested balls: a moved, graded lattice with a hole."""
    import numpy as np

    from twin.meshing import build_mesh, wanted_cell_size

    centre = np.array([14.7, 14.4, 14.1])
    radius = np.linalg.norm(np.moveaxis(np.indices((30, 30, 30)), 0, -1) - centre, axis=-1)
    labels = np.zeros(radius.shape, int)
    labels[(slice(3, -3),) * 3] = 1
    labels[radius < 9.0] = 2
    labels[radius < 5.0] = 3
    size = wanted_cell_size(
        labels, 1.0, fine_mm=2.5, fine_region=labels > 1, coarse_mm=10.0, grading=0.5
    )
    names = {1: "white_matter", 2: "grey_matter", 3: "fluid"}
    return build_mesh(labels, np.eye(4), label_names=names, cell_size_mm=size, smallest_cell_mm=2.5)


def _spiky(nodes: int, lives: NDArray[np.bool_]) -> NDArray[np.float64]:
    import numpy as np

    drawn = np.random.default_rng(1).random(nodes) < 0.1
    return np.where(lives & drawn, 1.0, 0.0)


def _conservation() -> list[Row]:
    import numpy as np

    from solvers.verification.bench_problem import BenchProblem

    mesh = _patient_like()
    active = ~mesh.cells_labelled("fluid")
    diffusivity = np.array([0.0, 0.13, 0.026, 0.5])[mesh.cell_label]
    problem = BenchProblem.of(mesh, diffusivity, active)
    lives = problem.mass > 0
    start = _spiky(len(lives), lives)
    end = problem.run(start, 300.0, 1.0)
    before, after = float(problem.mass @ start), float(problem.mass @ end)
    return [
        Row("Cells after 300 days of migration, of those before", after / before, 1.0, 1e-12),
        Row("Least density, where it was 0 or 1", min(float(end.min()), 0.0), 0.0, 1e-14),
        Row("Density above 1", max(float(end.max()) - 1.0, 0.0), 0.0, 1e-14),
        Row("Cells in fluid", float(np.abs(end[~lives]).max()), 0.0, 0.0),
    ]


def _two_tissues() -> list[Row]:
    import numpy as np

    from solvers.verification.bench_problem import BenchProblem
    from twin.meshing.boxes import box_mesh

    left, right, drop, area = 0.5, 0.02, 0.8, 4.0
    mesh = box_mesh(
        (12.0, 2.0, 2.0),
        (12, 2, 2),
        label=lambda centre: np.where(centre[:, 0] < 5.0, 1, 2),
        names={1: "white_matter", 2: "grey_matter"},
    )
    problem = BenchProblem.of(mesh, np.where(mesh.cell_label == 1, left, right))
    flux = drop / (5.0 / left + 7.0 / right)  # resistances in series
    x = mesh.points[:, 0]
    steady = 0.9 - flux * (np.minimum(x, 5.0) / left + np.maximum(x - 5.0, 0.0) / right)
    change = problem.mass * (problem.operator.matrix() @ steady)
    into = float(change[x > 12.0 - 1e-9].sum()) / area
    return [Row("Flux through two tissues in series", into, flux, 1e-6 * flux, "mm/day")]


CHECKS = (
    Check("box_modes", "diffusion", _box_modes),
    Check("ball_modes", "diffusion", _ball_modes),
    Check("ball_on_lattice", "diffusion", _ball_on_lattice),
    Check("gaussian", "diffusion", _gaussian),
    Check("time_steps", "diffusion", _time_steps),
    Check("two_tissues", "diffusion", _two_tissues),
    Check("conservation", "diffusion", _conservation),
)
