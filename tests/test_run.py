"""Running studies: folders that survive being killed, hashes, errors, equal numbers."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from fake_solver import FakeSolver
from small_patient import write_small_patient

import twin
from scenarios.comparison import compare
from scenarios.ranking import default_endpoints
from scenarios.run import plan, run_study
from scenarios.study import Case, Scenario, Study
from solvers.finite_element import FiniteElementSolver
from twin.courses import Radiotherapy, Resection, Temozolomide
from twin.errors import InvalidInput, TherapyTwinError
from twin.regimen import Regimen
from twin.response_entries import RESPONSE
from twin.results import SCHEMA, check_results, open_results
from twin.storage import FolderLock, StorageFailed

ROOT = Path(__file__).resolve().parent.parent
#: What only a surrogate's answers hold, a run that was asked for it or another model; never the
#: results of a study of the default model.
NEVER_IN_A_STUDY = {
    *("axis", "displacement", "von_mises", "largest_displacement"),
    "effector_cells",
    *(f"tumour_volume_soft_{end}" for end in ("low", "high", "extrapolated")),
    "tumour_volume_extrapolated",
    *(f"tumour_control{end}" for end in ("", "_population", "_draws")),
    # of set-up errors alone
    *(f"organ_{what}_by_case" for what in ("eqd2_mean", "eqd2_d003cc", "ntcp")),
}
RT = Radiotherapy(total_dose_gy=20.0, fractions=10, start_day=7.0)
STUDY = Study(
    [
        Scenario("none", Regimen()),
        Scenario("20 Gy", Regimen(RT), "none"),
        Scenario("20 Gy later", Regimen(RT).delayed(days=14), "20 Gy"),
    ],
    [Case("expected"), Case("resistant", {"alpha": "0.02 1/Gy"})],
    days=60,
    name="small study",
)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("patient")
    twin.build(write_small_patient(folder / "images"), folder / "built")
    return folder / "built"


@pytest.fixture(scope="module")
def patient(built):
    return twin.load(built)


@pytest.fixture(scope="module")
def in_memory(patient):
    return STUDY.run(patient, FakeSolver())


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


def test_results_keep_to_the_schema(patient, in_memory, tmp_path):
    in_folder = STUDY.run(patient, FakeSolver(), tmp_path / "r", threads=2)
    for results in (in_memory, in_folder):
        check_results(results)
        assert set(map(str, results.variables)) == set(SCHEMA) - NEVER_IN_A_STUDY
        for name in results.variables:
            assert results[name].attrs["units"]
            assert results[name].attrs["long_name"]
        floats = [n for n in results.variables if results[n].dtype.kind == "f"]
        not_finite = [n for n in floats if not np.isfinite(results[n].values).all()]
        # Fractions are padded, a time to progression may be infinite, a geometric dose has no
        # complication probability, scans are padded, and this solver keeps no viable density;
        # nothing else is missing.
        missing = {"fraction_day", "fraction_dose", "time_to_progression", "organ_ntcp"}
        assert set(not_finite) <= missing | set(RESPONSE)
        assert not np.isnan(results["time_to_progression"].values).any()
    xr.testing.assert_equal(in_memory, in_folder.load())
    assert in_folder["tumour_density"].dtype == np.float32
    assert in_folder["tumour_density"].dims == ("scenario", "field_time", "node")
    assert results.sizes["time"] == 61
    assert results["field_time"].values.tolist() == [0, 7, 14, 21, 28, 35, 42, 49, 56]


def test_folder_holds_what_the_contract_says(patient, tmp_path):
    small = STUDY.replace(cases=STUDY.cases[:1])
    small.run(patient, FakeSolver(), tmp_path / "r")
    names = {path.name for path in (tmp_path / "r").iterdir()} - {".lock"}
    assert names == {"study.json", "runs", "results.nc", "table.csv"}
    record = json.loads((tmp_path / "r" / "study.json").read_text())
    assert record["format"] == 1
    assert {run["hash"] for run in record["runs"]} == {
        path.name for path in (tmp_path / "r" / "runs").iterdir()
    }
    # Times are in none of the files, so two runs give the same bytes.
    small.run(patient, FakeSolver(), tmp_path / "s")
    first, second = contents(tmp_path / "r"), contents(tmp_path / "s")
    assert first["table.csv"] == second["table.csv"]
    assert first["study.json"] == second["study.json"]


def test_error_bars_of_an_error_that_is_known(patient, in_memory):
    # The fake volume is V (1 + 0.01 h^2) with h over the whole mesh; the rule uses h near the
    # tumour, so the ratio of the two errors is known exactly. It takes no steps.
    meshes = patient.mesh, patient.coarse_mesh, patient.coarsest_mesh
    edges = np.array([mesh.edge_length().mean() for mesh in meshes])
    near = [in_memory.attrs[f"{word}edge_near_tumour_mm"] for word in ("", "coarse_", "coarsest_")]
    volume = in_memory["tumour_volume"].values / (1 + 0.01 * edges[0] ** 2)
    gaps = 0.01 * (edges[1:] ** 2 - edges[0] ** 2) / (np.array(near[1:]) ** 2 / near[0] ** 2 - 1)
    weekly = in_memory["time"].values % 7 == 0
    error = in_memory["tumour_volume_error"].values
    expected = 1.25 * volume * gaps.max()
    np.testing.assert_allclose(error[..., weekly], expected[..., weekly], rtol=1e-9)
    spread = in_memory["tumour_volume_mesh_spread"].values
    apart = 0.01 * volume * (edges[2] ** 2 - edges[0] ** 2)
    np.testing.assert_allclose(spread[..., weekly], apart[..., weekly], rtol=1e-9)
    # Between the weekly checks the third mesh's part is interpolated on an exponential curve.
    np.testing.assert_allclose(error, expected, rtol=0.06)
    order = in_memory["observed_order"].values
    sizes = np.array(near) / near[0]
    ratio = (edges[2] ** 2 - edges[0] ** 2) / (edges[1] ** 2 - edges[0] ** 2)
    np.testing.assert_allclose((sizes[2] ** order - 1) / (sizes[1] ** order - 1), ratio, rtol=1e-8)
    assert ((order > 1.5) & (order < 2.5)).all()


def test_a_study_that_is_not_asymptotic_says_so_in_words(patient):
    class Erratic(FakeSolver):
        """Of order 5 by its volumes."""

        def solve(self, twin, *given, **options):
            found = super().solve(twin, *given, **options)
            edge = float(twin.mesh.edge_length().mean())
            for name in ("tumour_volume", "tumour_volume_soft"):
                found[name] = found[name] * (1 + 1e-3 * edge**5) / (1 + 0.01 * edge**2)
            return found

    results = STUDY.run(patient, Erratic())
    assert (results["observed_order"] > 2.5).all()
    for name in ("tumour_volume", "tumour_volume_soft", "tumour_burden", "time_to_progression"):
        assert np.isnan(results[f"{name}_error"].values).all()
        assert not np.isnan(results[name].values).any()
    comparison = compare(results)
    text = " ".join(str(comparison).split())
    assert "[x]: not asymptotic, no error bar, meshes x apart" in text
    assert "outside 1.5 to 2.5 for 'none' (" in text
    assert "nan" not in text
    for endpoint in default_endpoints(results):  # ranked by how far the meshes are apart
        by = results[f"{endpoint.variable}_mesh_spread"]
        by = by if endpoint.threshold is None else by.sel(threshold=endpoint.threshold)
        by = by if endpoint.day is None else by.sel(time=endpoint.day)
        np.testing.assert_array_equal(endpoint.values(results)[1], by.values)
    json.dumps(comparison.as_dict(), allow_nan=False)


def test_finished_study_is_not_run_again(patient, tmp_path):
    run_study(STUDY, patient, FakeSolver(), tmp_path / "r")
    before = contents(tmp_path / "r")
    solver = FakeSolver()
    outcome = run_study(STUDY, patient, solver, tmp_path / "r")
    assert (outcome.finished_before, solver.calls) == (True, 0)
    assert contents(tmp_path / "r") == before


@pytest.mark.parametrize("resume", [False, True])
def test_another_study_or_a_foreign_file_is_left_alone(patient, tmp_path, resume):
    other = STUDY.replace(days=50)
    run_study(other, patient, FakeSolver(), tmp_path / "other")
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "thesis.tex").write_text("years of work")
    (tmp_path / "file").write_text("a file")
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "study.json").write_text("{}")
    for name, sentence in (
        ("other", "another study"),
        ("foreign", "thesis.tex"),
        ("file", "is a file"),
        ("odd", "not the record of a study"),
    ):
        place = tmp_path / name
        before = contents(tmp_path)
        solver = FakeSolver()
        with pytest.raises(InvalidInput, match=sentence):
            run_study(STUDY, patient, solver, place, resume=resume)
        assert solver.calls == 0
        assert contents(tmp_path) == before


def test_unfinished_study_asks_for_resume_and_resume_redoes_only_what_is_missing(
    patient, in_memory, tmp_path
):
    with pytest.raises(RuntimeError, match="on purpose"):
        run_study(STUDY, patient, FakeSolver(fail_after=5), tmp_path / "r")
    done = contents(tmp_path / "r" / "runs")
    assert len(done) == 5
    with pytest.raises(InvalidInput, match=r"5 of 18 runs .*--resume"):
        run_study(STUDY, patient, FakeSolver(), tmp_path / "r")
    solver = FakeSolver()
    outcome = run_study(STUDY, patient, solver, tmp_path / "r", resume=True)
    assert (solver.calls, outcome.runs, outcome.reused) == (13, 13, 5)
    after = contents(tmp_path / "r" / "runs")
    assert {name: after[name] for name in done} == done
    xr.testing.assert_equal(outcome.results.load(), in_memory)


def test_resume_is_valid_on_a_new_folder(patient, tmp_path):
    small = Study({"none": Regimen()}, days=30)
    outcome = run_study(small, patient, FakeSolver(), tmp_path / "new", resume=True)
    assert outcome.runs == 3


def test_what_a_killed_process_leaves_is_swept_up(patient, tmp_path):
    folder = tmp_path / "r"
    (folder).mkdir()
    (folder / ".0123abcd.part-study.json").write_text("{")
    run_study(STUDY, patient, FakeSolver(), folder)
    (folder / "results.nc").unlink()
    (folder / "runs" / ".part-abc").mkdir()
    (folder / "runs" / ".part-abc" / "run.nc").write_text("half")
    solver = FakeSolver()
    run_study(STUDY, patient, solver, folder, resume=True)
    assert solver.calls == 0
    assert not [path for path in folder.rglob("*") if ".part-" in path.name]


def test_one_process_at_a_time(patient, tmp_path):
    (tmp_path / "r").mkdir()
    with FolderLock(tmp_path / "r"), pytest.raises(StorageFailed, match="in use"):
        run_study(STUDY, patient, FakeSolver(), tmp_path / "r")


def test_threads_change_nothing(patient, in_memory):
    xr.testing.assert_identical(STUDY.run(patient, FakeSolver(), threads=3), in_memory)


def test_hash_depends_on_content_only(patient, tmp_path):
    base = plan(STUDY, patient, FakeSolver())
    moved = patient.replace(name="somebody else")
    renamed = STUDY.replace(
        scenarios=[Scenario("arm " + s.name, s.regimen) for s in STUDY.scenarios],
        cases=[Case("case " + c.name, c.changes) for c in STUDY.cases],
    )
    assert set(plan(STUDY, moved, FakeSolver()).jobs) == set(base.jobs)
    assert set(plan(renamed, patient, FakeSolver()).jobs) == set(base.jobs)
    for other in (
        plan(STUDY, patient, FakeSolver(growth=1.1)),
        plan(STUDY.replace(days=61), patient, FakeSolver()),
        plan(STUDY, patient.replace(body_surface_m2=1.7), FakeSolver()),
        plan(
            STUDY,
            patient.replace(parameters=patient.parameters.replace(proliferation_rate=0.031)),
            FakeSolver(),
        ),
    ):
        assert not set(other.jobs) & set(base.jobs)


def test_arms_with_the_same_regimen_share_their_runs(patient):
    twice = Study({"a": Regimen(RT), "b": Regimen(RT)}, days=30)
    solver = FakeSolver()
    results = twice.run(patient, solver)
    assert solver.calls == 3  # the three meshes
    assert (
        results["tumour_volume"]
        .sel(scenario="a")
        .equals(results["tumour_volume"].sel(scenario="b").assign_coords(scenario="a"))
    )


@pytest.mark.parametrize(
    ("after", "number"), [(0, errno.ENOSPC), (3, errno.EDQUOT), (18, errno.ENOSPC)]
)
def test_full_disk_is_one_sentence_and_nothing_half_written(
    patient, in_memory, tmp_path, monkeypatch, after, number
):
    written = {"count": 0}
    plain = Path.write_bytes

    def write_bytes(self, content):
        written["count"] += 1
        if written["count"] > after:
            plain(self, bytes(content)[: len(content) // 2])
            raise OSError(number, os.strerror(number))
        return plain(self, content)

    monkeypatch.setattr(Path, "write_bytes", write_bytes)
    folder = tmp_path / "r"
    with pytest.raises(TherapyTwinError) as caught:  # in the first run, a later one, results.nc
        run_study(STUDY, patient, FakeSolver(), folder)
    assert not isinstance(caught.value, InvalidInput)
    assert "disk is full" in str(caught.value)
    monkeypatch.undo()
    assert not [path for path in folder.rglob("*") if "part-" in path.name]
    assert len(finished_runs(folder)) == after
    solver = FakeSolver()
    results = run_study(STUDY, patient, solver, folder, resume=True).results
    assert solver.calls == 18 - after
    xr.testing.assert_equal(results.load(), in_memory)


KILLED = """
import sys
sys.path[:0] = {paths!r}
import twin
from fake_solver import FakeSolver
from scenarios.run import run_study
from test_run import STUDY
run_study(STUDY, twin.load({built!r}), FakeSolver(seconds=0.15), {folder!r}, threads=2)
"""


def test_killed_and_resumed_gives_identical_numbers(built, patient, in_memory, tmp_path):
    folder = tmp_path / "r"
    script = KILLED.format(
        paths=[str(ROOT), str(ROOT / "tests")], built=str(built), folder=str(folder)
    )
    process = subprocess.Popen([sys.executable, "-c", script], cwd=tmp_path)
    deadline = time.monotonic() + 60
    try:
        while len(done := finished_runs(folder)) < 3:
            assert process.poll() is None, "the run ended before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.01)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    done = finished_runs(folder)
    assert 3 <= len(done) < 18
    before = {name: (folder / "runs" / name / "run.nc").stat().st_mtime_ns for name in done}
    with pytest.raises(InvalidInput, match="resume"):
        run_study(STUDY, patient, FakeSolver(), folder)
    solver = FakeSolver()
    results = run_study(STUDY, patient, solver, folder, resume=True).results
    assert solver.calls == 18 - len(done)
    after = {name: (folder / "runs" / name / "run.nc").stat().st_mtime_ns for name in done}
    assert after == before
    xr.testing.assert_equal(results.load(), in_memory)


def finished_runs(folder):
    runs = folder / "runs"
    return {p.name for p in runs.iterdir() if p.name[0] != "."} if runs.is_dir() else set()


def test_fraction_after_the_horizon_names_arm_day_and_remedy(patient):
    study = STUDY.replace(days=20)
    with pytest.raises(InvalidInput) as caught:
        study.run(patient, FakeSolver())
    # Ten weekdays from day 21 (Monday 20 April 2026) end on day 32; the first late one is day 21.
    message = str(caught.value)
    assert "'20 Gy later'" in message
    assert "day 21 (Mon 20 Apr 2026)" in message
    assert "horizon of 20 days" in message
    assert "start earlier" in message


def test_resection_after_the_horizon_and_treatment_before_day_0_are_refused(patient):
    for course, sentence in (
        (Resection(day=70.0), "resection on day 70"),
        (Resection(day=-3.0), "before day 0"),
    ):
        with pytest.raises(InvalidInput, match=sentence):
            Study({"arm": Regimen(course)}, days=60).run(patient, FakeSolver())


def test_unknown_or_impossible_parameter_of_a_case_is_refused_by_name(patient):
    for changes, sentence in (
        ({"alhpa": "0.02 1/Gy"}, "'odd'.*did you mean 'alpha'"),
        ({"alpha": "0.02 Gy"}, "'odd'.*does not convert"),
        ({"alpha": "20 1/Gy"}, "'odd'.*outside its range"),
    ):
        study = STUDY.replace(cases=[Case("odd", changes)])
        with pytest.raises(InvalidInput, match=sentence):
            study.run(patient, FakeSolver())


def test_plan_in_plain_sentences_with_warnings(patient):
    both = Study(
        [
            Scenario("20 Gy", Regimen(RT)),
            Scenario(
                "10 Gy + drug",
                Regimen(
                    Radiotherapy(total_dose_gy=10.0, fractions=10, start_day=7.0), Temozolomide()
                ),
                "20 Gy",
            ),
            Scenario("the same", Regimen(RT), "20 Gy"),
        ],
        days=60,
    )
    text = both.describe(patient)
    assert "Mon 06 Apr 2026 (day 7)" in text
    assert "physical Gray" in text
    assert "Warning: '10 Gy + drug' differs from '20 Gy' in 2 things" in text
    assert "Warning: 'the same' does not differ from '20 Gy'" in text
    assert "drug doses fall after the horizon" in text
    # sqrt(0.13 / 0.03) = 2.1 mm in white, 0.93 mm in grey matter; elements of 2.5 mm.
    assert "sqrt(D / rho) = 0.93 mm in grey matter" in text
    wide = patient.replace(
        parameters=patient.parameters.replace(diffusivity_white=1.2, diffusivity_grey=1.0)
    )
    assert "sqrt(D / rho)" not in both.describe(wide)


@pytest.mark.parametrize("threads", [0, -1, 1.5])
def test_bad_number_of_threads_is_refused(patient, threads):
    with pytest.raises(InvalidInput, match="threads"):
        STUDY.run(patient, FakeSolver(), threads=threads)


def test_results_that_are_not_there_or_not_ours(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad.nc").write_bytes(b"not a netCDF file")
    xr.Dataset({"a": ("x", [1.0])}).to_netcdf(tmp_path / "other.nc", engine="h5netcdf")
    for name, sentence in (
        ("empty", "no results"),
        ("absent", "no results"),
        ("bad.nc", "cannot be read"),
        ("other.nc", "format None"),
    ):
        with pytest.raises(InvalidInput, match=sentence):
            open_results(tmp_path / name)


def test_real_solver_alone_or_among_others_and_organ_doses(patient, tmp_path):
    alone = Study({"20 Gy": Regimen(RT)}, days=28)
    among = Study({"none": Regimen(), "20 Gy": Regimen(RT)}, days=28)
    one = alone.run(patient, FiniteElementSolver())
    both = among.run(patient, FiniteElementSolver(), tmp_path / "r", threads=2).load()
    names = ["tumour_volume", "tumour_volume_soft", "tumour_burden", "tumour_density"]
    for name in [*names, "tumour_volume_error"]:
        np.testing.assert_array_equal(
            one[name].sel(scenario="20 Gy").values, both[name].sel(scenario="20 Gy").values
        )
    burden = both["tumour_burden"].isel(case=0, time=-1)
    assert burden.sel(scenario="20 Gy") < burden.sel(scenario="none")
    assert (both["organ_eqd2_mean"].sel(scenario="none") == 0).all()
    # 20 Gy in 10 is given in 2 Gy fractions: EQD2 of the hottest spot is near the prescription,
    # whatever alpha/beta is.
    hottest = both["organ_eqd2_d003cc"].sel(scenario="20 Gy", organ="brain_minus_target")
    assert 19.0 < float(hottest) < 23.0
    assert both["organ_stylised"].sel(organ="brainstem") == 1
    assert both["organ_stylised"].sel(organ="brain_minus_target") == 0
