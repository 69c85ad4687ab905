"""One contract for every executor: the same numbers, the same refusals, each event once."""

import numpy as np
import pytest
import torch
from executor_cases import CHOICES, beyond
from small_patient import write_small_patient

import twin
from solvers.batch import Request
from solvers.finite_element import FiniteElementSolver
from solvers.models import Model, Rate, Species
from solvers.models.mathematics import exp
from solvers.prepared import prepare
from solvers.torch_executor import TorchSolver
from solvers.torch_measure import TensorVolumes
from solvers.volumes import VisibleVolumes, softened_visibility
from twin.courses import Radiotherapy, Resection, Temozolomide
from twin.errors import InvalidInput, NotConverged
from twin.model_choice import ModelChoice
from twin.protocol import Save, State
from twin.regimen import Regimen

EXECUTORS = {
    "finite elements": FiniteElementSolver,
    "torch float64": lambda **options: TorchSolver(dtype="float64", **options),
    "torch float32": lambda **options: TorchSolver(dtype="float32", **options),
}
#: Every model; the longest are compiled in the slow tests alone.
MODELS = [
    pytest.param(name, marks=pytest.mark.slow if choice.oxygen and choice.resistant else ())
    for name, choice in CHOICES.items()
]
#: Of the largest volume; in single precision as promised for volumes.
TOLERANCE = {"finite elements": 0.0, "torch float64": 1e-10, "torch float32": 1e-4}
OTHERS = [name for name in EXECUTORS if name != "finite elements"]
COURSE = Radiotherapy(total_dose_gy=60.0, fractions=30, start_day=7.375)
FULL = Regimen(Resection(day=3.25), COURSE, Temozolomide())
#: On the grid, between its points with a drug and without, and at events.
TIMES = (0.0, 2.5, 3.25, 4.0, 7.375, 20.0, 33.3, 70.0, 91.25)
MEASURES = ("tumour_volume", "tumour_volume_soft", "tumour_burden")


@pytest.fixture(scope="module")
def patient(tmp_path_factory):
    return twin.load(write_small_patient(tmp_path_factory.mktemp("patient")))


@pytest.fixture(params=EXECUTORS)
def executor(request):
    return EXECUTORS[request.param]


@pytest.fixture(scope="module")
def known(patient):
    """Runs of the finite-element solver, each made once."""
    found = {}

    def run(name):
        if name not in found:
            chosen = patient.replace(model=CHOICES[name])
            save = Save(fields_at=(33.3,))
            found[name] = FiniteElementSolver().solve(chosen, FULL, TIMES, save=save)
        return found[name]

    return run


def assert_same(found, expected, share):
    """Every volume within a share of the largest of its curve."""
    for name in MEASURES:
        a, b = found[name].values, expected[name].values
        assert (np.abs(a - b) <= share * b.max(axis=-1, keepdims=True)).all(), name


# --- the same numbers -----------------------------------------------------------------------


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("other", OTHERS)
def test_executors_give_the_same_numbers(patient, known, other, name):
    chosen, save = patient.replace(model=CHOICES[name]), Save(fields_at=(33.3,))
    found = EXECUTORS[other]().solve(chosen, FULL, TIMES, save=save)
    assert_same(found, known(name), TOLERANCE[other])
    density = known(name).tumour_density.values
    np.testing.assert_allclose(found.tumour_density, density, atol=1e-7 + TOLERANCE[other])
    np.testing.assert_array_equal(found.dose, known(name).dose)
    assert set(found.variables) == set(known(name).variables)


@pytest.mark.parametrize("other", OTHERS)
def test_a_model_of_ones_own_runs_on_every_executor(patient, other):
    """Growth that needs company (an Allee effect), and a protein that cells shed."""
    model = Model(
        "company",
        (
            Species("viable", mobile=True, alive=True, sensitivity=lambda p: (1.0, 1.0)),
            Species("dead"),
            Species("protein", visible=False),
        ),
        ("proliferation_rate",),
        lambda s, p: {
            "viable": Rate(
                p.proliferation_rate * (1.0 - s.viable) * (1.0 - exp(-5.0 * s.viable)) - p.kill
            ),
            "dead": Rate(0.0, p.kill * s.viable),
            "protein": Rate(-0.2, 0.1 * s.viable),
        },
    )
    regimen = Regimen(COURSE, Temozolomide())
    save = Save(fields_at=(20.0,), species=("protein",))
    expected = FiniteElementSolver(model=model).solve(patient, regimen, TIMES, save=save)
    found = EXECUTORS[other](model=model).solve(patient, regimen, TIMES, save=save)
    assert_same(found, expected, TOLERANCE[other])
    assert found.protein_density.values.max() > 0.1
    np.testing.assert_allclose(
        found.protein_density, expected.protein_density, atol=1e-7 + TOLERANCE[other]
    )


