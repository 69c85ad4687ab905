"""Response categories from measurements on images: RANO 2.0 and RECIST 1.1, imaging only.

Falls are against the baseline, rises against the nadir; thresholds are inclusive, and
progression is tested before response. Steroids and the clinical state count as well in
both criteria and are not known here, so every category is "imaging only".
"""

from __future__ import annotations

import math
from typing import Literal

from twin.errors import InvalidInput

__all__ = [
    "Category",
    "ellipsoid_volume",
    "rano",
    "recist",
    "volume_ratio_of_products",
]

Category = Literal["CR", "PR", "MR", "SD", "PD"]

#: RANO 2.0 (Wen et al. 2023, J Clin Oncol 41:5187, doi 10.1200/JCO.23.01059): rise over the
#: nadir that is progression, fall below the baseline that is a partial and a minor response,
#: by the product of diameters and by volume. The minor response is for tumours that do not
#: enhance; its 40 % by volume is unverified (a sphere's would be 35 %).
_RANO = {"2d": (0.25, 0.50, 0.25), "volume": (0.40, 0.65, 0.40)}
#: RECIST 1.1 (Eisenhauer et al. 2009, Eur J Cancer 45:228, doi 10.1016/j.ejca.2008.10.026).
_RECIST_RISE, _RECIST_RISE_MM, _RECIST_FALL = 0.20, 5.0, 0.30
_ROUNDING = 1e-9


def _check(**values: float) -> None:
    for name, value in values.items():
        if not 0.0 <= value < math.inf:
            raise InvalidInput(f"The {name} is {value}; it must be finite and at least 0.")
    if not values["baseline"] > 0.0:
        raise InvalidInput("The baseline is 0, so there is nothing whose response can be judged.")


def rano(
    baseline: float,
    nadir: float,
    current: float,
    *,
    mode: Literal["2d", "volume"],
    new_lesion: bool = False,
    non_enhancing: bool = False,
) -> Category:
    """Category by RANO 2.0, imaging only.

    Parameters
    ----------
    baseline, nadir, current : float
        Sum of products of perpendicular diameters [mm2] or volume [mm3], in one unit: at the
        baseline (the scan after radiotherapy), at the least so far, and now.
    mode : {"2d", "volume"}
    new_lesion : bool
        A measurable lesion that was not there.
    non_enhancing : bool
        Judge the tumour that does not enhance, for which there is a minor response.

    Examples
    --------
    >>> rano(600, 600, 300, mode="2d"), rano(600, 300, 375, mode="2d")
    ('PR', 'PD')
    """
    if mode not in _RANO:
        raise InvalidInput(f"The mode is {mode!r}; it may be '2d' or 'volume'.")
    _check(baseline=baseline, nadir=nadir, current=current)
    rise, partial, minor = _RANO[mode]
    least = min(nadir, baseline)
    if new_lesion or (current > 0.0 and current >= (1.0 + rise) * least * (1.0 - _ROUNDING)):
        return "PD"
    if current == 0.0:
        return "CR"
    fall = (1.0 - current / baseline) * (1.0 + _ROUNDING)
    if fall >= partial:
        return "PR"
    if non_enhancing and fall >= minor:
        return "MR"
    return "SD"


def recist(
    baseline_mm: float, nadir_mm: float, current_mm: float, *, new_lesion: bool = False
) -> Category:
    """Category by RECIST 1.1 of target lesions that are not nodes, imaging only.

    Parameters
    ----------
    baseline_mm, nadir_mm, current_mm : float, [mm]
        Sum of longest diameters at the baseline, at the least so far, and now.
    new_lesion : bool

    Examples
    --------
    >>> recist(100, 100, 70), recist(100, 60, 72), recist(100, 20, 24)
    ('PR', 'PD', 'PR')
    """
    _check(baseline=baseline_mm, nadir=nadir_mm, current=current_mm)
    least = min(nadir_mm, baseline_mm)
    rise = (current_mm - least) * (1.0 + _ROUNDING)
    grown = rise >= _RECIST_RISE * least and rise >= _RECIST_RISE_MM
    if new_lesion or (current_mm > 0.0 and grown):
        return "PD"
    if current_mm == 0.0:
        return "CR"
    fall = (baseline_mm - current_mm) * (1.0 + _ROUNDING)
    return "PR" if fall >= _RECIST_FALL * baseline_mm else "SD"


def volume_ratio_of_products(ratio: float) -> float:
    """Ratio of volumes of spheres whose products of diameters have this ratio, [1].

    Examples
    --------
    >>> round(volume_ratio_of_products(1.25), 3)
    1.398
    """
    if not 0.0 <= ratio < math.inf:
        raise InvalidInput(f"The ratio is {ratio}; it must be finite and at least 0.")
    return ratio**1.5


def ellipsoid_volume(a_mm: float, b_mm: float, c_mm: float) -> float:
    """Volume of an ellipsoid of three diameters, ``pi/6 a b c``, [mm3].

    Examples
    --------
    >>> round(ellipsoid_volume(10.0, 10.0, 10.0), 2)
    523.6
    """
    for value in (a_mm, b_mm, c_mm):
        if not 0.0 <= value < math.inf:
            raise InvalidInput(f"A diameter is {value} mm; it must be finite and at least 0.")
    return math.pi / 6.0 * a_mm * b_mm * c_mm
