"""Radiation and drugs: survival, exposure, biologically effective dose."""

from __future__ import annotations

from solvers.verification.registry import Check, Row

__all__ = ["CHECKS"]


def _survival() -> list[Row]:
    """Thirty fractions of 2 Gy; numbers by hand: -ln S = 30 (0.06 2 + 0.006 4) = 4.32."""
    import math

    from solvers.dose_response import log_surviving_fraction, surviving_fraction

    log = 30.0 * float(log_surviving_fraction(2.0, alpha=0.06, alpha_beta=10.0))
    once = float(surviving_fraction(18.0, alpha=0.3, alpha_beta=10.0))
    expected = math.exp(-(0.3 * 18.0 + 0.03 * 18.0**2))
    return [
        Row("Linear-quadratic log-survival of 30 times 2 Gy", log, -4.32, 1e-13),
        Row("Surviving fraction of 18 Gy", once, expected, 1e-12 * expected),
    ]


def _exposure() -> list[Row]:
    """Of five daily doses, against numerical integration of dC/dt = -k C."""
    import math

    import numpy as np
    from scipy.integrate import solve_ivp

    from solvers.dose_response import one_compartment
    from twin.events import DrugDose

    clearance, volume, dose = 10.0, 30.3, 150.0  # [L/h], [L], [mg]
    kinetics = one_compartment(
        clearance_l_h=clearance, half_life_h=math.log(2.0) * volume / clearance, body_surface_m2=2.0
    )
    doses = [DrugDose(float(day), "temozolomide", dose / 2.0) for day in range(5)]
    concentration, area = 0.0, 0.0
    for day in range(5):
        until = 24.0 if day < 4 else 4.0
        state = solve_ivp(
            lambda hour, y: [-clearance / volume * y[0], y[0]], (0.0, until),
            [concentration + dose / volume, area], method="DOP853", rtol=1e-12, atol=1e-14,
        ).y[:, -1]  # fmt: skip
        concentration, area = float(state[0]), float(state[1])
    found = kinetics.exposure(doses, np.array([100.0 / 24.0, 1e4]))
    return [
        Row(
            "Exposure to five daily doses after 100 h", float(found[0]), area, 1e-9 * area, "mg h/L"
        ),
        Row("Exposure to all of them", float(found[1]), 5.0 * dose / clearance, 1e-9, "mg h/L"),
    ]


CHECKS = (
    Check("survival", "treatment", _survival),
    Check("exposure", "treatment", _exposure),
)
