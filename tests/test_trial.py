"""Virtual cohorts, the fit to one trial, frozen values, verdicts and the command."""

import datetime as dt
import json
import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from scenarios.scans import ScanCalendar
from scenarios.trials.cohort import draw_cohort, load_cohort_file
from scenarios.trials.fitting import fit_trial, fit_values, fitted_arms
from scenarios.trials.frozen import (
    Frozen,
    FrozenValue,
    load_frozen,
    read_frozen,
    refuse_double_counting,
    write_frozen,
)
from scenarios.trials.outcome import ArmSolver, interval_of_ratio, median_interval
from scenarios.trials.predict import predict_trials
from scenarios.trials.trial_file import Arm, Trial, load_trial, time_ratio, trial_names
from scenarios.trials.verdicts import Verdict, order_of
from twin.errors import InvalidInput, NotConverged
from twin.parameters import Parameter, ParameterSet, load_parameter_set
from twin.toml_file import check
from viz.cli import main

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "trials.md"
BASE = load_parameter_set("glioblastoma")
MONTH = 365.25 / 12.0


def verdict(published, predicted, *, claim="longer", use="tested", endpoint="survival"):
    return Verdict(
        trial="T", arms=("a", "b"), endpoint=endpoint, use=use, claim=claim,
        published=published, predicted=predicted,
    )  # fmt: skip


# --- files ------------------------------------------------------------------------------------


def test_every_trial_of_the_issue_is_there_and_one_alone_is_fitted_to():
    assert {"stupp", "perry", "walker", "dose_escalation"} <= set(trial_names())
    fitted = {
        name for name in trial_names() for one in load_trial(name).comparison if one.use == "fitted"
    }
    assert fitted == {"stupp"}
    for name in trial_names():
        assert re.match("(doi|calibrated|assumed):", load_trial(name).source)


def test_arms_are_treated_as_published():
    perry = load_trial("perry")
    course = perry.of("40.05 Gy in 15").regimen().radiotherapy[0]
    assert course.dose_per_fraction_gy == pytest.approx(2.67)
    with_drug = perry.of("40.05 Gy in 15 + temozolomide").regimen().temozolomide[0]
    assert (with_drug.max_concurrent_days, with_drug.cycles) == (21, 12)
    boosted = load_trial("dose_escalation").arm[1].regimen().radiotherapy[0]
    assert boosted.boost_total_dose_gy == 75.0


def test_published_ratios_and_their_errors():
    # Stupp: 6.9 (5.8 to 8.2) over 5.0 (4.2 to 5.5) months, errors of the logarithms added.
    stupp = load_trial("stupp")
    found = time_ratio(stupp, stupp.comparison[0])
    spread = math.hypot(math.log(8.2 / 5.8), math.log(5.5 / 4.2)) / 2.0
    assert found == pytest.approx((1.38, 1.38 / math.exp(spread), 1.38 * math.exp(spread)))
    # Walker: 35 over 14 weeks; no intervals, so 1/(ln 2 sqrt n) each, of 68 and 31 patients.
    walker = load_trial("walker")
    ratio, low, high = time_ratio(walker, walker.comparison[0])
    assert ratio == 2.5
    error = math.sqrt(1.0 / 68 + 1.0 / 31) / math.log(2.0)
    assert math.log(high / low) == pytest.approx(2.0 * 1.959964 * error)


def test_a_median_s_error_without_an_interval_is_that_of_exponential_times():
    rng = np.random.default_rng(3)
    medians = np.median(rng.exponential(1.0, (4000, 101)), axis=1)
    published = load_trial("walker").arm[0].published.survival
    assert np.log(medians).std() == pytest.approx(published.log_error(101), rel=0.05)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda c: c["arm"][1].update(name="60 Gy in 30"), "Two arms have one name"),
        (lambda c: c["comparison"][0].update(arms=["x", "60 Gy in 30"]), "'x', which is not"),
        (lambda c: c["arm"][0]["published"].pop("survival"), "has no published survival"),
        (lambda c: c["comparison"][0].update(ratio=1.2), "needs its interval"),
        (lambda c: c["scans"].update(evry="56 day"), 'did you mean "every"'),
        (lambda c: c["arm"][0]["radiotherapy"].update(total_dose="60"), "has no unit"),
    ],
)
def test_a_trial_s_file_that_does_not_hold_together_is_refused(change, complaint):
    import tomllib

    content = tomllib.loads((ROOT / "data" / "trials" / "stupp.toml").read_text("utf-8"))
    change(content)
    with pytest.raises(InvalidInput, match=complaint):
        check(Trial, content, where="trials/stupp.toml")


