"""Fits to follow-up scans: outlines, the search, draws, and the whole way through the commands."""

import json
import shutil

import nibabel as nib
import numpy as np
import pytest
from ball_meshes import ball_mesh
from followed_patients import write_followed_patient
from scipy import stats
from small_patient import PATIENT_TOML, write_small_patient

import twin
from scenarios.calibration.calibrate import calibrate
from scenarios.calibration.case import read_case
from scenarios.calibration.store import FitFolder
from solvers.calibration.draws import draw
from solvers.calibration.likelihood import Outline, Volume
from solvers.calibration.most_likely import most_likely
from solvers.calibration.outlines import OutlineNoise, patched_outline
from solvers.calibration.problem import Records
from solvers.calibration.quadratic import QuadraticErrors, terms_of
from solvers.calibration.scans import observe
from solvers.calibration.unknowns import Unknowns
from twin.errors import InvalidInput, NotConverged
from twin.follow_up import CalibrationTable, FollowUp
from twin.parameters import load_parameter_set
from twin.regimen import Regimen
from viz.cli import main

RADIUS = 10.0
#: Another tumour than the parameter set's: both faster.
TRUTH = {"diffusivity_white": 0.1, "diffusivity_grey": 0.02, "proliferation_rate": 0.045}


# --- outlines --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ball():
    """A ball of 20 mm and the distance of its nodes to the middle."""
    mesh = ball_mesh(24, 20.0)
    return mesh, np.linalg.norm(mesh.points, axis=1)


@pytest.fixture(scope="module")
def outline(ball):
    mesh, r = ball
    return patched_outline(mesh, np.ones(len(mesh.cells), bool), r - RADIUS)


def test_patches_share_the_surface_of_a_ball(outline):
    """Area 4 pi r^2, volume 4/3 pi r^3: 1.5 % off on cells of 2 mm, whose faces are flat."""
    assert outline.area.sum() == pytest.approx(4 * np.pi * RADIUS**2, rel=0.02)
    assert outline.inside.sum() == pytest.approx(4 / 3 * np.pi * RADIUS**3, rel=0.02)
    assert 5 <= len(outline.area) <= 40
    assert outline.area.min() >= 0.3 * 12.0**2


@pytest.mark.parametrize("moved", [-1.0, -0.2, 0.0, 0.3, 1.5])
def test_distances_of_a_ball_that_is_larger(ball, outline, moved):
    """A shell from r to r + m holds 4/3 pi ((r + m)^3 - r^3); over the area, its mean width."""
    _, r = ball
    found = outline.distances(0.5 - 0.01 * (r - RADIUS - moved), 0.5)
    mean = ((RADIUS + moved) ** 3 - RADIUS**3) / (3 * RADIUS**2)
    assert np.average(found, weights=outline.area) == pytest.approx(
        mean, abs=0.02 + 0.02 * abs(mean)
    )


def test_a_ball_that_lies_elsewhere_is_off_by_side(ball):
    """Moved by d along x: d cos(angle) at a place, nothing on the whole."""
    mesh, r = ball
    outline = patched_outline(mesh, np.ones(len(mesh.cells), bool), r - RADIUS, 5.0)
    moved = np.linalg.norm(mesh.points - [1.0, 0.0, 0.0], axis=1)
    found = outline.distances(0.5 - 0.01 * (moved - RADIUS), 0.5)
    assert abs(np.average(found, weights=outline.area)) < 0.05
    assert found.max() == pytest.approx(1.0, abs=0.15)
    assert found.min() == pytest.approx(-1.0, abs=0.15)


def test_an_outline_off_the_mesh_is_refused(ball):
    mesh, r = ball
    everywhere = np.ones(len(mesh.cells), bool)
    with pytest.raises(InvalidInput, match="encloses no tissue"):
        patched_outline(mesh, everywhere, r + 1.0)
    with pytest.raises(InvalidInput, match="encloses all tissue"):
        patched_outline(mesh, everywhere, r - 50.0)


