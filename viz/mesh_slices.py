"""Plane sections through a mesh: its elements and interfaces over the image they were made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from twin.mesh import Mesh
from twin.meshing.geometry import FACES, cell_neighbours
from viz.plane_sampling import ORIENTATIONS, Plane, sample_voxels
from viz.slice_marks import bare_axes, draw_scale_bar, side_letters

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["MeshSlices", "label_colours", "plane_section"]

#: Colours of the tissues and the tumour; other labels take those of `_OTHERS` in turn.
_KNOWN = {
    "fluid": "#56B4E9",
    "grey_matter": "#CC79A7",
    "white_matter": "#009E73",
    "enhancing": "#D55E00",
    "necrosis": "#F0E442",
}
_OTHERS = (
    "#E69F00", "#8DD3C7", "#4E9BFF", "#D55E00", "#CC79A7", "#F0E442", "#56B4E9", "#B2DF8A",
    "#CAB2D6", "#FB9A99", "#A6761D", "#66C2A5",
)  # fmt: skip
_RASTER_MM = 0.7
#: Planes are moved this far off the nodes that they would otherwise run through, [mm].
_OFF_NODES_MM = 1e-4


def label_colours(names: Sequence[str]) -> dict[str, str]:
    """Colour of each label.

    >>> label_colours(["necrosis", "liver"])
    {'necrosis': '#F0E442', 'liver': '#E69F00'}
    """
    others = [name for name in names if name not in _KNOWN]
    return {name: _KNOWN.get(name) or _OTHERS[others.index(name) % len(_OTHERS)] for name in names}


def plane_section(
    points: NDArray[np.float64], cells: NDArray[np.integer[Any]], axis: int, position: float
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Sections of tetrahedra by a plane across an axis: quadrilaterals, and their cells.

    Parameters
    ----------
    points : ndarray, [mm], shape (node, 3)
    cells : ndarray, shape (cell, 4)
    axis : int
        0 right, 1 anterior, 2 superior.
    position : float, [mm]

    Returns
    -------
    corners : ndarray, [mm], shape (section, 4, 3)
        In order around the section; a triangle has its last corner twice.
    cell : ndarray, shape (section,)

    Examples
    --------
    >>> corner = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
    >>> corners, cell = plane_section(corner, np.array([[0, 1, 2, 3]]), 2, 0.5)
    >>> corners[0].tolist(), cell.tolist()
    ([[0.0, 0.0, 0.5], [0.5, 0.0, 0.5], [0.0, 0.5, 0.5], [0.0, 0.5, 0.5]], [0])
    """
    above = points[:, axis] > position
    count = above[cells].sum(axis=1)
    found, owners = [], []
    for size in (1, 2, 3):
        cell = np.flatnonzero(count == size)
        if len(cell) == 0:
            continue
        up = above[cells[cell]]
        order = np.argsort(~up if size < 3 else up, axis=1, kind="stable")
        nodes = np.take_along_axis(cells[cell], order, axis=1)
        # One corner alone: its three edges. Two and two: the four edges between them, in turn.
        pairs = ((0, 2), (0, 3), (1, 3), (1, 2)) if size == 2 else ((0, 1), (0, 2), (0, 3), (0, 3))
        cut = [_crossing(points, nodes[:, a], nodes[:, b], axis, position) for a, b in pairs]
        found.append(np.stack(cut, axis=1))
        owners.append(cell)
    if not found:
        return np.zeros((0, 4, 3)), np.zeros(0, np.int64)
    return np.concatenate(found), np.concatenate(owners)


def _crossing(
    points: NDArray[np.float64],
    a: NDArray[np.integer[Any]],
    b: NDArray[np.integer[Any]],
    axis: int,
    position: float,
) -> NDArray[np.float64]:
    """Where the edges from `a` to `b` meet the plane, [mm], shape (edge, 3)."""
    start, end = points[a], points[b]
    part = (position - start[:, axis]) / (end[:, axis] - start[:, axis])
    met: NDArray[np.float64] = start + part[:, None] * (end - start)
    met[:, axis] = position
    return met


