"""Results of a study from the results of its runs."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from scenarios import organs
from scenarios.complications import OrganComplication, organ_complications
from scenarios.evidence import evidence_of
from scenarios.extinction import extinction
from scenarios.lesion_sizes import lesion_sizes
from scenarios.organ_cases import organ_evidence, organs_by_case
from scenarios.redrawn import REDRAWN, has_replans, redrawn_targets
from scenarios.tumour_control import control_of
from solvers import error_bars, fewest_cells
from solvers.error_bars import MeshEdges
from solvers.guided_targets import with_guided_targets
from solvers.mesh_error import CURVES, with_error_bars
from twin import response
from twin.beams import CAVEAT as BEAMS
from twin.errors import InvalidInput
from twin.packaged_numbers import with_numbers_in_use
from twin.regimen import Regimen
from twin.results import (
    DENSITY_STEP,
    DOSE_STEP,
    RESEARCH_USE_ONLY,
    describe_variables,
    rounded_to_step,
)

if TYPE_CHECKING:
    import xarray as xr

    from scenarios.study import Study
    from twin.patient import Twin

__all__ = ["MESHES", "gather"]

#: What a scenario and case is run on: the study mesh, two coarser ones for the error in space,
#: and the coarsest with every step halved for the error in time.
MESHES = ("fine", "coarse", "coarsest", "halved steps")
#: A run by scenario number, case number and one of `MESHES`; None where there is none.
RunOf = Callable[[int, int, str], "xr.Dataset | None"]

#: Said of the rule of progression at sites other than the brain.
NOT_OF_THE_SITE = (
    " It is the rule for tumours of the brain, kept here so that volumes compare; RECIST 1.1, of "
    "this site, goes by diameters."
)
#: What a run has at every node or element, which a study keeps of few runs.
FIELDS = ("tumour_density", "dose", "displacement", "von_mises", fewest_cells.FIELD)


def gather(
    study: Study,
    twin: Twin,
    run_of: RunOf,
    edges: MeshEdges,
) -> xr.Dataset:
    """Results of every scenario and case, by the result schema.

    Parameters
    ----------
    study : Study
    twin : Twin
    run_of : callable
        The run of a scenario number and case number on one of `MESHES`; "halved steps" may be
        None. Densities are read from the first case on the fine mesh only.
    edges : MeshEdges

    Returns
    -------
    xarray.Dataset
        In memory, with units everywhere.
    """
    import xarray as xr

    scenarios, cases = len(study.scenarios), len(study.cases)
    first = _required(run_of(0, 0, MESHES[0]))
    arms = [[_arm(run_of, i, j, edges) for j in range(cases)] for i in range(scenarios)]
    levels = [str(name) for name in first["threshold"].values]

    data: dict[str, Any] = {}
    names = [f"{curve}{end}" for curve in CURVES for end in ("", "_error", "_mesh_spread")]
    moved = [name for name in ("largest_displacement", "effector_cells") if name in first]
    for name in (*names, "observed_order", *moved):
        values = np.array([[arm.fine[name].values for arm in row] for row in arms], np.float64)
        data[name] = (("scenario", "case", *arms[0][0].fine[name].dims), values)
    data.update(_response(study, twin, arms, edges))
    twins = [with_guided_targets(twin, scenario.regimen) for scenario in study.scenarios]
    by_course = [
        organs.course_effects(
            one,
            scenario.regimen,
            redrawn=redrawn_targets(_required(run_of(i, 0, MESHES[0])), one)
            if has_replans(scenario.regimen)
            else None,
        )
        for i, (one, scenario) in enumerate(zip(twins, study.scenarios, strict=True))
    ]
    effects = [
        organs.organ_eqd2(one, scenario.regimen, effects=of)
        for one, scenario, of in zip(twins, study.scenarios, by_course, strict=True)
    ]
    data.update(_treatment(study, twin, effects))
    data.update(_recovered_doses(twin, study, by_course, effects))
    risks = [
        organ_complications(one, scenario.regimen, effect=effect)
        for one, scenario, effect in zip(twins, study.scenarios, effects, strict=True)
    ]
    data["organ_ntcp"] = (
        ("scenario", "organ"),
        np.array([[one.probability for one in arm.values()] for arm in risks]),
    )
    if not twin.model.grows:
        data.update(_control(study, twin))
    data.update(organs_by_case(study, twins, risks))
    data.update(_fields(run_of, scenarios))
    data.update(lesion_sizes(study, twin, data["tumour_density"][1]))
    data.update(extinction(study, twin, lambda i, j: _required(run_of(i, j, MESHES[0]))))
    data["mesh"] = ((), np.int32(0))
    data["cells"] = (("cell", "vertex"), twin.mesh.cells)
    data["cell_label"] = (("cell",), twin.mesh.cell_label)

    at_risk = organs.organs_of(twin)
    coordinates: dict[str, Any] = {
        "scenario": [scenario.name for scenario in study.scenarios],
        "case": [case.name for case in study.cases],
        "threshold": levels,
        "threshold_level": ("threshold", first["threshold_level"].values),
        "organ": list(at_risk),
        "organ_stylised": ("organ", np.array([o.stylised for o in at_risk.values()], np.int8)),
        "organ_alpha_beta": (
            "organ",
            np.array([twin.parameters.value(str(o.parameter)) for o in at_risk.values()], float),
        ),
        "time": first["time"].values,
        "field_time": first["field_time"].values,
    }
    for axis, column in zip("xyz", twin.mesh.points.T, strict=True):
        coordinates[f"node_{axis}"] = ("node", column)
    results = xr.Dataset(data, coordinates, attrs=_attrs(study, twin, first, edges))
    if any(one.dose for arm in study.scenarios for one in arm.regimen.radiotherapy):
        results.attrs["organ_evidence"] = organ_evidence(twin)
    results.attrs["complications"] = json.dumps(_fits(risks), ensure_ascii=False)
    return describe_variables(results)


@dataclass(frozen=True, slots=True)
class _Arm:
    """The runs of one scenario and case, the one on the study mesh with its error bars."""

    fine: xr.Dataset
    coarse: xr.Dataset
    coarsest: xr.Dataset
    halved: xr.Dataset | None


def _arm(run_of: RunOf, i: int, j: int, edges: MeshEdges) -> _Arm:
    fine, coarse, coarsest = (_required(run_of(i, j, mesh)) for mesh in MESHES[:3])
    halved = run_of(i, j, MESHES[3])
    fine = fine.drop_vars(FIELDS, errors="ignore")
    return _Arm(with_error_bars(edges, fine, coarse, coarsest, halved), coarse, coarsest, halved)


def _required(run: xr.Dataset | None) -> xr.Dataset:
    if run is None:
        raise InvalidInput("A run of the study is missing; run the study again with --resume.")
    return run


def _response(study: Study, twin: Twin, arms: list[list[_Arm]], edges: MeshEdges) -> dict[str, Any]:
    shape = len(arms), len(arms[0]), arms[0][0].fine.sizes["threshold"]
    least, day, reached, error, spread = (np.empty(shape) for _ in range(5))
    for i, scenario in enumerate(study.scenarios):
        start = study.assessed_from(scenario, twin)
        for j, arm in enumerate(arms[i]):
            for k in range(shape[2]):
                curve = arm.fine["tumour_volume_soft"].values[k]
                lowest = response.nadir(study.times, curve, start_day=start)
                least[i, j, k], day[i, j, k] = lowest.volume_mm3, lowest.day
                if not twin.model.grows:  # no tumour comes back that does not grow
                    reached[i, j, k] = error[i, j, k] = spread[i, j, k] = math.nan
                    continue
                reached[i, j, k] = response.time_to_progression(study.times, curve, start_day=start)
                error[i, j, k], spread[i, j, k] = _progression_errors(study, arm, k, start, edges)
    dims = ("scenario", "case", "threshold")
    return {
        "nadir_volume_soft": (dims, least),
        "nadir_day": (dims, day),
        "time_to_progression": (dims, reached),
        "time_to_progression_error": (dims, error),
        "time_to_progression_mesh_spread": (dims, spread),
    }


def _progression_errors(
    study: Study, arm: _Arm, threshold: int, start: float, edges: MeshEdges
) -> tuple[float, float]:
    """Error bar and mesh spread of the time to progression, [day].

    Beyond the horizon counts as the horizon; the bar is not a number where the run is not
    asymptotic.
    """
    checks = error_bars.check_times(study.times)
    checked = study.times[checks]

    def progression(run: xr.Dataset, times: NDArray[np.float64], at: Any = slice(None)) -> float:
        curve = run["tumour_volume_soft"].values[threshold][at]
        return min(response.time_to_progression(times, curve, start_day=start), study.days)

    fine, coarse = (progression(run, study.times) for run in (arm.fine, arm.coarse))
    # At the times of checks, so that sampling is the same on both sides.
    seen, coarsest = progression(arm.fine, checked, checks), progression(arm.coarsest, checked)
    space = max(
        float(error_bars.space_error(fine, coarse, fine, edges)),
        float(error_bars.space_error(seen, seen, coarsest, edges)),
    )
    halved = coarsest if arm.halved is None else progression(arm.halved, checked)
    bar = error_bars.SAFETY * (space + 4.0 / 3.0 * abs(halved - coarsest))
    known = bool(error_bars.is_asymptotic(arm.fine["observed_order"].values))
    return bar if known else math.nan, max(abs(coarse - fine), abs(coarsest - seen))


def _treatment(
    study: Study, twin: Twin, effects: list[dict[str, NDArray[np.float64]]]
) -> dict[str, Any]:
    doses = [
        organs.organ_doses(twin, scenario.regimen, effect=effect)
        for scenario, effect in zip(study.scenarios, effects, strict=True)
    ]
    fractions = [scenario.regimen.schedule(twin.calendar).fractions for scenario in study.scenarios]
    longest = max(1, *(len(one) for one in fractions))
    days = np.full((len(fractions), longest), math.nan)
    amounts = days.copy()
    for i, one in enumerate(fractions):
        days[i, : len(one)] = [event.day for event in one]
        amounts[i, : len(one)] = [event.dose_gy for event in one]
    return {
        "organ_eqd2_mean": (
            ("scenario", "organ"),
            np.array([[dose.mean_gy for dose in arm.values()] for arm in doses]),
        ),
        "organ_eqd2_d003cc": (
            ("scenario", "organ"),
            np.array([[dose.d003cc_gy for dose in arm.values()] for arm in doses]),
        ),
        "fraction_day": (("scenario", "fraction"), days),
        "fraction_dose": (("scenario", "fraction"), amounts),
    }


def _recovered_doses(
    twin: Twin,
    study: Study,
    by_course: list[list[organs.CourseEffect]],
    effects: list[dict[str, NDArray[np.float64]]],
) -> dict[str, Any]:
    """Organ doses with recovery between courses; nothing where no arm is credited any."""
    left = [
        organs.organ_eqd2_recovered(twin, scenario.regimen, effects=of)
        for scenario, of in zip(study.scenarios, by_course, strict=True)
    ]
    if all(one is None for one in left):
        return {}
    doses = [
        organs.organ_doses(twin, scenario.regimen, effect=whole if one is None else one)
        for scenario, whole, one in zip(study.scenarios, effects, left, strict=True)
    ]
    return {
        f"organ_eqd2_{name}_recovered": (
            ("scenario", "organ"),
            np.array([[getattr(dose, f"{name}_gy") for dose in arm.values()] for arm in doses]),
            {"units": "Gy", "long_name": f"{words} less recovery between courses (assumed)"},
        )
        for name, words in (
            ("mean", "mean EQD2"),
            ("d003cc", "least EQD2 in the hottest 0.03 cubic centimetres"),
        )
    }


def _control(study: Study, twin: Twin) -> dict[str, Any]:
    """Probability of tumour control of every scenario and case, where nothing grows."""
    found = [
        [
            control_of(
                twin.replace(parameters=case.parameters(twin.parameters), setup=case.setup),
                scenario.regimen,
            )
            for case in study.cases
        ]
        for scenario in study.scenarios
    ]
    most = max(len(one.draws) for row in found for one in row)
    draws = np.array(
        [[one.draws or (math.nan,) * most for one in row] for row in found], np.float64
    )
    dims = ("scenario", "case")
    known = {
        "tumour_control": (dims, np.array([[one.patient for one in row] for row in found])),
        "tumour_control_population": (
            dims,
            np.array([[one.population for one in row] for row in found]),
        ),
    }
    return known | ({"tumour_control_draws": ((*dims, "draw"), draws)} if most else {})


def _fits(risks: list[dict[str, OrganComplication]]) -> dict[str, Any]:
    """The fit, and what is stated beside it, of every organ that has a probability in any arm."""
    return {
        name: one.fit.record() | {"sentence": one.fit.sentence}
        for arm in risks
        for name, one in arm.items()
        if one.known and one.fit is not None
    }


def _fields(run_of: RunOf, scenarios: int) -> dict[str, Any]:
    runs = [_required(run_of(i, 0, MESHES[0])) for i in range(scenarios)]
    density = np.empty((scenarios, *runs[0]["tumour_density"].shape), np.float32)
    for i, run in enumerate(runs):
        density[i] = rounded_to_step(run["tumour_density"].values, DENSITY_STEP)
    dims = ("scenario", "field_time", "node")
    found: dict[str, Any] = {
        "tumour_density": (dims, density, {"rounded_to_multiples_of": DENSITY_STEP})
    }
    if all("dose" in run for run in runs):
        dose = np.stack([run["dose"].values.astype(np.float32) for run in runs])
        found["dose"] = (
            ("scenario", "node"),
            rounded_to_step(dose, DOSE_STEP),
            {"rounded_to_multiples_of": DOSE_STEP},
        )
    return found


def _attrs(study: Study, twin: Twin, first: xr.Dataset, edges: MeshEdges) -> dict[str, Any]:
    given = Regimen(*(course for one in study.scenarios for course in one.regimen.courses))
    regimens = [scenario.regimen for scenario in study.scenarios]
    more = [REDRAWN] if any(map(has_replans, regimens)) else []
    more += [BEAMS] if any(course.beams for one in regimens for course in one.radiotherapy) else []
    return {
        "title": study.name,
        "research_use_only": RESEARCH_USE_ONLY,
        "twin_hash": twin.content_hash,
        "reference_date": twin.calendar.reference_date.isoformat(),
        "seed": study.seed,
        "study": json.dumps(study.as_dict(twin), ensure_ascii=False),
        "regimen": json.dumps({s.name: s.regimen.as_dict() for s in study.scenarios}),
        "parameters": json.dumps(
            with_numbers_in_use(twin.parameters, given, twin.model).as_dict(), ensure_ascii=False
        ),
        "evidence": json.dumps({s.name: evidence_of(s, twin) for s in study.scenarios}),
        "options": first.attrs.get("options", "{}"),
        "versions": first.attrs.get("versions", "{}"),
        "label_names": json.dumps({str(k): v for k, v in twin.mesh.label_names.items()}),
        "fields_case": study.cases[0].name,
        "fields": (
            f"Densities are of the case {study.cases[0].name!r}, rounded to multiples of "
            f"{DENSITY_STEP:g}; those of the other cases are in runs/."
        ),
        "edge_near_tumour_mm": edges.fine_mm,
        "coarse_edge_near_tumour_mm": edges.coarse_mm,
        "coarsest_edge_near_tumour_mm": edges.coarsest_mm,
        "numerical_error_rule": error_bars.RULE,
        "progression_rule": response.PROGRESSION_RULE
        + ("" if twin.parameters.site.is_brain else NOT_OF_THE_SITE),
        "organ_caveat": " ".join(part for part in (organs.caveat(twin), *more) if part),
        **(
            {}
            if twin.parameters.site.is_brain
            else {"site": json.dumps(twin.parameters.site.as_dict(), ensure_ascii=False)}
        ),
    }
