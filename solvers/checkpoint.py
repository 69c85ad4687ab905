"""Checkpoint drugs: while one is there, effector cells kill faster.

The rate of killing is multiplied by ``1 + (F - 1) c/(EC50 + c)``: F, the drug's factor, with all
receptors taken (`solvers.dose_response.CheckpointDrug`), the share of receptors that are taken by
the concentration c.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from solvers.dose_response import CheckpointDrug
from solvers.drug_effects import (
    EmaxKill,
    Patient,
    acts_on_effector_cells,
    doses_by_drug,
    kinetics_of,
)
from twin.drugs import load_drug
from twin.errors import InvalidInput
from twin.events import DrugDose

if TYPE_CHECKING:
    from twin.model_choice import ModelChoice
    from twin.parameters import ParameterSet

__all__ = ["Checkpoint", "check_effector_cells", "checkpoints"]


#: Into so many parts each panel of `EmaxKill` is cut for the table of a `Checkpoint`.
_PARTS = 8
#: Shares just inside of a part, so that a jump at its border is on the right side.
_INSIDE = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """One checkpoint drug of a schedule, with its occupancy summed up beforehand.

    Parameters
    ----------
    name : str
    drug : CheckpointDrug
        Its factor with all receptors taken.
    borders : ndarray, [day], shape (part + 1,)
    sums : ndarray, [day], shape (part + 1,)
        Integral of the share of receptors that are taken, up to each border.
    first, last : ndarray, [1], shape (part,)
        That share at the beginning and at the end of each part.
    """

    name: str
    drug: CheckpointDrug
    borders: NDArray[np.float64]
    sums: NDArray[np.float64]
    first: NDArray[np.float64]
    last: NDArray[np.float64]

    @classmethod
    def of(cls, drug: CheckpointDrug, occupancy: EmaxKill) -> Checkpoint:
        """The drug whose occupancy is the "rate" of a saturating effect."""
        panels = occupancy.borders
        inner = panels[:-1, None] + np.diff(panels)[:, None] * np.arange(_PARTS) / _PARTS
        borders = np.append(inner.ravel(), panels[-1])
        width = np.diff(borders)
        each = occupancy.mean_kill(borders) * width

        def taken(times: NDArray[np.float64]) -> NDArray[np.float64]:
            plasma = np.maximum(occupancy.kinetics.concentration(occupancy.doses, times), 0.0)
            there = occupancy.tumour_to_plasma * plasma
            return there / (there + occupancy.half)

        return cls(
            occupancy.drug,
            drug,
            borders,
            np.concatenate([[0.0], np.cumsum(each)]),
            taken(borders[:-1] + _INSIDE * width),
            taken(borders[1:] - _INSIDE * width),
        )

    def _taken_until(self, day: float) -> float:
        """Integral of the occupancy to a time, by the cubic through each part's ends, [day]."""
        inside = min(max(day, float(self.borders[0])), float(self.borders[-1]))
        k = min(max(int(np.searchsorted(self.borders, inside, side="right")) - 1, 0),
                len(self.first) - 1)  # fmt: skip
        begin, width = float(self.borders[k]), float(self.borders[k + 1] - self.borders[k])
        if width == 0.0:
            return float(self.sums[k])
        x = (inside - begin) / width
        gained = float(self.sums[k + 1] - self.sums[k])
        one, other = width * float(self.first[k]), width * float(self.last[k])
        return float(self.sums[k]) + (
            x * x * (3.0 - 2.0 * x) * gained + x * (1.0 - x) ** 2 * one - x * x * (1.0 - x) * other
        )

    def mean_factor(self, begin: float, end: float) -> float:
        """Mean factor on the rate of killing between two times [day], [1]."""
        taken = (self._taken_until(end) - self._taken_until(begin)) / (end - begin)
        return 1.0 + (self.drug.factor - 1.0) * taken


def checkpoints(
    doses: Sequence[DrugDose], parameters: ParameterSet, patient: Patient
) -> tuple[Checkpoint, ...]:
    """The checkpoint drugs of a schedule, in the order in which they are first given.

    Parameters
    ----------
    doses : sequence of DrugDose
    parameters : ParameterSet
        A number of a drug that is in it takes the place of the drug's own.
    patient : Twin
    """
    found = []
    for name, given in doses_by_drug(doses, patient).items():
        if acts_on_effector_cells(name):
            data = load_drug(name)
            occupancy = EmaxKill.of(
                name,
                given,
                kinetics_of(data, parameters, patient),
                data.value("tumour_to_plasma", parameters),
                largest=1.0,
                half=data.value("half_concentration", parameters),
                hill=1.0,
            )
            drug = CheckpointDrug(data.value("killing_factor", parameters))
            found.append(Checkpoint.of(drug, occupancy))
    return tuple(found)


def check_effector_cells(drugs: Iterable[str], model: ModelChoice) -> None:
    """Refuse a checkpoint drug where the model has no effector cells for it to act on.

    Raises
    ------
    InvalidInput
        One of the drugs, by name, is a checkpoint drug, and immunity is not in the model.
    """
    for name in drugs:
        if acts_on_effector_cells(name) and not model.immunity:
            raise InvalidInput(
                f"{name.capitalize()} acts on effector cells, which this patient's model has not; "
                "set immunity = true in [model], or leave the drug out."
            )
