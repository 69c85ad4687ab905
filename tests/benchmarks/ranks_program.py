"""Run by mpirun in `benchmarks.engine.ranks`: one course by the first rank alone and by all."""

import json
import sys
import time
from pathlib import Path

import numpy as np
from mpi4py import MPI

from solvers.finite_element import FiniteElementSolver
from solvers.verification.bench_twin import bench_twin
from twin.courses import Radiotherapy
from twin.mesh import Mesh
from twin.meshing.boxes import box_mesh
from twin.patient import MESH_LABELS
from twin.regimen import Regimen

SIDE_MM, TUMOUR_MM = 44.0, np.array([5.0, 2.0, 3.0])


def head(count):
    """The bench's patient on a box of ``(count + 1)^3`` nodes."""
    box = box_mesh((SIDE_MM,) * 3, (count,) * 3)
    points = box.points - 0.5 * SIDE_MM
    centre = points[box.cells].mean(axis=1)
    radius, tumour = (np.linalg.norm(centre - at, axis=1) for at in (0.0, TUMOUR_MM))
    names = ["necrosis", "enhancing", "white_matter", "grey_matter"]
    numbers = [MESH_LABELS[name] for name in names]
    label = np.select(
        [tumour < 3.0, tumour < 6.0, radius < 15.0, radius < 21.0], numbers, MESH_LABELS["fluid"]
    )
    known = {number: name for name, number in MESH_LABELS.items()}
    return bench_twin().replace(mesh=Mesh(points, box.cells, label, known))


def main():
    """Write seconds of both, and the largest relative difference of their volumes."""
    comm, target, count = MPI.COMM_WORLD, Path(sys.argv[1]), int(sys.argv[2])
    twin = head(count)
    regimen = Regimen(Radiotherapy(total_dose_gy=60.0, fractions=30, start_day=7.0))
    days = np.arange(0.0, 61.0)
    alone, together = FiniteElementSolver(), FiniteElementSolver(comm=comm)
    together.solve(twin, regimen, [0.0, 1.0, 8.0])
    seconds = []
    for _ in range(3):
        if comm.rank == 0:
            begin = time.perf_counter()
            one = alone.solve(twin, regimen, days)
            seconds.append([time.perf_counter() - begin])
        comm.Barrier()
        begin = time.perf_counter()
        all_of_them = together.solve(twin, regimen, days)
        if comm.rank == 0:
            seconds[-1].append(time.perf_counter() - begin)
    if comm.rank == 0:
        off = np.abs(all_of_them.tumour_volume_soft / one.tumour_volume_soft - 1.0)
        best = np.min(seconds, axis=0)
        found = [len(twin.mesh.points), float(best[0]), float(best[1]), float(off.max())]
        target.write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
