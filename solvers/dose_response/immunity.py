"""Immune cells against a tumour, in well-mixed numbers of cells.

Kuznetsov and others' two equations, of effector cells E and tumour cells T:

    E' = s + p E T/(g + T) - m E T - d E
    T' = a T (1 - b T) - n E T

(V. A. Kuznetsov, I. A. Makalkin, M. A. Taylor and A. S. Perelson 1994, Bull Math Biol
56:295, doi 10.1007/BF02460644 [unverified]; fitted to a lymphoma of mice). The system is
bistable: the same parameters hold a small tumour dormant and let a large one escape.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.integrate import solve_ivp

from twin.errors import InvalidInput, NotConverged

__all__ = ["CheckpointDrug", "Kuznetsov", "fractional_kill"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kuznetsov:
    """Rates of effector and tumour cells, in cells and days.

    Parameters
    ----------
    a : float, [1/day]
        Growth of the tumour.
    b : float, [1/cell]
        1 over its capacity.
    d : float, [1/day]
        Death of effector cells.
    g : float, [cells]
        Tumour of half the recruitment.
    m : float, [1/(cell day)]
        Effector cells used up on tumour cells.
    n : float, [1/(cell day)]
        Tumour cells killed by effector cells.
    p : float, [1/day]
        Recruitment.
    s : float, [cells/day]
        Source of effector cells.
    """

    a: float
    b: float
    d: float
    g: float
    m: float
    n: float
    p: float
    s: float

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not 0.0 <= value < np.inf:
                raise InvalidInput(f"{field.name} is {value}; it must be finite and at least 0.")
        for name in ("a", "b", "d", "g"):
            if getattr(self, name) == 0.0:
                raise InvalidInput(f"{name} is 0; it must be above 0.")

    def rates(self, effectors: ArrayLike, tumour: ArrayLike) -> NDArray[np.float64]:
        """E' and T', [cells/day], shape (2, ...)."""
        E, T = np.asarray(effectors, np.float64), np.asarray(tumour, np.float64)
        return np.stack(
            [
                self.s + self.p * E * T / (self.g + T) - self.m * E * T - self.d * E,
                self.a * T * (1.0 - self.b * T) - self.n * E * T,
            ]
        )

    def with_checkpoint_drug(self, drug: CheckpointDrug) -> Kuznetsov:
        """The rates while the drug is there: effector cells kill `factor` times as fast."""
        return replace(self, n=self.n * drug.factor)

    def tumour_free(self) -> float:
        """Effector cells where there is no tumour, s/d, [cells]."""
        return self.s / self.d

    def equilibria(self) -> list[tuple[float, float]]:
        """Pairs of effector and tumour cells that stay as they are, T above 0, by rising T.

        With ``E = a (1 - b T)/n`` from the second equation the first is a cubic in T, whose
        positive real roots with E at least 0 are these.
        """
        if self.n == 0.0:
            raise InvalidInput("n is 0: without killing there is no equilibrium to find.")
        # (s n) (g + T) + a (1 - b T) [p T - (g + T) (m T + d)] = 0
        T = np.polynomial.Polynomial([0.0, 1.0])
        polynomial = self.s * self.n * (self.g + T) + self.a * (1.0 - self.b * T) * (
            self.p * T - (self.g + T) * (self.m * T + self.d)
        )
        scale = 1.0 / self.b
        scaled = np.polynomial.Polynomial(polynomial.coef * scale ** np.arange(4))
        roots = scaled.roots() * scale
        real = sorted(float(r.real) for r in roots if abs(r.imag) < 1e-9 * scale and r.real > 0.0)
        pairs = [(self.a * (1.0 - self.b * t) / self.n, t) for t in real]
        return [(e, t) for e, t in pairs if e >= 0.0]

    def course(self, effectors: float, tumour: float, times: ArrayLike) -> NDArray[np.float64]:
        """E and T at some times from such a beginning, [cells], shape (2, time).

        Parameters
        ----------
        effectors, tumour : float, [cells]
            At time 0.
        times : array_like, [day], shape (time,)
            Not negative and rising.

        Raises
        ------
        NotConverged
            The integrator gave up.
        """
        times = np.atleast_1d(np.asarray(times, np.float64))
        if not (effectors >= 0.0 and tumour >= 0.0):
            raise InvalidInput("Numbers of cells must be at least 0.")
        if not (times >= 0.0).all() or not (np.diff(times) >= 0.0).all():
            raise InvalidInput("Times must be at least 0 day and in order.")
        found = solve_ivp(
            lambda _, y: self.rates(*y),
            (0.0, max(float(times[-1]), 1e-9)),
            [effectors, tumour],
            t_eval=times,
            method="DOP853",
            rtol=1e-11,
            atol=1e-6,
        )
        if not found.success:
            raise NotConverged(f"The immune equations could not be integrated: {found.message}")
        return np.asarray(found.y)


@dataclass(frozen=True, slots=True)
class CheckpointDrug:
    """Checkpoint inhibition: killing by effector cells times a factor of 1 to 5 (assumed)."""

    factor: float

    def __post_init__(self) -> None:
        if not 1.0 <= self.factor <= 5.0:
            raise InvalidInput(
                f"A checkpoint drug multiplies the killing by {self.factor}; it must be 1 to 5."
            )


def fractional_kill(
    lymphocytes: ArrayLike, tumour: ArrayLike, *, largest: float, power: float, half: float
) -> NDArray[np.float64]:
    """Rate of tumour cells killed by lymphocytes, ``d (L/T)^l / (s + (L/T)^l)``, [1/day].

    L. G. de Pillis, A. E. Radunskaya and C. L. Wiseman 2005, Cancer Res 65:7950, doi
    10.1158/0008-5472.CAN-05-0564 [unverified].

    Parameters
    ----------
    lymphocytes, tumour : array_like, [cells]
        L and T; the rate is 0 without lymphocytes, and `largest` where there is no tumour.
    largest : float, [1/day]
        d.
    power : float, [1]
        l.
    half : float, [1]
        s, steepness.

    Examples
    --------
    >>> round(float(fractional_kill(1e6, 1e6, largest=2.34, power=2.09, half=0.0839)), 4)
    2.1589
    """
    L, T = np.asarray(lymphocytes, np.float64), np.asarray(tumour, np.float64)
    if not ((L >= 0.0).all() and (T >= 0.0).all()):
        raise InvalidInput("Numbers of cells must be at least 0.")
    if not (0.0 <= largest < np.inf and 0.0 < power < np.inf and 0.0 < half < np.inf):
        raise InvalidInput("A kill rate needs 0 <= d, 0 < l and 0 < s, all finite.")
    seen = T > 0.0
    ratio = np.where(seen, L, 0.0) ** power / np.where(seen, T, 1.0) ** power
    return np.where(seen, largest * ratio / (half + ratio), np.where(L > 0.0, largest, 0.0))
