"""Running a study: every scenario and case on two meshes, in memory or in a results folder."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scenarios.gather import Edges, gather
from scenarios.results_folder import ResultsFolder
from scenarios.stores import Keeping, Memory, Store
from scenarios.study import Study
from scenarios.together import crew_of
from solvers.mesh_error import edge_near_tumour, two_mesh_error
from twin.errors import InvalidInput
from twin.protocol import Save
from twin.results import open_results
from twin.storage import sha256_of

if TYPE_CHECKING:
    import xarray as xr

    from twin.patient import Twin
    from twin.protocol import Progress, Solver
    from twin.regimen import Regimen

__all__ = ["Outcome", "Plan", "plan", "run_in_memory", "run_study"]

#: Raised by hand when what a run keeps changes; part of every run's hash.
RUN_FORMAT = 1
#: What every run has in common and the study's dataset holds once.
_LEFT_OUT = ("cells", "cell_label", "mesh", "node_x", "node_y", "node_z")


@dataclass(frozen=True, slots=True)
class _Job:
    """One call of the solver."""

    hash: str
    label: str
    twin: Twin
    regimen: Regimen
    fine: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """All runs of a study, each known by the hash of what it depends on.

    Parameters
    ----------
    hash_of : mapping of (scenario number, case number, fine mesh) to str
    jobs : mapping of str to job
        By hash; arms with the same regimen share their runs.
    edges : Edges
    study_hash : str
    """

    hash_of: Mapping[tuple[int, int, bool], str]
    jobs: Mapping[str, _Job]
    edges: Edges
    study_hash: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What running a study in a folder came to.

    Parameters
    ----------
    results : xarray.Dataset
    runs, reused : int
        Runs done now, and runs found done already.
    finished_before : bool
        The folder held the finished study; nothing was done.
    """

    results: xr.Dataset
    runs: int
    reused: int
    finished_before: bool


#: Called with a run's number in the plan before every rank begins it.
Announce = Callable[[int], None]


def plan(study: Study, twin: Twin, solver: Solver) -> Plan:
    """The runs of a study and their hashes.

    A hash covers the twin's content, parameters, regimen, times and the
    solver's options with its numerics version; no names, paths or dates of the run.
    """
    study.check(twin)
    coarse_twin = twin.on_coarse_mesh()
    edges = Edges(edge_near_tumour(twin), edge_near_tumour(coarse_twin))
    two_mesh_error(0.0, 0.0, edges.fine_mm, edges.coarse_mm)  # refuses meshes of one size
    options = _options(solver)
    content = {True: twin.content_hash, False: coarse_twin.content_hash}
    hash_of: dict[tuple[int, int, bool], str] = {}
    jobs: dict[str, _Job] = {}
    for fine in (True, False):
        for j, case in enumerate(study.cases):
            parameters = case.parameters(twin.parameters)
            patient = (twin if fine else coarse_twin).replace(parameters=parameters)
            values = {name: parameters.value(name) for name in parameters}
            for i, scenario in enumerate(study.scenarios):
                key = sha256_of(
                    {
                        "run_format": RUN_FORMAT,
                        "twin": content[fine],
                        "fine": fine,
                        "parameters": values,
                        "regimen": scenario.regimen.as_dict(),
                        "times": study.times.tolist(),
                        "fields": study.field_times.tolist() if fine else [],
                        "solver": options,
                    }
                )
                hash_of[(i, j, fine)] = key
                label = f"{scenario.name}, {case.name}" + ("" if fine else ", second mesh")
                jobs.setdefault(key, _Job(key, label, patient, scenario.regimen, fine))
    resolved = study.as_dict(twin)
    resolved.pop("warnings")
    study_hash = sha256_of(resolved, [hash_of[key] for key in sorted(hash_of)])
    return Plan(hash_of, jobs, edges, study_hash)


