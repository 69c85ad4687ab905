"""Temperatures of hyperthermia on a patient's grid, from a map or the same in a structure."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from twin.dose_resampling import mean_on_grid
from twin.errors import InvalidInput
from twin.hyperthermia import BODY_CELSIUS, Hyperthermia, check_temperature
from twin.image_files import read_image
from twin.images import Image
from twin.targets import structure_mask
from twin.toml_file import FileModel

if TYPE_CHECKING:
    from twin.patient import Twin

__all__ = ["TemperatureMap", "TemperatureTable", "read_temperature_map", "temperature_on_grid"]

#: A voxel counts as covered by the map's grid from this share on.
_COVERED = 0.99


class TemperatureTable(FileModel):
    """``[temperatures.NAME]``: temperatures of a session of hyperthermia, as a file."""

    file: str = Field(description="NIfTI or NRRD in degC on any grid, 37 where nothing is heated")


@dataclass(frozen=True, slots=True, eq=False)
class TemperatureMap:
    """Temperatures in a session of hyperthermia.

    Parameters
    ----------
    celsius : ndarray of float32, [degC], shape of the twin's grid
        37 where the map's own grid does not reach.
    covered : ndarray of bool, shape of the twin's grid
        Voxels that the map's own grid covers.
    """

    celsius: NDArray[np.float32]
    covered: NDArray[np.bool_]

    def __post_init__(self) -> None:
        if self.celsius.shape != self.covered.shape:
            raise InvalidInput("A temperature map and what it covers have different shapes.")
        check_temperature("A temperature map", float(self.celsius.min()), float(self.celsius.max()))
        for array in (self.celsius, self.covered):
            array.setflags(write=False)

    def digest(self) -> bytes:
        """SHA-256 of all that a run depends on."""
        return hashlib.sha256(self.celsius.tobytes() + np.packbits(self.covered).tobytes()).digest()


def read_temperature_map(
    table: TemperatureTable,
    folder: Path,
    shape: tuple[int, int, int],
    affine: NDArray[np.float64],
    *,
    where: str,
) -> TemperatureMap:
    """A temperature map on a grid: linear between its voxels, the mean where voxels grow.

    Parameters
    ----------
    table : TemperatureTable
    folder : path
        That the file's name begins at.
    shape, affine
        Of the twin's grid.
    where : str
        Begins what errors say.

    Raises
    ------
    InvalidInput
        A file that cannot be read, values that are no numbers, temperatures below 37 or above
        47 degC, a map beside the patient.
    """
    try:
        image = read_image(folder / table.file, what="temperature map")
        values = np.asarray(image.data, np.float32)
        low, high = float(values.min()), float(values.max())
        check_temperature(f"The temperature map {table.file}", low, high)
    except InvalidInput as error:
        raise InvalidInput(f"{where}: {error}") from None
    grid = Image(np.broadcast_to(np.False_, shape), affine)
    heating = Image(values - np.float32(BODY_CELSIUS), image.affine)
    found, covered = mean_on_grid(heating, grid)
    if not covered.any():
        raise InvalidInput(
            f"{where}: the temperature map {table.file} and the images do not overlap; check that "
            "they belong together."
        )
    celsius = np.clip(found, 0.0, high - BODY_CELSIUS) + np.float32(BODY_CELSIUS)
    return TemperatureMap(celsius.astype(np.float32), covered >= _COVERED)


def temperature_on_grid(twin: Twin, course: Hyperthermia) -> NDArray[np.float32]:
    """Temperature in the sessions of a course, [degC], shape of the twin's grid.

    Raises
    ------
    InvalidInput
        A structure or a map that the twin does not have, or a map that leaves out a part of the
        heated structure.
    """
    heated = structure_mask(twin, course.structure)
    if not heated.any():
        raise InvalidInput(
            f"The heated structure {course.structure!r} is empty; name one with voxels in it."
        )
    if course.temperature_map is None:
        assert course.temperature_c is not None  # noqa: S101 - checked when it was made
        return np.where(heated, course.temperature_c, BODY_CELSIUS).astype(np.float32)
    name = course.temperature_map
    if name not in twin.temperatures:
        known = ", ".join(sorted(twin.temperatures)) or "none"
        raise InvalidInput(
            f"The patient has no temperature map {name!r}; it has {known}: add "
            f"[temperatures.{name}] to patient.toml."
        )
    found = twin.temperatures[name]
    share = float(found.covered[heated].mean())
    if share < 1.0:
        raise InvalidInput(
            f"The temperature map {name!r} covers {100 * share:.1f} % of the heated structure "
            f"{course.structure!r}; export a grid that covers all of it."
        )
    return found.celsius
