"""What each treatment adds to the time of a course of radiotherapy, in one process."""

from __future__ import annotations

import numpy as np

from benchmarks.head import Setting, timed
from benchmarks.table import Row
from solvers.finite_element import FiniteElementSolver
from solvers.prepared import prepare
from twin.courses import Course, Drug, Hyperthermia, Radiotherapy, Resection, Temozolomide
from twin.model_choice import ModelChoice
from twin.regimen import Regimen

#: All treatments together may cost so much of the time of radiotherapy alone.
MOST = 1.2
DAYS = np.arange(0.0, 271.0)
_ROUNDS = 3
_BASE = Radiotherapy(total_dose_gy=60.0, fractions=30, start_day=28.0)
_SURGERY = Resection(day=7.0, margin_mm=3.0, residual=0.1)
_HEAT = Hyperthermia(temperature_c=41.5, often="twice weekly")
_ANTIBODY = Drug(name="pembrolizumab", schedule="200 mg every 21 days, 9 cycles", start_day=28.0)
_ADDED: dict[str, tuple[Course, ...]] = {
    "surgery": (_SURGERY,),
    "hyperthermia": (_HEAT,),
    "effector cells": (),
    "effector cells and pembrolizumab": (_ANTIBODY,),
    "surgery, hyperthermia, effector cells, pembrolizumab": (_SURGERY, _HEAT, _ANTIBODY),
    "temozolomide": (Temozolomide(),),
    "all of them": (_SURGERY, _HEAT, _ANTIBODY, Temozolomide()),
}


def added(setting: Setting) -> list[Row]:
    """270 days with daily volumes, each treatment in turn beside radiotherapy alone."""
    head, solver = setting.twin(), FiniteElementSolver()
    prepare(head).initial_state(head.parameters)
    immune = head.replace(model=ModelChoice(immunity=True))

    def patient(name: str):
        return immune if "effector" in name or name == "all of them" else head

    runs = {"radiotherapy alone": (head, Regimen(_BASE))}
    runs |= {name: (patient(name), Regimen(_BASE, *more)) for name, more in _ADDED.items()}
    for who, regimen in runs.values():
        solver.solve(who, regimen, DAYS[:40])  # compiles, and makes dose and cavity
    best = dict.fromkeys(runs, np.inf)
    for _ in range(_ROUNDS):  # in turn, so that a busy minute strikes all alike
        for name, (who, regimen) in runs.items():
            best[name] = min(
                best[name], timed(lambda w=who, r=regimen: solver.solve(w, r, DAYS))[0]
            )
    alone = best.pop("radiotherapy alone")
    rows = [Row("270 days, radiotherapy alone", alone, "s")]
    return rows + [
        Row(f"  with {name}, so many times", seconds / alone, "", None,
            MOST if name == "all of them" else None)
        for name, seconds in best.items()
    ]  # fmt: skip
