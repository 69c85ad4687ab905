"""``twin build``."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from twin.meshing.gate import MeshRejected
    from twin.patient import Twin
    from twin.patient_file import MeshTable
    from twin.quality_gate import QualityFound
    from viz.cli.running import Output

DESCRIPTION = """\
Make the twin of a patient: images and outlines onto one grid, three meshes, and a
page of their quality. A mesh below the bars of the quality gate stops the build: what
is wrong and where is said, with a picture beside the folder. Meshes are cached by
content, so a second build is quick."""
EXAMPLES = """\
  twin build demo/patient.toml -o demo/patient
  twin build demo/patient.toml -o demo/patient --json
  twin build demo/patient.toml -o demo/patient --mesh mine.msh   a mesh of one's own"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("patient", metavar="PATIENT.toml", help="the patient's file")
    parser.add_argument(
        "-o", "--output", required=True, metavar="DIR", help="folder of the built patient"
    )
    parser.add_argument("--force", action="store_true", help="replace another built patient there")
    parser.add_argument(
        "--mesh",
        metavar="FILE",
        help="a mesh of one's own (.msh, .vtu, .xdmf) with tissue tags; [mesh] says what they mean",
    )
    parser.add_argument(
        "--coarse-mesh",
        metavar="FILE",
        help="with --mesh: the coarser mesh for the error bars (default: made here)",
    )


def _read_table(arguments: argparse.Namespace) -> MeshTable:
    """Return the patient file's ``[mesh]``."""
    from pathlib import Path

    from twin.patient_file import read_patient_file

    place = Path(arguments.patient)
    return read_patient_file(place / "patient.toml" if place.is_dir() else place).mesh


def _mesh_table(arguments: argparse.Namespace) -> MeshTable | None:
    """Return the patient file's ``[mesh]`` with the meshes of the command line, None without."""
    from pathlib import Path

    from twin.errors import InvalidInput

    if arguments.mesh is None:
        if arguments.coarse_mesh is not None:
            raise InvalidInput("--coarse-mesh goes with --mesh; name the finer mesh as well.")
        return None
    coarse = arguments.coarse_mesh
    return _read_table(arguments).model_copy(
        update={
            "file": str(Path(arguments.mesh).absolute()),
            "coarse_file": None if coarse is None else str(Path(coarse).absolute()),
        }
    )


def _with_picture(rejected: MeshRejected, folder: Path) -> Exception:
    """The same error with the path of a picture, drawn beside the folder that is not written."""
    from twin.errors import InvalidInput
    from twin.patient import Twin
    from twin.patient_meshes import mesh_labels
    from viz.rejected_mesh import draw_rejected

    patient = rejected.rejected
    if not isinstance(patient, Twin):
        return rejected
    meshes = {
        "mesh": patient.mesh,
        "coarse mesh": patient.coarse_mesh,
        "coarsest mesh": patient.coarsest_mesh,
    }
    core = (patient.structures[name].mask for name in ("enhancing", "necrosis"))
    picture = draw_rejected(
        folder.with_name(f"{folder.name}-rejected.png"),
        rejected.verdict,
        meshes[rejected.what],
        mesh_labels(patient.tissues, *core),
        patient.grid.affine,
        patient.image,
    )
    return InvalidInput(f"{str(rejected).rstrip('.')} (drawn in {picture}).")


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Build the patient."""
    import json
    import time
    from pathlib import Path

    import twin
    from twin.meshing.gate import MeshRejected

    begin = time.perf_counter()
    mesh = _mesh_table(arguments)
    options = mesh if mesh is not None else _read_table(arguments)

    def write_page(patient: Twin, found: QualityFound, folder: Path) -> None:
        from viz.quality_page import write_quality_page
        from viz.quality_subject import subject_of_twin

        subject = subject_of_twin(patient, found, options, notes=patient.mesh_origins())
        write_quality_page(subject, folder / "quality.html", title="Quality of the mesh")

    try:
        with output.progress("building the patient") as progress:
            patient = twin.build(
                arguments.patient,
                arguments.output,
                mesh=mesh,
                force=arguments.force,
                more=write_page,
                progress=progress,
            )
    except MeshRejected as rejected:
        raise _with_picture(rejected, Path(arguments.output)) from None
    seconds = time.perf_counter() - begin
    folder = Path(arguments.output)
    quality = folder / "quality.json"
    table = folder / "quality.txt"
    page = folder / "quality.html"
    output.say(patient.describe())
    output.result(
        (table.read_text(encoding="utf-8") if table.exists() else "")
        + f"\n{folder} holds the built patient ({seconds:.1f} s)."
        + (f" Quality of the mesh: {page}" if page.exists() else ""),
        {
            "ok": True,
            "command": "build",
            "folder": str(folder),
            "twin_hash": patient.content_hash,
            "quality": json.loads(quality.read_text(encoding="utf-8")) if quality.exists() else {},
            "quality_page": str(page) if page.exists() else None,
            "seconds": round(seconds, 2),
        },
    )
    return 0
