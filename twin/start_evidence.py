"""What the images of the reference visit leave open of the state on day 0."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from twin.errors import GeometryMismatch, InvalidInput

__all__ = ["StartEvidence"]

OUTLINES = ("core", "whole")


@dataclass(frozen=True, slots=True, eq=False)
class StartEvidence:
    """Spread of the outlines between readers, and cell density seen in images.

    Parameters
    ----------
    spread_mm : mapping of str to ndarray of float32, [mm], shape of the grid
        "core" and "whole": standard deviation of the outlines' signed distances; empty where
        there is one segmentation only.
    density : ndarray of float32 or None, [1], shape of the grid
        Viable cells by carrying capacity as the images show them, NaN where they say nothing.
        Noise may take it below 0 and above 1.
    density_sd : ndarray of float32 or None, [1], shape of the grid
        Its standard deviation; NaN where there is no density.

    Raises
    ------
    InvalidInput, GeometryMismatch
        Neither of the two, one outline without the other, arrays of several shapes, a
        standard deviation that is not positive.
    """

    spread_mm: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    density: NDArray[np.float32] | None = None
    density_sd: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        if self.spread_mm and set(self.spread_mm) != set(OUTLINES):
            raise InvalidInput(
                f"The outlines' spread is given for {', '.join(self.spread_mm)}; it needs both "
                "core and whole."
            )
        if (self.density is None) != (self.density_sd is None):
            raise InvalidInput("A density from images needs its standard deviation, and only then.")
        if not self.spread_mm and self.density is None:
            raise InvalidInput("Evidence on the start holds neither a spread nor a density.")
        spread = {key: _frozen(values) for key, values in self.spread_mm.items()}
        for key, values in spread.items():
            if not (values >= 0.0).all():
                raise InvalidInput(f"The spread of the {key} outline must be at least 0 mm.")
        object.__setattr__(self, "spread_mm", MappingProxyType(spread))
        if self.density is not None and self.density_sd is not None:
            density, deviation = _frozen(self.density), _frozen(self.density_sd)
            known = np.isfinite(density)
            if density.shape != deviation.shape:
                raise GeometryMismatch("A density and its standard deviation differ in shape.")
            if not known.any() or not (deviation[known] > 0.0).all():
                raise InvalidInput(
                    "A density from images needs a positive standard deviation in each voxel "
                    "that it is known in, and at least one such voxel."
                )
            object.__setattr__(self, "density", density)
            object.__setattr__(self, "density_sd", deviation)

    @property
    def arrays(self) -> dict[str, NDArray[np.float32]]:
        """All of it by name: ``spread_core``, ``spread_whole``, ``density``, ``density_sd``."""
        found = {f"spread_{key}": values for key, values in self.spread_mm.items()}
        if self.density is not None and self.density_sd is not None:
            found |= {"density": self.density, "density_sd": self.density_sd}
        return found

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[np.float32]]) -> StartEvidence | None:
        """What `arrays` gave, or None where it is not among them."""
        spread = {key: arrays[f"spread_{key}"] for key in OUTLINES if f"spread_{key}" in arrays}
        density, deviation = arrays.get("density"), arrays.get("density_sd")
        if not spread and density is None:
            return None
        return cls(spread, density, deviation)

    def check_shape(self, shape: tuple[int, ...]) -> None:
        """Raise `GeometryMismatch` where an array does not lie on a grid of this shape."""
        for name, values in self.arrays.items():
            if values.shape != shape:
                raise GeometryMismatch(
                    f"The {name} of the start has shape {values.shape}, the grid {shape}."
                )

    def digest(self) -> bytes:
        """SHA-256 of all of it."""
        digest = hashlib.sha256()
        for name, values in sorted(self.arrays.items()):
            digest.update(name.encode() + values.tobytes())
        return digest.digest()

    def describe(self) -> list[str]:
        """Return it in plain sentences."""
        lines = []
        if self.spread_mm:
            core, whole = (float(np.median(self.spread_mm[key])) for key in OUTLINES)
            lines.append(
                "Outlines: consensus of several segmentations, whose outlines lie "
                f"{core:.1f} mm (enhancing) and {whole:.1f} mm (FLAIR) apart (standard deviation, "
                "median over the head)."
            )
        if self.density is not None and self.density_sd is not None:
            known = np.isfinite(self.density)
            lines.append(
                f"Cell density: from images in {known.sum():,} voxels, with a standard deviation "
                f"of {float(np.median(self.density_sd[known])):.2g} of capacity (median)."
            )
        return lines


def _frozen(values: NDArray[np.float32]) -> NDArray[np.float32]:
    array = np.ascontiguousarray(values, np.float32)
    array.setflags(write=False)
    return array
