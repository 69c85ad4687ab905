"""A whole import: the folder of a patient, with the file that a person finishes."""

from __future__ import annotations

import datetime as dt
import os
import secrets
import shutil
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from twin.errors import InvalidInput
from twin.importing.conversion import Converted, Written, convert
from twin.importing.found import Inventory
from twin.importing.mr_contrast import MR_CONTRASTS
from twin.storage import storage_errors

__all__ = ["Imported", "import_folder"]

Progress = Callable[[float, str], None] | None
_MOST_SHIFT_WEEKS = 520
#: What the names of organs say of their alpha/beta in the packaged parameters.
_PARAMETERS = {
    "brainstem": "alpha_beta_brainstem",
    "brain_stem": "alpha_beta_brainstem",
    "hippocamp": "alpha_beta_hippocampus",
    "chiasm": "alpha_beta_optic",
    "optic": "alpha_beta_optic",
}


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import wrote.

    Parameters
    ----------
    folder : Path
    written : tuple of Written
    missing : tuple of str
        What ``patient.toml`` still needs, in words.
    notes : tuple of str
    shifted : bool
        Whether dates were shifted.
    """

    folder: Path
    written: tuple[Written, ...]
    missing: tuple[str, ...]
    notes: tuple[str, ...]
    shifted: bool


def import_folder(
    inventory: Inventory,
    chosen: Sequence[int],
    target: str | os.PathLike[str],
    *,
    keep_dates: bool = False,
    progress: Progress = None,
) -> Imported:
    """Write what was chosen as NIfTI files and a ``patient.toml`` into a new folder.

    The folder appears when it is whole; no name, number or UID of the patient is in it. Dates
    are shifted by a number of whole weeks that is kept nowhere, unless `keep_dates`.

    Raises
    ------
    InvalidInput
        The folder is there already, or the first thing that cannot be used.
    """
    folder = Path(target)
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise InvalidInput(f"{folder} is there already; name a new or empty folder.")
    partial = folder.with_name(f".{folder.name}.part-{uuid.uuid4().hex[:8]}")
    with storage_errors(folder):
        partial.mkdir(parents=True)
    try:
        done = convert(inventory, chosen, partial, progress=progress)
        date, shifted = _date(inventory.reference_date, keep_dates)
        text, missing = patient_text(done, inventory, chosen, date)
        with storage_errors(folder):
            (partial / "patient.toml").write_text(text, encoding="utf-8")
            if folder.exists():
                folder.rmdir()
            partial.replace(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return Imported(folder, tuple(done.written), missing, tuple(done.notes), shifted)


def _date(reference: dt.date | None, keep: bool) -> tuple[dt.date | None, bool]:
    """Day 0 as it is written, and whether it is another than the true one."""
    if reference is None or keep:
        return reference, False
    return reference - dt.timedelta(weeks=1 + secrets.randbelow(_MOST_SHIFT_WEEKS)), True


def patient_text(
    done: Converted, inventory: Inventory, chosen: Sequence[int], date: dt.date | None
) -> tuple[str, tuple[str, ...]]:
    """Text of a ``patient.toml`` and what is missing in it, in words.

    What is known is filled in; each line that a person has to finish is marked TODO.
    """
    missing: list[str] = []
    surface = next(
        (one.body_surface_m2 for one in inventory.found if one.body_surface_m2 is not None), None
    )
    lines = [
        "# Written by twin import. What is marked TODO is to be finished by hand.",
        "# Research use only.",
        "format = 1",
        "",
        "[patient]",
        'name = "patient"                      # a pseudonym, never a real name',
    ]
    if surface is None:
        missing.append("the body surface")
        lines.append('# TODO body_surface = "1.8 m2"      # from height and weight')
    else:
        lines.append(f'body_surface = "{surface:g} m2"           # from height and weight')
    lines += ["", "[[visit]]"]
    if date is None:
        missing.append("the date of the reference images")
        lines.append("# TODO date = 2026-03-30               # of the reference images")
    else:
        lines.append(f"date = {date.isoformat()}")
    lines += ["reference = true", *_visit(done, inventory, missing)]
    lines += _structures(done)
    lines += [
        "",
        "[parameters]",
        'set = "glioblastoma"                  # TODO check that it fits',
        *_doses(done),
        *_plans(done),
    ]
    return "\n".join(lines) + "\n", tuple(missing)


def _by_role(done: Converted, role: str) -> list[Written]:
    return [one for one in done.written if one.role == role]


def _on_day_0(done: Converted, role: str) -> list[Written]:
    return [one for one in _by_role(done, role) if not one.day]


def _guess(one: Written, inventory: Inventory) -> str:
    """A comment on what was guessed, empty where nothing was."""
    source = inventory.found[one.number - 1].guessed_from
    return f"  # TODO check: a guess by the {source}" if source else ""


def _visit(done: Converted, inventory: Inventory, missing: list[str]) -> list[str]:
    lines = []
    tissues = _on_day_0(done, "tissues")
    if tissues:
        lines.append(f'tissues = "{tissues[0].file}"')
    else:
        missing.append("a tissue map of the head")
        lines.append(
            '# TODO tissues = "tissues.nii.gz"     # 1 fluid, 2 grey, 3 white matter, or '
            'tissue_labels = "freesurfer"'
        )
    tumour = _on_day_0(done, "segmentation")
    if tumour:
        files = [f'"{one.file}"' for one in tumour]
        lines.append(
            f"segmentation = {files[0] if len(files) == 1 else '[' + ', '.join(files) + ']'}"
        )
    else:
        missing.append("a segmentation of the tumour's parts")
        lines.append('# TODO segmentation = "tumour.nii.gz"  # twin segment, or drawn by hand')
    if done.convention is not None:
        guess = _guess(tumour[0], inventory) if tumour else ""
        lines.append(f'labels = "{done.convention}"{guess}')
    elif {"enhancing", "flair"} <= set(done.tumour):
        parts = ", ".join(f"{part} = {number}" for part, number in sorted(done.tumour.items()))
        lines.append(f"labels = {{ {parts} }}")
    else:
        lines.append('# TODO labels = "brats"                # or { necrosis = 1, flair = 2, ... }')
    images = _on_day_0(done, "image")
    t1 = next((one for one in images if one.contrast == "t1_contrast"), None) or next(
        (one for one in images if one.contrast == "t1"), None
    )
    if t1 is not None:
        lines.append(f't1 = "{t1.file}"{_guess(t1, inventory)}')
    adc = next((one for one in images if one.contrast == "adc"), None)
    if adc is not None:
        lines.append(
            f'# TODO density = {{ adc = {{ file = "{adc.file}", unit = "um2/s", noise = 50.0 }} }}'
            "  # check unit and noise"
        )
    others = [one for one in done.written if one not in (t1, *tissues, *tumour)]
    for one in others:
        if one.role in ("image", "labels", "dose", "segmentation", "tissues"):
            when = f", day {one.day:+d}" if one.day else ""
            shows = _shows(one, inventory)
            lines.append(f"# {one.file}: {one.what}{shows}{when}")
    return lines


def _shows(one: Written, inventory: Inventory) -> str:
    """What an MR image was guessed to show, empty for others."""
    name = MR_CONTRASTS.get(one.contrast)
    if name is None or one.role != "image":
        return ""
    source = inventory.found[one.number - 1].guessed_from
    return f", {name}" + (f" (a guess by the {source})" if source else "")


def _structures(done: Converted) -> list[str]:
    if done.organs is None or not done.organs.labels:
        return []
    file = next((one.file for one in _by_role(done, "structures")), "structures.nii.gz")
    lines = [
        "",
        "# Organs at risk. TODO keep what matters, name the parameter that is its alpha/beta.",
        "[structures]",
        f'file = "{file}"',
        "",
        "[structures.labels]",
    ]
    for name, number in done.organs.labels.items():
        parameter = next((p for word, p in _PARAMETERS.items() if word in name), None)
        known = f', parameter = "{parameter}"' if parameter else ""
        lost = done.organs.lost.get(name)
        remark = f"  # without {100 * lost:.2g} % that smaller organs take" if lost else ""
        lines.append(f"{name} = {{ label = {number}{known} }}{remark}")
    for name, reason in done.organs.left_out.items():
        lines.append(f"# {name} is not in it: {reason}")
    return lines


def _doses(done: Converted) -> list[str]:
    """A table for each dose; it is ready to be used where the plans agree on a prescription."""
    given = {
        plan.prescriptions[0].dose_gy
        for _, plan in done.plans
        if plan.prescriptions and plan.prescriptions[0].dose_gy
    }
    known = next(iter(given)) if len(given) == 1 else None
    mark = "" if known is not None else "# "
    prescribed = "?" if known is None else f"{known:g}"
    lines: list[str] = []
    for n, one in enumerate(_by_role(done, "dose"), start=1):
        name = "plan" if n == 1 else f"plan_{n}"
        kind = "biological" if one.what.startswith("effective") else "physical"
        lines += [
            "",
            f'# A study uses it by dose = "{name}" in [[scenario.radiotherapy]].',
            f"{mark}[doses.{name}]",
            f'{mark}file = "{one.file}"',
            f'{mark}prescribed = "{prescribed} Gy"                # TODO check',
            f'{mark}kind = "{kind}"',
        ]
    return lines


def _plans(done: Converted) -> list[str]:
    lines = []
    for number, plan in done.plans:
        dose = plan.prescriptions[0].dose_gy if plan.prescriptions else None
        total = "?" if dose is None else f"{dose:g}"
        lines += [
            "",
            f"# Number {number} of the table is a plan of {plan.fractions or '?'} fractions, "
            f"{total} Gy.",
            "# If it was given before the reference images:",
            "# [[history.radiotherapy]]",
            "# date = 2026-01-12                   # TODO of the first fraction",
            f'# total_dose = "{total} Gy"',
            f"# fractions = {plan.fractions or '?'}",
        ]
    return lines
