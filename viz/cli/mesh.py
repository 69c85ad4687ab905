"""``twin mesh``."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from twin.images import Image
    from twin.label_mesh import LabelMesh
    from viz.cli.running import Output

DESCRIPTION = """\
Mesh any label map: tetrahedra with the labels' names (.vtu), and a page of the mesh's
quality beside it. A mesh below the bars of the quality gate is not written: what is
wrong and where is said, with a picture."""
EXAMPLES = """\
  twin mesh organs.nii.gz -o organs.vtu --labels totalsegmentator
  twin mesh organs.nii.gz -o organs.vtu --labels organs.toml --fine-around liver --cell-size 3
  twin mesh organs.nii.gz -o organs.vtu --labels organs.toml --place-tumour liver:15

organs.toml names the numbers, and what it leaves out is not meshed:
  [labels]
  liver = 5
  lung = [10, 11]"""

#: So many remarks on labels are printed; the page has all.
_MOST_REMARKS = 8
#: Name of a label that --place-tumour draws.
TUMOUR = "tumour"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("image", metavar="LABELS", help="the label map: NIfTI, NRRD, DICOM SEG")
    parser.add_argument(
        "-o", "--output", required=True, metavar="FILE.vtu", help="the mesh; .html goes beside it"
    )
    parser.add_argument(
        "--labels",
        metavar="NAMES",
        help="what the numbers mean: a convention such as totalsegmentator or freesurfer, a .toml "
        "file, nnU-Net's dataset.json (default: every number is a label of its own)",
    )
    parser.add_argument(
        "--image",
        dest="ground",
        metavar="FILE",
        help="an image on the same grid to draw beneath the mesh on the page",
    )
    parser.add_argument(
        "--cell-size",
        type=float,
        metavar="MM",
        help="edge of the smallest lattice cells (default: one and a half voxels)",
    )
    parser.add_argument(
        "--far-cell-size",
        type=float,
        metavar="MM",
        help="edge of the largest (default: four times the smallest)",
    )
    parser.add_argument(
        "--fine-around",
        action="append",
        default=[],
        metavar="NAME",
        help="a label about which cells are small; more than once for several",
    )
    parser.add_argument(
        "--fine-margin",
        type=float,
        default=25.0,
        metavar="MM",
        help="how far around it (default: %(default)g)",
    )
    parser.add_argument(
        "--place-tumour",
        metavar="NAME:MM",
        help=f"draw a ball of this radius wholly inside a label first, called {TUMOUR}; "
        "--seed chooses where",
    )
    parser.add_argument(
        "--lobes", type=int, default=0, metavar="N", help="of the drawn tumour (default: a ball)"
    )
    parser.add_argument("--force", action="store_true", help="replace files that are there")


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Mesh a label map."""
    import time
    from pathlib import Path

    from twin.errors import InvalidInput
    from twin.label_mesh import mesh_label_map
    from twin.meshing.gate import MeshRejected
    from viz.quality_page import write_quality_page
    from viz.quality_subject import subject_of_mesh

    begin = time.perf_counter()
    target = _target(Path(arguments.output), force=arguments.force)
    image, names, remarks = _labels(arguments)
    image, names, fine_around, drawn = _with_tumour(arguments, image, names)
    notes = [*remarks, *drawn]
    for note in notes:
        output.say(note)
    ground = _ground(arguments, image)
    try:
        with output.progress("meshing") as progress:
            made = mesh_label_map(
                image,
                names,
                cell_size_mm=arguments.cell_size,
                far_cell_size_mm=arguments.far_cell_size,
                fine_around=fine_around,
                fine_margin_mm=arguments.fine_margin,
                seed=arguments.seed or 0,
                progress=progress,
            )
    except MeshRejected as rejected:
        from viz.rejected_mesh import draw_rejected

        bad: Any = rejected.rejected
        picture = draw_rejected(
            target.with_name(f"{target.stem}-rejected.png"),
            rejected.verdict,
            bad.mesh,
            bad.labels,
            bad.affine,
            None if ground is None else _on_cubes(ground),
        )
        raise InvalidInput(f"{str(rejected).rstrip('.')} (drawn in {picture}).") from None
    _write(target, made)
    subject = subject_of_mesh(
        made.mesh,
        made.labels,
        made.affine,
        made.inspection,
        made.verdict,
        centre_of=fine_around[0] if fine_around else None,
        image=None if ground is None else _on_cubes(ground),
        notes=[*notes, _sizes(made), made.report.sentence()],
    )
    page = write_quality_page(subject, target.with_suffix(".html"), title="Quality of the mesh")
    seconds = time.perf_counter() - begin
    output.result(
        f"{_table(made)}\n\n{target} holds {len(made.mesh.points):,} nodes and "
        f"{len(made.mesh.cells):,} tetrahedra ({seconds:.1f} s). Quality of the mesh: {page}",
        {
            "ok": True,
            "command": "mesh",
            "mesh": str(target),
            "quality_page": str(page),
            "nodes": len(made.mesh.points),
            "cells": len(made.mesh.cells),
            "verdict": made.verdict.as_dict(),
            "volume_error": {
                name: figures.volume_error for name, figures in made.inspection.labels.items()
            },
            "seconds": round(seconds, 2),
        },
    )
    return 0


