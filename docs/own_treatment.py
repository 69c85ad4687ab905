"""A treatment of one's own: laser ablation, which kills a share of the cells in a structure.

Light from a fibre heats tissue until it coagulates. Here all that is prescribed is when, where
and how complete; the share that is killed is an illustration, not a measurement.
"""

from dataclasses import dataclass

import numpy as np

import twin
from solvers import FiniteElementSolver
from solvers.event_effects import effect_of
from solvers.initial_state import at_nodes
from twin.errors import InvalidInput
from twin.regimen import Regimen, add_course_kind
from twin.targets import structure_mask


@dataclass(frozen=True, slots=True)
class Ablation:
    """What happens at one instant: physical quantities only, no sensitivity."""

    day: float
    structure: str
    killed: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LaserAblation:
    """What the clinic prescribes: `killed` is the share of the cells of `structure`, [1]."""

    day: float
    structure: str = "core"
    killed: float = 0.95

    def __post_init__(self):
        """Refuse what cannot be: objects are valid or do not exist."""
        if not 0.0 <= self.killed <= 1.0:
            raise InvalidInput(f"Ablation kills a share of {self.killed}; it lies from 0 to 1.")

    def events(self, calendar, index, others):
        """Its events; `index` is its number in the regimen, `others` are all courses of it."""
        return [Ablation(self.day, self.structure, self.killed)]

    def describe(self, calendar, others):
        """One plain sentence for `twin plan`."""
        return (
            f"Laser ablation of the {self.structure} on {calendar.text(self.day)} (day "
            f"{self.day:g}), killing {100 * self.killed:g} % of its cells."
        )


add_course_kind("laser_ablation", LaserAblation)


@effect_of(Ablation)
def ablate(march, event):
    """What it does to a run: dead cells stay visible until they are cleared."""
    inside = at_nodes(march.prepared.twin, structure_mask(march.prepared.twin, event.structure))
    march.growth.kill(march.share.mine(1.0 - event.killed * np.clip(inside, 0.0, 1.0)))


def main(patient_file="demo/patient.toml", days=90):
    """Burden with the ablation and without it, [cells]."""
    patient = twin.load(patient_file)
    for regimen in (Regimen(), Regimen(LaserAblation(day=7.0))):
        run = FiniteElementSolver().solve(patient, regimen, [0.0, float(days)])
        print(*regimen.describe(patient.calendar))
        print(f"  {run.tumour_burden.values[-1]:.3g} cells after {days} days")


if __name__ == "__main__":
    main()
