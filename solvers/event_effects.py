"""What each kind of instantaneous event does to a run; a treatment of one's own adds its own.

The finite-element solver knows every event that has an effect here. Other executors know the
kinds that they name and refuse all others (`Treatment.require_known`), so that a new treatment is
never left out in silence.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from twin.errors import InvalidInput
from twin.events import Fraction, HeatSession, ResectionEvent

if TYPE_CHECKING:
    from solvers.march import March

__all__ = ["apply_event", "effect_of"]

_Effect = TypeVar("_Effect", bound=Callable[..., None])
_EFFECTS: dict[type, Callable[[March, Any], None]] = {}


def effect_of(kind: type) -> Callable[[_Effect], _Effect]:
    """Decorator: this function is what events of a kind do to a run, ``effect(march, event)``."""

    def register(effect: _Effect) -> _Effect:
        _EFFECTS[kind] = effect
        return effect

    return register


def apply_event(march: March, event: Any) -> None:
    """Let an event act on a run, at its time.

    Raises
    ------
    InvalidInput
        An event whose effect nobody has stated.
    """
    effect = _EFFECTS.get(type(event))
    if effect is None:
        raise InvalidInput(
            f"The treatment has a {type(event).__name__}, whose effect is not known; state it with "
            "solvers.event_effects.effect_of."
        )
    effect(march, event)


@effect_of(Fraction)
def _irradiate(march: March, event: Fraction) -> None:
    march.growth.irradiate(march.treatment.surviving(event, march.sensitivities))
    march.redraw_after(event)


@effect_of(HeatSession)
def _heat(march: March, event: HeatSession) -> None:
    march.growth.kill(march.treatment.heat.surviving(event))


@effect_of(ResectionEvent)
def _resect(march: March, event: ResectionEvent) -> None:
    march.resect(event)