def test_errors_are_the_normal_likelihood(outline):
    """Half the sum of squares against the density of scipy's multivariate normal."""
    noise = OutlineNoise(1.3, 0.7)
    seen = Outline(10.0, "", outline, "threshold_t1gd", noise)
    parameters = load_parameter_set("glioblastoma")
    count = len(outline.inside)
    covariance = 1.3**2 * np.eye(count) + 0.7**2  # independent errors, and one that all share
    normal = stats.multivariate_normal(np.zeros(count), covariance)
    rng = np.random.default_rng(0)
    differences = []
    for _ in range(5):
        made = rng.normal(size=count)
        moved = type(outline)(
            outline.cells, outline.volume, outline.patch, -made * outline.area, outline.area
        )
        errors = Outline(10.0, "", moved, "threshold_t1gd", noise).errors(
            np.zeros(outline.cells.max() + 1), parameters
        )
        differences.append(-0.5 * errors @ errors - normal.logpdf(made))
    assert np.ptp(differences) < 1e-9
    assert seen.day == 10.0


def test_oedema_lets_flair_lie_further_out_only(ball, outline):
    _, r = ball
    parameters = load_parameter_set("glioblastoma")
    seen = Outline(
        1.0,
        "",
        outline,
        "threshold_flair",
        OutlineNoise(1.0, 0.5),
        inward_mm=4.0,
    )
    at = parameters.value("threshold_flair")

    def cost(moved):
        errors = seen.errors(at - 0.01 * (r - RADIUS - moved), parameters)
        return 0.5 * errors @ errors

    assert cost(-2.0) < 0.5 < 4.0 < cost(2.0)


def test_a_complete_response_agrees_with_anything_too_small_to_be_seen(ball, outline):
    _, r = ball
    parameters = load_parameter_set("glioblastoma")
    none = Volume(1.0, "", outline, "threshold_t1gd", 0.0, 0.3, 65.0)
    assert none.errors(np.zeros(len(r)), parameters) == [0.0]
    seen = none.errors(np.where(r < 6.0, 1.0, 0.0), parameters)[0]
    assert seen > 5.0


# --- unknowns --------------------------------------------------------------------------------


def test_the_prior_is_a_standard_normal_within_the_range():
    unknowns = Unknowns(("proliferation_rate", "outline_shift"), load_parameter_set("glioblastoma"))
    places = unknowns.draws_of_the_prior(4000, 1)
    low, high = unknowns.bounds
    for k in range(2):
        expected = stats.truncnorm(low[k], high[k])
        assert stats.kstest(places[:, k], expected.cdf).pvalue > 1e-3
    values = unknowns.values(places)
    np.testing.assert_allclose(unknowns.coordinates(values), places, atol=1e-9)
    # one standard deviation above the median 0.03 with sigma 0.9 is 0.03 exp(0.9)
    assert unknowns.values([1.0, 2.0]).tolist() == pytest.approx([0.03 * np.exp(0.9), 1.0])
    assert np.isneginf(unknowns.log_prior(np.array([[99.0, 0.0]])))


def test_grey_matter_goes_along_with_white():
    base = load_parameter_set("glioblastoma").replace(diffusivity_grey=0.013)
    unknowns = Unknowns(("diffusivity_white",), base)
    found = unknowns.parameters(unknowns.coordinates([0.26]))
    assert found.value("diffusivity_white") == pytest.approx(0.26)
    assert found.value("diffusivity_grey") == pytest.approx(0.026)


@pytest.mark.parametrize(
    ("names", "match"),
    [
        ((), "nothing to fit"),
        (("alpha", "alpha"), "named twice"),
        (("diffusivity_grey",), "goes along with 'diffusivity_white'"),
        (("oer_maximum",), "has no prior"),
        (("proliferation",), "did you mean 'proliferation_rate'"),
    ],
)
def test_unknowns_that_cannot_be_fitted(names, match):
    with pytest.raises(InvalidInput, match=match):
        Unknowns(names, load_parameter_set("glioblastoma"))


# --- the search and the draws, on problems whose posterior is known ----------------------------


class Given:
    """A problem by a formula instead of a solver."""

    threads = 1

    def __init__(self, names, function):
        self.unknowns = Unknowns(names, load_parameter_set("glioblastoma"))
        self.function, self.runs, self.records = function, 0, Records()

    def errors(self, places):
        self.runs += len(places)
        return np.array([self.function(place) for place in places])

    def log_likelihood(self, errors):
        return -0.5 * (errors**2).sum(axis=1)


