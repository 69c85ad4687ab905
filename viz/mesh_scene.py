"""A mesh in three dimensions: cut open with its elements, and the smooth surfaces of its labels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from twin.mesh import Mesh
from viz.label_surfaces import LabelSurface, label_surface
from viz.mesh_slices import label_colours
from viz.offscreen import quiet_pyvista
from viz.palette import BRAIN, INK, PAPER

__all__ = ["draw_mesh_scene"]

#: A label whose box fills more than this part of the mesh's is drawn as glass.
_WIDE_PART = 0.35
_TETRAHEDRON = 10


def draw_mesh_scene(
    mesh: Mesh, centre: NDArray[np.float64], *, size: tuple[int, int] = (1500, 720)
) -> tuple[NDArray[np.uint8], dict[str, LabelSurface]]:
    """A picture of the mesh cut open at `centre` and of its labels' surfaces, and those surfaces.

    Parameters
    ----------
    mesh : Mesh
    centre : ndarray, [mm], shape (3,)
        The axial plane through it cuts the mesh open.
    size : tuple of int, [pixel]

    Returns
    -------
    picture : ndarray of uint8, shape (row, column, 3)
    surfaces : dict of str to LabelSurface
        Those that were drawn.
    """
    pyvista = quiet_pyvista()
    plotter = pyvista.Plotter(
        off_screen=True, window_size=list(size), shape=(1, 2), border=False, lighting="light kit"
    )
    try:
        plotter.set_background(PAPER, all_renderers=True)
        middle = 0.5 * (mesh.points.min(axis=0) + mesh.points.max(axis=0))
        side = 1.0 if centre[0] >= middle[0] else -1.0
        plotter.subplot(0, 0)
        _add_cut(plotter, mesh, centre)
        _look(plotter, mesh, np.array([0.35 * side, 0.75, 1.0]))
        plotter.add_text("cut open", position="upper_left", font_size=10, color=INK)
        plotter.subplot(0, 1)
        surfaces = _add_surfaces(plotter, mesh)
        _look(plotter, mesh, np.array([side, 0.5, 0.45]))
        plotter.add_text("smooth surfaces", position="upper_left", font_size=10, color=INK)
        picture = np.asarray(plotter.screenshot(return_img=True))[..., :3]
    finally:
        plotter.close()
    return picture, surfaces


def _look(plotter: Any, mesh: Mesh, direction: NDArray[np.float64]) -> None:
    """Look from a direction so that all that is drawn fills the picture."""
    middle = 0.5 * (mesh.points.min(axis=0) + mesh.points.max(axis=0))
    away = direction / np.linalg.norm(direction)
    plotter.camera_position = [tuple(middle + 1000.0 * away), tuple(middle), (0, 0, 1)]
    plotter.reset_camera()
    plotter.camera.zoom(1.18)
    plotter.reset_camera_clipping_range()


def _add_cut(plotter: Any, mesh: Mesh, centre: NDArray[np.float64]) -> None:
    """The elements below the axial plane; only those at the cut or at the outside are drawn."""
    pyvista = quiet_pyvista()
    below = mesh.points[mesh.cells][:, :, 2].min(axis=1) <= centre[2]
    used, local = np.unique(mesh.cells[below], return_inverse=True)
    grid = pyvista.UnstructuredGrid({_TETRAHEDRON: local.reshape(-1, 4)}, mesh.points[used])
    grid.cell_data["label"] = mesh.cell_label[below]
    surface = grid.extract_surface(
        pass_pointid=False, pass_cellid=False, algorithm="dataset_surface"
    )
    colours = label_colours(list(mesh.label_names.values()))
    palette = {number: _bytes_of(colours[name]) for number, name in mesh.label_names.items()}
    surface.cell_data["colour"] = np.array(
        [palette[int(number)] for number in surface.cell_data["label"]], np.uint8
    )
    plotter.add_mesh(
        surface,
        scalars="colour",
        rgb=True,
        show_edges=True,
        edge_color="#3A4550",
        line_width=0.4,
        ambient=0.25,
        specular=0.0,
        render=False,
    )


def _bytes_of(colour: str) -> tuple[int, int, int]:
    """Red, green and blue of ``#RRGGBB``, 0 to 255.

    >>> _bytes_of("#FF8000")
    (255, 128, 0)
    """
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def _add_surfaces(plotter: Any, mesh: Mesh) -> dict[str, LabelSurface]:
    """The labels one by one; those that reach across the mesh all together, as glass."""
    colours = label_colours(list(mesh.label_names.values()))
    present = set(np.unique(mesh.cell_label).tolist())
    names = [name for number, name in mesh.label_names.items() if number in present]
    boxes = {}
    for name in names:
        nodes = mesh.points[np.unique(mesh.cells[mesh.cells_labelled(name)])]
        boxes[name] = (nodes.min(axis=0), nodes.max(axis=0))
    whole = float(np.prod(np.ptp(mesh.points, axis=0)))
    wide = [
        name
        for name, (low, high) in boxes.items()
        if len(names) > 1 and np.prod(high - low) > _WIDE_PART * whole
    ]
    surfaces: dict[str, LabelSurface] = {}
    for name in (name for name in names if name not in wide):
        surfaces[name] = label_surface(mesh, name)
        around = any(
            (boxes[name][0] <= boxes[other][0]).all() and (boxes[other][1] <= boxes[name][1]).all()
            for other in names
            if other != name and other not in wide
        )
        plotter.add_mesh(
            surfaces[name].surface,
            color=colours[name],
            opacity=0.45 if around else 1.0,
            smooth_shading=True,
            specular=0.2,
            specular_power=15,
            render=False,
        )
    if wide:
        outer = label_surface(mesh, *names)
        surfaces["all labels"] = outer
        plotter.add_mesh(
            outer.surface,
            color=BRAIN,
            opacity=0.22 if surfaces.keys() != {"all labels"} else 1.0,
            smooth_shading=True,
            culling="back",
            render=False,
        )
    return surfaces
