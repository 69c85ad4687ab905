"""Runs on several MPI ranks: the parts of a mesh, the same numbers, and no rank left waiting."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from small_patient import write_small_patient

from solvers.finite_element import FiniteElementSolver
from solvers.partition import Layout, node_owners
from twin.errors import InvalidInput
from twin.meshing.boxes import box_mesh
from twin.storage import FolderLock
from viz.cli import main
from viz.cli.ranks import ranks_of_mpirun

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = Path(__file__).with_name("ranks_program.py")
#: As root, with more ranks than processors, and without waiting at full speed (Open MPI's words).
SURROUNDINGS = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "OMPI_MCA_rmaps_base_oversubscribe": "1",
    "OMPI_MCA_mpi_yield_when_idle": "1",
    "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
}
needs_mpirun = pytest.mark.skipif(shutil.which("mpirun") is None, reason="optional: no mpirun")

STUDY = """\
format = 1
patient = "built"
horizon = "14 day"

[[scenario]]
name = "none"

[[scenario]]
name = "10 Gy in 5"
compared_with = "none"

[[scenario.radiotherapy]]
total_dose = "10 Gy"
fractions = 5
start = "7 day"
"""


def command(ranks, *arguments):
    """The command that starts Python on so many ranks."""
    return ["mpirun", "-n", str(ranks), sys.executable, *map(str, arguments)]


def start(ranks, *arguments, cwd=None):
    """Run Python on so many ranks to its end; its status and both its streams."""
    return subprocess.run(
        command(ranks, *arguments),
        env={**os.environ, **SURROUNDINGS},
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def sentences(found):
    """What the command line itself said to standard error."""
    return [line for line in found.stderr.splitlines() if line.startswith("twin: ")]


def rows_of(mesh):
    """Compressed rows that join the corners of every element."""
    import scipy.sparse

    first = np.repeat(mesh.cells, 4, axis=1).ravel()
    second = np.tile(mesh.cells, 4).ravel()
    joined = scipy.sparse.csr_matrix((np.ones(len(first)), (first, second)))
    joined.setdiag(0)
    joined.eliminate_zeros()
    return joined.indptr, joined.indices


@pytest.mark.parametrize("ranks", [1, 2, 3, 5, 8])
def test_parts_are_whole_and_carry_equal_work(ranks):
    mesh = box_mesh((9.0, 8.0, 7.0), (9, 8, 7))
    work = 1.0 + np.random.default_rng(0).random(len(mesh.points))
    owner = node_owners(mesh.points, work, ranks)
    parts = np.bincount(owner, work, minlength=ranks)
    assert (np.bincount(owner, minlength=ranks) > 0).all()
    # each cut misses its place by one node at most, and there are log2(ranks) of them
    assert abs(parts - work.sum() / ranks).max() <= 2.0 * np.ceil(np.log2(ranks) + 1)


def test_a_line_is_cut_into_intervals():
    line = np.zeros((12, 3))
    line[:, 2] = np.random.default_rng(1).permutation(12)
    owner = node_owners(line, np.ones(12), 4)
    np.testing.assert_array_equal(owner, line[:, 2] // 3)


def test_more_ranks_than_nodes_are_refused():
    with pytest.raises(InvalidInput, match="8 nodes, too few for 9 ranks"):
        node_owners(box_mesh((1.0, 1.0, 1.0), (1, 1, 1)).points, np.ones(8), 9)


@pytest.mark.parametrize("ranks", [2, 5])
def test_what_one_rank_gives_is_what_the_other_takes(ranks):
    mesh = box_mesh((6.0, 5.0, 4.0), (6, 5, 4))
    indptr, indices = rows_of(mesh)
    parts = [
        Layout.of(mesh.points, mesh.cells, indptr, indices, ranks=ranks, rank=rank)
        for rank in range(ranks)
    ]
    nodes = len(mesh.points)
    assert sorted(np.concatenate([p.nodes[: p.own] for p in parts])) == list(range(nodes))
    assert sorted(np.concatenate([p.cells for p in parts])) == list(range(len(mesh.cells)))
    for rank, part in enumerate(parts):
        held = set(part.nodes.tolist())
        for node in part.nodes[: part.own]:
            assert held.issuperset(indices[indptr[node] : indptr[node + 1]].tolist())
        assert held.issuperset(mesh.cells[part.cells].ravel().tolist())
        np.testing.assert_array_equal(part.nodes[part.numbers()[part.nodes]], part.nodes)
        covered = part.own
        for other, first, end in part.takes:
            assert first == covered
            given = dict(parts[other].gives)[rank]
            np.testing.assert_array_equal(part.nodes[first:end], parts[other].nodes[given])
            covered = end
        assert covered == len(part.nodes)


def test_rows_that_reach_further_are_held_or_refused():
    line = box_mesh((8.0, 1.0, 1.0), (8, 1, 1))
    nodes = len(line.points)
    x = line.points[:, 0]

    def reaching(length):
        near = np.abs(x[:, None] - x[None]) == length
        indptr = np.concatenate([[0], np.cumsum(near.sum(axis=1))])
        return Layout.of(line.points, line.cells, indptr, np.nonzero(near)[1], ranks=2, rank=0)

    one, three = reaching(1.0), reaching(3.0)
    assert one.own < len(one.nodes) < len(three.nodes) <= nodes
    with pytest.raises(InvalidInput, match="more than 3 elements apart"):
        reaching(4.0)


def test_what_is_no_communicator_is_refused():
    with pytest.raises(InvalidInput, match="communicator is a int"):
        FiniteElementSolver(comm=2)


def test_ranks_are_no_part_of_the_options():
    from mpi4py import MPI

    alone, together = FiniteElementSolver(), FiniteElementSolver(comm=MPI.COMM_SELF)
    assert alone == together
    assert alone.options() == together.options()


def test_the_mpirun_of_another_mpi_is_refused(monkeypatch):
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "3")
    with pytest.raises(InvalidInput, match="started 3 processes, but mpi4py sees each alone"):
        ranks_of_mpirun()


@pytest.fixture(scope="module", params=[3])
def found(request, tmp_path_factory):
    """What the ranks' program has found."""
    if shutil.which("mpirun") is None:
        pytest.skip("optional: no mpirun")
    path = tmp_path_factory.mktemp("ranks") / "found.json"
    done = start(request.param, PROGRAM, path)
    assert done.returncode == 0, done.stderr
    return json.loads(path.read_text())


