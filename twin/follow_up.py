"""Scans after day 0: the tables of ``patient.toml`` that name them, and the tumour on each."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, Discriminator, Field, Tag
from scipy import ndimage

from twin.errors import GeometryMismatch, InvalidInput
from twin.image_files import read_labels
from twin.images import Image
from twin.patient_tables import (
    SegmentedTable,
    TumourLabels,
    text_or_table,
    tumour_convention,
    tumour_numbers,
)
from twin.toml_file import Date, FileModel, quantity

if TYPE_CHECKING:
    from twin.grid import Grid
    from twin.patient_file import PatientFile

__all__ = ["CalibrationTable", "FollowUp", "FollowUpTable", "mask_on_grid", "read_follow_ups"]

#: Share of a segmented tumour that may lie outside the reference scan's head.
OUTSIDE_ALLOWED = 0.05

Labels = Annotated[
    Annotated[TumourLabels, Tag("function-table")] | Annotated[str, Tag("function-text")],
    Discriminator(text_or_table),
    BeforeValidator(tumour_convention),
]


class FollowUpTable(SegmentedTable):
    """``[[follow_up]]``: a scan after day 0, in the reference scan's place in space."""

    date: Date
    segmentation: str | tuple[str, ...] = Field(
        description="file of the tumour's parts, or several by different readers, whose majority "
        "counts; one without any tumour is a complete response"
    )
    labels: Labels | None = Field(
        default=None, description="as in the reference visit; those of it if absent"
    )
    timing: Literal["before treatment", "after treatment"] | None = Field(
        default=None, description="checked against the treatment given, if stated"
    )


class PriorTable(FileModel):
    """A prior of this patient instead of the parameter set's: log-normal."""

    median: str = Field(description='with its unit, such as "0.1 mm2/day"')
    sigma_ln: float = Field(gt=0.0, le=5.0, description="standard deviation of the logarithm")


class CalibrationTable(FileModel):
    """``[calibration]``: what is fitted to the follow-up scans, and how exact outlines are."""

    unknowns: tuple[str, ...] = Field(
        default=(), description="parameters; chosen by the treatment given if absent"
    )
    outline_sd: quantity("mm", example="1 mm", at_least=0.05, at_most=20.0) = Field(  # type: ignore[valid-type]
        default=1.0, description="how far two readers' outlines lie apart over a centimetre"
    )
    shared_sd: quantity("mm", example="0.5 mm", at_least=0.05, at_most=20.0) = Field(  # type: ignore[valid-type]
        default=0.5, description="how far one reader draws all of an outline further out"
    )
    oedema_sd: quantity("mm", example="4 mm", at_least=0.05, at_most=50.0) = Field(  # type: ignore[valid-type]
        default=4.0, description="how far a FLAIR outline may lie outside of the cells"
    )
    priors: dict[str, PriorTable] = Field(default={}, description="by parameter")


@dataclass(frozen=True, slots=True, eq=False)
class FollowUp:
    """The tumour on one scan after day 0.

    Parameters
    ----------
    date : datetime.date
    day : float, [day]
        After the reference date.
    core : ndarray of bool, shape of the twin's grid
        Enhancing tumour with its necrosis; empty where nothing is seen.
    whole : ndarray of bool, shape of the twin's grid
        With the FLAIR abnormality.
    timing : str or None
        What the patient file says of treatment by then.
    """

    date: dt.date
    day: float
    core: NDArray[np.bool_]
    whole: NDArray[np.bool_]
    timing: str | None = None


