"""Dose-volume histograms in words and numbers: a table, JSON, curves as CSV."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from twin.dose_histogram import Convention, DoseHistogram

if TYPE_CHECKING:
    from twin.dicom.dose_file import StoredHistogram
    from twin.dose_files import DoseGrid
    from twin.outlines import Outlines
    from twin.structure_doses import StructureDose

__all__ = ["Asked", "Beside", "against_stored", "curves_csv", "data_of", "text_of"]

_SHARES = (("d98", 0.98), ("d95", 0.95), ("d50", 0.5), ("d2", 0.02))
#: What of a target's prescription it should get at least and at most (ICRU report 50
#: [unverified]).
_BOUNDS = (0.95, 1.07)
_CONVENTIONS = {
    "step": "the dose of a voxel, hottest first, at which the volume is reached",
    "linear": "interpolated between voxels",
}


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be said of every structure.

    Parameters
    ----------
    at_gy : tuple of float, [Gy]
        V at these doses.
    geud_a : float or None
        Exponent of the generalised mean.
    prescription_gy : float or None, [Gy]
    convention : {"step", "linear"}
        Of D.
    step_gy : float, [Gy]
        Of curves that are written.
    """

    at_gy: tuple[float, ...] = ()
    geud_a: float | None = None
    prescription_gy: float | None = None
    convention: Convention = "step"
    step_gy: float = 0.1

    def levels(self) -> list[tuple[str, float]]:
        """Doses at which volumes are given, [Gy], with their headings."""
        found = [(f"V{level:g} Gy", level) for level in self.at_gy]
        if self.prescription_gy is not None:
            found += [(f"V{100 * part:g} %", part * self.prescription_gy) for part in _BOUNDS]
        return found


@dataclass(frozen=True, slots=True)
class Beside:
    """Our figures and the planning system's.

    Parameters
    ----------
    rows : mapping of str to mapping of str to (float, float)
        For each structure and figure ours and theirs.
    bin_gy : mapping of str to float, [Gy]
        Widest bin of the stored histogram.
    histograms : mapping of str to StoredHistogram
    missing : tuple of str
        Structures without a stored histogram, or that the dose does not cover wholly.
    """

    rows: Mapping[str, Mapping[str, tuple[float, float]]]
    bin_gy: Mapping[str, float]
    histograms: Mapping[str, StoredHistogram]
    missing: tuple[str, ...]


def against_stored(
    dose: DoseGrid, outlines: Outlines, found: Mapping[str, StructureDose], asked: Asked
) -> Beside:
    """Return our figures beside those of the stored histograms.

    What gets less than half a bin is in no stored curve: ours are of the rest.
    """
    numbers = {name: number for number, name in outlines.numbers.items()}
    rows, missing = {}, []
    stored = {}
    for name, one in found.items():
        theirs = dose.histograms.get(numbers.get(name, -1))
        if theirs is None or one.histogram is None or not one.whole:
            missing.append(name)
            continue
        ours = _at_least(one.histogram, float(theirs.dose_gy[0]))
        if ours is None:
            missing.append(name)
            continue
        rows[name] = {
            "volume_ml": (ours.volume_ml, float(theirs.volume_ml[0])),
            "mean_gy": (ours.mean_gy, theirs.mean_gy),
            **{
                f"{key}_gy": (
                    ours.dose_at(share, convention=asked.convention),
                    theirs.dose_at(share),
                )
                for key, share in _SHARES
            },
        }
        stored[name] = theirs
    bins = {name: one.bin_gy for name, one in stored.items()}
    return Beside(rows, bins, stored, tuple(missing))


def _at_least(histogram: DoseHistogram, dose_gy: float) -> DoseHistogram | None:
    """The part of a structure that gets at least a dose."""
    first = int(np.searchsorted(histogram.dose_gy, dose_gy))
    if first == len(histogram.dose_gy):
        return None
    below = histogram.below_ml[first:] - histogram.below_ml[first]
    return DoseHistogram(histogram.dose_gy[first:], below)


