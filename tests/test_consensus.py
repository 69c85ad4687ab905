"""Several segmentations into one: agreement, disagreement in millimetres, and what is refused."""

import numpy as np
import pytest

from twin.consensus import consensus
from twin.errors import GeometryMismatch, InvalidInput

SIDE = 44


def ball(radius, *, rim=5.0, centre=(0.0, 0.0, 0.0), necrosis=3.0):
    axis = np.arange(SIDE) - SIDE // 2
    points = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1)
    distance = np.linalg.norm(points - np.array(centre), axis=-1)
    return {
        "necrosis": distance < radius - necrosis,
        "enhancing": (distance >= radius - necrosis) & (distance < radius),
        "flair": (distance >= radius) & (distance < radius + rim),
    }


@pytest.mark.parametrize("method", ["staple", "majority"])
def test_the_middle_of_three_balls_is_their_consensus(method):
    """Two of three readers hold each voxel of the middle ball and of no larger one."""
    found = consensus([ball(7.0), ball(8.0), ball(9.0)], 1.0, method=method)
    middle = ball(8.0)
    for name, mask in middle.items():
        np.testing.assert_array_equal(found.parts[name], mask)
    assert found.readers["core"][1].dice == pytest.approx(1.0)
    assert found.readers["core"][0].dice < 0.9


def test_the_spread_is_the_standard_deviation_of_the_outlines():
    """Balls of 7, 8 and 9 voxels of 2 mm: outlines 2 mm apart, a deviation of 2 mm outside."""
    found = consensus([ball(7.0), ball(8.0), ball(9.0)], 2.0, method="majority")
    middle = SIDE // 2
    along = found.spread_mm["core"][middle, middle, middle + 12 : middle + 20]
    np.testing.assert_allclose(along, 2.0, atol=1e-4)


def test_readers_who_agree_leave_no_spread():
    found = consensus([ball(8.0)] * 3, 1.0)
    assert max(float(spread.max()) for spread in found.spread_mm.values()) == 0.0


def test_staple_trusts_the_readers_who_agree():
    """Two alike and one displaced by 4 mm: the two are followed, as STAPLE is made for."""
    good, stray = ball(8.0), ball(8.0, centre=(4.0, 0.0, 0.0))
    found = consensus([good, good, stray], 1.0, method="staple")
    rates = found.readers["core"]
    assert rates[0].sensitivity > 0.99 > 0.9 > rates[2].sensitivity
    np.testing.assert_array_equal(found.parts["enhancing"] | found.parts["necrosis"],
                                  good["enhancing"] | good["necrosis"])  # fmt: skip


def test_the_parts_never_overlap():
    found = consensus([ball(7.0, rim=1.0), ball(9.0, rim=2.0), ball(8.0, rim=6.0)], 1.0)
    assert int(sum(mask.astype(int) for mask in found.parts.values()).max()) == 1


def test_what_cannot_be_agreed_is_refused():
    with pytest.raises(InvalidInput, match="at least two"):
        consensus([ball(8.0)], 1.0)
    empty = {name: np.zeros_like(mask) for name, mask in ball(8.0).items()}
    with pytest.raises(InvalidInput, match=r"second.*has no voxel of the core"):
        consensus([ball(8.0), empty], 1.0, names=["first", "second"])
    with pytest.raises(InvalidInput, match="agree on no voxel"):
        consensus([ball(5.0, centre=(-9, 0, 0)), ball(5.0, centre=(9, 0, 0))], 1.0,
                  method="majority")  # fmt: skip
    small = {name: mask[:-1] for name, mask in ball(8.0).items()}
    with pytest.raises(GeometryMismatch, match="has shape"):
        consensus([ball(8.0), small], 1.0)
