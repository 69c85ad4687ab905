"""Counts of clonogenic survival experiments, by cell line and experiment."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from solvers.fitting.measurement_table import Column, read_measurements
from twin.errors import InvalidInput

__all__ = ["COLONY_COLUMNS", "ColonyCurve", "ColonyTable", "read_colonies"]

#: Above it a column of Gy is more probably one of cGy; no dish grows colonies after it.
_HIGHEST_DOSE_GY = 40.0

COLONY_COLUMNS = (
    Column(
        "line",
        ("cline", "cell_line", "cellline", "line", "curve"),
        required=False,
    ),
    Column("experiment", ("exp", "experiment", "replicate"), required=False),
    Column("dose", ("dose", "dose_gy", "d_gy")),
    Column("cells", ("ncells", "cells", "cells_seeded", "seeded", "cells_plated")),
    Column("colonies", ("ncolonies", "colonies", "colony_count", "counted_colonies")),
)


@dataclass(frozen=True, slots=True)
class ColonyCurve:
    """Dishes of one cell line under one condition; valid or not there at all.

    Parameters
    ----------
    name : str
    dose : array_like, [Gy], shape (dish,)
    cells : array_like, [1], shape (dish,)
        Cells seeded.
    colonies : array_like, [1], shape (dish,)
        Whole counts.
    experiment : sequence of str, shape (dish,)
        Dishes of one experiment share a plating efficiency.

    Raises
    ------
    InvalidInput
        Counts that are no counts, more colonies than cells, an experiment without an
        unirradiated dish or whose unirradiated dishes have no colony, fewer than two
        different doses above 0, or no colony after any.

    Examples
    --------
    >>> ColonyCurve("line", [0, 2, 4], [100, 200, 400], [50, 60, 40], ["1"] * 3).experiments
    ('1',)
    """

    name: str
    dose: NDArray[np.float64]
    cells: NDArray[np.float64]
    colonies: NDArray[np.float64]
    experiment: tuple[str, ...]

    def __post_init__(self) -> None:
        for field in ("dose", "cells", "colonies"):
            values = np.array(getattr(self, field), np.float64)
            values.setflags(write=False)
            object.__setattr__(self, field, values)
        object.__setattr__(self, "experiment", tuple(self.experiment))
        shapes = {self.dose.shape, self.cells.shape, self.colonies.shape, (len(self.experiment),)}
        if len(shapes) != 1:
            raise InvalidInput(f"Curve {self.name!r}: its columns differ in length; give them all.")
        self._check_dishes()
        self._check_experiments()
        doses = np.unique(self.dose[self.dose > 0.0])
        if len(doses) < 2:
            found = ", ".join(f"{dose:g} Gy" for dose in doses) or "none"
            raise InvalidInput(
                f"Curve {self.name!r} has {len(doses)} dose above 0 ({found}); alpha and beta "
                "need at least two different ones."
            )
        if not self.colonies[self.dose > 0.0].any():
            raise InvalidInput(
                f"Curve {self.name!r} has no colony after any dose above 0, so that no survival "
                "can be fitted; seed more cells or give lower doses."
            )

    def _check_dishes(self) -> None:
        for number, (dose, cells, colonies) in enumerate(
            zip(self.dose, self.cells, self.colonies, strict=True), start=1
        ):
            where = f"Curve {self.name!r}, dish {number}"
            if not 0.0 <= dose <= _HIGHEST_DOSE_GY:
                raise InvalidInput(
                    f"{where}: the dose is {dose:g} Gy, but must be from 0 to "
                    f"{_HIGHEST_DOSE_GY:g} Gy; a column in cGy must be converted."
                )
            if not (1.0 <= cells < np.inf and cells == int(cells)):
                raise InvalidInput(
                    f"{where}: {cells:g} cells seeded; the number must be whole and at least 1."
                )
            if not (0.0 <= colonies < np.inf and colonies == int(colonies)):
                raise InvalidInput(
                    f"{where}: {colonies:g} colonies; counts must be whole and at least 0."
                )
            if colonies > cells:
                raise InvalidInput(
                    f"{where}: {colonies:g} colonies of {cells:g} cells seeded; colonies cannot "
                    "exceed cells, so check whether the columns are swapped."
                )

    def _check_experiments(self) -> None:
        for name in self.experiments:
            own = np.array([one == name for one in self.experiment]) & (self.dose == 0.0)
            if not own.any():
                raise InvalidInput(
                    f"Curve {self.name!r}, experiment {name!r} has no dish of dose 0, so that "
                    "its plating efficiency is unknown; add it or leave the experiment out."
                )
            if not self.colonies[own].any():
                raise InvalidInput(
                    f"Curve {self.name!r}, experiment {name!r} has no colony at dose 0: a plating "
                    "efficiency of zero; leave the experiment out."
                )

    @property
    def experiments(self) -> tuple[str, ...]:
        """Names of the experiments in the order of their first dishes."""
        return tuple(dict.fromkeys(self.experiment))

    @property
    def experiment_number(self) -> NDArray[np.intp]:
        """Number of each dish's experiment, from 0, shape (dish,)."""
        place = {name: number for number, name in enumerate(self.experiments)}
        return np.array([place[name] for name in self.experiment], np.intp)


