"""Which model of growth a patient is simulated with."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal, get_args

from twin.errors import InvalidInput

__all__ = ["Growth", "Migration", "ModelChoice"]

Growth = Literal["logistic", "gompertz", "exponential", "none"]
Migration = Literal["tissue", "tensor"]


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """The parts a growth model is composed of, as ``[model]`` of the patient file names them.

    Parameters
    ----------
    growth : {"logistic", "gompertz", "exponential", "none"}
        Law of proliferation. "none" is for tumours whose growth and spread have no sourced
        rates: treatment kills, and nothing divides or migrates.
    resistant : bool
        A second line of cells that treatment hardly kills.
    oxygen : bool
        Hypoxic and necrotic cells and vessels beside the normoxic cells.
    mass_effect : bool
        Growth displaces tissue, and stress slows migration.
    immunity : bool
        A pool of effector cells that kill the tumour's, after Kuznetsov.
    migration : {"tissue", "tensor"}
        Diffusivity by tissue, or along the fibres of a diffusion tensor image.

    Examples
    --------
    >>> ModelChoice(growth="gompertz", oxygen=True).describe()
    'Gompertz growth with oxygen and necrosis'
    """

    growth: Growth = "logistic"
    resistant: bool = False
    oxygen: bool = False
    mass_effect: bool = False
    migration: Migration = "tissue"
    immunity: bool = False

    def __post_init__(self) -> None:
        for name, allowed in (("growth", get_args(Growth)), ("migration", get_args(Migration))):
            if getattr(self, name) not in allowed:
                raise InvalidInput(
                    f"The model's {name} is {getattr(self, name)!r}; it may be "
                    f"{', '.join(map(repr, allowed))}."
                )
        for name in ("resistant", "oxygen", "mass_effect", "immunity"):
            if not isinstance(getattr(self, name), bool):
                raise InvalidInput(
                    f"The model's {name} is {getattr(self, name)!r}; it may be true or false."
                )
        if not self.grows:
            self._check_still()

    @property
    def grows(self) -> bool:
        """Whether cells divide and migrate between treatments."""
        return self.growth != "none"

    def _check_still(self) -> None:
        """Refuse what acts on growth or migration where there is neither."""
        for chosen, what in (
            (self.resistant, "resistant = true"),
            (self.oxygen, "oxygen = true"),
            (self.mass_effect, "mass_effect = true"),
            (self.immunity, "immunity = true"),
            (self.migration == "tensor", 'migration = "tensor"'),
        ):
            if chosen:
                raise InvalidInput(
                    f'The model has growth = "none" and {what}, which acts on growth and spread '
                    "alone; leave it out, or choose a law of growth."
                )

    def describe(self) -> str:
        """The model in a few words."""
        parts = [
            name
            for chosen, name in (
                (self.resistant, "a resistant line"),
                (self.oxygen, "oxygen and necrosis"),
                (self.mass_effect, "mass effect"),
                (self.immunity, "effector cells"),
                (self.migration == "tensor", "migration along fibres"),
            )
            if chosen
        ]
        if not self.grows:
            return "neither growth nor spread"
        growth = self.growth.capitalize() if self.growth == "gompertz" else self.growth
        return f"{growth} growth" + (" with " + ", ".join(parts) if parts else "")

    def as_dict(self) -> dict[str, str | bool]:
        """Plain values, for records and hashes; immunity only where it is chosen."""
        found = dataclasses.asdict(self)
        return found if self.immunity else {k: v for k, v in found.items() if k != "immunity"}
