"""The density on day 0: the settled front, outlines met, the tail, other parameters."""

import numpy as np
import pytest
from scipy.integrate import quad, solve_ivp
from scipy.spatial import cKDTree
from small_patient import (
    ENHANCING_RADIUS_MM,
    FLAIR_RADIUS_MM,
    NECROSIS_RADIUS_MM,
    TUMOUR_CENTRE_MM,
    write_small_patient,
)

import twin
from solvers.finite_element import FiniteElementSolver
from solvers.initial_state import initial_state, outline_distances, settled_front
from solvers.prepared import prepare
from twin.errors import InvalidInput
from twin.parameters import load_parameter_set
from twin.patient_file import MeshTable
from twin.regimen import Regimen

SETTLED_GAP = 6.1060504378903815  # fisher.min_speed_rim_080_016_unit, phase-plane integration


@pytest.fixture(scope="module")
def patient(tmp_path_factory):
    return twin.load(write_small_patient(tmp_path_factory.mktemp("patient")))


@pytest.fixture(scope="module")
def parameters():
    return load_parameter_set("glioblastoma")


def balls(radius, core=12.0, whole=25.0, necrosis=5.0):
    """Distances as `initial_state` wants them, of round outlines in white matter."""
    return {
        "core": radius - core,
        "whole": radius - whole,
        "beyond": np.maximum(radius - whole, 0.0),
        "necrotic": (radius < necrosis).astype(float),
    }


def test_the_settled_front_has_the_published_gap():
    _, place_of = settled_front()
    assert float(place_of(0.16) - place_of(0.80)) == pytest.approx(SETTLED_GAP, rel=1e-5)


def test_the_settled_front_is_the_wave_of_least_speed():
    """Against the phase plane: p = -U' as a function of U, from the saddle at U = 1."""
    root = np.sqrt(2.0) - 1.0
    near = 1e-7
    plane = solve_ivp(
        lambda u, p: 2.0 - u * (1.0 - u) / p,
        (1.0 - near, 0.01),
        [root * near],
        rtol=1e-10,
        atol=1e-14,
        method="Radau",
        dense_output=True,
    )
    front, place_of = settled_front()
    for high, low in ((0.95, 0.8), (0.8, 0.5), (0.5, 0.16), (0.16, 0.02)):
        gap, _ = quad(lambda u: 1.0 / plane.sol(u)[0], low, high)
        assert float(place_of(low) - place_of(high)) == pytest.approx(gap, rel=1e-5)
    assert float(front(0.0)) == pytest.approx(0.5, abs=1e-5)
    assert float(front(place_of(0.3))) == pytest.approx(0.3, abs=1e-6)


def test_outlines_lie_at_their_thresholds_and_the_tail_decays(parameters):
    width = np.sqrt(
        parameters.value("diffusivity_white") / parameters.value("proliferation_rate")
    )  # fmt: skip
    radius = np.concatenate([[12.0, 25.0 - 1e-9], 25.0 + np.linspace(1e-9, 20.0, 40)])
    viable = initial_state(parameters, balls(radius))["viable"]
    assert viable[0] == pytest.approx(parameters.value("threshold_t1gd"), rel=1e-6)
    assert viable[1] == pytest.approx(parameters.value("threshold_flair"), rel=1e-6)
    expected = parameters.value("threshold_flair") * np.exp(-(radius[2:] - 25.0) / width)
    np.testing.assert_allclose(viable[2:], expected, rtol=1e-9)


def test_outlines_at_the_settled_gap_give_the_settled_front(parameters):
    """Where the FLAIR rim is as wide as the model says, nothing is stretched."""
    width = np.sqrt(
        parameters.value("diffusivity_white") / parameters.value("proliferation_rate")
    )  # fmt: skip
    front, place_of = settled_front()
    core = 12.0
    whole = core + width * float(place_of(0.16) - place_of(0.80))
    radius = np.linspace(4.0, whole, 50)
    found = initial_state(parameters, balls(radius, core, whole, necrosis=-20.0))["viable"]
    expected = front(float(place_of(0.80)) + (radius - core) / width)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_density_falls_outwards_and_necrosis_is_dead(parameters):
    radius = np.linspace(0.0, 60.0, 601)
    state = initial_state(parameters, balls(radius))
    total = state["viable"] + state["necrosis"]
    assert (np.diff(total) <= 1e-12).all()
    assert total.max() <= 1.0
    assert (state["viable"][radius < 5.0] == 0.0).all()
    assert (state["viable"][radius >= 5.0] > 0.0).all()
    assert (state["necrosis"][radius < 5.0] > parameters.value("threshold_t1gd")).all()
    assert (state["necrosis"][radius >= 5.0] == 0.0).all()
    assert (state["dead"] == 0.0).all()
    whole = initial_state(parameters, balls(radius, necrosis=-1.0))
    np.testing.assert_array_equal(total, whole["viable"])  # only set apart, nothing added


