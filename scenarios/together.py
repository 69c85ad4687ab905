"""The ranks of an MPI run on a study: the first one decides, the others take part in its solves.

Only the first rank looks into the results folder, writes and draws. Before each run
it tells the others which one; at the end it tells them how the study came out. All
have worked out the same plan, so a run is known by its number.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from twin.errors import TherapyTwinError

__all__ = ["Crew", "crew_of"]

_RUN, _DONE, _FAILED = 0, 1, 2
#: So long the first rank waits for the others to hear of a failure, which they may be part of [s].
_PATIENCE_S = 2.0
_PAUSE_S = 0.001


def crew_of(solver: Any) -> Crew | None:
    """The ranks that a solver runs on; None for a process alone."""
    comm = getattr(solver, "comm", None)
    return None if comm is None or comm.Get_size() == 1 else Crew(comm)


class Crew:
    """The ranks of a solver, from one of them.

    Parameters
    ----------
    comm : mpi4py communicator
        Copied, so that nothing here meets a solver's own messages.
    """

    def __init__(self, comm: Any) -> None:
        self._comm = comm.Dup()
        self.leads = self._comm.Get_rank() == 0

    def _tell(self, *words: int, patience_s: float = np.inf) -> None:
        request = self._comm.Ibcast(np.array([*words, 0, 0, 0, 0][:4], np.int64))
        end = time.monotonic() + patience_s
        while not request.Test() and time.monotonic() < end:
            time.sleep(_PAUSE_S)

    def announce(self, run: int) -> None:
        """Have the others take part in a run, by its number in the plan."""
        self._tell(_RUN, run)

    def dismiss(self, runs: int, reused: int, finished_before: bool) -> None:
        """Let the others go: the study is done."""
        self._tell(_DONE, runs, reused, int(finished_before))

    def give_up(self) -> None:
        """Let the others go: the study has failed, perhaps in the midst of a run."""
        self._tell(_FAILED, patience_s=_PATIENCE_S)

    def follow(self, run: Callable[[int], object]) -> tuple[int, int, bool]:
        """Take part in what the first rank announces; what it says at the end.

        A refusal or a run that does not converge is every rank's alike: the
        first one deals with it.

        Raises
        ------
        TherapyTwinError
            The first rank gave up.
        """
        while True:
            words = np.empty(4, np.int64)
            request = self._comm.Ibcast(words)
            while not request.Test():
                time.sleep(_PAUSE_S)
            kind, first, second, third = words.tolist()
            if kind == _DONE:
                return first, second, bool(third)
            if kind == _FAILED:
                raise TherapyTwinError("The study was given up by the first rank.")
            try:
                run(first)
            except TherapyTwinError:
                continue