# --- the cohort -------------------------------------------------------------------------------


def test_patients_are_drawn_from_the_priors():
    cohort = draw_cohort(2000, seed=4)
    rate = cohort.values["proliferation_rate"]
    assert np.median(rate) == pytest.approx(0.03, rel=0.01)
    assert np.log(rate).std() == pytest.approx(0.9, rel=0.02)
    assert np.log(cohort.values["diffusivity_white"]).std() == pytest.approx(0.9, rel=0.02)
    # Volumes: log-normal about 30 ml, cut at 1 and 120 ml.
    volume = 4.0 / 3.0 * np.pi * cohort.outline_mm**3 / 1000.0
    assert 1.0 <= volume.min() < 3.0 and 110.0 < volume.max() <= 120.0
    assert np.median(volume) == pytest.approx(30.0, rel=0.06)
    # alpha goes as rho to the 0.68, with its own spread of 0.4 about that.
    slope, _ = np.polyfit(np.log(rate), np.log(cohort.factors["alpha"]), 1)
    assert slope == pytest.approx(0.68, abs=0.03)
    rest = np.log(cohort.factors["alpha"]) - 0.68 * np.log(rate / 0.03)
    assert rest.std() == pytest.approx(0.4, rel=0.03)
    # 45 % methylated; the others have a tenth to three tenths of the kill.
    assert cohort.methylated.mean() == pytest.approx(0.45, abs=0.001)
    kill = np.log(cohort.factors["temozolomide_kill"])
    ratio = math.exp(kill[~cohort.methylated].mean() - kill[cohort.methylated].mean())
    assert ratio == pytest.approx(0.19, abs=0.02)  # exp of the mean logarithm over 0.1 to 0.3


def test_a_seed_is_a_cohort_and_values_stay_in_their_ranges():
    one, same, other = (draw_cohort(50, seed=s) for s in (7, 7, 8))
    np.testing.assert_array_equal(one.outline_mm, same.outline_mm)
    assert not np.array_equal(one.outline_mm, other.outline_mm)
    for number in range(50):
        parameters = one.tumour(number, alpha=0.3, temozolomide_kill=0.019).parameters
        for name in ("alpha", "temozolomide_kill", "diffusivity_white"):
            assert BASE[name].low <= parameters.value(name) <= BASE[name].high


def test_a_cohort_needs_patients_and_priors():
    with pytest.raises(InvalidInput, match="cohort of 5 patients; give 20 to 5000"):
        draw_cohort(5, seed=1)
    with pytest.raises(InvalidInput, match="proliferation_rate, which has no log-normal prior"):
        draw_cohort(20, seed=1, base=BASE.with_entry("proliferation_rate", prior=None))


# --- outcomes and verdicts ----------------------------------------------------------------------


def test_medians_and_ratios_over_resampled_patients():
    rng = np.random.default_rng(5)
    times = rng.exponential(100.0, 400)
    median, low, high = median_interval(times, seed=1)
    assert median == np.median(times) and low < median < high
    # The standard error of a median of exponential times is 1/(ln 2 sqrt n) of itself.
    assert math.log(high / low) == pytest.approx(2 * 1.96 / (math.log(2) * 20.0), rel=0.35)
    ratio, low, high = interval_of_ratio(2.0 * times, times, seed=1)
    assert (ratio, low, high) == (2.0, 2.0, 2.0)  # the same patients in both arms


@pytest.mark.parametrize(
    ("published", "predicted", "claim", "direction", "size", "word"),
    [
        ((1.4, 1.1, 1.7), (1.3, 1.2, 1.4), "longer", "hit", "hit", "HIT"),
        ((1.4, 1.1, 1.7), (1.05, 1.01, 1.1), "longer", "hit", "too small", "MISS in size"),
        ((1.4, 1.1, 1.7), (1.9, 1.8, 2.1), "longer", "hit", "too large", "MISS in size"),
        ((1.4, 1.0, 1.9), (1.02, 0.97, 1.1), "longer", "miss", "hit", "MISS in direction:"),
        ((1.4, 1.1, 1.7), (0.9, 0.8, 1.0), "longer", "miss", "too small", "direction and size"),
        ((1.1, 0.8, 1.5), (1.02, 1.01, 1.1), "no significant difference", "not claimed", "hit",
         "HIT"),
        ((1.1, 0.8, 1.5), (1.6, 1.5, 1.7), "no significant difference", "not claimed",
         "too large", "MISS in size"),
    ],
)  # fmt: skip
def test_verdicts(published, predicted, claim, direction, size, word):
    one = verdict(published, predicted, claim=claim)
    assert (one.direction, one.size) == (direction, size)
    assert word in one.sentence()
    assert one.hit == one.sentence().startswith("HIT")


