"""Results as files that ParaView opens: XDMF beside results.nc, or .vtu with a .pvd."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape, quoteattr

import numpy as np

from twin.errors import InvalidInput
from twin.storage import StorageFailed, write_atomically
from viz.pictures import file_name

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["check_interval", "export_vtu", "export_xdmf"]

FOLDER = "paraview"


def export_xdmf(results: xr.Dataset, folder: str | Path) -> list[Path]:
    """Write one ``.xdmf`` a scenario into ``folder/paraview``; the files' paths.

    The files hold no numbers: they point into ``folder/results.nc``, which is an
    HDF5 file, so they take no space and no time. ParaView opens them as a time series.

    Parameters
    ----------
    results : xarray.Dataset
        What ``folder/results.nc`` holds.
    folder : path
        The results folder.
    """
    target = _made(Path(folder) / FOLDER)
    written = []
    for number, scenario in enumerate(map(str, results["scenario"].values)):
        path = target / f"{file_name(number + 1, scenario)}.xdmf"
        _write_text(path, _xdmf(results, number, scenario))
        written.append(path)
    return written


def _xdmf(results: xr.Dataset, number: int, scenario: str) -> str:
    nodes, cells = results.sizes["node"], results.sizes["cell"]
    scenarios, times = results.sizes["scenario"], results.sizes["field_time"]
    precision = results["node_x"].dtype.itemsize
    axes = "".join(_hdf(f"node_{axis}", f"{nodes}", "Float", precision) for axis in "xyz")
    shared = (
        f'<Topology TopologyType="Tetrahedron" NumberOfElements="{cells}">'
        f"{_hdf('cells', f'{cells} 4', 'Int', 4)}</Topology>\n"
        f'<Geometry GeometryType="X_Y_Z">{axes}</Geometry>\n'
        f'<Attribute Name="cell_label" AttributeType="Scalar" Center="Cell">'
        f"{_hdf('cell_label', f'{cells}', 'Int', 2)}</Attribute>\n"
    )
    if "dose" in results:
        shared += _slab("dose", f"{number} 0", "1 1", f"1 {nodes}", f"{scenarios} {nodes}", nodes)
    grids = []
    for k, day in enumerate(results["field_time"].values.tolist()):
        density = _slab(
            "tumour_density",
            f"{number} {k} 0",
            "1 1 1",
            f"1 1 {nodes}",
            f"{scenarios} {times} {nodes}",
            nodes,
        )
        grids.append(
            f'<Grid Name="day {day:g}" GridType="Uniform">\n<Time Value="{day:g}"/>\n'
            f"{shared}{density}</Grid>\n"
        )
    return (
        '<?xml version="1.0"?>\n<Xdmf Version="3.0">\n<Domain>\n'
        f'<Grid Name={quoteattr(scenario)} GridType="Collection" CollectionType="Temporal">\n'
        f"{''.join(grids)}</Grid>\n</Domain>\n</Xdmf>\n"
    )


def _hdf(name: str, dimensions: str, kind: str, precision: int) -> str:
    return (
        f'<DataItem Dimensions="{dimensions}" NumberType="{kind}" Precision="{precision}" '
        f'Format="HDF">../results.nc:/{escape(name)}</DataItem>'
    )


def _slab(name: str, start: str, stride: str, count: str, whole: str, nodes: int) -> str:
    rank = len(start.split())
    return (
        f'<Attribute Name="{name}" AttributeType="Scalar" Center="Node">'
        f'<DataItem ItemType="HyperSlab" Dimensions="{nodes}">'
        f'<DataItem Dimensions="3 {rank}" Format="XML">{start} {stride} {count}</DataItem>'
        f"{_hdf(name, whole, 'Float', 4)}</DataItem></Attribute>\n"
    )


def check_interval(every: float) -> None:
    """Raise `InvalidInput` unless `every` [day] is an interval for .vtu files."""
    if not (every > 0.0 and math.isfinite(every)):
        raise InvalidInput(f"The interval of .vtu files is {every:g} day; give one above 0.")


def export_vtu(
    results: xr.Dataset, folder: str | Path, scenario: str, *, every: float = 28.0
) -> Path:
    """Write ``.vtu`` files of one scenario and the ``.pvd`` that is their time series; its path.

    Each file holds mesh, labels, dose and density, so that it can be passed on alone.

    Parameters
    ----------
    results : xarray.Dataset
    folder : path
        The files go to ``folder/paraview``.
    scenario : str
    every : float, [day]
        The stored densities nearest to multiples of it are written.
    """
    from viz.offscreen import quiet_pyvista

    check_interval(every)
    names = [str(name) for name in results["scenario"].values]
    if scenario not in names:
        raise InvalidInput(
            f"There is no scenario {scenario!r} in the results; there are {', '.join(names)}."
        )
    number = names.index(scenario)
    pyvista = quiet_pyvista()
    grid = _grid(pyvista, results, number)
    stem = file_name(number + 1, scenario)
    target = _made(Path(folder) / FOLDER)
    days = results["field_time"].values
    wanted = np.arange(0.0, days[-1] + 0.5 * every, every)
    chosen = sorted({int(np.abs(days - day).argmin()) for day in wanted})
    entries = []
    for k in chosen:
        density = results["tumour_density"].isel(scenario=number, field_time=k).values
        grid.point_data["tumour_density"] = density
        name = f"{stem}_{days[k]:05g}.vtu"
        write_atomically(target / name, lambda part: grid.save(str(part)))
        entries.append(f'<DataSet timestep="{days[k]:g}" part="0" file="{name}"/>\n')
    text = (
        '<?xml version="1.0"?>\n<VTKFile type="Collection" version="0.1" '
        f'byte_order="LittleEndian">\n<Collection>\n{"".join(entries)}</Collection>\n</VTKFile>\n'
    )
    path = target / f"{stem}.pvd"
    _write_text(path, text)
    return path


def _write_text(path: Path, text: str) -> None:
    write_atomically(path, lambda part: part.write_text(text, encoding="utf-8"))


def _grid(pyvista: Any, results: xr.Dataset, number: int) -> Any:
    points = np.stack([results[f"node_{axis}"].values for axis in "xyz"], axis=1)
    cells = results["cells"].values.astype(np.int64)
    grid = pyvista.UnstructuredGrid({pyvista.CellType.TETRA: cells}, points)
    grid.cell_data["cell_label"] = results["cell_label"].values
    if "dose" in results:
        grid.point_data["dose"] = results["dose"].isel(scenario=number).values
    return grid


def _made(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageFailed(
            f"The folder {folder} cannot be made: {error.strerror}; choose another one."
        ) from error
    return folder
