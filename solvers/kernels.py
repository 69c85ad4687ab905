"""Compiled loops of one time step; each releases the interpreter lock."""

from __future__ import annotations

import math

from twin.compiled import compiled, compiled_sums

#: A density below this is an error, not rounding.
NEGATIVE_TOLERANCE = -1e-12

__all__ = [
    "NEGATIVE_TOLERANCE",
    "react",
    "react_at_length",
    "stage",
    "survive",
]


def react(viable, dead, necrosis, tau, rate, clearance, kill):
    """Growth, drug kill and clearance over `tau`, in place.

    ``u' = rate u (1 - u - d - n) - kill u``, ``d' = kill u - clearance d``, with the
    crowding by dead tissue replaced by its mean over the step: a Bernoulli
    equation, solved exactly; the whole is second order in `tau`.

    Returns how many viable densities lay below `NEGATIVE_TOLERANCE` or were not numbers.
    """
    product = clearance * tau
    decays = (
        math.exp(-product),
        math.exp(-0.5 * product),
        1.0 if product < 1e-12 else -math.expm1(-product) / product,
    )
    loop = _react_briefly if (rate + kill) * tau < 0.03 else react_at_length
    return loop(viable, dead, necrosis, tau, rate, kill, *decays)


@compiled_sums
def _react_briefly(viable, dead, necrosis, tau, rate, kill, decay, half_decay, mean_decay):
    """The reaction where its exponents are small, without a branch.

    exp(x) by its diagonal Pade approximant of order 3: to rounding for |x| < 0.06.
    ``ln(1 + z)`` of the drug's kill by its series of order 8.
    """
    wrong = 0
    for i in range(viable.shape[0]):
        u, d = viable[i], dead[i]
        wrong += not u >= NEGATIVE_TOLERANCE
        crowd = necrosis[i] + d * mean_decay + 0.5 * tau * kill * u
        x = (rate * (1.0 - crowd) - kill) * tau
        square = x * x
        even = 1.0 + square * (1.0 / 10.0)
        share = 0.5 + square * (1.0 / 120.0)
        below = 1.0 / (even - x * share)
        integral = 2.0 * tau * share * below * u
        z = rate * integral
        viable[i] = u * (even + x * share) * below / (1.0 + z)
        series = 1.0 + z * (
            -1 / 2 + z * (1 / 3 + z * (-1 / 4 + z * (1 / 5 + z * (-1 / 6 + z / 7))))
        )
        dead[i] = d * decay + kill * integral * series * half_decay
    return wrong


@compiled
def react_at_length(viable, dead, necrosis, tau, rate, kill, decay, half_decay, mean_decay):
    """The reaction for a step of any length."""
    wrong = 0
    for i in range(viable.shape[0]):
        u, d = viable[i], dead[i]
        wrong += not u >= NEGATIVE_TOLERANCE
        crowd = necrosis[i] + d * mean_decay + 0.5 * tau * kill * u
        a = rate * (1.0 - crowd) - kill
        x = a * tau
        integral = tau if abs(x) < 1e-15 else math.expm1(x) / a
        z = rate * u * integral
        viable[i] = u * math.exp(x) / (1.0 + z)
        killed = kill * u * integral
        if rate > 0.0 and kill > 0.0:
            killed = kill * math.log1p(z) / rate
        dead[i] = d * decay + killed * half_decay
    return wrong


@compiled
def survive(viable, dead, surviving):
    """One fraction: what does not survive moves to the dead pool, in place."""
    for i in range(viable.shape[0]):
        killed = viable[i] * (1.0 - surviving[i])
        viable[i] -= killed
        dead[i] += killed


@compiled_sums
def stage(
    indptr, indices, weights, inverse_mass, latest, before, start, slope, result,
    mu, nu, mu_tau, gamma_tau,
):  # fmt: skip
    """One stage of the Runge-Kutta-Legendre step.

    ``result = mu latest + nu before + (1 - mu - nu) start + mu_tau L latest + gamma_tau slope``,
    where `slope` is ``L start``; a first stage (`nu` = 0, `gamma_tau` = 0) writes it.
    """
    first = nu == 0.0 and gamma_tau == 0.0
    rest = 1.0 - mu - nu
    for i in range(result.shape[0]):
        here = latest[i]
        total = 0.0
        for k in range(indptr[i], indptr[i + 1]):
            total += weights[k] * (latest[indices[k]] - here)
        total *= inverse_mass[i]
        if first:
            slope[i] = total
            result[i] = start[i] + mu_tau * total
        else:
            result[i] = (
                mu * here + nu * before[i] + rest * start[i] + mu_tau * total + gamma_tau * slope[i]
            )
