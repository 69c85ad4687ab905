"""Surgery: cavities with a margin, from a structure, and with a residue; their walls."""

import dataclasses

import numpy as np
import pytest
from executor_cases import beyond

import twin
from solvers import FiniteElementSolver, TorchSolver
from solvers.prepared import prepare
from twin.courses import Resection
from twin.errors import InvalidInput
from twin.events import Cavity
from twin.patient import Structure
from twin.protocol import State
from twin.regimen import Regimen

CENTRE = np.array([6.0, 2.0, 4.0])
CORE = 6.0  # mm, see tests/small_patient.py
SOLVER = FiniteElementSolver(step_day=1.0)
STEP = FiniteElementSolver(step_day=1.0, profile="step")  # begins without growth as well


def volume(patient, cavity):
    """Volume of the elements that are taken out, [mm3]."""
    return float(patient.mesh.cell_volume[prepare(patient).removed_cells(cavity)].sum())


def ball(radius):
    return 4.0 / 3.0 * np.pi * radius**3


def burden(patient, state):
    """Live cells by the lumped mass of what is left, [cells]."""
    prepared = prepare(patient)
    mass = prepared.diffusion(patient.parameters, state.removed).mass
    return float(mass @ state.species["viable"]) * patient.parameters.value("carrying_capacity")


@pytest.fixture(scope="module")
def still(patient):
    """No growth and no clearance to speak of: only migration and surgery change anything."""
    return beyond(patient, proliferation_rate=0.0, dead_clearance_half_life=1e9)


@pytest.mark.parametrize("margin", [2.0, 4.0, 6.0])
def test_a_margin_takes_out_the_ball_around_the_core(patient, margin):
    found = volume(patient, Cavity("core", margin, 0.0))
    assert found == pytest.approx(ball(CORE + margin), rel=0.12)  # 2 mm voxels, 2.6 mm elements
    cells = prepare(patient).removed_cells(Cavity("core", margin, 0.0))
    centre = patient.mesh.points[patient.mesh.cells[cells]].mean(axis=1)
    assert np.linalg.norm(centre - CENTRE, axis=1).max() < CORE + margin + 2.6


def test_a_margin_of_nothing_is_the_structure(patient):
    cells = prepare(patient).removed_cells
    np.testing.assert_array_equal(cells("core"), cells(Cavity("core", 0.0, 0.0)))


@pytest.mark.parametrize("residual", [0.1, 0.3, 0.6])
@pytest.mark.parametrize("margin", [0.0, 4.0])
def test_the_residue_is_the_stated_share_and_lies_outermost(patient, residual, margin):
    whole = prepare(patient).removed_cells(Cavity("core", margin, 0.0))
    taken = prepare(patient).removed_cells(Cavity("core", margin, residual))
    assert not (taken & ~whole).any()
    volumes, rim = patient.mesh.cell_volume, whole & ~taken
    share = volumes[rim].sum() / volumes[whole].sum()
    assert share == pytest.approx(residual, abs=volumes[whole].max() / volumes[whole].sum())
    depth = np.linalg.norm(patient.mesh.points[patient.mesh.cells].mean(axis=1) - CENTRE, axis=1)
    assert depth[rim].mean() > depth[taken].mean()


def test_what_stays_keeps_its_density_and_nothing_else_is_lost(patient, still):
    """Cells after = cells before - those whose nodes lost all their tissue or a part of it."""
    before = STEP.state(still, Regimen(), 3.0)
    for operation in (
        Resection(day=3.0),
        Resection(day=3.0, margin_mm=4.0),
        Resection(day=3.0, margin_mm=4.0, residual=0.3),
    ):
        after = STEP.state(still, Regimen(operation), 3.0)
        out = prepare(patient).removed_cells(operation.cavity)
        mesh, u = patient.mesh, before.species["viable"]
        fluid = mesh.cells_labelled("fluid")
        lived = (mesh.cell_volume[:, None] / 4.0 * u[mesh.cells])[~out & ~fluid].sum()
        assert burden(still, after) == pytest.approx(1e5 * lived, rel=1e-12)
        left = after.species["viable"] > 0.0
        np.testing.assert_array_equal(after.species["viable"][left], u[left])