@pytest.mark.parametrize("other", OTHERS)
def test_fast_rates_are_taken_in_parts_by_every_executor(patient, other):
    """A drug whose dose kills with a logarithm of 2.7 in an eighth of a day."""
    strong = beyond(patient, temozolomide_kill=0.2)
    regimen = Regimen(COURSE, Temozolomide())
    expected = FiniteElementSolver(step_day=4.0).solve(strong, regimen, TIMES[:7])
    found = EXECUTORS[other](step_day=4.0).solve(strong, regimen, TIMES[:7])
    assert_same(found, expected, TOLERANCE[other])


# --- events, positivity, stopping -----------------------------------------------------------


def test_each_fraction_is_applied_exactly_once(patient, executor):
    """Dilute, hardly growing: log-survival is count times -alpha d (1 + d/(alpha/beta)).

    Damage that is not repaired, with a half-life of 1.5 h, pairs with that of later fractions:
    those of 0.3 and 0.7 are 9.6 h apart, and what is given at once is one dose.
    """
    dilute = patient.replace(
        parameters=patient.parameters.replace(
            proliferation_rate=0.0027, diffusivity_white=0.005, diffusivity_grey=0.005, alpha=0.3
        )
    )
    nodes = len(dilute.mesh.points)
    nothing = np.zeros(nodes)
    start = State(
        day=-1.0,
        species={"viable": np.full(nodes, 1e-6), "dead": nothing, "necrosis": nothing},
    )
    morning = Radiotherapy(total_dose_gy=4.0, fractions=2, start_day=1.3)
    evening = Radiotherapy(total_dose_gy=4.0, fractions=2, start_day=1.7)
    solver = executor(step_day=1.0)
    dose = prepare(dilute).dose_at_nodes(morning) / 2.0
    middle = np.linalg.norm(dilute.mesh.points - [4.0, 1.5, 3.0], axis=1) < 4.0
    once = -0.3 * dose[middle] * (1.0 + dose[middle] / 10.0)
    pair = -2.0 * 0.3 / 10.0 * dose[middle] ** 2
    for regimen, day, count, pairs in (
        (Regimen(morning), 1.0, 0, 0.0),
        (Regimen(morning), 2.0, 1, 0.0),
        (Regimen(morning, evening), 2.0, 2, 0.5**6.4),
        (Regimen(morning, morning), 2.0, 2, 1.0),
        (Regimen(morning, evening), 9.0, 4, 2.0 * 0.5**6.4 + 0.5**9.6),
    ):
        treated = solver.state(dilute, regimen, day, start=start)
        assert treated.day == day
        log = np.log(treated.species["viable"][middle] / 1e-6) - 0.0027 * (day + 1.0)
        np.testing.assert_allclose(log, count * once + pairs * pair, atol=0.01)


@pytest.mark.parametrize("name", MODELS)
def test_no_density_becomes_negative(patient, executor, name):
    strong = beyond(patient.replace(model=CHOICES[name]), alpha=0.5, temozolomide_kill=0.02)
    regimen = Regimen(Radiotherapy(total_dose_gy=80.0, fractions=8, start_day=1.5), Temozolomide())
    state = executor(step_day=4.0).state(strong, regimen, 40.0)
    for values in state.species.values():
        assert values.min() >= 0.0
        assert np.isfinite(values).all()


def test_stopping_and_going_on_changes_nothing(patient, executor):
    solver = executor()
    whole = solver.solve(patient, FULL, TIMES)
    state = solver.state(patient, FULL, 34.0)
    assert state.removed == ("core",) or len(state.removed) == 1
    rest = solver.solve(patient, FULL, TIMES[7:], start=state)
    share = 1e-12 if executor is not EXECUTORS["torch float32"] else 1e-6
    assert_same(rest, whole.isel(time=slice(7, None)), share)


