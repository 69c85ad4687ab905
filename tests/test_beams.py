"""A dose by beams against closed forms: attenuation, opposed beams, penumbra, chords of a ball."""

from dataclasses import replace

import numpy as np
import pytest
from plan_cases import RT, planned
from scipy.special import ndtr

from scenarios.complications import WHAT_IF
from scenarios.study_file import StudyFile
from twin.beams import ARRANGEMENTS, beam_dose, body_of, depth_dose, depth_mm, toward_source
from twin.dose import dose_maps
from twin.errors import InvalidInput
from twin.grid import Grid
from twin.regimen import Regimen

SIDE, H = 61, 3.0
AFFINE = np.diag([H, H, H, 1.0])
AFFINE[:3, 3] = -H * (SIDE - 1) / 2
GRID = Grid((SIDE, SIDE, SIDE), AFFINE)
STEPS = AFFINE[0, 3] + H * np.arange(SIDE)
X, Y, Z = np.meshgrid(STEPS, STEPS, STEPS, indexing="ij")
#: A block of water, 2 x 75 mm in every direction from its middle.
BLOCK = np.max(np.abs([X, Y, Z]), axis=0) < 75.0
#: 30 mm wide in every direction.
TARGET = np.max(np.abs([X, Y, Z]), axis=0) < 15.0
OPTIONS = {"sigma_mm": 4.0, "coverage": 0.955}
MIDDLE = SIDE // 2


def depth_in_formula(depth):
    """Attenuation and build-up as stated, 12 mm of skull and scalp above the block."""
    below = depth + 12.0
    return np.exp(-0.005 * below) - 0.6 * np.exp(-0.22 * below)


def test_maximum_lies_at_fifteen_millimetres_below_the_skin():
    depth = np.linspace(0.0, 100.0, 100001)
    found = depth_dose(depth)
    assert depth[np.argmax(found)] == pytest.approx(np.log(0.6 * 0.22 / 0.005) / 0.215, abs=2e-3)
    assert found[0] == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("angle", "distance"), [(0.0, 73.5 - Y), (90.0, 73.5 + X), (180.0, 73.5 + Y), (270.0, 73.5 - X)]
)
def test_depth_in_a_block(angle, distance):
    """From the face towards the source: in front at 0 degrees, on the left (-x) at 90."""
    found = depth_mm(BLOCK, AFFINE, toward_source(angle))
    np.testing.assert_allclose(found[BLOCK], distance[BLOCK], atol=1e-3)


@pytest.mark.parametrize("angle", [0.0, 30.0, 45.0, 77.0, 200.0])
def test_depth_in_a_ball(angle):
    """The way of a ray through a ball: sqrt(R^2 - r^2 + (r.u)^2) - r.u."""
    radius, source = 75.0, toward_source(angle)
    squared = X**2 + Y**2 + Z**2
    along = X * source[0] + Y * source[1] + Z * source[2]
    inside = squared < (radius - 9.0) ** 2
    expected = np.sqrt(np.maximum(radius**2 - squared + along**2, 0.0)) - along
    found = depth_mm(squared < radius**2, AFFINE, source)
    error = found[inside] - expected[inside]
    # a ray enters at the middle between two voxels, at most half a diagonal of 4.2 mm off
    assert np.abs(error).mean() < 0.25 * np.sqrt(2.0) * H + 0.1
    assert np.abs(error).max() < 0.5 * np.sqrt(2.0) * H + 0.4


def test_depth_does_not_depend_on_the_axes():
    """The same body with its first axis to the left and its last two exchanged."""
    body = (X**2 / 70.0**2 + Y**2 / 60.0**2 + Z**2 / 50.0**2) < 1.0
    source = toward_source(25.0)
    plain = depth_mm(body, AFFINE, source)
    turned = np.diag([-H, 1.0, 1.0, 1.0])
    turned[1:3, 1:3] = [[0.0, H], [H, 0.0]]
    turned[:3, 3] = [-AFFINE[0, 3], AFFINE[1, 3], AFFINE[2, 3]]
    other = depth_mm(np.swapaxes(body[::-1], 1, 2), turned, source)
    np.testing.assert_allclose(np.swapaxes(other, 1, 2)[::-1], plain, atol=1e-3)


