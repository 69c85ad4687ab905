"""What every solver offers, and what it is asked to keep."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from twin.errors import InvalidInput
from twin.events import Removed

if TYPE_CHECKING:
    import xarray as xr

    from twin.parameters import ParameterSet
    from twin.patient import Twin
    from twin.regimen import Regimen

__all__ = ["Progress", "Save", "Solver", "State", "checked_thresholds", "checked_times"]

#: Called with the fraction done, between 0 and 1, and a short message.
Progress = Callable[[float, str], None]


@dataclass(frozen=True, slots=True)
class Save:
    """What a run keeps besides its volumes.

    Parameters
    ----------
    fields_at : sequence of float, [day]
        Times at which the density of every node is kept.
    thresholds : mapping of str to float or None, [1]
        Names and levels of visibility; those of the patient's parameters if None.
    visible : mapping of str to tuple of str, or None
        Species whose sum a threshold is applied to, where it is not all that imaging
        sees: ``{"necrosis": ("necrosis",)}``.
    species : tuple of str or None
        Species whose own density is kept beside the visible one at `fields_at`.
    fewest_from : float or None, [day]
        Also keep the density of viable cells on the day, of those at which volumes are wanted
        and from this one on, that has fewest of them; no such field if None.
    """

    fields_at: tuple[float, ...] = ()
    thresholds: Mapping[str, float] | None = None
    visible: Mapping[str, tuple[str, ...]] | None = None
    species: tuple[str, ...] | None = None
    fewest_from: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "fields_at", tuple(float(day) for day in self.fields_at))


@dataclass(frozen=True, slots=True)
class State:
    """A run at one instant: enough, with its regimen, to go on as if it had not stopped.

    The drug still in the blood follows from the doses of the regimen.

    Parameters
    ----------
    day : float, [day]
        The instant; events at it have been applied.
    species : mapping of str to ndarray, [1], shape (node,)
        viable, dead and necrosis, as fractions of the carrying capacity.
    removed : tuple of str or Cavity
        Structures that have been resected.
    step_day : float or None, [day]
        The step that an adaptive run would try next.
    memory : mapping of str to ndarray or None
        What a model with a memory needs besides.
    """

    day: float
    species: Mapping[str, NDArray[np.float64]]
    removed: Removed = field(default=())
    step_day: float | None = None
    memory: Mapping[str, NDArray[Any]] | None = None


class Solver(Protocol):
    """Predicts the tumour of a twin under a regimen."""

    @property
    def capabilities(self) -> frozenset[str]:
        """Names of the treatments and models that this solver knows."""
        ...

    def solve(
        self,
        twin: Twin,
        regimen: Regimen,
        times: Sequence[float],
        *,
        save: Save = ...,
        start: State | None = None,
        error_bars: bool = False,
        progress: Progress | None = None,
    ) -> xr.Dataset:
        """One run by the result schema, at `times` [day]."""
        ...


def checked_times(times: Sequence[float] | NDArray[Any], *, what: str) -> NDArray[np.float64]:
    """`times` as a strictly increasing array, [day].

    >>> checked_times([0, 1.5], what="Output times")
    array([0. , 1.5])
    """
    array = np.asarray(times, np.float64).ravel()
    if not np.isfinite(array).all():
        raise InvalidInput(f"{what} hold a value that is not finite; give days such as 0, 7, 14.")
    if len(array) > 1 and not (np.diff(array) > 0).all():
        raise InvalidInput(f"{what} must increase strictly, without repetition.")
    return array


def checked_thresholds(
    thresholds: Mapping[str, float] | None, parameters: ParameterSet
) -> dict[str, float]:
    """Names and levels of visibility, [1]; those of the parameters where none are given."""
    if thresholds is None:
        return {
            "t1gd": parameters.value("threshold_t1gd"),
            "flair": parameters.value("threshold_flair"),
        }
    for name, level in thresholds.items():
        if not 0.0 < level < 1.0:
            raise InvalidInput(f"The threshold {name!r} is {level}; it must lie between 0 and 1.")
    if not thresholds:
        raise InvalidInput("No threshold of visibility is given; name at least one.")
    return dict(thresholds)
