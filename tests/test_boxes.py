"""Meshes whose shape is known exactly."""

import numpy as np
import pytest

from twin.errors import InvalidInput
from twin.meshing.boxes import ball_mesh, box_mesh


def test_a_box_has_its_sides_its_bricks_and_its_labels():
    mesh = box_mesh(
        (3.0, 2.0, 5.0), (3, 2, 4),
        label=lambda centre: np.where(centre[:, 0] < 1.0, 1, 2),
        names={1: "white_matter", 2: "fluid"},
    )  # fmt: skip
    assert len(mesh.points) == 4 * 3 * 5
    assert len(mesh.cells) == 6 * 24
    np.testing.assert_allclose(mesh.points.max(axis=0), [3.0, 2.0, 5.0])
    fluid = mesh.cells_labelled("fluid")
    assert mesh.cell_volume[fluid].sum() == pytest.approx(20.0)
    assert mesh.cell_volume.sum() == pytest.approx(30.0)


def test_a_ball_meets_its_sphere_to_the_second_order():
    missing = []
    for layers in (3, 6, 12):
        mesh = ball_mesh(10.0, layers)
        radius = np.linalg.norm(mesh.points, axis=1)
        assert radius.max() == pytest.approx(10.0)
        assert (np.abs(radius - 10.0) < 1e-9).sum() == 24 * layers**2 + 2  # the cube's surface
        missing.append(1.0 - mesh.cell_volume.sum() / (4 / 3 * np.pi * 1e3))
    order = np.polyfit(np.log([1 / 3, 1 / 6, 1 / 12]), np.log(missing), 1)[0]
    assert order == pytest.approx(2.0, abs=0.1)


@pytest.mark.parametrize(
    "make",
    [
        lambda: box_mesh((1.0, 0.0, 1.0), (1, 1, 1)),
        lambda: box_mesh((1.0, 1.0, 1.0), (1, 0, 1)),
        lambda: box_mesh((1.0, 1.0), (1, 1)),
        lambda: ball_mesh(-1.0, 3),
        lambda: ball_mesh(np.nan, 3),
        lambda: ball_mesh(1.0, 0),
    ],
)
def test_what_cannot_be_meshed_is_refused(make):
    with pytest.raises(InvalidInput, match="cannot be meshed"):
        make()
