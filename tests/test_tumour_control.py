"""Probabilities of tumour control against closed forms, and what is refused."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from scenarios.metrics import population_control
from scenarios.study import Case, Study
from scenarios.tumour_control import DRAWS, control_of, regrown_bed
from solvers.radiosensitivity import check_basis
from twin.anatomy import read_anatomy
from twin.courses import Drug, Hyperthermia, Radiotherapy, Resection
from twin.dose import dose_maps
from twin.errors import InvalidInput
from twin.examples import data_folder
from twin.model_choice import ModelChoice
from twin.parameters import load_parameter_set
from twin.planned_dose import PlannedDose
from twin.regimen import Regimen

TAXANE = Drug(name="paclitaxel", schedule="80 mg/m2 day 1 of 7, 3 cycles", start_day=14)
EXAMPLES = Path(str(data_folder())) / "examples"


def with_uniform_dose(name):
    """An example's anatomy with a plan whose dose is the prescription everywhere."""
    anatomy = read_anatomy(EXAMPLES / name / "patient.toml")
    everywhere = np.ones(anatomy.grid.shape)
    plan = PlannedDose(everywhere.astype(np.float32), everywhere.astype(bool))
    return replace(anatomy, doses={"flat": plan})


@pytest.fixture(scope="module")
def prostate():
    return with_uniform_dose("prostate")


def course(total, fractions, **more):
    return Radiotherapy(total_dose_gy=total, fractions=fractions, start_day=14, dose="flat", **more)


def gross_mm3(anatomy):
    mask = anatomy.structures["enhancing"].mask | anatomy.structures["necrosis"].mask
    return mask.sum() * anatomy.grid.voxel_mm3


@pytest.mark.parametrize(("total", "fractions"), [(74.0, 37), (60.0, 20)])
def test_control_of_a_uniform_dose_is_poisson_and_its_average(prostate, total, fractions):
    """CHHiP's arms: exp(-N exp(-n (alpha d + beta d^2))), and its mean over N(0.15, 0.0225)."""
    found = control_of(prostate, Regimen(course(total, fractions)))
    cells, each = 1e3 * gross_mm3(prostate), total / fractions
    left = cells * math.exp(-fractions * (0.15 * each + 0.15 / 3.1 * each**2))
    assert found.clonogens == pytest.approx(cells)
    assert found.patient == pytest.approx(math.exp(-left), rel=1e-4)
    bed = total * (1.0 + each / 3.1)
    expected = population_control(cells, bed, alpha_mean=0.15, alpha_sd=0.0225, truncated=True)
    assert found.population == pytest.approx(expected, abs=2e-3)
    assert found.low < found.population < found.high
    assert len(found.draws) == DRAWS
    assert control_of(prostate, Regimen(course(total, fractions))).draws == found.draws


def test_control_of_a_map_is_the_product_over_its_voxels(prostate):
    conformal = Regimen(
        Radiotherapy(total_dose_gy=30, fractions=10, start_day=7, ctv_margin_mm=0, ptv_margin_mm=0)
    )
    mask = prostate.structures["enhancing"].mask
    each = dose_maps(prostate, conformal)[0].per_fraction_gy[mask].astype(float)
    assert np.ptp(each) > 0.05
    probability = 1.0
    few = prostate.parameters.replace(clonogen_density=10.0, alpha=0.3)
    for dose in each:
        survival = math.exp(-10 * (0.3 * dose + 0.3 / 3.1 * dose**2))
        probability *= math.exp(-10.0 * prostate.grid.voxel_mm3 * survival)
    found = control_of(replace(prostate, parameters=few), conformal)
    assert found.patient == pytest.approx(probability, abs=1e-3)


