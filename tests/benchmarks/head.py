"""The packaged head, its study, and what one part of the benchmarks leaves for another."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import twin
from scenarios.study import Scenario, Study
from scenarios.study_file import read_study
from scenarios.surrogate_study import reference_scenario
from twin.patient import Twin
from twin.patient_file import MeshTable
from twin.protocol import Progress

__all__ = ["Setting", "Stopwatch", "timed", "timed_work"]

QUICK_MESH = {"cell_size": "4 mm", "far_cell_size": "7.2 mm"}


@dataclass(frozen=True, slots=True)
class Setting:
    """Where a part works, and how much of the job is measured.

    Parameters
    ----------
    work : path
        Folder shared by the parts of one run.
    quick : bool
        A mesh twice as coarse and a surrogate that learns little: to try the
        benchmarks themselves; its figures mean nothing.
    """

    work: Path
    quick: bool = False

    @property
    def patient(self) -> Path:
        """The example's patient file."""
        return Path(str(resources.files("twin.data"))) / "examples" / "glioblastoma/patient.toml"

    def twin(self, progress: Progress | None = None) -> Twin:
        """The head."""
        mesh = MeshTable.model_validate(QUICK_MESH) if self.quick else None
        return twin.load(self.patient, mesh=mesh, progress=progress)

    def study(self) -> Study:
        """Six treatments, three cases, 540 days."""
        return read_study(self.patient.with_name("study.toml")).study

    def arm(self) -> Scenario:
        """One treatment: 60 Gy in 30 fractions with temozolomide."""
        return reference_scenario(self.study())

    @property
    def results(self) -> Path:
        """Where the part `study` leaves its results."""
        return self.work / "results"

    @property
    def model(self) -> Path:
        """Where the part `surrogate` leaves its model."""
        return self.work / "model"


class Stopwatch:
    """Adds up the seconds spent inside functions, from any thread."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def on(self, owner: Any, name: str, label: str) -> Iterator[None]:
        """Time every call of ``owner.name`` meanwhile."""
        original = getattr(owner, name)
        self.seconds.setdefault(label, 0.0)

        def timing(*arguments: Any, **options: Any) -> Any:
            begin = time.perf_counter()
            try:
                return original(*arguments, **options)
            finally:
                self.seconds[label] += time.perf_counter() - begin

        setattr(owner, name, timing)
        try:
            yield
        finally:
            setattr(owner, name, original)


def timed(what: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds that a call takes, and what it returns."""
    begin = time.perf_counter()
    found = what()
    return time.perf_counter() - begin, found


def timed_work(what: Callable[[], Any]) -> tuple[float, float, Any]:
    """Seconds that a call takes, those of the processors over all threads, and what it returns.

    Where other programs run on the machine, the processors' seconds are the steadier ones.
    """
    begin = time.process_time()
    seconds, found = timed(what)
    return seconds, time.process_time() - begin, found
