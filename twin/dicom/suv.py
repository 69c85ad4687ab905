"""Standardised uptake value by body weight, from the activity that a PET image states.

``SUV = activity [Bq/mL] x body weight [g] / dose [Bq]``, the dose decayed to the time that
the image's activity is corrected to: the start of the scan (DecayCorrection START), the
injection itself (ADMIN: no decay), or each slice's own acquisition (NONE). The order in which
the start of the scan is sought follows the Quantitative Imaging Biomarkers Alliance's
vendor-neutral pseudo-code (RSNA, QIBA wiki, "Standardized Uptake Value (SUV)"): the series'
time, unless it is later than an acquisition (the series was made anew), then General
Electric's own element. Where that is absent we take the earliest acquisition.
"""

from __future__ import annotations

import math
from typing import Any

from twin.dicom.header_values import number_of, text_of
from twin.dicom.moments import Moment, moment_of
from twin.errors import InvalidInput

__all__ = ["suv_factor"]

_LONGEST_WAIT_S = 12 * 3600.0  # where no date tells more
_MOST_HALF_LIVES = 10.0
_UNITS = {
    "BQML": "BQML", "GML": "GML", "CNTS": "CNTS",
    "Bq/ml": "BQML", "Bq/mL": "BQML", "{SUVbw}g/ml": "GML", "g/ml{SUVbw}": "GML", "g/ml": "GML",
}  # fmt: skip


#: Words of the standard that a message may repeat.
_WORDS = frozenset((
    "CNTS", "NONE", "CM2", "PCNT", "CPS", "BQML", "MGMINML", "UMOLMINML", "MLMING", "MLG", "1CM",
    "UMOLML", "PROPCNTS", "PROPCPS", "MLMINML", "MLML", "GML", "STDDEV", "BSA", "LBM",
    "LBMJAMES128", "LBMJANMA", "IBW", "START", "ADMIN",
))  # fmt: skip


def suv_factor(
    dataset: Any,
    *,
    what: str,
    unit: str = "",
    first: Moment | None = None,
    own: Moment | None = None,
) -> float:
    """Return what rescaled values are multiplied by to become SUV by body weight, [1].

    Parameters
    ----------
    dataset : pydicom.Dataset
        Header of a slice (or the shared header of frames).
    what : str
        What it is; errors begin with it.
    unit : str
        Unit of a mapping to the real world, where the header itself names none.
    first : Moment or None
        Earliest acquisition of the series, which the scan cannot begin after.
    own : Moment or None
        Acquisition of this slice, for activity that is not corrected for decay.

    Raises
    ------
    InvalidInput
        Units that are no activity, no correction for attenuation, or a value that the formula
        needs and that is missing.

    Examples
    --------
    Activity corrected to the injection needs no decay: 70 kg and 350 MBq.

    >>> from pydicom.dataset import Dataset
    >>> header, tracer = Dataset(), Dataset()
    >>> header.Units, header.DecayCorrection, header.PatientWeight = "BQML", "ADMIN", 70
    >>> tracer.RadionuclideTotalDose = 350e6
    >>> header.RadiopharmaceuticalInformationSequence = [tracer]
    >>> suv_factor(header, what="PET") * 5000.0
    1.0
    """
    stated = text_of(dataset, "Units") or unit
    units = _UNITS.get(stated) or _UNITS.get(stated.upper(), "")
    corrections = _parts(dataset, "CorrectedImage")
    if (corrections and "ATTN" not in corrections) or (
        text_of(dataset, "AttenuationCorrected").upper() == "NO"
    ):
        raise InvalidInput(
            f"{what} is not corrected for attenuation, so its values are no activity; take the "
            "corrected series."
        )
    if units == "GML":
        kind = text_of(dataset, "SUVType").upper()
        if kind not in ("", "BW"):
            raise InvalidInput(
                f"{what} is an SUV by {_told(kind)}, not by body weight (BW); export it by body "
                "weight."
            )
        return 1.0
    if units == "CNTS":
        return _philips(dataset, what)
    if units != "BQML":
        raise InvalidInput(
            f"{what} has no unit that is known ({_told(stated, 'none is stated')}); an SUV can be "
            "had from BQML (activity) and GML (SUV): export it in one of these."
        )
    return 1000.0 * _weight(dataset, what) / _dose_left(dataset, what, first, own)


def _weight(dataset: Any, what: str) -> float:
    weight = number_of(dataset.get("PatientWeight"))
    if weight is None or not 0.5 < weight < 700.0:
        told = "no body weight" if weight is None else f"a body weight of {weight:g} kg"
        raise InvalidInput(
            f"{what} states {told}, which an SUV needs in kg; export it with PatientWeight, or in "
            "GML."
        )
    return weight