def test_the_order_counts_pairs_that_publications_tell_apart():
    large = verdict((2.5, 2.0, 3.1), (1.9, 1.8, 2.0))
    small = verdict((1.2, 1.1, 1.3), (1.3, 1.2, 1.4))
    vague = verdict((1.5, 0.5, 4.5), (1.0, 0.9, 1.1))
    other = verdict((9.0, 8.0, 10.0), (1.0, 0.9, 1.1), endpoint="progression")
    found = order_of([large, small, vague, other])
    assert (found.right, found.pairs, found.wrong) == (1, 1, ())
    turned = replace(large, predicted=(1.1, 1.0, 1.2))
    assert order_of([turned, small]).wrong == ((turned, small),)
    assert "wrong: T (a) above T (a)" in order_of([turned, small]).sentence()


def test_scans_hold_the_continuous_date_between_them():
    cohort = draw_cohort(20, seed=2)
    trial = load_trial("stupp")
    solver = ArmSolver(cohort)
    found = solver.arm(trial.arm[0], trial.calendar)
    late = found.progression > 49.0 + 28.0 + 91.0  # after two scans, and twelve weeks past
    assert late.sum() >= 5
    low, high = found.scanned[late].T
    assert (
        (low <= found.progression[late] + 1e-6) & (found.progression[late] <= high)
    ).mean() > 0.8
    np.testing.assert_array_equal(solver.progression(trial.arm[0]), found.progression)
    again = solver.arm(trial.arm[0], ScanCalendar(after_radiotherapy_day=28.0, every_day=91.0))
    assert again.progression is found.progression  # remembered


# --- the fit -----------------------------------------------------------------------------------


def known_trial(cohort, alpha, kill):
    """Stupp's arms with the medians that a cohort has at known values."""
    trial = load_trial("stupp")
    without, with_drug = fitted_arms(trial, "stupp")
    solver = ArmSolver(cohort)

    def told(arm, **typical) -> Arm:
        median = float(np.median(solver.progression(arm, **typical)))
        content = {"progression": {"median": f"{median!r} day"}, "survival": {"median": "1 year"}}
        made = check(type(arm.published), content, where="known")
        return arm.model_copy(update={"published": made})

    return (
        solver,
        told(without, alpha=alpha),
        told(with_drug, alpha=alpha, temozolomide_kill=kill),
    )


def test_known_values_come_back():
    solver, without, with_drug = known_trial(draw_cohort(20, seed=3), 0.045, 2.2e-3)
    found = fit_values(solver, without, with_drug)
    assert found["alpha"] == pytest.approx(0.045, rel=5e-3)
    assert found["temozolomide_kill"] == pytest.approx(2.2e-3, rel=2e-2)


def test_a_median_out_of_reach_is_said():
    solver, without, with_drug = known_trial(draw_cohort(20, seed=3), 0.045, 2.2e-3)
    far = without.published.progression.model_copy(update={"median": 3000.0})
    without = without.model_copy(
        update={"published": without.published.model_copy(update={"progression": far})}
    )
    with pytest.raises(NotConverged, match=r"No alpha from 0\.0072 to 0\.18 1/Gy"):
        fit_values(solver, without, with_drug)


def test_only_stupp_is_fitted_to():
    with pytest.raises(InvalidInput, match="'perry' is there for testing"):
        fit_trial("perry", patients=20, seed=1)


@pytest.mark.slow
def test_the_packaged_values_are_what_the_fit_gives_and_their_interval_holds_them():
    frozen = load_frozen()
    found = fit_trial("stupp", patients=100, seed=5, threads=2)
    for name, value in frozen.typical.items():
        low, high = getattr(found, name).interval
        assert low < value < high  # another cohort, another seed
        assert getattr(found, name).value == pytest.approx(value, rel=0.35)
    assert -1.0 < found.correlation < 0.0  # a higher alpha leaves less to the drug


