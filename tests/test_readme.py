"""What README and docs tell people to type works: their commands, their Python, their numbers."""

import importlib
import importlib.util
import re
import shlex
import sys
import tomllib
from pathlib import Path

import pytest
from small_patient import write_small_patient

import twin
from viz.cli import COMMANDS, main, running

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
EXAMPLE = ROOT / "data" / "examples" / "glioblastoma"
#: Commands of the pages that take no time and write into no one's folder.
CHEAP = {"doctor", "schema", "--help", "--version"}


def lines_to_type():
    """Every indented or fenced line of a page that calls `twin` or `make`, without its remark."""
    found = []
    for page in PAGES:
        for line in page.read_text(encoding="utf-8").splitlines():
            match = re.fullmatch(
                r"(?:\s+|\$ |\.venv/bin/)*((?:twin|make) [a-z-].*?)(\s{2,}#.*)?", line
            )
            if match and line.startswith(("    ", "$ ")):
                found.append((page.name, match[1]))
        for text in re.findall(r"`(?:\.venv/bin/)?((?:twin|make) [^`]+)`", page.read_text("utf-8")):
            found.append((page.name, text))
    return sorted(set(found))


LINES = lines_to_type()


def test_there_are_lines():
    assert len([line for _, line in LINES if line.startswith("twin ")]) >= 10


@pytest.mark.parametrize(("page", "line"), [x for x in LINES if x[1].startswith("twin ")])
def test_twin_commands_are_understood(page, line, monkeypatch):
    """Parsed by the real parser, or executed where that is cheap."""
    words = shlex.split(line.split(" | ")[0].split(" > ")[0], comments=True)[1:]
    if words == ["COMMAND", "--help"] or words[0] in CHEAP:
        return
    assert words[0] in COMMANDS, f"{page}: there is no command {words[0]!r}"
    if len(words) == 1:
        return  # the command is spoken of, not called
    module = importlib.import_module(f"viz.cli.{COMMANDS[words[0]][0]}")
    parsed = running._parser(words[0], module).parse_args(words[1:])
    if words[0] == "whatif":
        from scenarios.changes import apply_changes
        from scenarios.study_file import read_study
        from scenarios.surrogate_study import reference_scenario
        from twin.parameters import load_parameter_set

        standard = reference_scenario(read_study(EXAMPLE / "study.toml").study).regimen
        apply_changes(standard, load_parameter_set("glioblastoma"), parsed.changes)


@pytest.mark.parametrize("line", [x for _, x in LINES if x.split()[1] in CHEAP])
def test_cheap_commands_run(line, capsys):
    words = shlex.split(line.split(" | ")[0].split(" > ")[0], comments=True)[1:]
    assert main(words) in ((0, 1) if words[0] == "doctor" else (0,))
    assert capsys.readouterr().out


@pytest.mark.parametrize(("page", "line"), [x for x in LINES if x[1].startswith("make ")])
def test_make_targets_exist(page, line):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.M))
    assert line.split()[1] in targets, f"{page}: there is no target {line!r}"


def test_example_commands_are_those_of_the_demo():
    makefile = (ROOT / "Makefile").read_text("utf-8")
    wanted = re.findall(r"^\s*\$\(TWIN\) (.+)$", makefile, re.M)
    given = (ROOT / "README.md").read_text("utf-8")
    for words in wanted:
        assert f"    twin {words}\n" in given


