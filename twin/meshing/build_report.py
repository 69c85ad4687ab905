"""What happened when a mesh was made."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

__all__ = ["BuildReport", "PartTimer"]


@dataclass(frozen=True, slots=True)
class BuildReport:
    """Whether a mesh was fitted to the interfaces, and what it took.

    Parameters
    ----------
    kind : {"fitted", "lattice"}
        The lattice is unmoved: its interfaces are stepped, its angles at least 45 degrees.
    reason : str
        Why it is the lattice; empty for a fitted mesh.
    lattice_dihedral_deg, dihedral_deg : tuple of float, [degree]
        Smallest and largest dihedral angle of the lattice, and of the mesh that was fitted
        (also where it was thrown away), the same if none was.
    swaps : int
        Edges and faces swapped.
    repaired_cells : int
        Cells with an angle outside the wanted ones when the interfaces were met, which
        the repair brought inside.
    lost_labels : tuple of str
        Labels too small to have a cell.
    seconds : mapping of str to float, [s]
        Time spent on each part.
    """

    kind: Literal["fitted", "lattice"]
    reason: str
    lattice_dihedral_deg: tuple[float, float]
    dihedral_deg: tuple[float, float]
    swaps: int
    repaired_cells: int
    lost_labels: tuple[str, ...]
    seconds: Mapping[str, float]

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain values, for JSON."""
        values = {name: getattr(self, name) for name in self.__slots__}
        return {**values, "seconds": dict(self.seconds)}

    def sentence(self) -> str:
        """Return what was made, in a sentence.

        Examples
        --------
        >>> BuildReport("fitted", "", (45.0, 120.0), (23.1, 141.0), 5, 2, (), {}).sentence()
        'Fitted to the interfaces: angles 23.1 to 141.0 degrees, 5 swaps, 2 cells repaired.'
        """
        smallest, largest = self.dihedral_deg
        if self.kind == "lattice":
            return f"The unmoved lattice with stepped interfaces, because {self.reason}."
        return (
            f"Fitted to the interfaces: angles {smallest:.1f} to {largest:.1f} degrees, "
            f"{self.swaps:,} swaps, {self.repaired_cells:,} cells repaired."
        )


class PartTimer:
    """Adds up the seconds between one part's start and the next's."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}
        self._part: str | None = None
        self._since = 0.0

    def start(self, part: str | None) -> None:
        """End the part before and start another one, or none."""
        now = time.perf_counter()
        if self._part is not None:
            self._seconds[self._part] = self._seconds.get(self._part, 0.0) + now - self._since
        self._part, self._since = part, now

    @property
    def seconds(self) -> Mapping[str, float]:
        """Seconds of each part, in the order of their starts."""
        return MappingProxyType(dict(self._seconds))
