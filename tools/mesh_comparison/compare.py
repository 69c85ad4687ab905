"""Mesh the same labels with every mesher that is there, and write the table of the documentation.

Run by ``make mesh-comparison``. Each mesher works in a process of its own, so that a crash or an
endless loop costs one row.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from cases import CASES, make_case
from meshers import MESHERS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "mesh-comparison.md"
#: A mesher that takes longer than this is stopped, [s].
LONGEST_S = 900.0
#: Diffusivity for which the longest explicit step is given, [mm2/day].
DIFFUSIVITY = 0.1


def mesh_once(mesher: str, case_name: str, target: Path) -> None:
    """Mesh in this process; write the figures to `target`."""
    case = make_case(case_name)
    make = MESHERS[mesher][3]
    if mesher in ("own", "unmoved"):  # compiled on first use, which is not the mesher's time
        make(make_case("phantom"))
    begin = time.perf_counter()
    points, cells, label = make(case)
    seconds = time.perf_counter() - begin
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    figures = measure(case, points, cells, label)
    target.write_text(json.dumps({"seconds": seconds, "peak_gb": peak, **figures}))


def measure(case: Any, points: Any, cells: Any, label: Any) -> dict[str, Any]:
    """What the table says of one mesh."""
    from solvers.operators import mesh_operators
    from twin.mesh import Mesh
    from twin.meshing.geometry import cell_volumes, dihedral_extremes
    from twin.meshing.inspection import inspect_mesh
    from twin.meshing.surface_distance import surface_distances
    from twin.meshing.transmissibility import negative_transmissibility_share

    volumes = cell_volumes(points, cells)
    turned = volumes < 0.0
    cells[turned] = cells[turned][:, [0, 1, 3, 2]]
    flat = int((np.abs(volumes) <= 0.0).sum())
    kept = np.abs(volumes) > 0.0
    mesh = Mesh(points, cells[kept], label[kept], case.names)
    found = inspect_mesh(mesh, case.labels, case.affine)
    apart = surface_distances(mesh, case.labels, case.affine)
    smallest, _ = dihedral_extremes(mesh.points, mesh.cells)
    operator = mesh_operators(mesh).diffusion(
        np.full(len(mesh.cells), DIFFUSIVITY), np.ones(len(mesh.cells), bool)
    )
    return {
        "nodes": len(mesh.points),
        "cells": len(mesh.cells),
        "flat": flat,
        "smallest": found.smallest_dihedral.value,
        "first_percentile": float(np.percentile(smallest, 1)),
        "largest": found.largest_dihedral.value,
        "volume_error": {name: one.volume_error for name, one in found.labels.items()},
        "distance": {name: one.mean_mm for name, one in apart.items()},
        "explicit_day": operator.explicit_limit_day,
        "negative": negative_transmissibility_share(mesh).by_value,
    }


def compare(names: list[str], cases: list[str]) -> dict[str, dict[str, Any]]:
    """Figures of every mesher that is there, and of the others why not, by case."""
    found: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for case in cases:
            found[case] = {}
            for name in names:
                package = MESHERS[name][1]
                if package is not None and importlib.util.find_spec(package) is None:
                    found[case][name] = f"{package} could not be installed"
                    continue
                target = Path(folder) / f"{case}-{name}.json"
                sys.stderr.write(f"{case}: {MESHERS[name][0]}\n")
                command = [sys.executable, __file__, "--one", name, case, str(target)]
                try:
                    done = subprocess.run(
                        command,
                        timeout=LONGEST_S,
                        capture_output=True,
                        text=True,
                        check=False,
                        cwd=folder,  # TetGen leaves files where it works
                        env={**os.environ, "PYTHONWARNINGS": "ignore"},
                    )
                except subprocess.TimeoutExpired:
                    found[case][name] = f"stopped after {LONGEST_S:.0f} s"
                    continue
                if target.exists():
                    found[case][name] = json.loads(target.read_text())
                else:
                    last = (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]
                    found[case][name] = f"failed: {last[:150]}"
    return found


def table(rows: dict[str, Any]) -> str:
    """One case as a table in Markdown."""
    lines = [
        "| mesher | licence | s | GB | nodes | smallest, 1st percentile, largest angle | label "
        "volumes: worst, median | surfaces apart, mm: worst, median | explicit step, day | wrong "
        "sign |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, row in rows.items():
        title, _, licence, _ = MESHERS[name]
        if isinstance(row, str):
            lines.append(f"| {title} | {licence} | not measured here: {row} | | | | | | | |")
            continue
        errors = row["volume_error"]
        worst = max(errors, key=lambda label: abs(errors[label]))
        median = float(np.median([abs(error) for error in errors.values()]))
        apart = row["distance"]
        far = max(apart, key=lambda label: apart[label])
        flat = f" ({row['flat']} flat)" if row["flat"] else ""
        lines.append(
            f"| {title} | {licence} | {row['seconds']:.1f} | {row['peak_gb']:.1f} | "
            f"{row['nodes']:,}{flat} | {row['smallest']:.1f}°, {row['first_percentile']:.0f}°, "
            f"{row['largest']:.0f}° | {worst.replace('_', ' ')} {100 * errors[worst]:+.1f} %, "
            f"{100 * median:.1f} % | {far.replace('_', ' ')} {apart[far]:.2f}, "
            f"{np.median(list(apart.values())):.2f} | {row['explicit_day']:.2g} | "
            f"{100 * row['negative']:.1f} % |"
        )
    return "\n".join(lines)


def page(found: dict[str, dict[str, Any]]) -> str:
    """The page of the documentation."""
    words = {
        "phantom": "A phantom: balls within balls, a film of two voxels around them, 2.5 mm cells",
        "head": "The head of the example: five labels at 1 mm, 4 mm cells",
    }
    sections = [f"## {words[case]}\n\n{table(rows)}" for case, rows in found.items()]
    return (
        "# Our mesher beside others\n\n"
        "Written by `make mesh-comparison`, which installs the others into `.venv-mesh` and runs "
        "each on the same labels with cells of the same size. None of them is part of the "
        "project, and no result depends on them; their licences are in the table.\n\n"
        f"Measured on {platform.machine()}, one thread each, {time.strftime('%B %Y')}, with a load "
        f"of {os.getloadavg()[2]:.0f} on {os.cpu_count()} processors. The time of our own "
        "mesher is without compilation. Meshers that start from surfaces (fTetWild, TetGen) "
        "get those of all labels together, taken off voxels of 2 mm, for fTetWild without steps "
        "(TetGen leaves facets out where smoothed surfaces touch themselves, and with them the "
        "tissue behind); they keep the triangles of these, which is why they have more nodes, "
        "and their elements take the label of the voxel at their centre. Surfaces "
        "apart is the mean distance between a label's surface in the mesh and in the image, both "
        "ways. The explicit step is the "
        f"longest stable one for {DIFFUSIVITY} mm²/day; wrong sign is the share of "
        "transmissibilities that are negative.\n\n" + "\n\n".join(sections) + "\n\n"
        "CGAL comes with Debian's and Ubuntu's `python3-pygalmesh`; elsewhere it is built from "
        "source and needs `libcgal-dev` and `libeigen3-dev` first. Then run the command again.\n"
    )


def main() -> int:
    """Run the comparison, or one mesher of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--one", nargs=3, metavar=("MESHER", "CASE", "FILE"))
    parser.add_argument("--only", default=",".join(MESHERS), help="meshers, with commas")
    parser.add_argument("--cases", default=",".join(CASES), help="cases, with commas")
    parser.add_argument("--page", type=Path, default=PAGE)
    arguments = parser.parse_args()
    if arguments.one:
        mesher, case, target = arguments.one
        mesh_once(mesher, case, Path(target))
        return 0
    found = compare(arguments.only.split(","), arguments.cases.split(","))
    text = page(found)
    arguments.page.write_text(text, encoding="utf-8")
    sys.stdout.write(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
