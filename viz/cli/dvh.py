"""``twin dvh``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from twin.dose_files import DoseGrid
    from twin.outlines import Outlines
    from twin.structure_doses import StructureDose
    from viz.cli.running import Output
    from viz.dvh_text import Asked

DESCRIPTION = """\
Dose-volume histograms of a plan's structures, of files alone: volume, mean, extremes, D98,
D95, D50 and D2, and on demand V at given doses, gEUD, a picture and the curves. The dose
is DICOM (RTDOSE), NIfTI or NRRD in Gy; the structures are DICOM (RTSTRUCT, SEG) or a label
map in NIfTI or NRRD. Research use only."""
EXAMPLES = """\
  twin dvh --dose rtdose.dcm --structures rtss.dcm --prescription "50 Gy" --picture dvh.png
  twin dvh --dose dose.nii.gz --structures labels.nii.gz --labels totalsegmentator --at "20 Gy"
  twin dvh --dose rtdose.dcm --structures rtss.dcm --against-stored --end-slabs none
  twin dvh --dose dose.nrrd --unit cGy --structures organs.seg.nrrd --output curves.csv"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument(
        "--dose", required=True, metavar="FILE", help="RTDOSE, or NIfTI or NRRD in Gy"
    )
    parser.add_argument(
        "--structures", required=True, metavar="FILE", help="RTSTRUCT, SEG, or a label map"
    )
    parser.add_argument(
        "--structure", action="append", metavar="NAME", help="only this one; may be repeated"
    )
    parser.add_argument(
        "--labels", metavar="NAME|FILE",
        help="what the numbers of a label map mean: a convention's name, or a .toml or .json file",
    )  # fmt: skip
    parser.add_argument(
        "--unit", choices=("Gy", "cGy"), help="of a NIfTI or NRRD dose (default: Gy)"
    )
    parser.add_argument(
        "--confirm-high-dose", action="store_true", help="more than 200 Gy are meant"
    )
    asked = parser.add_argument_group("what to say")
    asked.add_argument(
        "--at", action="append", metavar="DOSE", help='volume that gets it ("20 Gy"); repeatable'
    )
    asked.add_argument("--geud", type=float, metavar="A", help="also gEUD with this exponent a")
    asked.add_argument(
        "--prescription", metavar="DOSE", help='such as "50 Gy": V at 95 and 107 %% of it'
    )
    asked.add_argument(
        "--convention", choices=("step", "linear"), default="step",
        help="D is the dose of a voxel, or interpolated between voxels (default: step)",
    )  # fmt: skip
    asked.add_argument(
        "--against-stored", action="store_true",
        help="beside the histograms that the planning system stored with an RTDOSE",
    )  # fmt: skip
    grid = parser.add_argument_group("how structures are filled")
    grid.add_argument(
        "--end-slabs", choices=("half", "none"),
        help="what lies beyond the outermost contours: half a slab (default), or nothing, as some "
        "planning systems have it",
    )  # fmt: skip
    grid.add_argument(
        "--interpolate", action="append", metavar="NAME",
        help="contours of this structure go over into each other between their planes; repeatable",
    )  # fmt: skip
    grid.add_argument(
        "--parts", type=int, choices=(1, 3, 5),
        help="divide every voxel in so many along each side (default: small structures)",
    )  # fmt: skip
    files = parser.add_argument_group("files to write")
    files.add_argument("-o", "--output", metavar="FILE.csv", help="the curves")
    files.add_argument(
        "--step-gy", type=float, metavar="GY", help="distance of their doses (default: 0.1)"
    )
    files.add_argument("--picture", metavar="FILE.png", help="the curves drawn")
    files.add_argument("--force", action="store_true", help="replace files that are there")


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Measure, write and say."""
    from twin.dose_files import read_dose_grid
    from twin.outlines import read_outlines
    from viz.cli.targets import target_file
    from viz.dvh_text import against_stored, curves_csv, data_of, text_of

    table = target_file(arguments.output, ".csv", force=arguments.force)
    picture = target_file(arguments.picture, ".png", force=arguments.force)
    asked = _asked(arguments)
    dose = read_dose_grid(
        arguments.dose, unit=arguments.unit, confirm_high=arguments.confirm_high_dose
    )
    if table is not None:
        _check_step(asked.step_gy, float(dose.image.data.max()))
    outlines = read_outlines(
        arguments.structures,
        labels=arguments.labels,
        only=arguments.structure or (),
        smooth=arguments.interpolate or (),
        end_caps=arguments.end_slabs != "none",
        identifiers=dose.identifiers,
    )
    notes = _check_pair(arguments, dose, outlines)
    with output.progress("filling structures") as progress:
        found = _measured(dose, outlines, arguments.parts, progress)
    stored = against_stored(dose, outlines, found, asked) if arguments.against_stored else None
    written = []
    if table is not None:
        _write_text(table, curves_csv(found, asked.step_gy))
        written.append(table)
    if picture is not None:
        from viz.dvh_figure import dvh_figure
        from viz.fit_figures import write_figure

        shown = stored.histograms if stored else {}
        write_figure(picture, dvh_figure(found, dose, asked, stored=shown))
        written.append(picture)
    remarks = [*dose.notes, *outlines.notes, *notes]
    files = (Path(arguments.dose).name, Path(arguments.structures).name)
    output.result(
        "\n".join(
            [
                *text_of(files, dose, outlines, found, asked, stored),
                *(f"Note: {note}." for note in remarks),
                *(f"Written: {path}" for path in written),
            ]
        ),
        {
            "ok": True,
            "command": "dvh",
            **data_of(dose, outlines, found, asked, stored),
            "notes": remarks,
            "table": None if table is None else str(table),
            "picture": None if picture is None else str(picture),
        },
    )
    return 0


def _asked(arguments: argparse.Namespace) -> Asked:
    """What was asked for, checked before anything is read."""
    import math

    from twin.errors import InvalidInput
    from twin.units import parse_quantity
    from viz.dvh_text import Asked as What

    def gray(option: str, text: str) -> float:
        value = parse_quantity(text, "Gy", where=option, at_least=0.0)
        if value == 0.0:
            raise InvalidInput(f'{option}: "{text}" is no dose; give one above 0, such as "20 Gy".')
        return value

    if arguments.geud is not None and not math.isfinite(arguments.geud):
        raise InvalidInput(f"--geud: the exponent a is {arguments.geud}; it must be finite.")
    if arguments.step_gy is not None and arguments.output is None:
        raise InvalidInput("--step-gy goes with --output FILE.csv, whose doses it spaces.")
    step = 0.1 if arguments.step_gy is None else arguments.step_gy
    prescription = arguments.prescription
    return What(
        at_gy=tuple(gray("--at", text) for text in arguments.at or ()),
        geud_a=arguments.geud,
        prescription_gy=None if prescription is None else gray("--prescription", prescription),
        convention=arguments.convention,
        step_gy=step,
    )


def _check_step(step: float, highest: float) -> None:
    from twin.errors import InvalidInput

    if not 1e-6 < step < float("inf") or highest / step > 100_000:
        least = max(0.001, highest / 100_000)
        raise InvalidInput(
            f"--step-gy is {step:g} Gy; with doses up to {highest:.3g} Gy give at least "
            f"{least:.3g} Gy, such as 0.1."
        )


def _check_pair(arguments: argparse.Namespace, dose: DoseGrid, outlines: Outlines) -> list[str]:
    """Refuse files that do not belong together; what else to know."""
    from twin.errors import GeometryMismatch, InvalidInput

    frames = (dose.frame_of_reference, outlines.frame_of_reference)
    if all(frames) and frames[0] != frames[1]:
        raise GeometryMismatch(
            "Dose and structures have different frames of reference, so that they do not lie on "
            "each other; export both for the same planning image."
        )
    if not arguments.against_stored:
        return []
    if outlines.kind != "structure set":
        raise InvalidInput(
            f"--against-stored needs the structure set (RTSTRUCT) that the histograms refer to; "
            f"{Path(arguments.structures).name} is a {outlines.kind}."
        )
    if not any(number in dose.histograms for number in outlines.numbers):
        there = "of other structures" if dose.histograms else "in Gy and cm3"
        negation = "only histograms" if dose.histograms else "no histogram"
        raise InvalidInput(
            f"--against-stored: {Path(arguments.dose).name} holds {negation} {there}; export the "
            "dose with its DVHs, or leave the option out."
        )
    if _refers_elsewhere(Path(arguments.dose), Path(arguments.structures)):
        return ["the dose's histograms refer to another structure set; they are paired by number"]
    return []


def _refers_elsewhere(dose: Path, structures: Path) -> bool:
    """Whether a dose names a structure set that is not this one."""
    from twin.dicom.files import read_header

    with_dose, own = read_header(dose), read_header(structures)
    if with_dose is None or own is None:
        return False
    named = {
        str(item.get("ReferencedSOPInstanceUID") or "")
        for item in with_dose.get("ReferencedStructureSetSequence") or ()
    } - {""}
    return bool(named) and str(own.get("SOPInstanceUID") or "") not in named


def _measured(
    dose: DoseGrid, outlines: Outlines, parts: int | None, progress: object
) -> dict[str, StructureDose]:
    from twin.errors import InvalidInput
    from twin.structure_doses import structure_dose

    found = {}
    for number, (name, outline) in enumerate(outlines.structures.items()):
        if callable(progress):
            progress(number / len(outlines.structures), name)
        found[name] = structure_dose(name, outline, dose.image, parts=parts)
    if any(one.histogram is not None for one in found.values()):
        return found
    if not any(one.volume_ml > 0.0 for one in found.values()):
        raise InvalidInput(
            f"The contours of {', '.join(found)} enclose no volume; draw areas, or name others."
        )
    raise InvalidInput(
        f"The dose covers none of the structures {', '.join(found)}; check that dose and "
        "structures belong together."
    )


def _write_text(path: Path, text: str) -> None:
    from twin.storage import write_atomically

    write_atomically(path, lambda part: part.write_text(text, encoding="utf-8"))