@dataclass(frozen=True, slots=True)
class ColonyTable:
    """The curves of one file.

    Parameters
    ----------
    curves : mapping of str to ColonyCurve
    sha256 : str
        Of the file.
    notes : tuple of str
        What was left out or assumed.
    """

    curves: Mapping[str, ColonyCurve]
    sha256: str
    notes: tuple[str, ...]


def read_colonies(
    path: str | os.PathLike[str],
    *,
    columns: Mapping[str, str] | None = None,
    only: Sequence[str] = (),
) -> ColonyTable:
    r"""Return the curves of a table of colony counts.

    Parameters
    ----------
    path : path
        Columns cell line, experiment, dose [Gy], cells seeded, colonies (tabs, semicolons
        or commas). A dish without a count is left out. Without a column of cell lines all
        is one curve, without one of experiments all dishes share a plating efficiency.
    columns : mapping of str to str, optional
        ``line``, ``experiment``, ``dose``, ``cells``, ``colonies`` to the file's headers.
    only : sequence of str
        Cell lines to keep; all if empty.

    Raises
    ------
    InvalidInput
        See `read_measurements` and `ColonyCurve`.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "colonies.csv"
    >>> rows = ["cline,exp,dose,ncells,ncolonies", "A,1,0,100,50", "A,1,2,100,20", "A,1,4,100,5"]
    >>> _ = file.write_text("\n".join(rows))
    >>> read_colonies(file).curves["A"].colonies.tolist()
    [50.0, 20.0, 5.0]
    """
    table = read_measurements(path, COLONY_COLUMNS, renamed=columns, what="table of colonies")
    notes = []
    rows = len(table.lines)
    lines = table.labels("line") if "line" in table.cells else ("all",) * rows
    if "experiment" in table.cells:
        experiments = table.labels("experiment")
    else:
        experiments = ("all",) * rows
        notes.append("no column of experiments, so all dishes share one plating efficiency")
    dose = table.numbers(
        "dose", at_least=0.0, at_most=_HIGHEST_DOSE_GY, hint="doses are in Gy, not cGy"
    )
    cells = table.numbers("cells", at_least=1.0, whole=True, hint="give the cells seeded")
    colonies = table.numbers(
        "colonies", at_least=0.0, whole=True, may_be_missing=True, hint="give counted colonies"
    )
    if missing := int(np.isnan(colonies).sum()):
        notes.append(f"{missing} dish(es) without a count left out")
    for line, seeded, counted in zip(table.lines, cells, colonies, strict=True):
        if counted > seeded:
            raise InvalidInput(
                f"{table.name}, line {line}: {counted:g} colonies of {seeded:g} cells seeded; "
                "colonies cannot exceed cells, so check whether the columns are swapped."
            )
    known = tuple(dict.fromkeys(lines))
    for name in only:
        if name not in known:
            raise InvalidInput(
                f"{table.name} has no cell line {name!r}; it has {', '.join(known)}."
            )
    curves = {}
    for name in known:
        if only and name not in only:
            continue
        own = np.array([one == name for one in lines]) & ~np.isnan(colonies)
        curves[name] = ColonyCurve(
            name,
            dose[own],
            cells[own],
            colonies[own],
            tuple(experiments[place] for place in np.flatnonzero(own)),
        )
    return ColonyTable(curves, table.sha256, tuple(notes))
