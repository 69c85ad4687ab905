"""Migration along fibres: a mode of a box with a tensor along it, a Gaussian with one across it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from solvers.verification.registry import Check, Row

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from solvers.verification.bench_problem import BenchProblem
    from twin.mesh import Mesh

__all__ = ["CHECKS"]

#: Diffusivity along the fibre over that across it.
_RATIO = 3.0


def _problem(mesh: Mesh, diffusivity: float, tensor: NDArray[np.float64]) -> BenchProblem:
    """The same tensor of mean 1, shape (3, 3), in every element, as runs use it."""
    import numpy as np

    from solvers.closed_forms.tensors import voigt
    from solvers.operators import mesh_operators
    from solvers.tensor_diffusion import tensor_operators
    from solvers.verification.bench_problem import BenchProblem

    cells = len(mesh.cells)
    everywhere = np.ones(cells, bool)
    each = np.tile(voigt(tensor), (cells, 1))
    operators = tensor_operators(mesh_operators(mesh), each, everywhere)
    return BenchProblem(mesh, operators.diffusion(np.full(cells, diffusivity), everywhere))


def _along() -> list[Row]:
    import numpy as np

    from solvers.closed_forms.modes import box_mode, box_mode_amplitude
    from solvers.verification.measures import order_rows, root_mean_square
    from twin.meshing.boxes import box_mesh

    sides, numbers, diffusivity, days = (12.0, 10.0, 8.0), (1, 2, 1), 0.4, 8.0
    values = np.array([_RATIO, 1.0, 1.0]) * 3.0 / (_RATIO + 2.0)

    def error_at(size: float) -> float:
        count = round(sides[0] / size)
        problem = _problem(box_mesh(sides, (count,) * 3), diffusivity, np.diag(values))
        mode = box_mode(problem.mesh.points, sides, numbers)
        end = problem.run(0.5 + 0.4 * mode, days, 0.25)
        left = box_mode_amplitude(sides, numbers, diffusivity * values, days)
        return root_mean_square(end - (0.5 + 0.4 * left * mode), problem.mass)

    sizes = [sides[0] / count for count in (8, 12, 16)]
    return order_rows(
        "Fibres along the box", "cell size [mm]", sizes, error_at, largest_error=0.002
    )


def _across() -> list[Row]:
    import numpy as np

    from solvers.closed_forms.diffusion import anisotropic_kernel
    from solvers.verification.measures import order_rows, root_mean_square
    from twin.meshing.boxes import box_mesh

    side, diffusivity, begin, days = 24.0, 0.2, 16.0, 10.0
    turn, rise = np.radians(35.0), np.radians(20.0)
    fibre = np.array([np.cos(turn) * np.cos(rise), np.sin(turn) * np.cos(rise), np.sin(rise)])
    tensor = (np.eye(3) + (_RATIO - 1.0) * np.outer(fibre, fibre)) * 3.0 / (_RATIO + 2.0)
    peak = float(anisotropic_kernel(np.zeros(3), begin, diffusivity * tensor))

    def error_at(size: float) -> float:
        mesh = box_mesh((side,) * 3, (round(side / size),) * 3)
        problem = _problem(mesh, diffusivity, tensor)
        x = mesh.points - 0.5 * side

        def exact(day: float) -> NDArray[np.float64]:
            return anisotropic_kernel(x, begin + day, diffusivity * tensor) / peak

        return root_mean_square(problem.run(exact(0.0), days, 0.5) - exact(days), problem.mass)

    sizes = [side / count for count in (14, 17, 20)]
    return order_rows(
        "Fibres at an angle to the mesh", "cell size [mm]", sizes, error_at, largest_error=0.003
    )


CHECKS = (Check("along", "fibres", _along), Check("across", "fibres", _across))
