"""The report holds every number of the comparison and opens without a network."""

import html
import re
from html.parser import HTMLParser

import pytest
from synthetic_results import ball_twin, regimens, synthetic_results

from scenarios.comparison import compare
from scenarios.comparison_text import with_error
from twin.errors import InvalidInput
from twin.results import RESEARCH_USE_ONLY, netcdf_bytes
from viz.html import items, nested, table, text
from viz.report import write_report

# A PNG of one pixel stands for the pictures, which have tests of their own.
PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c4944415408d763"
    "f8cfc0000003010100c9fe92ef0000000049454e44ae426082"
)


class Page(HTMLParser):
    """Tags with their attributes, checked to be closed in order; and the text."""

    EMPTY = frozenset({"meta", "img", "br"})

    def __init__(self):
        super().__init__()
        self.tags, self.open, self.words = [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.words.append(data)


@pytest.fixture(scope="module")
def patient():
    return ball_twin()


@pytest.fixture(scope="module")
def results(patient):
    return synthetic_results(patient)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, results):
    path = tmp_path_factory.mktemp("results")
    (path / "results.nc").write_bytes(netcdf_bytes(results))
    return path


@pytest.fixture(scope="module")
def source(folder, patient):
    picture = folder / "curves.png"
    picture.write_bytes(PIXEL)
    path = write_report(
        folder,
        folder / "report.html",
        patient=patient,
        pictures=[picture],
        surrogate={"held_out": {"median_error": 0.0123, "runs": 52}, "families": ["a", "<b>"]},
        what_if=[{"question": "25 fractions", "volume_ml": 31.25, "interval_ml": [28.0, 34.5]}],
    )
    assert path == folder / "report.html"
    return path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(source):
    parsed = Page()
    parsed.feed(source)
    parsed.close()
    assert parsed.open == []
    return parsed


@pytest.fixture(scope="module")
def words(page):
    return re.sub(r"\s+", " ", " ".join(page.words))


def test_nothing_is_loaded_from_elsewhere(source, page):
    assert not re.search(r"https?:|url\(|@import|<script|<link|<iframe", source)
    for tag, attributes in page.tags:
        for name in ("src", "href", "srcset", "data"):
            value = attributes.get(name)
            assert value is None or value.startswith(("#", "data:image/png;base64,")), tag
    assert sum(tag == "img" for tag, _ in page.tags) == 1


def test_every_link_of_the_contents_leads_somewhere(page):
    anchors = {attributes["id"] for tag, attributes in page.tags if "id" in attributes}
    links = {attributes["href"][1:] for tag, attributes in page.tags if tag == "a"}
    assert links == anchors
    assert {"question", "results", "ranking", "surrogate", "limits", "reproduce"} <= links


def test_banner_is_there(page, words):
    assert ("div", {"class": "banner", "role": "note"}) in page.tags
    assert RESEARCH_USE_ONLY in words


def test_every_number_of_the_comparison_is_there(results, words):
    comparison = compare(results)
    for name, row in comparison.table.iterrows():
        assert str(name) in words
        for head in comparison.table:
            if " volume " in head and "error" not in head:
                error = row[head.replace(" [ml]", " error [ml]")]
                assert with_error(row[head], error) in words
            elif head.endswith("nadir [ml]"):
                assert f"{row[head]:.2f}" in words
    for _, row in comparison.organs.iterrows():
        for organ in ("brain", "brainstem (stylised)"):
            mean, hottest = row[f"{organ} mean [Gy EQD2]"], row[f"{organ} D0.03cc [Gy EQD2]"]
            assert f"{mean:.1f} / {hottest:.1f}" in words
    assert "> 400 d" in words  # progression that is not reached
    assert "55 ± 2 d" in words
    for ranking in comparison.rankings:
        assert ranking.endpoint in words


def test_range_of_the_cases_stands_under_the_reference(results, words):
    volumes = [
        float(compare(results, case=case).table.loc["no treatment", "FLAIR volume 180 d [ml]"])
        for case in results["case"].values
    ]
    assert f"{min(volumes):.1f} to {max(volumes):.1f}" in words


def test_treatments_are_in_plain_sentences_with_what_differs(words):
    assert "weekdays from Mon 27 Apr 2026 (day 28) to Fri 05 Jun 2026 (day 67)" in words
    assert "compared with “no treatment”; differs in: radiotherapy" in words


def test_assumptions_have_sources_and_grades(patient, words):
    for name in patient.parameters:
        entry = patient.parameters[name]
        assert name.replace("_", " ") in words
        assert entry.source in words


def test_nothing_names_the_patient(source):
    assert "SURNAME" not in source
    assert "GIVEN" not in source


def test_how_to_reproduce(results, words):
    assert results.attrs["twin_hash"] in words
    assert "SHA-256 of results.nc" in words
    assert "twin run study.toml" in words


def test_surrogate_is_summed_up(words):
    for wanted in ("held out", "0.0123", "52", "25 fractions", "31.25", "28, 34.5", "a, <b>"):
        assert wanted in words


def test_text_is_escaped(source):
    assert "60 Gy &lt;in 30&gt;" in source
    assert "<in 30>" not in source
    attack = "<script>alert('x')</script>\""
    for made in (text(attack), items([attack]), table([attack], [[attack]]), nested({"a": attack})):
        assert "<script" not in made
        assert html.escape(attack, quote=True) in made


def test_a_report_needs_results_and_a_place(folder, tmp_path):
    with pytest.raises(InvalidInput, match="no results"):
        write_report(tmp_path, tmp_path / "report.html")
    with pytest.raises(InvalidInput, match="folder that exists"):
        write_report(folder, tmp_path / "absent" / "report.html")
    assert list(tmp_path.iterdir()) == []


def test_another_patient_is_refused(folder, patient):
    other = patient.replace(body_surface_m2=1.9)
    with pytest.raises(InvalidInput, match="not the one"):
        write_report(folder, folder / "other.html", patient=other, pictures=[])
    assert not (folder / "other.html").exists()


def test_every_arm_is_listed(words):
    for name in regimens():
        assert name in words