# --- frozen values -----------------------------------------------------------------------------


def test_the_packaged_values_belong_to_the_packaged_set_cohort_and_trial():
    frozen = load_frozen()
    frozen.check_origin(BASE, load_cohort_file())
    other = BASE.replace(dead_clearance_half_life=30.0)
    with pytest.raises(InvalidInput, match=r"another parameter set 'glioblastoma'.*--fit"):
        frozen.check_origin(other, load_cohort_file())
    # Its own numbers are no part of what it depends on.
    frozen.check_origin(BASE.replace(alpha=0.1, temozolomide_kill=0.01), load_cohort_file())
    small = load_cohort_file().model_copy(
        update={"volume": load_cohort_file().volume.model_copy(update={"median": 1e4})}
    )
    with pytest.raises(InvalidInput, match="another cohort"):
        frozen.check_origin(BASE, small)


def test_frozen_values_have_grade_b_and_name_their_trial():
    known = load_frozen().applied(BASE)
    for name in ("alpha", "temozolomide_kill"):
        assert known[name].evidence == "B"
        assert known[name].source.startswith("calibrated: Stupp 2005, both arms")
        assert known.value(name) == load_frozen().typical[name]
    assert known["alpha"].basis == "calibrated"
    assert known["alpha_beta"] == BASE["alpha_beta"]


def test_a_record_is_read_as_it_was_written(tmp_path):
    frozen = Frozen(
        trial="stupp", made=dt.date(2026, 1, 2), command='twin "trial"', version="0",
        patients=40, seed=9, parameters="glioblastoma", parameters_sha256="a",
        cohort_sha256="b", trial_sha256="c", correlation=-0.25,
        alpha=FrozenValue(value=0.03, unit="1/Gy", interval=(0.02, 0.04)),
        temozolomide_kill=FrozenValue(value=1e-3, unit="L/(mg h)", interval=(5e-4, 2e-3)),
    )  # fmt: skip
    write_frozen(tmp_path / "frozen.toml", frozen)
    assert read_frozen(tmp_path / "frozen.toml") == frozen


def test_an_effect_and_an_interaction_of_one_trial_count_twice_and_are_refused():
    def with_interaction(value, source, note=""):
        entry = Parameter(
            "temozolomide_sensitisation", value, "1", 1.0, 2.0, None, source, "", "B", note
        )
        return ParameterSet(BASE.name, {**{n: BASE[n] for n in BASE}, entry.name: entry})

    same = with_interaction(1.2, "calibrated: both arms of STUPP  2005")
    by_doi = with_interaction(1.2, "doi:10.1056/NEJMoa043330")
    for base in (same, by_doi):
        with pytest.raises(InvalidInput, match="benefit would count twice"):
            load_frozen().applied(base)
        with pytest.raises(InvalidInput, match="benefit would count twice"):
            fit_trial("stupp", patients=20, seed=1, base=base)
    refuse_double_counting(with_interaction(1.2, "doi:10.1000/another.trial"), "stupp")
    refuse_double_counting(with_interaction(1.0, "calibrated: Stupp 2005"), "stupp")


# --- predictions and the command ----------------------------------------------------------------


def test_the_cohort_of_the_fit_has_the_medians_it_was_fitted_to():
    """On a quarter of the patients of the fit: within the error of so few."""
    cohort, (stupp,) = predict_trials(["stupp"], load_frozen(), patients=100)
    assert len(cohort) == 100
    for name, published in (("60 Gy in 30", 5.0), ("60 Gy in 30 + temozolomide", 6.9)):
        median, low, high = median_interval(stupp.arms[name].progression, seed=1)
        assert low / MONTH < published < high / MONTH
        assert median / MONTH == pytest.approx(published, rel=0.2)
    assert [v.use for v in stupp.verdicts] == ["fitted", "same trial"]
    assert any("dead clearance half life" in line for line in stupp.evidence)
    assert not any("temozolomide kill" in line for line in stupp.evidence)  # no longer assumed


