"""Tumour volumes of groups of animals over time, with the limit of the calipers."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from solvers.fitting.measurement_table import Column, read_measurements
from twin.errors import InvalidInput

__all__ = ["VOLUME_COLUMNS", "TumourVolumes", "read_volumes", "tumour_volumes"]

Floats = NDArray[np.float64]

#: No animal carries more; such a column is in another unit.
_LARGEST_MM3 = 1e6
_LONGEST_DAYS = 3660.0
#: So often must the smallest volume occur before it looks like a limit.
_LIKE_A_LIMIT = 3

VOLUME_COLUMNS = (
    Column("animal", ("animal", "animal_id", "mouse", "mouse_id", "subject", "id")),
    Column(
        "group",
        ("group", "arm", "treatment", "treatment_group", "dose_group"),
        required=False,
    ),
    Column("day", ("day", "days", "time_day", "study_day", "day_of_study")),
    Column(
        "volume",
        ("volume", "volume_mm3", "tumour_volume", "tumor_volume", "tumour_volume_mm3",
         "tumor_volume_mm3"),
    ),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class TumourVolumes:
    """Measurements from the start of treatment on; made by `tumour_volumes`.

    Parameters
    ----------
    time : ndarray, [day], shape (row,)
        Since the start.
    volume : ndarray, [mm3], shape (row,)
        The limit itself where censored.
    censored : ndarray of bool, shape (row,)
        At or below the limit of the calipers.
    animal : ndarray of int, shape (row,)
    group : ndarray of int, shape (animal,)
        0 is the control.
    groups : tuple of str
        Names, the control first.
    start : float, [day]
        Of the table, where time is 0.
    floor : float, [mm3]
        The limit; 0 if none.
    sha256 : str
        Of the file; empty if there is none.
    notes : tuple of str
    """

    time: Floats
    volume: Floats
    censored: NDArray[np.bool_]
    animal: NDArray[np.intp]
    group: NDArray[np.intp]
    groups: tuple[str, ...]
    start: float
    floor: float
    sha256: str = ""
    notes: tuple[str, ...] = ()

    @property
    def animals(self) -> int:
        """Number of animals."""
        return len(self.group)


def tumour_volumes(
    animal: Sequence[str],
    group: Sequence[str],
    day: ArrayLike,
    volume: ArrayLike,
    *,
    control: str | None = None,
    floor_mm3: float = 0.0,
    start_day: float | None = None,
    sha256: str = "",
) -> TumourVolumes:
    """Return measurements, checked, with what cannot be used left out and said.

    Parameters
    ----------
    animal, group : sequence of str, shape (row,)
        Two animals of one name in different groups are two animals.
    day : array_like, [day], shape (row,)
    volume : array_like, [mm3], shape (row,)
        NaN where nothing was measured.
    control : str, optional
        The untreated group; may be left out where there is one group only.
    floor_mm3 : float, [mm3]
        Volumes at or below it were too small to measure.
    start_day : float, [day], optional
        First day of treatment; earlier measurements are not used. The table's first day
        if None.
    sha256 : str
        Of the file, for the record.

    Raises
    ------
    InvalidInput
        No control named, a volume of 0 without a floor, an animal measured twice on one
        day, groups too small to be fitted.

    Examples
    --------
    >>> names = ["1", "1", "2", "2"]
    >>> both = tumour_volumes(names, ["a"] * 4, [0, 7, 0, 7], [100, 16, 90, 200], floor_mm3=16)
    >>> both.censored.tolist()
    [False, True, False, False]
    """
    days, volumes = np.asarray(day, np.float64), np.asarray(volume, np.float64)
    names = tuple(dict.fromkeys(group))
    if not (len(animal) == len(group) == len(days) == len(volumes) and len(names)):
        raise InvalidInput("Animals, groups, days and volumes differ in number; give each of all.")
    if not 0.0 <= floor_mm3 < _LARGEST_MM3:
        raise InvalidInput(
            f"The limit of the calipers is {floor_mm3} mm3; give at least 0 and less than 1e6 mm3."
        )
    groups = _control_first(names, control)
    start = float(days.min()) if start_day is None else float(start_day)
    if not days.min() <= start < days.max():
        raise InvalidInput(
            f"Treatment starts on day {start:g}, but measurements are from day {days.min():g} to "
            f"{days.max():g}; choose a day with measurements after it."
        )
    notes = []
    missing, early = np.isnan(volumes), days < start
    if missing.any():
        notes.append(f"{int(missing.sum())} measurement(s) without a volume left out")
    if (early & ~missing).any():
        notes.append(
            f"{int((early & ~missing).sum())} measurement(s) before day {start:g} left out"
        )
    kept = np.flatnonzero(~missing & ~early)
    keys = [(group[row], animal[row]) for row in kept]
    _check_volumes(volumes[kept], floor_mm3)
    twice = [key for key, count in Counter(zip(keys, days[kept], strict=True)).items() if count > 1]
    if twice:
        (of, which), when = twice[0]
        raise InvalidInput(
            f"Animal {which!r} of group {of!r} is measured twice on day {when:g}; keep one of both."
        )
    animals = tuple(dict.fromkeys(keys))
    if len({name for _, name in animals}) < len(animals):
        notes.append("animals of one name in different groups are taken as different animals")
    place = {key: number for number, key in enumerate(animals)}
    censored = volumes[kept] <= floor_mm3
    if censored.any():
        notes.append(
            f"{int(censored.sum())} volume(s) at or below {floor_mm3:g} mm3 count as 'at most that'"
        )
    elif len(kept):
        smallest = float(volumes[kept].min())
        often = int((volumes[kept] == smallest).sum())
        if often >= _LIKE_A_LIMIT and floor_mm3 == 0.0:
            notes.append(
                f"{often} volumes are {smallest:g} mm3, the smallest of all: if that is the "
                f"limit of the calipers, say --floor {smallest:g}"
            )
    found = TumourVolumes(
        time=days[kept] - start,
        volume=np.where(censored, floor_mm3, volumes[kept]),
        censored=censored,
        animal=np.array([place[key] for key in keys], np.intp),
        group=np.array([groups.index(of) for of, _ in animals], np.intp),
        groups=groups,
        start=start,
        floor=float(floor_mm3),
        sha256=sha256,
        notes=tuple(notes),
    )
    _check_groups(found)
    return found


def _control_first(names: tuple[str, ...], control: str | None) -> tuple[str, ...]:
    if control is None:
        if len(names) > 1:
            raise InvalidInput(
                f"There are {len(names)} groups ({', '.join(names)}) and none is named as the "
                "untreated control; name it (--control NAME)."
            )
        return names
    if control not in names:
        raise InvalidInput(
            f"There is no group {control!r} to be the control; there are {', '.join(names)}."
        )
    return (control, *(name for name in names if name != control))


def _check_volumes(volumes: Floats, floor: float) -> None:
    bad = ~((volumes >= 0.0) & (volumes <= _LARGEST_MM3))
    if bad.any():
        raise InvalidInput(
            f"A volume is {volumes[bad][0]:g} mm3, but must be from 0 to 1e6 mm3; check the unit."
        )
    if floor == 0.0 and (volumes == 0.0).any():
        raise InvalidInput(
            "A volume is 0 mm3, which only says that it is too small to be measured; give the "
            "smallest measurable volume (--floor MM3)."
        )


def _check_groups(found: TumourVolumes) -> None:
    for number, name in enumerate(found.groups):
        own = found.group[found.animal] == number
        days = Counter(found.animal[own].tolist())
        followed = sum(1 for count in days.values() if count >= 2)
        if followed < 2:
            raise InvalidInput(
                f"Group {name!r} has {followed} animal(s) measured on two days or more from "
                f"day {found.start:g} on; at least two are needed, so leave the group out or "
                "measure more."
            )
        if found.censored[own & (found.time > 0.0)].all():
            raise InvalidInput(
                f"Every later volume of group {name!r} is at or below the limit of "
                f"{found.floor:g} mm3, so that its kill rate has no upper end; leave it out."
            )


def read_volumes(
    path: str | os.PathLike[str],
    *,
    control: str | None = None,
    floor_mm3: float = 0.0,
    start_day: float | None = None,
    columns: Mapping[str, str] | None = None,
) -> TumourVolumes:
    r"""Return the measurements of a table with columns animal, group, day, volume [mm3].

    Parameters
    ----------
    path : path
        Tabs, semicolons or commas. Without a column of groups there is one.
    control, floor_mm3, start_day
        As in `tumour_volumes`.
    columns : mapping of str to str, optional
        ``animal``, ``group``, ``day``, ``volume`` to the file's headers.

    Raises
    ------
    InvalidInput
        See `read_measurements` and `tumour_volumes`.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "volumes.csv"
    >>> rows = ["animal,day,volume", "1,0,100", "1,7,200", "2,0,90", "2,7,NaN", "2,9,300"]
    >>> _ = file.write_text("\n".join(rows))
    >>> read_volumes(file).notes
    ('1 measurement(s) without a volume left out',)
    """
    table = read_measurements(path, VOLUME_COLUMNS, renamed=columns, what="table of volumes")
    rows = len(table.lines)
    return tumour_volumes(
        table.labels("animal"),
        table.labels("group") if "group" in table.cells else ("all",) * rows,
        table.numbers("day", at_least=-_LONGEST_DAYS, at_most=_LONGEST_DAYS, hint="give days"),
        table.numbers(
            "volume",
            at_least=0.0,
            at_most=_LARGEST_MM3,
            may_be_missing=True,
            hint="volumes are in mm3",
        ),
        control=control,
        floor_mm3=floor_mm3,
        start_day=math.nan if start_day is not None and math.isnan(start_day) else start_day,
        sha256=table.sha256,
    )
