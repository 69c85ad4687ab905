"""Probabilities of tumour control of a study's results, as rows of a table and as text."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from rich import box
from rich.table import Table
from rich.text import Text

from scenarios.tumour_control import percent_of_control

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

__all__ = ["CONTROL_HEADS", "control_cells", "control_notes", "control_row", "control_tables"]

_PATIENT, _POPULATION = "TCP, one patient [1]", "TCP, population [1]"
_LOW, _HIGH = "TCP, population 5 % [1]", "TCP, population 95 % [1]"
_BETTER, _WORSE = "TCP higher than compared [1]", "TCP lower than compared [1]"
#: Probabilities nearer than this are the same, [1].
_SAME = 1e-3
#: Heads of the columns of `control_cells`.
CONTROL_HEADS = ("population", "90 % interval", "one patient", "higher than the compared arm")


def control_row(
    results: xr.Dataset, scenario: str | None = None, compared_with: str | None = None
) -> dict[str, float]:
    """Numbers of one arm and case, [1]; none where the model grows.

    Higher and lower than the arm that it is compared with are shares of the draws, which are the
    same for all arms.

    Parameters
    ----------
    results : xarray.Dataset
        Of one case; of one arm already where `scenario` is None.
    scenario, compared_with : str or None
        Names of the arm and of the one that it is compared with.
    """
    if "tumour_control" not in results:
        return {}
    arm = results if scenario is None else results.sel(scenario=scenario)
    row = {
        _PATIENT: float(arm["tumour_control"]),
        _POPULATION: float(arm["tumour_control_population"]),
    }
    if "tumour_control_draws" in arm:
        draws = arm["tumour_control_draws"].values
        row[_LOW], row[_HIGH] = map(float, np.quantile(draws, [0.05, 0.95]))
        if scenario is not None:
            row[_BETTER] = row[_WORSE] = math.nan
        if compared_with is not None:
            gain = draws - results["tumour_control_draws"].sel(scenario=compared_with).values
            if np.isfinite(gain).all():
                row[_BETTER] = float((gain > _SAME).mean())
                row[_WORSE] = float((gain < -_SAME).mean())
    return row


def control_notes(results: xr.Dataset, chosen: str) -> list[str]:
    """What the other cases say of control, and whether they agree on the order of the arms.

    A statement on fractionation turns on alpha/beta, so that an order which is not that of every
    case is said not to be determined.
    """
    if "tumour_control_population" not in results or results.sizes["case"] < 2:
        return []
    table = results["tumour_control_population"].transpose("scenario", "case").values
    names = [str(name) for name in results["scenario"].values]
    cases = [str(name) for name in results["case"].values]
    others = [
        f"{case!r}: "
        + ", ".join(
            f"{name} {percent_of_control(value)} %"
            for name, value in zip(names, table[:, k], strict=True)
            if math.isfinite(value)
        )
        for k, case in enumerate(cases)
        if case != chosen
    ]
    notes = [f"Tumour control of a population in other cases: {'; '.join(others)}."]
    turned = [
        f"{names[i]!r} or {names[j]!r}"
        for i in range(len(names))
        for j in range(i)
        if {-1.0, 1.0} <= set(np.sign(np.round((table[i] - table[j]) / _SAME)).tolist())
    ]
    if turned:
        notes.append(
            f"Which arm controls more is not determined, since the cases disagree: "
            f"{'; '.join(turned)}."
        )
    return notes


def control_cells(row: pd.Series) -> list[str]:
    """The cells of one arm under `CONTROL_HEADS`; "-" where there is no number.

    Examples
    --------
    >>> import pandas as pd
    >>> row = pd.Series({_PATIENT: 0.98, _POPULATION: 0.87, _LOW: 0.62, _HIGH: 0.97})
    >>> control_cells(row)
    ['87 %', '62 to 97 %', '98 %', '-']
    """

    def number(head: str) -> str:
        value = row.get(head, math.nan)
        return "-" if not math.isfinite(value) else percent_of_control(value)

    def percent(head: str) -> str:
        return "-" if number(head) == "-" else f"{number(head)} %"

    between = "-" if number(_LOW) == "-" else f"{number(_LOW)} to {number(_HIGH)} %"
    better = row.get(_BETTER, math.nan)
    in_draws = "-" if not math.isfinite(better) else f"in {100.0 * better:.0f} % of draws"
    if better == 0.0 and row.get(_WORSE) == 0.0:
        in_draws = "no difference"
    return [percent(_POPULATION), between, percent(_PATIENT), in_draws]


def control_tables(frame: pd.DataFrame, case: str) -> list[Table]:
    """The table for the terminal; nothing where the model grows."""
    if not len(frame.columns):
        return []
    title = f"Probability of tumour control, case {case!r}"
    table = Table(title=Text(title), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("scenario", overflow="fold", min_width=28)
    for head in CONTROL_HEADS:
        table.add_column(head, justify="right")
    for number, (name, row) in enumerate(frame.iterrows(), start=1):
        table.add_row(Text(f"{number} {name}"), *control_cells(row))
    return [table]
