"""A trained surrogate on disk: one safetensors file, one JSON file, no pickle."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from solvers.closure import Ensemble
from solvers.density_closure import DensityModes
from solvers.reduced_features import ReducedModel
from solvers.shells import ShellModel
from solvers.surrogate_training import Trained
from solvers.training_domain import TrainingDomain
from twin.calendar import Calendar
from twin.errors import InvalidInput
from twin.storage import storage_errors

__all__ = ["MODEL_FORMAT", "check_folder", "read_model", "write_model"]

#: Raised whenever older readers would misunderstand a model.
MODEL_FORMAT = 1
CARD, TENSORS = "model.json", "model.safetensors"


def check_folder(folder: Path) -> None:
    """Raise `InvalidInput` if something other than a model is in the way."""
    taken = folder.exists() and not (folder / CARD).is_file()
    if taken and (not folder.is_dir() or any(folder.iterdir())):
        raise InvalidInput(f"{folder} holds something other than a model; choose another folder.")


def write_model(folder: Path, trained: Trained, about: dict[str, Any]) -> None:
    """Store a model as a folder, whole or not at all.

    Raises
    ------
    InvalidInput
        The folder holds something else than an older model.
    StorageFailed
        The disk is full or cannot be written.
    """
    check_folder(folder)
    arrays: dict[str, NDArray] = {
        **{f"shells.{name}": a for name, a in trained.reduced.shells.arrays().items()},
        **_tensors("scalars", trained.scalars),
        **_tensors("fields", trained.fields),
        "modes.modes": trained.modes.modes.astype(np.float16),
        "interval.factor": trained.interval_factor,
        "interval.floor": trained.interval_floor,
        **{f"held_out.{name}": a for name, a in trained.held_out.items()},
    }
    arrays = {name: np.ascontiguousarray(a) for name, a in arrays.items()}
    with storage_errors(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=f".{folder.name}.part-", dir=folder.parent))
        try:
            save_file(arrays, part / TENSORS)
            card = {
                "format": MODEL_FORMAT,
                "research_use_only": True,
                **about,
                "domain": trained.reduced.domain.as_dict(),
                "reference_date": trained.reduced.calendar.reference_date.isoformat(),
                "body_surface_m2": trained.reduced.body_surface_m2,
                "networks": {"scalars": trained.scalars.sizes, "fields": trained.fields.sizes},
                "record": trained.record,
                "tensors_sha256": _digest(part / TENSORS),
            }
            (part / CARD).write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
            part.chmod(0o777 & ~_umask())
            if folder.exists():
                shutil.rmtree(folder)
            part.replace(folder)
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise


def read_model(folder: Path) -> tuple[Trained, dict[str, Any]]:
    """A stored model and its card.

    Raises
    ------
    InvalidInput
        No model there, one of a newer version, or a file cut short or edited.
    """
    folder = Path(folder)
    if not (folder / CARD).is_file():
        raise InvalidInput(
            f"{folder} holds no model ({CARD} is missing); make one by 'twin train'."
        )
    try:
        card = json.loads((folder / CARD).read_text(encoding="utf-8"))
        version = card["format"]
    except (ValueError, KeyError, TypeError, UnicodeDecodeError):
        raise InvalidInput(f"{folder / CARD} cannot be read; train the model again.") from None
    if version != MODEL_FORMAT:
        raise InvalidInput(
            f"{folder} holds a model of format {version}; this version reads {MODEL_FORMAT}."
        )
    tensors = folder / TENSORS
    if not tensors.is_file() or _digest(tensors) != card.get("tensors_sha256"):
        raise InvalidInput(f"{tensors} is missing, cut short or was edited; train the model again.")
    try:
        return _rebuilt(card, load_file(tensors)), card
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidInput(f"{folder} holds a model that does not fit together: {error}.") from None


def _rebuilt(card: dict[str, Any], arrays: dict[str, NDArray]) -> Trained:
    def part(prefix: str) -> dict[str, NDArray]:
        start = prefix + "."
        return {k[len(start) :]: a for k, a in arrays.items() if k.startswith(start)}

    networks = {}
    for name, sizes in card["networks"].items():
        network = Ensemble(**sizes)
        network.load_state_dict({k: torch.from_numpy(a) for k, a in part(name).items()})
        networks[name] = network.eval()
    reduced = ReducedModel(
        ShellModel(**part("shells")),
        TrainingDomain.from_dict(card["domain"]),
        Calendar(dt.date.fromisoformat(card["reference_date"])),
        float(card["body_surface_m2"]),
    )
    interval = part("interval")
    return Trained(
        reduced,
        networks["scalars"],
        networks["fields"],
        DensityModes(part("modes")["modes"].astype(np.float32)),
        interval["factor"],
        interval["floor"],
        part("held_out"),
        card["record"],
    )


def _tensors(prefix: str, network: Ensemble) -> dict[str, NDArray]:
    return {f"{prefix}.{k}": t.detach().numpy() for k, t in network.state_dict().items()}


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
