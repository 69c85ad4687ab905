"""Isotoxic arms: the factor of a dose against its closed form, and when there is none."""

import json
import math
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
from fake_solver import FakeSolver
from scipy.special import ndtri
from small_patient import PATIENT_TOML, write_small_patient
from test_tumour_control import course, with_uniform_dose

import twin
from scenarios.comparison import compare
from scenarios.isotoxic import Isotoxic
from scenarios.metrics import dose_per_fraction_of_bed
from scenarios.organs import organ_doses, organs_of
from scenarios.planning import plan_study
from scenarios.run import plan as runs_of
from scenarios.study import Scenario, Study
from scenarios.study_file import StudyFile
from twin.anatomy import read_anatomy
from twin.courses import Radiotherapy, Temozolomide
from twin.errors import InvalidInput
from twin.regimen import Regimen

STANDARD = Radiotherapy(total_dose_gy=60.0, fractions=30, start_day=7.0, dose="even")
SHORT = replace(STANDARD, total_dose_gy=40.05, fractions=15)
EARLIER = '\n[[history.radiotherapy]]\ndate = 2025-03-03\ntotal_dose = "10 Gy"\nfractions = 5\n'
TOML = (
    PATIENT_TOML
    + '\n[doses.even]\nfile = "even.nii.gz"\nprescribed = "60 Gy"\n'
    + '\n[doses.slope]\nfile = "slope.nii.gz"\nprescribed = "60 Gy"\n'
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The small patient, with an even dose and one that rises to the right."""
    place = tmp_path_factory.mktemp("isotoxic")
    write_small_patient(place, toml=TOML)
    image = nib.load(place / "tissues.nii.gz")
    x = image.affine[0, 3] + 2.0 * np.arange(image.shape[0])
    for name, relative in (("even", np.ones_like(x)), ("slope", 0.5 + 0.5 * (x + 28.0) / 34.0)):
        dose = np.broadcast_to(60.0 * relative[:, None, None], image.shape)
        nib.save(nib.Nifti1Image(dose.astype(np.float32), image.affine), place / f"{name}.nii.gz")
    return place


@pytest.fixture(scope="module")
def anatomy(folder):
    return read_anatomy(folder)


def study(rule, *courses, **more):
    arms = [Scenario("none", Regimen()), Scenario("standard", Regimen(STANDARD), "none")]
    arms += [Scenario(f"arm {k}", Regimen(one), "standard") for k, one in enumerate(courses)]
    return Study(arms, days=90.0, isotoxic=rule, **more)


def given(resolved, name):
    return resolved.scenario(name).regimen.radiotherapy[0]


@pytest.mark.parametrize("measure", ["eqd2 d0.03cc", "eqd2 mean", "ntcp"])
@pytest.mark.parametrize("fractions", [5, 15, 60])
def test_an_even_dose_by_the_quadratic_formula(anatomy, measure, fractions):
    """Any measure of an even dose is that of its BED: 120 Gy of 30 times 2 Gy at 2 Gy."""
    rule = Isotoxic(measure=measure, organ="brainstem", as_in="standard")
    other = replace(SHORT, fractions=fractions)
    found = given(study(rule, other).resolved(anatomy), "arm 0")
    each = dose_per_fraction_of_bed(60.0 * (1.0 + 2.0 / 2.0), fractions, 2.0)
    assert found.total_dose_gy == pytest.approx(each * fractions, abs=2e-4)
    assert found.fractions == fractions


def test_stated_values(anatomy):
    """54 Gy of EQD2; and 5 % where EQD2 is TD50 (1 + m Phi^-1(0.05)) of the brainstem's fit."""
    rule = Isotoxic(measure="eqd2 mean", organ="brainstem", value=54.0)
    found = study(rule, SHORT).resolved(anatomy)
    assert found.scenario("none") == Scenario("none", Regimen())
    assert given(found, "standard").total_dose_gy == pytest.approx(
        30.0 * (math.sqrt(8.2) - 1.0),
        abs=2e-4,  # d (1 + d/2) = 2 * 54/30
    )
    each = dose_per_fraction_of_bed(54.0 * 2.0, 15, 2.0)
    assert given(found, "arm 0").total_dose_gy == pytest.approx(15 * each, abs=2e-4)
    rule = Isotoxic(measure="ntcp", organ="brainstem", value=0.05)
    eqd2 = 65.0 * (1.0 + 0.14 * float(ndtri(0.05)))
    each = dose_per_fraction_of_bed(2.0 * eqd2, 15, 2.0)
    found = given(study(rule, SHORT).resolved(anatomy), "arm 0")
    assert found.total_dose_gy == pytest.approx(15 * each, abs=5e-4)


def test_earlier_courses_count(folder, anatomy):
    """EQD2 of 10 Gy in 5 fractions is 10 Gy where it was given: geometric, so measured here."""
    write_small_patient(folder / "treated", toml=TOML + EARLIER)
    for name in ("even", "slope"):
        (folder / "treated" / f"{name}.nii.gz").write_bytes(
            (folder / f"{name}.nii.gz").read_bytes()
        )
    treated = read_anatomy(folder / "treated")
    before = organ_doses(treated, Regimen())["brainstem"].mean_gy
    rule = Isotoxic(measure="eqd2 mean", organ="brainstem", value=40.0)
    found = given(study(rule, SHORT).resolved(treated), "arm 0")
    each = dose_per_fraction_of_bed((40.0 - before) * 2.0, 15, 2.0)
    assert before > 0.1
    assert found.total_dose_gy == pytest.approx(15 * each, abs=1e-3)


def test_the_worst_organ_is_nearest_to_its_limit(anatomy):
    """The even dose: brain 60/72, brainstem 60/54 of the limit, so the brainstem decides."""
    rule = Isotoxic(measure="eqd2 d0.03cc", as_in="standard")
    resolved = study(rule, replace(SHORT, dose="slope")).resolved(anatomy)
    assert resolved.scenario("standard").rescaled.organ == "brainstem"
    assert resolved.scenario("standard").regimen == Regimen(STANDARD)
    arm = resolved.scenario("arm 0")
    doses = organ_doses(anatomy, arm.regimen)
    shares = {"brainstem": doses["brainstem"].d003cc_gy / 54.0}
    shares["brain_minus_target"] = doses["brain_minus_target"].d003cc_gy / 72.0
    assert max(shares.values()) == pytest.approx(60.0 / 54.0, rel=1e-5)
    assert arm.rescaled.organ == max(shares, key=shares.get)


def test_boost_and_other_courses_are_rescaled_alike_and_drugs_are_not(patient):
    boosted = replace(
        STANDARD, dose=None, boost_target="enhancing", boost_total_dose_gy=75.0, total_dose_gy=50.0
    )
    later = replace(SHORT, dose=None, start_day=60.0, total_dose_gy=10.0)
    regimen = Regimen(boosted, later, Temozolomide())
    arms = [Scenario("standard", Regimen(replace(STANDARD, dose=None))), Scenario("two", regimen)]
    rule = Isotoxic(measure="eqd2 mean", organ="brainstem", as_in="standard")
    resolved = Study(arms, days=120.0, isotoxic=rule).resolved(patient)
    one, two = (resolved.scenario(name).regimen for name in ("standard", "two"))
    means = [organ_doses(patient, regimen)["brainstem"].mean_gy for regimen in (one, two)]
    assert means[1] == pytest.approx(means[0], rel=1e-5)
    first, second = two.radiotherapy
    factor = first.total_dose_gy / 50.0
    assert factor != 1.0
    assert first.boost_total_dose_gy == pytest.approx(75.0 * factor, abs=1e-4)
    assert second.total_dose_gy == pytest.approx(10.0 * factor, abs=1e-4)
    assert two.temozolomide == (Temozolomide(),)
    assert resolved.resolved(patient) is resolved


def test_both_doses_are_told_and_the_rescaled_one_is_hashed(patient):
    geometric = replace(STANDARD, dose=None), replace(SHORT, dose=None)
    arms = {"standard": Regimen(geometric[0]), "short": Regimen(geometric[1])}
    rule = Isotoxic(measure="eqd2 d0.03cc", organ="brain_minus_target", as_in="standard")
    plain, fair = (Study(arms, days=90.0, isotoxic=one) for one in (None, rule))
    resolved = fair.resolved(patient)
    total = given(resolved, "short").total_dose_gy
    # the reference's near-maximum is 60 Gy within the dose's unevenness: 15 fractions of 3.02 Gy
    assert total == pytest.approx(15 * dose_per_fraction_of_bed(120.0, 15, 2.0), rel=0.02)
    planned = runs_of(fair, patient, FakeSolver())
    stated = Study({**arms, "short": resolved.scenario("short").regimen}, days=90.0)
    again = runs_of(stated, patient, FakeSolver())
    assert planned.hash_of == again.hash_of
    assert planned.study_hash != again.study_hash
    assert (
        planned.hash_of[(1, 0, "fine")]
        != runs_of(plain, patient, FakeSolver()).hash_of[(1, 0, "fine")]
    )
    assert "isotoxic" not in json.dumps(plain.as_dict(patient))
    results = fair.run(patient, FakeSolver())
    d003 = results["organ_eqd2_d003cc"].sel(organ="brain_minus_target").values
    assert d003[0] == pytest.approx(d003[1], rel=1e-5)
    texts = [" ".join(str(plan_study(fair, patient)).split()), fair.describe(patient)]
    texts.append(" ".join(compare(results).as_text(10_000).split()))
    for text in texts:
        assert f"{total:.2f} Gy in 15 fractions of {total / 15:.3f} Gy instead of the" in text
        assert "prescribed 40.05 Gy in fractions of 2.67 Gy" in text
        assert "Isotoxic: the radiotherapy of every arm is rescaled" in text
        assert "Isotoxic: the prescribed dose is kept" in text
    evidence = json.loads(results.attrs["evidence"])
    assert "alpha_beta_brain" in evidence["short"]
    assert "alpha_beta_brain" not in evidence["standard"]
    assert not math.isnan(total)


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ({"organ": "liver", "as_in": "standard"}, "no such organ at risk; there are brain_minus"),
        ({"organ": "brainstem", "as_in": "none"}, "'none', which has no radiotherapy"),
        ({"organ": "brainstem", "as_in": "other"}, "no scenario 'other'"),
        ({"organ": "brainstem", "as_in": "standard", "value": 5.0}, "give one of the two"),
        ({"organ": "brainstem"}, "give one of the two"),
        ({"value": 54.0}, "No one EQD2 suits all organs"),
        ({"measure": "d50", "value": 54.0}, "The measure of isotoxic"),
        ({"organ": "brainstem", "value": 250.0}, "between 0 Gy and 200 Gy"),
        ({"organ": "brainstem", "value": math.nan}, "between 0 Gy and 200 Gy"),
        ({"measure": "ntcp", "organ": "brainstem", "value": 1.5}, "must lie between"),
    ],
)
def test_what_cannot_be_is_one_sentence(anatomy, rule, says):
    with pytest.raises(InvalidInput, match=says) as caught:
        study(Isotoxic(**{"measure": "eqd2 mean", **rule}), SHORT).resolved(anatomy)
    assert "\n" not in str(caught.value)


