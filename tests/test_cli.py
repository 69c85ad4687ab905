"""The command line: statuses, one JSON document, one sentence for every mistake."""

import gzip
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from small_patient import PATIENT_TOML, write_small_patient

import twin
from twin.results import open_results
from viz.cli import COMMANDS, main

ROOT = Path(__file__).resolve().parent.parent

STUDY = """\
format = 1
patient = "built"
horizon = "21 day"

[[scenario]]
name = "none"

[[scenario]]
name = "10 Gy in 5"
compared_with = "none"

[[scenario.radiotherapy]]
total_dose = "10 Gy"
fractions = 5
start = "7 day"
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with a built patient, a study and its results."""
    folder = tmp_path_factory.mktemp("home")
    assert (
        main(
            [
                "build",
                str(write_small_patient(folder / "images")),
                "-o",
                str(folder / "built"),
                "--quiet",
            ]
        )
        == 0
    )
    (folder / "study.toml").write_text(STUDY)
    assert main(["run", str(folder / "study.toml"), "-o", str(folder / "results"), "--quiet"]) == 0
    return folder


def call(capsys, *arguments):
    """Status, standard output and standard error of a command."""
    capsys.readouterr()
    status = main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def refused(capsys, *arguments, status=2):
    """The one sentence with which a command refuses."""
    found, out, err = call(capsys, *arguments, "--quiet")
    assert found == status, err
    assert out == ""
    assert err.startswith("twin: ")
    assert err.count("\n") == 1, err
    assert "Traceback" not in err
    return err


