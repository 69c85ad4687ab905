"""From follow-up scans to observations: which outlines count, and how exact they are.

- The enhancing outline counts on every scan, with twice the noise from the first fraction until
  12 weeks after the last, when enhancement may be an effect of treatment (the 12 weeks of RANO:
  Wen 2010, J Clin Oncol 28:1963 [unverified]; the factor is assumed).
- The FLAIR outline is oedema as well as cells: it may lie further out, and its shape is not that
  of the cells, so only its mean distance counts. It is left out during radiotherapy and within 12
  weeks of it, and under drugs against VEGF, which take oedema away.
- A tumour too small for an outline counts by its volume, none at all as a complete response.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from solvers.calibration.likelihood import Observation, Outline, Volume
from solvers.calibration.outlines import OutlineNoise, PatchedOutline, patched_outline
from solvers.initial_state import at_nodes
from solvers.prepared import Prepared, prepare
from twin.errors import InvalidInput
from twin.follow_up import CalibrationTable, FollowUp
from twin.patient import Twin
from twin.regimen import Regimen
from twin.targets import distance_to

__all__ = ["Scans", "default_unknowns", "observe"]

#: How long after radiotherapy enhancement and oedema may be its effects, [day].
PROTECTED_DAY = 84.0
#: assumed: how much less exact an enhancing outline is then.
PROTECTED_FACTOR = 2.0
ANTI_VEGF = ("bevacizumab",)
#: A tumour below this counts by its volume: a ball of 10 mm (the smallest measurable, RANO).
LEAST_OUTLINED_ML = 0.52
#: Smallest volume that is seen: a ball of 5 mm.
LEAST_SEEN_ML = 0.065
#: assumed: error of the logarithm of a small volume.
SMALL_SD_LN = 0.3


@dataclass(frozen=True, slots=True)
class Scans:
    """Observations of a twin, and in words what was left out.

    Parameters
    ----------
    observations : tuple of Observation
    remarks : tuple of str
    """

    observations: tuple[Observation, ...]
    remarks: tuple[str, ...]


def observe(
    twin: Twin, scans: Iterable[FollowUp], regimen: Regimen, how: CalibrationTable
) -> Scans:
    """What follow-up scans say on the twin's mesh.

    Parameters
    ----------
    twin : Twin
    scans : iterable of FollowUp
        On its grid.
    regimen : Regimen
        Treatment given since day 0.
    how : CalibrationTable
        How exact outlines are.

    Raises
    ------
    InvalidInput
        A scan before treatment that is labelled as after it, or the other way round.
    """
    prepared = prepare(twin)
    schedule = regimen.schedule(twin.calendar)
    begun = schedule.events[0].day if schedule.events else np.inf
    noise = OutlineNoise(how.outline_sd, how.shared_sd)
    found: list[Observation] = []
    remarks = []
    for scan in scans:
        _check_timing(scan, begun)
        protected = _protected(scan.day, regimen, twin)
        core = noise.times(PROTECTED_FACTOR) if protected else noise
        day = scan.date.isoformat()
        found.append(
            _outline(prepared, scan.day, f"enhancing, {day}", scan.core, "threshold_t1gd", core)
        )
        if protected:
            remarks.append(
                f"{day}: within 12 weeks of radiotherapy, so the FLAIR outline is left out and "
                "the enhancing one counts half as exact."
            )
        elif _against_vegf(scan.day, regimen, twin):
            remarks.append(f"{day}: a drug against VEGF, so the FLAIR outline is left out.")
        elif not scan.whole.any():
            remarks.append(f"{day}: no FLAIR abnormality is segmented; it is left out.")
        else:
            whole = _outline(
                prepared, scan.day, f"FLAIR, {day}", scan.whole, "threshold_flair", noise,
                oedema_mm=how.oedema_sd,
            )  # fmt: skip
            found.append(whole)
    return Scans(tuple(found), tuple(remarks))


def _check_timing(scan: FollowUp, begun: float) -> None:
    after = scan.day >= begun
    if scan.timing == "before treatment" and after:
        raise InvalidInput(
            f"The scan of {scan.date.isoformat()} is said to be before treatment, but treatment "
            f"began on day {begun:g}, before its day {scan.day:g}; correct timing or [given]."
        )
    if scan.timing == "after treatment" and not after:
        raise InvalidInput(
            f"The scan of {scan.date.isoformat()} is said to be after treatment, but none was "
            "given by then; correct timing or [given]."
        )


def _protected(day: float, regimen: Regimen, twin: Twin) -> bool:
    for course in regimen.radiotherapy:
        days = course.fraction_days(twin.calendar)
        if days[0] < day <= days[-1] + PROTECTED_DAY:
            return True
    return False


def _against_vegf(day: float, regimen: Regimen, twin: Twin) -> bool:
    doses = regimen.schedule(twin.calendar).drug_doses
    return any(dose.drug in ANTI_VEGF and dose.day <= day for dose in doses)


def _outline(
    prepared: Prepared,
    day: float,
    what: str,
    mask: np.ndarray,
    threshold: str,
    noise: OutlineNoise,
    *,
    oedema_mm: float | None = None,
) -> Observation:
    """The observation of one outline; by its volume where it is small."""
    twin = prepared.twin
    volume_ml = twin.grid.volume_ml(mask)
    if volume_ml < LEAST_OUTLINED_ML:
        meter = PatchedOutline.undivided(twin.mesh, prepared.active_cells())
        return Volume(
            day, what, meter, threshold, 1e3 * volume_ml, SMALL_SD_LN, 1e3 * LEAST_SEEN_ML
        )
    signed = at_nodes(twin, distance_to(mask, twin.grid.spacing_mm))
    patches = patched_outline(twin.mesh, prepared.active_cells(), signed)
    return Outline(day, what, patches, threshold, noise, inward_mm=oedema_mm)


def default_unknowns(twin: Twin, regimen: Regimen) -> Sequence[str]:
    """What scans after this treatment can tell something about."""
    names = ["diffusivity_white", "proliferation_rate", "outline_shift"]
    if regimen.radiotherapy:
        names.append("alpha")
    names += [f"{drug}_kill" for drug in regimen.drug_names]
    names += ["threshold_t1gd", "threshold_flair"]
    return tuple(
        name
        for name in names
        if name in twin.parameters and twin.parameters[name].prior is not None
    )