def test_opposed_beams_are_a_hyperbolic_cosine():
    """exp(-mu (L/2 - x)) + exp(-mu (L/2 + x)) = 2 exp(-mu L/2) cosh(mu x), away from the skin."""
    dose = beam_dose(BLOCK, GRID, TARGET, ARRANGEMENTS["opposed"], **OPTIONS)
    profile = dose[:, MIDDLE, MIDDLE] / dose[MIDDLE, MIDDLE, MIDDLE]
    inner = np.abs(STEPS) < 45.0  # 40 mm of build-up are gone
    np.testing.assert_allclose(profile[inner], np.cosh(0.005 * STEPS[inner]), rtol=2e-3)
    inside = np.abs(STEPS) < 75.0
    both = depth_in_formula(73.5 - STEPS) + depth_in_formula(73.5 + STEPS)
    np.testing.assert_allclose(profile[inside], both[inside] / both[MIDDLE], rtol=1e-3)
    np.testing.assert_allclose(dose, dose[::-1], atol=1e-5)


def test_one_beam_falls_off_exponentially():
    """A shallow target is even enough for a single beam; behind it exp(-mu z) alone is left."""
    thin = TARGET & (np.abs(Y) < 4.0)
    dose = beam_dose(BLOCK, GRID, thin, [0.0], **OPTIONS)
    line = dose[MIDDLE, :, MIDDLE]
    behind = STEPS < 20.0  # deeper than 50 mm
    behind &= STEPS > -70.0
    found = np.polyfit(STEPS[behind], np.log(line[behind]), 1)[0]
    assert found == pytest.approx(0.005, rel=1e-3)  # y grows towards the source
    assert line[STEPS == 60.0] / line[STEPS == -60.0] == pytest.approx(
        depth_in_formula(13.5)[()] / depth_in_formula(133.5)[()], rel=1e-3
    )


def test_penumbra_across_a_beam():
    """Phi((shift - d)/4 mm), the same shift on both sides and 50 % where d is the shift."""
    thin = TARGET & (np.abs(Y) < 4.0)
    dose = beam_dose(BLOCK, GRID, thin, [0.0], **OPTIONS)
    profile = dose[:, MIDDLE, MIDDLE]
    profile = profile / profile[MIDDLE]
    edge = 13.5 + 1.5  # voxels at up to 13.5 mm, of 3 mm
    distance = np.abs(STEPS) - edge
    outer = (distance > -9.0) & (distance < 20.0)
    shifts = [  # what margin each place would need for its dose
        distance[k] + 4.0 * _quantile(profile[k]) for k in np.flatnonzero(outer)
    ]
    assert np.ptp(shifts) < 0.1
    assert 0.0 < shifts[0] < 16.0
    assert ndtr(shifts[0] / 4.0) == pytest.approx(np.interp(edge, STEPS, profile), abs=0.03)


def _quantile(share):
    from scipy.special import ndtri

    return ndtri(share)


@pytest.mark.parametrize("name", ["three fields", "four fields", "seven fields"])
def test_normalised_as_the_geometric_dose(name):
    dose = beam_dose(BLOCK, GRID, TARGET, ARRANGEMENTS[name], **OPTIONS)
    low, middle = np.percentile(dose[TARGET], [2, 50])
    assert middle == pytest.approx(1.0, abs=1e-5)
    assert low == pytest.approx(0.955, abs=2e-3)
    outside = dose[BLOCK & ~TARGET]
    assert 0.0 < outside.mean() < 0.5


