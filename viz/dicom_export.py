"""What of a study goes back to the clinic: predicted tumour and planned targets, on voxels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from solvers.guided_targets import with_guided_targets
from twin.dicom.export_content import ExportedStructure
from twin.errors import InvalidInput
from twin.images import Image
from twin.mesh import Mesh
from twin.meshing.voxel_cells import cells_at_voxels, linear_at
from twin.targets import boost_target, clinical_target, planning_target
from viz.subject import Subject

__all__ = ["density_share", "planned_structures", "predicted_structures"]

_SIDE_MM = 1.0
_MARGIN = 3  # voxels
_COLOURS = ((255, 80, 60), (255, 200, 60), (120, 220, 120), (90, 160, 255))


def predicted_structures(
    subject: Subject,
    day: float,
    *,
    scenario: str | None = None,
    case: str | None = None,
    thresholds: Sequence[str] | None = None,
) -> list[ExportedStructure]:
    """Return the tumour above each threshold at the kept day nearest to `day`.

    Parameters
    ----------
    subject : Subject
    day : float, [day]
    scenario, case : str or None
        The first of each if not named.
    thresholds : sequence of str or None
        Names; all if None. One that no tissue reaches is left out, unless it is asked for.

    Raises
    ------
    InvalidInput
        A name that the results do not know, or no tumour above any threshold.
    """
    levels = subject.thresholds
    for name in thresholds or ():
        if name not in levels:
            raise InvalidInput(
                f"There is no threshold {name!r} in the results; there are {', '.join(levels)}."
            )
    density = subject.density(day, scenario=scenario, case=case)
    kept_day = subject.nearest_field_day(day)
    mesh = _tissue_mesh(subject)
    found = []
    for number, (name, level) in enumerate(levels.items()):
        if thresholds is not None and name not in thresholds:
            continue
        title = f"{subject.site.threshold(name)} tumour day {kept_day:g}"
        image = density_share(mesh, density, level)
        if image is not None:
            colour = _COLOURS[number % len(_COLOURS)]
            found.append(ExportedStructure(title, image, "tumour", colour))
        elif thresholds is not None:
            raise InvalidInput(
                f"No tissue is above the threshold {name} at day {kept_day:g}; choose another day."
            )
    if not found:
        raise InvalidInput(
            f"No tissue is above a threshold of visibility at day {kept_day:g}; choose another day."
        )
    return found


def planned_structures(subject: Subject, *, scenario: str | None = None) -> list[ExportedStructure]:
    """Return clinical and planning target and the boost of a scenario's first radiotherapy.

    Raises
    ------
    InvalidInput
        No radiotherapy, or the study's patient is not at hand.
    """
    name = subject.scenarios[0] if scenario is None else scenario
    courses = subject.regimen(name).radiotherapy
    if not courses:
        raise InvalidInput(f"The scenario {name!r} has no radiotherapy, so no targets are planned.")
    twin = subject.twin
    if twin is None:
        raise InvalidInput(
            "Planned targets need the patient of the study; name its folder with --patient."
        )
    course, affine = courses[0], twin.grid.affine
    twin = with_guided_targets(twin, subject.regimen(name))
    day = course.density_guided_day
    clinical = "CTV" if day is None else f"CTV by density day {day:g}"
    found = [
        ExportedStructure(
            clinical, Image(clinical_target(twin, course), affine), "ctv", (0, 200, 255)
        ),
        ExportedStructure(
            "PTV", Image(planning_target(twin, course), affine), "ptv", (60, 90, 255)
        ),
    ]
    boost = boost_target(twin, course)  # as it is dosed
    if boost is not None:
        title = f"boost {course.boost_total_dose_gy:g} Gy"
        found.append(ExportedStructure(title, Image(boost, affine), "ptv", (220, 60, 255)))
    return found


def _tissue_mesh(subject: Subject) -> Mesh:
    """The elements where tumour can be."""
    label = np.zeros(len(subject.tissue_cells), np.int16)
    return Mesh(subject.points, subject.tissue_cells.astype(np.int32), label, {0: "tissue"})


def density_share(mesh: Mesh, density: NDArray[np.floating], level: float) -> Image | None:
    """Share of each voxel of 1 mm in which a density is above a level; None where it is nowhere.

    By the density in the voxel's middle and its slope there: the surface lies where the linear
    density in the elements crosses the level.

    Parameters
    ----------
    mesh : Mesh
    density : ndarray, [1], shape (node,)
    level : float, [1]
    """
    high = density[mesh.cells].max(axis=1) >= level
    if not high.any():
        return None
    around = mesh.points[np.unique(mesh.cells[high])]
    low = np.floor(around.min(axis=0) / _SIDE_MM) - _MARGIN
    shape = (np.ceil(around.max(axis=0) / _SIDE_MM) + _MARGIN - low + 1).astype(int)
    affine = np.diag([_SIDE_MM, _SIDE_MM, _SIDE_MM, 1.0])
    affine[:3, 3] = low * _SIDE_MM
    cell = cells_at_voxels(mesh, tuple(shape.tolist()), affine)
    inside = cell >= 0
    where = np.argwhere(inside) * _SIDE_MM + affine[:3, 3]
    values, slope = linear_at(mesh, density, cell[inside], where)
    share = np.zeros(cell.shape, np.float32)
    share[inside] = np.clip(0.5 + (values - level) / np.maximum(slope * _SIDE_MM, 1e-6), 0.0, 1.0)
    return Image(share, affine) if share.any() else None
