"""One self-contained report of a study: a page that opens anywhere, without a network."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scenarios.comparison import Comparison, compare
from twin.errors import InvalidInput
from twin.markers import marker_sentences
from twin.results import RESEARCH_USE_ONLY, open_results
from twin.storage import write_atomically
from viz.control_section import control_section
from viz.html import Raw, data_table, image, nested, paragraph, section, text
from viz.pictures import draw_all, file_name, grid_days, grid_name, subject_with_twin
from viz.report_sections import (
    limits_section,
    mesh_quality_rows,
    organs_section,
    parameters_section,
    question_section,
    ranking_section,
    reproduce_section,
    results_section,
    scenarios_section,
)
from viz.subject import Subject

if TYPE_CHECKING:
    from twin.patient import Twin
    from twin.protocol import Progress

__all__ = ["write_report"]

_CONTENTS = {
    "question": "Question",
    "patient": "Patient",
    "scenarios": "Treatments",
    "results": "Results",
    "ranking": "Ranking",
    "control": "Tumour control",
    "organs": "Organs",
    "pictures": "Pictures",
    "surrogate": "Surrogate",
    "assumptions": "Assumptions",
    "limits": "Limits",
    "reproduce": "Reproduce",
}
_BRAIN_PARTS = {
    "necrosis": "necrosis on day 0",
    "enhancing": "enhancing tumour on day 0",
    "flair": "FLAIR abnormality around it",
}


def write_report(
    results_folder: str | Path,
    output: str | Path,
    *,
    patient: Twin | str | Path | None = None,
    pictures: Sequence[Path] | None = None,
    surrogate: Mapping[str, Any] | None = None,
    what_if: Sequence[Mapping[str, Any]] = (),
    progress: Progress | None = None,
) -> Path:
    """Path of the report of a study, written whole or not at all.

    Parameters
    ----------
    results_folder : path
        Made by ``twin run``.
    output : path
        The HTML file; its folder must exist.
    patient : Twin, path or None
        As for `write_pictures`.
    pictures : sequence of path or None
        Pictures that `write_pictures` has written, taken in by their names; drawn
        anew if None.
    surrogate : mapping or None
        Summary of the surrogate as plain data: held-out error, training, families.
    what_if : sequence of mapping
        Answers of the surrogate as plain data: question, values, intervals.
    progress : callable or None

    Raises
    ------
    InvalidInput
        No finished study in the folder, or the patient of another one.
    StorageFailed
        The report cannot be written.
    """
    target = Path(output)
    if target.is_dir() or not target.parent.is_dir():
        raise InvalidInput(
            f"The report cannot be written to {target}; name a file in a folder that exists, "
            "such as results/report.html."
        )
    results = open_results(results_folder)
    try:
        subject = subject_with_twin(results, results_folder, patient)
        drawn = _pictures(subject, pictures, progress)
        page = _page(subject, drawn, surrogate, what_if, _hashes(Path(results_folder)))
        write_atomically(target, lambda part: part.write_text(page, encoding="utf-8"))
    finally:
        results.close()
    return target


def _pictures(
    subject: Subject, paths: Sequence[Path] | None, progress: Progress | None
) -> dict[str, bytes]:
    """PNG of every picture by its file name."""
    if paths is not None:
        return {Path(path).name: Path(path).read_bytes() for path in paths}
    found = {}
    for name, figure in draw_all(subject, progress=progress):
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png")
        found[name] = buffer.getvalue()
    return found


def _hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of the result file and of the study, by what they are."""
    path = folder / "results.nc" if folder.is_dir() else folder
    found = {}
    for name, file in {"results.nc": path, "study.json": path.parent / "study.json"}.items():
        if file.exists():
            with file.open("rb") as stream:
                found[f"SHA-256 of {name}"] = hashlib.file_digest(stream, "sha256").hexdigest()
    return found


def _page(
    subject: Subject,
    drawn: Mapping[str, bytes],
    surrogate: Mapping[str, Any] | None,
    what_if: Sequence[Mapping[str, Any]],
    hashes: dict[str, str],
) -> str:
    comparisons = [compare(subject.results, case=case) for case in subject.cases]
    reference = comparisons[0]
    sections = [
        question_section(subject, reference, _picture(drawn, grid_name(grid_days(subject)[0]))),
        _patient_section(subject),
        scenarios_section(subject),
        results_section(
            comparisons,
            subject,
            [
                _picture(drawn, "curves.png", "Softened volume of every treatment over time."),
                _picture(drawn, "scans.png", "What scans on a calendar would show."),
            ],
        ),
        ranking_section(reference),
        control_section(comparisons),
        organs_section(reference),
        _pictures_section(subject, drawn),
        _surrogate_section(surrogate, what_if),
        parameters_section(subject),
        limits_section(subject),
        reproduce_section(subject, hashes),
    ]
    title = str(subject.results.attrs.get("title") or "Treatment study")
    title = title[:1].upper() + title[1:]
    return _document(title, [part for part in sections if part], reference)