@dataclass(frozen=True)
class MeshSlices:
    """Three planes through a mesh, drawn over the image or over the voxels' labels.

    Parameters
    ----------
    mesh : Mesh
    labels : ndarray of int, shape (i, j, k)
        The voxels' labels, numbered as the mesh's.
    affine : ndarray, [mm], shape (4, 4)
    image : ndarray or None, shape (i, j, k)
        Shown in grey beneath; the labels without it.
    centre : ndarray, [mm], shape (3,)
        RAS position that the planes go through.
    """

    mesh: Mesh
    labels: NDArray[Any]
    affine: NDArray[np.float64]
    image: NDArray[Any] | None
    centre: NDArray[np.float64]
    colours: Mapping[str, str] = field(init=False)

    def __post_init__(self) -> None:
        names = [str(name) for name in self.mesh.label_names.values()]
        object.__setattr__(self, "colours", label_colours(names))

    @cached_property
    def interfaces(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Nodes of the faces between two labels or at the outside, and the greater label."""
        cells, label = self.mesh.cells, self.mesh.cell_label
        neighbour = cell_neighbours(cells, len(self.mesh.points))
        other = np.where(neighbour >= 0, label[neighbour], 0)
        # Each face is taken from its cell of the greater label.
        cell, face = np.nonzero(other < label[:, None])
        return cells[cell[:, None], FACES[face]].astype(np.int64), label[cell].astype(np.int64)

    def draw(
        self, ax: Axes, orientation: str, *, zoom_mm: float | None = None, voxels: bool = False
    ) -> Axes:
        """One plane drawn into `ax`, which is returned.

        Parameters
        ----------
        ax : matplotlib.axes.Axes
        orientation : {"axial", "coronal", "sagittal"}
        zoom_mm : float or None, [mm]
            Half width of the square about the centre that is shown; all if None.
        voxels : bool
            Draw the steps of the voxels' labels as well.
        """
        first, second, normal = ORIENTATIONS[orientation]
        position = float(self.centre[normal]) + _OFF_NODES_MM
        plane = self._plane(orientation, position, zoom_mm)
        extent = (plane.across[0], plane.across[-1], plane.up[0], plane.up[-1])
        ax.imshow(
            self._ground(plane), extent=extent, origin="lower", cmap="gray", vmin=0.0, vmax=1.0
        )
        self._draw_mesh(ax, normal, position, (first, second), fine=zoom_mm is not None)
        if voxels:
            self._draw_voxels(ax, plane)
        bare_axes(ax)
        # R on the left of axial and coronal views, A on the left of the sagittal one.
        ax.set_xlim(plane.across[-1], plane.across[0])
        ax.set_ylim(plane.up[0], plane.up[-1])
        side_letters(ax, orientation)
        draw_scale_bar(ax, 20.0 if zoom_mm is None else 10.0)
        return ax

    def _plane(self, orientation: str, position: float, zoom_mm: float | None) -> Plane:
        low, high = self.mesh.points.min(axis=0) - 5.0, self.mesh.points.max(axis=0) + 5.0
        if zoom_mm is not None:
            low, high = self.centre - zoom_mm, self.centre + zoom_mm
        step = _RASTER_MM if zoom_mm is None else zoom_mm / 150.0
        first, second, _ = ORIENTATIONS[orientation]
        axes = [np.arange(low[axis], high[axis] + step / 2, step) for axis in (first, second)]
        return Plane(orientation, position, *axes)

    def _ground(self, plane: Plane) -> NDArray[np.float64]:
        """The image from 0 to 1, or greys of the labels."""
        if self.image is not None:
            values = sample_voxels(self.image, self.affine, plane.points).reshape(plane.shape)
            inside = np.asarray(self.image)[np.asarray(self.labels) > 0].astype(float)
            low, high = np.percentile(inside[:: max(1, inside.size // 100_000)], [1.0, 98.0])
            return np.clip((values - low) / max(high - low, 1e-12), 0.0, 1.0) * 0.75
        found = sample_voxels(self.labels, self.affine, plane.points, linear=False)
        return np.where(found > 0, 0.25, 0.0).reshape(plane.shape)

    def _draw_mesh(
        self, ax: Axes, normal: int, position: float, axes: tuple[int, int], *, fine: bool
    ) -> None:
        from matplotlib.collections import LineCollection, PolyCollection
        from matplotlib.colors import to_rgba

        mesh = self.mesh
        corners, cell = plane_section(mesh.points, mesh.cells, normal, position)
        table = np.zeros((max(mesh.label_names) + 1, 4))
        for number, name in mesh.label_names.items():
            table[number] = to_rgba(self.colours[name])
        edges = table[mesh.cell_label[cell]]
        faces = edges.copy()
        edges[:, 3], faces[:, 3] = (0.8, 0.14) if fine else (0.5, 0.14)
        sections: Any = corners[:, :, axes]  # matplotlib takes an array as well as lists
        ax.add_collection(
            PolyCollection(
                sections,
                facecolors=faces,
                edgecolors=edges,
                linewidths=0.5 if fine else 0.25,
            )
        )
        segments, numbers = self._interface_section(normal, position)
        lines: Any = segments[:, :, axes]
        ax.add_collection(
            LineCollection(
                lines,
                colors=table[numbers],
                linewidths=1.8 if fine else 0.7,
            )
        )

    def _interface_section(
        self, normal: int, position: float
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Where the interfaces meet a plane, [mm], shape (segment, 2, 3), and their labels."""
        faces, label = self.interfaces
        points = self.mesh.points
        above = points[:, normal] > position
        count = above[faces].sum(axis=1)
        cut = (count == 1) | (count == 2)
        faces, label, count = faces[cut], label[cut], count[cut]
        up = above[faces]
        lone = np.where((count == 1)[:, None], up, ~up).argmax(axis=1)
        row = np.arange(len(faces))
        ends = [
            _crossing(points, faces[row, lone], faces[row, (lone + k) % 3], normal, position)
            for k in (1, 2)
        ]
        return np.stack(ends, axis=1), label

    def _draw_voxels(self, ax: Axes, plane: Plane) -> None:
        """The steps between voxels of different labels, as dotted lines."""
        found = sample_voxels(self.labels, self.affine, plane.points, linear=False)
        for number in np.unique(found[found > 0]):
            ax.contour(
                plane.across,
                plane.up,
                (found == number).reshape(plane.shape).astype(float),
                levels=[0.5],
                colors="white",
                linewidths=0.7,
                linestyles="dotted",
            )
