"""3D scenes: the tumour in the brain, drawn off-screen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from twin.errors import InvalidInput
from viz.offscreen import quiet_pyvista
from viz.organ_outlines import add_organs
from viz.palette import BRAIN, CAVITY, DOSE, INK, PAPER, RESEARCH_USE, THRESHOLD_COLOURS
from viz.subject import Subject, subject_of
from viz.surfaces import brain_surface, level_surface, mask_surface

if TYPE_CHECKING:
    from twin.events import Cavity
    from twin.patient import Twin

__all__ = ["DOSE_LEVEL", "Stage", "scene"]

#: The dose surface is drawn at this fraction of the prescription, [1].
DOSE_LEVEL = 0.95
#: Distance by which the outer surface is moved outwards for display, [mm].
_APART_MM = 0.7
_REDRAWN = ("cavity", "dose", "caption")


class Stage:
    """The surfaces of one study, each made once and shared by many scenes.

    Parameters
    ----------
    subject : Subject
        Results and, where there is one, the twin.
    """

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self._kept: dict[tuple[object, ...], Any] = {}

    def _once(self, key: tuple[object, ...], make: Any) -> Any:
        if key not in self._kept:
            self._kept[key] = make()
        return self._kept[key]

    def brain(self) -> Any:
        """Surface of the brain."""
        return self._once(("brain",), lambda: brain_surface(self.subject))

    def tumour(self, day: float, level: float, scenario: str, case: str | None = None) -> Any:
        """Surface of the visible tumour density at `level` [1] on the kept day nearest `day`.

        Levels below the highest are drawn a little outside their place: along the
        cortex all of them end at the same facets, which would flicker.
        """
        subject = self.subject

        def make() -> Any:
            density = subject.density(day, scenario=scenario, case=case)
            surface = level_surface(
                subject.points, subject.tissue_cells, density, level, smooth=True
            )
            if surface.n_points and level < max(subject.thresholds.values()):
                surface.points = surface.points + _APART_MM * surface.point_data["Normals"]
            return surface

        key = ("tumour", subject.nearest_field_day(day), level, scenario, case)
        return self._once(key, make)

    def dose(self, scenario: str) -> Any | None:
        """Surface of 95 % of the prescription; None where the scenario gives no dose."""
        subject = self.subject
        dose, prescription = subject.dose(scenario), subject.prescription(scenario)
        if dose is None or not prescription > 0:
            return None
        level = DOSE_LEVEL * prescription
        return self._once(
            ("dose", scenario),
            lambda: level_surface(subject.points, subject.cells, dose, level, smooth=True),
        )

    def cavity(self, structure: str | Cavity) -> Any | None:
        """Surface of a resected structure; None without a twin that holds its mask."""
        mask = self.subject.structure_mask(structure)
        if mask is None or self.subject.twin is None:
            return None
        affine = np.asarray(self.subject.twin.grid.affine, float)
        return self._once(
            ("cavity", structure), lambda: mask_surface(mask, affine, sigma_mm=1.0, level=0.25)
        )

    def view(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Direction from the brain to the camera, from the tumour's side, and the focus [mm]."""
        side = 1.0 if self.subject.tumour_centre[0] >= self.subject.brain_centre[0] else -1.0
        direction = np.array([side * 0.86, 0.42, 0.36])
        return direction / np.linalg.norm(direction), self.subject.brain_centre