def _document(title: str, sections: list[Raw], comparison: Comparison) -> str:
    style = files("viz").joinpath("report.css").read_text(encoding="utf-8")
    links = " ".join(
        f'<a href="#{anchor}">{text(name)}</a>'
        for anchor, name in _CONTENTS.items()
        if any(part.startswith(f'<section id="{anchor}"') for part in sections)
    )
    banner = text(comparison.notes[-1] or RESEARCH_USE_ONLY)
    return (
        '<!DOCTYPE html>\n<html lang="en-GB">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{text(title)} (research use only)</title>\n<style>\n{style}</style>\n</head>\n"
        f'<body>\n<div class="banner" role="note">{banner}</div>\n'
        f'<nav aria-label="Contents">{links}</nav>\n<main>\n<h1>{text(title)}</h1>\n'
        + "\n".join(sections)
        + "\n</main>\n</body>\n</html>\n"
    )


def _picture(drawn: Mapping[str, bytes], name: str, words: str = "") -> Raw:
    if name not in drawn:
        return Raw("")
    described = words or name.removesuffix(".png").replace("_", " ")
    return image(drawn[name], described, words)


def _patient_section(subject: Subject) -> Raw:
    """The patient and the mesh, without anything that names the person."""
    twin = subject.twin
    if twin is None:
        rows: dict[str, object] = {
            "mesh": f"{len(subject.points):,} nodes, {len(subject.cells):,} tetrahedra"
        }
        return section("patient", "The patient", data_table(rows))
    voxel_ml = float(np.linalg.norm(twin.grid.affine[:3, 0]) ** 3) / 1000.0
    tumour = {
        _part(name, subject): f"{structure.mask.sum() * voxel_ml:.1f} ml"
        for name, structure in twin.structures.items()
        if structure.kind == "tumour"
    }
    organs = [
        subject.site.part(name).replace("_", " ") + (" (stylised)" if structure.stylised else "")
        for name, structure in twin.structures.items()
        if structure.kind == "organ"
    ]
    given = twin.delivered.describe(twin.calendar) if twin.delivered.courses else ["nothing"]
    said = marker_sentences(twin.parameters)
    return section(
        "patient",
        "The patient",
        data_table(
            {
                "body surface": f"{twin.body_surface_m2:g} m²",
                **tumour,
                "structures": ", ".join(organs),
                "given before day 0": " ".join(given),
                **({"markers": " ".join(said)} if said else {}),
            }
        ),
        data_table(_mesh_rows(twin), caption="Mesh"),
    )


def _part(name: str, subject: Subject) -> str:
    """A structure of the tumour in words."""
    if subject.site.is_brain:
        return _BRAIN_PARTS.get(name, name)
    return f"{subject.site.part(name).replace('_', ' ')} on day 0"


def _mesh_rows(twin: Twin) -> dict[str, object]:
    from twin.meshing import mesh_quality

    labels = np.asarray(twin.tissues).astype(np.int16)
    for name in ("enhancing", "necrosis"):
        if name in twin.mesh.label_names.values():
            labels[twin.structures[name].mask] = twin.mesh.label_number(name)
    figures = mesh_quality(twin.mesh, labels, twin.grid.affine).as_dict()
    return mesh_quality_rows(figures, twin.parameters.site)


def _pictures_section(subject: Subject, drawn: Mapping[str, bytes]) -> Raw:
    parts = [
        _picture(drawn, "curves_log.png", "Softened volume of every treatment, logarithmic."),
        *[
            _picture(drawn, grid_name(day), "All treatments on one later day.")
            for day in grid_days(subject)[1:]
        ],
    ]
    for number, scenario in enumerate(subject.scenarios, start=1):
        name = file_name(number, scenario)
        both = [
            _picture(
                drawn,
                f"{name}_3d.png",
                f"{scenario}: the tumour in the {subject.site.organ} over time.",
            ),
            _picture(drawn, f"{name}_slices.png", f"{scenario}: outlines and dose on the images."),
            _picture(drawn, f"{name}_eqd2.png", f"{scenario}: EQD2, targets and organs."),
        ]
        parts += [Raw(f"<h3>{text(scenario)}</h3>"), *both]
    return section("pictures", "Pictures", *parts)


def _surrogate_section(
    surrogate: Mapping[str, Any] | None, what_if: Sequence[Mapping[str, Any]]
) -> Raw:
    if not surrogate and not what_if:
        return Raw("")
    parts = [
        paragraph(
            "A neural network that was trained on runs of the finite-element solver for this "
            "patient answers questions about other treatments at once. Its error was measured on "
            "runs that it had not seen."
        )
    ]
    if surrogate:
        parts.append(nested(surrogate))
    if what_if:
        parts += [Raw("<h3>What if?</h3>"), nested(list(what_if))]
    return section("surrogate", "The surrogate", *parts)
