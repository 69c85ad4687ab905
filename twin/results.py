"""The result schema, in one place, and the only reader and writer of result files."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from twin.errors import InvalidInput
from twin.response_entries import RESPONSE

if TYPE_CHECKING:
    import xarray as xr

__all__ = [
    "DENSITY_STEP",
    "DOSE_STEP",
    "RESEARCH_USE_ONLY",
    "RESULT_FORMAT",
    "SCHEMA",
    "Entry",
    "check_results",
    "describe_variables",
    "netcdf_bytes",
    "open_results",
    "rounded_to_step",
]

#: Format of results.nc; raised when a reader of old files would be misled.
RESULT_FORMAT = 1
RESEARCH_USE_ONLY = "Research use only: not for decisions about the care of any patient."

#: Stored densities are multiples of this [1] (half of it is the largest change, 3e-5 of
#: carrying capacity), so that the long tails of the tumour compress.
DENSITY_STEP = 2.0**-14
#: Stored doses are multiples of this [Gy].
DOSE_STEP = 2.0**-9

_CELL_TYPE_ATTRS = {
    "cf_role": "mesh_topology",
    "topology_dimension": 3,
    "node_coordinates": "node_x node_y node_z",
    "volume_node_connectivity": "cells",
    "volume_shape_type": "tetrahedron",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """Dims (of the whole study), unit and meaning of one variable or coordinate."""

    dims: tuple[str, ...]
    units: str
    long_name: str
    field: bool = False


_VOLUME = ("scenario", "case", "threshold", "time")
_BY_THRESHOLD = ("scenario", "case", "threshold")

#: Every name that a result may hold. A single run has neither scenario nor case.
SCHEMA: Mapping[str, Entry] = {
    # coordinates
    "scenario": Entry(("scenario",), "1", "name of the treatment arm"),
    "case": Entry(("case",), "1", "name of the assumption about the unknown parameters"),
    "threshold": Entry(("threshold",), "1", "name of the visibility threshold"),
    "threshold_level": Entry(("threshold",), "1", "visible density at the threshold"),
    "organ": Entry(("organ",), "1", "name of the organ at risk"),
    "organ_stylised": Entry(
        ("organ",), "1", "1 where the organ is a stylised shape, not a segmentation"
    ),
    "organ_alpha_beta": Entry(("organ",), "Gy", "alpha/beta ratio of the organ"),
    "time": Entry(("time",), "day", "days since the reference date; values are just after events"),
    "field_time": Entry(("field_time",), "day", "days since the reference date, of the fields"),
    "node_x": Entry(("node",), "mm", "coordinate towards the right of the patient (RAS x)"),
    "node_y": Entry(("node",), "mm", "coordinate towards the front of the patient (RAS y)"),
    "node_z": Entry(("node",), "mm", "coordinate towards the top of the patient (RAS z)"),
    # mesh, by the UGRID conventions
    "mesh": Entry((), "1", "topology of the tetrahedral mesh (UGRID)"),
    "cells": Entry(("cell", "vertex"), "1", "node numbers of each tetrahedron, from 0"),
    "cell_label": Entry(("cell",), "1", "tissue of each tetrahedron; names in label_names"),
    # curves
    "tumour_volume": Entry(_VOLUME, "mm3", "volume above the threshold, cut exactly in elements"),
    "tumour_volume_soft": Entry(_VOLUME, "mm3", "softened visible volume"),
    "tumour_volume_soft_low": Entry(_VOLUME, "mm3", "lower end of a surrogate's 90 % interval"),
    "tumour_volume_soft_high": Entry(_VOLUME, "mm3", "upper end of a surrogate's 90 % interval"),
    "tumour_burden": Entry(("scenario", "case", "time"), "cells", "viable tumour cells"),
    "tumour_volume_error": Entry(_VOLUME, "mm3", "numerical error of tumour_volume"),
    "tumour_volume_soft_error": Entry(_VOLUME, "mm3", "numerical error of tumour_volume_soft"),
    "tumour_burden_error": Entry(
        ("scenario", "case", "time"), "cells", "numerical error of tumour_burden"
    ),
    "observed_order": Entry(
        ("scenario", "case"),
        "1",
        "order observed over three meshes; errors are numbers where it is 1.5 to 2.5",
    ),
    "tumour_volume_mesh_spread": Entry(
        _VOLUME, "mm3", "greatest distance of tumour_volume on the coarser meshes"
    ),
    "tumour_volume_soft_mesh_spread": Entry(
        _VOLUME, "mm3", "greatest distance of tumour_volume_soft on the coarser meshes"
    ),
    "tumour_burden_mesh_spread": Entry(
        ("scenario", "case", "time"),
        "cells",
        "greatest distance of tumour_burden on the coarser meshes",
    ),
    "tumour_volume_extrapolated": Entry(
        _VOLUME, "mm3", "tumour_volume extrapolated from the two finest meshes"
    ),
    "tumour_volume_soft_extrapolated": Entry(
        _VOLUME, "mm3", "tumour_volume_soft extrapolated from the two finest meshes"
    ),
    # fields
    "axis": Entry(("axis",), "1", "right, anterior, superior"),
    "displacement": Entry(
        ("field_time", "node", "axis"), "mm", "displacement of tissue since day 0", field=True
    ),
    "von_mises": Entry(
        ("field_time", "cell"), "kPa", "von Mises stress by mass effect", field=True
    ),
    "largest_displacement": Entry(
        ("scenario", "case", "time"), "mm", "largest displacement of tissue since day 0"
    ),
    "effector_cells": Entry(("scenario", "case", "time"), "cells", "effector cells of the pool"),
    "tumour_density": Entry(
        ("scenario", "case", "field_time", "node"),
        "1",
        "visible density: viable, dead not yet cleared and necrosis, by carrying capacity",
        field=True,
    ),
    "dose": Entry(("scenario", "node"), "Gy", "total physical dose (geometric)", field=True),
    # tumour control, where the model does not grow
    "tumour_control": Entry(
        ("scenario", "case"), "1", "probability of tumour control of one patient (Poisson)"
    ),
    "tumour_control_population": Entry(
        ("scenario", "case"), "1", "the same averaged over patients whose alpha varies"
    ),
    "tumour_control_draws": Entry(
        ("scenario", "case", "draw"), "1", "tumour_control_population under draws of the unknown"
    ),
    # response
    "nadir_volume_soft": Entry(
        _BY_THRESHOLD,
        "mm3",
        "least softened volume since the first fraction or, without one, the first treatment",
    ),
    "nadir_day": Entry(_BY_THRESHOLD, "day", "day of the nadir"),
    "time_to_progression": Entry(
        _BY_THRESHOLD, "day", "day of progression; infinite where it is not reached"
    ),
    "time_to_progression_error": Entry(
        _BY_THRESHOLD, "day", "numerical error of time_to_progression"
    ),
    "time_to_progression_mesh_spread": Entry(
        _BY_THRESHOLD, "day", "greatest distance of time_to_progression on the coarser meshes"
    ),
    # treatment
    "organ_eqd2_mean": Entry(
        ("scenario", "organ"), "Gy", "mean EQD2, a lower bound where geometric"
    ),
    "organ_eqd2_d003cc": Entry(
        ("scenario", "organ"),
        "Gy",
        "least EQD2 in the hottest 0.03 cubic centimetres, a lower bound where geometric",
    ),
    "organ_ntcp": Entry(
        ("scenario", "organ"),
        "1",
        "probability of a complication of the organ; not a number without a plan's dose or a fit",
    ),
    "organ_eqd2_mean_by_case": Entry(
        ("scenario", "case", "organ"), "Gy", "organ_eqd2_mean with the set-up error of each case"
    ),
    "organ_eqd2_d003cc_by_case": Entry(
        ("scenario", "case", "organ"), "Gy", "organ_eqd2_d003cc with the set-up error of each case"
    ),
    "organ_ntcp_by_case": Entry(
        ("scenario", "case", "organ"), "1", "organ_ntcp with the set-up error of each case"
    ),
    "fraction_day": Entry(
        ("scenario", "fraction"), "day", "time of each fraction; not a number where there is none"
    ),
    "fraction_dose": Entry(
        ("scenario", "fraction"),
        "Gy",
        "prescribed dose of each fraction; not a number where there is none",
    ),
    **{name: Entry(*one) for name, one in RESPONSE.items()},
}


def describe_variables(dataset: xr.Dataset) -> xr.Dataset:
    """`dataset` with `units` and `long_name` on every variable and coordinate of the schema.

    Raises
    ------
    InvalidInput
        A variable that the schema does not know and that has no units of its own.

    Examples
    --------
    >>> import xarray as xr
    >>> d = describe_variables(xr.Dataset({"tumour_burden": ("time", [1.0])}, {"time": [0.0]}))
    >>> d.tumour_burden.units, d.time.units
    ('cells', 'day')
    """
    result = dataset.copy()
    for name in map(str, result.variables):
        attrs = result[name].attrs
        if name in SCHEMA:
            attrs.setdefault("units", SCHEMA[name].units)
            attrs.setdefault("long_name", SCHEMA[name].long_name)
        elif "units" not in attrs or "long_name" not in attrs:
            raise InvalidInput(
                f"The result variable {name!r} is not in the schema and has no units; "
                "add it to twin.results.SCHEMA."
            )
    if "mesh" in result.variables:
        result["mesh"].attrs.update(_CELL_TYPE_ATTRS)
    return result


def check_results(dataset: xr.Dataset) -> None:
    """Raise `InvalidInput` unless `dataset` keeps to the schema (names, dims, units)."""
    for name in map(str, dataset.variables):
        variable = dataset[name]
        if not variable.attrs.get("units") or not variable.attrs.get("long_name"):
            raise InvalidInput(f"The result variable {name!r} has no units or no long_name.")
        if name not in SCHEMA:
            continue
        entry = SCHEMA[name]
        known = [dim for dim in entry.dims if dim in variable.dims]
        if list(variable.dims) != known or set(entry.dims) - set(known) - {"scenario", "case"}:
            raise InvalidInput(
                f"The result variable {name!r} has dims {variable.dims}, "
                f"but the schema has {entry.dims}."
            )
        if variable.attrs["units"] != entry.units:
            raise InvalidInput(
                f"The result variable {name!r} is in {variable.attrs['units']!r}, "
                f"but the schema has {entry.units!r}."
            )


def rounded_to_step(values: NDArray[Any], step: float) -> NDArray[np.float32]:
    """`values` as float32 multiples of `step`, a power of two (so that it is exact).

    >>> rounded_to_step(np.array([1e-9, 0.3, -1e-9]), 0.25).tolist()
    [0.0, 0.25, 0.0]
    """
    scaled = np.asarray(values, np.float32) * np.float32(1.0 / step)
    np.rint(scaled, out=scaled)
    scaled *= np.float32(step)
    return scaled + np.float32(0.0)  # no negative zero


def _stored(dataset: xr.Dataset) -> tuple[xr.Dataset, dict[str, dict[str, Any]]]:
    """The dataset as it is written, and its encoding."""
    result = dataset.copy()
    encoding: dict[str, dict[str, Any]] = {}
    for name in map(str, result.variables):
        variable = result[name]
        step = {"tumour_density": DENSITY_STEP, "dose": DOSE_STEP}.get(name)
        if step is not None and variable.attrs.get("rounded_to_multiples_of") != step:
            attrs = dict(variable.attrs, rounded_to_multiples_of=step)
            result[name] = (variable.dims, rounded_to_step(variable.values, step), attrs)
        if variable.dtype.kind in "fiu" and variable.size > 4096:
            chunks = list(variable.shape)
            chunks[: variable.ndim - 1] = [1] * (variable.ndim - 1)
            if variable.dims[-1] == "axis":
                chunks[-2:] = variable.shape[-2:]
            if name in ("cells", "tumour_volume", "tumour_volume_soft", "tumour_burden"):
                chunks = list(variable.shape)
            encoding[name] = {
                "zlib": True,
                "complevel": 1,
                "shuffle": True,
                "chunksizes": tuple(chunks),
            }
        if variable.dtype.kind == "f":
            encoding.setdefault(name, {})["_FillValue"] = None
    return result, encoding


def netcdf_bytes(dataset: xr.Dataset) -> bytes:
    """`dataset` as the bytes of a netCDF 4 file, checked against the schema.

    Made in memory, so that a disk that fills up is met by the plain write of
    finished bytes and never by HDF5 half-way through a file.
    """
    check_results(dataset)
    stored, encoding = _stored(dataset)
    stored.attrs["format"] = RESULT_FORMAT
    stored.attrs["Conventions"] = "CF-1.8 UGRID-1.0"
    stored.attrs.setdefault("research_use_only", RESEARCH_USE_ONLY)
    buffer = io.BytesIO()
    stored.to_netcdf(buffer, engine="h5netcdf", encoding=encoding)
    return buffer.getvalue()  # not a view: Python 3.13 complains when the buffer goes before it


def open_results(folder: str | Path) -> xr.Dataset:
    """The results in `folder` (or in one netCDF file), opened lazily.

    Parameters
    ----------
    folder : str or Path
        A results folder, as `twin run` leaves it, or a file in it.

    Raises
    ------
    InvalidInput
        Nothing there, not finished, not a result of this project, or of another format.
    """
    import xarray as xr

    path = Path(folder)
    if path.is_dir():
        if not (path / "results.nc").exists():
            if (path / "study.json").exists():
                raise InvalidInput(
                    f"The study in {folder} is not finished; finish it with "
                    f"'twin run STUDY -o {folder} --resume'."
                )
            raise InvalidInput(
                f"There are no results in {folder}; run a study with 'twin run STUDY -o {folder}'."
            )
        path = path / "results.nc"
    if not path.exists():
        raise InvalidInput(f"There are no results at {folder}; run a study with 'twin run' first.")
    try:
        dataset = xr.open_dataset(path, engine="h5netcdf", decode_times=False)
    except (OSError, ValueError, RuntimeError) as error:
        raise InvalidInput(
            f"{path} cannot be read as netCDF ({error}); was it made by 'twin run'?"
        ) from None
    found = dataset.attrs.get("format")
    if found is None or int(found) != RESULT_FORMAT:
        dataset.close()
        raise InvalidInput(
            f"{path} has format {found}, but this version reads format {RESULT_FORMAT}; "
            "run the study again, or use the version that wrote it."
        )
    return dataset
