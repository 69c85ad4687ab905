"""A target redrawn during a run on the run's own tumour."""

import json
from dataclasses import replace

import numpy as np
import pytest
from fake_solver import FakeSolver
from plan_cases import planned

from scenarios.study import Study
from scenarios.study_file import StudyFile
from solvers import DifferentiableRun, FiniteElementSolver
from solvers.batch import Request, solve_batch
from solvers.prepared import prepare
from solvers.redrawn_doses import tumour_voxels
from solvers.torch_executor import TorchSolver
from solvers.treatment import Treatment
from twin.courses import Radiotherapy
from twin.dose import dose_maps, redrawn_dose
from twin.errors import InvalidInput
from twin.protocol import Save
from twin.regimen import Regimen
from twin.replan import Replan
from twin.targets import structure_mask

#: Ten fractions, the last five by a plan on the tumour of day 5.375.
PLAIN = Radiotherapy(
    total_dose_gy=20.0, fractions=10, start_day=1.375, ctv_margin_mm=2.0, ptv_margin_mm=0.0
)
COURSE = replace(PLAIN, replans=(Replan(after_fraction=5, visible_on="flair"),))


@pytest.fixture(scope="module")
def replanned(patient):
    return FiniteElementSolver().solve(patient, Regimen(COURSE), [0.0, 30.0])


def test_voxels_of_a_linear_density(patient):
    """x >= 4 mm, whatever the elements."""
    density = (patient.mesh.points[:, 0] + 30.0) / 60.0
    found = tumour_voxels(patient, density, 34.0 / 60.0)
    x = patient.grid.to_world(np.argwhere(found))[:, 0]
    assert x.min() >= 4.0 - 1e-6
    inside = patient.tissues > 0
    voxels = np.argwhere(inside)
    expected = np.zeros(patient.grid.shape, bool)
    expected[inside] = patient.grid.to_world(voxels)[:, 0] >= 4.0 - 1e-6
    # the mesh's surface is not that of the voxels
    assert (found & expected).sum() > 0.97 * expected.sum()


def test_target_is_the_density_of_that_day(patient, replanned):
    """The density is linear in the elements: redrawn where it crosses FLAIR's threshold."""
    day = PLAIN.fraction_days(patient.calendar)[4]
    field = (
        FiniteElementSolver()
        .solve(patient, Regimen(COURSE), [day], save=Save(fields_at=(day,)))["tumour_density"]
        .values[0]
    )
    level = patient.parameters.value("threshold_flair")
    expected = tumour_voxels(patient, field.astype(np.float64), level)
    bits = np.unpackbits(replanned["redrawn_target"].values[0], count=patient.tissues.size)
    found = bits.reshape(patient.grid.shape).astype(bool)
    assert (found != expected).sum() <= 2  # the field is kept in single precision
    (said,) = json.loads(replanned.attrs["redrawn_targets"])
    assert said["course"] == 0
    assert (said["after_fraction"], said["day"]) == (5, day)
    assert said["volume_ml"] == pytest.approx(8e-3 * found.sum())


def test_dose_is_half_of_each_plan(patient, replanned):
    """Five fractions by the first plan and five by the second."""
    bits = np.unpackbits(replanned["redrawn_target"].values[0], count=patient.tissues.size)
    gross = bits.reshape(patient.grid.shape).astype(bool)
    twin = prepare(patient)
    (first,) = dose_maps(patient, Regimen(PLAIN))
    second = redrawn_dose(patient, COURSE, gross)
    from solvers.initial_state import at_nodes

    expected = 0.5 * (at_nodes(patient, first.total_gy) + at_nodes(patient, second.total_gy))
    np.testing.assert_allclose(replanned["dose"].values, expected, atol=1e-3)
    apart = np.abs(twin.dose_at_nodes(PLAIN) - expected)
    assert apart.max() > 2.0  # FLAIR is larger than the enhancing tumour