def test_no_dose_will_do(anatomy, folder):
    """A dose that hardly reaches the brainstem would have to be above 200 Gy."""
    rule = Isotoxic(measure="eqd2 mean", organ="brainstem", as_in="standard")
    many = replace(STANDARD, total_dose_gy=60.0, fractions=100, dose="slope")
    low = Isotoxic(measure="eqd2 mean", organ="brainstem", value=199.0)
    with pytest.raises(InvalidInput, match=r"'arm 0': .* at the highest dose allowed, 3.33 times"):
        study(low, many).resolved(anatomy)
    write_small_patient(folder / "before", toml=TOML + EARLIER.replace("10 Gy", "60 Gy"))
    for name in ("even", "slope"):
        (folder / "before" / f"{name}.nii.gz").write_bytes((folder / f"{name}.nii.gz").read_bytes())
    before = read_anatomy(folder / "before")
    few = Isotoxic(measure="eqd2 mean", organ="brainstem", value=0.5)
    with pytest.raises(InvalidInput, match=r"without a dose of this arm .* to be 0\.5"):
        study(few, SHORT).resolved(before)
    with pytest.raises(InvalidInput, match="lower bound in organs"):
        rule = Isotoxic(measure="ntcp", organ="brainstem", as_in="standard")
        study(rule, replace(SHORT, dose=None)).resolved(anatomy)


