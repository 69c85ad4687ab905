"""Which kind of network a file or folder is, what it says of itself, and its hash."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from twin.errors import InvalidInput

__all__ = ["Kind", "Model", "find_model", "model_hash"]

Kind = Literal["onnx", "torchscript", "monai", "nnunet"]

#: What each kind is called in sentences.
KIND_NAMES: dict[Kind, str] = {
    "onnx": "ONNX",
    "torchscript": "TorchScript",
    "monai": "MONAI bundle",
    "nnunet": "nnU-Net",
}
#: Kinds whose files are data alone; all others can run code when they are loaded.
SAFE_KINDS: frozenset[Kind] = frozenset({"onnx"})

_MAX_FILES = 2000
_MAX_JSON = 2**24


@dataclass(frozen=True, slots=True)
class Model:
    """A network on disk.

    Parameters
    ----------
    path : Path
    kind : str
        ``onnx``, ``torchscript``, ``monai`` or ``nnunet``.
    sha256 : str
        Of the file, or of all files of the folder with their places in it.
    """

    path: Path
    kind: Kind
    sha256: str

    @property
    def kind_name(self) -> str:
        """Return what people call the kind."""
        return KIND_NAMES[self.kind]


def find_model(path: str | os.PathLike[str], *, trusted: bool) -> Model:
    """Return the network at a path, once it is clear that it may be loaded.

    Parameters
    ----------
    path : path
        ``.onnx``, ``.pt`` or ``.ts`` file, MONAI bundle or nnU-Net result folder.
    trusted : bool
        Whether the user vouches for models that can run code.

    Raises
    ------
    InvalidInput
        Missing, of no known kind, or able to run code and not trusted.
    """
    model = Path(path)
    kind = _kind(model)
    if kind not in SAFE_KINDS and not trusted:
        raise InvalidInput(
            f"{model.name} is a {KIND_NAMES[kind]} model, which can run any code when it is "
            "loaded; if you know and trust where it came from, add --trust-model, else ask for "
            "the network as .onnx."
        )
    return Model(model, kind, model_hash(model))


def _kind(model: Path) -> Kind:
    if model.is_dir():
        if (model / "configs").is_dir():
            return "monai"
        if (model / "dataset.json").is_file() and (model / "plans.json").is_file():
            return "nnunet"
        raise InvalidInput(
            f"The folder {model} is neither a MONAI bundle (it has no configs/) nor an nnU-Net "
            "result (dataset.json and plans.json beside fold_0, fold_1, ...); give one of them."
        )
    if not model.is_file():
        raise InvalidInput(f"The model {model} does not exist; check name and folder.")
    if model.suffix == ".onnx":
        return "onnx"
    if model.suffix in (".pt", ".ts"):
        return "torchscript"
    raise InvalidInput(
        f"The model {model} is of no known kind by its name; give .onnx, TorchScript as .pt or "
        ".ts, a MONAI bundle's folder or an nnU-Net result folder."
    )


def model_hash(model: Path) -> str:
    """Return the hexadecimal SHA-256 of a model's file, or of a whole folder.

    A folder's is over each file's place in it and own hash, in order of place,
    so that it changes with any of them.

    Raises
    ------
    InvalidInput
        A folder with more than 2000 files, or with a link that leads out of it.
    """
    if model.is_file():
        return _file_hash(model)
    places = sorted(path for path in model.rglob("*") if path.is_file())
    if len(places) > _MAX_FILES:
        raise InvalidInput(
            f"The folder {model} holds more than {_MAX_FILES} files; name the model's own folder."
        )
    root = model.resolve()
    digest = hashlib.sha256()
    for path in places:
        if not path.resolve().is_relative_to(root):
            raise InvalidInput(
                f"{path.relative_to(model)} in the folder {model} is a link that leads out of it; "
                "copy the file into the folder."
            )
        line = f"{path.relative_to(model).as_posix()}\0{_file_hash(path)}\n"
        digest.update(line.encode())
    return digest.hexdigest()


def _file_hash(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def read_json(path: Path, *, what: str) -> Mapping[str, Any]:
    """Return the object in a JSON file of a model's folder.

    Raises
    ------
    InvalidInput
        Missing, larger than 16 MiB, or no JSON object.
    """
    if not path.is_file():
        raise InvalidInput(f"The {what} lacks {path.name}; copy the whole folder.")
    try:
        if path.stat().st_size > _MAX_JSON:
            raise ValueError
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ValueError
    except (OSError, ValueError, RecursionError):
        raise InvalidInput(
            f"{path.name} of the {what} is no JSON object of at most 16 MiB; copy it again."
        ) from None
    return content