def test_redrawn_on_the_planned_target_changes_nothing(patient):
    """A tumour that is where the first plan was drawn is given the same dose again."""
    treatment = Treatment(prepare(patient), Regimen(COURSE), patient.parameters)
    fifth = treatment.schedule.fractions[4]
    inside = structure_mask(patient, "gtv")
    from solvers.initial_state import at_nodes

    density = at_nodes(patient, inside.astype(np.float32))
    treatment.redrawn.draw(fifth, density, patient.parameters.replace(threshold_flair=0.5))
    bits = treatment.redrawn.memory()["redrawn_target_1"]
    drawn = np.unpackbits(bits, count=inside.size).reshape(inside.shape).astype(bool)
    again = redrawn_dose(patient, COURSE, inside)
    (first,) = dose_maps(patient, Regimen(PLAIN))
    np.testing.assert_array_equal(again.total_gy, first.total_gy)
    assert 0.5 < drawn.sum() / inside.sum() < 2.0  # 2.6 mm elements about a ball of 6 mm


def test_before_the_replan_all_is_as_without(patient):
    times = [0.0, 5.0]
    one = FiniteElementSolver().solve(patient, Regimen(PLAIN), times)
    other = FiniteElementSolver().solve(patient, Regimen(COURSE), times)
    np.testing.assert_array_equal(one["tumour_burden"], other["tumour_burden"])
    assert "redrawn_target" not in other
    assert np.isnan(other["dose"]).all()  # what the last five fractions give is not known yet
    later = FiniteElementSolver().solve(patient, Regimen(PLAIN), [30.0])
    again = FiniteElementSolver().solve(patient, Regimen(COURSE), [30.0])
    assert float(again["tumour_burden"][-1]) < float(later["tumour_burden"][-1])


@pytest.mark.parametrize("day", [3.0, 6.0, 9.0])
def test_stopping_and_going_on_changes_nothing(patient, replanned, day):
    solver = FiniteElementSolver()
    state = solver.state(patient, Regimen(COURSE), day)
    rest = solver.solve(patient, Regimen(COURSE), [30.0], start=state)
    np.testing.assert_array_equal(rest["tumour_burden"][-1], replanned["tumour_burden"][-1])
    np.testing.assert_array_equal(rest["dose"], replanned["dose"])
    np.testing.assert_array_equal(rest["redrawn_target"], replanned["redrawn_target"])
    if state.memory is not None:
        with pytest.raises(InvalidInput, match=r"has no target redrawn on day 7\.375"):
            solver.solve(patient, Regimen(COURSE), [30.0], start=replace(state, memory=None))


def test_unrepaired_damage_knows_both_maps(patient):
    """Fractions 6 h apart about the replan: -ln S holds 2 beta d1 d2 exp(-mu 6 h)."""
    twice = replace(COURSE, fractions_per_day=2, replans=(Replan(after_fraction=1),))
    treatment = Treatment(prepare(patient), Regimen(twice), patient.parameters)
    first, second = treatment.schedule.fractions[:2]
    nodes = len(patient.mesh.points)
    density = np.zeros(nodes)
    density[np.linalg.norm(patient.mesh.points - [6.0, 2.0, 4.0], axis=1) < 8.0] = 1.0
    treatment.redrawn.draw(first, density, patient.parameters)
    d1, d2 = treatment.redrawn.each(0), treatment.redrawn.each(1)
    assert d1 is None  # the map of the course itself
    d1 = prepare(patient).dose_at_nodes(PLAIN) / 10
    alpha, beta = 0.036, 0.0036
    left = 0.5 ** (6.0 / 1.5)
    expected = -alpha * d2 - beta * d2**2 - 2.0 * beta * d1 * d2 * left
    found = np.log(treatment.surviving(second, {0: (1.0, 1.0)})[0])
    np.testing.assert_allclose(found, expected, atol=1e-6)


# --- before and after the run --------------------------------------------------------------------


def test_plan_says_what_it_does_not_know(patient):
    plan = planned(patient, COURSE)
    assert plan.arms[0].organs == ()
    text = " ".join(str(plan).split())
    assert "after fraction 5 the target is redrawn on the predicted tumour that FLAIR shows" in text
    assert "Organ doses are not known before the run" in text


def test_organ_doses_of_a_study_are_those_of_the_run(patient):
    study = Study(
        {"plain": Regimen(PLAIN), "replanned": Regimen(COURSE)}, days=20.0, fields_every_days=20.0
    )
    results = study.run(patient, FiniteElementSolver())
    mean = results["organ_eqd2_mean"].sel(organ="brain_minus_target")
    plain, other = mean.values
    assert other > plain > 0.0
    assert "replanned" in results.attrs["organ_caveat"]
    unknown = study.run(patient, FakeSolver())["organ_eqd2_mean"]
    assert np.isnan(unknown.sel(scenario="replanned")).all()
    assert float(unknown.sel(organ="brain_minus_target", scenario="plain")) == plain


