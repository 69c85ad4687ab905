"""What ``twin verify`` found as one page: a table and a convergence plot of every order."""

from __future__ import annotations

import base64
import html
import io
import platform
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from twin.errors import InvalidInput
from twin.results import RESEARCH_USE_ONLY
from twin.storage import write_atomically
from viz.html import Raw, paragraph, section, table, text

if TYPE_CHECKING:
    from solvers.verification.registry import Curve, Outcome, Row

__all__ = ["check_target", "write_page"]

_TITLE = "Verification of the solver"
_STYLE = """
.plots { display: grid; grid-template-columns: repeat(auto-fill, minmax(16rem, 1fr)); gap: 1rem; }
.plots figure { margin: 0; }
"""


def check_target(target: Path) -> None:
    """`InvalidInput` if no page can be written there."""
    if target.is_dir() or not target.absolute().parent.is_dir():
        raise InvalidInput(
            f"The page cannot be written to {target}; name a file in a folder that exists, such "
            "as verification.html."
        )


def write_page(outcomes: Sequence[Outcome], target: Path) -> Path:
    """Path of the page, written whole or not at all.

    Parameters
    ----------
    outcomes : sequence of Outcome
        Of `solvers.verification.registry.run_checks`.
    target : path
        The HTML file; its folder must exist.

    Raises
    ------
    InvalidInput
        `target` cannot be a file.
    StorageFailed
        It cannot be written.
    """
    check_target(target)
    page = _page(outcomes)
    write_atomically(target, lambda part: part.write_text(page, encoding="utf-8"))
    return target


def _page(outcomes: Sequence[Outcome]) -> str:
    style = files("viz").joinpath("report.css").read_text(encoding="utf-8")
    groups = list(dict.fromkeys(outcome.check.group for outcome in outcomes))
    rows = [row for outcome in outcomes for row in outcome.rows]
    failed = sum(not row.passed for row in rows)
    links = " ".join(f'<a href="#{text(group)}">{text(group.capitalize())}</a>' for group in groups)
    seconds = sum(outcome.seconds for outcome in outcomes)
    parts = [
        paragraph(
            f"{len(rows) - failed} of {len(rows)} quantities are within their bounds; measured in "
            f"{seconds:.0f} s with {_versions()} on {platform.machine()}."
        ),
        paragraph(
            "Expected values are closed forms, exact solutions or the work of independent "
            "integrators. An order is the slope of the error over the size in logarithms."
        ),
    ]
    parts += [_group(group, outcomes) for group in groups]
    return (
        '<!DOCTYPE html>\n<html lang="en-GB">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{_TITLE} (research use only)</title>\n<style>\n{style}{_STYLE}</style>\n</head>\n"
        f'<body>\n<div class="banner" role="note">{text(RESEARCH_USE_ONLY)}</div>\n'
        f'<nav aria-label="Contents">{links}</nav>\n<main>\n<h1>{_TITLE}</h1>\n'
        + "\n".join(parts)
        + "\n</main>\n</body>\n</html>\n"
    )


def _versions() -> str:
    from solvers.dolfinx_compat import VERSION
    from twin import __version__

    return f"therapy-twin {__version__} and dolfinx {VERSION}"


def _group(group: str, outcomes: Sequence[Outcome]) -> Raw:
    mine = [outcome for outcome in outcomes if outcome.check.group == group]
    rows = [row for outcome in mine for row in outcome.rows]
    body = [
        [
            f"{row.what} ({row.note})" if row.note else row.what,
            f"{row.measured:.6g}" if row.measured == row.measured else "none",
            f"{row.expected:.6g}",
            f"± {row.allowed:.2g}",
            row.unit,
            row.verdict if row.passed else Raw("<strong>FAIL</strong>"),
        ]
        for row in rows
    ]
    heads = ["what", "measured", "expected", "allowed", "unit", "verdict"]
    plots = [_plot(row, row.curve) for row in rows if row.curve is not None]
    side_by_side = Raw(f'<div class="plots">{"".join(plots)}</div>' if plots else "")
    return section(group, group.capitalize(), table(heads, body), side_by_side)


def _plot(row: Row, curve: Curve) -> Raw:
    """Error over size with the line of the expected order, as an SVG inside the page."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.6, 3.2), layout="constrained")
    axes = figure.add_subplot()
    axes.loglog(curve.sizes, curve.errors, "o-", color="#1f5f8b", label="measured")
    last = curve.errors[-1]
    line = [last * (size / curve.sizes[-1]) ** curve.order for size in curve.sizes]
    axes.loglog(curve.sizes, line, "--", color="#777777", label=f"order {curve.order:g}")
    axes.set_xticks(curve.sizes, labels=[f"{size:.3g}" for size in curve.sizes])
    axes.set_xticks([], minor=True)
    axes.set_xlabel(curve.size)
    axes.set_ylabel(curve.error)
    axes.legend(frameon=False)
    buffer = io.BytesIO()
    # the same picture for the same numbers: no date, no random names
    with rc_context({"svg.hashsalt": "therapy-twin"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    encoded = base64.b64encode(buffer.getvalue()).decode("ascii")
    words = f"{row.what}: {row.measured:.2f}"
    return Raw(
        f'<figure><img alt="{html.escape(words, quote=True)}" '
        f'src="data:image/svg+xml;base64,{encoded}"><figcaption>{text(words)}</figcaption></figure>'
    )