def test_cells_are_conserved_beside_a_cavity(still):
    """Migration alone: the wall lets nothing through in 30 days."""
    operation = Regimen(Resection(day=1.0, margin_mm=3.0, residual=0.2))
    first = STEP.state(still, operation, 1.0)
    last = STEP.state(still, operation, 31.0)
    assert burden(still, last) == pytest.approx(burden(still, first), rel=1e-12)
    mass = prepare(still).diffusion(still.parameters, last.removed).mass
    assert (last.species["viable"][mass == 0.0] == 0.0).all()
    assert (last.species["viable"] != first.species["viable"]).any()


def test_nothing_crosses_a_cavity(still):
    """A slab drawn beforehand parts the brain; cells on one side stay there."""
    grid = still.grid
    index = np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), axis=-1)
    x = (index @ grid.affine[:3, :3].T + grid.affine[:3, 3])[..., 0]
    slab = Structure(np.abs(x + 6.0) <= 4.0, "organ")
    parted = still.replace(structures={**still.structures, "planned cavity": slab})
    right = (parted.mesh.points[:, 0] > 2.0) & (prepare(parted).living_nodes())
    nothing = np.zeros(len(right))
    start = State(-1.0, {"viable": 0.3 * right, "dead": nothing, "necrosis": nothing})
    regimen = Regimen(Resection(day=-0.5, structure="planned cavity"))
    end = SOLVER.state(parted, regimen, 60.0, start=start)
    left = parted.mesh.points[:, 0] < -12.0
    assert end.species["viable"][left].max() == 0.0
    assert SOLVER.state(parted, Regimen(), 60.0, start=start).species["viable"][left].max() > 0.0


def test_executors_agree_on_cavities(patient):
    regimen = Regimen(Resection(day=2.5, margin_mm=3.0, residual=0.25))
    ours = SOLVER.solve(patient, regimen, [2.5, 20.0])
    torch = TorchSolver(step_day=1.0).solve(patient, regimen, [2.5, 20.0])
    np.testing.assert_allclose(torch.tumour_burden, ours.tumour_burden, rtol=1e-10)


def test_stopping_at_a_cavity_changes_nothing(patient):
    regimen = Regimen(Resection(day=2.5, margin_mm=3.0, residual=0.25))
    half = SOLVER.state(patient, regimen, 10.0)
    whole = SOLVER.state(patient, regimen, 20.0).species["viable"]
    again = SOLVER.state(patient, regimen, 20.0, start=half).species["viable"]
    np.testing.assert_array_equal(again, whole)


def test_plain_operations_are_recorded_as_before():
    plain = Regimen(Resection(day=7.0))
    assert plain.as_dict() == [{"kind": "resection", "day": 7.0, "structure": "core"}]
    wide = Regimen(Resection(day=7.0, margin_mm=5.0, residual=0.05))
    assert wide.as_dict()[0]["margin_mm"] == 5.0
    assert Regimen.from_dict(wide.as_dict()) == wide
    assert wide.differences(plain) == ["resection margin mm", "resection residual"]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"margin_mm": -1.0}, "margin of the resection is -1 mm"),
        ({"margin_mm": float("nan")}, "margin of the resection is nan"),
        ({"residual": 0.95}, "leaves 95 % of the cavity behind; the share lies between 0 and 90 %"),
        ({"residual": float("nan")}, "leaves nan %"),
    ],
)
def test_impossible_operations_are_refused(fields, words):
    with pytest.raises(InvalidInput, match=words):
        Resection(day=1.0, **fields)


def test_what_the_mesh_cannot_do_is_refused(patient):
    with pytest.raises(InvalidInput, match="less than an element of the mesh"):
        prepare(patient).removed_cells(Cavity("core", 0.0, 1e-4))
    with pytest.raises(InvalidInput, match="no structure 'liver'"):
        twin.Regimen(Resection(day=1.0, structure="liver", margin_mm=2.0))
        prepare(patient).removed_cells(Cavity("liver", 2.0, 0.0))
    empty = dataclasses.replace(patient.structures["brainstem"], mask=np.zeros(patient.grid.shape))
    bare = patient.replace(structures={**patient.structures, "hole": empty})
    with pytest.raises(InvalidInput, match="'hole' is empty"):
        prepare(bare).removed_cells(Cavity("hole", 2.0, 0.0))
