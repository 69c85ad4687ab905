"""Trials predicted with frozen values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scenarios.evidence import evidence_sentences
from scenarios.trials.cohort import Cohort, draw_cohort, evidence_of_arm
from scenarios.trials.frozen import Frozen
from scenarios.trials.outcome import ArmOutcome, ArmSolver
from scenarios.trials.trial_file import Trial, load_trial
from scenarios.trials.verdicts import Verdict, judge
from twin.parameters import ParameterSet
from twin.protocol import Progress

__all__ = ["PredictedTrial", "predict_trials"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PredictedTrial:
    """One trial on a cohort.

    Parameters
    ----------
    name : str
    trial : Trial
    arms : mapping of str to ArmOutcome
    verdicts : list of Verdict
    evidence : list of str
        In words, what the arms rest on.
    """

    name: str
    trial: Trial
    arms: Mapping[str, ArmOutcome]
    verdicts: Sequence[Verdict]
    evidence: Sequence[str]


def predict_trials(
    names: Sequence[str],
    frozen: Frozen,
    *,
    patients: int | None = None,
    seed: int | None = None,
    base: ParameterSet | None = None,
    threads: int = 1,
    progress: Progress | None = None,
) -> tuple[Cohort, list[PredictedTrial]]:
    """Trials by name, on one cohort with the frozen values.

    Parameters
    ----------
    names : sequence of str
    frozen : Frozen
    patients, seed : int or None
        Those of the fit if None.
    base : ParameterSet or None
        The cohort's own if None.
    threads : int
    progress : callable or None

    Raises
    ------
    InvalidInput
        An unknown trial, frozen values of another set, or an interaction from the same trial.
    """
    trials = {name: load_trial(name) for name in names}
    seed = frozen.seed if seed is None else seed
    cohort = draw_cohort(frozen.patients if patients is None else patients, seed=seed, base=base)
    frozen.check_origin(cohort.base, cohort.file)
    cohort = cohort.with_base(frozen.applied(cohort.base))
    done = 0

    def told(part: float, message: str) -> None:
        if progress is not None:
            progress((done + part) / sum(len(t.arm) for t in trials.values()), message)

    solver = ArmSolver(cohort, threads=threads, progress=told)
    found = []
    for name, trial in trials.items():
        arms = {}
        for arm in trial.arm:
            arms[arm.name] = solver.arm(arm, trial.calendar)
            done += 1
        grades = {arm.name: evidence_of_arm(cohort.base, arm.regimen()) for arm in trial.arm}
        found.append(
            PredictedTrial(
                name=name,
                trial=trial,
                arms=arms,
                verdicts=judge(trial, arms, seed=seed),
                evidence=evidence_sentences(grades),
            )
        )
    return cohort, found