def test_repopulation_and_two_fractions_a_day_are_in_it():
    neck = with_uniform_dose("head_and_neck")
    cells = 1e4 * gross_mm3(neck)
    once = control_of(neck, Regimen(course(70.0, 35)))
    # day 14 is a Monday: 46 days from the first to the last fraction, 18 after the kick-off
    left = cells * math.exp(-35 * (0.6 + 0.3 / 10.5 * 4.0) + math.log(2) * 18 / 3.5)
    assert once.patient == pytest.approx(math.exp(-left), rel=1e-3)
    assert regrown_bed(neck.parameters, 46.0) == pytest.approx(math.log(2) * 18 / (0.3 * 3.5))
    twice = control_of(neck, Regimen(course(81.6, 68, fractions_per_day=2)))
    # half of the fractions meet 2^-6 of the damage six hours before; 45.25 days in all
    unrepaired = 1.0 + 0.5**6
    kill = 68 * (0.3 * 1.2 + 0.3 / 10.5 * 1.44 * unrepaired)
    left = cells * math.exp(-kill + math.log(2) * (45.25 - 28) / 3.5)
    assert twice.patient == pytest.approx(math.exp(-left), rel=1e-4)


def test_large_fractions_are_straight_above_the_transition_dose():
    lung = with_uniform_dose("lung")
    weak = lung.parameters.replace(alpha=0.12)
    found = control_of(replace(lung, parameters=weak), Regimen(course(54.0, 3, every_days=2)))
    beta = 0.12 / 8.2
    kill = 0.12 * 16.4 + beta * 16.4**2 + (0.12 + 2 * beta * 16.4) * 1.6
    left = 1e4 * gross_mm3(lung) * math.exp(-3 * kill)
    assert found.patient == pytest.approx(math.exp(-left), rel=1e-3)


@pytest.mark.parametrize(
    ("courses", "reason"),
    [
        ((), "Without radiotherapy"),
        ((course(60.0, 20), TAXANE), "Drugs"),
        ((course(60.0, 20), Resection(day=7)), "Drugs and operations"),
        ((course(60.0, 20), Hyperthermia(temperature_c=41.0)), "Drugs and operations"),
    ],
)  # fmt: skip
def test_what_is_not_in_it_has_no_probability(prostate, courses, reason):
    found = control_of(prostate, Regimen(*courses))
    assert not found.known
    assert found.reason.startswith(reason)


def test_no_control_is_asked_of_a_model_that_grows(prostate):
    assert "grows" in control_of(replace(prostate, model=ModelChoice()), Regimen()).reason


def test_bases_and_repopulation_are_refused_where_they_do_not_belong():
    still, grows = ModelChoice(growth="none"), ModelChoice()
    neck, brain = load_parameter_set("head_and_neck"), load_parameter_set("glioblastoma")
    check_basis(neck, still)
    check_basis(brain, grows)
    with pytest.raises(InvalidInput, match='basis = "tumour control"'):
        check_basis(brain, still)
    with pytest.raises(InvalidInput, match='basis = "image"'):
        check_basis(neck, grows)
    imaged = neck.with_entry("alpha", basis="image")
    with pytest.raises(InvalidInput, match=r"repopulation_kickoff.*twice"):
        check_basis(imaged, grows)


def test_a_study_refuses_a_growing_model_with_a_radiosensitivity_of_cure(prostate):
    study = Study({"60 Gy": Regimen(course(60.0, 20))}, [Case("expected")], days=90)
    study.check(prostate)
    with pytest.raises(InvalidInput, match="tumour control"):
        study.check(replace(prostate, model=ModelChoice()))


@pytest.mark.parametrize(
    "more", [{"resistant": True}, {"oxygen": True}, {"mass_effect": True}, {"migration": "tensor"}]
)
def test_without_growth_nothing_acts_on_it(more):
    with pytest.raises(InvalidInput, match='growth = "none"'):
        ModelChoice(growth="none", **more)


def test_every_second_day_skips_weekends_and_leaves_hashes_of_daily_courses():
    calendar = read_anatomy(EXAMPLES / "lung" / "patient.toml").calendar
    every = Radiotherapy(total_dose_gy=50, fractions=5, start_day=14, every_days=2)
    assert every.fraction_days(calendar) == [14, 16, 18, 21, 23]
    assert "every_days" not in Regimen(replace(every, every_days=1)).as_dict()[0]
    assert Regimen.from_dict(Regimen(every).as_dict()) == Regimen(every)
    with pytest.raises(InvalidInput, match="every 0 days"):
        replace(every, every_days=0)
