"""What is worked out once for a twin's anatomy and then shared by all runs on it."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solvers.cavity import removed_cells
from solvers.element_diffusivity import NO_MIGRATION, Fractions, element_diffusivity
from solvers.hypoxia import dose_factor
from solvers.initial_state import (
    ObservedDensity,
    at_nodes,
    initial_state,
    outline_distances,
)
from solvers.moved_tissue import MovedTissue
from solvers.operators import DiffusionMatrix, MeshOperators, mesh_operators
from solvers.tensor_diffusion import fibre_operators
from solvers.tissue_fractions import TissueFractions
from solvers.travel_distance import travel_distance
from solvers.volumes import VisibleVolumes
from twin.courses import Hyperthermia, Radiotherapy
from twin.dose import DoseMap, dose_maps
from twin.errors import InvalidInput
from twin.events import Cavity, Removed
from twin.hyperthermia import BODY_CELSIUS, HOTTEST_CELSIUS
from twin.parameters import ParameterSet
from twin.patient import Twin
from twin.planned_dose import PlannedDose
from twin.regimen import Regimen
from twin.temperature_map import temperature_on_grid

__all__ = ["Prepared", "prepare"]

#: Tissues through which no tumour spreads: nothing flows across their boundary.
BARRIERS = ("fluid",)
GREY = ("grey_matter",)


class Prepared:
    """Operators, distances and doses of one twin, each made when first asked for.

    What is made is shared with `like`, whose anatomy is the same.

    Safe to share between threads. Nothing here depends on the parameters of
    growth but by an explicit argument.
    """

    def __init__(self, twin: Twin, like: Prepared | None = None) -> None:
        self.twin = twin
        self._lock: Any = threading.RLock() if like is None else like._lock
        self._kept: OrderedDict[Hashable, Any] = OrderedDict() if like is None else like._kept

    def _remember(
        self, key: Hashable, make: Any, at_most: int = 48, of_a_kind: int | None = None
    ) -> Any:
        """What `make` gives, made once; the oldest go, also of those whose keys begin alike."""
        with self._lock:
            if key not in self._kept:
                while len(self._kept) >= at_most:
                    self._kept.popitem(last=False)
                if of_a_kind is not None and isinstance(key, tuple):
                    kind = [k for k in self._kept if isinstance(k, tuple) and k[0] == key[0]]
                    for old in kind[: max(0, len(kind) - of_a_kind + 1)]:
                        del self._kept[old]
                self._kept[key] = make()
            return self._kept[key]

    @property
    def operators(self) -> MeshOperators:
        """The mesh's assembled operators, for the same diffusivity in every direction."""
        found: MeshOperators = self._remember("operators", lambda: mesh_operators(self.twin.mesh))
        return found

    def operators_of(self, parameters: ParameterSet, removed: Removed = ()) -> MeshOperators:
        """The operators that migration follows after these resections.

        Those of the tensor's fibres where the model's migration is "tensor", else
        `operators`.
        """
        if self.twin.model.migration != "tensor":
            return self.operators
        sharpening = parameters.value("fibre_sharpening")
        active = self.active_cells(removed)
        found: MeshOperators = self._remember(
            ("fibres", sharpening, removed),
            lambda: fibre_operators(self.twin, self.operators, sharpening, active),
            of_a_kind=6,
        )
        return found

    @property
    def fractions(self) -> TissueFractions:
        """What the elements hold of each tissue."""
        found: TissueFractions = self._remember("fractions", lambda: TissueFractions.of(self.twin))
        return found

    @property
    def moved_tissue(self) -> MovedTissue:
        """What the elements hold of each tissue after it has moved."""
        found: MovedTissue = self._remember("moved", lambda: MovedTissue(self.fractions))
        return found

    def active_cells(self, removed: Removed = ()) -> NDArray[np.bool_]:
        """Elements in which the tumour can live, shape (cell,)."""
        active = ~self.twin.mesh.cells_labelled(*BARRIERS)
        for name in removed:
            active &= ~self.removed_cells(name)
        return active

    def living_nodes(self) -> NDArray[np.bool_]:
        """Nodes that touch an element in which the tumour can live, shape (node,)."""

        def make() -> NDArray[np.bool_]:
            return self.operators.lumped_mass(self.active_cells()) > 0

        return self._remember("living", make)

    def removed_cells(self, cavity: str | Cavity) -> NDArray[np.bool_]:
        """Elements that a resection takes out, shape (cell,); see `solvers.cavity`."""
        return self._remember(("removed", cavity), lambda: removed_cells(self.twin, cavity))

    def diffusivity(
        self,
        parameters: ParameterSet,
        displacement: NDArray[np.float64] | None = None,
    ) -> NDArray[np.float64]:
        """Mean diffusivity of each element, [mm2/day], shape (cell,).

        Parameters
        ----------
        parameters : ParameterSet
        displacement : ndarray or None, [mm], shape (node, 3)
            Of the tissue since the images, see `solvers.moved_tissue`.
        """
        fractions: Fractions | None = None
        if displacement is not None:
            fractions = self.moved_tissue
        elif self.twin.tissue_probabilities is not None:
            fractions = self.fractions
        return element_diffusivity(
            self.twin, parameters, displacement=displacement, fractions=fractions
        )

    def diffusion(
        self, parameters: ParameterSet, removed: Removed = (), *, clip: bool = True
    ) -> DiffusionMatrix:
        """The diffusion operator for these parameters after these resections."""
        along_fibres = self.twin.model.migration == "tensor"
        key = (
            "diffusion",
            self.twin.model.grows,
            parameters.value_or("diffusivity_white", 0.0),
            parameters.value_or("diffusivity_grey", 0.0),
            parameters.value("fibre_sharpening") if along_fibres else None,
            removed,
            clip,
        )
        return self._remember(
            key,
            lambda: self.operators_of(parameters, removed).diffusion(
                self.diffusivity(parameters), self.active_cells(removed), clip=clip
            ),
        )

    def distances(self, parameters: ParameterSet) -> dict[str, NDArray[np.float64]]:
        """Distances of the nodes to the outlines, with the way through tissue beyond FLAIR.

        "beyond" is the distance from the FLAIR outline that a front travels, in
        millimetres of white matter: what is slower to cross counts for more, and
        nothing goes through fluid; "beyond_slope" is its derivative by sqrt(white/grey).
        """
        ratio = self._slowness(parameters) if self.twin.model.grows else 1.0
        shift = self._shift(parameters)
        return self._remember(
            ("distances", ratio, shift), lambda: self._measure_distances(ratio, shift)
        )

    def _slowness(self, parameters: ParameterSet) -> float:
        """How much slower a front crosses grey matter than white, sqrt(white/grey), [1]."""
        white = parameters.value("diffusivity_white")
        grey = parameters.value("diffusivity_grey")
        if not (white > 0 and grey > 0):
            raise InvalidInput(
                f"The initial state needs diffusivities above 0, not {white:g} mm2/day in white "
                f"and {grey:g} mm2/day in grey matter."
            )
        return round(float(np.sqrt(white / grey)), 9)

    def _shift(self, parameters: ParameterSet) -> float:
        """Standard deviations by which the start is shifted; refused where none is known."""
        shift = parameters.value("initial_shift") if "initial_shift" in parameters else 0.0
        if shift != 0.0 and self.twin.evidence is None:
            raise InvalidInput(
                f"initial_shift is {shift:g}, but this patient has one segmentation and no density "
                "from images, so the start has no spread to be shifted by; leave it at 0, or give "
                "several segmentations in patient.toml."
            )
        return shift

    @property
    def observed_density(self) -> ObservedDensity | None:
        """The density that the images show at the nodes, if they do."""
        found: ObservedDensity | None = self._remember(
            "observed", lambda: ObservedDensity.of(self.twin)
        )
        return found

    def _measure_distances(self, ratio: float, shift: float) -> dict[str, NDArray[np.float64]]:
        mesh = self.twin.mesh
        found = self._remember(
            ("outlines", shift), lambda: outline_distances(self.twin, shift), of_a_kind=6
        )
        slowness = np.where(mesh.cells_labelled(*GREY), max(ratio, 1.0), 1.0)
        reach = 2.0 * float(np.median(mesh.edge_length()))
        whole = found["whole"]
        start = np.where(whole <= reach, np.maximum(whole, 0.0), np.inf)
        change = np.where(mesh.cells_labelled(*GREY) & (slowness > 1.0), 1.0, 0.0)
        beyond, slope = travel_distance(mesh, slowness, self.active_cells(), start, change)
        necrotic = np.zeros(len(mesh.points))
        dead = mesh.cells_labelled(*NO_MIGRATION)
        necrotic[mesh.cells[dead].ravel()] = 1.0
        necrotic[mesh.cells[~dead].ravel()] = 0.0
        return {**found, "beyond": beyond, "beyond_slope": slope, "necrotic": necrotic}

    def meter(
        self, removed: Removed, thresholds: tuple[float, ...], softness: float
    ) -> VisibleVolumes:
        """Measures visible volumes after these resections, [mm3]."""

        def make() -> VisibleVolumes:
            mesh, active = self.twin.mesh, self.active_cells(removed)
            return VisibleVolumes(
                mesh.cells[active],
                mesh.cell_volume[active],
                self.operators.lumped_mass(active),
                thresholds,
                softness,
                points=mesh.points,
            )

        return self._remember(("meter", removed, thresholds, softness), make)

    def initial_state(
        self, parameters: ParameterSet, profile: str = "settled"
    ) -> dict[str, NDArray[np.float64]]:
        """Viable, dead and necrotic tissue on day 0, zero where no tumour can live."""
        state = initial_state(
            parameters,
            self.distances(parameters),
            profile=profile,  # type: ignore[arg-type]
            observed=self.observed_density,
            grows=self.twin.model.grows,
        )
        lives = self.living_nodes()
        return {name: np.where(lives, values, 0.0) for name, values in state.items()}

    def dose_map(self, course: Radiotherapy) -> DoseMap:
        """The dose of one course on the twin's grid."""
        return dose_maps(self.twin, Regimen(course))[0]

    def dose_at_nodes(self, course: Radiotherapy) -> NDArray[np.float64]:
        """Total dose of one course at the nodes, [Gy], shape (node,).

        Without a boost the dose of another prescription is the same map, scaled.
        """
        key = course.where_dose_goes()
        scale = 1.0
        if course.boost_target is None:
            scale, key = course.total_dose_gy, replace(key, total_dose_gy=1.0, fractions=1)

        def make() -> NDArray[np.float64]:
            return np.maximum(at_nodes(self.twin, self.dose_map(key).total_gy), 0.0)

        where = "dose", key, self.twin.setup, _guided(self.twin)
        return scale * self._remember(where, make, of_a_kind=16)

    def oxygen_factor(self, parameters: ParameterSet) -> NDArray[np.float64] | None:
        """Factor of the dose at the nodes by the hypoxia image, [1], shape (node,).

        None where the twin has no such image.
        """
        image = self.twin.hypoxia
        if image is None:
            return None
        ratio = self._remember("hypoxia", lambda: at_nodes(self.twin, image.ratio))
        viable = [self.twin.structures[name].mask for name in ("enhancing", "flair")]
        return dose_factor(image, ratio, viable[0] | viable[1], parameters)

    def enhancing_at_nodes(self) -> NDArray[np.float64]:
        """Share of enhancing tumour and its necrosis on day 0, where the barrier is broken, [1].

        Shape (node,).
        """

        def make() -> NDArray[np.float64]:
            parts = self.twin.structures
            broken = parts["enhancing"].mask | parts["necrosis"].mask
            return np.clip(at_nodes(self.twin, broken.astype(np.float32)), 0.0, 1.0)

        found: NDArray[np.float64] = self._remember("enhancing", make)
        return found

    def perfusion_at_nodes(self) -> NDArray[np.float64]:
        """Perfusion over its reference, [1], shape (node,)."""

        def make() -> NDArray[np.float64]:
            return np.maximum(at_nodes(self.twin, self.twin.perfusion), 0.0)  # type: ignore[arg-type]

        found: NDArray[np.float64] = self._remember("perfusion", make)
        return found

    def temperature_at_nodes(self, course: Hyperthermia) -> NDArray[np.float64]:
        """Temperature in the sessions of a course at the nodes, [degC], shape (node,)."""
        name = course.temperature_map
        map_ = None if name is None else id(self.twin.temperatures.get(name))
        key = ("temperature", course.temperature_c, course.structure, name, map_)

        def make() -> NDArray[np.float64]:
            found = at_nodes(self.twin, temperature_on_grid(self.twin, course))
            return np.clip(found, BODY_CELSIUS, HOTTEST_CELSIUS)

        return self._remember(key, make)

    def planned(self, course: Radiotherapy) -> PlannedDose | None:
        """The treatment plan's dose that a course names, if the twin has it."""
        return None if course.dose is None else self.twin.doses.get(course.dose)

    def let_at_nodes(self, course: Radiotherapy) -> NDArray[np.float64] | None:
        """Linear energy transfer of a course at the nodes, [keV/um], shape (node,).

        None where its effectiveness does not vary.
        """
        plan = self.planned(course)
        if plan is None or plan.variable is None:
            return None

        def make() -> NDArray[np.float64]:
            let = self.dose_map(course.where_dose_goes()).let_kev_um
            return np.maximum(at_nodes(self.twin, let), 0.0)  # type: ignore[arg-type]

        found: NDArray[np.float64] = self._remember(("let", course.dose, self.twin.setup), make)
        return found


