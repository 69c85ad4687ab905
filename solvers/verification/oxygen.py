"""Oxygen in slabs: use in proportion to pressure, and constant use down to an anoxic middle."""

from __future__ import annotations

from solvers.verification.registry import Check, Row

__all__ = ["CHECKS"]

_PRESSURE, _DIFFUSIVITY = 40.0, 0.002  # [mmHg], [mm2/s]


def _first_order() -> list[Row]:
    """A half pressure far above any pressure makes the use proportional to it."""
    import numpy as np

    from solvers.closed_forms.oxygen import first_order_slab
    from solvers.steady_oxygen import OxygenField
    from solvers.verification.measures import order_rows
    from twin.meshing.boxes import box_mesh

    width, rate, half = 0.2, 0.5, 1e9  # [mm], [1/s], [mmHg]

    def error_at(size: float) -> float:
        mesh = box_mesh((width, size, size), (round(width / size), 1, 1))
        x = mesh.points[:, 0] - 0.5 * width
        sides = np.abs(x) > 0.5 * width * (1.0 - 1e-9)
        found = OxygenField(mesh, _DIFFUSIVITY).pressure(
            occupancy=1.0, supply=0.0, consumption=rate * half, half_pressure=half,
            vessel_pressure=_PRESSURE, fixed=sides, fixed_pressure=np.full(len(x), _PRESSURE),
        )  # fmt: skip
        exact = [first_order_slab(at, _PRESSURE, rate, _DIFFUSIVITY, 0.5 * width) for at in x]
        return float(np.abs(found - exact).max())

    sizes = [width / count for count in (8, 16, 32)]
    return order_rows(
        "Oxygen, use in proportion", "cell size [mm]", sizes, error_at, largest_error=0.05,
        error="pressure error [mmHg]",
    )  # fmt: skip


def _constant_use() -> list[Row]:
    """A half pressure far below any pressure makes the use constant while there is oxygen."""
    import numpy as np

    from solvers.closed_forms.oxygen import zero_order_slab
    from solvers.steady_oxygen import OxygenField
    from twin.meshing.boxes import box_mesh

    use, size = 15.0, 0.005  # [mmHg/s], [mm]
    rows = []
    for half_width, words in ((0.1, "reached everywhere"), (0.2, "with an anoxic middle")):
        mesh = box_mesh((2 * half_width, size, size), (round(2 * half_width / size), 1, 1))
        x = mesh.points[:, 0] - half_width
        sides = np.abs(x) > half_width * (1.0 - 1e-9)
        found = OxygenField(mesh, _DIFFUSIVITY).pressure(
            occupancy=1.0, supply=0.0, consumption=use, half_pressure=1e-4,
            vessel_pressure=_PRESSURE, fixed=sides, fixed_pressure=np.full(len(x), _PRESSURE),
        )  # fmt: skip
        exact = [zero_order_slab(at, _PRESSURE, use, _DIFFUSIVITY, half_width) for at in x]
        off = float(np.abs(found - exact).max())
        rows.append(Row(f"Oxygen, constant use, {words}: error", off, 0.0, 0.1, "mmHg"))
    return rows


CHECKS = (
    Check("first_order", "oxygen", _first_order),
    Check("constant_use", "oxygen", _constant_use),
)