def test_three_fields_enter_where_they_are_said_to():
    """From 0, 120 and 240 degrees: in front hot, behind cold, left as right."""
    dose = beam_dose(BLOCK, GRID, TARGET, ARRANGEMENTS["three fields"], **OPTIONS)
    at = MIDDLE + 15
    assert dose[MIDDLE, at, MIDDLE] > 1.2 * dose[MIDDLE, MIDDLE - 15, MIDDLE]
    np.testing.assert_allclose(dose, dose[::-1], atol=0.02)


# --- on a patient --------------------------------------------------------------------------------


def test_course_by_beams_on_the_small_patient(patient):
    course = replace(RT, beams=(90.0, 270.0))
    (plain,), (beams,) = (dose_maps(patient, Regimen(one)) for one in (RT, course))
    assert beams.d50_gy == pytest.approx(60.0, rel=1e-4)
    np.testing.assert_array_equal(beams.target, plain.target)
    # at the height of the target along the beams more than beside them
    centre = np.round(patient.grid.to_voxels(np.array([6.0, 2.0, 4.0]))).astype(int)
    left, front = centre.copy(), centre.copy()
    left[0] -= 8
    front[1] -= 11
    assert beams.total_gy[tuple(left)] > 45.0 > 5.0 > beams.total_gy[tuple(front)]
    assert body_of(patient.tissues).sum() == (patient.tissues > 0).sum()  # no holes in it


def test_boost_and_base_have_their_own_apertures(patient):
    base = replace(RT, beams=ARRANGEMENTS["five fields"], ctv_margin_mm=8.0)
    boosted = replace(base, boost_target="enhancing", boost_total_dose_gy=72.0)
    (one,), (two,) = (dose_maps(patient, Regimen(course)) for course in (base, boosted))
    inside = patient.structures["enhancing"].mask | patient.structures["necrosis"].mask
    assert np.median(two.total_gy[inside]) == pytest.approx(72.0, rel=2e-3)
    assert (two.total_gy >= one.total_gy - 1e-3).all()


def test_plan_says_that_it_is_a_what_if(patient):
    plan = planned(patient, replace(RT, beams=ARRANGEMENTS["four fields"]))
    text = " ".join(str(plan).split())
    assert "by beams from 0, 90, 180 and 270 degrees" in text
    assert "what-if model" in text
    assert "without beams" not in text
    assert {organ.complication.reason for organ in plan.arms[0].organs} == {WHAT_IF}
    assert text.count(WHAT_IF) == 1


def test_uneven_beams_are_refused_with_what_they_reach():
    with pytest.raises(InvalidInput, match=r"get only 9\d\.\d % of its median") as caught:
        beam_dose(BLOCK, GRID, TARGET, [0.0], **OPTIONS)
    assert "\n" not in str(caught.value)


def study_with(**more):
    course = {"total_dose": "60 Gy", "fractions": 30, "start": "7 day", **more}
    table = {
        "format": 1,
        "patient": "patient.toml",
        "scenario": [{"name": "beams", "radiotherapy": [course]}],
    }
    return StudyFile.model_validate(table).study().scenarios[0].regimen


def test_beams_in_the_study_file():
    assert study_with(beams=["0 deg", "90 deg"]).radiotherapy[0].beams == (0.0, 90.0)
    named = study_with(arrangement="three fields")
    assert named.radiotherapy[0].beams == (0.0, 120.0, 240.0)
    assert Regimen.from_dict(named.as_dict()) == named
    assert "beams" not in study_with().as_dict()[0]
    for more, says in (
        ({"beams": ["0 deg"], "arrangement": "opposed"}, "angles or a name"),
        ({"beams": ["400 deg"]}, "between 0 and 360 deg"),
        ({"beams": ["0 deg", "360 deg"]}, "each angle once"),
        ({"beams": ["0 deg"], "dose": "plan"}, "has its beams in it"),
        ({"beams": ["3 mm"]}, "deg"),
        ({"arrangement": "six fields"}, "three fields"),
    ):
        with pytest.raises((InvalidInput, ValueError), match=says):
            study_with(**more)
