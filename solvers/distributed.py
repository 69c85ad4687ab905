"""One run on several MPI ranks: each steps its own part of the mesh.

Every rank prepares the anatomy whole, as one process does; what is shared out is
the run. A rank holds its own nodes, then copies of the nodes around them that
belong to others. Reaction, radiation and resection act on both alike, so the
copies stay right by themselves; diffusion changes own nodes only and fetches the
copies anew after each stage. Rows keep the order of their entries, so the state
is the one that a process alone comes to, and only sums over the mesh, taken in
double precision in the order of the ranks, differ in their last digits.

What could end a run (a density below zero, a step that is too long) is counted
over all ranks, so that all of them raise or none does.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Hashable
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from solvers.operators import DiffusionMatrix, mesh_operators
from solvers.partition import Layout
from solvers.prepared import Prepared
from solvers.volumes import VisibleVolumes
from twin.courses import Hyperthermia, Radiotherapy
from twin.errors import InvalidInput, TherapyTwinError
from twin.events import Removed
from twin.mesh import Mesh
from twin.parameters import ParameterSet
from twin.patient import Twin

__all__ = ["Part", "PartPrepared", "agreed", "compile_first", "part_of"]

_Result = TypeVar("_Result")
_TAG = 71
#: Links along fibres join the nodes of an element with those of the elements around it.
_FIBRE_RINGS = 2
#: Bytes of a failure's sentence that are sent to the other ranks.
_SENTENCE = 1024


#: Communicators whose first rank has compiled, kept so that their `id` stays theirs.
_compiled_for: dict[int, Any] = {}


class _Exchange:
    """Messages to and from the neighbours for so many rows, set up once and started often."""

    def __init__(self, comm: Any, layout: Layout, rows: int) -> None:
        from mpi4py import MPI

        self._gives = [(local, np.empty((rows, len(local)))) for _, local in layout.gives]
        self._takes = [
            (slice(first, end), np.empty((rows, end - first))) for _, first, end in layout.takes
        ]
        self._start, self._wait = MPI.Prequest.Startall, MPI.Request.Waitall
        self._requests = [
            comm.Recv_init(buffer, other, _TAG)
            for (other, _, _), (_, buffer) in zip(layout.takes, self._takes, strict=True)
        ] + [
            comm.Send_init(buffer, other, _TAG)
            for (other, _), (_, buffer) in zip(layout.gives, self._gives, strict=True)
        ]

    def run(self, values: NDArray[np.float64]) -> None:
        for local, buffer in self._gives:
            np.take(values, local, axis=1, out=buffer, mode="clip")
        self._start(self._requests)
        self._wait(self._requests)
        for place, buffer in self._takes:
            values[:, place] = buffer


class Part:
    """The nodes of one rank, as `solvers.shares.Share` describes.

    Parameters
    ----------
    comm : mpi4py communicator
        All its ranks call the same methods in the same order.
    layout : Layout
    """

    def __init__(self, comm: Any, layout: Layout) -> None:
        self.layout = layout
        self._comm = comm
        self._exchanges: dict[int, _Exchange] = {}

    def fill(self, values: NDArray[np.float64]) -> None:
        """Fetch the values of others' nodes, shape (local,) or (row, local), in place."""
        rows = values[None] if values.ndim == 1 else values
        if len(rows) not in self._exchanges:
            self._exchanges[len(rows)] = _Exchange(self._comm, self.layout, len(rows))
        self._exchanges[len(rows)].run(rows)

    def filling(self, stage: Callable[..., None]) -> Callable[..., None]:
        """A stage of `solvers.kernels` that also fetches its result beyond the border."""

        def filled(*arguments: Any) -> None:
            stage(*arguments)
            self.fill(arguments[-5])  # the result, before mu, nu, mu_tau and gamma_tau

        return filled

    def mine(self, values: NDArray[Any]) -> NDArray[Any]:
        """What this rank holds of values on the whole mesh, shape (..., local)."""
        return np.ascontiguousarray(values[..., self.layout.nodes])

    def whole(self, values: NDArray[Any]) -> NDArray[Any]:
        """Values on the whole mesh, in its order, on every rank, shape (node,)."""
        own = np.ascontiguousarray(values[: self.layout.own])
        together = np.empty(len(self.layout.order), own.dtype)
        counts = self.layout.sizes
        places = [0, *itertools.accumulate(counts[:-1])]  # two counts alone would be ambiguous
        self._comm.Allgatherv(own, [together, (counts, places)])
        result = np.empty_like(together)
        result[self.layout.order] = together
        return result

    def _of_each(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """The values of every rank, shape (rank, ...)."""
        sent = np.ascontiguousarray(values, np.float64)
        found = np.empty((len(self.layout.sizes), *sent.shape))
        self._comm.Allgather(sent, found)
        return found

    def total(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Sum over the ranks, in their order and so the same bits on each."""
        return np.asarray(self._of_each(values).sum(axis=0))

    def counts(self, first: int, second: int) -> tuple[int, int]:
        """Sums over the ranks of two counts; what lies at a border counts on both sides."""
        total = self.total(np.array([first, second]))
        return int(total[0]), int(total[1])

    def most(self, value: float) -> float:
        """The greatest value on any rank; not a number if one is not."""
        return float(self._of_each(np.array([value])).max())

    def amount(self, mass: NDArray[np.float64], density: NDArray[np.float64]) -> float:
        """Integral of a density over the whole mesh, each node counted once, [mm3]."""
        own = self.layout.own
        return float(self.total(np.array([mass[:own] @ density[:own]]))[0])


class _SummedVolumes(VisibleVolumes):
    """Visible volumes of all parts together."""

    def __init__(self, part: Part, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._part = part

    def measure(self, density: NDArray[np.float64]) -> NDArray[np.float64]:
        """Hard volumes, then softened ones, [mm3], shape (2, threshold)."""
        return self._part.total(super().measure(density))


class PartPrepared(Prepared):
    """The anatomy that one rank's part of a run sees: every array over nodes is its own part's.

    Parameters
    ----------
    whole : Prepared
        The anatomy of the whole mesh, whose store it shares.
    part : Part
    """

    def __init__(self, whole: Prepared, part: Part, key: Hashable) -> None:
        super().__init__(whole.twin)
        self._whole, self._key = whole, key
        self._lock, self._kept = whole._lock, whole._kept
        self.share = part

    def diffusion(
        self, parameters: ParameterSet, removed: Removed = (), *, clip: bool = True
    ) -> DiffusionMatrix:
        """The rows of the rank's own nodes; mass and inverse mass of all that it holds."""
        matrix = self._whole.diffusion(parameters, removed, clip=clip)
        return self._remember(
            ("rows", self._key, id(matrix)), lambda: (_own_rows(matrix, self.share.layout), matrix)
        )[0]

    def meter(
        self, removed: Removed, thresholds: tuple[float, ...], softness: float
    ) -> VisibleVolumes:
        """Measures visible volumes of the whole mesh from every rank's densities, [mm3]."""

        def make() -> VisibleVolumes:
            mesh, active = self.twin.mesh, self.active_cells(removed)
            layout = self.share.layout
            counted = layout.cells[active[layout.cells]]
            mass = self.operators.lumped_mass(active)[layout.nodes]
            mass[layout.own :] = 0.0
            return _SummedVolumes(
                self.share,
                layout.numbers()[mesh.cells[counted]],
                mesh.cell_volume[counted],
                mass,
                thresholds,
                softness,
                points=mesh.points[layout.nodes],
            )

        return self._remember(("meter", self._key, removed, thresholds, softness), make)

    def initial_state(
        self, parameters: ParameterSet, profile: str = "settled"
    ) -> dict[str, NDArray[np.float64]]:
        """Viable, dead and necrotic tissue on day 0 at the nodes that the rank holds."""
        found = self._whole.initial_state(parameters, profile)
        return {name: self.share.mine(values) for name, values in found.items()}

    def dose_at_nodes(self, course: Radiotherapy) -> NDArray[np.float64]:
        """Total dose of one course at the nodes that the rank holds, [Gy], shape (local,)."""
        return self.share.mine(self._whole.dose_at_nodes(course))

    def let_at_nodes(self, course: Radiotherapy) -> NDArray[np.float64] | None:
        """As `Prepared.let_at_nodes`, of this rank's nodes."""
        found = self._whole.let_at_nodes(course)
        return None if found is None else self.share.mine(found)

    def oxygen_factor(self, parameters: ParameterSet) -> NDArray[np.float64] | None:
        """As `Prepared.oxygen_factor`, of this rank's nodes."""
        found = self._whole.oxygen_factor(parameters)
        return None if found is None else self.share.mine(found)

    def temperature_at_nodes(self, course: Hyperthermia) -> NDArray[np.float64]:
        """Temperature of a course at the nodes that the rank holds, [degC], shape (local,)."""
        return self.share.mine(self._whole.temperature_at_nodes(course))


def _own_rows(matrix: DiffusionMatrix, layout: Layout) -> DiffusionMatrix:
    """The rows of a rank's own nodes in local numbers, each with its entries in their order."""
    own = layout.nodes[: layout.own]
    first, length = matrix.indptr[own].astype(np.int64), np.diff(matrix.indptr)[own]
    indptr = np.concatenate([[0], np.cumsum(length)])
    entries = np.repeat(first - indptr[:-1], length) + np.arange(indptr[-1])
    column = layout.numbers()[matrix.indices[entries]]
    if len(column) and column.min() < 0:
        raise InvalidInput(
            "After the resection the diffusion operator joins nodes that lie further apart than "
            "before; such a treatment runs on one rank only."
        )
    return DiffusionMatrix(
        indptr.astype(np.int32),
        column,
        matrix.transmissibility[entries],
        matrix.mass[layout.nodes],
        matrix.inverse_mass[layout.nodes],
        matrix.largest_eigenvalue,
        matrix.clipped_share,
    )


def part_of(
    prepared: Prepared, comm: Any, parameters: ParameterSet, *, clip: bool = True
) -> PartPrepared:
    """A rank's part of an anatomy, worked out once for each twin and communicator.

    Parameters
    ----------
    prepared : Prepared
        Of the whole mesh, the same on every rank.
    comm : mpi4py communicator
    parameters : ParameterSet
        Their operator says how far the rows reach.
    clip : bool
        As in `FiniteElementSolver`.
    """
    twin: Twin = prepared.twin
    key = (comm.Get_size(), comm.Get_rank(), id(comm))

    def make() -> tuple[PartPrepared, Any]:
        matrix = prepared.diffusion(parameters, clip=clip)
        layout = Layout.of(
            twin.mesh.points,
            twin.mesh.cells,
            matrix.indptr,
            matrix.indices,
            ranks=comm.Get_size(),
            rank=comm.Get_rank(),
            rings=_FIBRE_RINGS if twin.model.migration == "tensor" else 1,
        )
        return PartPrepared(prepared, Part(comm, layout), key), comm

    return prepared._remember(("part", key), make)[0]


def compile_first(comm: Any) -> None:
    """Let the first rank compile the forms, so that the others find them in its cache.

    dolfinx gives up after a few seconds where another process is still compiling.
    """
    if id(comm) in _compiled_for:
        return
    unit = Mesh(
        np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]),
        np.array([[0, 1, 2, 3]], np.int32),
        np.array([1], np.int16),
        {1: "unit"},
    )
    agreed(comm, (lambda: mesh_operators(unit)) if comm.Get_rank() == 0 else lambda: None)
    _compiled_for[id(comm)] = comm


