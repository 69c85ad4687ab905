"""Tables of ``patient.toml`` that describe the images of a visit and choose the model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    Tag,
    field_validator,
    model_validator,
)

from twin.diffusion_tensor import component_order
from twin.errors import InvalidInput
from twin.hypoxia import HypoxiaTable
from twin.label_conventions import Convention, convention
from twin.model_choice import Growth, Migration, ModelChoice
from twin.toml_file import Date, FileModel

__all__ = [
    "LabelNumber",
    "ModelTable",
    "SegmentedTable",
    "TensorTable",
    "TissueProbabilities",
    "TumourLabels",
    "VisitTable",
    "all_different",
    "own_file",
    "text_or_table",
    "tumour_convention",
    "tumour_labels",
    "tumour_numbers",
]

#: Ends of names that are files of labels, not conventions.
_FILES = (".toml", ".json")

LabelNumber = Annotated[int, Field(ge=1, le=32767)]


def all_different(numbers: Mapping[str, int | None]) -> None:
    """Refuse two names of one label."""
    seen: dict[int, str] = {}
    for name, number in numbers.items():
        if number is None:
            continue
        if number in seen:
            raise InvalidInput(
                f"{seen[number]} and {name} both have the label {number}; give each its own."
            )
        seen[number] = name


class TumourLabels(FileModel):
    """Numbers of the tumour's parts in the segmentation."""

    necrosis: LabelNumber | None = Field(default=None, description="necrotic centre")
    enhancing: LabelNumber = Field(description="enhancing rim")
    flair: LabelNumber = Field(description="FLAIR abnormality outside the core")

    @model_validator(mode="after")
    def _different(self) -> TumourLabels:
        all_different(self.numbers)
        return self

    @property
    def numbers(self) -> dict[str, int]:
        """Number of each part that has one."""
        return {name: number for name, number in self if number is not None}


def tumour_convention(value: object) -> object:
    """Return the table that a convention's name stands for; a file's name is kept."""
    if not isinstance(value, str) or value.endswith(_FILES):
        return value
    return tumour_labels(convention(value))


def text_or_table(value: object) -> str:
    """Which of the two it is; names that `toml_file` leaves out of messages."""
    return "function-text" if isinstance(value, str) else "function-table"


def tumour_labels(by: Convention) -> TumourLabels:
    """Return a convention's numbers of the tumour's parts.

    Raises
    ------
    InvalidInput
        One that names no tumour.
    """
    missing = {"enhancing", "flair"} - set(by.tumour)
    if missing:
        raise InvalidInput(
            f"the labels {by.name} name no {sorted(missing)[0]} part of a tumour; write a table "
            "such as { necrosis = 1, flair = 2, enhancing = 4 }."
        )
    return TumourLabels(**by.tumour)


def own_file(name: str, folder: Path) -> str | Path:
    """A convention's name as it is, a file of labels in the patient's folder."""
    return folder / name if name.endswith(_FILES) else name


def tumour_numbers(labels: TumourLabels | str, folder: Path, where: str) -> dict[str, int]:
    """Numbers of the tumour's parts; a file of labels is read."""
    if not isinstance(labels, str):
        return labels.numbers
    try:
        return tumour_labels(convention(own_file(labels, folder))).numbers
    except InvalidInput as error:
        raise InvalidInput(f"{where}: labels: {error}") from None


class SegmentedTable(FileModel):
    """A scan with the tumour segmented, once or by several readers."""

    segmentation: str | tuple[str, ...] = Field(
        description="file of the tumour's parts, or several of them by different readers"
    )

    @field_validator("segmentation")
    @classmethod
    def _some(cls, files: str | tuple[str, ...]) -> str | tuple[str, ...]:
        if not files:
            raise InvalidInput("the list of segmentations is empty; name at least one file.")
        if not isinstance(files, str) and len(set(files)) < len(files):
            raise InvalidInput("a segmentation is named twice; each reader counts once.")
        return files

    @property
    def segmentations(self) -> tuple[str, ...]:
        """Files of the tumour's parts, one a reader."""
        return (self.segmentation,) if isinstance(self.segmentation, str) else self.segmentation


class TissueLabels(FileModel):
    """Numbers of the tissues in the tissue map; 0 is outside the head.

    A site other than the brain has its own names, and may have fewer.
    """

    fluid: LabelNumber | None = 1
    grey_matter: LabelNumber | None = 2
    white_matter: LabelNumber = 3

    @model_validator(mode="after")
    def _different(self) -> TissueLabels:
        all_different(dict(self))
        return self


class TissueProbabilities(FileModel):
    """Maps of the part of each voxel that is a tissue, 0 to 1."""

    white_matter: str = Field(description="NIfTI file")
    grey_matter: str = Field(description="NIfTI file")
    fluid: str = Field(description="NIfTI file")


