"""Which radiosensitivities may be used with growth, and which without."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twin.errors import InvalidInput
from twin.model_choice import ModelChoice

if TYPE_CHECKING:
    from twin.parameters import ParameterSet

__all__ = ["CONTROL_BASES", "IMAGE_BASES", "REPOPULATION", "check_basis"]

#: Bases of a radiosensitivity with which the growth equation may be used.
IMAGE_BASES = ("image", "calibrated")
#: Bases of one with which cells are counted that may grow back, without growth.
CONTROL_BASES = ("tumour control",)
#: Parameters of repopulation from a kick-off time on, which stand for growth where there is none.
REPOPULATION = ("repopulation_kickoff", "repopulation_doubling")


def check_basis(parameters: ParameterSet, model: ModelChoice | None = None) -> None:
    """Refuse a radiosensitivity that does not belong to the model.

    Images show the net of kill and of growth between fractions. A radiosensitivity fitted to
    them with the equation's own growth is a tenth of one from cure rates or colony counts, so
    one in place of the other is wrong by that factor in every fraction. Without growth what
    counts is whether one clonogen is left, which takes one from cure rates.

    Parameters
    ----------
    parameters : ParameterSet
    model : ModelChoice or None
        One with growth if None.

    Raises
    ------
    InvalidInput
        `alpha` states another basis than the model takes, or repopulation would be counted by
        the growth equation and by a kick-off time as well.
    """
    basis, value = parameters["alpha"].basis, parameters.value("alpha")
    if model is not None and not model.grows:
        if basis not in CONTROL_BASES:
            raise InvalidInput(
                f"alpha is {value:g} 1/Gy on the basis of {basis}, but a model without growth asks "
                'whether a clonogen is left and takes one from cure rates (basis = "tumour '
                'control"): give such a one, leave alpha to the parameter set, or choose a law of '
                "growth."
            )
        return
    if basis not in IMAGE_BASES:
        raise InvalidInput(
            f"alpha is {value:g} 1/Gy on the basis of {basis}, but the equation with growth takes "
            'one fitted to images (basis = "image"), about a tenth of those from cure rates or '
            "colonies: give such a one, or leave alpha to the parameter set."
        )
    both = [name for name in REPOPULATION if name in parameters]
    if both:
        raise InvalidInput(
            f"The parameters have {both[0]} and the model grows between fractions, which is "
            "repopulation already; counting both would count it twice: leave the parameter out, or "
            'set growth = "none" in [model].'
        )