NAMES = ("proliferation_rate", "alpha", "outline_shift")
SLOPE = np.array([[3.0, 1.0, 0.0], [0.0, 2.0, 1.0], [1.0, 0.0, 1.0], [0.5, 0.5, 0.5]])
SEEN = np.array([1.0, -0.5, 0.3, 0.2])


@pytest.fixture(scope="module")
def linear():
    """Linear errors: the posterior is the normal one with precision A'A + 1."""
    problem = Given(NAMES, lambda z: SLOPE @ z - SEEN)
    covariance = np.linalg.inv(SLOPE.T @ SLOPE + np.eye(3))
    return problem, covariance @ SLOPE.T @ SEEN, covariance


def test_the_most_likely_point_of_a_linear_problem(linear):
    problem, mean, covariance = linear
    for found in most_likely(problem, starts=3, seed=4):
        np.testing.assert_allclose(found.place, mean, atol=0.05)
        np.testing.assert_allclose(found.covariance, covariance, rtol=1e-6)


def test_draws_of_a_linear_problem(linear):
    problem, mean, covariance = linear
    best = most_likely(problem, starts=1)[0]
    found = draw(problem, best, effective=2000, seed=2)
    assert found.effective > 1900
    assert found.tail < 0.5
    sd = np.sqrt(np.diag(covariance))
    error = 4.5 / np.sqrt(found.effective)
    np.testing.assert_allclose(found.weights @ found.places, mean, atol=error * sd.max())
    spread = np.cov(found.places.T, aweights=found.weights)
    np.testing.assert_allclose(spread, covariance, atol=error * sd.max() ** 2 * 1.5)
    again = draw(problem, best, effective=2000, seed=2)
    np.testing.assert_array_equal(found.places, again.places)


def test_draws_are_exact_where_errors_are_not_quadratic():
    """One unknown, errors by an exponential: against the integral of the posterior."""

    def errors(z):
        return np.array([2.0 * (np.exp(0.6 * z[0]) - 1.5), np.sinh(z[0]) - 0.3])

    problem = Given(("outline_shift",), errors)
    found = draw(problem, most_likely(problem, starts=2)[0], effective=3000, seed=1)
    z = np.linspace(-4, 4, 4001)
    density = np.exp([-0.5 * (errors([x]) @ errors([x]) + x * x) for x in z])
    density /= density.sum()
    mean = density @ z
    sd = np.sqrt(density @ (z - mean) ** 2)
    skew = density @ ((z - mean) / sd) ** 3
    own = found.places[:, 0]
    tolerance = 5 / np.sqrt(found.effective)
    assert found.weights @ own == pytest.approx(mean, abs=tolerance * sd)
    assert np.sqrt(found.weights @ (own - mean) ** 2) == pytest.approx(sd, rel=tolerance)
    assert found.weights @ ((own - mean) / sd) ** 3 == pytest.approx(skew, abs=4 * tolerance)


def test_draws_that_cannot_be_trusted_are_refused():
    """A cusp with tails as wide as the prior, which no quadratic has."""

    def errors(z):
        return 3.0 * np.abs(z[:2]) ** 0.3

    problem = Given(("proliferation_rate", "outline_shift"), errors)
    with pytest.raises(NotConverged, match="no interval is given"):
        draw(problem, most_likely(problem, starts=1)[0], effective=200)


def test_quadratic_errors_are_found_exactly():
    rng = np.random.default_rng(3)
    truth = rng.normal(size=(terms_of(2), 5))

    def errors(z):
        x, y = z.T
        return np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=1) @ truth

    places = rng.normal(size=(20, 2))
    fitted = QuadraticErrors.fitted(places, errors(places), np.zeros(2), np.eye(2))
    new = rng.normal(size=(50, 2))
    np.testing.assert_allclose(fitted(new), errors(new), atol=1e-9)
    np.testing.assert_allclose(
        fitted.log_likelihood(new), -0.5 * (errors(new) ** 2).sum(axis=1), rtol=1e-9
    )
    with pytest.raises(InvalidInput, match="5 runs are too few for the 6 terms"):
        QuadraticErrors.fitted(places[:5], errors(places[:5]), np.zeros(2), np.eye(2))