def test_file_hash_and_what_is_kept(patient):
    table = {
        "format": 1,
        "patient": "patient.toml",
        "scenario": [
            {
                "name": "adaptive",
                "radiotherapy": [
                    {
                        "total_dose": "60 Gy",
                        "fractions": 30,
                        "start": "7 day",
                        "replan": [{"after_fraction": 15, "visible_on": "flair", "above": 0.2}],
                    }
                ],
            }
        ],
    }
    (course,) = StudyFile.model_validate(table).study().scenarios[0].regimen.radiotherapy
    assert course.replans == (Replan(after_fraction=15, visible_on="flair", above=0.2),)
    kept = Regimen(course).as_dict()
    assert json.loads(json.dumps(kept))[0]["replans"] == [
        {"after_fraction": 15, "visible_on": "flair", "above": 0.2}
    ]
    assert Regimen.from_dict(json.loads(json.dumps(kept))) == Regimen(course)
    assert "replans" not in Regimen(PLAIN).as_dict()[0]


# --- refusals ------------------------------------------------------------------------------------


def test_other_executors_refuse(patient):
    regimen = Regimen(COURSE)
    with pytest.raises(InvalidInput, match="tensor executor redraws no target"):
        TorchSolver(device="cpu").solve(patient, regimen, [1.0])
    with pytest.raises(InvalidInput, match="gradient redraws no target"):
        DifferentiableRun(patient, regimen, [1.0])
    with pytest.raises(InvalidInput, match="batch redraws no target"):
        solve_batch(patient, [Request(regimen, patient.parameters)], [1.0])


def test_no_tumour_to_draw_on(patient):
    with pytest.raises(InvalidInput, match=r"no tumour is above a density of 0\.999") as caught:
        FiniteElementSolver().solve(
            patient,
            Regimen(replace(COURSE, replans=(Replan(after_fraction=5, above=0.999),))),
            [30.0],
        )
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"replans": (Replan(after_fraction=10),)}, "one at least has to follow"),
        ({"replans": (Replan(after_fraction=5), Replan(after_fraction=5))}, "rising order"),
        ({"dose": "plan"}, "leave out the planned dose"),
        ({"boost_target": "enhancing", "boost_total_dose_gy": 25.0}, "leave out the boost"),
        (
            {"missed": (1, 2, 3, 4, 5), "compensation": "none"},
            "but of 5 that are given one at least has to follow",
        ),
    ],
)
def test_courses_that_cannot_be_replanned(changes, says):
    with pytest.raises(InvalidInput, match=says):
        replace(COURSE, **changes)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"after_fraction": 0}, "numbered from 1"),
        ({"after_fraction": 3, "above": 1.0}, "between 0 and 1"),
        ({"after_fraction": 3, "visible_on": "t2"}, "may be 't1gd' or 'flair'"),
    ],
)
def test_bad_replans(options, says):
    with pytest.raises(InvalidInput, match=says):
        Replan(**options)


def test_error_bars_and_mass_effect_go_along(patient):
    """Every mesh redraws on its own tumour; a state holds the moved tissue and the dose."""
    from twin.model_choice import ModelChoice

    bars = FiniteElementSolver().solve(patient, Regimen(COURSE), [0.0, 20.0], error_bars=True)
    assert "redrawn_target" in bars
    assert (bars["tumour_volume_soft_mesh_spread"].values[:, -1] > 0.0).all()
    pushing = patient.replace(model=ModelChoice(mass_effect=True))
    solver = FiniteElementSolver(step_day=2.0)
    whole = solver.solve(pushing, Regimen(COURSE), [20.0])
    state = solver.state(pushing, Regimen(COURSE), 10.0)
    assert {"redrawn_dose_1", "mass_effect_days"} <= set(state.memory)
    rest = solver.solve(pushing, Regimen(COURSE), [20.0], start=state)
    np.testing.assert_array_equal(rest["tumour_burden"], whole["tumour_burden"])


def test_several_ranks_refuse(patient):
    from solvers.march import March, Stepping
    from solvers.models import compose
    from solvers.shares import Alone

    with pytest.raises(InvalidInput, match="several ranks redraws no target"):
        March(
            prepare(patient), patient, Regimen(COURSE), None, model=compose(patient.model),
            stepping=Stepping(), profile="settled", clip=True, share=Alone(),
        )  # fmt: skip