def test_an_error_bar_is_to_be_had_everywhere(patient):
    expected = FiniteElementSolver().solve(patient, Regimen(), [0.0, 20.0], error_bars=True)
    found = TorchSolver().solve(patient, Regimen(), [0.0, 20.0], error_bars=True)
    np.testing.assert_allclose(
        found.tumour_volume_error, expected.tumour_volume_error, rtol=1e-6, atol=1e-6
    )


# --- the same refusals ----------------------------------------------------------------------


def _said(action):
    with pytest.raises((InvalidInput, NotConverged)) as caught:
        action()
    return type(caught.value), str(caught.value)


def _negative(patient):
    nodes = len(patient.mesh.points)
    return {
        "viable": np.full(nodes, -0.01), "dead": np.zeros(nodes), "necrosis": np.zeros(nodes),
    }  # fmt: skip


REFUSALS = {
    "step of zero": lambda make, p: make(step_day=0.0),
    "step too long": lambda make, p: make(step_day=31.0),
    "step no number": lambda make, p: make(step_day=float("nan")),
    "profile": lambda make, p: make(profile="round"),
    "times back": lambda make, p: make().solve(p, Regimen(), [2.0, 1.0]),
    "times no number": lambda make, p: make().solve(p, Regimen(), [float("nan")]),
    "before the start": lambda make, p: make().solve(
        p, Regimen(), [1.0], start=State(5.0, _negative(p))
    ),
    "state before the start": lambda make, p: make().state(
        p, Regimen(), 1.0, start=State(5.0, _negative(p))
    ),
    "threshold": lambda make, p: make().solve(
        p, Regimen(), [1.0], save=Save(thresholds={"low": 1.5})
    ),
    "species of a sum": lambda make, p: make().solve(
        p, Regimen(), [1.0], save=Save(visible={"flair": ("vessels",)})
    ),
    "structure": lambda make, p: make().solve(p, Regimen(Resection(day=1.0, structure="x")), [2.0]),
    "another model's state": lambda make, p: make().solve(
        p.replace(model=ModelChoice(oxygen=True)), Regimen(), [9.0], start=State(5.0, _negative(p))
    ),
    "negative density": lambda make, p: make(step_day=1.0).solve(
        p, Regimen(), [9.0], start=State(5.0, _negative(p))
    ),
    "overfull": lambda make, p: make(step_day=1.0).solve(
        p, Regimen(), [5.0],
        start=State(5.0, {name: np.full(len(p.mesh.points), 1.5) for name in _negative(p)}),
    ),
    "rate without end": lambda make, p: make(
        step_day=1.0,
        model=Model(
            "explosion", (Species("viable", mobile=True),), (),
            lambda s, p: {"viable": Rate(4096.0 - 0.0 * p.kill)},
        ),
    ).solve(p, Regimen(), [2.0]),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSALS)
def test_every_executor_refuses_in_the_same_words(patient, case):
    words = {
        name: _said(lambda make=make: REFUSALS[case](make, patient))
        for name, make in EXECUTORS.items()
    }
    expected = words["finite elements"]
    assert all(found == expected for found in words.values()), words


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"device": "tpu"}, "The device is 'tpu'; it may be 'cpu', 'cuda' or 'mps'"),
        ({"device": "cuda:99"}, "no CUDA device 'cuda:99'.*use device='cpu'"),
        ({"dtype": "float16"}, "may be 'float64' or 'float32'"),
        ({"model": ModelChoice(mass_effect=True)}, "has no mass effect"),
        ({"model": ModelChoice(migration="tensor")}, "has no diffusion along fibres"),
    ],
)
def test_what_torch_cannot_do_is_said_when_it_is_made(options, complaint):
    with pytest.raises(InvalidInput, match=complaint):
        TorchSolver(**options)


@pytest.mark.skipif(torch.cuda.is_available(), reason="optional: only where there is no GPU")
def test_a_gpu_that_is_not_there_is_refused():
    with pytest.raises(InvalidInput, match=r"no CUDA device 'cuda': torch finds 0 here"):
        TorchSolver(device="cuda")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="optional: needs a GPU")
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_gpu_gives_the_same_numbers(patient, known, dtype):
    for name, choice in CHOICES.items():
        found = TorchSolver(device="cuda", dtype=dtype).solve(
            patient.replace(model=choice), FULL, TIMES
        )
        assert_same(found, known(name), TOLERANCE[f"torch {dtype}"])


