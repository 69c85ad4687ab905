"""``twin import``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from twin.importing.found import Found, Inventory
    from twin.importing.patient_writer import Imported
    from viz.cli.running import Output

DESCRIPTION = """\
Find out what a folder from a hospital or a segmentation network holds: series of CT, MR
and PET, segmentations, structure sets, dose and plan, as DICOM, NIfTI or NRRD, and what
goes with what. With -o it becomes a patient folder: NIfTI files and a patient.toml that a
person finishes. Names, numbers and UIDs of the patient stay in the DICOM files; dates are
shifted by whole weeks unless --keep-dates."""
EXAMPLES = """\
  twin import hospital/
  twin import hospital/ -o patient
  twin import hospital/ -o patient --only 1,3,4
  twin import hospital/ --json"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("folder", metavar="FOLDER", help="a folder with the files of one patient")
    parser.add_argument("-o", "--output", metavar="PATIENT", help="new folder to write")
    parser.add_argument(
        "--only", type=_numbers, metavar="N,...", help="numbers of the table to take (default: all)"
    )
    parser.add_argument(
        "--all-frames",
        action="store_true",
        help="take images of several frames of reference, which do not lie on each other",
    )
    parser.add_argument(
        "--keep-dates", action="store_true", help="write true dates instead of shifted ones"
    )


def _numbers(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no list of numbers; write for example 1,3,4"
        ) from None


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Look through the folder, show it, and write the patient folder if asked."""
    from twin.errors import InvalidInput
    from twin.importing.inventory import look_through
    from twin.importing.patient_writer import import_folder
    from twin.importing.selection import select

    if arguments.output is None:
        for option in ("only", "all_frames", "keep_dates"):
            if getattr(arguments, option):
                raise InvalidInput(
                    f"--{option.replace('_', '-')} goes with -o PATIENT, which says what to write."
                )
    with output.progress("looking through the folder") as progress:
        inventory = look_through(arguments.folder, progress=progress)
    if arguments.output is None:
        output.result(
            _table(inventory) + "\nNext: twin import FOLDER -o PATIENT writes it as a patient.",
            {"ok": True, "command": "import", **_content(inventory)},
        )
        return 0
    chosen = select(inventory, only=arguments.only, all_frames=arguments.all_frames)
    with output.progress("importing") as progress:
        done = import_folder(
            inventory,
            chosen,
            arguments.output,
            keep_dates=arguments.keep_dates,
            progress=progress,
        )
    output.result(
        f"{_table(inventory)}\n{_said(done)}",
        {
            "ok": True,
            "command": "import",
            **_content(inventory),
            "folder": str(done.folder),
            "files": [
                {"number": one.number, "file": one.file, "what": one.what,
                 "volume_ml": None if one.volume_ml is None else round(one.volume_ml, 3)}
                for one in done.written
            ],
            "missing": list(done.missing),
            "import_notes": list(done.notes),
            "dates_shifted": done.shifted,
        },
    )  # fmt: skip
    return 0


def _said(done: Imported) -> str:
    lines = [f"{done.folder} holds {_count(done)} and patient.toml."]
    for one in done.written:
        volume = "" if one.volume_ml is None else f", {one.volume_ml:.2f} mL"
        lines.append(f"  {one.file}: {one.what}{volume}")
    lines += [f"Note, {note}." for note in done.notes]
    if done.shifted:
        lines.append("Dates are shifted by whole weeks; the intervals are the true ones.")
    if done.missing:
        lines.append(f"patient.toml still needs {', '.join(done.missing)} (marked TODO in it).")
    else:
        lines.append(f"Next: look through {done.folder / 'patient.toml'}, then twin build.")
    return "\n".join(lines)


def _count(done: Imported) -> str:
    return "1 image" if len(done.written) == 1 else f"{len(done.written)} images"


def _kind(one: Found) -> str:
    if one.kind == "image" and one.contrast != "image":
        guess = f" (guess by {one.guessed_from})" if one.guessed_from else ""
        return f"{one.contrast.replace('_', ' ')}{guess}"
    return one.kind


def _day(inventory: Inventory, number: int) -> str:
    day = inventory.days[number - 1]
    return "" if day is None else f"{day:+d}" if day else "0"


def _size(one: Found) -> str:
    if one.shape is None:
        return ""
    sides = " x ".join(str(side) for side in one.shape)
    if not one.spacing_mm:
        return sides
    return f"{sides} of {' x '.join(f'{side:.3g}' for side in one.spacing_mm)} mm"


def _structures(one: Found, most: int = 8) -> str:
    shown = list(one.structures[:most])
    more = len(one.structures) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")


def _rows(inventory: Inventory) -> list[Sequence[str]]:
    rows: list[Sequence[str]] = [
        ("no", "what", "source", "day", "size", "frame", "with", "structures", "notes")
    ]
    for number, one in inventory.numbered():
        remarks = [*one.notes, *([f"CANNOT BE USED: {one.problem}"] if one.problem else [])]
        rows.append(
            (
                str(number),
                _kind(one),
                " ".join(part for part in (one.source, one.modality) if part),
                _day(inventory, number),
                _size(one),
                inventory.frames[number - 1],
                ", ".join(map(str, inventory.partners[number - 1])),
                _structures(one),
                "; ".join(remarks),
            )
        )
    return rows


def _table(inventory: Inventory) -> str:
    """The table as text; rich draws it."""
    from io import StringIO

    from rich.console import Console
    from rich.table import Table

    head, *rows = _rows(inventory)
    used = [k for k in range(len(head)) if any(row[k] for row in rows)]
    table = Table(box=None, pad_edge=False, header_style="none")
    for k in used:
        table.add_column(head[k], justify="right" if head[k] in ("no", "day") else "left")
    for row in rows:
        table.add_row(*(row[k] for k in used))
    target = StringIO()
    console = Console(file=target, width=140, color_system=None, highlight=False, markup=False)
    console.print(table)
    text = "\n".join(line.rstrip() for line in target.getvalue().splitlines())
    lines = [text, *inventory.notes]
    if inventory.ignored:
        lines.append(f"Files of other kinds, passed over: {inventory.ignored}.")
    return "\n".join(lines)


def _content(inventory: Inventory) -> dict[str, Any]:
    return {
        "found": [
            {
                "number": number,
                "kind": one.kind,
                "contrast": one.contrast,
                "guessed_from": one.guessed_from,
                "source": one.source,
                "modality": one.modality,
                "day": inventory.days[number - 1],
                "shape": None if one.shape is None else list(one.shape),
                "spacing_mm": None if one.spacing_mm is None else list(one.spacing_mm),
                "frame": inventory.frames[number - 1],
                "with": list(inventory.partners[number - 1]),
                "structures": list(one.structures),
                "notes": list(one.notes),
                "problem": one.problem,
            }
            for number, one in inventory.numbered()
        ],
        "ignored": inventory.ignored,
        "notes": list(inventory.notes),
    }
