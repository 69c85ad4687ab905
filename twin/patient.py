"""The twin: one patient's geometry, parameters and record, checked once."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twin.calendar import Calendar
from twin.diffusion_tensor import check_tensor, known
from twin.errors import GeometryMismatch, InvalidInput
from twin.grid import Grid
from twin.guided_target import GuidedTarget
from twin.hypoxia import HypoxiaImage
from twin.markers import marker_sentences
from twin.mesh import Mesh
from twin.model_choice import ModelChoice
from twin.parameters import ParameterSet
from twin.planned_dose import PlannedDose
from twin.radiotherapy import check_range
from twin.regimen import Regimen
from twin.setup_error import SetupError
from twin.start_evidence import StartEvidence
from twin.temperature_map import TemperatureMap
from twin.tissue_probabilities import check_probabilities

__all__ = ["MESH_LABELS", "TISSUES", "TUMOUR_STRUCTURES", "Grid", "Structure", "Twin"]

#: Numbers of the tissues in `Twin.tissues`; 0 is outside the head.
TISSUES: Mapping[str, int] = MappingProxyType({"fluid": 1, "grey_matter": 2, "white_matter": 3})
#: Labels of the mesh: the tissues and the tumour's core.
MESH_LABELS: Mapping[str, int] = MappingProxyType({**TISSUES, "enhancing": 4, "necrosis": 5})
#: Structures that every twin has; they do not overlap.
TUMOUR_STRUCTURES = ("necrosis", "enhancing", "flair")


@dataclass(frozen=True, slots=True)
class Structure:
    """A region of the patient.

    Parameters
    ----------
    mask : ndarray of bool, shape of the grid
    kind : {"tumour", "organ"}
    stylised : bool
        Drawn from coordinates, not from this patient's images; tables say so.
    parameter : str or None
        Name of the parameter that is its alpha/beta [Gy], for EQD2.
    source : str
        Where the outline comes from.
    """

    mask: NDArray[np.bool_]
    kind: str
    stylised: bool = False
    parameter: str | None = None
    source: str = ""

    def __post_init__(self) -> None:
        if self.kind not in ("tumour", "organ"):
            raise InvalidInput(f"A structure is of kind 'tumour' or 'organ', not {self.kind!r}.")
        mask = np.asarray(self.mask).astype(bool)
        mask.setflags(write=False)
        object.__setattr__(self, "mask", mask)


def check_organ_parameters(structures: Mapping[str, Structure], parameters: ParameterSet) -> None:
    """Raise `InvalidInput` where a structure's alpha/beta is in no parameter of the set."""
    for name, structure in structures.items():
        if structure.parameter is not None and structure.parameter not in parameters:
            raise InvalidInput(
                f"Structure {name!r} takes its alpha/beta from {structure.parameter!r}, "
                f"which the parameter set {parameters.name!r} does not have; name another "
                "parameter in the patient file."
            )


_digests: dict[int, bytes] = {}


def _digest(array: NDArray[Any]) -> bytes:
    """SHA-256 of a large read-only array, worked out once while the array lives."""
    key = id(array)
    if key not in _digests:
        _digests[key] = hashlib.sha256(array.tobytes()).digest()
        weakref.finalize(array, _digests.pop, key, None)
    return _digests[key]