def test_a_patient_with_mass_effect_is_refused_by_torch(patient):
    with pytest.raises(InvalidInput, match="has no mass effect"):
        TorchSolver().solve(patient.replace(model=ModelChoice(mass_effect=True)), Regimen(), [1.0])


# --- many at once ---------------------------------------------------------------------------


def _requests(patient):
    """Other regimens, parameters, ratios of diffusivities and resections, of other lengths."""
    base = patient.parameters
    return [
        Request(Regimen(), base),
        Request(Regimen(COURSE), base.replace(alpha=0.05)),
        Request(FULL, base),
        Request(Regimen(COURSE).delayed(days=10.2), base.replace(proliferation_rate=0.06)),
        Request(Regimen(Temozolomide(), COURSE), base.replace(diffusivity_grey=0.1)),
        Request(Regimen(COURSE), base.replace(temozolomide_kill=0.0, alpha_beta=8.0)),
    ]


@pytest.mark.parametrize("width", [4, pytest.param(16, marks=pytest.mark.slow)])
def test_a_run_among_others_is_as_it_is_alone(patient, width):
    requests = _requests(patient)
    found = TorchSolver().solve_many(patient, requests, TIMES, width=width)
    for request, dataset in zip(requests, found, strict=True):
        own = patient.replace(parameters=request.parameters)
        expected = FiniteElementSolver().solve(own, request.regimen, TIMES)
        assert_same(dataset, expected, 1e-10)
        assert dataset.attrs["parameters"] == expected.attrs["parameters"]
        assert dataset.attrs["regimen"] == expected.attrs["regimen"]


def test_runs_that_differ_in_diffusivity_by_a_factor_share_a_matrix(patient):
    """It is stored in single precision, so a scaled one differs in the eighth digit."""
    base = patient.parameters
    white, grey = base.value("diffusivity_white"), base.value("diffusivity_grey")
    scaled = [
        base.replace(diffusivity_white=factor * white, diffusivity_grey=factor * grey)
        for factor in (1.0, 0.7, 1.9)
    ]
    requests = [Request(Regimen(COURSE), parameters) for parameters in scaled]
    found = TorchSolver().solve_many(patient, requests, TIMES)
    for request, dataset in zip(requests, found, strict=True):
        own = patient.replace(parameters=request.parameters)
        assert_same(dataset, FiniteElementSolver().solve(own, request.regimen, TIMES), 1e-7)


def test_a_batch_is_checked(patient):
    assert TorchSolver().solve_many(patient, [], TIMES) == []
    with pytest.raises(InvalidInput, match="at least 1"):
        TorchSolver().solve_many(patient, [], TIMES, width=0)
    seen = []
    TorchSolver().solve_many(
        patient, _requests(patient)[:3], [1.0, 5.0], width=2,
        progress=lambda share, text: seen.append(share),
    )  # fmt: skip
    assert seen == sorted(seen)
    assert seen[-1] == 1.0


# --- volumes on a device --------------------------------------------------------------------


def test_volumes_of_tensors_are_those_of_the_compiled_meter(patient):
    mesh, levels = patient.mesh, (0.16, 0.5, 0.8)
    mass = prepare(patient).operators.lumped_mass(np.ones(len(mesh.cells), bool))
    meter = VisibleVolumes(mesh.cells, mesh.cell_volume, mass, levels, 0.07)
    tensors = TensorVolumes(mesh.cells, mesh.cell_volume, mass, levels, 0.07, torch.device("cpu"))
    distance = np.linalg.norm(mesh.points - [4.0, 1.5, 3.0], axis=1)
    for density in (np.exp(-distance / 8.0), (distance < 9.0) * 0.5, 0.0 * distance, distance):
        expected = meter.measure(density)
        np.testing.assert_allclose(
            tensors.measure(torch.tensor(density)), expected, rtol=1e-12, atol=1e-9
        )
    # and the closed form: where the density is even, the visible share of all tissue
    even = tensors.measure(torch.full((len(distance),), 0.3, dtype=torch.float64))
    share = [softened_visibility(0.3, level, 0.07) for level in levels]
    np.testing.assert_allclose(even[1], mass.sum() * np.array(share), rtol=1e-4)
    np.testing.assert_allclose(even[0], [mass.sum(), 0.0, 0.0], rtol=1e-12)
