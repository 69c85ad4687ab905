"""The built patient: a folder of plain files that holds a whole twin."""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
import uuid
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from twin.calendar import Calendar
from twin.errors import InvalidInput
from twin.hypoxia import HypoxiaImage
from twin.mesh_store import read_mesh, write_mesh
from twin.meshing import mesh_quality
from twin.model_choice import ModelChoice
from twin.parameters import ParameterSet
from twin.patient import Grid, Structure, Twin
from twin.patient_meshes import mesh_labels
from twin.planned_dose import PlannedDose
from twin.regimen import Regimen
from twin.start_evidence import StartEvidence
from twin.storage import sha256_of, storage_errors, write_atomically
from twin.temperature_map import TemperatureMap

__all__ = ["check_target", "is_built", "read_built", "write_built"]

FORMAT = 2
_KIND = "therapy-twin patient"


def identity(twin: Twin) -> str:
    """Hexadecimal SHA-256 of the twin with its parameters and name."""
    return sha256_of(twin.content_hash, twin.parameters.as_dict(), twin.name)


def is_built(folder: Path) -> bool:
    """Whether `folder` holds a built patient."""
    return _record(folder) is not None


def _record(folder: Path) -> dict[str, Any] | None:
    try:
        record = json.loads((folder / "twin.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) and record.get("kind") == _KIND else None


def check_target(folder: Path) -> None:
    """Refuse a place for a built patient that holds something else.

    Raises
    ------
    InvalidInput
        A file, or a folder that is neither empty nor a built patient.
    """
    if folder.exists() and not folder.is_dir():
        raise InvalidInput(f"{folder} is a file; name a folder for the built patient.")
    if folder.is_dir() and any(folder.iterdir()) and not is_built(folder):
        raise InvalidInput(
            f"The folder {folder} holds something else than a built patient and was left as it "
            "is; name a new or empty folder."
        )


def write_built(
    twin: Twin,
    folder: Path,
    *,
    force: bool = False,
    remarks: Sequence[str] = (),
    more: Callable[[Path], object] | None = None,
) -> bool:
    """Write `twin` into `folder`, which appears when it is whole; return whether it was written.

    A folder that holds the same patient already is left alone. The `remarks`
    stand in ``quality.txt``, after the patient and before the figures; `more` is called
    with the folder while it is made and may write further files into it.

    Raises
    ------
    InvalidInput
        The folder holds something else, or another patient and `force` is false.
    """
    check_target(folder)
    record = _record(folder)
    if record is not None:
        if record.get("identity") == identity(twin) and record.get("format") == FORMAT:
            return False
        if not force:
            raise InvalidInput(
                f"The folder {folder} holds another patient or another version of this one; "
                "name a new folder, or replace it with force (--force)."
            )
    partial = folder.with_name(f".{folder.name}.part-{uuid.uuid4().hex[:8]}")
    old = folder.with_name(f".{folder.name}.old-{uuid.uuid4().hex[:8]}")
    with storage_errors(folder):
        partial.mkdir(parents=True)
    try:
        _write_files(twin, partial, remarks)
        if more is not None:
            more(partial)
        if record is not None:
            folder.rename(old)
        partial.replace(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        if old.exists() and folder.exists():
            shutil.rmtree(old, ignore_errors=True)
        elif old.exists():
            old.rename(folder)
    return True


def _write_files(twin: Twin, folder: Path, remarks: Sequence[str]) -> None:
    write_mesh(folder / "mesh.npz", twin.mesh)
    write_mesh(folder / "coarse_mesh.npz", twin.coarse_mesh)
    write_mesh(folder / "coarsest_mesh.npz", twin.coarsest_mesh)
    arrays: dict[str, Any] = {"tissues": twin.tissues, "affine": twin.grid.affine}
    if twin.image is not None:
        arrays["image"] = twin.image
    if twin.tensor is not None:
        arrays["tensor"] = twin.tensor
    if twin.hypoxia is not None:
        arrays["hypoxia"] = twin.hypoxia.ratio
    if twin.perfusion is not None:
        arrays["perfusion"] = twin.perfusion
    if twin.evidence is not None:
        arrays |= {f"start_{name}": values for name, values in twin.evidence.arrays.items()}
    for name, values in (twin.tissue_probabilities or {}).items():
        arrays[f"probability_{name}"] = values
    for number, dose in enumerate(twin.doses.values()):
        arrays |= dose.arrays(f"dose_{number}")
    for number, heat in enumerate(twin.temperatures.values()):
        arrays[f"temperature_{number}"] = heat.celsius
        arrays[f"temperature_{number}_covered"] = np.packbits(heat.covered)
    for number, structure in enumerate(twin.structures.values()):
        arrays[f"structure_{number}"] = np.packbits(structure.mask)
    write_atomically(folder / "voxels.npz", lambda path: np.savez_compressed(path, **arrays))
    labels = mesh_labels(
        twin.tissues, twin.structures["enhancing"].mask, twin.structures["necrosis"].mask
    )
    quality = {
        name: mesh_quality(mesh, labels, twin.grid.affine)
        for name, mesh in (
            ("mesh", twin.mesh),
            ("coarse mesh", twin.coarse_mesh),
            ("coarsest mesh", twin.coarsest_mesh),
        )
    }
    report = "\n\n".join(f"{name}\n{figures.table()}" for name, figures in quality.items())
    origin = "".join(f"{remark}\n" for remark in remarks)
    _write_text(folder / "quality.txt", f"{twin.describe()}\n{origin}\n{report}\n")
    figures = {name.replace(" ", "_"): figures.as_dict() for name, figures in quality.items()}
    _write_text(folder / "quality.json", json.dumps(figures, indent=1) + "\n")
    record = {
        "format": FORMAT,
        "kind": _KIND,
        "research_use_only": True,
        "identity": identity(twin),
        "content_hash": twin.content_hash,
        "name": twin.name,
        "reference_date": twin.calendar.reference_date.isoformat(),
        "body_surface_m2": twin.body_surface_m2,
        "gfr_ml_min": twin.gfr_ml_min,
        "delivered": twin.delivered.as_dict(),
        "model": twin.model.as_dict(),
        "shape": list(twin.grid.shape),
        "structures": [
            {
                "name": name,
                "kind": structure.kind,
                "stylised": structure.stylised,
                "parameter": structure.parameter,
                "source": structure.source,
            }
            for name, structure in twin.structures.items()
        ],
        "doses": [{"name": name, **dose.record()} for name, dose in twin.doses.items()],
        "temperatures": list(twin.temperatures),
        "parameters": twin.parameters.as_dict(),
        **({} if twin.hypoxia is None else {"hypoxia": twin.hypoxia.record()}),
    }
    _write_text(folder / "twin.json", json.dumps(record, indent=1, ensure_ascii=False) + "\n")


def _write_text(path: Path, text: str) -> None:
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def read_built(folder: str | os.PathLike[str]) -> Twin:
    """Return the twin in a built folder.

    Raises
    ------
    InvalidInput
        Not a built patient, of another format, or damaged.
    """
    place = Path(folder)
    record = _record(place)
    if record is None:
        raise InvalidInput(
            f"The folder {place} is not a built patient (it has no twin.json of ours); build one "
            "from a patient.toml with: twin build patient.toml -o FOLDER"
        )
    if record.get("format") != FORMAT:
        raise InvalidInput(
            f"The folder {place} has format {record.get('format')}, this program reads {FORMAT}; "
            "build the patient again."
        )
    try:
        twin = _read_files(place, record)
    except InvalidInput:
        raise
    except (OSError, EOFError, KeyError, TypeError, ValueError, zipfile.BadZipFile) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InvalidInput(
            f"The built patient {place} is damaged ({reason}); build it again."
        ) from None
    if twin.content_hash != record["content_hash"]:
        raise InvalidInput(f"The built patient {place} was changed by hand; build it again.")
    return twin


def _read_files(folder: Path, record: dict[str, Any]) -> Twin:
    shape = tuple(record["shape"])
    size = int(np.prod(shape))
    with (folder / "voxels.npz").open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        structures = {
            entry["name"]: Structure(
                np.unpackbits(arrays[f"structure_{number}"], count=size)
                .reshape(shape)
                .astype(bool),
                entry["kind"],
                stylised=entry["stylised"],
                parameter=entry["parameter"],
                source=entry["source"],
            )
            for number, entry in enumerate(record["structures"])
        }
        tissues = arrays["tissues"]
        image = arrays["image"] if "image" in arrays.files else None
        tensor = arrays["tensor"] if "tensor" in arrays.files else None
        perfusion = arrays["perfusion"] if "perfusion" in arrays.files else None
        prefix = "probability_"
        maps = {
            name.removeprefix(prefix): arrays[name]
            for name in arrays.files
            if name.startswith(prefix)
        }
        start = {
            name.removeprefix("start_"): arrays[name]
            for name in arrays.files
            if name.startswith("start_")
        }
        doses = {
            entry["name"]: PlannedDose.of(
                f"dose_{number}", arrays, {key: entry[key] for key in entry if key != "name"}
            )
            for number, entry in enumerate(record.get("doses", []))
        }
        hypoxia = None
        if "hypoxia" in record:
            hypoxia = HypoxiaImage(ratio=arrays["hypoxia"], **record["hypoxia"])
        temperatures = {
            name: TemperatureMap(
                arrays[f"temperature_{number}"],
                np.unpackbits(arrays[f"temperature_{number}_covered"], count=size)
                .reshape(shape)
                .astype(bool),
            )
            for number, name in enumerate(record.get("temperatures", []))
        }
        grid = Grid(shape, arrays["affine"])  # type: ignore[arg-type]
    return Twin(
        name=record["name"],
        mesh=read_mesh(folder / "mesh.npz"),
        coarse_mesh=read_mesh(folder / "coarse_mesh.npz"),
        coarsest_mesh=read_mesh(folder / "coarsest_mesh.npz"),
        grid=grid,
        tissues=tissues,
        image=image,
        structures=structures,
        parameters=ParameterSet.from_dict(record["parameters"]),
        calendar=Calendar(dt.date.fromisoformat(record["reference_date"])),
        body_surface_m2=record["body_surface_m2"],
        delivered=Regimen.from_dict(record["delivered"]),
        model=ModelChoice(**record["model"]),
        tissue_probabilities=maps or None,
        tensor=tensor,
        evidence=StartEvidence.from_arrays(start),
        doses=doses,
        gfr_ml_min=record.get("gfr_ml_min"),
        hypoxia=hypoxia,
        perfusion=perfusion,
        temperatures=temperatures,
    )
