"""Running a study: every scenario and case on three meshes, in memory or in a results folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scenarios.extinction import treated_from
from scenarios.gather import MESHES, gather
from scenarios.jobs import Announce, Job, run_jobs, solve
from scenarios.results_folder import ResultsFolder
from scenarios.stores import Keeping, Memory, Store
from scenarios.study import Study
from scenarios.together import crew_of
from solvers.error_bars import MeshEdges, check_times
from solvers.guided_targets import with_guided_targets
from solvers.halved_steps import with_halved_steps
from solvers.mesh_error import edges_of
from solvers.profiles import with_profile
from twin.drugs import load_drug
from twin.errors import InvalidInput
from twin.packaged_numbers import numbers_of, treatment_numbers
from twin.results import open_results
from twin.storage import sha256_of

if TYPE_CHECKING:
    import xarray as xr

    from twin.guided_target import GuidedTarget
    from twin.patient import Twin
    from twin.protocol import Progress, Solver
    from twin.regimen import Regimen

__all__ = ["Outcome", "Plan", "plan", "run_in_memory", "run_study"]

#: Raised by hand when what a run keeps changes; part of every run's hash.
RUN_FORMAT = 2


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
    study : Study
        As it is run, isotoxic doses in it.
    """

    hash_of: Mapping[tuple[int, int, str], str]
    jobs: Mapping[str, Job]
    edges: MeshEdges
    study_hash: str
    study: Study


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


def plan(study: Study, twin: Twin, solver: Solver) -> Plan:
    """The runs of a study and their hashes.

    A hash covers the twin's content, parameters, regimen, times and the
    solver's options with its numerics version; no names, paths or dates of the run.
    """
    study.check(twin)
    study = study.resolved(twin)
    edges = edges_of(twin)  # refuses meshes of one size
    guided = [with_guided_targets(twin, arm.regimen).guided for arm in study.scenarios]
    hash_of: dict[tuple[int, int, str], str] = {}
    jobs: dict[str, Job] = {}
    for mesh, on_mesh, by in _kinds(twin, solver):
        content, first = on_mesh.content_hash, mesh == MESHES[0]
        checks_only = mesh in MESHES[2:]
        times = study.times[check_times(study.times)] if checks_only else study.times
        fields = study.field_times.tolist() if first else []
        for j, case in enumerate(study.cases):
            parameters = case.parameters(twin.parameters)
            patient = on_mesh.replace(parameters=parameters)
            displaced = patient if case.setup is None else patient.replace(setup=case.setup)
            values = {name: parameters.value(name) for name in parameters}
            solver_of_case = by if case.profile is None else with_profile(by, case.profile)
            options = _options(solver_of_case)
            for i, scenario in enumerate(study.scenarios):
                setup = case.setup if scenario.regimen.radiotherapy else None
                fewest = treated_from(scenario.regimen, twin) if first else None
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
                        **_treatments(scenario.regimen, twin),
                        **({} if setup is None else {"setup": setup.as_dict()}),
                        **_guided_digests(guided[i]),
                        **({} if fewest is None else {"fewest_from": fewest}),
                    }
                )
                hash_of[(i, j, mesh)] = key
                given = patient if setup is None else displaced
                label = f"{scenario.name}, {case.name}" + ("" if first else f", {mesh}")
                job = Job(
                    key,
                    label,
                    given.replace(guided=guided[i]) if guided[i] else given,
                    scenario.regimen,
                    solver_of_case,
                    tuple(times.tolist()),
                    tuple(fields),
                    fewest,
                )
                jobs.setdefault(key, job)
    resolved = study.as_dict(twin)
    resolved.pop("warnings")
    study_hash = sha256_of(resolved, [hash_of[key] for key in sorted(hash_of)])
    return Plan(hash_of, jobs, edges, study_hash, study)


def _drugs(regimen: Regimen) -> dict[str, Any]:
    """The packaged numbers of a regimen's drugs; nothing where the patient's are all there are."""
    drugs = [load_drug(name) for name in regimen.drug_names]
    numbers = {drug.name: drug.as_dict() for drug in drugs if not drug.patient_parameters}
    return {"drugs": numbers} if numbers else {}


def _guided_digests(guided: Mapping[str, GuidedTarget]) -> dict[str, Any]:
    """The voxels of density-guided targets; nothing where there are none."""
    return {"guided": {n: one.digest for n, one in guided.items()}} if guided else {}


def _treatments(regimen: Regimen, twin: Twin) -> dict[str, Any]:
    """The packaged numbers of a regimen's other treatments, and of parts of the model."""
    numbers = {name: treatment_numbers(name).as_dict() for name in numbers_of(regimen, twin.model)}
    return {"treatments": numbers} if numbers else {}


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
    run_jobs(planned.jobs, store, threads=threads, progress=progress, announce=announce)
    return _gathered(twin, planned, store)


def _gathered(twin: Twin, planned: Plan, store: Store) -> xr.Dataset:
    def run_of(i: int, j: int, mesh: str) -> xr.Dataset | None:
        key = planned.hash_of.get((i, j, mesh))
        return None if key is None else store.get(key)

    return gather(planned.study, twin, run_of, planned.edges)


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
        said = crew.follow(lambda number: solve(jobs[number], None))
        return Outcome(open_results(folder), *said)
    try:
        outcome = _run_in_folder(
            twin, planned, folder, resume, threads, progress, patient,
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
        place.begin(_study_record(twin, planned, patient))
        reused = len(place.done() & set(planned.jobs))
        first_case = {
            planned.hash_of[(i, 0, MESHES[0])] for i in range(len(planned.study.scenarios))
        }
        store = Keeping(place, first_case)
        run_jobs(planned.jobs, store, threads=threads, progress=progress, announce=announce)
        results = _gathered(twin, planned, store)
        place.finish(results)
    return Outcome(open_results(folder), len(planned.jobs) - reused, reused, False)


def _study_record(twin: Twin, planned: Plan, patient: str) -> dict[str, Any]:
    study = planned.study
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


def read_study_record(folder: str | Path) -> dict[str, Any]:
    """What ``study.json`` in a results folder says."""
    path = Path(folder) / "study.json"
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise InvalidInput(f"{folder} holds no study; run one with 'twin run' first.") from None
    return dict(record)
