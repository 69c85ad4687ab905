"""Run by mpirun in `test_distributed`: the same courses on all ranks together and on one alone.

Writes to the file named on its command line, by the first rank, what was found: for
each case the largest relative difference of every variable, and what was raised.
"""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from mpi4py import MPI

from solvers.distributed import agreed
from solvers.finite_element import FiniteElementSolver
from solvers.verification.bench_twin import bench_twin
from twin.courses import Radiotherapy, Resection, Temozolomide
from twin.errors import InvalidInput, TherapyTwinError
from twin.model_choice import ModelChoice
from twin.planned_dose import PlannedDose
from twin.protocol import Save, State
from twin.regimen import Regimen

COMM = MPI.COMM_WORLD
DAYS = [0.0, 3.5, 8.0, 9.0, 14.25]
COURSE = Regimen(
    Radiotherapy(total_dose_gy=20.0, fractions=10, start_day=2.25),
    Temozolomide(cycles=1),
    Resection(day=8.0),
)


def patient(**choice):
    """The bench's patient with another model; fibres along x beside the middle plane."""
    twin = bench_twin()
    tensor = None
    if choice.get("migration") == "tensor":
        tensor = np.zeros((*twin.grid.shape, 6), np.float32)
        tensor[..., :3] = 1.0
        tensor[: twin.grid.shape[0] // 2, ..., 0] = 3.0
    return replace(twin, model=ModelChoice(**choice), tensor=tensor)


def protons():
    """The same patient with a dose and a linear energy transfer that vary from place to place."""
    twin = patient()
    steps = np.linspace(0.5, 1.0, twin.grid.shape[0], dtype=np.float32)[:, None, None]
    relative = np.broadcast_to(steps, twin.grid.shape).copy()
    let = np.ascontiguousarray(12.0 * relative)
    plan = PlannedDose(relative, np.ones(twin.grid.shape, bool), "physical", "wedenberg", let)
    return replace(twin, doses={"protons": plan})


PROTONS = Regimen(Radiotherapy(total_dose_gy=20.0, fractions=10, start_day=2.25, dose="protons"))


def difference(one, other):
    """Largest difference by the largest value, for every variable of numbers."""
    found = {}
    for name in one.data_vars:
        a, b = one[name].values, other[name].values
        if a.dtype.kind == "f" and a.size:
            found[name] = float(np.abs(a - b).max() / max(np.abs(a).max(), 1e-300))
    return found


def compared(twin, regimen=COURSE, **options):
    """Differences between a run on all ranks and one on this rank alone."""
    save = Save(fields_at=(0.0, 9.0, 14.25), species=("viable", "dead"))
    runs = [
        FiniteElementSolver(comm=comm, **options).solve(twin, regimen, DAYS, save=save)
        for comm in (None, COMM)
    ]
    found = difference(*runs)
    found["same_record"] = runs[0].attrs == runs[1].attrs
    return found


def went_on():
    """Difference of a run that goes on from a state on all ranks, and of that state itself."""
    twin, solver = bench_twin(), FiniteElementSolver(comm=COMM)
    state = solver.state(twin, COURSE, 9.5)
    alone = FiniteElementSolver().state(twin, COURSE, 9.5)
    whole = FiniteElementSolver().solve(twin, COURSE, [14.25])
    found = difference(whole, solver.solve(twin, COURSE, [14.25], start=state))
    for name, values in alone.species.items():
        found[f"state_{name}"] = float(np.abs(values - state.species[name]).max())
    return found


def raised(action):
    """Kind and sentence of what was raised, from every rank."""
    found = "nothing"
    try:
        action()
    except TherapyTwinError as error:
        found = f"{type(error).__name__}: {error}"
    return COMM.allgather(found)


def negative_at_one_node():
    """A state with one density below zero, which only its owner and neighbours see."""
    twin = bench_twin()
    species = dict(FiniteElementSolver().state(twin, Regimen(), 0.0).species)
    node = int(np.argmax(species["viable"]))
    species["viable"] = species["viable"].copy()
    species["viable"][node] = -0.01
    return raised(
        lambda: FiniteElementSolver(comm=COMM).solve(
            twin, Regimen(), [2.0], start=State(0.0, species)
        )
    )


def last_rank_refuses():
    """What every rank raises where the last one alone cannot go on."""
    if COMM.Get_rank() == COMM.Get_size() - 1:
        raise InvalidInput("The last rank has no room for this.")
    return COMM.Get_rank()


def main():
    """All cases, in one start of the ranks."""
    found = {
        "logistic": compared(patient()),
        "adapted": compared(patient(), tolerance=1e-4),
        "resistant": compared(patient(resistant=True)),
        "oxygen": compared(patient(oxygen=True)),
        "fibres": compared(patient(migration="tensor")),
        "protons": compared(protons(), PROTONS),
        "went on": went_on(),
        "negative": negative_at_one_node(),
        "agreed": raised(lambda: agreed(COMM, last_rank_refuses)),
        "mass effect": raised(
            lambda: FiniteElementSolver(comm=COMM).solve(
                patient(mass_effect=True), Regimen(), [2.0]
            )
        ),
        "ranks": COMM.Get_size(),
    }
    if COMM.Get_rank() == 0:
        Path(sys.argv[1]).write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