def scene(
    results: xr.Dataset | Subject | Stage,
    *,
    scenario: str | None = None,
    day: float = 0.0,
    case: str | None = None,
    twin: Twin | None = None,
    plotter: Any = None,
    show_dose: bool = True,
    caption: bool = True,
    size: tuple[int, int] = (1000, 900),
) -> Any:
    """A `pyvista.Plotter` with brain, tumour, dose and cavity of one scenario on one day.

    Parameters
    ----------
    results : xarray.Dataset, Subject or Stage
        A study or a run; a `Stage` shares its surfaces among scenes.
    scenario, case : str or None
        The first ones if not named.
    day : float, [day]
        The nearest day whose density was kept is shown, and named in the caption.
    twin : Twin or None
        Gives the brain's surface and the resection cavity.
    plotter : pyvista.Plotter or None
        Drawn into if given (what an earlier call drew of the tumour goes, the brain and
        the camera stay); otherwise a new one that needs no display.
    show_dose : bool
        Draw the surface of 95 % of the prescription.
    caption : bool
        Write scenario, day and date into the picture.
    size : tuple of int
        Width and height of a new plotter, [pixel].

    Returns
    -------
    pyvista.Plotter
        Ready for `.show()` or `.screenshot(path)`.

    Raises
    ------
    InvalidInput
        An unknown scenario or case, or a day outside the study.
    """
    stage = results if isinstance(results, Stage) else Stage(subject_of(results, twin))
    subject = stage.subject
    name = subject.scenarios[0] if scenario is None else scenario
    _check_day(subject, day)
    pyvista = quiet_pyvista()
    if plotter is None:
        plotter = pyvista.Plotter(off_screen=True, window_size=list(size))
    for actor in [name for name in plotter.actors if name in _REDRAWN or "tumour" in name]:
        plotter.remove_actor(actor, render=False)
    if "brain" not in plotter.actors:
        plotter.set_background(PAPER)
        _add_brain(plotter, stage.brain())
        add_organs(plotter, subject)
        _orient(plotter, stage)
    shown = subject.nearest_field_day(day)
    for threshold, level in subject.thresholds.items():
        surface = stage.tumour(shown, level, name, case)
        if surface.n_points:
            core = threshold == next(iter(subject.thresholds))
            actor = plotter.add_mesh(
                surface,
                color=THRESHOLD_COLOURS.get(threshold, INK),
                opacity=1.0 if core else 0.99,
                smooth_shading=True,
                culling=False if core else "back",
                ambient=0.1 if core else 0.3,
                specular=0.3 if core else 0.1,
                specular_power=20,
                name=f"tumour {threshold}",
                render=False,
            )
            if not core:
                _glass(actor, clear=0.15, rim=0.95, power=1.3)
    for structure in subject.resected(name, shown):
        cavity = stage.cavity(structure)
        if cavity is not None and cavity.n_points:
            plotter.add_mesh(
                cavity, color=CAVITY, smooth_shading=True, specular=0.2, name="cavity", render=False
            )
    dose = stage.dose(name) if show_dose else None
    if dose is not None and dose.n_points:
        actor = plotter.add_mesh(
            dose,
            color=DOSE,
            opacity=0.99,
            smooth_shading=True,
            culling="back",
            name="dose",
            render=False,
        )
        _glass(actor, clear=0.04, rim=0.9, power=3.0)
    if caption:
        label = f"{name}\n" if name else ""
        plotter.add_text(
            f"{label}day {shown:g}, {subject.calendar.text(shown)}\n{RESEARCH_USE}",
            position="upper_left",
            font_size=10,
            color=INK,
            name="caption",
            render=False,
        )
    return plotter


def _check_day(subject: Subject, day: float) -> None:
    last = float(subject.results["time"].values[-1])
    first = float(subject.results["time"].values[0])
    if not first <= day <= last:
        raise InvalidInput(
            f"Day {day:g} lies outside the study; choose one from {first:g} to {last:g}."
        )


def _add_brain(plotter: Any, surface: Any) -> None:
    """A brain of glass: clear where it faces the viewer, drawn where it turns away."""
    if surface.n_points == 0:
        return
    actor = plotter.add_mesh(
        surface,
        color=BRAIN,
        opacity=0.99,  # below one, so that it is drawn among the translucent surfaces
        smooth_shading=True,
        culling="back",
        ambient=0.25,
        diffuse=0.75,
        specular=0.15,
        specular_power=15,
        name="brain",
        render=False,
    )
    _glass(actor, clear=0.10, rim=0.95, power=1.6)


def _glass(actor: Any, *, clear: float, rim: float, power: float) -> None:
    """Opacity from `clear` face-on to `rim` edge-on, computed for every pixel."""
    actor.GetShaderProperty().AddFragmentShaderReplacement(
        "//VTK::Light::Impl",
        True,
        "//VTK::Light::Impl\n"
        f"  float turned = pow(1.0 - abs(normalVCVSOutput.z), {power:.3f});\n"
        f"  fragOutput0.a = mix({clear:.3f}, {rim:.3f}, clamp(turned, 0.0, 1.0));\n",
        False,
    )


def _orient(plotter: Any, stage: Stage) -> None:
    """Camera from the tumour's side, parallel projection, axes named by direction."""
    direction, focus = stage.view()
    points = stage.subject.points - focus
    extent = np.linalg.norm(points, axis=1).max()
    plotter.camera_position = [focus + 4 * extent * direction, focus, (0.0, 0.0, 1.0)]
    plotter.enable_parallel_projection()
    across = np.cross((0.0, 0.0, 1.0), direction)
    across /= np.linalg.norm(across)
    half_width = np.abs(points @ across).max()
    half_height = np.abs(points @ np.cross(direction, across)).max()
    width, height = plotter.window_size
    plotter.camera.parallel_scale = 1.04 * max(half_height, half_width * height / width)
    plotter.camera.clipping_range = (extent, 7 * extent)
    plotter.enable_anti_aliasing("ssaa")
    plotter.enable_depth_peeling(number_of_peels=8)
    plotter.add_axes(
        xlabel="R",
        ylabel="A",
        zlabel="S",
        color=INK,
        x_color="#0072B2",
        y_color="#009E73",
        z_color="#CC79A7",
        line_width=3,
        label_size=(0.4, 0.16),
        viewport=(0.0, 0.0, 0.22, 0.22),
    )