def _target(target: Path, *, force: bool) -> Path:
    from twin.errors import InvalidInput

    if target.suffix.lower() != ".vtu":
        raise InvalidInput(f"The mesh is written as .vtu; {target} ends in {target.suffix!r}.")
    if target.is_dir() or not target.absolute().parent.is_dir():
        raise InvalidInput(f"{target} cannot be written; name a file in a folder that exists.")
    there = [path for path in (target, target.with_suffix(".html")) if path.exists()]
    if there and not force:
        raise InvalidInput(f"{there[0]} is there already; replace it with --force.")
    return target


def _labels(arguments: argparse.Namespace) -> tuple[Image, dict[int, str], list[str]]:
    """The label map, the name of every number in it, and a remark on what has no name."""
    import numpy as np

    from twin.errors import InvalidInput
    from twin.image_files import read_labels
    from twin.images import Image

    image = _whole(read_labels(arguments.image), arguments.image)
    present = [int(number) for number in np.unique(image.data) if number != 0]
    if arguments.labels is None:
        return image, {number: f"label_{number}" for number in present}, []
    given = label_numbers(arguments.labels)
    data = np.zeros(image.data.shape, np.int16)
    names: dict[int, str] = {}
    for number, (name, values) in enumerate(given.items(), start=1):
        mine = np.isin(image.data, values)
        if mine.any():
            data[mine] = number
            names[number] = name
    if not names:
        raise InvalidInput(
            f"None of the numbers in {arguments.labels} occurs in the label map, which has "
            f"{', '.join(map(str, present)) or 'none above 0'}."
        )
    left = [number for number in present if not any(number in one for one in given.values())]
    remarks = []
    if left:
        shown = ", ".join(map(str, left[:10])) + (" and more" if len(left) > 10 else "")
        remarks = [f"Numbers without a name are outside and not meshed: {shown}."]
    return Image(data, image.affine), names, remarks


def _whole(image: Image, place: str) -> Image:
    """The label map as whole numbers; some programs store them as floats."""
    import numpy as np

    from twin.errors import InvalidInput
    from twin.images import Image

    if np.issubdtype(image.data.dtype, np.integer):
        return image
    rounded = np.rint(image.data)
    if not (np.array_equal(rounded, image.data) and np.abs(rounded).max() < 2**15):
        raise InvalidInput(
            f"The label map {place} holds numbers that are not whole; give labels, not an image "
            "or probabilities."
        )
    return Image(rounded.astype(np.int16), image.affine)


def label_numbers(source: str) -> Mapping[str, list[int]]:
    """Numbers of each name, by a convention's name or from a file of one's own.

    Raises
    ------
    InvalidInput
        No such convention or file, no table ``[labels]``, or a number that is wrong or named
        twice.
    """
    from twin.errors import InvalidInput
    from twin.toml_file import read_toml

    if not source.endswith(".toml"):
        from twin.label_conventions import convention

        return {name: [number] for name, number in convention(source).labels.items()}
    table = read_toml(source, what="file of label names").get("labels")
    if not isinstance(table, dict) or not table:
        raise InvalidInput(
            f"{source} must hold a table [labels] with lines such as liver = 5 or lung = [10, 11]."
        )
    found: dict[str, list[int]] = {}
    taken: dict[int, str] = {}
    for name, value in table.items():
        values = value if isinstance(value, list) else [value]
        for one in values:
            if not isinstance(one, int) or isinstance(one, bool) or not 0 < one < 2**15:
                raise InvalidInput(
                    f"{source}: {name} is {value!r}; labels are whole numbers from 1 to 32767."
                )
            if one in taken:
                raise InvalidInput(f"{source}: label {one} is both {taken[one]} and {name}.")
            taken[one] = name
        found[name] = list(values)
    return found


