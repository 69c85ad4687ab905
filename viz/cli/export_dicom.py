"""``twin export``."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from viz.cli.running import Output

DESCRIPTION = """\
Predicted tumour and planned targets on the patient's original DICOM series, as a DICOM
segmentation and an RT structure set that a planning system or 3D Slicer opens over it.
The patient must have been built from that series, or from images registered to it."""
EXAMPLES = """\
  twin export demo/results --series ct/ --day 180 -o demo/dicom
  twin export demo/results --series mr/ --day 90 --scenario "60 Gy" --planned -o demo/dicom
  twin export demo/results --series mr/ --day 90 --pseudonym "case 12" -o demo/dicom"""
FILES = {"seg": "prediction_seg.dcm", "rtstruct": "prediction_rtstruct.dcm"}
_WHOSE = (
    "The files carry the patient's name, number, birth date and study as the series does: they go "
    "back to where it came from, and nowhere else. --pseudonym writes another name."
)
_PSEUDONYM = (
    "The files carry the pseudonym, but still the UIDs of the series' study, by which they lie on "
    "it: who has the series knows whose they are."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("results", metavar="RESULTS", help="results folder of 'twin run'")
    parser.add_argument(
        "--series", required=True, metavar="DIR", help="folder of the original CT, MR or PET series"
    )
    parser.add_argument("--day", required=True, type=float, metavar="D", help="day [day]")
    parser.add_argument("-o", "--output", required=True, metavar="DIR", help="folder of the files")
    parser.add_argument("--scenario", metavar="NAME", help="treatment (default: the first)")
    parser.add_argument("--case", metavar="NAME", help="case (default: the first)")
    parser.add_argument(
        "--threshold", action="append", metavar="NAME", help="visibility, repeatable (default: all)"
    )
    parser.add_argument(
        "--planned", action="store_true", help="also CTV, PTV and boost of the scenario"
    )
    parser.add_argument(
        "--only", choices=sorted(FILES), help="write one of the two files (default: both)"
    )
    parser.add_argument(
        "--fractional", action="store_true", help="segmentation with shares of voxels"
    )
    parser.add_argument("--pseudonym", metavar="NAME", help="instead of the patient's name")
    parser.add_argument(
        "--patient", metavar="PATH", help="patient.toml or built folder (default: the study's own)"
    )
    parser.add_argument("--force", action="store_true", help="replace files that are there")


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Draw the structures on the series and write them."""
    from pathlib import Path

    import numpy as np

    from twin.dicom.export_content import write_dicom
    from twin.dicom.export_segmentation import segmentation_dataset
    from twin.dicom.export_structures import structures_dataset
    from twin.dicom.files import safe_files
    from twin.errors import InvalidInput
    from twin.results import RESEARCH_USE_ONLY, open_results
    from viz.dicom_export import planned_structures, predicted_structures
    from viz.pictures import subject_with_twin

    wanted = [arguments.only] if arguments.only else list(FILES)
    targets = {kind: Path(arguments.output) / FILES[kind] for kind in wanted}
    for target in targets.values():
        if target.exists() and not arguments.force:
            raise InvalidInput(f"{target} is there already; replace it with --force.")
    if not np.isfinite(arguments.day):
        raise InvalidInput(f"--day is {arguments.day}; give a number of days.")
    series = safe_files(Path(arguments.series))
    results = open_results(arguments.results)
    try:
        subject = subject_with_twin(results, arguments.results, arguments.patient)
        structures = predicted_structures(
            subject,
            arguments.day,
            scenario=arguments.scenario,
            case=arguments.case,
            thresholds=arguments.threshold,
        )
        day = subject.nearest_field_day(arguments.day)
        moved = "displacement" in results.variables
        if arguments.planned:
            structures += planned_structures(subject, scenario=arguments.scenario)
    finally:
        results.close()
    more = {"pseudonym": arguments.pseudonym}
    with output.progress("drawing") as progress:
        datasets = {}
        for number, kind in enumerate(targets):
            if kind == "seg":
                datasets[kind] = segmentation_dataset(
                    structures, series, fractional=arguments.fractional, **more
                )
            else:
                datasets[kind] = structures_dataset(structures, series, **more)
            if progress is not None:
                progress((number + 1) / len(targets), FILES[kind])
    try:
        Path(arguments.output).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidInput(
            f"The folder {arguments.output} cannot be made ({error.strerror}); name another one."
        ) from None
    for kind, target in targets.items():
        write_dicom(datasets[kind], target)
    volumes = {
        one.name: float(np.sum(one.image.data, dtype=float)) * one.image.voxel_mm3 / 1e3
        for one in structures
    }
    remarks = [_WHOSE if arguments.pseudonym is None else _PSEUDONYM, RESEARCH_USE_ONLY]
    if day != arguments.day:
        remarks.insert(0, f"The density is kept at day {day:g}, the nearest to {arguments.day:g}.")
    if moved:
        remarks.insert(0, "Tissue is drawn where it lies on the images, not where it is pushed to.")
    for remark in remarks:
        output.say(remark)
    rows = [f"  {name:<28} {volume:8.2f} mL" for name, volume in volumes.items()]
    output.result(
        "\n".join([*(str(target) for target in targets.values()), *rows]),
        {
            "ok": True,
            "command": "export",
            "files": [str(target) for target in targets.values()],
            "day": day,
            "volumes_ml": volumes,
            "notes": remarks,
        },
    )
    return 0
