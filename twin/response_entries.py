"""What results hold of a response: dims, unit and meaning of each variable."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["EXTINCTION", "LESIONS", "RESPONSE"]

_SCAN = ("scenario", "scan")
_CASE = ("scenario", "case")
_PIECE = ("scenario", "case", "piece")

#: Lesions on the scans of every arm, of the first case; not a number after the last kept density.
LESIONS: Mapping[str, tuple[tuple[str, ...], str, str]] = {
    "lesion_product_sum": (_SCAN, "mm2", "sum of products of diameters of target lesions"),
    "lesion_diameter_sum": (_SCAN, "mm", "sum of longest diameters of target lesions"),
    "lesion_longest": (_SCAN, "mm", "longest diameter of the largest lesion, on its largest slice"),
    "lesion_perpendicular": (_SCAN, "mm", "diameter at right angles to lesion_longest"),
    "lesion_longest_diameter": (_SCAN, "mm", "longest diameter of any lesion on any slice"),
    "lesion_slices": (_SCAN, "1", "slices that show the largest lesion"),
    "lesion_count": (_SCAN, "1", "lesions that are seen"),
}
#: What is left on the day of fewest cells; not a number without treatment or clonogenic fraction.
EXTINCTION: Mapping[str, tuple[tuple[str, ...], str, str]] = {
    "fewest_cells_day": (_CASE, "day", "day of fewest viable cells since treatment began"),
    "clonogens_left": (_CASE, "cells", "clonogenic cells expected on that day in all"),
    "extinction_probability": (_CASE, "1", "probability that none of them is left (Poisson)"),
    "piece_clonogens": (_PIECE, "cells", "clonogenic cells expected in each connected piece"),
    "piece_extinction": (_PIECE, "1", "probability that none is left in the piece"),
    "piece_extinct_draw": (_PIECE, "1", "1 where one draw with the study's seed leaves none"),
    "piece_x": (_PIECE, "mm", "RAS x of the piece's densest node"),
    "piece_y": (_PIECE, "mm", "RAS y of the piece's densest node"),
    "piece_z": (_PIECE, "mm", "RAS z of the piece's densest node"),
}
RESPONSE = {
    "scan_day": (_SCAN, "day", "days since the reference date, of the scans"),
    **LESIONS,
    **EXTINCTION,
}
