"""Response of the arms of a study: scans by diameters, times, pseudo-progression, extinction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from scenarios.extinction import extinction_sentences
from scenarios.lesion_scans import LesionScan, diameters_of_study, disagreements, rule_of
from scenarios.pseudo_progression import (
    Weighed,
    pseudo_progression_sentences,
    weighed_scans,
)
from scenarios.scans import Criteria, Scan, ScanCalendar, Scans
from scenarios.time_measures import RULE as TIMES_RULE
from scenarios.time_measures import ArmTimes, time_measures
from twin.site import site_from_record

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["Response", "response_of"]


@dataclass(frozen=True, slots=True)
class Response:
    """What is read off the arms of a case besides volumes.

    Parameters
    ----------
    by_diameters : mapping of str to mapping of str to Scans
        By criterion, the study's first, and arm; empty for a case whose densities are not kept.
    times : mapping of str to mapping of str to ArmTimes
        By threshold and arm: days gained, delay of progression, doubling time.
    pseudo_progression : mapping of str to Weighed
        Of every arm that may have it, where the study asks for it.
    notes : list of str
        The rules behind them, and what they say in sentences.
    """

    by_diameters: Mapping[Criteria, Mapping[str, Scans[LesionScan]]] = field(default_factory=dict)
    times: Mapping[str, Mapping[str, ArmTimes]] = field(default_factory=dict)
    pseudo_progression: Mapping[str, Weighed] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Plain data that JSON can hold; infinite times as null."""
        return {
            "scans_by_diameters": {
                criterion: {
                    name: {
                        "best_response": found.best,
                        "progression_between_days": (
                            None if found.progression is None else list(found.progression)
                        ),
                        "scans": [asdict(scan) for scan in found.scans],
                    }
                    for name, found in arms.items()
                }
                for criterion, arms in self.by_diameters.items()
            },
            "times": {
                threshold: {name: one.as_dict() for name, one in arms.items()}
                for threshold, arms in self.times.items()
            },
            "pseudo_progression": {
                name: one.as_dict() for name, one in self.pseudo_progression.items()
            },
        }


def response_of(
    results: xr.Dataset,
    case: str,
    study: Mapping[str, Any],
    calendar: ScanCalendar,
    scans: Mapping[str, Scans[Scan]],
) -> Response:
    """Response of every arm of a case; nothing of a model without growth, where nothing comes back.

    Parameters
    ----------
    results : xarray.Dataset
        Of a study.
    case : str
    study : mapping
        The resolved study, as the results hold it.
    calendar : ScanCalendar
    scans : mapping of str to Scans
        By RANO and volume, of every arm; empty at other sites than the brain, which are judged
        by RECIST alone.
    """
    if "tumour_control" in results:
        return Response()
    site = site_from_record(results.attrs)
    by_diameters = diameters_of_study(results, case, calendar, brain=site.is_brain)
    weighed = weighed_scans(results, case, study, calendar)
    judged: Mapping[str, Scans[Any]] = scans
    if not scans:
        judged = next(iter(by_diameters.values()), {})
    notes = [
        *disagreements(scans, by_diameters),
        *pseudo_progression_sentences(weighed, results),
        TIMES_RULE,
        *extinction_sentences(results, case),
    ]
    if by_diameters:
        label = site.threshold("t1gd")
        notes.insert(0, rule_of(calendar, study["fields_every_days"], list(by_diameters), label))
    return Response(by_diameters, time_measures(results, case, study, judged), weighed, notes)
