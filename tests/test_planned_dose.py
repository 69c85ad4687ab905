"""Doses of treatment plans in a run: from file to survival, and what they are refused for."""

import nibabel as nib
import numpy as np
import pytest
from rt_makers import make_dose
from small_patient import PATIENT_TOML, write_small_patient

import twin
from scenarios.organs import organ_doses
from solvers import FiniteElementSolver
from solvers.dose_response import proton_rbe
from solvers.torch_executor import TorchSolver
from twin.courses import Radiotherapy
from twin.dose import dose_maps
from twin.errors import InvalidInput
from twin.protocol import State
from twin.regimen import Regimen

ALPHA, RATIO = 0.3, 10.0


CARBON = 'file = "dose.nii.gz"\nprescribed = "60 Gy"\n'


def gradient_dose(points):
    """A dose that is linear in x, [Gy]: 60 Gy at x = 6 mm, 0.5 Gy more a millimetre."""
    return 60.0 + 0.5 * (points[..., 0] - 6.0)


def save(path, values, spacing, origin):
    affine = np.diag([*([spacing] * 3), 1.0])
    affine[:3, 3] = origin
    nib.save(nib.Nifti1Image(values.astype(np.float32), affine), path)


def voxels(spacing, half):
    steps = np.arange(-half, half + 1e-6, spacing)
    return np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1), steps[0]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A patient's folder with doses on other grids than its images."""
    place = tmp_path_factory.mktemp("planned")
    points, first = voxels(2.5, 30.0)
    dose = gradient_dose(points)
    save(place / "dose.nii.gz", dose, 2.5, [first] * 3)
    save(place / "fraction.nii.gz", dose / 30, 2.5, [first] * 3)
    save(place / "left.nii.gz", dose * 0.4, 2.5, [first] * 3)
    save(place / "right.nii.gz", dose * 0.6, 2.5, [first] * 3)
    save(place / "centi.nii.gz", dose * 100, 2.5, [first] * 3)
    save(place / "let.nii.gz", np.full(dose.shape, 4.0), 2.5, [first] * 3)
    save(place / "half.nii.gz", dose[: len(dose) // 2], 2.5, [first] * 3)
    # three times as large voxels: their means are those of the linear dose
    coarse, at = voxels(7.5, 37.5)
    save(place / "coarse.nii.gz", gradient_dose(coarse), 7.5, [at] * 3)
    return place


@pytest.fixture(scope="module")
def load(folder, tmp_path_factory):
    """Loads the patient with given lines for its one planned dose."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TWIN_CACHE", str(tmp_path_factory.mktemp("cache")))

        def loaded(lines, name="plan"):
            toml = f"{PATIENT_TOML}\n[doses.{name}]\n{lines}\n"
            return twin.load(write_small_patient(folder, toml=toml))

        yield loaded


def course(**changes):
    given = {"total_dose_gy": 60.0, "fractions": 30, "start_day": 0.5, "dose": "plan"}
    return Radiotherapy(**{**given, **changes})


@pytest.mark.parametrize(
    "lines",
    [
        'file = "dose.nii.gz"\nprescribed = "60 Gy"',
        'file = "fraction.nii.gz"\nprescribed = "60 Gy"\nper = "fraction"\nfractions = 30',
        'file = ["left.nii.gz", "right.nii.gz"]\nprescribed = "60 Gy"',
        'file = "centi.nii.gz"\nunit = "cGy"\nprescribed = "60 Gy"',
        'file = "coarse.nii.gz"\nprescribed = "60 Gy"',
    ],
)
def test_the_dose_of_a_plan_reaches_the_nodes(load, lines):
    one = load(lines)
    run = FiniteElementSolver().solve(one, Regimen(course()), [0.0])
    middle = np.linalg.norm(one.mesh.points - [6.0, 2.0, 4.0], axis=1) < 8.0
    expected = gradient_dose(one.mesh.points[middle])
    np.testing.assert_allclose(run.dose.values[middle], expected, rtol=2e-4)


def test_another_prescription_scales_the_plan(load):
    one = load('file = "dose.nii.gz"\nprescribed = "60 Gy"')
    (plan,) = dose_maps(one, Regimen(course(total_dose_gy=40.0, fractions=20)))
    (whole,) = dose_maps(one, Regimen(course()))
    np.testing.assert_allclose(plan.total_gy, whole.total_gy * 40 / 60, rtol=1e-6)
    (text,) = Regimen(course()).describe(one.calendar)
    assert text.endswith("by the planned dose 'plan'.")
    assert Regimen.from_dict(Regimen(course()).as_dict()) == Regimen(course())


def test_a_plan_survives_building_and_counts_for_what_is_kept(load, folder, tmp_path):
    lines = 'file = "dose.nii.gz"\nprescribed = "60 Gy"\nrbe = "wedenberg"\nlet = "let.nii.gz"'
    one = load(lines)
    built = twin.build(folder / "patient.toml", tmp_path / "built")
    again = twin.load(tmp_path / "built")
    assert again.content_hash == built.content_hash == one.content_hash
    np.testing.assert_array_equal(again.doses["plan"].relative, one.doses["plan"].relative)
    assert again.doses["plan"].variable == "wedenberg"
    other = load(lines.replace('"60 Gy"', '"59 Gy"'))
    assert other.content_hash != one.content_hash


def test_an_rtdose_is_read_and_must_be_of_the_stated_kind(load, folder):
    """Frames of 40 x 40 voxels of 2 mm, 3 mm apart, from the head's left, front and foot."""
    gray = np.full((40, 40, 40), 50.0)
    make_dose(folder / "dose.dcm", gray, spacing=(2.0, 2.0, 2.0), position=(-40.0, -40.0, -40.0))
    one = load('file = "dose.dcm"\nprescribed = "50 Gy"')
    (plan,) = dose_maps(one, Regimen(course(total_dose_gy=50.0)))
    assert plan.d50_gy == pytest.approx(50.0, rel=1e-4)
    with pytest.raises(InvalidInput, match=r"dose\.dcm says that its dose is physical"):
        load('file = "dose.dcm"\nprescribed = "50 Gy"\nkind = "biological"')


def middle_survival(one, regimen):
    """Log-survival on day 2 about the tumour's middle, hardly growing, and the nodes there."""
    parameters = one.parameters.replace(
        proliferation_rate=0.0027, diffusivity_white=0.005, diffusivity_grey=0.005, alpha=ALPHA
    )
    one = one.replace(parameters=parameters)
    nodes = len(one.mesh.points)
    nothing = np.zeros(nodes)
    start = State(
        day=0.0, species={"viable": np.full(nodes, 1e-6), "dead": nothing, "necrosis": nothing}
    )
    found = FiniteElementSolver(step_day=1.0).state(one, regimen, 2.0, start=start)
    middle = np.linalg.norm(one.mesh.points - [6.0, 2.0, 4.0], axis=1) < 4.0
    return np.log(found.species["viable"][middle] / 1e-6) - 0.0027 * 2.0, one.mesh.points[middle]


def test_protons_kill_by_their_let(load):
    """alpha (1 + 0.434 LET/(alpha/beta)), beta as of photons: Wedenberg 2013, LET 4 keV/um."""
    single = Regimen(course(total_dose_gy=6.0, fractions=1))
    lines = 'file = "dose.nii.gz"\nprescribed = "60 Gy"\n'
    log, points = middle_survival(load(lines + 'rbe = "wedenberg"\nlet = "let.nii.gz"'), single)
    dose = gradient_dose(points) / 10.0
    expected = -ALPHA * dose * (1.0 + 0.434 * 4.0 / RATIO + dose / RATIO)
    np.testing.assert_allclose(log, expected, atol=3e-3)
    log, points = middle_survival(load(lines + "rbe = 1.1"), single)
    worth = 1.1 * gradient_dose(points) / 10.0
    np.testing.assert_allclose(log, -ALPHA * worth * (1.0 + worth / RATIO), atol=3e-3)


def test_organs_get_the_photons_that_protons_are_worth(load):
    lines = 'file = "dose.nii.gz"\nprescribed = "60 Gy"\n'
    photons = organ_doses(load(lines), Regimen(course()))["brainstem"]
    protons = organ_doses(load(lines + 'rbe = "mcnamara"\nlet = "let.nii.gz"'), Regimen(course()))[
        "brainstem"
    ]
    ratio = load(lines).parameters.value("alpha_beta_brainstem")
    low, high = (float(proton_rbe(d, 4.0, alpha_beta=ratio, model="mcnamara")) for d in (3.0, 1.0))
    # EQD2 rises with the dose by more than in proportion
    assert low < protons.mean_gy / photons.mean_gy < high * 1.4
    with pytest.raises(InvalidInput, match="knows no effectiveness by LET"):
        TorchSolver(device="cpu").solve(
            load(lines + 'rbe = "mcnamara"\nlet = "let.nii.gz"'), Regimen(course()), [1.0]
        )


def test_carbon_by_a_constant_is_so_many_photons(load):
    """rbe 3 of a physical dose, and the biological dose with it in, are one."""
    single = Regimen(course(total_dose_gy=6.0, fractions=3))
    log, points = middle_survival(load(CARBON + 'rbe = 3.0\nparticle = "carbon"'), single)
    # two of the three fractions until day 2, of 2 Gy at the middle, worth three times as much
    worth = 3.0 * gradient_dose(points) / 30.0
    expected = -2.0 * ALPHA * worth * (1.0 + worth / RATIO)
    np.testing.assert_allclose(log, expected, rtol=2e-3, atol=3e-3)
    load(CARBON + 'kind = "biological"\nparticle = "carbon"')


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ('file = "none.nii.gz"\nprescribed = "60 Gy"', "none.nii.gz does not exist"),
        ('file = "dose.nii.gz"', "prescribed"),
        ('file = []\nprescribed = "60 Gy"', "empty list"),
        ('file = "centi.nii.gz"\nprescribed = "60 Gy"', 'in cGy, write unit = "cGy"'),
        ('file = "dose.nii.gz"\nprescribed = "60 Gy"\nper = "fraction"', "needs fractions"),
        (
            'file = "dose.nii.gz"\nprescribed = "60 Gy"\nper = "fraction"\nfractions = 30',
            "per fraction, above 40 Gy",
        ),
        (
            'file = "dose.nii.gz"\nprescribed = "60 Gy"\nkind = "biological"\nrbe = 1.1',
            "is in it already",
        ),
        ('file = "dose.nii.gz"\nprescribed = "60 Gy"\nrbe = 9.0', "between 0.5 and 6"),
        ('file = "dose.nii.gz"\nprescribed = "60 Gy"\nrbe = "wedenberg"', "need let"),
        ('file = "dose.nii.gz"\nprescribed = "60 Gy"\nlet = "let.nii.gz"', "need let"),
        ('file = "dose.nii.gz"\nprescribed = "6000 Gy"', "at most 200 Gy"),
        (CARBON + 'rbe = "LEM IV"', "spectrum of particles at every place"),
        (CARBON + 'rbe = "mkm"\nparticle = "carbon"', "is a model of carbon ions"),
        (
            CARBON + 'rbe = "wedenberg"\nlet = "let.nii.gz"\nparticle = "carbon"',
            "is a model of protons",
        ),
        (CARBON + 'particle = "carbon"', "needs rbe, a constant effectiveness"),
        (CARBON + 'particle = "photons"\nrbe = 1.1', "photons have an effectiveness of 1"),
        (CARBON + 'particle = "neutrons"', "photons"),
    ],
)
def test_bad_doses_are_told_in_one_sentence(load, lines, says):
    with pytest.raises(InvalidInput, match=says) as caught:
        load(lines)
    assert "\n" not in str(caught.value)


def test_a_dose_that_does_not_cover_the_target_says_how_much(load):
    one = load('file = "half.nii.gz"\nprescribed = "60 Gy"')
    with pytest.raises(InvalidInput, match=r"covers \d+\.\d % of the target 'gtv'"):
        dose_maps(one, Regimen(course()))
    with pytest.raises(InvalidInput, match="no planned dose 'other'; it has plan"):
        dose_maps(one, Regimen(course(dose="other")))
    with pytest.raises(InvalidInput, match="has its boost in it"):
        course(boost_target="enhancing", boost_total_dose_gy=70.0)