@pytest.mark.parametrize(
    "case", ["logistic", "adapted", "resistant", "oxygen", "fibres", "protons"]
)
def test_ranks_come_to_the_same_numbers(found, case):
    differences = found[case]
    assert differences.pop("same_record")
    assert set(differences) >= {"tumour_volume", "tumour_burden", "viable_density", "dose"}
    # An adaptive step follows sums, whose last digits are those of the number of ranks.
    assert max(differences.values()) < (1e-8 if case == "adapted" else 1e-10)


def test_ranks_go_on_from_a_state_as_one_does(found):
    assert max(found["went on"].values()) < 1e-10


def test_ranks_give_up_together(found):
    said = found["negative"]
    assert len(said) == found["ranks"]
    assert len(set(said)) == 1
    assert said[0].startswith("NotConverged: A density fell below zero")


def test_one_rank_that_fails_stops_all(found):
    sentence = "InvalidInput: The last rank has no room for this."
    assert found["agreed"] == [sentence] * found["ranks"]


def test_mass_effect_is_refused_on_every_rank(found):
    said = found["mass effect"]
    assert len(set(said)) == 1
    assert said[0].startswith("InvalidInput: Mass effect is worked out on one process only")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with the small patient, a study, and its results from one process."""
    folder = tmp_path_factory.mktemp("home")
    images = str(write_small_patient(folder / "images"))
    assert main(["build", images, "-o", str(folder / "built"), "--quiet"]) == 0
    (folder / "study.toml").write_text(STUDY)
    study, one = str(folder / "study.toml"), str(folder / "one")
    assert main(["run", study, "-o", one, "--quiet", "--threads", "1"]) == 0
    return folder


def results_of(folder):
    """The numbers of a results folder."""
    with xr.open_dataset(folder / "results.nc", engine="h5netcdf", decode_times=False) as opened:
        return opened.load()


@needs_mpirun
@pytest.mark.slow
def test_a_study_on_two_ranks_is_the_same_and_is_finished(home):
    arguments = ("-m", "viz.cli", "run", "study.toml", "-o", "two")
    done = start(2, *arguments, "--json", cwd=home)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)  # one document from all ranks
    assert said["runs"] == len(list((home / "two" / "runs").iterdir()))
    one, two = results_of(home / "one"), results_of(home / "two")
    assert one.attrs == two.attrs
    for name in ("tumour_volume", "tumour_volume_soft", "tumour_burden", "tumour_density", "dose"):
        np.testing.assert_allclose(two[name], one[name], rtol=1e-10, atol=0.0)
    assert (home / "one" / "study.json").read_text() == (home / "two" / "study.json").read_text()
    again = start(2, *arguments, "--json", cwd=home)
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["finished_before"]


@needs_mpirun
@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "status", "sentence"),
    [
        (["run", "study.toml", "--nope"], 2, "unrecognized arguments: --nope"),
        (["run", "absent.toml"], 2, "There is no study file absent.toml"),
        (["run", "study.toml", "-o", "images"], 2, "holds something else"),
        (["run", "study.toml", "-o", "held"], 1, "held"),
    ],
)
def test_a_refusal_is_said_once_and_no_rank_waits(home, arguments, status, sentence):
    (home / "held").mkdir(exist_ok=True)
    with FolderLock(home / "held"):
        begin = time.monotonic()
        found = start(2, "-m", "viz.cli", *arguments, "--quiet", cwd=home)
    assert time.monotonic() - begin < 30.0
    assert found.returncode == status, found.stderr
    assert len(sentences(found)) == 1
    assert sentence in sentences(found)[0]
    assert found.stdout == ""


@needs_mpirun
@pytest.mark.slow
def test_an_interrupted_study_goes_on(home):
    arms = "".join(
        f'\n[[scenario]]\nname = "arm {k}"\n[[scenario.radiotherapy]]\n'
        f'total_dose = "{10 + k} Gy"\nfractions = 5\nstart = "7 day"\n'
        for k in range(40)
    )
    (home / "long.toml").write_text('format = 1\npatient = "built"\nhorizon = "700 day"\n' + arms)
    arguments = ("-m", "viz.cli", "run", "long.toml", "-o", "long", "--quiet")
    process = subprocess.Popen(
        command(2, *arguments),
        env={**os.environ, **SURROUNDINGS},
        cwd=home,
        stderr=subprocess.PIPE,
        text=True,
    )
    runs = home / "long" / "runs"
    end = time.monotonic() + 60.0
    while not (runs.is_dir() and len(list(runs.iterdir())) > 2) and time.monotonic() < end:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=30)[1]
    assert process.returncode != 0
    assert "Interrupted; the runs that were finished are kept" in said
    kept = len(list(runs.glob("[0-9a-f]*")))
    assert kept > 2
    assert not (home / "long" / "results.nc").exists()
    unfinished = start(2, *arguments, cwd=home)
    assert unfinished.returncode == 2
    assert f"({kept} of" in sentences(unfinished)[0]


FAILING = """
import sys
from mpi4py import MPI
from solvers.output import Recorder
from twin.errors import NotConverged
from viz.cli import main

kept = Recorder.record

def record(self, moment):
    if moment.day > 5.0 and MPI.COMM_WORLD.Get_rank() in {ranks}:
        raise {failure}
    kept(self, moment)

Recorder.record = record
sys.exit(main(["run", "study.toml", "-o", sys.argv[1], "--quiet"]))
"""


@needs_mpirun
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "ranks", "failure", "sentence"),
    [
        ("alike", (0, 1), 'NotConverged("It did not converge.")', "It did not converge."),
        ("first", (0,), "MemoryError", "There is not enough memory"),
        ("second", (1,), "MemoryError", "There is not enough memory"),
    ],
)
def test_a_failure_in_a_run_ends_all_ranks(home, name, ranks, failure, sentence):
    begin = time.monotonic()
    found = start(2, "-c", FAILING.format(ranks=ranks, failure=failure), name, cwd=home)
    assert time.monotonic() - begin < 40.0
    assert found.returncode == 1, found.stderr
    assert len(sentences(found)) == 1
    assert sentence in sentences(found)[0]
    if name == "alike":  # then the ranks end by themselves
        assert "MPI_ABORT" not in found.stderr
    assert not (home / name / "results.nc").exists()
