"""Running a study: every scenario and case on three meshes, in memory or in a results folder."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scenarios.gather import MESHES, gather
from scenarios.results_folder import ResultsFolder
from scenarios.stores import Keeping, Memory, Store
from scenarios.study import Study
from scenarios.together import crew_of
from solvers.error_bars import MeshEdges, check_times
from solvers.halved_steps import with_halved_steps
from solvers.mesh_error import edges_of
from twin.drugs import load_drug
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
RUN_FORMAT = 2
#: What every run has in common and the study's dataset holds once.
_LEFT_OUT = ("cells", "cell_label", "mesh", "node_x", "node_y", "node_z")


@dataclass(frozen=True, slots=True)
class _Job:
    """One call of the solver."""

    hash: str
    label: str
    twin: Twin
    regimen: Regimen
    solver: Solver
    times: tuple[float, ...]
    fields: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """All runs of a study, each known by the hash of what it depends on.

    Parameters
    ----------
    hash_of : mapping of (scenario number, case number, one of `MESHES`) to str
    jobs : mapping of str to job
        By hash; arms with the same regimen share their runs.
    edges : MeshEdges
    study_hash : str
    """

    hash_of: Mapping[tuple[int, int, str], str]
    jobs: Mapping[str, _Job]
    edges: MeshEdges
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
    edges = edges_of(twin)  # refuses meshes of one size
    hash_of: dict[tuple[int, int, str], str] = {}
    jobs: dict[str, _Job] = {}
    for mesh, on_mesh, by in _kinds(twin, solver):
        content, options, first = on_mesh.content_hash, _options(by), mesh == MESHES[0]
        checks_only = mesh in MESHES[2:]
        times = study.times[check_times(study.times)] if checks_only else study.times
        fields = study.field_times.tolist() if first else []
        for j, case in enumerate(study.cases):
            parameters = case.parameters(twin.parameters)
            patient = on_mesh.replace(parameters=parameters)
            displaced = patient if case.setup is None else patient.replace(setup=case.setup)
            values = {name: parameters.value(name) for name in parameters}
            for i, scenario in enumerate(study.scenarios):
                setup = case.setup if scenario.regimen.radiotherapy else None
                key = sha256_of(
                    {
                        "run_format": RUN_FORMAT,
                        "twin": content,
                        "mesh": mesh,
                        "parameters": values,
                        "regimen": scenario.regimen.as_dict(),
                        "times": times.tolist(),
                        "fields": fields,
                        "solver": options,
                        **_drugs(scenario.regimen),
                        **({} if setup is None else {"setup": setup.as_dict()}),
                    }
                )
                hash_of[(i, j, mesh)] = key
                label = f"{scenario.name}, {case.name}" + ("" if first else f", {mesh}")
                job = _Job(
                    key,
                    label,
                    patient if setup is None else displaced,
                    scenario.regimen,
                    by,
                    tuple(times.tolist()),
                    tuple(fields),
                )
                jobs.setdefault(key, job)
    resolved = study.as_dict(twin)
    resolved.pop("warnings")
    study_hash = sha256_of(resolved, [hash_of[key] for key in sorted(hash_of)])
    return Plan(hash_of, jobs, edges, study_hash)


def _drugs(regimen: Regimen) -> dict[str, Any]:
    """The packaged numbers of a regimen's drugs; nothing where the patient's are all there are."""
    drugs = [load_drug(name) for name in regimen.drug_names]
    numbers = {drug.name: drug.as_dict() for drug in drugs if not drug.patient_parameters}
    return {"drugs": numbers} if numbers else {}


def _kinds(twin: Twin, solver: Solver) -> list[tuple[str, Twin, Solver]]:
    """What every scenario and case is run on, and by what, the study mesh first."""
    coarsest, halved = twin.on_coarsest_mesh(), with_halved_steps(solver)
    on_meshes = zip(MESHES, (twin, twin.on_coarse_mesh(), coarsest), strict=False)
    found = [(mesh, on_mesh, solver) for mesh, on_mesh in on_meshes]
    return found if halved is None else [*found, (MESHES[3], coarsest, halved)]


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
    _run_jobs(planned, store, threads=threads, progress=progress, announce=announce)
    return _gathered(study, twin, planned, store)


def _gathered(study: Study, twin: Twin, planned: Plan, store: Store) -> xr.Dataset:
    def run_of(i: int, j: int, mesh: str) -> xr.Dataset | None:
        key = planned.hash_of.get((i, j, mesh))
        return None if key is None else store.get(key)

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
        said = crew.follow(lambda number: _solve(jobs[number], None))
        return Outcome(open_results(folder), *said)
    try:
        outcome = _run_in_folder(
            study, twin, planned, folder, resume, threads, progress, patient,
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
        first_case = {planned.hash_of[(i, 0, MESHES[0])] for i in range(len(study.scenarios))}
        store = Keeping(place, first_case)
        _run_jobs(planned, store, threads=threads, progress=progress, announce=announce)
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
                "mesh": mesh,
                "hash": planned.hash_of[(i, j, mesh)],
            }
            for i, j, mesh in sorted(
                planned.hash_of, key=lambda key: (MESHES.index(key[2]), key[0], key[1])
            )
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
    """Jobs on the meshes in turn, so that no mesh's preparation holds up all threads."""
    on_mesh: dict[int, list[_Job]] = {}
    for job in jobs:
        on_mesh.setdefault(len(job.twin.mesh.points), []).append(job)
    rounds = itertools.zip_longest(*on_mesh.values())
    return [job for one in rounds for job in one if job is not None]


def _solve(job: _Job, progress: Progress | None) -> xr.Dataset:
    save = Save(fields_at=job.fields)
    return job.solver.solve(job.twin, job.regimen, job.times, save=save, progress=progress)


def _run_jobs(
    planned: Plan,
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
        dataset = _solve(job, report)
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
