"""Complication probabilities: closed forms, published figures, and when there is none."""

import json
import math
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
from fake_solver import FakeSolver
from plan_cases import RT, planned
from scipy.special import ndtr
from small_patient import PATIENT_TOML, write_small_patient

import twin
from scenarios.comparison import compare
from scenarios.complications import (
    GEOMETRIC,
    NO_DOSE,
    NO_FIT,
    Complications,
    load_complications,
    organ_complications,
)
from scenarios.limit_files import packaged_limits
from scenarios.study import Study
from twin.anatomy import read_anatomy
from twin.dose import dose_maps
from twin.errors import InvalidInput
from twin.regimen import Regimen
from twin.results import check_results, open_results
from twin.toml_file import check
from viz.cli import main
from viz.report_sections import organs_section

PLAN = replace(RT, dose="plan")
#: An earlier course, 10 Gy in 5 fractions.
EARLIER = """
[[history.radiotherapy]]
date = 2025-03-03
total_dose = "10 Gy"
fractions = 5
"""


def patient_with(folder, relative, more=""):
    """The small patient, with a dose that is `relative`(x in mm) times the prescribed 60 Gy."""
    toml = PATIENT_TOML + more + '\n[doses.plan]\nfile = "dose.nii.gz"\nprescribed = "60 Gy"\n'
    path = write_small_patient(folder, toml=toml)
    image = nib.load(folder / "tissues.nii.gz")
    x = image.affine[0, 3] + 2.0 * np.arange(image.shape[0])
    dose = np.broadcast_to(60.0 * relative(x)[:, None, None], image.shape)
    nib.save(nib.Nifti1Image(dose.astype(np.float32), image.affine), folder / "dose.nii.gz")
    return path


def even(x):
    return np.ones_like(x)


@pytest.fixture(scope="module")
def anatomy(tmp_path_factory):
    return read_anatomy(patient_with(tmp_path_factory.mktemp("even"), even))


# --- closed forms and published figures ----------------------------------------------------------


@pytest.mark.parametrize("fit", load_complications().complication, ids=lambda fit: fit.end_point)
def test_uniform_dose_by_hand(fit):
    doses = np.full(7, 50.0)
    z = (50.0 - fit.td50) / (fit.m * fit.td50)
    assert fit.probability(doses) == pytest.approx(float(ndtr(z)))
    assert fit.probability(np.full(7, fit.td50)) == pytest.approx(0.5, abs=1e-12)


def test_half_of_a_parallel_organ_at_one_dose():
    """The mean of n = 1: 60 Gy to half of it is 30 Gy, here (30 - 39.9)/(0.4 39.9) = -0.6203."""
    parotid = load_complications().of("parotid_left")
    assert parotid.n == 1.0
    half = np.array([60.0, 0.0, 60.0, 0.0])
    assert parotid.probability(half) == pytest.approx(0.26752, abs=1e-5)
    # n = 1/4: half of the brain at 80 Gy counts as 80/2^(1/4) = 67.272 Gy, z = 7.272/9
    brain = load_complications().of("brain_minus_target")
    assert brain.probability(np.array([80.0, 0.0])) == pytest.approx(float(ndtr(0.80796)), abs=1e-5)


def test_published_figures():
    """Of the abstracts: parotid 17-26 % at 25-30 Gy (Dijkema); cochlea 20 % at 32.82 Gy (Lee)."""
    parotid, cochlea = map(load_complications().of, ("parotid_right", "cochlea_left"))
    assert 100.0 * parotid.probability(np.array([25.0])) == pytest.approx(17.0, abs=1.0)
    assert 100.0 * parotid.probability(np.array([30.0])) == pytest.approx(26.0, abs=1.0)
    assert 100.0 * cochlea.probability(np.array([32.82])) == pytest.approx(20.0, abs=0.05)


@pytest.mark.parametrize(
    ("organ", "end_point", "fit"),
    [
        ("brain_minus_target", "necrosis or infarction", "Burman 1991"),
        ("Brain stem", "necrosis or infarction", "Burman 1991"),
        ("optic-chiasm", "blindness", "Burman 1991"),
        ("left cochlea", "tinnitus of grade 2 or more", "Lee 2015"),
    ],
)
def test_organs_are_known_by_name(organ, end_point, fit):
    found = load_complications().of(organ)
    assert (found.end_point, found.fit) == (end_point, fit)
    assert f"{end_point} ({fit}); {found.stated_by}: {found.statement}" == found.sentence
    assert load_complications().of("hippocampus_left") is None


