"""All pictures of a finished study, written to a folder."""

from __future__ import annotations

import json
import logging
import re
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from twin.errors import InvalidInput, TherapyTwinError
from twin.results import open_results
from twin.storage import write_atomically
from viz.scene_3d import Stage
from viz.scene_panels import PanelMaker, over_time, scenario_grid, telling_days
from viz.slice_views import SliceViews, slices
from viz.subject import Subject
from viz.volume_curves import curves_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from twin.patient import Twin
    from twin.protocol import Progress

__all__ = ["draw_all", "file_name", "find_twin", "write_pictures"]

_LOG = logging.getLogger(__name__)
_GRID_DAY = 365.0


def write_pictures(
    results_folder: str | Path,
    output_folder: str | Path,
    *,
    patient: Twin | str | Path | None = None,
    progress: Progress | None = None,
) -> list[Path]:
    """Paths of the pictures of a study, each written whole or not at all.

    Parameters
    ----------
    results_folder : path
        Made by ``twin run``.
    output_folder : path
        Made if it is not there.
    patient : Twin, path or None
        For the image and the brain's surface; where the study says it came from if
        None. Without a patient the mesh alone is drawn.
    progress : callable or None
        Called with the fraction done and the picture's name.

    Raises
    ------
    InvalidInput
        No finished study in the folder, or the patient of another one.
    StorageFailed
        A picture cannot be written.
    """
    results = open_results(results_folder)
    try:
        subject = Subject(results, find_twin(results_folder, patient))
        folder = Path(output_folder)
        _make_folder(folder)
        written = []
        for name, figure in draw_all(subject, progress=progress):
            target = folder / name
            write_atomically(target, lambda part, figure=figure: figure.savefig(part))
            written.append(target)
        return written
    finally:
        results.close()


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidInput(
            f"The folder {folder} for pictures cannot be made ({error.strerror}); name another one."
        ) from None


def find_twin(results_folder: str | Path, patient: Twin | str | Path | None) -> Twin | None:
    """The twin that a study was run with; None where the study does not lead to it.

    Parameters
    ----------
    results_folder : path
    patient : Twin, path or None
        A patient given by the caller must load; one that the study names may be gone.
    """
    from twin import load

    if patient is not None:
        return load(patient) if isinstance(patient, str | Path) else patient
    named = _named_patient(Path(results_folder))
    if not named:
        return None
    for path in (Path(named), Path(results_folder) / named):
        if path.exists():
            try:
                return load(path)
            except TherapyTwinError as error:
                _LOG.warning("The patient of the study does not load: %s", error)
    _LOG.warning("The patient of the study is not at %s; its mesh alone is drawn.", named)
    return None


def _named_patient(folder: Path) -> str:
    try:
        record = json.loads((folder / "study.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""
    return str(record.get("patient", "")) if isinstance(record, dict) else ""


def draw_all(subject: Subject, *, progress: Progress | None = None) -> list[tuple[str, Figure]]:
    """File name and figure of every picture of a study, in the order of the report.

    Parameters
    ----------
    subject : Subject
    progress : callable or None
        Called with the fraction done and the picture's name.
    """
    panels = PanelMaker(Stage(subject))
    views = SliceViews(subject)
    wanted: list[tuple[str, Callable[[], Figure]]] = [
        ("curves.png", lambda: curves_figure(subject)),
        ("curves_log.png", lambda: curves_figure(subject, logarithmic=True)),
        ("all_treatments.png", lambda: scenario_grid(panels, _GRID_DAY)),
    ]
    for number, scenario in enumerate(subject.scenarios, start=1):
        name = file_name(number, scenario)
        days = [day for day, _ in telling_days(subject, scenario)]
        wanted += [
            (f"{name}_3d.png", lambda scenario=scenario: over_time(panels, scenario)),
            (
                f"{name}_slices.png",
                lambda scenario=scenario, days=days: slices(
                    views, scenario=scenario, day=[days[min(1, len(days) - 1)], days[-1]]
                ),
            ),
        ]
    found = []
    for done, (name, draw) in enumerate(wanted):
        if progress is not None:
            progress(done / len(wanted), name)
        found.append((name, draw()))
    panels.close()
    if progress is not None:
        progress(1.0, "pictures")
    return found


def file_name(number: int, scenario: str) -> str:
    """A safe file name for a scenario, without an ending.

    >>> file_name(3, "60 Gy in 30 + temozolomide")
    '3_60_gy_in_30_temozolomide'
    """
    plain = unicodedata.normalize("NFKD", scenario).encode("ascii", "ignore").decode().lower()
    words = re.sub(r"[^a-z0-9]+", "_", plain).strip("_")[:60]
    return f"{number}_{words or 'scenario'}"
