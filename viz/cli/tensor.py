"""``twin tensor``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from viz.cli.running import Output

DESCRIPTION = """\
Fit diffusion tensors to a diffusion-weighted MRI, for [model] migration = "tensor" of a
patient file. The series is NIfTI with its b-values and directions beside it (.bval and
.bvec by the same name), or a folder of DICOM files."""
EXAMPLES = """\
  twin tensor dwi.nii.gz -o tensor.nii.gz
  twin tensor dwi.nii.gz --bvals b.txt --bvecs directions.txt -o tensor.nii.gz --adc adc.nii.gz
  twin tensor dwi_dicom/ -o tensor.nii.gz --anisotropy fa.nii.gz"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("series", metavar="DWI", help="four-dimensional NIfTI, or a DICOM folder")
    parser.add_argument("-o", "--output", required=True, metavar="FILE", help="tensors (.nii.gz)")
    parser.add_argument("--bvals", metavar="FILE", help="b-values [s/mm2] (default: beside DWI)")
    parser.add_argument("--bvecs", metavar="FILE", help="directions (default: beside DWI)")
    parser.add_argument("--mask", metavar="FILE", help="where to fit (default: where signal is)")
    parser.add_argument(
        "--b0-threshold", type=float, default=50.0, metavar="B",
        help="b-values up to this count as without weighting [s/mm2] (default: 50)",
    )  # fmt: skip
    parser.add_argument(
        "--highest-b", type=float, default=1500.0, metavar="B",
        help="stronger weighting is left out of the fit [s/mm2] (default: 1500)",
    )  # fmt: skip
    parser.add_argument("--anisotropy", metavar="FILE", help="also write fractional anisotropy")
    parser.add_argument("--adc", metavar="FILE", help="also write the ADC [mm2/s]")
    parser.add_argument("--force", action="store_true", help="replace files that are there")


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Fit the tensors and write them."""
    import numpy as np

    from twin.diffusion_mri import fit_tensor
    from twin.errors import InvalidInput
    from twin.image_files import read_labels
    from twin.images import Image, same_grid
    from twin.nifti_writing import write_values

    targets = [
        Path(name) for name in (arguments.output, arguments.anisotropy, arguments.adc) if name
    ]
    for target in targets:
        if not target.name.endswith((".nii", ".nii.gz")):
            raise InvalidInput(f"{target} must end in .nii or .nii.gz.")
        if target.exists() and not arguments.force:
            raise InvalidInput(f"{target} is there already; replace it with --force.")
    data, affine, b_values, directions, notes = _series(arguments)
    mask = None
    if arguments.mask:
        image = read_labels(arguments.mask, what="mask")
        same_grid(
            image, Image(data[..., 0], affine), names=("the mask", "the diffusion-weighted images")
        )
        mask = np.asarray(image.data, np.float32) > 0
    fitted = fit_tensor(
        data,
        b_values,
        directions,
        mask=mask,
        b0_threshold=arguments.b0_threshold,
        highest_b=arguments.highest_b,
    )
    write_values(Path(arguments.output), np.asarray(fitted.tensor, np.float32), affine)
    for name, values in (
        (arguments.anisotropy, fitted.fractional_anisotropy),
        (arguments.adc, fitted.mean_diffusivity),
    ):
        if name:
            write_values(Path(name), np.asarray(values, np.float32), affine)
    known = fitted.mean_diffusivity > 0
    median = float(np.median(fitted.mean_diffusivity[known]))
    remarks = [*notes, *fitted.notes]
    figures = {
        "volumes": int(data.shape[3]),
        "voxels": int(known.sum()),
        "median_adc_mm2_s": median,
        "median_anisotropy": float(np.median(fitted.fractional_anisotropy[known])),
        "notes": remarks,
    }
    text = [
        f"{arguments.output}: tensors of {figures['voxels']:,} voxels from {figures['volumes']} "
        f"volumes; median ADC {median:.3g} mm2/s, anisotropy {figures['median_anisotropy']:.2f}.",
        *(f"Note: {note}." for note in remarks),
        "In patient.toml, in the visit:",
        f'tensor = {{ file = "{Path(arguments.output).name}", order = "xx yy zz yz xz xy", '
        'frame = "world" }',
    ]
    output.result("\n".join(text), {"ok": True, "command": "tensor", **figures})
    return 0


def _series(arguments: argparse.Namespace):  # type: ignore[no-untyped-def]
    """Signal, affine, b-values, directions in world axes, and notes."""
    from twin.diffusion_mri import read_gradients, world_directions
    from twin.errors import InvalidInput
    from twin.images import read_volumes

    place = Path(arguments.series)
    if place.is_dir():
        from twin.dicom.diffusion import read_diffusion
        from twin.dicom.files import read_header, safe_files

        if arguments.bvals or arguments.bvecs:
            raise InvalidInput("A DICOM series states its own b-values; leave --bvals and --bvecs.")
        files = [one for one in safe_files(place) if read_header(one) is not None]
        found = read_diffusion(files)
        return found.data, found.affine, found.b_values, found.directions, found.notes
    stem = place.name.removesuffix(".gz").removesuffix(".nii")
    values = Path(arguments.bvals) if arguments.bvals else place.with_name(f"{stem}.bval")
    vectors = Path(arguments.bvecs) if arguments.bvecs else place.with_name(f"{stem}.bvec")
    b_values, directions = read_gradients(values, vectors)
    data, affine, file_affine = read_volumes(place, len(b_values), what="diffusion-weighted series")
    return data, affine, b_values, world_directions(directions, file_affine), ()