def test_the_command_predicts_draws_and_prints_no_survival_time(capsys, tmp_path):
    picture = tmp_path / "walker.png"
    words = ["trial", "walker", "--patients", "20", "--threads", "1", "--quiet"]
    assert main([*words, "--picture", str(picture), "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert picture.read_bytes().startswith(b"\x89PNG")
    (trial,) = data["trials"]
    (comparison,) = trial["comparisons"]
    assert comparison["direction"] == "hit" and comparison["predicted_ratio"][0] > 1.2
    # Progression in time; of the burden that stands for survival nothing but ratios.
    assert set(trial["arms"][0]) == {
        "name", "progression_day", "methylated_and_others_day", "by_scans_day", "published",
    }  # fmt: skip
    assert data["frozen"]["evidence"] == "B"
    assert main(words) == 0
    text = capsys.readouterr().out
    assert "Frozen on Stupp 2005" in text and "no survival time is predicted" in text
    assert "Tested on trials that nothing was fitted to: 1 of 1 directions" in text
    assert main([*words, "--markdown"]) == 0
    assert capsys.readouterr().out.startswith("| trial | comparison |")


def test_the_command_lists(capsys):
    assert main(["trial", "--list"]) == 0
    assert "stupp" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["stup"], "did you mean 'stupp'?"),
        (["nonsense"], "there are dose_escalation, perry"),
        ([], "Name one trial"),
        (["stupp", "--all"], "Name one trial"),
        (["stupp", "--patients", "5"], "give 20 to 5000"),
        (["perry", "--fit"], "there for testing"),
        (["--all", "--fit"], "--fit fits to one trial"),
        (["stupp", "-o", "x.toml"], "-o is for the frozen values"),
        (["stupp", "--fit", "--picture", "x.png"], "predicts nothing"),
        (["stupp", "--frozen", "nowhere.toml"], "nowhere.toml does not exist"),
        (["stupp", "--picture", "x.pdf"], "must end in .png"),
    ],
)
def test_bad_input_is_one_sentence(words, complaint, capsys):
    assert main(["trial", *words, "--quiet"]) == 2
    said = capsys.readouterr().err
    assert complaint in said and said.count("\n") == 1


# --- the page ----------------------------------------------------------------------------------


def rows_of(text):
    """Rows of the table of comparisons, without the predicted ratio, and those ratios."""
    rows, ratios = [], []
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 7 and " over " in cells[1]:
            ratios.append([float(x) for x in re.findall(r"[\d.]+", cells.pop(4))])
            rows.append(cells)
    return rows, ratios


def test_the_page_has_every_comparison_and_the_frozen_values():
    page = PAGE.read_text("utf-8")
    rows, ratios = rows_of(page)
    expected = [
        [f"{x:.2f}" for x in time_ratio(load_trial(name), one)]
        for name in trial_names()
        for one in load_trial(name).comparison
    ]
    assert [re.findall(r"[\d.]+", row[3].split(",")[0]) for row in rows] == expected
    frozen = load_frozen()
    assert f"{frozen.alpha.value:.3g} /Gy" in page
    assert f"{1e3 * frozen.temozolomide_kill.value:.3g} mL/(mg h)" in page
    for row, (ratio, low, high) in zip(rows, ratios, strict=True):
        assert low <= ratio <= high
        published = [float(x) for x in re.findall(r"[\d.]+", row[3].split(",")[0])]
        inside = published[1] <= ratio <= published[2]
        assert row[-1] == "fitted" or (row[-1] == "hit") == inside


@pytest.mark.slow
def test_the_page_s_table_is_that_of_the_command(capsys):
    assert main(["trial", "--all", "--markdown", "--quiet"]) == 0
    rows, ratios = rows_of(capsys.readouterr().out)
    stored, kept = rows_of(PAGE.read_text("utf-8"))
    assert rows == stored
    np.testing.assert_allclose(ratios, kept, atol=0.021)


@pytest.mark.slow
def test_the_page_s_sensitivities_are_what_the_script_prints(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    import trials

    rows = [
        [cell.strip(" |") for cell in line.split(" | ")]
        for line in PAGE.read_text("utf-8").splitlines()
        if line.count(" | ") == 8 and "variant" not in line
    ]
    assert [row[0] for row in rows] == list(trials.VARIANTS)
    found = trials.row("alpha does not go with rho", 1)
    (stored,) = [row for row in rows if row[0] == found[0]]
    for one, other in zip(found[1:], stored[1:], strict=True):
        assert float(one.split()[0]) == pytest.approx(float(other.split()[0]), abs=0.021)
        assert one.split()[1:] == other.split()[1:]