def test_every_entry_has_two_sources():
    for fit in load_complications().complication:
        assert "et al." in fit.source
        assert "et al." in fit.statement_source


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("td50", "60", "complication 1, td50"),
        ("td50", "6000 Gy", "at most 200 Gy"),
        ("m", 0.0, "complication 1, m is 0.0"),
        ("n", math.nan, "complication 1, n is nan"),
        ("statement", None, '"statement" is missing'),
        ("TD50", "60 Gy", 'did you mean "td50"'),
    ],
)
def test_a_bad_entry_is_one_sentence(key, value, says):
    entry = load_complications().complication[0].model_dump(exclude={"td50"}) | {"td50": "60 Gy"}
    entry = {name: item for name, item in (entry | {key: value}).items() if item is not None}
    content = {"format": 1, "title": "one", "complication": [entry]}
    with pytest.raises(InvalidInput) as caught:
        check(Complications, content, where="complications.toml")
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(InvalidInput, match="no packaged limits/none"):
        packaged_limits(Complications, "none.toml")


# --- organs under a regimen ----------------------------------------------------------------------


def test_uniform_planned_dose(anatomy):
    """60 Gy in 30 fractions are 60 Gy EQD2 in every organ: z = (60 - 60)/9 and (60 - 65)/9.1."""
    found = organ_complications(anatomy, Regimen(PLAN))
    assert found["brain_minus_target"].probability == pytest.approx(0.5, abs=1e-5)
    assert found["brainstem"].probability == pytest.approx(float(ndtr(-5.0 / 9.1)), abs=1e-5)
    assert not any(one.reason for one in found.values())


def test_bins_are_eqd2_of_the_organ(anatomy):
    """40 Gy in 10 fractions are 40 (4 + 2)/(2 + 2) = 60 Gy EQD2 with an alpha/beta of 2 Gy."""
    short = replace(PLAN, total_dose_gy=40.0, fractions=10)
    found = organ_complications(anatomy, Regimen(short))
    assert found["brainstem"].probability == pytest.approx(float(ndtr(-5.0 / 9.1)), abs=1e-5)


def test_half_an_organ_by_its_voxels(tmp_path):
    """60 Gy where x > -8 mm, in the brainstem a ball about x = -8 mm: gEUD by counting voxels."""
    place = read_anatomy(patient_with(tmp_path, lambda x: (x > -8.0).astype(float)))
    points = np.stack(np.meshgrid(*[np.arange(-4, 5) * 2.0] * 3, indexing="ij"), axis=-1)
    x = points[np.linalg.norm(points, axis=-1) < 5.0][:, 0]
    geud = 60.0 * (x > 0.0).mean() ** 0.16
    found = organ_complications(place, Regimen(PLAN))["brainstem"]
    assert found.probability == pytest.approx(float(ndtr((geud - 65.0) / 9.1)), rel=1e-4)


def test_geometric_doses_give_none(anatomy, tmp_path):
    for regimen in (Regimen(RT), Regimen(PLAN, replace(RT, start_day=200.0))):
        for one in organ_complications(anatomy, regimen).values():
            assert not one.known
            assert one.reason == GEOMETRIC
    assert GEOMETRIC.count(".") - GEOMETRIC.count("...") * 3 == 1
    for one in organ_complications(anatomy, Regimen()).values():
        assert (one.known, one.reason) == (False, NO_DOSE)
    before = read_anatomy(patient_with(tmp_path / "geometric", even, EARLIER))
    assert organ_complications(before, Regimen(PLAN))["brainstem"].reason == GEOMETRIC
    assert organ_complications(before, Regimen())["brainstem"].reason == GEOMETRIC
    again = read_anatomy(patient_with(tmp_path / "planned", even, EARLIER + 'dose = "plan"\n'))
    # 10 Gy in 5 fractions and 60 in 30 are 70 Gy EQD2 together
    found = organ_complications(again, Regimen(PLAN))["brainstem"]
    assert found.probability == pytest.approx(float(ndtr(5.0 / 9.1)), abs=1e-5)


def test_a_grid_that_does_not_cover_the_organ(anatomy):
    covered = np.ones_like(anatomy.doses["plan"].covered)
    covered[anatomy.structures["brainstem"].mask] = False
    part = replace(anatomy.doses["plan"], covered=covered)
    place = replace(anatomy, doses={"plan": part})
    (plan,) = dose_maps(place, Regimen(PLAN))
    assert plan.d50_gy == pytest.approx(60.0)
    found = organ_complications(place, Regimen(PLAN))
    assert not found["brainstem"].known
    assert "'plan' covers 0.0 % of the organ" in found["brainstem"].reason


