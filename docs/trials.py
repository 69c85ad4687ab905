"""How the predictions of trials.md hang on what is assumed of the virtual patients.

Each variant changes one thing, fits alpha and temozolomide_kill to the Stupp trial again, and
predicts the other trials: ``python docs/trials.py`` prints the table of the page.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import numpy as np

from scenarios.trials.cohort import CohortFile, draw_cohort, load_cohort_file
from scenarios.trials.fitting import fit_values, fitted_arms
from scenarios.trials.outcome import ArmSolver
from scenarios.trials.trial_file import load_trial
from scenarios.trials.verdicts import judge
from twin.parameters import ParameterSet, load_parameter_set

PATIENTS, SEED = 200, 1
TESTS = ("perry", "walker", "walker_1979", "dose_escalation", "salazar")
Change = Callable[[CohortFile, ParameterSet], tuple[CohortFile, ParameterSet]]


def cohort_with(table: str, **changes: object) -> Change:
    """A variant of one table of the cohort's file."""

    def change(file: CohortFile, base: ParameterSet) -> tuple[CohortFile, ParameterSet]:
        changed = getattr(file, table).model_copy(update=changes)
        return file.model_copy(update={table: changed}), base

    return change


def parameters_with(**values: float) -> Change:
    """A variant of the parameter set."""
    return lambda file, base: (file, base.replace(**values))


VARIANTS: dict[str, Change] = {
    "as packaged": lambda file, base: (file, base),
    "another draw of the patients": lambda file, base: (file, base),
    "alpha does not go with rho": cohort_with("radiosensitivity", exponent_of_rate=0.0),
    "temozolomide works alike in all": cohort_with("mgmt", methylated=1.0),
    "enhancing volume 15 ml": cohort_with("volume", median=15e3),
    "the end at 30 mm": cohort_with("burden", radius=30.0),
    "dead tissue cleared in 30 d": parameters_with(dead_clearance_half_life=30.0),
    "dead tissue cleared in 120 d": parameters_with(dead_clearance_half_life=120.0),
    "alpha/beta 5 Gy": parameters_with(alpha_beta=5.0),
    "alpha/beta 15 Gy": parameters_with(alpha_beta=15.0),
}


def row(name: str, threads: int) -> list[str]:
    """Fitted values, then the predicted ratio of every comparison of the tests."""
    file, base = VARIANTS[name](load_cohort_file(), load_parameter_set("glioblastoma"))
    seed = SEED + (name == "another draw of the patients")
    cohort = draw_cohort(PATIENTS, seed=seed, base=base, file=file)
    solver = ArmSolver(cohort, threads=threads)
    values = fit_values(solver, *fitted_arms(load_trial("stupp"), "stupp"))
    cells = [name, f"{values['alpha']:.4f}", f"{1e3 * values['temozolomide_kill']:.2f}"]
    solver = ArmSolver(cohort.with_base(base.replace(**values)), threads=threads)
    for test in TESTS:
        trial = load_trial(test)
        for verdict in judge(trial, solver.outcomes(trial), seed=seed):
            cells.append(f"{verdict.predicted[0]:.2f}{'' if verdict.hit else ' (miss)'}")
    return cells


def main() -> None:
    """Print the table."""
    heads = ["variant", "alpha, 1/Gy", "kill, mL/(mg h)"]
    for test in TESTS:
        trial = load_trial(test)
        heads += [f"{trial.title}, {one.endpoint}" for one in trial.comparison]
    print(f"| {' | '.join(heads)} |\n|{'-|' * len(heads)}", flush=True)
    for name in VARIANTS:
        print(f"| {' | '.join(row(name, os.cpu_count() or 1))} |", flush=True)


if __name__ == "__main__":
    np.seterr(all="raise", under="ignore")
    main()
