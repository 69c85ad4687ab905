"""Draws docs/images/convergence.png: the curves that ``twin verify`` measures, small."""

from pathlib import Path

from matplotlib.figure import Figure

from solvers.verification.registry import all_checks, run_checks

TARGET = Path(__file__).with_name("images") / "convergence.png"
COLUMNS = 5


def main(target=TARGET):
    """Measure and draw; one panel a curve."""
    outcomes = run_checks(all_checks())
    rows = [row for outcome in outcomes for row in outcome.rows if row.curve is not None]
    lines = -(-len(rows) // COLUMNS)
    figure = Figure(figsize=(3.0 * COLUMNS, 2.5 * lines), layout="constrained")
    panels = figure.subplots(lines, COLUMNS).ravel()
    for panel in panels[len(rows) :]:
        panel.set_axis_off()
    for panel, row in zip(panels, rows, strict=False):
        curve = row.curve
        panel.loglog(curve.sizes, curve.errors, "o-", color="#1f5f8b", markersize=4)
        line = [curve.errors[-1] * (s / curve.sizes[-1]) ** curve.order for s in curve.sizes]
        panel.loglog(curve.sizes, line, "--", color="#888888")
        panel.set_xticks(curve.sizes, labels=[f"{size:.3g}" for size in curve.sizes], fontsize=7)
        panel.set_xticks([], minor=True)
        panel.set_yticks(
            curve.errors, labels=[f"{error:.1e}" for error in curve.errors], fontsize=7
        )
        panel.set_yticks([], minor=True)
        panel.set_xlabel(curve.size, fontsize=8)
        name = row.what.rpartition(": order")[0] or row.what
        panel.set_title(f"{name}\nobserved {row.measured:.2f}", fontsize=8)
    figure.savefig(target, dpi=75)
    print(f"{len(rows)} curves in {target}")


if __name__ == "__main__":
    main()
