"""Adaptive replanning: from a stated fraction on, the target is redrawn on the tumour as it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from twin.errors import InvalidInput

if TYPE_CHECKING:
    from twin.parameters import ParameterSet

__all__ = ["Replan", "VisibleOn"]

#: The image on which the target is drawn, by its threshold of visibility.
VisibleOn = Literal["t1gd", "flair"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Replan:
    """The target drawn anew on the predicted tumour; later fractions are given to it.

    Nothing of it is known before the run: the new target is where the run's own density, just
    after the fraction that is named, is visible.

    Parameters
    ----------
    after_fraction : int
        Number of the fraction, in the order in which they are given, after which the tumour is
        seen; the next one is given by the new plan.
    visible_on : {"t1gd", "flair"}
        The tumour is what this image shows.
    above : float or None, [1]
        Its threshold by carrying capacity; that of the parameters if None.
    """

    after_fraction: int
    visible_on: VisibleOn = "t1gd"
    above: float | None = None

    def __post_init__(self) -> None:
        if not (isinstance(self.after_fraction, int) and self.after_fraction >= 1):
            raise InvalidInput(
                f"The plan is redrawn after fraction {self.after_fraction!r}; fractions are "
                "numbered from 1."
            )
        if self.visible_on not in get_args(VisibleOn):
            raise InvalidInput(
                f"The target is redrawn on {self.visible_on!r}; it may be 't1gd' or 'flair'."
            )
        if self.above is not None and not 0.0 < self.above < 1.0:
            raise InvalidInput(
                f"The target is redrawn above a density of {self.above:g}; it must lie between 0 "
                "and 1 of the carrying capacity."
            )

    def level(self, parameters: ParameterSet) -> float:
        """Density at which the outline is drawn, [1]."""
        if self.above is not None:
            return self.above
        return parameters.value(f"threshold_{self.visible_on}")

    def describe(self) -> str:
        """In words.

        >>> Replan(after_fraction=15).describe()
        'after fraction 15 the target is redrawn on the predicted tumour that T1Gd shows'
        """
        image = {"t1gd": "T1Gd", "flair": "FLAIR"}[self.visible_on]
        where = (
            f"that {image} shows" if self.above is None else f"above a density of {self.above:g}"
        )
        return (
            f"after fraction {self.after_fraction} the target is redrawn on the predicted tumour "
            f"{where}"
        )
