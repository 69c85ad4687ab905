"""``twin atlas``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from twin.registration.atlas import Atlas, PatientAnatomy
    from viz.cli.running import Output

DESCRIPTION = """\
Tissues, organs and diffusion tensors of an atlas on a patient who has only one image and
a tumour segmentation. The atlas is warped onto the image with the tumour left out; in the
tumour its tissue is what was there before. Without --atlas the packaged head is taken,
which has no skull, no tensors, and stylised organs: strip the skull of the image first,
and take the result for what it is."""
EXAMPLES = """\
  twin atlas t1.nii.gz --tumour segmentation.nii.gz -o anatomy
  twin atlas t1.nii.gz --tumour segmentation.nii.gz -o anatomy --atlas mine/patient.toml"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("image", metavar="IMAGE", help="the patient's T1, T2 or FLAIR image")
    parser.add_argument(
        "--tumour", required=True, metavar="SEG", help="non-zero in tumour and oedema"
    )
    parser.add_argument(
        "-o", "--output", required=True, metavar="DIR", help="new or empty folder for the result"
    )
    parser.add_argument(
        "--atlas", metavar="PATIENT.toml", help="an atlas of one's own, given as a patient"
    )
    parser.add_argument(
        "--kind",
        choices=("deformable", "affine", "rigid"),
        default="deformable",
        help="how the atlas may be moved (default: %(default)s)",
    )


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Bring the atlas onto the patient and write it."""
    import time

    from twin.image_files import read_image, read_labels
    from twin.registration.atlas import bring_atlas, default_atlas, read_atlas
    from twin.registration.files import write_registration
    from twin.storage import whole_folder
    from viz.overlay import ignored_on, write_overlay

    begin = time.perf_counter()
    folder = Path(arguments.output)
    with whole_folder(folder) as part:
        image = read_image(arguments.image, what="image of the patient")
        tumour = read_labels(arguments.tumour, what="tumour segmentation")
        atlas = default_atlas() if arguments.atlas is None else read_atlas(arguments.atlas)
        with output.progress("bringing the atlas") as progress:
            anatomy = bring_atlas(
                atlas,
                image,
                tumour,
                kind=arguments.kind,
                seed=arguments.seed or 0,
                progress=progress,
            )
        files = _write(anatomy, atlas, part)
        files += write_registration(anatomy.registration, part)
        write_overlay(
            part / "overlay.png",
            image,
            anatomy.registration.resample(atlas.image),
            mask=ignored_on(tumour, image),
            title=anatomy.registration.describe(),
        )
        files.append("overlay.png")
    seconds = time.perf_counter() - begin
    quality = anatomy.registration.quality
    output.result(
        f"{quality.describe()}\n{folder} holds {', '.join(files)} ({seconds:.0f} s).\n"
        f"Look at {folder / 'overlay.png'} before you use it.\n{_lines(anatomy)}",
        {
            "ok": True,
            "command": "atlas",
            "kind": anatomy.registration.kind,
            "folder": str(folder),
            "files": files,
            "structures": dict(anatomy.structure_labels),
            "quality": quality.as_dict(),
            "seconds": round(seconds, 2),
        },
    )
    return 0


def _write(anatomy: PatientAnatomy, atlas: Atlas, folder: Path) -> list[str]:
    """Names of the files of an anatomy written into a folder."""
    from twin.nifti_writing import write_nifti, write_values

    write_nifti(folder / "tissues.nii.gz", anatomy.tissues)
    write_nifti(folder / "atlas.nii.gz", anatomy.registration.resample(atlas.image))
    files = ["tissues.nii.gz", "atlas.nii.gz"]
    if anatomy.structures is not None:
        write_nifti(folder / "structures.nii.gz", anatomy.structures)
        files.append("structures.nii.gz")
    if anatomy.tensors is not None:
        write_values(folder / "tensors.nii.gz", anatomy.tensors, anatomy.tissues.affine)
        files.append("tensors.nii.gz")
    return files


def _lines(anatomy: PatientAnatomy) -> str:
    """What goes into patient.toml."""
    lines = ["In patient.toml, in the visit:", 'tissues = "tissues.nii.gz"']
    if anatomy.tensors is not None:
        lines.append(
            'tensor = { file = "tensors.nii.gz", order = "xx yy zz yz xz xy", frame = "world" }'
        )
    if anatomy.structures is not None:
        lines += ["and of its own:", "[structures]", 'file = "structures.nii.gz"']
        lines.append("[structures.labels]")
        lines += [
            f'{name} = {{ label = {number}, stylised = true, source = "warped from an atlas" }}'
            for name, number in anatomy.structure_labels.items()
        ]
    return "\n".join(lines)