def test_the_step_profile(parameters):
    radius = np.linspace(7.0, 40.0, 100)
    state = initial_state(parameters, balls(radius), profile="step")
    viable = state["viable"]
    assert (viable[radius <= 12.0] > parameters.value("threshold_t1gd")).all()
    rim = viable[(radius > 12.0) & (radius <= 25.0)]
    assert (rim > parameters.value("threshold_flair")).all()
    assert (rim < parameters.value("threshold_t1gd")).all()
    assert (viable[radius > 25.0] == 0.0).all()


def test_bad_profiles_are_refused(parameters):
    with pytest.raises(InvalidInput, match="may be 'settled' or 'step'"):
        initial_state(parameters, balls(np.ones(3)), profile="flat")
    upside_down = parameters.replace(threshold_t1gd=0.5, threshold_flair=0.5)
    with pytest.raises(InvalidInput, match="0 < FLAIR < T1Gd < 1"):
        initial_state(upside_down, balls(np.ones(3)))


def test_distances_are_those_of_the_balls(patient):
    """Voxels of 2 mm draw the balls; distances are right to a third of a voxel in the mean."""
    radius = np.linalg.norm(patient.mesh.points - np.array(TUMOUR_CENTRE_MM), axis=1)
    found = outline_distances(patient)
    near = radius < 14.0
    for name, size in (
        ("core", ENHANCING_RADIUS_MM), ("whole", FLAIR_RADIUS_MM),
    ):  # fmt: skip
        error = (found[name] - (radius - size))[near]
        assert abs(error.mean()) < 0.6
        assert np.abs(error).max() < 1.5


def test_necrotic_are_the_nodes_with_necrosis_on_every_side(patient):
    mesh, parameters = patient.mesh, patient.parameters
    prepared = prepare(patient)
    necrotic = prepared.distances(parameters)["necrotic"]
    around = [set() for _ in mesh.points]
    for cell, label in zip(mesh.cells, mesh.cell_label, strict=True):
        for node in cell:
            around[node].add(mesh.label_names[int(label)])
    expected = np.array([names == {"necrosis"} for names in around])
    assert expected.sum() >= 3
    np.testing.assert_array_equal(necrotic, expected.astype(float))
    radius = np.linalg.norm(mesh.points - np.array(TUMOUR_CENTRE_MM), axis=1)
    assert radius[expected].max() < NECROSIS_RADIUS_MM

    state = prepared.initial_state(parameters)
    np.testing.assert_array_equal(state["necrosis"] > 0.0, expected)
    assert (state["viable"][expected] == 0.0).all()
    rim = np.array(["necrosis" in names and len(names) > 1 for names in around])
    assert (state["viable"][rim] > parameters.value("threshold_t1gd")).all()


def test_no_cell_migrates_into_necrosis(patient):
    prepared = prepare(patient)
    diffusivity = prepared.diffusivity(patient.parameters)
    dead = patient.mesh.cells_labelled("necrosis")
    assert (diffusivity[dead] == 0.0).all()
    assert (diffusivity[~dead] > 0.0).all()
    matrix = prepared.diffusion(patient.parameters).matrix()
    necrotic = prepared.distances(patient.parameters)["necrotic"] > 0
    assert abs(matrix[necrotic]).max() == 0.0
    assert abs(matrix[:, necrotic]).max() == 0.0


@pytest.mark.parametrize(
    "changes",
    [{}, {"diffusivity_white": 0.4, "diffusivity_grey": 0.08}, {"proliferation_rate": 0.1}],
)
def test_outlines_are_met_on_the_mesh(patient, changes):
    """The density at the outline, interpolated from the nodes around it, is the threshold.

    The mesh is 2.6 mm and the voxels 2 mm, so single points are off by a part of
    the slope over a voxel; over the outline the density is right to 0.03.
    """
    changed = patient.parameters.replace(**changes)
    prepared = prepare(patient)
    viable = prepared.initial_state(changed)
    total = viable["viable"] + viable["necrosis"]
    distances = prepared.distances(changed)
    for name, threshold in (("core", "threshold_t1gd"), ("whole", "threshold_flair")):
        edge = np.abs(distances[name]) < 1.0
        lives = prepared.operators.lumped_mass(prepared.active_cells()) > 0
        edge &= lives
        assert edge.sum() > 20
        # the density where the straight line through the nodes near the outline crosses it
        slope, level = np.polyfit(distances[name][edge], total[edge], 1)
        assert slope < 0.0
        assert level == pytest.approx(changed.value(threshold), abs=0.03)