def test_quantiles_by_weights(linear):
    problem, _, _ = linear
    found = draw(problem, most_likely(problem, starts=1)[0], effective=100)
    few = type(found)(np.zeros((4, 1)), np.array([0.1, 0.2, 0.3, 0.4]), np.zeros(4), 3, 0, 1, 4)
    # heaps' middles at 0.05, 0.2, 0.45, 0.8 of the sorted values 1, 2, 3, 4
    values = np.array([[1.0], [2.0], [3.0], [4.0]])
    assert few.quantiles(values, [0.2, 0.325, 0.99])[:, 0] == pytest.approx([2.0, 2.5, 4.0])


# --- scans in a patient file --------------------------------------------------------------------


GIVEN = """
[[given.radiotherapy]]
date = 2026-04-27
total_dose = "60 Gy"
fractions = 30
"""


@pytest.fixture(scope="module")
def followed(tmp_path_factory):
    """A small patient with two scans before treatment, made on another mesh."""
    folder = tmp_path_factory.mktemp("followed")
    source = write_small_patient(folder / "source", toml=PATIENT_TOML)
    return write_followed_patient(
        source, folder / "patient", [20, 40], TRUTH, patch_mm=0.5, shared_mm=0.3, seed=5
    )


def changed(followed, tmp_path, *, old="", new="", more=""):
    """A copy of the patient with other text in its file."""
    shutil.copytree(followed.parent, tmp_path / "p")
    text = (tmp_path / "p" / "patient.toml").read_text()
    assert old in text
    (tmp_path / "p" / "patient.toml").write_text(text.replace(old, new, 1) + more)
    return tmp_path / "p" / "patient.toml"


def test_scans_are_read_with_their_days(followed):
    case = read_case(followed)
    assert [scan.day for scan in case.follow_ups] == [20.0, 40.0]
    assert case.unknowns.names == (
        "diffusivity_white", "proliferation_rate", "outline_shift", "threshold_t1gd",
        "threshold_flair",
    )  # fmt: skip
    first, second = case.follow_ups
    assert 0 < first.core.sum() < second.core.sum()
    assert (first.whole | ~first.core).all()


@pytest.mark.parametrize(
    ("old", "new", "more", "match"),
    [
        ("date = 2026-04-19", "date = 2026-03-30", "", "not after the reference visit"),
        ("date = 2026-04-19", "date = 2026-05-09", "", "there twice"),
        ("date = 2026-04-19", "date = 2026-06-01", "", "write scans in order"),
        ("follow_up_1.nii.gz", "missing.nii.gz", "", "missing.nii.gz"),
        ('"follow_up_1.nii.gz"', "[]", "", "list of segmentations is empty"),
        (
            'segmentation = "follow_up_1.nii.gz"',
            'segmentation = "follow_up_1.nii.gz"\nlabels = { enhancing = 1, flair = 2 }',
            "",
            "label 4 without a name",
        ),
        ("", "", '[calibration]\nunknowns = ["alfa"]\n', "did you mean 'alpha'"),
        ("", "", '[calibration.priors]\nalpha = { median = "1 mm", sigma_ln = 0.1 }\n', "alpha"),
        ("", "", GIVEN.replace("2026-04-27", "2026-03-02"), "put earlier treatment into"),
    ],
)
def test_scans_that_cannot_be_used(followed, tmp_path, capsys, old, new, more, match):
    path = changed(followed, tmp_path, old=old, new=new, more=more)
    assert main(["calibrate", str(path), "-o", str(tmp_path / "fit"), "--quiet"]) == 2
    said = capsys.readouterr().err
    assert match in said
    assert said.count("\n") == 1
    assert not (tmp_path / "fit").exists()


def test_a_tumour_outside_the_head_is_of_another_patient(followed, tmp_path):
    path = changed(followed, tmp_path)
    image = nib.load(path.parent / "follow_up_1.nii.gz")
    data = np.zeros(image.shape, np.uint8)
    data[:4, :4, :4] = 4
    nib.save(nib.Nifti1Image(data, image.affine), path.parent / "follow_up_1.nii.gz")
    with pytest.raises(InvalidInput, match="lies outside the head"):
        read_case(path)