@dataclass(frozen=True, slots=True, eq=False)
class Twin:
    """One patient, ready to be treated in the computer.

    Parameters
    ----------
    name : str
    mesh, coarse_mesh, coarsest_mesh : Mesh
        The study mesh, and two for the numerical error, each about 1.6 times coarser.
    grid : Grid
        Voxels of all that follows.
    tissues : ndarray of int8, shape of the grid
        1 fluid, 2 grey matter, 3 white matter, 0 outside.
    image : ndarray of float32 or None, shape of the grid
        T1, for pictures.
    structures : mapping of str to Structure
        With "necrosis", "enhancing" (the rim), "flair" (outside the core), "brain".
    parameters : ParameterSet
    calendar : Calendar
        Day 0 is the date of the reference segmentation.
    body_surface_m2 : float, [m2]
    gfr_ml_min : float or None, [mL/min]
        Glomerular filtration rate, for drugs that are dosed by it.
    delivered : Regimen
        Treatment given already, with its days.
    model : ModelChoice
        The growth model.
    tissue_probabilities : mapping of str to ndarray of float32, shape of the grid, or None
        For each tissue of `TISSUES` the part of a voxel that it fills, [1].
    tensor : ndarray of float32 or None, shape (*grid, 6)
        Water diffusion tensor, xx yy zz yz xz xy in RAS axes, in any unit; six zeros where
        no direction is known. In the tumour it is what is to be used, not what was measured.
    evidence : StartEvidence or None
        What the images leave open of day 0: the spread of several segmentations, a density.
    doses : mapping of str to PlannedDose
        Of treatment plans, for courses of radiotherapy that name one.
    setup : SetupError or None
        Where the dose of every course goes instead of its place.
    hypoxia : HypoxiaImage or None
        By which the effect of radiation varies from place to place; not with hypoxic cells.
    perfusion : ndarray of float32 or None, shape of the grid
        Over its reference, [1], for drugs that are delivered by it.
    guided : mapping of str to GuidedTarget
        Density-guided targets of the courses that are to be given, by `Radiotherapy.guided_key`.
    temperatures : mapping of str to TemperatureMap
        Of hyperthermia, for courses that name one.

    Raises
    ------
    GeometryMismatch
        Arrays off the grid, a mesh that does not lie in it.
    InvalidInput
        A missing or empty structure, overlapping tumour parts, values out of range.
    """

    name: str
    mesh: Mesh
    coarse_mesh: Mesh
    coarsest_mesh: Mesh
    grid: Grid
    tissues: NDArray[np.int8]
    image: NDArray[np.float32] | None
    structures: Mapping[str, Structure]
    parameters: ParameterSet
    calendar: Calendar
    body_surface_m2: float
    delivered: Regimen
    model: ModelChoice = field(default_factory=ModelChoice)
    tissue_probabilities: Mapping[str, NDArray[np.float32]] | None = None
    tensor: NDArray[np.float32] | None = None
    evidence: StartEvidence | None = None
    doses: Mapping[str, PlannedDose] = field(default_factory=dict)
    setup: SetupError | None = None
    gfr_ml_min: float | None = None
    hypoxia: HypoxiaImage | None = None
    perfusion: NDArray[np.float32] | None = None
    guided: Mapping[str, GuidedTarget] = field(default_factory=dict)
    temperatures: Mapping[str, TemperatureMap] = field(default_factory=dict)

    def __post_init__(self) -> None:
        tissues = np.ascontiguousarray(self.tissues, np.int8)
        image = None if self.image is None else np.ascontiguousarray(self.image, np.float32)
        if self.perfusion is not None:
            flow = np.ascontiguousarray(self.perfusion, np.float32)
            self._check_shape(flow.shape, "perfusion image")
            flow.setflags(write=False)
            object.__setattr__(self, "perfusion", flow)
        for array, what in ((tissues, "tissues"), (image, "image")):
            if array is not None:
                self._check_shape(array.shape, what)
                array.setflags(write=False)
        for name, structure in self.structures.items():
            self._check_shape(structure.mask.shape, f"structure {name!r}")
        check_organ_parameters(self.structures, self.parameters)
        object.__setattr__(self, "tissues", tissues)
        object.__setattr__(self, "image", image)
        object.__setattr__(self, "structures", MappingProxyType(dict(self.structures)))
        self._check_tumour()
        self._check_migration()
        if self.evidence is not None:
            self.evidence.check_shape(self.grid.shape)
        if self.hypoxia is not None:
            self._check_shape(self.hypoxia.ratio.shape, "hypoxia image")
            if self.model.oxygen:
                raise InvalidInput(
                    "The model has hypoxic cells and the twin a hypoxia image, which would count "
                    "the lack of oxygen twice; leave one of them out."
                )
        for name, dose in self.doses.items():
            self._check_shape(dose.relative.shape, f"dose {name!r}")
        for name, target in self.guided.items():
            self._check_shape(target.mask.shape, f"target {name!r}")
        for name, heat in self.temperatures.items():
            self._check_shape(heat.celsius.shape, f"temperature map {name!r}")
        for kept in ("doses", "guided", "temperatures"):
            object.__setattr__(self, kept, MappingProxyType(dict(getattr(self, kept))))
        for what, mesh in self._meshes.items():
            self._check_mesh(mesh, what)
        if not 0.3 <= self.body_surface_m2 <= 3.5:
            raise InvalidInput(
                f"The body surface is {self.body_surface_m2:g} m2, but must lie between "
                "0.3 and 3.5 m2."
            )
        if self.gfr_ml_min is not None:
            check_range("The filtration rate", self.gfr_ml_min, 5.0, 250.0, "mL/min")

    def _check_shape(self, shape: tuple[int, ...], what: str) -> None:
        if shape != self.grid.shape:
            raise GeometryMismatch(f"The {what} has shape {shape}, the grid {self.grid.shape}.")

    def _check_tumour(self) -> None:
        site = self.parameters.site
        for name in (*TUMOUR_STRUCTURES, "brain"):
            own = site.part(name)
            if name not in self.structures:
                raise InvalidInput(f"The twin has no structure {own!r}; every twin needs one.")
            if name != "necrosis" and not self.structures[name].mask.any():
                raise InvalidInput(f"The structure {own!r} is empty; it needs at least one voxel.")
        count = sum(self.structures[name].mask.astype(np.int8) for name in TUMOUR_STRUCTURES)
        if int(np.max(count)) > 1:
            raise InvalidInput(
                "Necrosis, enhancing tumour and FLAIR abnormality must not overlap."
                if site.is_brain
                else f"{', '.join(map(site.part, TUMOUR_STRUCTURES))} must not overlap."
            )

    def _check_migration(self) -> None:
        """Check tissue probabilities and tensor; arrays that are read-only already were checked."""
        if self.tissue_probabilities is not None:
            maps = {}
            for name, values in self.tissue_probabilities.items():
                self._check_shape(values.shape, f"probability of {name}")
                maps[name] = np.ascontiguousarray(values, np.float32)
            if any(part.flags.writeable for part in maps.values()):
                check_probabilities(maps, tuple(TISSUES))
            for part in maps.values():
                part.setflags(write=False)
            object.__setattr__(self, "tissue_probabilities", MappingProxyType(maps))
        if self.tensor is not None:
            if np.ndim(self.tensor) != 4 or self.tensor.shape[-1] != 6:
                raise GeometryMismatch(
                    f"The tensor has shape {np.shape(self.tensor)}; it needs six components in "
                    f"each voxel of the grid {self.grid.shape}."
                )
            self._check_shape(self.tensor.shape[:3], "tensor")
            tensor = np.ascontiguousarray(self.tensor, np.float32)
            if tensor.flags.writeable:
                check_tensor(tensor, np.ones(self.grid.shape, bool), what="The twin's tensor")
            tensor.setflags(write=False)
            object.__setattr__(self, "tensor", tensor)
        elif self.model.migration == "tensor":
            raise InvalidInput(
                "The model's migration is 'tensor' but the twin has no tensor; give the patient a "
                "diffusion tensor image, or choose 'tissue'."
            )

    def _check_mesh(self, mesh: Mesh, what: str) -> None:
        # Small parts may be lost: the necrosis, and on the coarsest mesh the rim as well, which
        # makes the numerical error as large as it then is.
        spared = {"necrosis", "enhancing"} if mesh is self.coarsest_mesh else {"necrosis"}
        # and a site may have fewer tissues than the brain
        spared |= {name for name, n in TISSUES.items() if not (self.tissues == n).any()}
        missing = set(MESH_LABELS) - spared - set(mesh.label_names.values())
        if missing:
            label = self.parameters.site.tissue(sorted(missing)[0])
            raise InvalidInput(f"The {what} has no label {label!r}.")
        voxels = self.grid.to_voxels(mesh.points)
        beyond = np.maximum(-0.5 - voxels, voxels - (np.array(self.grid.shape) - 0.5)).max()
        reach = max(2.0, float(mesh.edge_length().max()) / self.grid.spacing_mm)
        if not beyond <= reach:
            raise GeometryMismatch(
                f"The {what} reaches {beyond * self.grid.spacing_mm:.1f} mm out of the images."
            )

    def replace(self, **changes: Any) -> Twin:
        """Return a twin with some fields changed, checked anew."""
        return dataclasses.replace(self, **changes)

    def on_coarse_mesh(self) -> Twin:
        """Return the same patient on the coarser mesh."""
        return self.replace(mesh=self.coarse_mesh)

    def on_coarsest_mesh(self) -> Twin:
        """Return the same patient on the coarsest mesh."""
        return self.replace(mesh=self.coarsest_mesh)

    def volume_ml(self, structure: str) -> float:
        """Volume of a structure by its voxels, [mL]."""
        return self.grid.volume_ml(self.structures[structure].mask)

    @property
    def content_hash(self) -> str:
        """Hexadecimal SHA-256 of all that a run depends on, but the parameters.

        Meshes, masks, tissues, grid, body surface, calendar, delivered treatment, model,
        the structures' alpha/beta names, tissue probabilities and tensor where there are
        any; no names, paths or pictures.
        """
        digest = hashlib.sha256()
        digest.update(self.mesh.content_hash.encode())
        digest.update(self.coarse_mesh.content_hash.encode())
        digest.update(self.coarsest_mesh.content_hash.encode())
        digest.update(repr(self.grid.shape).encode() + self.grid.affine.tobytes())
        digest.update(self.tissues.tobytes())
        for name, structure in sorted(self.structures.items()):
            digest.update(f"{name} {structure.kind} {structure.parameter}".encode())
            digest.update(np.packbits(structure.mask).tobytes())
        record = {
            "body_surface_m2": self.body_surface_m2,
            "reference_date": self.calendar.reference_date.isoformat(),
            "delivered": self.delivered.as_dict(),
            "model": self.model.as_dict(),
        }
        digest.update(json.dumps(record, sort_keys=True).encode())
        for name, values in sorted((self.tissue_probabilities or {}).items()):
            digest.update(f"probability {name}".encode() + _digest(values))
        if self.tensor is not None:
            digest.update(b"tensor" + _digest(self.tensor))
        if self.evidence is not None:
            digest.update(b"evidence" + self.evidence.digest())
        for name, dose in sorted(self.doses.items()):
            digest.update(f"dose {name}".encode() + dose.digest())
        for name, heat in sorted(self.temperatures.items()):
            digest.update(f"temperature {name}".encode() + heat.digest())
        if self.gfr_ml_min is not None:
            digest.update(f"gfr {self.gfr_ml_min!r}".encode())
        if self.hypoxia is not None:
            digest.update(b"hypoxia" + self.hypoxia.digest())
        if self.perfusion is not None:
            digest.update(b"perfusion" + _digest(self.perfusion))
        if self.setup is not None:
            digest.update(json.dumps(self.setup.as_dict()).encode())
        for name, target in sorted(self.guided.items()):
            digest.update(f"target {name} {target.digest}".encode())
        return digest.hexdigest()

    @property
    def _meshes(self) -> dict[str, Mesh]:
        fine, coarse, coarsest = self.mesh, self.coarse_mesh, self.coarsest_mesh
        return {"mesh": fine, "coarse mesh": coarse, "coarsest mesh": coarsest}

    def mesh_origins(self) -> tuple[str, ...]:
        """How each of the meshes was made, in sentences for reports."""
        return tuple(f"{name}: {mesh.origin}" for name, mesh in self._meshes.items() if mesh.origin)

    def describe(self) -> str:
        """Return the patient in plain sentences."""
        site = self.parameters.site
        lines = [
            f"{self.name}: day 0 is {self.calendar.text(0)}; body surface "
            f"{self.body_surface_m2:g} m2; parameters {self.parameters.name!r}.",
            "Tumour: "
            + ", ".join(
                f"{site.part(name)} {self.volume_ml(name):.1f} mL" for name in TUMOUR_STRUCTURES
            )
            + ".",
            "Organs: "
            + ", ".join(
                f"{site.part(name)} {self.volume_ml(name):.1f} mL"
                + (" (stylised)" if organ.stylised else "")
                for name, organ in self.structures.items()
                if organ.kind == "organ"
            )
            + ".",
            f"Mesh: {len(self.mesh.points)} nodes and {len(self.mesh.cells)} tetrahedra "
            f"(for the numerical error: {len(self.coarse_mesh.points)} and "
            f"{len(self.coarsest_mesh.points)} nodes).",
        ]
        lines += marker_sentences(self.parameters)
        if self.model != ModelChoice():
            lines.append(f"Model: {self.model.describe()}.")
        if self.tissue_probabilities is not None:
            lines.append("Migration takes tissues by their part of each element.")
        if self.tensor is not None:
            share = known(self.tensor)[self.tissues == TISSUES["white_matter"]].mean()
            lines.append(f"Diffusion tensor: known in {100 * share:.0f} % of the white matter.")
        if self.evidence is not None:
            lines += self.evidence.describe()
        if self.hypoxia is not None:
            lines.append(self.hypoxia.describe())
        if self.delivered.courses:
            lines += ["Given already:", *self.delivered.describe(self.calendar)]
        return "\n".join(lines)