def _options(solver: Solver) -> dict[str, Any]:
    options = getattr(solver, "options", None)
    return {"solver": type(solver).__name__, **(options() if callable(options) else {})}


def run_in_memory(
    study: Study,
    twin: Twin,
    solver: Solver,
    *,
    threads: int = 1,
    progress: Progress | None = None,
) -> xr.Dataset:
    """Results of a study, kept in memory; the same numbers as from a folder."""
    planned = plan(study, twin, solver)
    store, together = Memory(), crew_of(solver) is not None
    announce = (lambda number: None) if together else None
    _run_jobs(study, planned, solver, store, threads=threads, progress=progress, announce=announce)
    return _gathered(study, twin, planned, store)


def _gathered(study: Study, twin: Twin, planned: Plan, store: Store) -> xr.Dataset:
    def run_of(i: int, j: int, fine: bool) -> xr.Dataset:
        return store.get(planned.hash_of[(i, j, fine)])

    return gather(study, twin, run_of, planned.edges)


def run_study(
    study: Study,
    twin: Twin,
    solver: Solver,
    folder: str | Path,
    *,
    resume: bool = False,
    threads: int = 1,
    progress: Progress | None = None,
    patient: str = "",
) -> Outcome:
    """Run a study in a results folder, or go on with it there.

    Parameters
    ----------
    study, twin, solver
    folder : path
        New, empty, or one of this very study.
    resume : bool
        Go on with an unfinished study; a new folder will do.
    threads : int
        Runs at the same time; on several MPI ranks they go one after another.
    progress : callable or None
    patient : str
        Where the twin came from, recorded so that pictures can find it.

    Raises
    ------
    InvalidInput
        The folder holds something else, or an unfinished study without `resume`;
        nothing was touched.
    StorageFailed
        The disk is full or the folder is in use; what was there stays.
    """
    planned, crew = plan(study, twin, solver), crew_of(solver)
    if crew is not None and not crew.leads:
        jobs = list(planned.jobs.values())
        said = crew.follow(lambda number: _solve(study, solver, jobs[number], None))
        return Outcome(open_results(folder), *said)
    try:
        outcome = _run_in_folder(
            study, twin, solver, planned, folder, resume, threads, progress, patient,
            None if crew is None else crew.announce,
        )  # fmt: skip
    except BaseException:
        if crew is not None:
            crew.give_up()
        raise
    if crew is not None:
        crew.dismiss(outcome.runs, outcome.reused, outcome.finished_before)
    return outcome


def _run_in_folder(
    study: Study,
    twin: Twin,
    solver: Solver,
    planned: Plan,
    folder: str | Path,
    resume: bool,
    threads: int,
    progress: Progress | None,
    patient: str,
    announce: Announce | None,
) -> Outcome:
    place = ResultsFolder(folder)
    place.refuse_others(planned.study_hash)
    if place.finished:
        return Outcome(open_results(folder), 0, len(planned.jobs), True)
    if place.begun and not resume:
        done = len(place.done() & set(planned.jobs))
        raise InvalidInput(
            f"The study in {folder} is not finished ({done} of {len(planned.jobs)} runs are "
            "there); add --resume to go on with it."
        )
    with place.locked():
        place.refuse_others(planned.study_hash)
        if place.finished:  # another process finished it before the lock was ours
            return Outcome(open_results(folder), 0, len(planned.jobs), True)
        place.begin(_study_record(study, twin, planned, patient))
        reused = len(place.done() & set(planned.jobs))
        first_case = {planned.hash_of[(i, 0, True)] for i in range(len(study.scenarios))}
        store = Keeping(place, first_case)
        _run_jobs(
            study, planned, solver, store, threads=threads, progress=progress, announce=announce
        )
        results = _gathered(study, twin, planned, store)
        place.finish(results)
    return Outcome(open_results(folder), len(planned.jobs) - reused, reused, False)


