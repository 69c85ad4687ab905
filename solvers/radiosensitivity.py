"""Which radiosensitivities may be used with growth."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twin.errors import InvalidInput

if TYPE_CHECKING:
    from twin.parameters import ParameterSet

__all__ = ["IMAGE_BASES", "check_basis"]

#: Bases of a radiosensitivity with which the growth equation may be used.
IMAGE_BASES = ("image", "calibrated")


def check_basis(parameters: ParameterSet) -> None:
    """Refuse a radiosensitivity that does not belong into the equation with growth.

    Images show the net of kill and of growth between fractions. A radiosensitivity fitted to
    them with the equation's own growth is a tenth of one from cure rates or colony counts, so
    one in place of the other is wrong by that factor in every fraction.

    Raises
    ------
    InvalidInput
        `alpha` states another basis than images.
    """
    basis = parameters["alpha"].basis
    if basis not in IMAGE_BASES:
        value = parameters.value("alpha")
        raise InvalidInput(
            f"alpha is {value:g} 1/Gy on the basis of {basis}, but the equation with growth takes "
            'one fitted to images (basis = "image"), about a tenth of those from cure rates or '
            "colonies: give such a one, or leave alpha to the parameter set."
        )