class TensorTable(FileModel):
    """The diffusion tensor image: direction and anisotropy count, not the unit."""

    file: str = Field(description="NIfTI file of six volumes, on a grid of its own")
    order: str = Field(
        description="the six components in the file's order",
        examples=["xx yy zz yz xz xy", "xx xy xz yy yz zz", "xx yy zz xy xz yz"],
    )
    frame: Literal["world", "image", "fsl"] = Field(
        description="axes of the components: right-anterior-superior, the file's voxel axes, or "
        "these as FSL has them (the first reversed where the file is neurological)"
    )
    tumour_tensor: Literal["isotropic", "mirror", "measured"] = Field(
        default="isotropic",
        description="inside tumour and oedema, where the tract is no longer what it was: no "
        "direction, that of the other hemisphere (approximate), or as measured",
    )

    @field_validator("order")
    @classmethod
    def _six(cls, order: str) -> str:
        component_order(order)
        return order


#: What a file's ADC values are multiplied by to become mm2/s.
_ADC_UNITS = {"mm2/s": 1.0, "um2/s": 1e-6, "um2/ms": 1e-3}


class AdcTable(FileModel):
    """Apparent diffusion coefficient, which falls with cells in solid enhancing tumour."""

    file: str = Field(description="image file on the visit's grid")
    unit: Literal["mm2/s", "um2/s", "um2/ms"] = Field(description="unit of the file's values")
    noise: float = Field(gt=0.0, description="standard deviation of a voxel, in the same unit")

    @property
    def mm2_per_s(self) -> float:
        """What the file's values are multiplied by, [mm2/s]."""
        return _ADC_UNITS[self.unit]


class FetTable(FileModel):
    """Amino-acid PET, whose uptake over that of healthy tissue rises with cells."""

    file: str = Field(description="image file on the visit's grid, in any unit")
    noise: float = Field(
        gt=0.0, description="standard deviation of a voxel's tumour-to-brain ratio"
    )
    background: float | None = Field(
        default=None,
        gt=0.0,
        description="uptake of healthy tissue; the mean 20 mm or more from the tumour if absent",
    )


class DensityTable(FileModel):
    """Images of cell density, weighed against the outlines by their noise."""

    adc: AdcTable | None = None
    fet: FetTable | None = None


class PerfusionTable(FileModel):
    """Blood volume, flow or permeability, by which drugs are delivered to places."""

    file: str = Field(description="image file on the visit's grid, in any unit")
    normal: float | None = Field(
        default=None,
        gt=0.0,
        description="value at which a drug acts as its file says; the tumour's mean if absent",
    )
    lowest: float = Field(
        default=0.25, ge=0.0, le=1.0, description="of the reference, what is below counts as this"
    )
    highest: float = Field(default=4.0, ge=1.0, le=100.0, description="the same above")


class VisitTable(SegmentedTable):
    """``[[visit]]``: the images of one day."""

    date: Date
    reference: bool = Field(default=False, description="day 0; exactly one visit is the reference")
    tissues: str = Field(description="NIfTI file of tissue labels")
    tissue_labels: Annotated[
        Annotated[TissueLabels, Tag("function-table")] | Annotated[str, Tag("function-text")],
        Discriminator(text_or_table),
    ] = Field(
        default=TissueLabels(),
        description="numbers of the tissues, or a convention that knows them (freesurfer)",
    )
    consensus: Literal["staple", "majority"] = Field(
        default="staple", description="how several segmentations become one"
    )
    labels: Annotated[
        Annotated[TumourLabels, Tag("function-table")] | Annotated[str, Tag("function-text")],
        Discriminator(text_or_table),
        BeforeValidator(tumour_convention),
    ] = Field(description="a convention, a .toml or .json file of labels, or a table of numbers")
    t1: str | None = Field(default=None, description="NIfTI file of the T1 image, for pictures")
    tissue_probabilities: TissueProbabilities | None = Field(
        default=None, description="partial volumes, for the migration between tissues"
    )
    tensor: TensorTable | None = Field(
        default=None, description='diffusion tensor image, for migration = "tensor"'
    )
    density: DensityTable | None = Field(
        default=None, description="images of cell density, for the state on day 0"
    )
    hypoxia: HypoxiaTable | None = Field(
        default=None, description="PET image of hypoxia, for the effect of radiation"
    )
    perfusion: PerfusionTable | None = Field(
        default=None, description='perfusion image, for drugs with delivery = "perfusion"'
    )


class ModelTable(FileModel):
    """``[model]``: what the growth model is composed of."""

    growth: Growth = Field(default="logistic", description="law of proliferation")
    resistant: bool = Field(default=False, strict=True, description="a second, resistant line")
    oxygen: bool = Field(default=False, strict=True, description="hypoxia, necrosis and vessels")
    mass_effect: bool = Field(default=False, strict=True, description="growth displaces tissue")
    immunity: bool = Field(
        default=False, strict=True, description="effector cells that kill tumour cells"
    )
    migration: Migration = Field(
        default="tissue", description="by tissue, or along the fibres of the tensor image"
    )

    @property
    def choice(self) -> ModelChoice:
        """The model that it names."""
        return ModelChoice(**dict(self))