def _identity(twin: Twin) -> Hashable:
    """What a `Prepared` depends on, by identity: cheap, and its own reference keeps it alive."""
    masks = tuple((name, id(part.mask)) for name, part in sorted(twin.structures.items()))
    maps = tuple(
        (name, id(part)) for name, part in sorted((twin.tissue_probabilities or {}).items())
    )
    fibres = id(twin.tensor) if twin.model.migration == "tensor" else None
    doses = tuple((name, id(dose)) for name, dose in sorted(twin.doses.items()))
    images = id(twin.evidence), id(twin.hypoxia), id(twin.perfusion)
    heat = tuple((name, id(part)) for name, part in sorted(twin.temperatures.items()))
    return id(twin.mesh), id(twin.tissues), masks, maps, fibres, images, doses, heat


def _course(twin: Twin) -> Hashable:
    """What doses, schedules and migration read of a twin besides its anatomy."""
    return (
        twin.model.grows, twin.setup, _guided(twin), twin.body_surface_m2, twin.gfr_ml_min,
        twin.calendar,
    )  # fmt: skip


def _guided(twin: Twin) -> Hashable:
    """The density-guided targets of a twin."""
    return tuple((name, target.digest) for name, target in sorted(twin.guided.items()))


_prepared: OrderedDict[Hashable, Prepared] = OrderedDict()
_lock = threading.Lock()


def prepare(twin: Twin) -> Prepared:
    """The shared anatomy of a twin; the last six are kept."""
    with _lock:
        key = _identity(twin)
        if key in _prepared:
            _prepared.move_to_end(key)
        else:
            while len(_prepared) >= 6:
                _prepared.popitem(last=False)
            _prepared[key] = Prepared(twin)
        found = _prepared[key]
        return found if _course(found.twin) == _course(twin) else Prepared(twin, found)