def _with_tumour(
    arguments: argparse.Namespace, image: Image, names: dict[int, str]
) -> tuple[Image, dict[int, str], list[str], list[str]]:
    """The label map with the drawn tumour, names, where cells are fine, and a remark."""
    from twin.errors import InvalidInput
    from twin.placed_tumour import place_tumour

    fine_around = list(arguments.fine_around)
    if arguments.place_tumour is None:
        if arguments.lobes:
            raise InvalidInput("--lobes goes with --place-tumour NAME:MM.")
        return image, names, fine_around, []
    name, _, radius = arguments.place_tumour.rpartition(":")
    try:
        radius_mm = float(radius)
    except ValueError:
        radius_mm = float("nan")
    organ = [number for number, known in names.items() if known == name]
    if not organ or not radius_mm > 0.0 or TUMOUR in names.values():
        raise InvalidInput(
            f"--place-tumour is {arguments.place_tumour!r}; give one of {', '.join(names.values())}"
            f" and a radius in mm, such as {next(iter(names.values()))}:15, in labels without "
            f"a {TUMOUR}."
        )
    placed = place_tumour(
        image, organ[0], radius_mm, seed=arguments.seed or 0, lobes=arguments.lobes
    )
    where = ", ".join(f"{x:.1f}" for x in placed.centre_mm)
    remark = (
        f"The {TUMOUR} is drawn, not seen: {placed.volume_mm3 / 1000:.2f} ml in {name} about "
        f"({where}) mm."
    )
    fine_around = fine_around or [TUMOUR]
    return placed.labels, {**names, placed.number: TUMOUR}, fine_around, [remark]


def _ground(arguments: argparse.Namespace, labels: Image) -> Image | None:
    from twin.image_files import read_image
    from twin.images import same_grid

    if arguments.ground is None:
        return None
    image = read_image(arguments.ground)
    same_grid(image, labels, names=("The image", "the label map"))
    return image


def _on_cubes(image: Image) -> Any:
    from twin.label_mesh import SMALLEST_SPACING_MM
    from twin.resampling import to_isotropic

    return to_isotropic(image, labels=False, smallest_mm=SMALLEST_SPACING_MM).data


def _write(target: Path, made: LabelMesh) -> None:
    """Write the mesh with its labels and their names."""
    import numpy as np

    from twin.storage import write_atomically
    from viz.offscreen import quiet_pyvista

    pyvista = quiet_pyvista()
    grid = pyvista.UnstructuredGrid({10: made.mesh.cells}, made.mesh.points)
    grid.cell_data["cell_label"] = made.mesh.cell_label
    names = [f"{number} {name}" for number, name in made.mesh.label_names.items()]
    grid.field_data["label_names"] = np.array(names)
    write_atomically(target, lambda part: grid.save(part))


def _sizes(made: LabelMesh) -> str:
    return (
        f"Smallest cells {made.cell_size_mm:g} mm, largest {made.far_cell_size_mm:g} mm; made from "
        f"cubic voxels of {float((made.affine[:3, 0] ** 2).sum() ** 0.5):.3g} mm."
    )


def _table(made: LabelMesh) -> str:
    found = made.inspection
    lines = [
        f"smallest dihedral angle     {found.smallest_dihedral.value:>8.1f} degrees",
        f"largest dihedral angle      {found.largest_dihedral.value:>8.1f} degrees",
    ]
    lines += [
        f"volume of {name:<30}{round(100 * figures.volume_error, 1) + 0.0:>+8.1f} % of "
        f"{figures.voxel_mm3 / 1000:,.2f} ml"
        for name, figures in found.labels.items()
    ]
    lines += [f"{miss}, short of the target" for miss in made.verdict.short]
    remarks = list(made.verdict.remarks)
    if len(remarks) > _MOST_REMARKS:
        more = len(remarks) - _MOST_REMARKS
        remarks = [*remarks[:_MOST_REMARKS], f"{more} more remarks on labels are on the page."]
    return "\n".join([*lines, *remarks])
