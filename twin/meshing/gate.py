"""The quality gate: whether a mesh is good enough to be simulated on, and where it is not."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from twin.errors import InvalidInput
from twin.meshing.inspection import LabelFigures, MeshInspection, Spot

__all__ = ["LIMITS", "OWN_MESH_LIMITS", "Failure", "Limits", "MeshRejected", "Verdict", "judge"]

_LOST = "label that is lost"


@dataclass(frozen=True, slots=True)
class Limits:
    """Bars of the gate, and the better values that are aimed at.

    Parameters
    ----------
    smallest_dihedral_deg, largest_dihedral_deg : float, [degree]
        No dihedral angle may be smaller, or larger.
    volume_error, thin_volume_error : float, [1]
        Largest difference of a label's volume from its voxels', and of a label of which
        most is less than two cells wide.
    cut_off_part : float, [1]
        Largest part of the mesh in pieces that hang on no face of the rest.
    small_cells : float, [1]
        A label as small as a cube of so many cells a side is named, but stops nothing.
    small_mm3 : float, [mm3]
        So does a difference in volume below this.
    wanted_smallest_deg, wanted_largest_deg : float, [degree]
    wanted_volume_error, wanted_thin_volume_error : float, [1]
        What a mesh should reach; where it does not, that is said.
    """

    smallest_dihedral_deg: float = 15.0
    largest_dihedral_deg: float = 160.0
    volume_error: float = 0.05
    thin_volume_error: float = 0.10
    cut_off_part: float = 1e-3
    small_cells: float = 2.0
    small_mm3: float = 0.0
    wanted_smallest_deg: float = 20.0
    wanted_largest_deg: float = 150.0
    wanted_volume_error: float = 0.01
    wanted_thin_volume_error: float = 0.05

    def volume_bar(self, figures: LabelFigures) -> float:
        """Largest volume error of this label, [1]."""
        return self.thin_volume_error if figures.thin else self.volume_error

    def wanted_volume(self, figures: LabelFigures) -> float:
        """Volume error of this label that is aimed at, [1]."""
        return self.wanted_thin_volume_error if figures.thin else self.wanted_volume_error


#: Bars of meshes that are made here.
LIMITS = Limits()
#: Bars of a mesh of one's own: those at which such a mesh is refused when it is read
#: (`twin.own_mesh_checks`), since hardly any mesher keeps to those of ours.
OWN_MESH_LIMITS = Limits(
    smallest_dihedral_deg=1.0,
    largest_dihedral_deg=179.0,
    volume_error=0.5,
    thin_volume_error=0.5,
    small_mm3=1000.0,
)


@dataclass(frozen=True, slots=True)
class Failure:
    """One bar that a mesh misses.

    Parameters
    ----------
    what : str
        What was measured.
    value, bar : float
        Measured and demanded, in `unit`.
    unit : str
    where_mm : tuple of float, [mm]
        RAS position.
    label : str
        Label there.
    """

    what: str
    value: float
    bar: float
    unit: str
    where_mm: tuple[float, float, float]
    label: str

    def __str__(self) -> str:
        place = ", ".join(f"{x:.1f}" for x in self.where_mm)
        if self.what == _LOST:
            return f"{self.label} is lost, no element has this label, at ({place}) mm"
        inside = f" in {self.label}" if self.label else ""
        bound = "at least" if self.value < self.bar else "at most"
        value, bar = f"{self.value:.3g}", f"{self.bar:.3g}"
        if self.unit.endswith("of its volume"):
            bound, value = "within", f"{self.value:+.3g}"
        return (
            f"{self.what}{inside} is {value} {self.unit} ({bound} {bar} is asked for) "
            f"at ({place}) mm"
        )


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the gate says of a mesh.

    Parameters
    ----------
    failures : tuple of Failure
        Bars that it misses; none if it passes.
    short : tuple of Failure
        Targets that it misses although it passes that bar.
    remarks : tuple of str
        What is too small to be judged, and layers that are judged as thin.
    """

    failures: tuple[Failure, ...]
    short: tuple[Failure, ...]
    remarks: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether no bar is missed."""
        return not self.failures

    def as_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return {
            "passed": self.passed,
            "failures": [asdict(failure) for failure in self.failures],
            "short_of_target": [asdict(failure) for failure in self.short],
            "remarks": list(self.remarks),
        }


class MeshRejected(InvalidInput):
    """A mesh below the bars of the quality gate.

    Parameters
    ----------
    what : str
        Which mesh: "mesh", "coarse mesh".
    verdict : Verdict
    remedy : str
        What to do about it.
    rejected : object
        What holds the mesh (a `Mesh` or a `Twin`), for a picture of the place.
    """

    def __init__(self, what: str, verdict: Verdict, remedy: str, rejected: object) -> None:
        self.what, self.verdict, self.rejected = what, verdict, rejected
        first, *others = verdict.failures
        more = f"; so it is with {len(others)} more of its figures" if others else ""
        super().__init__(f"The {what} does not pass the quality gate: {first}{more}; {remedy}.")


def judge(inspection: MeshInspection, limits: Limits = LIMITS) -> Verdict:
    """Return whether a mesh passes, and what misses its bar, where.

    Parameters
    ----------
    inspection : MeshInspection
        Of `inspect_mesh`; without voxel labels the elements alone are judged.
    limits : Limits

    Examples
    --------
    >>> from twin.meshing.boxes import box_mesh
    >>> from twin.meshing.inspection import inspect_mesh
    >>> import numpy as np
    >>> half = np.eye(4)
    >>> half[:3, 3] = 0.5
    >>> flat = box_mesh((16.0, 16.0, 16.0), (2, 2, 12))
    >>> verdict = judge(inspect_mesh(flat, np.ones((16, 16, 16), int), half))
    >>> verdict.passed, verdict.failures[0].what
    (False, 'smallest dihedral angle')
    """
    failures: list[Failure] = []
    short: list[Failure] = []
    remarks: list[str] = []

    def hold(what: str, spot: Spot, bars: tuple[float, float], unit: str, sign: int) -> None:
        """Hold a value to its bar and its target: above them if the sign is 1, below if -1."""
        for bar, missed in zip(bars, (failures, short), strict=True):
            if not sign * spot.value >= sign * bar:
                missed.append(Failure(what, spot.value, bar, unit, spot.where_mm, spot.label))
                return

    volume = inspection.smallest_volume
    if not volume.value > 0.0:
        failures.append(
            Failure("volume of an element", volume.value, 0.0, "mm3", volume.where_mm, volume.label)
        )
    bars = (limits.smallest_dihedral_deg, limits.wanted_smallest_deg)
    hold("smallest dihedral angle", inspection.smallest_dihedral, bars, "degrees", 1)
    bars = (limits.largest_dihedral_deg, limits.wanted_largest_deg)
    hold("largest dihedral angle", inspection.largest_dihedral, bars, "degrees", -1)
    cut = inspection.cut_off
    if cut is not None:
        part = Spot(100.0 * cut.value, cut.where_mm, cut.label)
        bars = (100.0 * limits.cut_off_part,) * 2
        hold("volume cut off from the rest", part, bars, "% of the mesh", -1)
    for name, figures in inspection.labels.items():
        _judge_label(name, figures, limits, failures, short, remarks)
    return Verdict(tuple(failures), tuple(short), tuple(remarks))


def _judge_label(
    name: str,
    figures: LabelFigures,
    limits: Limits,
    failures: list[Failure],
    short: list[Failure],
    remarks: list[str],
) -> None:
    error = figures.volume_error
    lost = figures.mesh_mm3 == 0.0
    if figures.cells_wide < limits.small_cells:
        what = "is lost" if lost else f"differs by {abs(100 * error):.0f} % in volume"
        remarks.append(
            f"{name} ({figures.voxel_mm3 / 1000.0:.3g} ml) is as small as {figures.cells_wide:.1f} "
            f"cells a side and {what}; it is not judged."
        )
        return
    if figures.thin:
        remarks.append(
            f"{name} is judged as a thin layer: {100 * (1 - figures.thick_part):.0f} % of it is "
            f"less than two cells of {figures.cell_mm:.1f} mm wide."
        )
    bar, wanted = limits.volume_bar(figures), limits.wanted_volume(figures)
    failing = not abs(error) <= bar
    if failing and abs(error) * figures.voxel_mm3 < limits.small_mm3:
        failing = False
    if not failing and abs(error) <= wanted:
        return
    found = Failure(
        _LOST if lost else "difference of volume",
        100.0 * error,
        100.0 * (bar if failing else wanted),
        "% of its volume",
        figures.where_mm,
        name,
    )
    (failures if failing else short).append(found)
