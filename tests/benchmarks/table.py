"""One measured figure a row, with what was promised of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Row", "format_table", "short"]


@dataclass(frozen=True, slots=True)
class Row:
    """One figure.

    Parameters
    ----------
    what : str
    measured : float
    unit : str
        "s" and "ms" rows are also given in sparse products of the machine.
    at_least, at_most : float or None
        What is promised, where anything is.
    products : float or None, [1]
        The seconds over those of the reference product beside it; filled in by the child.
    """

    what: str
    measured: float
    unit: str = ""
    at_least: float | None = None
    at_most: float | None = None
    products: float | None = None

    @property
    def met(self) -> bool | None:
        """Whether the promise is kept; None where there is none. NaN keeps none."""
        if self.at_least is None and self.at_most is None:
            return None
        low = -math.inf if self.at_least is None else self.at_least
        high = math.inf if self.at_most is None else self.at_most
        return low <= self.measured <= high

    @property
    def target(self) -> str:
        """The promise in words."""
        if self.at_least is not None and self.at_most is not None:
            return f"{short(self.at_least)} to {short(self.at_most)}"
        if self.at_most is not None:
            return f"at most {short(self.at_most)}"
        return "" if self.at_least is None else f"at least {short(self.at_least)}"


def short(value: float) -> str:
    """A number to three figures, large ones whole.

    >>> [short(value) for value in (0.0123456, 3.14159, 114000.0, 0.0, float("nan"))]
    ['0.0123', '3.14', '114,000', '0', 'nan']
    """
    if not math.isfinite(value):
        return str(value)
    if abs(value) >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.3g}"


def format_table(parts: Sequence[tuple[str, Sequence[Row]]]) -> str:
    """All rows under the headings of their parts, in aligned columns.

    >>> print(format_table([("mesh", [Row("time", 20.0, "s", at_most=40.0, products=5000.0)])]))
    what    measured    target      met  products
    -- mesh
    time        20 s    at most 40  yes     5,000
    """
    head = ("what", "measured", "target", "met", "products")
    lines: list[tuple[str, ...]] = []
    for part, rows in parts:
        lines.append((f"-- {part}",))
        for row in rows:
            met = {None: "", True: "yes", False: "NO"}[row.met]
            products = "" if row.products is None else short(row.products)
            measured = f"{short(row.measured)} {row.unit}".rstrip()
            lines.append((row.what, measured, row.target, met, products))
    whole = [head, *(line for line in lines if len(line) > 1)]
    width = [max(len(line[k]) for line in whole) for k in range(len(head))]
    width[0] = max(width[0], *(len(line[0]) for line in lines), 0) if lines else width[0]
    text = []
    for line in [head, *lines]:
        cells = [*line, *[""] * (len(head) - len(line))]
        what, measured, target, met, products = cells
        text.append(
            f"{what:<{width[0]}}  {measured:>{width[1]}}    {target:<{width[2]}}  "
            f"{met:<{width[3]}}  {products:>{width[4]}}".rstrip()
        )
    return "\n".join(text)
