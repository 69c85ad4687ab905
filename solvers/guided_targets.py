"""The predicted densities that density-guided targets are chosen by.

The density is that of the patient's own parameters with the patient's own model, under the
operations of the arm before that day: what could be known when the target is drawn. It has
spread along fibres and around barriers as the model lets it, so the target follows both.
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from twin.errors import InvalidInput
from twin.guided_target import GuidedTarget, guided_target
from twin.mesh import Mesh
from twin.patient import Twin
from twin.protocol import Save
from twin.regimen import Regimen
from twin.targets import FLUID, structure_mask

if TYPE_CHECKING:
    from twin.calendar import Calendar
    from twin.radiotherapy import Radiotherapy

__all__ = ["check_guided", "living_density", "with_guided_targets"]

#: Tissue so near to the nearest element that can hold tumour takes its density, [voxels].
_NEAR = 2.0
_found: OrderedDict[str, GuidedTarget] = OrderedDict()
_lock = threading.Lock()
_REMEMBERED_AT_MOST = 8


def check_guided(regimen: Regimen, calendar: Calendar) -> None:
    """Refuse a density-guided target that could not be known before its course.

    Raises
    ------
    InvalidInput
        A density of a day after the course's start, or after a fraction or a drug.
    """
    for course in _guided(regimen):
        day = float(course.density_guided_day or 0.0)
        if day > course.start_day:
            raise InvalidInput(
                f"The target is guided by the density of day {day:g}, but the course starts on day "
                f"{course.start_day:g}; take a day before it."
            )
        schedule = regimen.schedule(calendar)
        events = [event.day for event in schedule.fractions]
        events += [event.day for event in schedule.drug_doses]
        if min(events) < day:
            raise InvalidInput(
                f"The target is guided by the density of day {day:g}, but radiation or a drug is "
                f"given on day {min(events):g} already, and what these leave is not predicted for "
                "a target; take an earlier day."
            )


def _guided(regimen: Regimen) -> list[Radiotherapy]:
    return [one for one in regimen.radiotherapy if one.density_guided_day is not None]


def with_guided_targets(twin: Twin, regimen: Regimen) -> Twin:
    """A twin that knows the density-guided targets of a regimen; the same one without any.

    Raises
    ------
    InvalidInput
        As `check_guided`; a patient without a mesh; a target that the density cannot choose.
    """
    courses = _guided(regimen)
    if not courses:
        return twin
    check_guided(regimen, twin.calendar)
    if not twin.model.grows:
        raise InvalidInput(
            "A density-guided target needs a model that grows, by which the density is predicted; "
            "this patient's does not: leave density_guided out."
        )
    if not hasattr(twin, "mesh"):
        raise InvalidInput(
            "A density-guided target needs the patient with its mesh, on which the density is "
            "predicted; load it with twin.load."
        )
    plain = twin.replace(guided={}, setup=None)
    return twin.replace(guided={one.guided_key: _target(plain, regimen, one) for one in courses})


def _target(twin: Twin, regimen: Regimen, course: Radiotherapy) -> GuidedTarget:
    from solvers.finite_element import NUMERICS_VERSION

    operations, day = Regimen(*regimen.resections), float(course.density_guided_day or 0.0)
    parts = {
        "twin": twin.content_hash,
        "parameters": {name: twin.parameters.value(name) for name in twin.parameters},
        "operations": operations.as_dict(),
        "target": course.guided_key,
        "numerics": NUMERICS_VERSION,
    }
    key = json.dumps(parts, sort_keys=True)
    with _lock:
        if key not in _found:
            while len(_found) >= _REMEMBERED_AT_MOST:
                _found.popitem(last=False)
            density = living_density(twin, operations, day)
            _found[key] = guided_target(twin, course, density, day)
        return _found[key]


def living_density(twin: Twin, operations: Regimen, day: float) -> NDArray[np.float32]:
    """Density of living cells on a day, by carrying capacity [1], shape of the twin's grid.

    Parameters
    ----------
    twin : Twin
    operations : Regimen
        What is given until then.
    day : float, [day]

    Notes
    -----
    In the middle of each voxel of an element in which tumour can live; brain tissue that lies
    just outside of such elements has the density of the nearest voxel inside.
    """
    # assembles on a mesh; what only asks whether there is a guided target needs none of it
    from solvers.finite_element import FiniteElementSolver
    from solvers.models import compose
    from solvers.prepared import prepare
    from twin.meshing.voxel_cells import cells_at_voxels, linear_at

    model = compose(twin.model)
    names = tuple(model.names[k] for k in model.alive)
    solver = FiniteElementSolver()
    run = solver.solve(
        twin, operations, sorted({0.0, day}), save=Save(fields_at=(day,), species=names)
    )
    at_nodes = np.sum([run[f"{name}_density"].values[0] for name in names], axis=0)
    removed = tuple(
        event.structure
        for event in operations.schedule(twin.calendar).resections
        if event.day <= day
    )
    active = prepare(twin).active_cells(removed)
    cells = twin.mesh.cells[active]
    mesh = Mesh(twin.mesh.points, cells, np.zeros(len(cells), np.int16), {0: "living"})
    cell = cells_at_voxels(mesh, twin.grid.shape, twin.grid.affine)
    inside = cell >= 0
    where = np.argwhere(inside) @ twin.grid.affine[:3, :3].T + twin.grid.affine[:3, 3]
    density = np.zeros(twin.grid.shape, np.float32)
    density[inside] = np.maximum(linear_at(mesh, at_nodes, cell[inside], where)[0], 0.0)
    distance, nearest = ndimage.distance_transform_edt(~inside, return_indices=True)
    beside = (twin.tissues > FLUID) & ~inside & (distance <= _NEAR)
    density[beside] = density[tuple(axis[beside] for axis in nearest)]
    for name in removed:
        density[structure_mask(twin, name)] = 0.0
    return density