def test_links_and_pictures_are_there():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text("utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
    for picture in (ROOT / "docs" / "images").iterdir():
        assert picture.stat().st_size < 300_000


@pytest.fixture
def small_demo(tmp_path, monkeypatch):
    """A folder `demo` with the example's study, shortened, of the small patient."""
    folder = tmp_path / "demo"
    write_small_patient(folder)
    study = (EXAMPLE / "study.toml").read_text("utf-8").replace('"540 day"', '"84 day"')
    first, second = [m.start() for m in re.finditer(r"\[\[case\]\]", study)][:2]
    assert first < second
    (folder / "study.toml").write_text(study[:second].rsplit("\n#", 1)[0] + "\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_readme_python_runs(small_demo, capsys):
    """The block as printed, but for the numbers of training runs."""
    (block,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.S)
    assert len(block.strip().splitlines()) <= 25
    assert block.count("plan=Plan()") == 1
    tiny = "plan=Plan(training=8, calibration=8, held_out=8, steps=40, members=2, hidden=8)"
    names: dict = {}
    exec(compile(block.replace("plan=Plan()", tiny), "README.md", "exec"), names)  # noqa: S102
    printed = capsys.readouterr().out
    assert "60 Gy + boost 75 Gy" in printed
    assert "Radiotherapy: 50 Gy in 25 fractions" in printed
    assert 0.0 <= names["low"] <= names["flair"] <= names["high"]
    assert (small_demo / "tumour.png").read_bytes().startswith(b"\x89PNG")
    names["picture"].close()


def test_the_engine_s_page_runs(small_demo, capsys):
    """The gradient as the page prints it, and its [model] table."""
    page = (ROOT / "docs" / "engine.md").read_text("utf-8")
    (block,) = re.findall(r"```python\n(.*?)```", page, re.S)
    names: dict = {}
    exec(compile(block, "engine.md", "exec"), names)  # noqa: S102
    assert names["found"].by["initial_density"].shape == (len(names["patient"].mesh.points),)
    assert names["curved"].by["proliferation_rate"].shape == ()
    assert capsys.readouterr().out
    (table,) = re.findall(r"```toml\n(.*?)```", page, re.S)
    file = small_demo / "demo" / "patient.toml"
    file.write_text(file.read_text("utf-8") + "\n" + table, encoding="utf-8")
    assert twin.load(file).model.describe() == (
        "logistic growth with a resistant line, oxygen and necrosis"
    )


def test_example_files_of_the_page_are_valid(tmp_path):
    from scenarios.study_file import read_study
    from twin.patient_file import MeshTable, VisitTable, read_patient_file
    from twin.toml_file import check

    page = (ROOT / "docs" / "files.md").read_text("utf-8")
    patient, readers, own_mesh, study = re.findall(r"```toml\n(.*?)```", page, re.S)
    (tmp_path / "patient.toml").write_text(patient, encoding="utf-8")
    (tmp_path / "study.toml").write_text(study, encoding="utf-8")
    read = read_patient_file(tmp_path / "patient.toml")
    assert read.history.regimen(read.calendar).radiotherapy
    assert read.parameters.resolve(where="page").value("diffusivity_white") == 0.1
    with_markers = read.resolved_parameters(where="page")
    assert with_markers.value("proliferation_rate") == pytest.approx(1.12 * 0.03)
    (several,) = tomllib.loads(readers)["visit"]
    (visit,) = tomllib.loads(patient)["visit"]
    both = check(VisitTable, {**visit, **several}, where="page")
    assert len(both.segmentations) == 3
    assert both.density.adc.mm2_per_s == 1e-6
    table = check(MeshTable, tomllib.loads(own_mesh)["mesh"], where="page")
    assert table.labels["white_matter"] == ("deep", 3)
    found = read_study(tmp_path / "study.toml").study
    assert found.differs_in(found.scenarios[1])
    assert len(found.cases) == 2


def numbers(text):
    return [float(x) for x in re.findall(r"-?\d+(?:\.\d+)?", text)]


def test_regrowth_page_shows_what_its_script_prints(capsys, monkeypatch):
    """The tables of docs/regrowth.md, number by number, to 1 of the last digit."""
    spec = importlib.util.spec_from_file_location("regrowth", ROOT / "docs" / "regrowth.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "regrowth", module)  # dataclasses look their module up
    spec.loader.exec_module(module)
    module.main()
    printed = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    page = (ROOT / "docs" / "regrowth.md").read_text("utf-8").splitlines()
    first = page.index("60 Gy in 30, how it is measured")
    shown = [line for line in page[first:] if line.startswith("|")]
    assert len(printed) == len(shown) == 2 * (2 + 4 + 2 + 11)
    for wanted, there in zip(printed, shown, strict=True):
        assert re.sub(r"\d", "", wanted).replace("-", "") == re.sub(r"\d", "", there).replace(
            "-", ""
        )
        assert numbers(there) == pytest.approx(numbers(wanted), abs=1.01)
