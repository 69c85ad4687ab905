"""The dose of a treatment plan on a patient's grid, and what it is worth in photons."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field, model_validator

from twin.dose_files import read_dose_grid
from twin.dose_resampling import ResampledDose, resample_dose
from twin.errors import InvalidInput
from twin.image_files import IMAGE_ENDINGS, read_image
from twin.images import Image
from twin.radiotherapy import MAX_FRACTION_GY, MAX_PRESCRIPTION_GY
from twin.toml_file import FileModel, quantity

__all__ = ["VARIABLE_RBE", "PlannedDose", "PlannedDoseTable", "read_planned_dose"]

#: Models of a proton's effectiveness that need the linear energy transfer of each place.
VARIABLE_RBE = ("mcnamara", "wedenberg")
#: A voxel counts as covered by the dose grid from this share on.
_COVERED = 0.99


_CARBON_MODELS = re.compile(r"(?i)lem|mmkm|mkm|mcf|nanox|carbon|local.effect|microdosimetric")
_WHY_NO_CARBON_MODEL = (
    "carbon ions take a constant effectiveness here, since one that varies needs the spectrum of "
    "particles at every place and the tables of the system that planned them, which no dose file "
    'holds: write a number such as rbe = 3.0, or give that system\'s dose with kind = "biological"'
)


def _no_carbon_model(value: object) -> object:
    """Refuse names of carbon's models with the reason; all else goes on to the usual checks."""
    if isinstance(value, str) and _CARBON_MODELS.match(value):
        raise InvalidInput(f'rbe = "{value}" is a model of carbon ions; {_WHY_NO_CARBON_MODEL}.')
    return value


class PlannedDoseTable(FileModel):
    """``[doses.NAME]``: the dose of a treatment plan, as a file."""

    file: str | tuple[str, ...] = Field(
        description="RTDOSE, NIfTI or NRRD; several are the beams of one plan and are added"
    )
    prescribed: quantity("Gy", example="60 Gy", at_most=MAX_PRESCRIPTION_GY) = Field(  # type: ignore[valid-type]
        description="prescription that the files belong to; another one scales them"
    )
    per: Literal["course", "fraction"] = Field(
        default="course", description="whether the files hold all fractions or one"
    )
    fractions: Annotated[int, Field(ge=1, le=100)] | None = Field(
        default=None, description="number of fractions that the plan was made for"
    )
    kind: Literal["physical", "biological"] = Field(
        default="physical",
        description="biological: an effectiveness is in it already, as in carbon plans' [Gy (RBE)]",
    )
    rbe: Annotated[float | Literal["mcnamara", "wedenberg"], BeforeValidator(_no_carbon_model)] = (
        Field(
            default=1.0,
            description="effectiveness of a physical dose: protons 1.1, or a model by LET; carbon "
            "ions a constant such as 3",
        )
    )
    particle: Literal["photons", "protons", "carbon"] | None = Field(
        default=None, description="that the plan is of; what does not fit to it is refused"
    )
    let: str | None = Field(
        default=None, description="dose-averaged LET in keV/um, for a model by LET"
    )
    unit: Literal["Gy", "cGy"] = Field(default="Gy", description="of NIfTI and NRRD files")

    @property
    def files(self) -> tuple[str, ...]:
        """The files, one or several."""
        return (self.file,) if isinstance(self.file, str) else self.file

    @model_validator(mode="after")
    def _fits(self) -> PlannedDoseTable:
        if not self.files:
            raise InvalidInput("file is an empty list; name the files of the plan.")
        if self.per == "fraction" and self.fractions is None:
            raise InvalidInput(
                'per = "fraction" needs fractions, the number the plan was made for.'
            )
        if self.kind == "biological" and self.rbe != 1.0:
            raise InvalidInput(
                f"the dose is biological, so its effectiveness ({self.rbe}) is in it already; "
                'rbe out, or write kind = "physical".'
            )
        if isinstance(self.rbe, float) and not 0.5 <= self.rbe <= 6.0:
            raise InvalidInput(f"rbe is {self.rbe:g}; it must lie between 0.5 and 6.")
        self._check_particle()
        if (self.rbe in VARIABLE_RBE) != (self.let is not None):
            raise InvalidInput(
                f"{' and '.join(VARIABLE_RBE)} need let, the file of the linear energy transfer, "
                "and nothing else takes it."
            )
        return self

    def _check_particle(self) -> None:
        if self.particle == "photons" and self.rbe != 1.0:
            raise InvalidInput(
                f"photons have an effectiveness of 1, not {self.rbe}; leave rbe out."
            )
        if self.particle != "carbon":
            return
        if self.rbe in VARIABLE_RBE:
            raise InvalidInput(f'rbe = "{self.rbe}" is a model of protons; {_WHY_NO_CARBON_MODEL}.')
        if self.kind == "physical" and self.rbe == 1.0:
            raise InvalidInput(
                "a physical dose of carbon ions needs rbe, a constant effectiveness such as 3; or "
                'give the biological dose with kind = "biological".'
            )