def _study_record(study: Study, twin: Twin, planned: Plan, patient: str) -> dict[str, Any]:
    return {
        "format": 1,
        "study_hash": planned.study_hash,
        "twin_hash": twin.content_hash,
        "patient": patient,
        "study": study.as_dict(twin),
        "runs": [
            {
                "scenario": study.scenarios[i].name,
                "case": study.cases[j].name,
                "mesh": "fine" if fine else "coarse",
                "hash": planned.hash_of[(i, j, fine)],
            }
            for i, j, fine in sorted(planned.hash_of, key=lambda key: (not key[2], key[0], key[1]))
        ],
    }


class _Stopped(Exception):
    """Raised inside a run when another one failed or the user interrupted."""


class _Meter:
    """One progress bar for many runs at the same time; also where they are told to stop."""

    def __init__(self, jobs: list[_Job], done: set[str], progress: Progress | None) -> None:
        self._weight = {job.hash: float(len(job.twin.mesh.points)) for job in jobs}
        self._part = {job.hash: float(job.hash in done) for job in jobs}
        self._progress = progress
        self._lock = threading.Lock()
        self.stop = threading.Event()

    def of(self, job: _Job) -> Callable[[float, str], None]:
        """What one run calls with its own part done."""

        def report(part: float, message: str) -> None:
            if self.stop.is_set():
                raise _Stopped
            with self._lock:
                self._part[job.hash] = part
                if self._progress is not None:
                    total = sum(self._weight.values())
                    done = sum(self._weight[key] * self._part[key] for key in self._part)
                    self._progress(done / total, job.label)

        return report


def _alternating(jobs: Iterable[_Job]) -> list[_Job]:
    """Fine and coarse jobs in turn, so that neither mesh's preparation holds up all threads."""
    fine: list[_Job] = []
    coarse: list[_Job] = []
    for job in jobs:
        (fine if job.fine else coarse).append(job)
    pairs = itertools.zip_longest(fine, coarse)
    return [job for pair in pairs for job in pair if job is not None]


def _solve(study: Study, solver: Solver, job: _Job, progress: Progress | None) -> xr.Dataset:
    save = Save(fields_at=tuple(study.field_times) if job.fine else ())
    return solver.solve(job.twin, job.regimen, study.times.tolist(), save=save, progress=progress)


def _run_jobs(
    study: Study,
    planned: Plan,
    solver: Solver,
    store: Store,
    *,
    threads: int,
    progress: Progress | None,
    announce: Announce | None,
) -> None:
    if not (isinstance(threads, int) and 1 <= threads <= 1024):
        raise InvalidInput(f"There are {threads!r} threads; give a whole number from 1 to 1024.")
    done = store.done()
    jobs = _alternating(planned.jobs.values())
    meter = _Meter(jobs, done, progress)

    def run(job: _Job) -> None:
        report = meter.of(job)
        report(0.0, job.label)
        dataset = _solve(study, solver, job, report)
        kept = [name for name in _LEFT_OUT if name in dataset.variables]
        store.put(job.hash, dataset.drop_vars(kept))
        report(1.0, job.label)

    if announce is not None:  # every rank is in the same run
        for number, job in enumerate(planned.jobs.values()):
            if job.hash not in done:
                announce(number)
                run(job)
        return
    pool = ThreadPoolExecutor(max_workers=threads)
    futures = {pool.submit(run, job) for job in jobs if job.hash not in done}
    try:
        while futures:
            finished, futures = wait(futures, return_when=FIRST_COMPLETED)
            for future in finished:
                future.result()
    finally:
        meter.stop.set()  # nothing is left to stop unless something went wrong
        pool.shutdown(wait=True, cancel_futures=True)


def read_study_record(folder: str | Path) -> dict[str, Any]:
    """What ``study.json`` in a results folder says."""
    path = Path(folder) / "study.json"
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise InvalidInput(f"{folder} holds no study; run one with 'twin run' first.") from None
    return dict(record)
