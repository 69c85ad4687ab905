"""A network in an ONNX file, through onnxruntime on the processor."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twin.errors import InvalidInput
from twin.networks.recipe import Recipe

__all__ = ["OnnxNetwork"]

_MAX_BYTES = 2**31 - 1  # an ONNX file is one protobuf message, which cannot be larger


class OnnxNetwork:
    """An ONNX file, loaded; calling it runs the network on one patch.

    ONNX is data: a graph of known operators, no code. The file's bytes are
    loaded, not its path, so that it cannot name other files as its weights
    and its hash covers all that is run.

    Parameters
    ----------
    path : Path
    threads : int
        At most so many at once.

    Raises
    ------
    InvalidInput
        No ONNX file, operators that are not known, weights in other files, or
        not one image as input.
    """

    def __init__(self, path: Path, *, threads: int) -> None:
        import onnxruntime

        if path.stat().st_size > _MAX_BYTES:
            raise InvalidInput(f"{path.name} is larger than the 2 GiB that an ONNX file can have.")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 4
        try:
            self._session: Any = onnxruntime.InferenceSession(
                path.read_bytes(), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime raises kinds of its own for every fault
            raise InvalidInput(
                f"{path.name} cannot be loaded by onnxruntime {onnxruntime.__version__} "
                f"({_reason(error)}); export it again as one .onnx file with its weights within."
            ) from None
        inputs = self._session.get_inputs()
        if len(inputs) != 1 or len(inputs[0].shape) != 5:
            raise InvalidInput(
                f"{path.name} has {len(inputs)} inputs, the first of shape "
                f"{inputs[0].shape if inputs else ()}; a segmentation network must have one of "
                "shape (1, channels, i, j, k)."
            )
        self._input, self._name = inputs[0], path.name
        if self._input.type not in ("tensor(float)", "tensor(float16)"):
            raise InvalidInput(f"{path.name} takes {self._input.type}; it must take float numbers.")

    @property
    def metadata(self) -> Mapping[str, str]:
        """Return what the file says of itself."""
        return dict(self._session.get_modelmeta().custom_metadata_map)

    def check(self, recipe: Recipe) -> None:
        """Hold the recipe's channels and patch against the shape that the file states.

        Raises
        ------
        InvalidInput
            They differ.
        """
        expected = (1, len(recipe.input.channels), *recipe.patch.size)
        stated = tuple(self._input.shape)
        fits = all(not isinstance(s, int) or s == e for s, e in zip(stated, expected, strict=True))
        if not fits:
            raise InvalidInput(
                f"{self._name} takes the shape {stated}, but its recipe says {expected} "
                "(1, channels, patch); correct the recipe."
            )

    def __call__(self, patch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the network's first output for one patch."""
        half = self._input.type == "tensor(float16)"
        given = patch.astype(np.float16) if half else patch
        try:
            result = self._session.run(None, {self._input.name: given})[0]
        except Exception as error:
            raise InvalidInput(
                f"{self._name} failed on a patch of shape {patch.shape} ({_reason(error)}); "
                "check the recipe's channels and patch."
            ) from None
        return np.asarray(result, np.float32)


def _reason(error: Exception) -> str:
    words = " ".join(str(error).split())
    return words if len(words) <= 160 else words[:157] + "..."
