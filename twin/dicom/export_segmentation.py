"""Structures as a DICOM segmentation on the original series."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from twin.dicom.export_content import (
    MANUFACTURER,
    RESEARCH,
    ExportedStructure,
    check_names,
    checked_pseudonym,
    write_dicom,
)
from twin.dicom.original_series import read_original_series
from twin.dicom.quiet import quiet_pydicom
from twin.errors import InvalidInput

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["export_segmentation", "segmentation_dataset"]


def export_segmentation(
    structures: Sequence[ExportedStructure],
    source_series: Sequence[Path],
    path: Path,
    *,
    fractional: bool = False,
    pseudonym: str | None = None,
    series_number: int = 9001,
) -> None:
    """Write structures as a DICOM segmentation on the voxels of a series.

    The file carries whose study the series is, since it goes back to where that came from;
    with a `pseudonym` it carries that name instead, but still the UIDs of study and series.

    Parameters
    ----------
    structures : sequence of ExportedStructure
        They may overlap. A voxel belongs to a structure that fills half of it or so
        (`OriginalSeries.shares`).
    source_series : sequence of path
        The original CT, MR or PET, one file a slice.
    path : path
        Written as a whole or not at all.
    fractional : bool
        Store the share of each voxel (occupancy, in steps of 1/255) instead.
    pseudonym : str or None
    series_number : int

    Raises
    ------
    InvalidInput, GeometryMismatch
        See `read_original_series` and `OriginalSeries.shares`.
    """
    dataset = segmentation_dataset(
        structures, source_series, fractional=fractional, pseudonym=pseudonym,
        series_number=series_number,
    )  # fmt: skip
    write_dicom(dataset, path)


def segmentation_dataset(
    structures: Sequence[ExportedStructure],
    source_series: Sequence[Path],
    *,
    fractional: bool = False,
    pseudonym: str | None = None,
    series_number: int = 9001,
) -> Dataset:
    """Return what `export_segmentation` writes."""
    import highdicom
    from pydicom.uid import generate_uid

    from twin import __version__

    check_names(structures)
    series = read_original_series(source_series, pseudonym=checked_pseudonym(pseudonym))
    kind = np.float32 if fractional else np.bool_
    columns, rows = series.planes[0].size
    pixels: Any = np.zeros((len(series.planes), rows, columns, len(structures)), kind)
    for number, one in enumerate(structures):
        share, level = series.shares(one.image, what=one.name)
        pixels[..., number] = share if fractional else share >= level
        if not pixels[..., number].any():
            raise InvalidInput(
                f"{one.name} fills no voxel of the series by half; store shares (fractional) or "
                "choose a finer series."
            )
    with quiet_pydicom():
        return highdicom.seg.Segmentation(
            source_images=series.headers,
            pixel_array=pixels if fractional else pixels.astype(np.uint8),
            segmentation_type="FRACTIONAL" if fractional else "BINARY",
            fractional_type="OCCUPANCY",
            segment_descriptions=_descriptions(structures, __version__),
            series_instance_uid=generate_uid(),
            series_number=series_number,
            sop_instance_uid=generate_uid(),
            instance_number=1,
            manufacturer=MANUFACTURER,
            manufacturer_model_name=MANUFACTURER,
            software_versions=__version__,
            device_serial_number="none",
            content_label="PREDICTION",
            content_description=f"{RESEARCH}: predicted by a model",
            series_description=f"{RESEARCH}: {MANUFACTURER}",
        )


def _descriptions(structures: Sequence[ExportedStructure], version: str) -> list[Any]:
    import highdicom
    from pydicom.sr.codedict import codes

    abnormal = codes.SCT.MorphologicallyAbnormalStructure
    spatial = highdicom.sr.CodedConcept("309825002", "SCT", "Spatial and Relational Concept")
    coded = {
        "tumour": (abnormal, codes.SCT.Neoplasm),
        "ctv": (spatial, codes.SCT.ClinicalTargetVolume),
        "ptv": (spatial, codes.SCT.PlanningTargetVolume),
        "organ": (codes.SCT.AnatomicalStructure, codes.SCT.Organ),
    }
    made_by = highdicom.AlgorithmIdentificationSequence(
        name=MANUFACTURER,
        family=highdicom.sr.CodedConcept("tumour-growth-model", "99TWIN", "Tumour growth model"),
        version=version,
    )
    return [
        highdicom.seg.SegmentDescription(
            segment_number=number,
            segment_label=one.name,
            segmented_property_category=coded[one.kind][0],
            segmented_property_type=coded[one.kind][1],
            algorithm_type="AUTOMATIC",
            algorithm_identification=made_by,
            display_color=highdicom.color.CIELabColor(*_lab(one.colour)),
        )
        for number, one in enumerate(structures, 1)
    ]


def _lab(colour: tuple[int, int, int]) -> tuple[float, float, float]:
    """CIELab of an sRGB colour, white point D65 (CIE 1976; IEC 61966-2-1)."""
    share = np.array(colour) / 255.0
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    matrix = np.array(
        [
            [0.4124564, 0.3575761, 0.1804375],
            [0.2126729, 0.7151522, 0.0721750],
            [0.0193339, 0.1191920, 0.9503041],
        ]
    )
    x, y, z = _cube_root(matrix @ linear / np.array([0.95047, 1.0, 1.08883]))
    found = np.clip(
        [116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)], [0, -128, -128], [100, 127, 127]
    )
    return float(found[0]), float(found[1]), float(found[2])


def _cube_root(value: np.ndarray) -> np.ndarray:
    return np.where(value > 216 / 24389, np.cbrt(value), (24389 / 27 * value + 16) / 116)
