"""All pictures of a finished study, written to a folder."""

from __future__ import annotations

import json
import logging
import re
import unicodedata
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from twin.errors import InvalidInput, TherapyTwinError
from twin.results import open_results
from twin.storage import write_atomically
from viz.eqd2_slices import eqd2_slices, has_eqd2
from viz.scan_timeline import has_scans, scan_timeline
from viz.scene_3d import Stage
from viz.scene_panels import PanelMaker, over_time, scenario_grid, telling_days
from viz.slice_views import SliceViews, slices
from viz.subject import Subject
from viz.volume_curves import curves_figure

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

    from twin.patient import Twin
    from twin.protocol import Progress

__all__ = [
    "draw_all",
    "file_name",
    "find_twin",
    "grid_days",
    "grid_name",
    "subject_with_twin",
    "write_pictures",
]

_LOG = logging.getLogger(__name__)
#: Days at which all treatments are shown side by side, where the study reaches them.
_GRID_DAYS = (180.0, 365.0)


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
        subject = subject_with_twin(results, results_folder, patient)
        folder = Path(output_folder)
        _make_folder(folder)
        written = []
        for name, figure in draw_all(subject, progress=progress):
            target = folder / name
            write_atomically(target, figure.savefig)
            written.append(target)
        return written
    finally:
        results.close()


def subject_with_twin(
    results: xr.Dataset, results_folder: str | Path, patient: Twin | str | Path | None
) -> Subject:
    """Results with the twin that they were computed on, checked by its content.

    Raises
    ------
    InvalidInput
        The patient that the caller gives is not the one of the study.
    """
    twin = find_twin(results_folder, patient)
    stored = str(results.attrs.get("twin_hash", ""))
    if twin is not None and stored and twin.content_hash != stored:
        if patient is not None:
            raise InvalidInput(
                "The patient is not the one that these results were computed on (another mesh, "
                "structure or date); give that one, or run the study again."
            )
        _LOG.warning("The study's patient has changed since; its mesh alone is drawn.")
        twin = None
    return Subject(results, twin)


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
    path = Path(results_folder) / named  # a path in study.json is relative to it
    try:
        return load(path)
    except (TherapyTwinError, OSError) as error:
        _LOG.warning("The study's patient cannot be read, so its mesh alone is drawn: %s", error)
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
        ("curves.png", partial(curves_figure, subject)),
        ("curves_log.png", partial(curves_figure, subject, logarithmic=True)),
        *([("scans.png", partial(scan_timeline, subject))] if has_scans(subject) else []),
        *[(grid_name(day), partial(scenario_grid, panels, day)) for day in grid_days(subject)],
    ]
    for number, scenario in enumerate(subject.scenarios, start=1):
        name = file_name(number, scenario)
        days = [day for day, _ in telling_days(subject, scenario)]
        wanted += [
            (f"{name}_3d.png", partial(over_time, panels, scenario)),
            (
                f"{name}_slices.png",
                partial(
                    slices, views, scenario=scenario, day=[days[min(1, len(days) - 1)], days[-1]]
                ),
            ),
        ]
        if has_eqd2(views, scenario):
            wanted.append((f"{name}_eqd2.png", partial(eqd2_slices, views, scenario)))
    found = []
    for done, (name, draw) in enumerate(wanted):
        if progress is not None:
            progress(done / len(wanted), name)
        found.append((name, draw()))
    panels.close()
    if progress is not None:
        progress(1.0, "pictures")
    return found


def grid_days(subject: Subject) -> list[float]:
    """Days at which all treatments are shown side by side, [day]; the last one at least."""
    last = float(subject.results["field_time"].values[-1])
    return [day for day in _GRID_DAYS if day <= last + 7.0] or [last]


def grid_name(day: float) -> str:
    """File name of the picture of all treatments on a day.

    >>> grid_name(180.0)
    'all_treatments_day_180.png'
    """
    return f"all_treatments_day_{day:.0f}.png"


def file_name(number: int, scenario: str) -> str:
    """A safe file name for a scenario, without an ending.

    >>> file_name(3, "60 Gy in 30 + temozolomide")
    '3_60_gy_in_30_temozolomide'
    """
    plain = unicodedata.normalize("NFKD", scenario).encode("ascii", "ignore").decode().lower()
    words = re.sub(r"[^a-z0-9]+", "_", plain).strip("_")[:60]
    return f"{number}_{words or 'scenario'}"