def test_a_prior_of_ones_own(followed, tmp_path):
    more = '[calibration.priors]\nproliferation_rate = { median = "0.05 1/day", sigma_ln = 0.2 }\n'
    unknowns = read_case(changed(followed, tmp_path, more=more)).unknowns
    k = unknowns.names.index("proliferation_rate")
    assert unknowns.values(np.zeros(5))[k] == pytest.approx(0.05)
    assert unknowns.values(np.ones(5))[k] == pytest.approx(0.05 * np.exp(0.2))


def scan(patient, day, *, size=6.0, timing=None):
    """A follow-up with a ball about the middle of the small tumour."""
    voxels = np.stack(np.indices(patient.grid.shape), axis=-1)
    r = np.linalg.norm(patient.grid.to_world(voxels) - [6.0, 2.0, 4.0], axis=-1)
    return FollowUp(patient.calendar.date(day), float(day), r < size, r < size + 4.0, timing)


def test_what_counts_after_radiotherapy(patient):
    from twin.courses import Radiotherapy

    regimen = Regimen(Radiotherapy(total_dose_gy=60, fractions=30, start_day=28))
    how = CalibrationTable()
    last = regimen.radiotherapy[0].fraction_days(patient.calendar)[-1]
    days = [20, last + 10, last + 83, last + 85]
    found = observe(patient, [scan(patient, d) for d in days], regimen, how)
    by_day = {day: [one for one in found.observations if one.day == day] for day in days}
    assert [len(by_day[day]) for day in days] == [2, 1, 1, 2]
    assert by_day[20][0].noise == OutlineNoise(1.0, 0.5)
    assert by_day[last + 10][0].noise == OutlineNoise(2.0, 1.0)
    assert {one.inward_mm for one in by_day[last + 85]} == {None, 4.0}
    assert len(found.remarks) == 2
    with pytest.raises(InvalidInput, match="said to be after treatment"):
        observe(patient, [scan(patient, 20, timing="after treatment")], regimen, how)
    with pytest.raises(InvalidInput, match="said to be before treatment"):
        observe(patient, [scan(patient, 40, timing="before treatment")], regimen, how)


def test_no_tumour_is_an_observation(patient):
    gone = scan(patient, 20, size=-10.0)
    found = observe(patient, [gone], Regimen(), CalibrationTable())
    assert [type(one) for one in found.observations] == [Volume]
    assert found.observations[0].observed_mm3 == 0.0
    assert "no FLAIR abnormality" in found.remarks[0]


# --- the whole way ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fitted(followed, tmp_path_factory):
    """The fit of the small patient by the command, and what it said."""
    import contextlib
    import io

    folder = tmp_path_factory.mktemp("fit") / "fit"
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        status = main(["calibrate", str(followed), "-o", str(folder), "--draws", "200", "--json",
                       "--quiet", "--threads", "2"])  # fmt: skip
    assert status == 0
    return folder, json.loads(said.getvalue())


def test_the_truth_lies_within_what_is_found(fitted):
    """Within 99.9 % of the posterior, taken as normal, of what made the scans."""
    folder, said = fitted
    posterior = FitFolder(folder).posterior()
    base = load_parameter_set("glioblastoma")
    names = [str(name) for name in posterior.unknown.values]
    truth = Unknowns(tuple(names), base).coordinates(
        [TRUTH.get(name, base.value(name)) for name in names]
    )
    places, weights = posterior.coordinate.values, posterior.weight.values
    mean = weights @ places
    cov = np.cov(places.T, aweights=weights)
    distance = (truth - mean) @ np.linalg.solve(cov, truth - mean)
    assert distance < stats.chi2(len(names)).ppf(0.999)
    rows = {row["name"]: row for row in said["unknowns"]}
    speed = rows["front speed 2 sqrt(D rho)"]
    assert speed["learnt"]
    assert speed["posterior"][0] < 2 * np.sqrt(0.1 * 0.045) < speed["posterior"][2]
    assert said["effective_draws"] >= 150


