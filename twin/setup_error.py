"""Set-up errors of radiotherapy: where the dose goes instead of where it was planned.

A systematic error is the same in all fractions and shifts the dose; random ones of single
fractions blur it (M. van Herk, Errors and margins in radiotherapy, Seminars in Radiation
Oncology 14, 52-64 (2004), doi:10.1053/j.semradonc.2003.10.003 [unverified]). The blur is of the
mean dose: that survival is not linear in the dose of a fraction is left out of account.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from twin.errors import InvalidInput

__all__ = ["MOST_MM", "SetupError", "drawn_setup_errors"]

#: No one treats with larger ones, [mm].
MOST_MM = 30.0


@dataclass(frozen=True, slots=True)
class SetupError:
    """One realisation of the errors of a course.

    Parameters
    ----------
    shift_mm : tuple of float, [mm]
        Of the dose against the patient: to the right, to the front, upwards.
    blur_mm : float, [mm]
        Standard deviation of the random errors along each axis.
    """

    shift_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)
    blur_mm: float = 0.0

    def __post_init__(self) -> None:
        shift = tuple(float(part) for part in self.shift_mm)
        if len(shift) != 3 or not all(abs(part) <= MOST_MM for part in shift):
            raise InvalidInput(
                f"The shift of the dose is {self.shift_mm} mm; give three lengths of at most "
                f"{MOST_MM:g} mm."
            )
        if not 0.0 <= self.blur_mm <= MOST_MM:
            raise InvalidInput(
                f"The random set-up error is {self.blur_mm:g} mm; it must lie between 0 and "
                f"{MOST_MM:g} mm."
            )
        object.__setattr__(self, "shift_mm", shift)

    def applied(
        self, dose: NDArray[np.float32], affine: NDArray[np.float64]
    ) -> NDArray[np.float32]:
        """A dose on its grid after the error; beyond the grid it is as at its edge.

        Parameters
        ----------
        dose : ndarray, any unit, shape (i, j, k)
        affine : ndarray, [mm], shape (4, 4)
            From voxel numbers to RAS millimetres.

        Examples
        --------
        >>> dose = np.arange(5.0, dtype=np.float32).reshape(5, 1, 1)
        >>> SetupError((2.0, 0.0, 0.0)).applied(dose, np.diag([2.0, 2, 2, 1])).ravel().tolist()
        [0.0, 0.0, 1.0, 2.0, 3.0]
        """
        spacing = np.linalg.norm(affine[:3, :3], axis=0)
        found = np.asarray(dose, np.float32)
        if self.blur_mm > 0.0:
            found = ndimage.gaussian_filter(found, self.blur_mm / spacing, mode="nearest")
        if any(self.shift_mm):
            steps = np.linalg.solve(affine[:3, :3], np.array(self.shift_mm))
            found = ndimage.shift(found, steps, order=1, mode="nearest")
        return found

    def describe(self) -> str:
        """In words, without a full stop.

        >>> SetupError((1.0, -2.0, 0.0), 3.0).describe()
        'the dose 1 mm right, -2 mm front, 0 mm up of its place and blurred by 3 mm'
        """
        right, front, up = (f"{part:.3g}" for part in self.shift_mm)
        text = f"the dose {right} mm right, {front} mm front, {up} mm up of its place"
        return text + (f" and blurred by {self.blur_mm:g} mm" if self.blur_mm else "")

    def as_dict(self) -> dict[str, object]:
        """Plain values, for hashes and JSON."""
        return {"shift_mm": list(self.shift_mm), "blur_mm": self.blur_mm}


def drawn_setup_errors(
    systematic_mm: float, random_mm: float, draws: int, seed: int
) -> tuple[SetupError, ...]:
    """So many realisations: shifts drawn from a normal distribution along each axis.

    Parameters
    ----------
    systematic_mm, random_mm : float, [mm]
        Standard deviations along each axis.
    draws : int
    seed : int
        The same seed draws the same shifts.

    Examples
    --------
    >>> drawn_setup_errors(2.0, 1.0, 3, 7) == drawn_setup_errors(2.0, 1.0, 3, 7)
    True
    """
    if not (0.0 <= systematic_mm <= MOST_MM / 3.0 and math.isfinite(systematic_mm)):
        raise InvalidInput(
            f"The systematic set-up error is {systematic_mm:g} mm; it must lie between 0 and "
            f"{MOST_MM / 3.0:g} mm."
        )
    shifts = systematic_mm * np.random.default_rng(seed).standard_normal((draws, 3))
    shifts = np.clip(shifts, -MOST_MM, MOST_MM)
    return tuple(SetupError((float(x), float(y), float(z)), random_mm) for x, y, z in shifts)