def figures_of(one: StructureDose, asked: Asked) -> dict[str, Any]:
    """Figures of one structure by their names; None where the dose covers nothing of it."""
    histogram = one.histogram
    names = ("mean_gy", "min_gy", "max_gy", *(f"{key}_gy" for key, _ in _SHARES))
    figures: dict[str, Any] = {"volume_ml": one.volume_ml, "covered_share": one.covered}
    if histogram is None:
        figures |= dict.fromkeys(names)
        if asked.geud_a is not None:
            figures["geud_gy"] = None
        figures["v"] = [
            {"dose_gy": level, "volume_ml": None, "share": None} for _, level in asked.levels()
        ]
        return figures
    figures |= {
        "mean_gy": histogram.mean_gy,
        "min_gy": histogram.minimum_gy,
        "max_gy": histogram.maximum_gy,
    }
    for key, share in _SHARES:
        figures[f"{key}_gy"] = histogram.dose_at(share, convention=asked.convention)
    if asked.geud_a is not None:
        figures["geud_gy"] = histogram.generalised_mean(asked.geud_a)
    figures["v"] = [
        {
            "dose_gy": level,
            "volume_ml": float(histogram.volume_at(level)),
            "share": float(histogram.share_at(level)),
        }
        for _, level in asked.levels()
    ]
    return figures


def data_of(
    dose: DoseGrid,
    outlines: Outlines,
    found: Mapping[str, StructureDose],
    asked: Asked,
    stored: Beside | None,
) -> dict[str, Any]:
    """Everything for programs, [Gy], [mL], shares [1]."""
    beside = None
    if stored is not None:
        beside = {
            name: {
                "bin_gy": stored.bin_gy[name],
                **{key: {"ours": a, "stored": b} for key, (a, b) in row.items()},
            }
            for name, row in stored.rows.items()
        }
    return {
        "dose": {
            "kind": dose.kind,
            "summation": dose.summation or None,
            "shape": list(dose.image.shape),
            "spacing_mm": dose.image.spacing_mm.tolist(),
            "max_gy": float(dose.image.data.max()),
        },
        "structures_kind": outlines.kind,
        "convention": asked.convention,
        "geud_a": asked.geud_a,
        "prescription_gy": asked.prescription_gy,
        "structures": [
            {
                "name": name,
                **figures_of(one, asked),
                "grid": {
                    "of": one.grid,
                    "parts": list(one.parts),
                    "spacing_mm": list(one.spacing_mm),
                },
            }
            for name, one in found.items()
        ],
        "against_stored": beside,
    }


def text_of(
    files: tuple[str, str],
    dose: DoseGrid,
    outlines: Outlines,
    found: Mapping[str, StructureDose],
    asked: Asked,
    stored: Beside | None,
) -> list[str]:
    """The table, and what its figures are of."""
    highest = float(dose.image.data.max())
    decimals = 2 if highest >= 20.0 else 3
    levels = asked.levels()
    head = ["structure", "mL", "mean", "min", "max", "D98", "D95", "D50", "D2"]
    head += [] if asked.geud_a is None else [f"gEUD {asked.geud_a:g}"]
    head += [*(label for label, _ in levels), "covered"]
    rows = []
    for name, one in found.items():
        figures = figures_of(one, asked)
        names = ["mean_gy", "min_gy", "max_gy", *(f"{key}_gy" for key, _ in _SHARES)]
        names += [] if asked.geud_a is None else ["geud_gy"]
        rows.append(
            [
                name,
                volume(one.volume_ml),
                *(_number(figures[key], decimals) for key in names),
                *(_number(v["share"], 1, 100.0) for v in figures["v"]),
                "whole" if one.whole else _percent(one.covered),
            ]
        )
    shape = " x ".join(map(str, dose.image.shape))
    lines = [
        f"Dose: {files[0]}, {dose.what}; {shape} voxels of {_sides(dose.image.spacing_mm)}, up to "
        f"{highest:.{decimals}f} Gy.",
        f"Structures: {files[1]}, {outlines.kind}. Doses in Gy; D by the {asked.convention} "
        f"convention ({_CONVENTIONS[asked.convention]}).",
    ]
    if levels:
        of = f"; 95 and 107 % are of {asked.prescription_gy:g} Gy" if asked.prescription_gy else ""
        lines.append(f"V in % of the structure{of}.")
    lines += ["", *_aligned([head, *rows]), "", *_grids(found)]
    lines += _uncovered(found)
    if stored is not None:
        lines += ["", *_beside(stored, asked, decimals)]
    return lines


def _uncovered(found: Mapping[str, StructureDose]) -> list[str]:
    """Of what the figures are not those of a whole structure."""
    partly = [
        f"{name} ({_percent(one.covered)})"
        for name, one in found.items()
        if one.histogram is not None and not one.whole
    ]
    beyond = [name for name, one in found.items() if one.histogram is None and one.volume_ml]
    empty = [name for name, one in found.items() if not one.volume_ml]
    lines = []
    if partly:
        part = ", ".join(partly)
        lines.append(f"The dose does not cover all of {part}: their figures are of that part.")
    if beyond:
        lines.append(f"The dose covers nothing of {', '.join(beyond)}.")
    if empty:
        lines.append(f"Contours that enclose no volume: {', '.join(empty)}.")
    return lines


