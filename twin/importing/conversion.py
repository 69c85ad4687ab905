"""From what was found to NIfTI files named by what they show."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twin.errors import InvalidInput, TherapyTwinError
from twin.images import Image, on_voxels_of
from twin.importing.found import Found, Inventory
from twin.importing.organs import OrganMap, organ_map
from twin.importing.privacy import file_stem, quiet_readers
from twin.label_conventions import tumour_part
from twin.nifti_writing import write_nifti

__all__ = ["Converted", "Written", "convert"]

Progress = Callable[[float, str], None] | None
_BRATS = {"flair": 2, "enhancing": 4, "necrosis": 1}  # drawn in this order, the last on top


@dataclass(frozen=True, slots=True)
class Written:
    """One file of the patient folder.

    Parameters
    ----------
    number : int
        Of the table.
    file : str
        Path in the patient folder.
    what : str
        What it holds, for people.
    role : str
        "image", "tissues", "segmentation", "labels", "structure", "structures" or "dose".
    contrast : str
        As in `Found`; for a structure its name.
    volume_ml : float or None
        Of a structure's voxels, [mL].
    day : int or None
        Days from the reference; of what is drawn on an image that image's, None where unknown.
    """

    number: int
    file: str
    what: str
    role: str
    contrast: str = ""
    volume_ml: float | None = None
    day: int | None = None


@dataclass(slots=True)
class Converted:
    """What was written, and what a person should know of it."""

    written: list[Written] = field(default_factory=list)
    organs: OrganMap | None = None
    tumour: Mapping[str, int] = field(default_factory=dict)
    convention: str | None = None
    plans: list[Any] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def convert(
    inventory: Inventory, chosen: Sequence[int], target: Path, *, progress: Progress = None
) -> Converted:
    """Read what was chosen and write it into the folder `target`, which exists.

    Raises
    ------
    InvalidInput
        The first thing that cannot be used, by its number in the table.
    """
    done = Converted()
    work = _Work(inventory, target, done)
    with quiet_readers():
        for place, number in enumerate(chosen):
            one = inventory.found[number - 1]
            if progress is not None:
                progress(place / len(chosen), f"{one.kind} {number}")
            with _about(number, one):
                work.take(number, one)
    return done


@contextmanager
def _about(number: int, one: Found) -> Iterator[None]:
    """Say of which row of the table an error is; garbage becomes one sentence."""
    what = f"Number {number} ({one.kind}{', ' + one.modality if one.modality else ''})"
    try:
        yield
    except InvalidInput as error:
        raise type(error)(f"{what}: {error}") from None
    except (TherapyTwinError, MemoryError):
        raise
    except Exception:  # decoders and readers raise many kinds on garbage, some quoting headers
        raise InvalidInput(
            f"{what} cannot be read: it is damaged, or compressed in a way that is not known; "
            "export it again, or leave it out with --only."
        ) from None


class _Work:
    """The files written so far, so that no name is used twice."""

    def __init__(self, inventory: Inventory, target: Path, done: Converted) -> None:
        self.inventory, self.target, self.done = inventory, target, done
        self.names: set[str] = set()
        self.grids: dict[int, Image] = {}

    def take(self, number: int, one: Found) -> None:
        takers: dict[str, Callable[[int, Found], None]] = {
            "image": self._image,
            "labels": self._labels,
            "segmentation": self._segmentation,
            "structure set": self._structure_set,
            "dose": self._dose,
            "plan": self._plan,
        }
        takers[one.kind](number, one)

    def _note(self, number: int, notes: Sequence[str]) -> None:
        self.done.notes += [f"{number}: {note.rstrip('.')}" for note in notes]

    def _free_name(self, number: int, stem: str) -> str:
        """``stem.nii.gz`` with the day before it where it is not the reference's."""
        day = self._day_of(number)
        folder, _, last = stem.rpartition("/")
        before = f"{folder}/" if folder else ""
        before += f"day_{day:+d}_".replace("+", "") if day else ""
        name, count = f"{before}{last}.nii.gz", 1
        while name in self.names:
            count += 1
            name = f"{before}{last}_{count}.nii.gz"
        self.names.add(name)
        return name

    def _day_of(self, number: int) -> int | None:
        """Days from the reference; what is drawn on an image is of that image's day."""
        drawn_on = [
            self.inventory.days[partner - 1]
            for partner in self.inventory.partners[number - 1]
            if self.inventory.found[partner - 1].kind == "image"
        ]
        known = [day for day in drawn_on if day is not None]
        return min(known) if known else self.inventory.days[number - 1]

    def _write(
        self, number: int, image: Image, stem: str, what: str, role: str, contrast: str = ""
    ) -> Written:
        name = self._free_name(number, stem)
        path = self.target / name
        path.parent.mkdir(exist_ok=True)
        write_nifti(path, image)
        volume = None
        if role == "structure":
            volume = float(np.sum(image.data, dtype=np.float64)) * image.voxel_mm3 / 1000.0
        written = Written(number, name, what, role, contrast, volume, self._day_of(number))
        self.done.written.append(written)
        return written

    def _image(self, number: int, one: Found) -> None:
        image, stem, what, notes = read_found_image(one)
        self._note(number, notes)
        self.grids[number] = Image(np.broadcast_to(np.False_, image.shape), image.affine)
        self._write(number, image, stem, what, "image", one.contrast)

    def _labels(self, number: int, one: Found) -> None:
        from twin.image_files import read_labels

        image = read_labels(one.files[0], what="label map")
        labels = one.labels
        if one.contrast in ("tissues", "structures"):
            role = one.contrast
        else:
            role = "segmentation" if labels is not None and labels.tumour else "labels"
        if role == "segmentation" and labels is not None:
            role = self._as_first(number, labels.tumour, labels.convention)
        what = {
            "tissues": "tissue map",
            "structures": "structures",
            "segmentation": "the tumour's parts",
            "labels": "label map",
        }[role]
        self._write(number, image, role, what, role, one.contrast)

    def _segmentation(self, number: int, one: Found) -> None:
        from twin.dicom.segmentation import read_segmentation

        segmentation = read_segmentation(one.files[0], identifiers=self.inventory.identifiers)
        self._note(number, segmentation.notes)
        segments = segmentation.segments
        named = {part: name for name in segments if (part := tumour_part(name))}
        if {"enhancing", "flair"} <= set(named) and len(named) == len(segments):
            parts = {part: self._segment(number, segments, named[part]) for part in named}
            first = parts["enhancing"]
            drawn = np.zeros(first.shape, np.uint8)
            for part, value in _BRATS.items():
                if part in parts:
                    drawn[np.asarray(parts[part].data, np.float32) >= 0.5] = value
            role = self._as_first(number, dict(_BRATS), "brats")
            self._write(number, Image(drawn, first.affine), role, "the tumour's parts", role)
            return
        self._structures(
            number, ((name, self._segment(number, segments, name)) for name in segments)
        )

    def _segment(self, number: int, segments: Mapping[str, Image], name: str) -> Image:
        """A segment on the voxels of the image that it is of, where these are the same ones."""
        image = segments[name]
        rows = self.inventory.found
        for partner in self.inventory.partners[number - 1]:
            if rows[partner - 1].kind == "image" and rows[partner - 1].source == "DICOM":
                if partner not in self.grids:
                    self.grids[partner] = _grid_of(rows[partner - 1])
                whole = on_voxels_of(image, self.grids[partner])
                if np.count_nonzero(whole.data) == np.count_nonzero(image.data):  # none cut off
                    image = whole
                    break
        if (np.asarray(image.data, np.float32) > 0).all():
            raise InvalidInput(
                f"{name} marks every voxel, without background; export it again, or leave it out "
                "with --only."
            )
        return image

    def _as_first(self, number: int, tumour: Mapping[str, int], convention: str | None) -> str:
        """Role of a segmentation of the tumour: several of one day must mean the same by a number.

        The first of the reference day decides what ``labels`` of the patient file says.
        """
        if self._day_of(number):
            return "segmentation"
        if not self.done.tumour:
            self.done.tumour, self.done.convention = tumour, convention
        if dict(tumour) != dict(self.done.tumour):
            self._note(
                number,
                ["its numbers mean other parts than those of the first segmentation; it is kept "
                 "as a label map that patient.toml does not use"],
            )  # fmt: skip
            return "labels"
        return "segmentation"

    def _structure_set(self, number: int, one: Found) -> None:
        from twin.dicom.structure_set import read_structure_set

        structures = read_structure_set(one.files[0], identifiers=self.inventory.identifiers)
        self._note(number, structures.notes)
        grid, notes = self._grid_for(number)
        self._note(number, notes)

        def drawn() -> Iterator[tuple[str, Image]]:
            for name in structures.structures:
                try:
                    mask = structures.mask(name, grid)
                except InvalidInput as error:
                    self._note(number, [str(error)])
                    continue
                yield name, Image(mask, grid.affine)

        self._structures(number, drawn())

    def _structures(self, number: int, pairs: Iterator[tuple[str, Image]]) -> None:
        """One file a structure, and a map of the organs."""
        kept: dict[str, NDArray[np.uint8]] = {}
        grid = None
        for name, image in pairs:
            if not np.any(image.data):
                self._note(number, [f"{name} marks no voxel and is left out"])
                continue
            stem = f"structures/{file_stem(name)}"
            written = self._write(number, image, stem, name, "structure", name)
            grid = image
            key = Path(written.file).name.removesuffix(".nii.gz")
            mask = (
                image.data
                if image.data.dtype == bool
                else np.asarray(image.data, np.float32) >= 0.5
            )
            kept[key] = np.packbits(np.ravel(mask, order="F"))
        if grid is None:
            raise InvalidInput(
                "it holds no structure that marks a voxel; export it with its contours, "
                "or leave it out with --only."
            )
        found = organ_map(kept, grid.shape)
        if found.labels and not self._day_of(number):
            if self.done.organs is not None:
                self._note(number, ["a second map of organs: patient.toml names the first"])
            else:
                self.done.organs = found
            drawn = Image(found.data, grid.affine)
            self._write(number, drawn, "structures", "organs, small ones on top", "structures")

    def _grid_for(self, number: int) -> tuple[Image, list[str]]:
        """The voxels that a structure set is put on: its image's, else those of a dose there."""
        rows = self.inventory.found
        frame = self.inventory.frames[number - 1]
        partners = [n for n in self.inventory.partners[number - 1] if rows[n - 1].kind == "image"]
        same = [
            n
            for n, other in self.inventory.numbered()
            if frame and self.inventory.frames[n - 1] == frame and other.kind in ("image", "dose")
        ]
        for candidate in [*partners, *same]:
            other = rows[candidate - 1]
            if other.shape is None or other.shape[2] < 2:
                continue
            if candidate not in self.grids:
                self.grids[candidate] = _grid_of(other)
            notes = []
            if candidate not in partners or other.kind == "dose":
                notes = [
                    "the series it is drawn on is not here as a volume: its structures are on the "
                    f"voxels of number {candidate} ({other.kind})"
                ]
            return self.grids[candidate], notes
        raise InvalidInput(
            "the series that it is drawn on is not in the folder, nor another image in its frame "
            "of reference; add that series, or leave the structure set out with --only."
        )

    def _dose(self, number: int, one: Found) -> None:
        from twin.dicom.dose_file import read_dose

        dose = read_dose(one.files[0])
        self._note(number, dose.notes)
        self._write(number, dose.image, "dose", f"{dose.kind} dose in Gy", "dose")

    def _plan(self, number: int, one: Found) -> None:
        from twin.dicom.plan_file import read_plan

        plan = read_plan(one.files[0])
        self._note(number, plan.notes)
        self.done.plans.append((number, plan))


def read_found_image(one: Found) -> tuple[Image, str, str, Sequence[str]]:
    """Image, name of its file, what it shows, and notes."""
    if one.source != "DICOM":
        from twin.image_files import read_image

        image = read_image(one.files[0], what="image")
        return image, one.contrast, one.contrast, ()
    from twin.dicom.series import read_series

    series = read_series(one.files)
    stem = "pet_suv" if series.modality == "PT" and series.quantity == "suv" else one.contrast
    units = {"hounsfield": "in Hounsfield units", "suv": "in SUV (body weight)"}
    what = " ".join([one.modality, units.get(series.quantity, "")]).strip()
    return series.image, stem, what, series.notes


def _grid_of(one: Found) -> Image:
    if one.kind == "dose":
        from twin.dicom.dose_file import read_dose

        image = read_dose(one.files[0]).image
    else:
        image = read_found_image(one)[0]
    return Image(np.broadcast_to(np.False_, image.shape), image.affine)