def read_follow_ups(
    content: PatientFile, folder: Path, grid: Grid, head: NDArray[np.bool_], where: str
) -> list[FollowUp]:
    """The follow-up scans of a patient file, in order of their dates.

    Parameters
    ----------
    content : PatientFile
    folder : path
        That its files are relative to.
    grid : Grid
        Of the twin; a segmentation may have its own, in the same place in space.
    head : ndarray of bool, shape of the grid
    where : str
        Name of the patient file, for messages.

    Raises
    ------
    InvalidInput
        Dates that are not after the reference date, out of order or twice; labels that are not
        named; a tumour that lies outside the head.
    """
    calendar = content.calendar
    dates = [table.date for table in content.follow_up]
    for before, after in zip([calendar.reference_date, *dates], dates, strict=False):
        if after > before:
            continue
        if before == calendar.reference_date:
            reason = f"not after the reference visit of {before.isoformat()}"
        elif after == before:
            reason = "there twice; scans of one day are one follow-up, with several segmentations"
        else:
            reason = f"after {before.isoformat()} in the file; write scans in order of their dates"
        raise InvalidInput(f"{where}: the follow-up of {after.isoformat()} is {reason}.")
    return [
        _read(table, content, folder, grid, head, f"{where}: follow_up of {table.date}")
        for table in content.follow_up
    ]


def _read(
    table: FollowUpTable,
    content: PatientFile,
    folder: Path,
    grid: Grid,
    head: NDArray[np.bool_],
    where: str,
) -> FollowUp:
    labels = content.reference.labels if table.labels is None else table.labels
    numbers = tumour_numbers(labels, folder, where)
    core, whole = [], []
    for file in table.segmentations:
        image = read_labels(folder / file, what="segmentation")
        marked = _on_grid(image, grid, f"{where}: {file}")
        for number in np.unique(marked):
            if number and number not in numbers.values():
                named = ", ".join(f"{name} = {known}" for name, known in numbers.items())
                raise InvalidInput(
                    f"{where}: {file} has a label {number} without a name (named are {named}); "
                    "name it in labels."
                )
        inner = np.isin(marked, [numbers[name] for name in numbers if name != "flair"])
        outer = inner | (marked == numbers["flair"])
        beyond = float((~head[outer]).mean()) if outer.any() else 0.0
        if beyond > OUTSIDE_ALLOWED:
            raise InvalidInput(
                f"{where}: {100 * beyond:.0f} % of the tumour in {file} lies outside the head of "
                f"the reference visit; at most {100 * OUTSIDE_ALLOWED:.0f} % may: bring the scan "
                "onto the reference first (twin register), and check that it is of this patient."
            )
        core.append(inner)
        whole.append(outer)
    return FollowUp(
        table.date,
        float(content.calendar.day(table.date)),
        _majority(core),
        _majority(whole),
        table.timing,
    )


def mask_on_grid(file: Path, grid: Grid) -> NDArray[np.bool_]:
    """A mask from a file at the voxels of a twin; refused where it is empty there."""
    mask = _on_grid(read_labels(file, what="cavity"), grid, file.name) > 0
    if not mask.any():
        raise InvalidInput(f"The cavity {file.name} has no voxel in the head; check its file.")
    return mask


def _majority(masks: list[NDArray[np.bool_]]) -> NDArray[np.bool_]:
    """Voxels that more than half of the readers count in."""
    return np.asarray(2 * np.sum(masks, axis=0) > len(masks))


def _on_grid(image: Image, grid: Grid, where: str) -> NDArray[np.int32]:
    """Labels at the voxels of the twin by the nearest voxel, shape of the grid; 0 beyond."""
    inverse = np.linalg.inv(image.affine)
    matrix = inverse[:3, :3] @ grid.affine[:3, :3]
    offset = inverse[:3, :3] @ grid.affine[:3, 3] + inverse[:3, 3]
    data: NDArray[Any] = np.asarray(image.data)
    if data.dtype.kind == "f" and not (data == np.rint(data)).all():
        raise InvalidInput(f"{where} holds values that are not whole; labels must be numbers.")
    found = ndimage.affine_transform(
        data.astype(np.int32), matrix, offset, output_shape=grid.shape, order=0, cval=0
    )
    inside = ((data > 0).sum() * abs(np.linalg.det(image.affine[:3, :3]))) / 1e3
    kept = float((found > 0).sum() * grid.voxel_mm3 / 1e3)
    if inside > 0.0 and kept < 0.5 * inside:
        raise GeometryMismatch(
            f"{where}: only {kept:.1f} of its {inside:.1f} mL lie within the reference scan; "
            "bring it onto the reference first (twin register)."
        )
    return np.asarray(found)
