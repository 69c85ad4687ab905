"""``twin register``."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from twin.images import Image
    from viz.cli.running import Output

DESCRIPTION = """\
Bring one image onto the voxels of another and say how well that went. Each registration
is made twice, there and back; where the two disagree, or the images are not alike
afterwards, nothing is written. Look at overlay.png before you use the result."""
EXAMPLES = """\
  twin register flair.nii.gz t1.nii.gz -o flair_on_t1
  twin register day90.nii.gz day0.nii.gz -o day90 --ignore tumour0.nii.gz --labels tumour90.nii.gz
  twin register template.nii.gz t1.nii.gz -o template --kind deformable --ignore tumour.nii.gz"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("moving", metavar="MOVING", help="image to be moved (NIfTI, NRRD, DICOM)")
    parser.add_argument("fixed", metavar="FIXED", help="image that stays as it is")
    parser.add_argument(
        "-o", "--output", required=True, metavar="DIR", help="new or empty folder for the result"
    )
    parser.add_argument(
        "--kind",
        choices=("rigid", "affine", "deformable"),
        default="rigid",
        help="rigid for one patient's images (default), affine or deformable for an atlas",
    )
    parser.add_argument(
        "--ignore", metavar="MASK", help="non-zero where FIXED is not to count, such as a tumour"
    )
    parser.add_argument("--ignore-moving", metavar="MASK", help="the same of MOVING")
    parser.add_argument(
        "--labels", nargs="+", default=[], metavar="FILE", help="label maps to be moved too"
    )
    parser.add_argument(
        "--images", nargs="+", default=[], metavar="FILE", help="further images to be moved too"
    )


def _mask(path: str | None, what: str) -> Image | None:
    from twin.image_files import read_labels

    return None if path is None else read_labels(path, what=what)


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Register and write."""
    import time
    from pathlib import Path

    from twin.image_files import read_image, read_labels
    from twin.nifti_writing import write_nifti
    from twin.registration.files import write_registration
    from twin.registration.registering import register
    from twin.storage import whole_folder
    from viz.overlay import ignored_on, write_overlay

    begin = time.perf_counter()
    folder = Path(arguments.output)
    with whole_folder(folder) as part:
        moving = read_image(arguments.moving, what="moving image")
        fixed = read_image(arguments.fixed, what="fixed image")
        ignore = _mask(arguments.ignore, "mask to be ignored")
        labels = [read_labels(file, what="label map") for file in arguments.labels]
        images = [read_image(file, what="image") for file in arguments.images]
        with output.progress("registering") as progress:
            result = register(
                moving,
                fixed,
                kind=arguments.kind,
                ignore=ignore,
                ignore_moving=_mask(arguments.ignore_moving, "mask to be ignored"),
                seed=arguments.seed or 0,
                progress=progress,
            )
        registered = result.resample(moving)
        write_nifti(part / "registered.nii.gz", registered)
        files = ["registered.nii.gz"]
        for kind, others in (("labels", labels), ("image", images)):
            for number, other in enumerate(others):
                files.append(f"{kind}_{number + 1}.nii.gz")
                write_nifti(part / files[-1], result.resample(other, labels=kind == "labels"))
        files += write_registration(result, part)
        write_overlay(
            part / "overlay.png",
            fixed,
            registered,
            mask=None if ignore is None else ignored_on(ignore, fixed),
            title=result.describe(),
        )
        files.append("overlay.png")
    seconds = time.perf_counter() - begin
    output.result(
        f"{result.quality.describe()}\n{folder} holds {', '.join(files)} ({seconds:.0f} s).\n"
        f"Look at {folder / 'overlay.png'} before you use it.",
        {
            "ok": True,
            "command": "register",
            "kind": result.kind,
            "folder": str(folder),
            "files": files,
            "quality": result.quality.as_dict(),
            "seconds": round(seconds, 2),
        },
    )
    return 0
