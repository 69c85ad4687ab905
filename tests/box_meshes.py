"""Meshes of boxes and of a ball in a box, for tests with closed forms."""

from __future__ import annotations

import numpy as np

from twin.mesh import Mesh
from twin.meshing import build_mesh, wanted_cell_size
from twin.meshing.boxes import box_mesh

__all__ = ["BALL_CENTRE_MM", "ball_in_a_box", "box_mesh", "observed_order"]

BALL_CENTRE_MM = np.array([17.7, 17.4, 17.1])


def ball_in_a_box(fine_mm=2.5) -> Mesh:
    """The patient mesher's lattice, moved onto balls of 6 and 11 mm in a box of 30 mm."""
    radius = np.linalg.norm(
        np.moveaxis(np.indices((36, 36, 36)), 0, -1) - BALL_CENTRE_MM,
        axis=-1,
    )
    labels = np.zeros(radius.shape, int)
    labels[(slice(3, -3),) * 3] = 1
    labels[radius < 11.0] = 2
    labels[radius < 6.0] = 3
    size = wanted_cell_size(
        labels, 1.0, fine_mm=fine_mm, fine_region=labels > 1, coarse_mm=4 * fine_mm, grading=0.5
    )
    names = {1: "white_matter", 2: "enhancing", 3: "fluid"}
    return build_mesh(
        labels, np.eye(4), label_names=names, cell_size_mm=size, smallest_cell_mm=fine_mm
    )


def observed_order(sizes, errors) -> float:
    """Slope of log(error) over log(size), by least squares."""
    return float(np.polyfit(np.log(sizes), np.log(errors), 1)[0])
