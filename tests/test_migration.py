"""Runs of patients with partial volumes of tissue and with fibres, and what is shared by them."""

import numpy as np
import pytest

from solvers.element_diffusivity import mixed_diffusivity
from solvers.finite_element import FiniteElementSolver
from solvers.prepared import prepare
from twin.diffusion_tensor import from_matrices
from twin.model_choice import ModelChoice
from twin.protocol import Save
from twin.regimen import Regimen

SOLVER = FiniteElementSolver()


@pytest.fixture(scope="module")
def fibrous(patient):
    """Patients whose fibres all run along x, y or z, four times as fast as across."""

    def along(axis):
        water = np.diag(np.where(np.arange(3) == axis, 1.6, 0.4))
        tensor = np.broadcast_to(from_matrices(water), (*patient.grid.shape, 6))
        return patient.replace(
            tensor=tensor.astype(np.float32), model=ModelChoice(migration="tensor")
        )

    return [along(axis) for axis in range(3)]


def halved(patient):
    """The patient with half of every voxel grey and half white matter where there is tissue."""
    solid = patient.tissues >= 2
    maps = {
        "fluid": patient.tissues == 1,
        "grey_matter": 0.5 * solid,
        "white_matter": 0.5 * solid,
    }
    return patient.replace(
        tissue_probabilities={name: part.astype(np.float32) for name, part in maps.items()}
    )


def density(patient, day=30.0):
    found = SOLVER.solve(patient, Regimen(), [day], save=Save(fields_at=(day,)))
    return found["tumour_density"].values[0].astype(float)


def test_what_the_anatomy_gives_by_label_stays_that_of_the_label(patient):
    white, grey = (patient.parameters.value(f"diffusivity_{one}") for one in ("white", "grey"))
    of_label = {"fluid": white, "grey_matter": grey, "white_matter": white, "enhancing": white}
    of_label["necrosis"] = 0.0
    numbers = {name: number for number, name in patient.mesh.label_names.items()}
    got = prepare(patient).diffusivity(patient.parameters)
    for name, value in of_label.items():
        assert (got[patient.mesh.cell_label == numbers[name]] == value).all()
    assert prepare(patient).operators_of(patient.parameters) is prepare(patient).operators


def test_a_patient_with_partial_volumes_runs_with_their_mixture(patient):
    mixed = halved(patient)
    assert prepare(mixed) is not prepare(patient)
    got = prepare(mixed).diffusivity(mixed.parameters)
    white, grey = (patient.parameters.value(f"diffusivity_{one}") for one in ("white", "grey"))
    centre = patient.mesh.points[patient.mesh.cells]
    inner = (np.linalg.norm(centre, axis=-1).max(axis=1) < 18.0) & ~patient.mesh.cells_labelled(
        "enhancing", "necrosis"
    )
    harmonic = 2.0 / (1.0 / white + 1.0 / grey)
    np.testing.assert_allclose(got[inner], harmonic, rtol=1e-6)
    assert mixed_diffusivity(np.array([0.0, 0.5, 0.5]), grey, white) == pytest.approx(harmonic)
    # white matter became slower: the tumour reaches less far beyond its start
    assert np.abs(density(mixed) - density(patient)).max() > 0.01
    mass = prepare(patient).operators.lumped_mass(~patient.mesh.cells_labelled("fluid"))
    assert mass @ density(mixed) < mass @ density(patient)


def test_a_tumour_grows_longer_along_the_fibres_than_across(patient, fibrous):
    mass = prepare(patient).operators.lumped_mass(~patient.mesh.cells_labelled("fluid"))
    place = patient.mesh.points

    def spread(one):
        weight = mass * density(one, 60.0)
        middle = weight @ place / weight.sum()
        return weight @ (place - middle) ** 2 / weight.sum()

    isotropic, spreads = spread(patient), np.stack([spread(one) for one in fibrous])
    for axis in range(3):
        others = [one for one in range(3) if one != axis]
        assert spreads[axis, axis] > 1.05 * isotropic[axis]
        assert spreads[axis, axis] > 1.1 * spreads[others, axis].max()


def test_anatomies_with_and_without_fibres_do_not_mix(patient, fibrous):
    one, other = prepare(fibrous[0]), prepare(fibrous[1])
    assert len({id(one), id(other), id(prepare(patient))}) == 3
    assert prepare(fibrous[0].replace(model=ModelChoice())) is prepare(patient)
    blunt = fibrous[0].parameters.replace(fibre_sharpening=0.0)
    first, second = one.diffusion(fibrous[0].parameters), one.diffusion(blunt)
    assert one.diffusion(fibrous[0].parameters) is first
    assert first.largest_eigenvalue != second.largest_eigenvalue
    assert one.operators_of(blunt) is one.operators_of(blunt)


def test_links_along_fibres_do_not_cross_a_cavity(fibrous):
    prepared, parameters = prepare(fibrous[0]), fibrous[0].parameters
    matrix = prepared.diffusion(parameters, ("core",))
    ends = np.repeat(np.arange(len(matrix.mass)), np.diff(matrix.indptr))
    assert (matrix.mass[ends] > 0).all()
    assert (matrix.mass[matrix.indices] > 0).all()
