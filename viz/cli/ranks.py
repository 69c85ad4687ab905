"""Commands under ``mpirun -n N``: the first process speaks, and none is left waiting.

The other processes print nothing. A process that fails waits a little for the
others, which mostly have failed alike; if they do not come, it ends them.
"""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from twin.errors import InvalidInput

__all__ = ["Ranks", "ranks_of_mpirun"]

#: Set by the launchers of Open MPI, MPICH, Intel MPI and MVAPICH.
_SIGNS = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MV2_COMM_WORLD_SIZE")
#: So long a process that failed waits for the others [s].
_GRACE_S = 3.0


def ranks_of_mpirun() -> Ranks | None:
    """The processes that were started together with this one; None for one alone.

    Raises
    ------
    InvalidInput
        Started by the mpirun of another MPI than Python's.
    """
    wanted = max((int(os.environ.get(sign) or 1) for sign in _SIGNS), default=1)
    if wanted == 1:
        return None
    from mpi4py import MPI

    if MPI.COMM_WORLD.Get_size() == 1:
        raise InvalidInput(
            f"mpirun started {wanted} processes, but mpi4py sees each alone; use the mpirun of "
            f"the MPI that mpi4py was built with ({MPI.Get_library_version().split(',')[0]})."
        )
    return Ranks(MPI.COMM_WORLD)


class Ranks:
    """The processes of one mpirun, from one of them.

    Parameters
    ----------
    comm : mpi4py communicator
    """

    def __init__(self, comm: Any) -> None:
        self.comm = comm
        self._waiting = comm.Dup()  # apart from what the command says to the others
        self.leads = comm.Get_rank() == 0

    def run(self, action: Callable[[], int], *, together: bool) -> int:
        """The status of `action`, the same from every process.

        Parameters
        ----------
        action : callable
        together : bool
            Whether all processes take part, or only the first.
        """
        if self.leads:
            with _signals(_interrupt):
                return self._finish(action(), None)
        real = os.fdopen(os.dup(2), "w", encoding="utf-8")
        with _signals(signal.SIG_IGN), _silence() as said:
            status = action() if together else 0
            return self._finish(status, lambda: print(said.getvalue(), file=real, flush=True))

    def _finish(self, status: int, speak: Callable[[], object] | None) -> int:
        """Wait for the others; end them if this process failed and they do not come."""
        import numpy as np

        arrived = self._waiting.Ibarrier()
        end = time.monotonic() + (_GRACE_S if status else float("inf"))
        while not arrived.Test():
            if time.monotonic() > end:
                if speak is not None:
                    speak()
                sys.stdout.flush()
                self.comm.Abort(status)
            time.sleep(0.002)
        worst = np.array([status], np.int64)
        every = np.empty(self.comm.Get_size(), np.int64)
        self._waiting.Allgather(worst, every)
        return int(every[0] or every.max())


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


@contextlib.contextmanager
def _signals(handler: Any) -> Iterator[None]:
    """Answer to what mpirun sends when it is interrupted, or to the terminal, in one way.

    Ctrl-C reaches mpirun, which sends SIGTERM. The first process ends the run in
    order; the others go on until then, or they would keep it waiting.
    """
    kinds = [signal.SIGTERM]
    if handler is signal.SIG_IGN:
        kinds.append(signal.SIGINT)
    before = [(kind, signal.signal(kind, handler)) for kind in kinds]
    try:
        yield
    finally:
        for kind, old in before:
            signal.signal(kind, old)


@contextlib.contextmanager
def _silence() -> Iterator[io.StringIO]:
    """Nothing reaches the terminal; yields what would have gone to standard error."""
    said = io.StringIO()
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):
        os.dup2(nowhere, descriptor)
    os.close(nowhere)
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        yield said