def agreed(comm: Any, action: Callable[[], _Result]) -> _Result:
    """What `action` returns, if it fails on no rank; if it fails on one, all of them raise.

    For work that no other rank takes part in (set-up, checks of this machine): a rank
    that stopped there would leave the others waiting for ever.

    Parameters
    ----------
    comm : mpi4py communicator
    action : callable
        Without arguments.

    Raises
    ------
    Exception
        The rank's own.
    TherapyTwinError
        Another rank's sentence; `InvalidInput` if it was that.
    """
    failure: BaseException | None = None
    result: Any = None
    try:
        result = action()
    except Exception as error:
        failure = error
    sent = np.zeros(_SENTENCE, np.uint8)
    if failure is not None:
        kind = b"i" if isinstance(failure, InvalidInput) else b"t"
        text = kind + (str(failure) or type(failure).__name__).encode()[: _SENTENCE - 1]
        sent[: len(text)] = np.frombuffer(text, np.uint8)
    found = np.zeros((comm.Get_size(), _SENTENCE), np.uint8)
    comm.Allgather(sent, found)
    if failure is not None:
        raise failure
    for rank, row in enumerate(found):
        text = row.tobytes().rstrip(b"\0")
        if text:
            sentence = text[1:].decode(errors="replace")
            if text.startswith(b"i"):
                raise InvalidInput(sentence)
            raise TherapyTwinError(f"Rank {rank} of {len(found)} stopped: {sentence}")
    return cast("_Result", result)