def outside(*arguments, cwd, **more):
    """A command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "viz.cli", *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        **more,
    )


def test_help_is_quick_and_names_every_command(tmp_path):
    begin = time.perf_counter()
    done = outside("--help", cwd=tmp_path)
    assert done.returncode == 0
    assert time.perf_counter() - begin < 5.0  # 0.05 s alone; heavy imports would take longer
    for name in COMMANDS:
        assert f"  {name} " in done.stdout


def test_help_imports_nothing_heavy(tmp_path):
    code = (
        "import sys; from viz.cli import main; main(['--help']); main(['run', '--help']);"
        "print([m for m in ('numpy', 'xarray', 'torch', 'pyvista', 'dolfinx') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_the_common_options_and_examples(capsys, command):
    status, out, _ = call(capsys, command, "--help")
    assert status == 0
    for option in ("--json", "--quiet", "--debug", "--seed", "--threads", "examples:"):
        assert option in out
    assert f"twin {command}" in out


def test_mistakes_on_the_command_line(capsys, home):
    assert "did you mean 'compare'" in refused_plain(capsys, "comprae")
    assert "--resme" in refused(capsys, "run", home / "study.toml", "--resme")
    assert "required" in refused(capsys, "run")
    assert "--threads is 0" in refused(capsys, "compare", home / "results", "--threads", "0")
    assert "--seed" in refused(capsys, "compare", home / "results", "--seed", "-1")
    assert "invalid int" in refused(capsys, "compare", home / "results", "--seed", "x")
    assert "invalid choice" in refused(capsys, "schema", "doctor")
    assert main([]) == 2


def refused_plain(capsys, *arguments):
    status, out, err = call(capsys, *arguments)
    assert (status, out, err.count("\n")) == (2, "", 1)
    return err


def test_run_and_compare_as_json_are_one_document(capsys, home):
    status, out, err = call(capsys, "run", home / "study.toml", "-o", home / "results", "--json")
    assert status == 0
    document = json.loads(out)
    assert document["finished_before"] is True
    assert document["runs"] == 0
    assert "finished already" in err
    assert Path(document["results"]).exists()
    assert all(Path(path).exists() for path in document["paraview"])
    status, out, _ = call(capsys, "compare", home / "results", "--json")
    assert status == 0
    assert json.loads(out)["table"] == document["comparison"]["table"]


def test_json_stays_one_document_when_a_library_prints(home):
    done = outside("run", home / "study.toml", "-o", home / "fresh", "--json", cwd=home)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["runs"] == 8
    assert "simulating" in done.stderr


def test_error_as_json_is_one_document(capsys, home):
    status, out, err = call(capsys, "compare", home / "nowhere", "--json")
    assert status == 2
    assert json.loads(out) == {
        "ok": False,
        "status": 2,
        "error": err.removeprefix("twin: ").strip(),
    }


def test_compare_as_text(capsys, home):
    status, out, err = call(capsys, "compare", home / "results")
    assert (status, err) == (0, "")
    assert "differs in: radiotherapy" in out
    assert "> 21 d" in out


def test_results_open_with_plain_xarray_and_have_units(home):
    import xarray as xr

    with xr.open_dataset(home / "results" / "results.nc", engine="h5netcdf") as results:
        assert all("units" in results[name].attrs for name in results.variables if name != "time")


def test_plan_runs_nothing(capsys, home):
    status, out, _ = call(
        capsys, "run", home / "study.toml", "-o", home / "planned", "--plan", "--quiet"
    )
    assert status == 0
    assert "Mon 06 Apr 2026 (day 7)" in out
    assert not (home / "planned").exists()


def test_schemas(capsys):
    for name in ("patient", "study"):
        status, out, _ = call(capsys, "schema", name)
        assert status == 0
        assert json.loads(out)["title"] == f"{name}.toml"


def test_init_fills_a_new_folder_and_refuses_a_full_one(capsys, tmp_path):
    status, out, _ = call(
        capsys, "init", "--example", "glioblastoma", tmp_path / "a" / "demo", "--json"
    )
    assert status == 0
    files = json.loads(out)["files"]
    assert {"study.toml", "patient.toml"} <= set(files)
    before = sorted(path.name for path in (tmp_path / "a" / "demo").iterdir())
    assert before == sorted(files)
    assert "not empty" in refused(capsys, "init", tmp_path / "a" / "demo")
    assert sorted(path.name for path in (tmp_path / "a" / "demo").iterdir()) == before
    assert "did you mean 'glioblastoma'" in refused(
        capsys, "init", "--example", "glioblastma", tmp_path / "b"
    )
    assert not (tmp_path / "b").exists()


def test_clean_removes_only_caches(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("TWIN_CACHE", str(tmp_path))
    (tmp_path / "meshes").mkdir()
    (tmp_path / "meshes" / "a.npz").write_bytes(b"1234")
    (tmp_path / "thesis.tex").write_text("years of work")
    status, out, _ = call(capsys, "clean", "--list", "--json")
    assert (status, json.loads(out)["files"]) == (0, 1)
    assert (tmp_path / "meshes" / "a.npz").exists()
    status, out, _ = call(capsys, "clean", "--json")
    assert (status, json.loads(out)["bytes"]) == (0, 4)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_unexpected_error_is_one_sentence_and_debug_shows_where(capsys, home, monkeypatch):
    import scenarios.comparison

    def broken(*_, **__):
        raise ZeroDivisionError("of all things")

    monkeypatch.setattr(scenarios.comparison, "compare", broken)
    message = refused(capsys, "compare", home / "results", status=1)
    assert "of all things" in message
    assert "--debug" in message
    _, _, err = call(capsys, "compare", home / "results", "--debug")
    assert "Traceback" in err


def test_interruption_is_one_sentence(capsys, home, monkeypatch):
    import scenarios.comparison

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(scenarios.comparison, "compare", interrupted)
    assert "Interrupted" in refused(capsys, "compare", home / "results", status=1)


def test_full_disk_is_status_1(home, tmp_path):
    # A limit on the size of files stands in for a full disk: the system refuses the write.
    code = (
        "import resource, sys; import solvers.finite_element;"  # MPI makes files of its own
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000));"
        "from viz.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "run", home / "study.toml", "-o", tmp_path / "r", "--quiet"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 1, done.stderr
    assert done.stderr.startswith("twin: ")
    assert done.stderr.count("\n") == 1
    assert not [path for path in (tmp_path / "r").rglob("*") if "part-" in path.name]
    assert not (tmp_path / "r" / "results.nc").exists()


def test_killed_and_resumed_on_the_command_line(home, tmp_path, capsys):
    study = tmp_path / "study.toml"
    study.write_text(
        STUDY.replace('"built"', json.dumps(str(home / "built"))).replace("21 day", "40 day")
        + '[[case]]\nname = "a"\n[[case]]\nname = "b"\n[case.parameters]\nalpha = "0.02 1/Gy"\n'
    )
    folder = tmp_path / "r"
    process = subprocess.Popen(
        [sys.executable, "-m", "viz.cli", "run", study, "-o", folder, "--quiet", "--threads", "1"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 100
    try:
        while not runs_in(folder):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.002)
    finally:
        process.kill()
        process.wait()
    done = runs_in(folder)
    assert 1 <= len(done) < 8
    assert "--resume" in refused(capsys, "run", study, "-o", folder)
    status, out, _ = call(capsys, "run", study, "-o", folder, "--resume", "--json", "--quiet")
    assert status == 0
    assert json.loads(out)["reused"] == len(done)
    assert call(capsys, "run", study, "-o", tmp_path / "whole", "--quiet")[0] == 0
    for name in ("table.csv", "study.json"):
        assert (folder / name).read_text() == (tmp_path / "whole" / name).read_text()
    with open_results(folder) as resumed, open_results(tmp_path / "whole") as whole:
        assert resumed.load().identical(whole.load())


def test_interrupted_run_stops_at_once_and_says_how_to_go_on(home, tmp_path):
    study = tmp_path / "study.toml"
    study.write_text(
        STUDY.replace('"built"', json.dumps(str(home / "built"))).replace("21 day", "3000 day")
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "viz.cli", "run", study, "-o", tmp_path / "r", "--quiet"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 100
    while not (tmp_path / "r" / "runs").exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 1
    assert err.startswith("twin: Interrupted")
    assert "--resume" in err
    assert err.count("\n") == 1


def runs_in(folder):
    runs = folder / "runs"
    return {p.name for p in runs.iterdir() if p.name[0] != "."} if runs.is_dir() else set()


# What a patient may be given wrong: file to spoil, how, and what the sentence must hold.
def truncated(path):
    path.write_bytes(path.read_bytes()[:200])


def labelled(value):
    def spoil(path):
        image = nib.load(path)
        data = np.full(image.shape, value, np.uint8)
        nib.save(nib.Nifti1Image(data, image.affine), path)

    return spoil


def moved(path):
    image = nib.load(path)
    affine = image.affine.copy()
    affine[0, 3] += 10.0
    nib.save(nib.Nifti1Image(np.asarray(image.dataobj), affine), path)


def absurd(path):
    header = bytearray(gzip.decompress(path.read_bytes())[:352])
    header[40:56] = np.array([3, 30000, 30000, 30000, 1, 1, 1, 1], "<i2").tobytes()
    path.write_bytes(gzip.compress(bytes(header)))


PATIENTS = {
    "missing file": ("t1.nii.gz", Path.unlink),
    "truncated NIfTI": ("t1.nii.gz", truncated),
    "all background": ("segmentation.nii.gz", labelled(0)),
    "all one": ("segmentation.nii.gz", labelled(1)),
    "label without a name": ("segmentation.nii.gz", labelled(9)),
    "another grid": ("segmentation.nii.gz", moved),
    "absurd size": ("t1.nii.gz", absurd),
}


@pytest.mark.parametrize(("name", "spoil"), PATIENTS.values(), ids=PATIENTS)
def test_spoilt_patient_is_one_sentence(capsys, tmp_path, name, spoil):
    path = write_small_patient(tmp_path / "images")
    spoil(tmp_path / "images" / name)
    (tmp_path / "study.toml").write_text(STUDY.replace('"built"', '"images/patient.toml"'))
    refused(capsys, "build", path, "-o", tmp_path / "built")
    refused(capsys, "run", tmp_path / "study.toml", "-o", tmp_path / "results")
    assert not (tmp_path / "built").exists()
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ('"1.8 m2"', '"1.8"', "unit"),
        ('"1.8 m2"', '"1.8 m22"', "m2"),
        ('"1.8 m2"', '"-1.8 m2"', "1.8"),
        ('"1.8 m2"', "nan", "finite"),
        ("body_surface", "body_surfce", "body_surface"),
    ],
)
def test_spoilt_patient_file_is_one_sentence(capsys, tmp_path, old, new, sentence):
    toml = PATIENT_TOML.replace(old, new, 1)
    assert toml != PATIENT_TOML
    path = write_small_patient(tmp_path / "images", toml=toml)
    assert sentence in refused(capsys, "build", path, "-o", tmp_path / "built")
    assert not (tmp_path / "built").exists()


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ('"10 Gy"', '"10"', "no unit"),
        ('"10 Gy"', '"10 Gyy"', 'did you mean "Gy"'),
        ("total_dose", "totaldose", "total_dose"),
        ('"7 day"', '"18 day"', "horizon"),
        ('patient = "built"', 'patient = "absent.toml"', "absent.toml"),
    ],
)
def test_spoilt_study_is_one_sentence_and_touches_nothing(capsys, home, old, new, sentence):
    study = home / "spoilt.toml"
    study.write_text(STUDY.replace(old, new, 1))
    assert sentence in refused(capsys, "run", study, "-o", home / "none")
    assert not (home / "none").exists()


def test_output_folder_that_holds_something_else(capsys, home, tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    assert "thesis.tex" in refused(capsys, "run", home / "study.toml", "-o", tmp_path)
    refused(capsys, "build", home / "images" / "patient.toml", "-o", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
    other = home / "other.toml"
    other.write_text(STUDY.replace("21 day", "20 day"))
    assert "another study" in refused(capsys, "run", other, "-o", home / "results")


def test_paraview_files_hold_what_results_hold(capsys, home):
    from viz.offscreen import quiet_pyvista

    pyvista = quiet_pyvista()
    from vtkmodules.vtkIOXdmf2 import vtkXdmfReader

    status, _, _ = call(
        capsys, "run", home / "study.toml", "-o", home / "results", "--vtu", "14", "--quiet"
    )
    assert status == 0
    folder = home / "results" / "paraview"
    results = open_results(home / "results").load()
    arm = results.sel(scenario="10 Gy in 5")
    reader = vtkXdmfReader()
    reader.SetFileName(str(folder / "2_10_gy_in_5.xdmf"))
    reader.UpdateInformation()
    reader.UpdateTimeStep(14.0)
    from_xdmf = pyvista.wrap(reader.GetOutputDataObject(0))
    from_vtu = pyvista.get_reader(folder / "2_10_gy_in_5.pvd")
    assert from_vtu.time_values == [0.0, 14.0]
    from_vtu.set_active_time_value(14.0)
    for grid in (from_xdmf, from_vtu.read()[0]):
        assert grid.n_cells == results.sizes["cell"]
        np.testing.assert_array_equal(
            grid["tumour_density"], arm["tumour_density"].sel(field_time=14.0).values
        )
        np.testing.assert_array_equal(grid["dose"], arm["dose"].values)
        np.testing.assert_allclose(grid.points[:, 2], results["node_z"].values, atol=1e-4)


def test_built_folder_and_patient_file_are_taken_alike(capsys, home):
    status, out, _ = call(
        capsys,
        *("run", home / "study.toml", "-o", home / "results", "--json", "--quiet"),
        *("--patient", home / "images" / "patient.toml"),
    )
    assert (status, json.loads(out)["finished_before"]) == (0, True)
    assert twin.load(home / "built").content_hash == open_results(home / "results").twin_hash