def _dose_left(dataset: Any, what: str, first: Moment | None, own: Moment | None) -> float:
    """Dose that is left at the time that the activity is corrected to, [Bq]."""
    items: Any = dataset.get("RadiopharmaceuticalInformationSequence") or ()
    if len(items) > 1:
        raise InvalidInput(
            f"{what} states several radiopharmaceuticals, so its SUV is not defined; export it in "
            "GML."
        )
    dose = number_of(items[0].get("RadionuclideTotalDose")) if len(items) else None
    if dose is None or not dose > 0.0:
        raise InvalidInput(
            f"{what} states no injected dose, which an SUV needs; export it with "
            "RadionuclideTotalDose, or in GML."
        )
    if dose < 1e5:  # MBq instead of Bq, as some exports have it: no patient is given 100 kBq
        raise InvalidInput(
            f"{what} states an injected dose of {dose:g} Bq, which is no patient's (at least 1e5); "
            "it is probably in MBq: correct RadionuclideTotalDose."
        )
    if text_of(dataset, "DecayCorrection").upper() == "ADMIN":
        return dose
    until = _corrected_to(dataset, what, first, own)
    half_life = number_of(items[0].get("RadionuclideHalfLife"))
    if half_life is None or not half_life > 0.0:
        raise InvalidInput(
            f"{what} states no half-life of its nuclide, which an SUV needs; export it with "
            "RadionuclideHalfLife, or in GML."
        )
    injected = moment_of(
        items[0],
        time="RadiopharmaceuticalStartTime",
        date_time="RadiopharmaceuticalStartDateTime",
    )
    if injected is None or until is None:
        raise InvalidInput(
            f"{what} states no time of {'injection' if injected is None else 'the scan'}, which an "
            "SUV needs; export it with both times, or in GML."
        )
    return dose * math.exp2(-_wait(injected, until, half_life, what) / half_life)


def _corrected_to(
    dataset: Any, what: str, first: Moment | None, own: Moment | None
) -> Moment | None:
    """The moment that the activity is corrected to."""
    if text_of(dataset, "DecayCorrected").upper() == "YES":  # of enhanced PET
        return moment_of(dataset, date_time="DecayCorrectionDateTime")
    correction = text_of(dataset, "DecayCorrection").upper()
    if correction == "NONE" or text_of(dataset, "DecayCorrected").upper() == "NO":
        return own
    if correction != "START":
        raise InvalidInput(
            f"{what} does not say to what time its activity is corrected (DecayCorrection is "
            f"{_told(correction, 'missing')}); export it with START, ADMIN or NONE, or in GML."
        )
    series = moment_of(dataset, time="SeriesTime", date="SeriesDate")
    if series is not None and (first is None or _not_after(series, first)):
        return series
    return _general_electric(dataset) or first


def _not_after(one: Moment, other: Moment) -> bool:
    """Whether a moment is no more than a second after another, by the time of day if need be."""
    if one.day is None or other.day is None:
        return one.seconds <= other.seconds + 1.0
    return one.until(other) >= -1.0


def _general_electric(dataset: Any) -> Moment | None:
    """Start of the scan as General Electric states it beside series that are made anew."""
    from pydicom.dataset import Dataset

    try:
        block = dataset.private_block(0x0009, "GEMS_PETD_01")
        copy = Dataset()
        copy.AcquisitionDateTime = str(block[0x0D].value)
    except (KeyError, ValueError, AttributeError):
        return None
    return moment_of(copy, date_time="AcquisitionDateTime")


def _wait(injected: Moment, until: Moment, half_life: float, what: str) -> float:
    """Seconds from injection to the time of reference, which have to make sense."""
    wait = injected.until(until)
    dated = injected.day is not None and until.day is not None
    if not dated and half_life > _LONGEST_WAIT_S:
        raise InvalidInput(
            f"{what} states the injection's time but not its date, which a nuclide with a "
            f"half-life of {half_life / 3600.0:.3g} h needs; export it with "
            "RadiopharmaceuticalStartDateTime, or in GML."
        )
    most = _MOST_HALF_LIVES * half_life if dated else _LONGEST_WAIT_S
    if not 0.0 <= wait <= most:
        when = "after" if wait < 0.0 else "before"
        raise InvalidInput(
            f"{what} states an injection {abs(wait) / 3600.0:.3g} h {when} the scan, which cannot "
            f"be (0 to {most / 3600.0:.3g} h before); correct its times."
        )
    return wait


def _philips(dataset: Any, what: str) -> float:
    """Philips states the factor from counts to SUV in a private element."""
    try:
        factor = float(dataset[0x7053, 0x1000].value)
    except (KeyError, TypeError, ValueError):
        factor = 0.0
    if not (factor > 0.0 and math.isfinite(factor)):
        raise InvalidInput(
            f"{what} has values in counts (CNTS) without a factor to SUV; export it in BQML or GML."
        )
    return factor


def _told(value: str, absent: str = "none") -> str:
    """A word of the standard as it is, any other left out."""
    return (value if value.upper() in _WORDS else "none of the standard's") if value else absent


def _parts(dataset: Any, key: str) -> tuple[str, ...]:
    value = dataset.get(key)
    several = (value,) if value is None or isinstance(value, str) else tuple(value)
    return tuple(str(one).strip().upper() for one in several if one)
