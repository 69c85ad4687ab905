"""The composed models in one place, against an integrator of their equations written out here."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from solvers.verification.registry import Check, Row

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["CHECKS"]

#: Rates in 1/day, far apart and quick, so that every term matters within the days below.
_PARAMETERS = {
    "proliferation_rate": 0.15,
    "dead_clearance_half_life": 8.0,
    "resistant_fraction": 0.2,
    "resistant_radiosensitivity": 0.4,
    "resistant_drug_sensitivity": 0.3,
    "hypoxia_rate": 0.12,
    "reoxygenation_rate": 0.07,
    "hypoxic_death_rate": 0.05,
    "necrosis_contact_rate": 0.03,
    "vessel_growth_rate": 0.2,
    "supply_half": 0.05,
    "vessel_fraction": 0.03,
    "hypoxic_pressure": 1.0,
    "oer_maximum": 3.0,
    "oer_half_pressure": 3.0,
}
_START = {
    "viable": 0.3,
    "resistant": 0.1,
    "hypoxic": 0.08,
    "resistant_hypoxic": 0.02,
    "dead": 0.05,
    "necrosis": 0.06,
    "vessels": 0.03,
}
_KILL = 0.08  # [1/day]
_DAYS = 12.0


def _slope(
    growth: str, names: tuple[str, ...], day: float, state: NDArray[np.float64]
) -> list[float]:
    """Rates of change of the named species, [1/day]; those that are not named are 0.

    Swanson 2011, Cancer Res 71:7366, doi 10.1158/0008-5472.CAN-11-1399, with the
    effective supply E = s/(s + K), s = v/(c + h + v).
    """
    import math

    p = _PARAMETERS
    here = dict.fromkeys(_START, 0.0) | dict(zip(names, state.tolist(), strict=True))
    total, v, n = sum(here.values()), here["vessels"], here["necrosis"]
    rho, oxygen = p["proliferation_rate"], "vessels" in names
    crowd = 1.0 - total if growth == "logistic" else -math.log((total + 1e-5) / (1.0 + 1e-5))
    h = here["hypoxic"] + here["resistant_hypoxic"]
    c = here["viable"] + here["resistant"]
    s = v / (c + h + v) if oxygen else 1.0
    supply = s / (s + p["supply_half"])
    rates = dict.fromkeys(_START, 0.0)
    for line, low, share in (
        ("viable", "hypoxic", 1.0),
        ("resistant", "resistant_hypoxic", p["resistant_drug_sensitivity"]),
    ):
        killed = share * _KILL * here[line]
        rates[line] += rho * here[line] * crowd - killed
        rates["dead"] += killed
        if oxygen:
            to_low = p["hypoxia_rate"] * (1.0 - supply) * here[line]
            back = p["reoxygenation_rate"] * supply * here[low]
            starved = p["hypoxic_death_rate"] * (1.0 - supply) * here[low]
            touched = p["necrosis_contact_rate"] * n
            rates[line] += back - to_low - touched * here[line]
            rates[low] += to_low - back - starved - touched * here[low]
            rates["necrosis"] += starved + touched * (here[line] + here[low])
    rates["dead"] -= math.log(2.0) / p["dead_clearance_half_life"] * here["dead"]
    if oxygen:
        lost = p["necrosis_contact_rate"] * n * v
        rates["vessels"] += p["vessel_growth_rate"] * h * v * (1.0 - total) - lost
        rates["necrosis"] += lost
    return [rates[name] for name in names]


def _order(what: str, **parts: Any) -> list[Row]:
    import numpy as np
    from scipy.integrate import solve_ivp

    from solvers.verification.bench_problem import point
    from solvers.verification.measures import order_rows
    from twin.model_choice import ModelChoice

    choice = ModelChoice(**parts)
    problem = point()
    names = problem.species_of(choice)
    start = {name: _START[name] for name in names}
    exact = solve_ivp(
        functools.partial(_slope, choice.growth, names), (0.0, _DAYS), list(start.values()),
        method="DOP853", rtol=1e-12, atol=1e-14,
    ).y[:, -1]  # fmt: skip

    def error_at(step: float) -> float:
        end = problem.run_model(
            choice, _PARAMETERS, start, _DAYS, step, kill=lambda begin, until: _KILL
        )
        return float(np.abs([end[name][0] for name in names] - exact).max())

    return order_rows(what, "time step [day]", [2.0, 1.0, 0.5], error_at, largest_error=1e-3)


def _resistant() -> list[Row]:
    return _order("A resistant line", resistant=True)


def _gompertz() -> list[Row]:
    return _order("A resistant line, Gompertz", growth="gompertz", resistant=True)


def _oxygen() -> list[Row]:
    return _order("Oxygen", oxygen=True)


def _everything() -> list[Row]:
    return _order("Oxygen with a resistant line", resistant=True, oxygen=True)


CHECKS = (
    Check("resistant", "models", _resistant),
    Check("resistant_gompertz", "models", _gompertz),
    Check("oxygen", "models", _oxygen),
    Check("oxygen_resistant", "models", _everything),
)