def test_a_fit_that_was_stopped_goes_on(followed, fitted, tmp_path, monkeypatch):
    """Stopped in the draws; what it went on to is the uninterrupted fit, bit by bit."""
    from solvers.calibration import problem

    case, made = read_case(followed), []
    whole = problem.Problem._run

    def stopping(self, rows):
        if len(made) >= 6:
            raise KeyboardInterrupt
        made.append(len(rows))
        return whole(self, rows)

    options = {"effective": 200, "threads": 2}
    monkeypatch.setattr(problem.Problem, "_run", stopping)
    with pytest.raises(KeyboardInterrupt):
        calibrate(case, tmp_path / "fit", **options)
    monkeypatch.setattr(problem.Problem, "_run", whole)
    with pytest.raises(InvalidInput, match="add --resume"):
        calibrate(case, tmp_path / "fit", **options)
    done = calibrate(case, tmp_path / "fit", resume=True, **options)
    np.testing.assert_array_equal(
        done.posterior.coordinate, FitFolder(fitted[0]).posterior().coordinate
    )
    assert calibrate(case, tmp_path / "fit", **options).found_before
    with pytest.raises(InvalidInput, match="holds another fit"):
        calibrate(case, tmp_path / "fit", effective=300, threads=2)


def test_a_picture_of_the_fit(followed, fitted, tmp_path):
    """Of a fit that is found finished: prior, posterior and pairs, in one file."""
    import matplotlib.image

    picture = tmp_path / "unknowns.png"
    command = ["calibrate", str(followed), "-o", str(fitted[0]), "--draws", "200", "--quiet"]
    assert main([*command, "--picture", str(picture)]) == 0
    height, width, _ = matplotlib.image.imread(picture).shape
    assert width > 1000
    assert height > 1000


def test_a_forecast_of_the_fit(fitted, capsys):
    folder, _ = fitted
    command = ["forecast", str(folder), "--at", "2026-06-08", "--draws", "60", "--json", "--quiet"]
    assert main(command) == 0
    said = json.loads(capsys.readouterr().out)
    core = said["volumes"][0]
    low, high = core["interval_90_ml"]
    assert low < core["interval_50_ml"][0] < core["median_ml"] < core["interval_50_ml"][1] < high
    assert 0.0 <= said["probability_of_progression"] <= 1.0
    # the truth, run on the fine mesh
    record = json.loads((folder / "fit.json").read_text())
    patient = twin.load(record["patient"])
    from solvers.finite_element import FiniteElementSolver

    run = FiniteElementSolver().solve(
        patient.replace(parameters=patient.parameters.replace(**TRUTH)), Regimen(), [70.0]
    )
    truth = float(run.tumour_volume.values[0].ravel()[0]) / 1e3
    assert 0.8 * low < truth < 1.25 * high
    assert (folder / "forecast_2026-06-08.nc").is_file()


@pytest.mark.parametrize(
    ("options", "match"),
    [
        (["--at", "tomorrow"], "year-month-day"),
        (["--at", "2026-03-01"], "must lie after"),
        (["--at", "2026-06-08", "--draws", "3"], "give 20 to 10000"),
    ],
)
def test_forecasts_that_cannot_be_made(fitted, capsys, options, match):
    assert main(["forecast", str(fitted[0]), *options, "--quiet"]) == 2
    assert match in capsys.readouterr().err


def test_no_fit_no_forecast(tmp_path, capsys):
    assert main(["forecast", str(tmp_path), "--at", "2026-06-08", "--quiet"]) == 2
    assert "holds no fit" in capsys.readouterr().err


def test_a_patient_without_follow_ups(tmp_path, capsys):
    path = write_small_patient(tmp_path / "p")
    assert main(["calibrate", str(path), "-o", str(tmp_path / "fit"), "--quiet"]) == 2
    assert "has no [[follow_up]]" in capsys.readouterr().err


@pytest.mark.parametrize("draws", ["20", "9000"])
def test_too_few_or_too_many_draws(followed, tmp_path, capsys, draws):
    command = ["calibrate", str(followed), "-o", str(tmp_path / "fit"), "--draws", draws]
    assert main([*command, "--quiet", "--threads", "2"]) == 2
    assert f"{draws} draws are asked for; give 50 to 5120" in capsys.readouterr().err
    assert not (tmp_path / "fit").exists()
