"""The runs of a study, one after another or several at the same time, into a store."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scenarios.stores import Store
from twin.errors import InvalidInput
from twin.protocol import Save

if TYPE_CHECKING:
    import xarray as xr

    from twin.patient import Twin
    from twin.protocol import Progress, Solver
    from twin.regimen import Regimen

__all__ = ["Announce", "Job", "run_jobs", "solve"]

#: What every run has in common and the study's dataset holds once.
_LEFT_OUT = ("cells", "cell_label", "mesh", "node_x", "node_y", "node_z")

#: Called with a run's number in the plan before every rank begins it.
Announce = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Job:
    """One call of the solver."""

    hash: str
    label: str
    twin: Twin
    regimen: Regimen
    solver: Solver
    times: tuple[float, ...]
    fields: tuple[float, ...]
    fewest_from: float | None = None


class _Stopped(Exception):
    """Raised inside a run when another one failed or the user interrupted."""


class _Meter:
    """One progress bar for many runs at the same time; also where they are told to stop."""

    def __init__(self, jobs: list[Job], done: set[str], progress: Progress | None) -> None:
        self._weight = {job.hash: float(len(job.twin.mesh.points)) for job in jobs}
        self._part = {job.hash: float(job.hash in done) for job in jobs}
        self._progress = progress
        self._lock = threading.Lock()
        self.stop = threading.Event()

    def of(self, job: Job) -> Callable[[float, str], None]:
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


def _alternating(jobs: Iterable[Job]) -> list[Job]:
    """Jobs on the meshes in turn, so that no mesh's preparation holds up all threads."""
    on_mesh: dict[int, list[Job]] = {}
    for job in jobs:
        on_mesh.setdefault(len(job.twin.mesh.points), []).append(job)
    rounds = itertools.zip_longest(*on_mesh.values())
    return [job for one in rounds for job in one if job is not None]


def solve(job: Job, progress: Progress | None) -> xr.Dataset:
    """Results of one job."""
    save = Save(fields_at=job.fields, fewest_from=job.fewest_from)
    return job.solver.solve(job.twin, job.regimen, job.times, save=save, progress=progress)


def run_jobs(
    jobs_by_hash: Mapping[str, Job],
    store: Store,
    *,
    threads: int,
    progress: Progress | None,
    announce: Announce | None,
) -> None:
    """Do all jobs that the store does not hold yet.

    Parameters
    ----------
    jobs_by_hash : mapping of str to Job
    store : Store
    threads : int
        Jobs at the same time, 1 to 1024.
    progress : callable or None
    announce : callable or None
        Where every rank is in the same run: told each job's number before it begins.
    """
    if not (isinstance(threads, int) and 1 <= threads <= 1024):
        raise InvalidInput(f"There are {threads!r} threads; give a whole number from 1 to 1024.")
    done = store.done()
    jobs = _alternating(jobs_by_hash.values())
    meter = _Meter(jobs, done, progress)

    def run(job: Job) -> None:
        report = meter.of(job)
        report(0.0, job.label)
        dataset = solve(job, report)
        kept = [name for name in _LEFT_OUT if name in dataset.variables]
        store.put(job.hash, dataset.drop_vars(kept))
        report(1.0, job.label)

    if announce is not None:  # every rank is in the same run
        for number, job in enumerate(jobs_by_hash.values()):
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