def test_other_parameters_keep_the_outlined_volumes(tmp_path):
    """D, rho: the T1Gd and FLAIR volumes on day 0 stay those of the outlines."""
    cells = {"cell_size": "2 mm", "fine_margin": "5 mm", "far_cell_size": "10.4 mm"}
    patient = twin.load(write_small_patient(tmp_path), mesh=MeshTable.model_validate(cells))

    def volumes(**changes):
        changed = patient.replace(parameters=patient.parameters.replace(**changes))
        run = FiniteElementSolver().solve(changed, Regimen(), [0.0])
        return run.tumour_volume.values[:, 0]

    base = volumes()
    core = sum(patient.volume_ml(name) for name in ("enhancing", "necrosis")) * 1e3
    whole = core + patient.volume_ml("flair") * 1e3
    np.testing.assert_allclose(base[1], whole, rtol=0.08)
    np.testing.assert_allclose(base[0], core, rtol=0.28)  # 6 mm of radius on elements of 2 mm
    for changes in (
        {"diffusivity_white": 0.26, "diffusivity_grey": 0.052},
        {"proliferation_rate": 0.06},
        {"diffusivity_white": 0.04, "diffusivity_grey": 0.008},
    ):
        other = volumes(**changes)
        np.testing.assert_allclose(other[1], base[1], rtol=0.05)
        np.testing.assert_allclose(other[0], base[0], rtol=0.12)


def test_the_tail_on_the_mesh_falls_with_distance(patient):
    """In white matter beyond FLAIR: exp(-s/w), s from the nearest voxel outside of it."""
    parameters = patient.parameters.replace(diffusivity_white=0.04, diffusivity_grey=0.04)
    viable = prepare(patient).initial_state(parameters)["viable"]
    radius = np.linalg.norm(patient.mesh.points - np.array(TUMOUR_CENTRE_MM), axis=1)
    width = np.sqrt(0.04 / parameters.value("proliferation_rate"))
    depth = np.linalg.norm(patient.mesh.points, axis=1)
    beyond = (radius > FLAIR_RADIUS_MM + 1.5) & (radius < FLAIR_RADIUS_MM + 10) & (depth < 21)
    slope, _ = np.polyfit(radius[beyond], np.log(viable[beyond]), 1)
    assert -slope * width == pytest.approx(1.0, abs=0.06)  # ways on the mesh are 3 % long


def test_slower_tissue_holds_the_tail_back(patient):
    base = patient.parameters
    slow = prepare(patient).distances(base)["beyond"]
    even = prepare(patient).distances(base.replace(diffusivity_grey=0.13))["beyond"]
    fluid = ~np.isfinite(slow)
    lives = np.unique(patient.mesh.cells[~patient.mesh.cells_labelled("fluid")])
    assert np.isfinite(slow[lives]).all()
    assert not fluid[lives].any()
    ratio = slow[lives] / np.maximum(even[lives], 1e-6)
    far = even[lives] > 5.0
    assert ratio[far].max() <= np.sqrt(5.0) + 1e-6  # a fifth of the diffusivity
    assert ratio[far].max() > 1.5
    assert ratio[far].min() >= 1.0 - 1e-6


def test_outside_of_the_tumour_nothing_is_nearer_than_it_is(patient):
    """The way through tissue is never shorter than the straight way to the tumour's voxels."""
    beyond = prepare(patient).distances(patient.parameters)["beyond"]
    grid, parts = patient.grid, ("necrosis", "enhancing", "flair")
    mask = np.any([patient.structures[name].mask for name in parts], axis=0)
    tree = cKDTree(grid.to_world(np.argwhere(mask)))
    straight, _ = tree.query(patient.mesh.points)
    outside = (beyond > 0.0) & np.isfinite(beyond)
    half_diagonal = 0.5 * np.sqrt(3.0) * grid.spacing_mm
    assert (beyond[outside] >= straight[outside] - half_diagonal).all()
