"""Mass effect: a homogeneous strain, a thick-walled sphere under pressure, a ball that grows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from solvers.verification.registry import Check, Row

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from twin.mesh import Mesh

__all__ = ["CHECKS"]

_YOUNG, _POISSON = 2.0, 0.4  # [kPa], [1]


def _patch() -> list[Row]:
    """Any strain that is the same everywhere is met exactly."""
    import numpy as np

    from solvers.closed_forms.mechanics import stress_voigt
    from solvers.elasticity import ElasticBody, outer_nodes
    from twin.meshing.boxes import box_mesh

    mesh = box_mesh((3.0, 2.0, 2.5), (4, 3, 3))
    strain = np.array([[0.01, 0.003, 0.0], [0.003, -0.004, 0.002], [0.0, 0.002, 0.006]])
    held = outer_nodes(mesh)
    exact = mesh.points @ strain
    body = ElasticBody(mesh, np.full(len(mesh.cells), _YOUNG), _POISSON, held, tolerance=1e-12)
    nothing = np.zeros(len(mesh.points))
    moved = body.displacement(nothing, 0.0, prescribed=exact)
    wanted = stress_voigt(_YOUNG, _POISSON, strain)
    off = np.abs(body.stress(moved, nothing, 0.0) - wanted).max()
    return [
        Row(
            "Homogeneous strain: displacement error",
            float(np.abs(moved - exact).max()),
            0.0,
            1e-9,
            "mm",
        ),
        Row("Homogeneous strain: stress error", float(off), 0.0, 1e-9, "kPa"),
    ]


def _radial(
    points: NDArray[np.float64], sizes: NDArray[np.float64], r: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Vectors of these sizes away from the origin."""
    import numpy as np

    return points * np.divide(sizes, r, out=np.zeros_like(r), where=r > 0)[:, None]


def _growing_ball(outside: str) -> list[Row]:
    import numpy as np

    from solvers.closed_forms.growing_ball import gaussian_moment, growing_ball
    from solvers.elasticity import ElasticBody, outer_nodes
    from solvers.verification.measures import order_rows
    from twin.meshing.boxes import ball_mesh

    radius, width, strain = 20.0, 12.0, 0.05

    def density(r: float) -> float:
        return float(np.exp(-((r / width) ** 2)))

    def exact_at(r: float) -> float:
        return growing_ball(
            r, young=_YOUNG, poisson=_POISSON, radius=radius, growth_strain=strain,
            density=density, moment=lambda s: gaussian_moment(s, width), outside=outside,
        ).displacement  # fmt: skip

    def error_at(size: float) -> float:
        mesh = ball_mesh(radius, round(radius / size))
        r = np.linalg.norm(mesh.points, axis=1)
        exact = _radial(mesh.points, np.array([exact_at(min(s, radius)) for s in r]), r)
        held = outer_nodes(mesh)
        if outside == "free":  # the tips of the axes, where they go, so that nothing turns
            held &= np.abs(mesh.points).max(axis=1) > radius * (1.0 - 1e-9)
        body = ElasticBody(mesh, np.full(len(mesh.cells), _YOUNG), _POISSON, held)
        values = np.exp(-((r / width) ** 2))
        moved = body.displacement(values, strain, prescribed=exact)
        return float(np.sqrt(((moved - exact) ** 2).sum(axis=1).mean()))

    sizes = [radius / layers for layers in (8, 10, 12)]
    return order_rows(
        f"A growing ball, {outside} outside", "cell size [mm]", sizes, error_at,
        largest_error=0.003, error="displacement error [mm]",
    )  # fmt: skip


def _thick_sphere() -> list[Row]:
    import numpy as np

    from solvers.closed_forms.thick_walls import sphere_under_pressure
    from solvers.elasticity import ElasticBody
    from solvers.verification.measures import order_rows

    inner, outer, pressure = 15.0, 30.0, 0.1

    def exact_at(r: float) -> float:
        return sphere_under_pressure(
            min(max(r, inner), outer), young=_YOUNG, poisson=_POISSON, inner_radius=inner,
            outer_radius=outer, inner_pressure=pressure,
        ).displacement  # fmt: skip

    def error_at(size: float) -> float:
        mesh = _shell(outer, round(outer / size), inner)
        r = np.linalg.norm(mesh.points, axis=1)
        exact = _radial(mesh.points, np.array([exact_at(s) for s in r]), r)
        tips = np.abs(mesh.points).max(axis=1) > outer * (1.0 - 1e-9)
        body = ElasticBody(mesh, np.full(len(mesh.cells), _YOUNG), _POISSON, tips)
        moved = body.displacement(
            np.zeros(len(r)), 0.0, prescribed=exact, forces=_push(mesh, inner, pressure)
        )
        return float(np.sqrt(((moved - exact) ** 2).sum(axis=1).mean()))

    sizes = [outer / layers for layers in (8, 10, 12)]
    return order_rows(
        "A thick-walled sphere under pressure", "cell size [mm]", sizes, error_at,
        largest_error=0.02, error="displacement error [mm]",
    )  # fmt: skip


def _shell(outer: float, layers: int, inner: float) -> Mesh:
    """A ball without its core; `inner` is a whole number of layers."""
    import numpy as np

    from twin.mesh import Mesh
    from twin.meshing.boxes import ball_mesh

    ball = ball_mesh(outer, layers)
    r = np.linalg.norm(ball.points, axis=1)
    cells = ball.cells[r[ball.cells].min(axis=1) > inner * (1.0 - 1e-9)]
    used, number = np.unique(cells, return_inverse=True)
    label = np.ones(len(cells), np.int16)
    return Mesh(ball.points[used], number.reshape(cells.shape), label, ball.label_names)


def _push(mesh: Mesh, inner: float, pressure: float) -> NDArray[np.float64]:
    """Nodal forces of a pressure inside a spherical cavity, [kPa mm2], shape (node, 3)."""
    import numpy as np

    wall = np.linalg.norm(mesh.points, axis=1) < inner * (1.0 + 1e-9)
    on_wall = wall[mesh.cells]
    faces = mesh.cells[on_wall.sum(axis=1) == 3]
    corners = faces[on_wall[on_wall.sum(axis=1) == 3]].reshape(-1, 3)
    a, b, c = (mesh.points[corners[:, k]] for k in range(3))
    area = 0.5 * np.cross(b - a, c - a)
    outward = np.sign(np.einsum("fk,fk->f", area, a))
    each = pressure / 3.0 * area * outward[:, None]
    forces = np.zeros(mesh.points.shape)
    for k in range(3):
        np.add.at(forces, corners[:, k], each)
    return forces


CHECKS = (
    Check("patch", "mechanics", _patch),
    Check("clamped_ball", "mechanics", lambda: _growing_ball("clamped")),
    Check("free_ball", "mechanics", lambda: _growing_ball("free")),
    Check("thick_sphere", "mechanics", _thick_sphere),
)