@dataclass(frozen=True, slots=True, eq=False)
class PlannedDose:
    """A plan's dose relative to its prescription.

    Parameters
    ----------
    relative : ndarray of float32, [1], shape of the twin's grid
        Dose by the prescription, with a constant effectiveness in it; 0 beyond the dose's grid.
    covered : ndarray of bool, shape of the twin's grid
        Voxels that the dose's own grid covers.
    kind : {"physical", "biological"}
        Of the prescription.
    rbe : float or {"mcnamara", "wedenberg"}
        Constant effectiveness, of carbon ions too, or a model of protons by `let_kev_um`, which
        is not in `relative`.
    let_kev_um : ndarray of float32 or None, [keV/um], shape of the twin's grid
    fractions : int or None
        That the plan was made for.
    """

    relative: NDArray[np.float32]
    covered: NDArray[np.bool_]
    kind: Literal["physical", "biological"] = "physical"
    rbe: float | str = 1.0
    let_kev_um: NDArray[np.float32] | None = None
    fractions: int | None = None

    def __post_init__(self) -> None:
        if self.relative.shape != self.covered.shape:
            raise InvalidInput("A planned dose and what it covers have different shapes.")
        if not (np.isfinite(self.relative).all() and self.relative.min() >= 0.0):
            raise InvalidInput("A planned dose is negative or not finite.")
        for array in (self.relative, self.covered, self.let_kev_um):
            if array is not None:
                array.setflags(write=False)

    @property
    def variable(self) -> str | None:
        """The model of effectiveness by LET, None where it is constant."""
        return self.rbe if isinstance(self.rbe, str) else None

    def digest(self) -> bytes:
        """SHA-256 of all that a run depends on."""
        found = hashlib.sha256(f"{self.kind} {self.rbe}".encode())
        for array in (self.relative, np.packbits(self.covered), self.let_kev_um):
            found.update(b"-" if array is None else array.tobytes())
        return found.digest()

    def arrays(self, name: str) -> dict[str, NDArray[Any]]:
        """What a file keeps of it, by names that begin with `name`."""
        kept: dict[str, NDArray[Any]] = {
            f"{name}_relative": self.relative,
            f"{name}_covered": np.packbits(self.covered),
        }
        if self.let_kev_um is not None:
            kept[f"{name}_let"] = self.let_kev_um
        return kept

    def record(self) -> dict[str, Any]:
        """The rest of it as plain values, for JSON."""
        return {"kind": self.kind, "rbe": self.rbe, "fractions": self.fractions}

    @classmethod
    def of(
        cls, name: str, arrays: Mapping[str, NDArray[Any]], record: Mapping[str, Any]
    ) -> PlannedDose:
        """The dose that `arrays` and `record` kept."""
        relative = np.asarray(arrays[f"{name}_relative"], np.float32)
        covered = np.unpackbits(arrays[f"{name}_covered"], count=relative.size)
        let = np.asarray(arrays[f"{name}_let"], np.float32) if f"{name}_let" in arrays else None
        return cls(relative, covered.reshape(relative.shape).astype(bool), let_kev_um=let, **record)


def read_planned_dose(
    table: PlannedDoseTable,
    folder: Path,
    shape: tuple[int, int, int],
    affine: NDArray[np.float64],
    *,
    where: str,
) -> PlannedDose:
    """The dose of a plan on a grid: means where voxels grow, so that the integral is kept.

    Parameters
    ----------
    table : PlannedDoseTable
    folder : path
        That the files' names begin at.
    shape, affine
        Of the twin's grid.
    where : str
        Begins what errors say.

    Raises
    ------
    InvalidInput
        A file that cannot be read or is of another kind than stated; doses that look like cGy.
    """
    grid = Image(np.broadcast_to(np.False_, shape), affine)
    beams = [_beam(folder / name, table, grid, where) for name in table.files]
    total = np.sum([beam.image.data for beam in beams], axis=0, dtype=np.float32)
    covered = np.min([beam.covered for beam in beams], axis=0) >= _COVERED
    times = 1.0 if table.per == "course" else float(table.fractions or 1)
    worth = table.rbe if isinstance(table.rbe, float) else 1.0
    relative = total * np.float32(times * worth / table.prescribed)
    let = None
    if table.let is not None:
        image = read_image(folder / table.let, what=f"{where}: LET")
        let = np.maximum(resample_dose(image, grid).image.data, 0.0).astype(np.float32)
    return PlannedDose(relative, covered, table.kind, table.rbe, let, table.fractions)


def _beam(path: Path, table: PlannedDoseTable, grid: Image, where: str) -> ResampledDose:
    try:
        plain = path.name.lower().endswith(IMAGE_ENDINGS)
        found = read_dose_grid(path, unit=table.unit if plain else None, confirm_high=plain)
    except InvalidInput as error:
        raise InvalidInput(f"{where}: {error}") from None
    if found.kind is not None:
        stated = "biological" if found.kind == "effective" else "physical"
        if stated != table.kind:
            raise InvalidInput(
                f"{where}: {path.name} says that its dose is {found.kind}, but the patient file "
                f'has kind = "{table.kind}"; write kind = "{stated}".'
            )
    limit = MAX_FRACTION_GY if table.per == "fraction" else MAX_PRESCRIPTION_GY
    highest = float(found.image.data.max())
    if not highest <= limit:
        raise InvalidInput(
            f"{where}: the dose of {path.name} reaches {highest:.4g} Gy per {table.per}, "
            f'above {limit:g} Gy; if it is in cGy, write unit = "cGy".'
        )
    return resample_dose(found.image, grid)