def test_the_study_file():
    table = {
        "format": 1,
        "patient": "patient.toml",
        "scenario": [{"name": "a"}],
        "isotoxic": {"organ": "brainstem", "measure": "ntcp", "value": "5 %"},
    }
    assert StudyFile.model_validate(table).study().isotoxic == Isotoxic(
        measure="ntcp", organ="brainstem", value=0.05
    )
    table["isotoxic"] = {"measure": "eqd2 d0.03cc", "as_in": "a"}
    rule = StudyFile.model_validate(table).study().isotoxic
    assert (rule.organ, rule.as_in) == ("worst", "a")
    table["isotoxic"] = {"measure": "eqd2 mean", "organ": "brainstem", "value": 54}
    with pytest.raises(Exception, match="has no unit"):
        StudyFile.model_validate(table)


def test_a_built_patient_gives_the_same_doses(folder, anatomy):
    rule = Isotoxic(measure="eqd2 d0.03cc", organ="brainstem", as_in="standard")
    fair = study(rule, SHORT)
    whole = twin.load(folder)
    assert fair.resolved(whole).scenarios[2].regimen == fair.resolved(anatomy).scenarios[2].regimen


def test_other_sites():
    """The prostate of the example: no growth, so no density and no such cases, but isotoxic arms.

    An even 74 Gy in 37 to the rectum, and 20 fractions of the same BED.
    """
    prostate = with_uniform_dose("prostate")
    (organ,) = [name for name in organs_of(prostate) if "rectum" in name]
    ratio = prostate.parameters.value(str(organs_of(prostate)[organ].parameter))
    long, short = course(74.0, 37), course(60.0, 20)
    rule = Isotoxic(measure="eqd2 mean", organ=organ, as_in="long")
    arms = {"long": Regimen(long), "short": Regimen(short)}
    found = given(Study(arms, days=120.0, isotoxic=rule).resolved(prostate), "short")
    each = dose_per_fraction_of_bed(74.0 * (1.0 + 2.0 / ratio), 20, ratio)
    assert found.total_dose_gy == pytest.approx(20.0 * each, abs=1e-3)
    with pytest.raises(InvalidInput, match="write cases of alpha_beta instead"):
        Study(arms, days=120.0, sensitivity=True).resolved(prostate)
    guided = replace(long, dose=None, density_guided_day=14.0)
    with pytest.raises(InvalidInput, match="needs a model that grows"):
        plan_study(Study({"a": Regimen(guided)}, days=120.0), prostate)
