"""A hypoxia image: uptake of a tracer of hypoxia over that of blood, in every voxel."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from twin.errors import InvalidInput
from twin.toml_file import FileModel

__all__ = ["HypoxiaImage", "HypoxiaTable", "TracerTable", "hypoxia_image"]

Tracer = Literal["fmiso", "faza"]
#: Ratios of uptake to blood that tissue without a lack of oxygen may have in the median, [1].
_USUAL_RATIO = (0.3, 3.0)
#: How alpha and beta of the parameters are meant where oxygen varies.
Meaning = Literal["mean", "oxic"]


class TracerTable(FileModel):
    """A PET image of hypoxia."""

    file: str = Field(description="image file on the visit's grid")
    blood: float | None = Field(
        default=None,
        gt=0.0,
        description="uptake of blood in the file's unit; the file is a ratio to it if absent",
    )
    alpha: Meaning = Field(
        default="mean",
        description="what the parameters' alpha and beta are: of the tumour in the mean, or of "
        "cells with plenty of oxygen",
    )


class HypoxiaTable(FileModel):
    """``hypoxia = { fmiso = { file = ... } }`` of a visit: one tracer."""

    fmiso: TracerTable | None = None
    faza: TracerTable | None = None

    @property
    def given(self) -> tuple[Tracer, TracerTable]:
        """The tracer and its table.

        Raises
        ------
        InvalidInput
            None or both.
        """
        if (self.fmiso is None) == (self.faza is None):
            raise InvalidInput("hypoxia takes one tracer, fmiso or faza, with its file.")
        return ("fmiso", self.fmiso) if self.fmiso is not None else ("faza", self.faza)  # type: ignore[return-value]


@dataclass(frozen=True, slots=True, eq=False)
class HypoxiaImage:
    """Uptake of a tracer over that of blood.

    Parameters
    ----------
    tracer : {"fmiso", "faza"}
    ratio : ndarray of float32, [1], shape of the twin's grid
    alpha : {"mean", "oxic"}
        What alpha and beta of the parameters are: those of the tumour in the mean (as clinical
        ones, which hold some hypoxia), or of cells with plenty of oxygen.
    """

    tracer: str
    ratio: NDArray[np.float32]
    alpha: str = "mean"

    def __post_init__(self) -> None:
        if self.alpha not in ("mean", "oxic"):
            raise InvalidInput(f"alpha of a hypoxia image is {self.alpha!r}; write mean or oxic.")
        ratio = np.ascontiguousarray(self.ratio, np.float32)
        if not (np.isfinite(ratio).all() and (ratio >= 0.0).all()):
            raise InvalidInput("The hypoxia image holds values that are negative or not finite.")
        ratio.setflags(write=False)
        object.__setattr__(self, "ratio", ratio)

    def digest(self) -> bytes:
        """SHA-256 of all of it."""
        return hashlib.sha256(
            f"{self.tracer} {self.alpha}".encode() + self.ratio.tobytes()
        ).digest()

    def record(self) -> dict[str, Any]:
        """What is not an array, as plain values for JSON."""
        return {"tracer": self.tracer, "alpha": self.alpha}

    def describe(self) -> str:
        """In a plain sentence."""
        meant = "the tumour's mean" if self.alpha == "mean" else "cells with plenty of oxygen"
        return (
            f"Hypoxia: from {self.tracer.upper()}-PET of day 0, which does not change; alpha and "
            f"beta of the parameters are those of {meant}."
        )


def hypoxia_image(
    table: HypoxiaTable,
    uptake: NDArray[Any],
    living: NDArray[np.bool_],
    tumour: NDArray[np.bool_],
    *,
    where: str,
) -> HypoxiaImage:
    """The image of a visit, checked.

    Parameters
    ----------
    table : HypoxiaTable
    uptake : ndarray, shape of the grid
    living, tumour : ndarray of bool, shape of the grid
        Grey and white matter; the whole tumour.
    where : str
        Begins what errors say.

    Raises
    ------
    InvalidInput
        It does not cover the tumour, is negative, or no ratio to blood.
    """
    tracer, written = table.given
    values = np.asarray(uptake, np.float32)
    what = f"{where}: hypoxia: the {tracer.upper()} image {written.file}"
    if not (np.isfinite(values).all() and (values >= 0.0).all()):
        raise InvalidInput(f"{what} holds values that are negative or not finite.")
    missing = float((values[tumour] <= 0.0).mean())
    if missing > 0.0:
        raise InvalidInput(
            f"{what} has no uptake in {100.0 * missing:.1f} % of the tumour; it must cover all of "
            "it."
        )
    ratio = values / np.float32(1.0 if written.blood is None else written.blood)
    typical = float(np.median(ratio[living & ~tumour]))
    low, high = _USUAL_RATIO
    if not low <= typical <= high:
        raise InvalidInput(
            f"{what} is {typical:.3g} times blood in the median of brain without tumour, expected "
            f"is {low:g} to {high:g}; state the uptake of blood in its unit (blood = ...)."
        )
    return HypoxiaImage(tracer, ratio, written.alpha)