def _grids(found: Mapping[str, StructureDose]) -> list[str]:
    """On which voxels each structure was measured."""
    groups: dict[tuple[str, tuple[int, int, int], str], list[str]] = {}
    for name, one in found.items():
        key = (one.grid, one.parts, _sides(one.spacing_mm))
        groups.setdefault(key, []).append(name)
    lines = []
    for (grid, parts, sides), names in groups.items():
        each = " x ".join(map(str, parts)) if len(set(parts)) > 1 else f"{parts[0]} a side"
        divided = f", divided in {each}" if max(parts) > 1 else ""
        lines.append(f"On voxels of {sides} (the {grid}'s{divided}): {', '.join(names)}.")
    return lines


def _beside(stored: Beside, asked: Asked, decimals: int) -> list[str]:
    head = ["structure", "", "mL", "mean", "D98", "D95", "D50", "D2"]
    rows = []
    for name, row in stored.rows.items():
        gray = [row["mean_gy"], *(row[f"{key}_gy"] for key, _ in _SHARES)]
        ours, theirs = row["volume_ml"]
        rows += [
            [name, "ours", volume(ours), *(f"{a:.{decimals}f}" for a, _ in gray)],
            ["", "stored", volume(theirs), *(f"{b:.{decimals}f}" for _, b in gray)],
            ["", "apart", f"{100 * (ours / theirs - 1):+.1f} %",
             *(f"{a - b:+.{decimals}f}" for a, b in gray)],
        ]  # fmt: skip
    lines = [
        "Against the histograms stored with the dose (of what gets at least half a bin, since less "
        "is not in them):",
        *_aligned([head, *rows], left=2),
    ]
    if asked.prescription_gy is not None and stored.rows:
        lines.append(_verdict(stored, asked.prescription_gy))
    if stored.missing:
        lines.append(f"Without a stored histogram, or not covered: {', '.join(stored.missing)}.")
    return lines


def _verdict(stored: Beside, prescription: float) -> str:
    """Which structures are further apart than 1 % of the prescription and than a bin."""
    apart = []
    for name, row in stored.rows.items():
        allowed = max(0.01 * prescription, stored.bin_gy[name])
        worst = max((abs(a - b), key) for key, (a, b) in row.items() if key in
                    ("d95_gy", "d50_gy", "d2_gy"))  # fmt: skip
        if worst[0] > allowed:
            apart.append(f"{name} ({worst[1][:-3].upper()} by {worst[0]:.2f} Gy)")
    rule = f"1 % of {prescription:g} Gy or one bin"
    if not apart:
        return f"D95, D50 and D2 are within {rule} for all of them."
    return f"D95, D50 and D2 are within {rule} but for {', '.join(apart)}."


def curves_csv(found: Mapping[str, StructureDose], step_gy: float) -> str:
    """Cumulative curves: one row a structure and dose, of the part that the dose covers."""
    text = io.StringIO()
    write = csv.writer(text, lineterminator="\n")
    write.writerow(["structure", "dose_gy", "volume_ml", "volume_percent"])
    for name, one in found.items():
        if one.histogram is None:
            continue
        count = math.floor(one.histogram.maximum_gy / step_gy) + 2
        doses = step_gy * np.arange(count)
        volumes = np.asarray(one.histogram.volume_at(doses))
        shares = 100.0 * volumes / one.histogram.volume_ml
        for dose, ml, share in zip(doses, volumes, shares, strict=True):
            write.writerow([name, f"{dose:.6g}", f"{ml:.6g}", f"{share:.6g}"])
    return text.getvalue()


def volume(value_ml: float) -> str:
    """A volume, [mL], small ones to a microlitre.

    >>> volume(0.3427), volume(13944.4)
    ('0.343', '13,944.40')
    """
    return f"{value_ml:.3f}" if value_ml < 10.0 else f"{value_ml:,.2f}"


def _number(value: float | None, decimals: int, factor: float = 1.0) -> str:
    return "-" if value is None else f"{factor * value:.{decimals}f}"


def _percent(share: float) -> str:
    """A share that is not 1, so that it does not read as if it were."""
    shown = 100.0 * share
    return f"{shown:.1f} %" if shown < 99.95 else f"{min(shown, 99.99):.2f} %"


def _sides(spacing: Iterable[float]) -> str:
    return " x ".join(f"{side:.3g}" for side in spacing) + " mm"


def _aligned(rows: Sequence[Sequence[str]], left: int = 1) -> list[str]:
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    return [
        "  ".join(
            f"{cell:<{width}}" if k < left else f"{cell:>{width}}"
            for k, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
