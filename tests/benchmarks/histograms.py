"""Dose-volume histograms of ten structures on a grid of 200 x 200 x 200."""

from __future__ import annotations

import numpy as np

from benchmarks.head import Setting, timed
from benchmarks.table import Row
from twin.dicom.structure_set import Contours
from twin.dose_histogram import DoseHistogram
from twin.images import Image
from twin.outlines import Drawn, Voxels
from twin.structure_doses import structure_dose

#: The promise for all ten.
SECONDS = 1.0
#: Share of a ball that may be off its closed form at any dose: the largest of ten.
CURVE_PERCENT = 2.0
SPACING_MM, PLANE_MM, CORNERS = 2.0, 3.0, 120
RADII_MM = (8.0, 12.0, 16.0, 20.0, 25.0, 30.0, 40.0, 50.0, 70.0, 120.0)


def measured(setting: Setting) -> list[Row]:
    """Ten balls of 2 mL to 7 L, as masks of the grid, on finer voxels, and as contours."""
    side = 100 if setting.quick else 200
    affine = np.diag([SPACING_MM, SPACING_MM, SPACING_MM, 1.0])
    affine[:3, 3] = -SPACING_MM * (side - 1) / 2.0
    rise = np.linspace(0.0, 60.0, side, dtype=np.float32)
    dose = Image(np.ascontiguousarray(np.broadcast_to(rise[:, None, None], (side,) * 3)), affine)
    radii = [radius * side / 200.0 for radius in RADII_MM]
    ways = {
        "masks": [Voxels(_ball(radius, SPACING_MM, 0.0)) for radius in radii],
        "masks on voxels of their own": [Voxels(_ball(radius, 1.5, 0.4)) for radius in radii],
        "contours": [Drawn(_outlined(radius)) for radius in radii],
    }
    structure_dose("ball", ways["contours"][0], dose)  # compiles
    rows = []
    for what, outlines in ways.items():
        seconds, found = timed(
            lambda outlines=outlines: [structure_dose("ball", one, dose) for one in outlines]
        )
        rows.append(Row(f"histograms of ten structures, {what}", seconds, "s", None, SECONDS))
        off = [_off(one.histogram, radius, dose) for one, radius in zip(found, radii, strict=True)]
        rows.append(Row("  curve off at worst", 100.0 * max(off), "%", None, CURVE_PERCENT))
    return rows


def _off(histogram: DoseHistogram, radius: float, dose: Image) -> float:
    """How far a ball's curve is from its closed form, caps of a ball, at worst [1]."""
    slope = float(np.ptp(dose.data)) / (SPACING_MM * (dose.shape[0] - 1))
    height = np.linspace(-0.95, 0.95, 39)
    wanted = (2.0 + height) * (1.0 - height) ** 2 / 4.0
    return float(np.abs(histogram.share_at(30.0 + slope * radius * height) - wanted).max())


def _ball(radius: float, spacing: float, shift: float) -> Image:
    """A mask about the origin, on a grid of its own voxels."""
    count = 2 * int(radius / spacing + 2.0)
    places = spacing * (np.arange(count) - (count - 1) / 2.0)
    squares = np.square(places)
    inside = squares[:, None, None] + squares[:, None] + squares <= radius**2
    affine = np.diag([spacing, spacing, spacing, 1.0])
    affine[:3, 3] = places[0]
    affine[1:3, 3] += shift
    return Image(inside, affine)


def _outlined(radius: float) -> Contours:
    """Circles on planes."""
    count = int(radius / PLANE_MM)
    places = PLANE_MM * np.arange(-count, count + 1)
    turn = 2.0 * np.pi * np.arange(CORNERS) / CORNERS
    circle = np.stack([np.cos(turn), np.sin(turn)], axis=1)
    polygons = tuple(
        (np.column_stack([circle * np.sqrt(radius**2 - z**2), np.full(CORNERS, z)]),)
        for z in places
        if z**2 < radius**2
    )
    kept = np.array([z for z in places if z**2 < radius**2])
    return Contours(np.array([0.0, 0.0, 1.0]), kept, polygons)
