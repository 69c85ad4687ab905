"""Arms of equal toxicity: doses rescaled until an organ at risk gets the same in all of them.

Arms that differ in what they give to the organ that limits them are no fair comparison: the one
that gives more will mostly look better for the tumour. Here the dose of every course of an arm,
boost and all, is multiplied by one factor in the same number of fractions, until the organ's
EQD2 or its probability of a complication is that of another arm, or a stated one. Both rise with
the dose, so that there is one such factor. Doses are as planned, without set-up errors.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scenarios.complications import percent
from twin.errors import InvalidInput
from twin.radiotherapy import MAX_PRESCRIPTION_GY
from twin.regimen import Regimen

__all__ = ["MEASURES", "WORST", "Isotoxic", "Rescaled", "isotoxic_sentences"]

MEASURES = ("eqd2 d0.03cc", "eqd2 mean", "ntcp")
#: Instead of an organ: the one with the largest NTCP, or EQD2 as a share of its limit on file.
WORST = "worst"
_WORDS = {
    "eqd2 d0.03cc": "EQD2 D0.03cc",
    "eqd2 mean": "mean EQD2",
    "ntcp": "complication probability (NTCP)",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Isotoxic:
    """What is to be equal in all arms that have radiotherapy.

    Parameters
    ----------
    measure : str
        One of `MEASURES`.
    organ : str
        An organ at risk, or `WORST`.
    as_in : str or None
        The arm whose value the others get; it keeps its dose.
    value : float or None
        Instead of that a value, EQD2 [Gy] or NTCP [1].
    """

    measure: str
    organ: str = WORST
    as_in: str | None = None
    value: float | None = None

    def __post_init__(self) -> None:
        if self.measure not in MEASURES:
            raise InvalidInput(
                f"The measure of isotoxic arms is {self.measure!r}; it may be "
                f"{', '.join(map(repr, MEASURES))}."
            )
        if (self.as_in is None) == (self.value is None):
            raise InvalidInput(
                "Isotoxic arms need as_in, the arm whose value all others get, or a value; "
                "give one of the two."
            )
        if self.value is None:
            return
        if self.organ == WORST and self.measure != "ntcp":
            raise InvalidInput(
                f"No one EQD2 suits all organs; name the organ that gets {self.value:g} Gy, or "
                "write as_in."
            )
        top = 1.0 if self.measure == "ntcp" else MAX_PRESCRIPTION_GY
        if not 0.0 < self.value < top:
            raise InvalidInput(
                f"The value of isotoxic arms is {self.value_text(self.value)}; it must lie between "
                f"{self.value_text(0.0)} and {self.value_text(top)}."
            )

    def value_text(self, value: float) -> str:
        """A value of the measure with its unit.

        >>> Isotoxic(measure="ntcp", value=0.05).value_text(0.05)
        '5.0 %'
        >>> Isotoxic(measure="eqd2 mean", as_in="a").value_text(12.345)
        '12.35 Gy'
        """
        return percent(value) if self.measure == "ntcp" else f"{value:.4g} Gy"

    @staticmethod
    def organ_text(organ: str) -> str:
        """The name of an organ in sentences."""
        return organ.replace("_", " ")

    @property
    def what(self) -> str:
        """The measure in words."""
        return _WORDS[self.measure]

    def describe(self) -> str:
        """The rule in one plain sentence."""
        goal = f"as in {self.as_in!r}" if self.value is None else self.value_text(self.value)
        if self.organ != WORST:
            until = f"the {self.what} of {self.organ_text(self.organ)} is {goal}"
        else:
            of_limit = "" if self.measure == "ntcp" else ", as a share of its limit on file,"
            until = f"the largest {self.what} of any organ{of_limit} is {goal}"
        return (
            "Isotoxic: the radiotherapy of every arm is rescaled in the same number of fractions, "
            f"a boost with it, until {until}; doses of earlier courses count, set-up errors do not."
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for hashes and JSON."""
        return {
            "measure": self.measure, "organ": self.organ, "as_in": self.as_in, "value": self.value,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Rescaled:
    """What became of an arm.

    Parameters
    ----------
    prescribed : Regimen
        Before it was rescaled.
    factor : float, [1]
    organ : str
        The one that limits the dose.
    value : float
        Of the measure in that organ with the rescaled dose, EQD2 [Gy] or NTCP [1].
    sentence : str
        Both doses in words.
    parameters : tuple of str
        Names of those that the dose now rests on.
    patient : str
        Hash of all that was read of the patient.
    """

    prescribed: Regimen
    factor: float
    organ: str
    value: float
    sentence: str
    parameters: tuple[str, ...]
    patient: str

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "prescribed": self.prescribed.as_dict(),
            "factor": self.factor,
            "organ": self.organ,
            "value": self.value,
            "sentence": self.sentence,
        }


def isotoxic_sentences(study: Mapping[str, Any]) -> list[str]:
    """The rule and what became of each arm, from the record of a study; none of another one."""
    if not study.get("isotoxic"):
        return []
    arms = [
        f"{arm['name']}: {arm['isotoxic']['sentence']}"
        for arm in study["scenarios"]
        if arm.get("isotoxic")
    ]
    return [Isotoxic(**study["isotoxic"]).describe(), *arms]
