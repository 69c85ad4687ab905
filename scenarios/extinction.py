"""What is left of the tumour on the day of fewest cells, piece by piece, of every arm and case."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from scenarios.metrics.extinction import drawn_extinction, extinction_probability
from solvers.fewest_cells import DAY, FIELD
from solvers.prepared import prepare
from solvers.tumour_pieces import Pieces, mesh_graph, tumour_pieces
from twin.events import Removed
from twin.response_entries import EXTINCTION

if TYPE_CHECKING:
    from collections.abc import Callable

    import xarray as xr

    from scenarios.study import Study
    from twin.patient import Twin
    from twin.regimen import Regimen

__all__ = ["FRACTION", "extinction", "extinction_sentences", "treated_from"]

#: The parameter: share of the viable cells that can grow a tumour again.
FRACTION = "clonogenic_fraction"
#: Pieces that are listed, of those with this many clonogenic cells at least (any piece with fewer
#: is extinct but for one case in a million).
MOST_PIECES, LEAST_CELLS = 8, 1e-6


def treated_from(regimen: Regimen, twin: Twin) -> float | None:
    """Day of the first treatment from day 0 on, [day]; None without treatment."""
    days = [event.day for event in regimen.schedule(twin.calendar).events if event.day >= 0.0]
    return min(days, default=None)


def extinction(
    study: Study, twin: Twin, run_of: Callable[[int, int], xr.Dataset]
) -> dict[str, Any]:
    """Result variables, shape (scenario, case) and (scenario, case, piece).

    Not a number without treatment, with a solver that keeps no viable density, and with
    parameters that state no clonogenic fraction.

    Parameters
    ----------
    study : Study
    twin : Twin
    run_of : callable
        The run of a scenario and case on the study mesh.
    """
    shape = len(study.scenarios), len(study.cases)
    shapes = {2: shape, 3: (*shape, MOST_PIECES)}
    found = {name: np.full(shapes[len(dims)], np.nan) for name, (dims, *_) in EXTINCTION.items()}
    points, left = twin.mesh.points, _Left(twin)
    for i, scenario in enumerate(study.scenarios):
        for j, case in enumerate(study.cases):
            run, parameters = run_of(i, j), case.parameters(twin.parameters)
            if FIELD not in run or FRACTION not in parameters:
                continue
            day = float(run[DAY])
            removed = tuple(
                dict.fromkeys(one.cavity for one in scenario.regimen.resections if one.day <= day)
            )
            pieces = left.pieces(removed, np.asarray(run[FIELD].values))
            cells = (
                pieces.amount * parameters.value("carrying_capacity") * parameters.value(FRACTION)
            )
            found["fewest_cells_day"][i, j] = day
            found["clonogens_left"][i, j] = cells.sum()
            kept = np.flatnonzero(cells >= LEAST_CELLS)[:MOST_PIECES]
            found["piece_clonogens"][i, j, : len(kept)] = cells[kept]
            for axis, name in enumerate(("piece_x", "piece_y", "piece_z")):
                found[name][i, j, : len(kept)] = points[pieces.peak[kept], axis]
            drawn = drawn_extinction(found["piece_clonogens"][i, j], [study.seed, j])
            found["piece_extinct_draw"][i, j, : len(kept)] = drawn[: len(kept)]
    found["extinction_probability"] = extinction_probability(found["clonogens_left"])
    found["piece_extinction"] = extinction_probability(found["piece_clonogens"])
    return {name: (EXTINCTION[name][0], values) for name, values in found.items()}


class _Left:
    """A twin's mesh after resections, worked out once for each."""

    def __init__(self, twin: Twin) -> None:
        self._prepared, self._mesh = prepare(twin), twin.mesh
        self._known: dict[Removed, tuple[Any, NDArray[np.float64]]] = {}

    def pieces(self, removed: Removed, density: NDArray) -> Pieces:
        """Pieces of a density, between which no fluid and no cavity leads."""
        if removed not in self._known:
            active = self._prepared.active_cells(removed)
            graph = mesh_graph(self._mesh.cells[active], len(self._mesh.points))
            self._known[removed] = graph, self._prepared.operators.lumped_mass(active)
        graph, mass = self._known[removed]
        return tumour_pieces(graph, mass, density)


def extinction_sentences(results: xr.Dataset, case: str) -> list[str]:
    """What the numbers say of the arms of a case, in words; nothing where there are none."""
    if "clonogens_left" not in results:
        return []
    one = results.sel(case=case)
    left = {
        str(name): float(one["clonogens_left"].sel(scenario=name))
        for name in one["scenario"].values
    }
    known = {name: cells for name, cells in left.items() if np.isfinite(cells)}
    if not known:
        entries = json.loads(results.attrs.get("parameters", "{}")).get("entries", {})
        why = "the solver kept no density of viable cells, or no arm is treated"
        if FRACTION not in entries:
            why = f"the parameters state no {FRACTION}"
        return [f"Extinction is not stated: {why}."]
    grade = json.loads(results.attrs["parameters"])["entries"][FRACTION]["evidence"]
    rests = (
        "Extinction is Poisson's exp(-n) for the n clonogenic cells that a connected piece of "
        "tumour has on the day of fewest cells; it is stated afterwards and changes no density. It "
        f"rests on the clonogenic fraction, of evidence {grade}."
    )
    found = []
    for name, cells in known.items():
        arm = one.sel(scenario=name)
        pieces = arm["piece_clonogens"].values
        few = pieces[pieces < 1.0]
        if cells < 10.0:
            probability = float(arm["extinction_probability"])
            found.append(
                f"Extinction: {name!r} leaves {cells:.2g} clonogenic cells on day "
                f"{float(arm['fewest_cells_day']):.0f}, none at all with probability "
                f"{probability:.3f}; its volumes and its progression after that are conditional "
                "on survivors."
            )
        elif len(few):
            chance = ", ".join(f"{p:.3f}" for p in extinction_probability(few))
            found.append(
                f"Extinction: {name!r} leaves {cells:.2g} clonogenic cells, but less than one in "
                f"{len(few)} of {int(np.isfinite(pieces).sum())} connected pieces, extinct with "
                f"probability {chance}; regrowth there is conditional on survivors."
            )
    if not found:
        least = min(known, key=lambda name: known[name])
        found.append(
            "Extinction: no arm leaves less than one clonogenic cell in a connected piece of "
            f"tumour (fewest: {least!r}, {known[least]:.2g})."
        )
    return [*found, rests]
