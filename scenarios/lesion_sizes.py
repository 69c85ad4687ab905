"""Sizes of lesions on the scans of every arm, from the densities that its first case keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from solvers.axial_slices import AxialSlices
from solvers.lesions import Lesion, lesions_on
from solvers.prepared import prepare
from twin.events import Cavity, Removed
from twin.response_entries import LESIONS

if TYPE_CHECKING:
    from scenarios.study import Study
    from twin.patient import Twin

__all__ = ["lesion_sizes", "sizes_of"]

#: Target lesions that are summed: RANO 2.0 up to three [unverified], RECIST 1.1 two an organ.
RANO_TARGETS, RECIST_TARGETS = 3, 2
#: A lesion whose longest diameter is less is not seen [mm] (RECIST 1.1: too small to measure).
SEEN_MM = 5.0


def sizes_of(lesions: list[Lesion]) -> NDArray[np.float64]:
    """What a scan measures of its lesions, in the order of the result's variables."""
    seen = [one for one in lesions if one.longest.longest_mm >= SEEN_MM]
    if not seen:
        return np.zeros(len(LESIONS))
    longest = sorted((one.longest.longest_mm for one in seen), reverse=True)
    first = seen[0]  # of the greatest product
    return np.array(
        [
            sum(one.largest.product_mm2 for one in seen[:RANO_TARGETS]),
            sum(longest[:RECIST_TARGETS]),
            first.largest.longest_mm,
            first.largest.perpendicular_mm,
            longest[0],
            first.slices,
            len(seen),
        ]
    )


def lesion_sizes(study: Study, twin: Twin, density: NDArray[np.float32]) -> dict[str, Any]:
    """Result variables of the scans of every arm, [mm] and [mm2], shape (scenario, scan).

    A scan between two kept densities is interpolated linearly between their sizes; where tissue
    was removed between them, it has the sizes of the one on its own side. After the last kept
    density nothing is known, and values are not numbers.

    Parameters
    ----------
    study : Study
    twin : Twin
    density : ndarray, [1], shape (scenario, field_time, node)
        Visible density of the first case.
    """
    level = study.cases[0].parameters(twin.parameters).value("threshold_t1gd")
    given = [scenario.regimen.schedule(twin.calendar).fractions for scenario in study.scenarios]
    days = [study.scans.days(one[-1].day if one else None, float(study.times[-1])) for one in given]
    count = max(1, *(len(one) for one in days))
    scan_day = np.full((len(days), count), np.nan)
    sizes = np.full((len(days), count, len(LESIONS)), np.nan)
    slices = AxialSlices.of(
        twin.mesh.points, twin.mesh.cells, study.scans.slice_mm, within=_box(twin, density, level)
    )
    for i, scenario in enumerate(study.scenarios):
        scan_day[i, : len(days[i])] = days[i]
        operations = [(one.day, one.cavity) for one in scenario.regimen.resections]
        sizes[i, : len(days[i])] = _of_arm(
            study, twin, slices, density[i], level, days[i], operations
        )
    dims = ("scenario", "scan")
    found: dict[str, Any] = {"scan_day": (dims, scan_day)}
    return found | {name: (dims, sizes[:, :, k]) for k, name in enumerate(LESIONS)}


def _box(twin: Twin, density: NDArray, level: float) -> tuple[NDArray, NDArray]:
    """Lowest and highest corner of all that is ever visible, [mm]."""
    seen = (density > level).any(axis=(0, 1))
    touched = np.zeros(len(seen), bool)
    touched[twin.mesh.cells[seen[twin.mesh.cells].any(axis=1)]] = True
    points = twin.mesh.points[touched] if touched.any() else twin.mesh.points[:1]
    return points.min(axis=0), points.max(axis=0)


def _of_arm(
    study: Study,
    twin: Twin,
    slices: AxialSlices,
    density: NDArray[np.float32],
    level: float,
    days: NDArray[np.float64],
    operations: list[tuple[float, str | Cavity]],
) -> NDArray[np.float64]:
    """Sizes on the scans of one arm, shape (scan, size)."""
    fields = study.field_times
    measured: dict[int, NDArray[np.float64]] = {}

    def at(k: int) -> NDArray[np.float64]:
        if k not in measured:
            removed = tuple(name for day, name in operations if day <= fields[k])
            shown = slices.show(density[k], _solid(twin, removed))
            measured[k] = sizes_of(lesions_on(slices, shown, level))
        return measured[k]

    result = np.full((len(days), len(LESIONS)), np.nan)
    for n, day in enumerate(days):
        after = int(np.searchsorted(fields, day - 1e-9))
        if after == len(fields):
            continue
        if fields[after] <= day + 1e-9:
            result[n] = at(after)
            continue
        cut = [one for one, _ in operations if fields[after - 1] < one <= fields[after]]
        if cut:
            result[n] = at(after - 1 if day < min(cut) else after)
            continue
        share = (day - fields[after - 1]) / (fields[after] - fields[after - 1])
        result[n] = (1.0 - share) * at(after - 1) + share * at(after)
    return result


def _solid(twin: Twin, removed: Removed) -> NDArray[np.bool_]:
    """Elements in which tumour is measured: no fluid, no cavity, no necrosis of day 0."""
    active: NDArray[np.bool_] = prepare(twin).active_cells(removed)
    return active & ~twin.mesh.cells_labelled("necrosis")
