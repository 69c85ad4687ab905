"""``twin segment``."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from twin.images import Image
    from twin.networks.segmenting import NetworkSegmentation
    from viz.cli.running import Output

DESCRIPTION = """\
Label a patient's images by a network that you have on disk; nothing is fetched. An
.onnx file is data and is run as it is, by the recipe (.toml) beside it. TorchScript
(.pt, .ts), MONAI bundles and nnU-Net folders can run any code, so they need
--trust-model and get a process of their own. The result is on the voxels of the first
image, with a record of model, hash and settings beside it. Research use only: look at
the labels before you use them."""
EXAMPLES = """\
  twin segment t1=t1.nii.gz flair=flair.nii.gz --model glioma.onnx -o labels.nii.gz
  twin segment ct.nii.gz --model organs.onnx -o labels.nii.gz --probabilities p.nii.gz
  twin segment t1=t1.nii.gz --model nnUNetTrainer__nnUNetPlans__3d_fullres --trust-model \\
      -o labels.nii.gz
  twin segment --example-recipe > glioma.toml"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument(
        "images",
        nargs="*",
        metavar="[ROLE=]IMAGE",
        help="an image with what it is for the network, or all of them in the network's order",
    )
    parser.add_argument(
        "--model", metavar="PATH", help=".onnx, .pt or .ts file, MONAI bundle or nnU-Net folder"
    )
    parser.add_argument(
        "-o", "--output", metavar="FILE", help="label map to write (.nii.gz or .nii)"
    )
    parser.add_argument(
        "--recipe", metavar="FILE", help="the network's recipe (default: MODEL's name with .toml)"
    )
    parser.add_argument(
        "--probabilities", metavar="FILE", help="also write one volume for each output channel"
    )
    parser.add_argument(
        "--trust-model",
        action="store_true",
        help="run a model that can run any code; only if you know where it came from",
    )
    parser.add_argument(
        "--orientation",
        default="RAS",
        metavar="AXES",
        help="nnU-Net: how the axes of its training files ran (default: RAS)",
    )
    parser.add_argument(
        "--time-limit",
        type=float,
        default=3600.0,
        metavar="SECONDS",
        help="end a model in a process of its own after this (default: 3600)",
    )
    parser.add_argument("--force", action="store_true", help="replace a label map that is there")
    parser.add_argument(
        "--example-recipe", action="store_true", help="print a whole recipe to start from"
    )


def _images(words: list[str]) -> dict[str, Image]:
    """Return the images by role; without roles by their place, "1", "2" and so on."""
    from twin.errors import InvalidInput
    from twin.image_files import read_image

    parts = [word.partition("=") for word in words]
    named = [bool(sign) for _, sign, _ in parts]
    if any(named) and not all(named):
        raise InvalidInput(
            "Some images are given as ROLE=FILE and some without a role; give every one a role."
        )
    images: dict[str, Image] = {}
    for place, (first, sign, second) in enumerate(parts, start=1):
        role, file = (first, second) if sign else (str(place), first)
        if role in images:
            raise InvalidInput(f"Two images are given as {role}; give each role once.")
        images[role] = read_image(file, what=f"{role} image" if sign else "image")
    return images


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Segment the images."""
    from pathlib import Path

    from twin.errors import InvalidInput
    from twin.networks.outputs import check_name, record_path, write_segmentation
    from twin.networks.recipe import EXAMPLE
    from twin.networks.segmenting import segment

    if arguments.example_recipe:
        output.result(EXAMPLE, {"ok": True, "command": "segment", "recipe": EXAMPLE})
        return 0
    for option, value in (("--model", arguments.model), ("-o", arguments.output)):
        if value is None:
            raise InvalidInput(f"{option} is missing; 'twin segment --help' shows how to call it.")
    if not 1.0 <= arguments.time_limit <= 7 * 86400.0:
        raise InvalidInput(
            f"--time-limit is {arguments.time_limit:g}; give 1 to 604800 seconds (a week)."
        )
    place = check_name(arguments.output, option="-o")
    for file in (place, record_path(place), *map(Path, filter(None, [arguments.probabilities]))):
        if file.exists() and not arguments.force:
            raise InvalidInput(f"{file} is there already; choose another name or add --force.")
    images = _images(arguments.images)
    with output.progress("running the network") as progress:
        result = segment(
            images,
            arguments.model,
            recipe=arguments.recipe,
            trust_model=arguments.trust_model,
            orientation=arguments.orientation,
            time_limit_s=arguments.time_limit,
            threads=arguments.threads,
            progress=progress,
        )
    written = write_segmentation(result, place, probabilities=arguments.probabilities)
    for sentence in result.sentences:
        output.say(sentence)
    for warning in result.warnings:
        output.say(f"Warning: {warning}")
    output.result(
        _table(result) + f"\n{' and '.join(map(str, written))} written. Research use only: look "
        "at the labels before you use them.",
        {
            "ok": True,
            "command": "segment",
            "files": [str(path) for path in written],
            "model_sha256": result.record["model"]["sha256"],
            "labels": [
                {"label": number, "name": _name(result, number), "volume_ml": round(volume, 4)}
                for number, volume in result.volumes_ml.items()
            ],
            "did": list(result.sentences),
            "warnings": list(result.warnings),
        },
    )
    return 0


def _name(result: NetworkSegmentation, number: int) -> str:
    return result.label_names.get(number, f"label {number}")


def _table(result: NetworkSegmentation) -> str:
    rows = [
        (str(number), _name(result, number), f"{volume:.2f}")
        for number, volume in result.volumes_ml.items()
    ]
    rows.insert(0, ("label", "name", "volume [mL]"))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return "\n".join(
        f"{row[0]:>{widths[0]}}  {row[1]:<{widths[1]}}  {row[2]:>{widths[2]}}" for row in rows
    )