def test_an_organ_without_a_fit_says_so(anatomy):
    fits = load_complications()
    fewer = fits.model_copy(update={"complication": fits.complication[:1]})
    found = organ_complications(anatomy, Regimen(PLAN), fits=fewer)
    assert (found["brain_minus_target"].known, found["brainstem"].reason) == (True, NO_FIT)


# --- plan, study and comparison ------------------------------------------------------------------

STUDY = """\
format = 1
name = "by a plan"
patient = "patient.toml"
horizon = "90 day"
[[scenario]]
name = "planned"
[[scenario.radiotherapy]]
total_dose = "60 Gy"
fractions = 30
start = "7 day"
dose = "plan"
[[scenario]]
name = "geometric"
[[scenario.radiotherapy]]
total_dose = "60 Gy"
fractions = 30
start = "7 day"
margin = "2 mm"
[[case]]
name = "expected"
"""


def test_plan_shows_both_sources(tmp_path, capsys):
    patient_with(tmp_path, even)
    (tmp_path / "study.toml").write_text(STUDY, encoding="utf-8")
    assert main(["plan", str(tmp_path / "study.toml"), "--quiet"]) == 0
    text = capsys.readouterr().out
    words = " ".join(text.split())
    assert "brainstem: 29 % necrosis or infarction (Burman 1991); QUANTEC: < 5 % at 54 Gy" in words
    assert words.count("complication probability (NTCP) by a fit") == 1
    assert words.count(GEOMETRIC) == 1
    assert max(map(len, text.splitlines())) <= 100
    assert main(["plan", str(tmp_path / "study.toml"), "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    by_plan, geometric = (arm["organs"][1]["complication"] for arm in data["scenarios"])
    assert by_plan["probability"] == pytest.approx(float(ndtr(-5.0 / 9.1)), abs=1e-5)
    assert (by_plan["td50_gy"], by_plan["stated_by"]) == (65.0, "QUANTEC")
    assert (geometric["probability"], geometric["reason"]) == (None, GEOMETRIC)


def test_plan_of_geometric_doses_has_no_lines_of_it(anatomy):
    text = str(planned(anatomy, RT))
    assert "NTCP" not in text
    assert GEOMETRIC in " ".join(text.split())


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TWIN_CACHE", str(tmp_path_factory.mktemp("cache")))
        place = tmp_path_factory.mktemp("study")
        one = twin.load(patient_with(place, even))
        arms = {"planned": Regimen(PLAN), "geometric": Regimen(RT), "none": Regimen()}
        Study(arms, days=90.0).run(one, FakeSolver(), place / "results")
        yield open_results(place / "results")


def test_a_study_keeps_them(results):
    check_results(results)
    assert results["organ_ntcp"].dims == ("scenario", "organ")
    found = results["organ_ntcp"].sel(organ="brainstem").values
    assert found[0] == pytest.approx(float(ndtr(-5.0 / 9.1)), abs=1e-5)
    assert np.isnan(found[1:]).all()


def test_comparison_shows_them(results):
    comparison = compare(results)
    words = " ".join(str(comparison).split())
    assert "Complication probability (NTCP) by scenario" in words
    assert "brainstem (stylised) 29 % - -" in words
    assert "NTCP of brainstem: necrosis or infarction (Burman 1991); QUANTEC: < 5 % at" in words
    rows = {row["scenario"]: row for row in comparison.as_dict()["organs"]}
    head = "brainstem (stylised) NTCP [1]"
    assert rows["planned"][head] == pytest.approx(float(ndtr(-5.0 / 9.1)), abs=1e-5)
    assert rows["geometric"][head] is None
    json.dumps(comparison.as_dict(), allow_nan=False)
    page = str(organs_section(comparison))
    assert page.count("; 29 %") == 1
    assert "Then NTCP" in page


def test_none_is_shown_where_no_arm_has_any(results):
    without = results.isel(scenario=[1, 2]).assign_attrs(complications="{}")
    text = str(compare(without))
    assert "NTCP" not in text
    assert "NTCP" not in str(organs_section(compare(without)))


def test_older_results_compare(results, tmp_path):
    older = results.load().drop_vars("organ_ntcp")
    older.attrs = {name: value for name, value in results.attrs.items() if name != "complications"}
    older.to_netcdf(tmp_path / "old.nc", engine="h5netcdf")
    with open_results(tmp_path / "old.nc") as opened:
        comparison = compare(opened)
    assert "NTCP" not in str(comparison)
    assert comparison.organs.filter(like="NTCP").empty
