"""Leaving the last scan out: scores of the forecast and of those that need no model."""

import json

import numpy as np
import pytest
from followed_patients import write_followed_patient
from small_patient import PATIENT_TOML, write_small_patient

from scenarios.calibration.evaluate import Evaluation, _dilated, _exponential, paired_text
from twin.grid import Grid
from viz.cli import main

TRUTH = {"diffusivity_white": 0.1, "diffusivity_grey": 0.02, "proliferation_rate": 0.045}


def test_exponential_growth_through_two_volumes():
    """From 2 to 4 ml in 10 days: 16 ml 20 days later."""
    assert _exponential([(0.0, 1.0), (10.0, 2.0), (20.0, 4.0)], 40.0) == pytest.approx(16.0)
    assert np.isnan(_exponential([(0.0, 1.0), (10.0, 0.0)], 40.0))


def test_a_ball_is_dilated_to_a_ball():
    grid = Grid((41, 41, 41), np.eye(4))
    r = np.linalg.norm(np.indices(grid.shape).T - 20.0, axis=-1).T
    larger = _dilated(r < 6.0, int((r < 10.0).sum()), grid)
    assert (
        abs(int(larger.sum()) - int((r < 10.0).sum())) <= 60
    )  # voxels at one distance go together
    assert (larger ^ (r < 10.0)).sum() < 0.03 * larger.sum()


def made(inside, own, other):
    way = {"dice": own}
    return Evaluation(
        "p",
        "2026-01-01",
        {
            outline: {
                "inside_90": inside,
                "ways": {
                    "twin": way,
                    "nothing changes": {"dice": other},
                    "dilated to the twin's volume": {"dice": own},
                },
            }
            for outline in ("T1Gd", "FLAIR")
        },
    )


def test_patients_together():
    """Eight patients all better: the exact signed-rank test has p = 2 / 2^8."""
    text = paired_text([made(k > 0, 0.8 + 0.01 * k, 0.7) for k in range(8)])
    assert "7 of 8 inside the 90 % interval" in text
    assert "Dice 0.835 against 0.700 (nothing changes); paired Wilcoxon p = 0.0078" in text
    assert "no difference in any patient" in text
    assert "too few patients for a test" in paired_text([made(True, 0.8, 0.7)] * 2)


@pytest.fixture(scope="module")
def followed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluated")
    source = write_small_patient(folder / "source", toml=PATIENT_TOML)
    return write_followed_patient(
        source, folder / "patient", [20, 40], TRUTH, patch_mm=0.5, shared_mm=0.3, seed=3
    )


def test_the_last_scan_is_forecast_and_scored(followed, tmp_path, capsys):
    """A fast tumour: the forecast from the first follow-up is nearer than no change.

    Of the FLAIR outline, that is; the enhancing tumour of 0.7 ml is as wide as three elements.
    """
    command = ["evaluate", str(followed), "-o", str(tmp_path / "e"), "--draws", "100", "--json",
               "--quiet", "--threads", "2"]  # fmt: skip
    assert main(command) == 0
    said = json.loads(capsys.readouterr().out)
    assert said == json.loads((tmp_path / "e" / "evaluation.json").read_text())
    scores = said["patients"][0]["scores"]
    for name in ("T1Gd", "FLAIR"):
        assert scores[name]["ways"]["nothing changes"]["dice_of_change"] == 0.0
        assert scores[name]["inside_90"]
    ways = scores["FLAIR"]["ways"]
    assert ways["twin"]["dice"] > ways["nothing changes"]["dice"]
    assert ways["twin"]["mean_distance_mm"] < ways["nothing changes"]["mean_distance_mm"]


def test_one_scan_cannot_be_left_out(followed, tmp_path, capsys):
    text = followed.read_text()
    alone = followed.parent / "alone.toml"
    alone.write_text(text[: text.rindex("[[follow_up]]")])
    assert main(["evaluate", str(alone), "-o", str(tmp_path / "e"), "--quiet"]) == 2
    assert "two are needed" in capsys.readouterr().err
