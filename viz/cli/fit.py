"""``twin fit``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from viz.cli.running import Output

DESCRIPTION = """\
Fit dose response to measurements, with intervals. 'survival': alpha and beta of the
linear-quadratic model from colony counts (columns cell line, experiment, dose in Gy,
cells seeded, colonies). 'growth': growth and kill rates from tumour volumes in animals
(columns animal, group, day, volume in mm3). Tables are text with a header; cells are
separated by tabs, semicolons or commas."""
EXAMPLES = """\
  twin fit survival colonies.txt -o survival.png
  twin fit survival colonies.csv --columns dose=Gy,cells=plated --curve A549 --parameters a549.toml
  twin fit growth volumes.csv --control vehicle --floor 16 -o growth.png"""

#: Which options belong to one kind of fit alone: attribute, option.
_ONLY = {
    "survival": (("curve", "--curve"), ("errors", "--errors")),
    "growth": (
        ("control", "--control"),
        ("floor", "--floor"),
        ("start", "--start"),
        ("law", "--law"),
        ("multiple", "--multiple"),
    ),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("kind", choices=("survival", "growth"), help="what to fit")
    parser.add_argument("table", metavar="TABLE", help="the measurements")
    parser.add_argument("-o", "--output", metavar="FILE.png", help="also draw points and curves")
    parser.add_argument(
        "--parameters", metavar="FILE.toml", help="also write the values as a parameter set"
    )
    parser.add_argument(
        "--columns",
        metavar="ROLE=HEADER,...",
        help="which column is what, where the header does not say: line, experiment, dose, cells, "
        "colonies; animal, group, day, volume",
    )
    parser.add_argument(
        "--confidence",
        type=float,
        default=0.95,
        metavar="P",
        help="of the intervals (default 0.95)",
    )
    parser.add_argument("--force", action="store_true", help="replace files that are there")
    survival = parser.add_argument_group("survival")
    survival.add_argument(
        "--curve", action="append", metavar="NAME", help="only this cell line; may be repeated"
    )
    survival.add_argument(
        "--errors",
        choices=("quasi-poisson", "poisson"),
        help="of the counts: Poisson with the dispersion found (default), or Poisson alone",
    )
    growth = parser.add_argument_group("growth")
    growth.add_argument("--control", metavar="GROUP", help="the untreated group")
    growth.add_argument(
        "--floor", type=float, metavar="MM3", help="limit of the calipers: as small or smaller"
    )
    growth.add_argument(
        "--start", type=float, metavar="DAY", help="first day of treatment (default: of the table)"
    )
    growth.add_argument(
        "--law", choices=("exponential", "gompertz", "logistic"), help="only this one"
    )
    growth.add_argument(
        "--multiple",
        type=float,
        metavar="X",
        help="growth delay is read at X times the first volume (default 4)",
    )


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Fit, draw and write."""
    from twin.errors import InvalidInput
    from viz.cli.targets import target_file

    kind = arguments.kind
    other = "growth" if kind == "survival" else "survival"
    for attribute, option in _ONLY[other]:
        if getattr(arguments, attribute) is not None:
            raise InvalidInput(f"{option} belongs to 'twin fit {other}'; leave it out here.")
    picture = target_file(arguments.output, ".png", force=arguments.force)
    parameters = target_file(arguments.parameters, ".toml", force=arguments.force)
    columns = _columns(arguments.columns)
    if kind == "survival":
        return _survival(arguments, output, columns, picture, parameters)
    return _growth(arguments, output, columns, picture, parameters)


def _columns(text: str | None) -> dict[str, str]:
    from twin.errors import InvalidInput

    found: dict[str, str] = {}
    for part in text.split(",") if text else ():
        role, equals, header = (piece.strip() for piece in part.partition("="))
        if not (role and equals and header) or role in found:
            raise InvalidInput(
                f"--columns has {part!r}; write each role once, as in dose=dose_gy,cells=plated."
            )
        found[role] = header
    return found


def _write_toml(
    path: Path, entries: Mapping[str, Any], missing: Sequence[str], *, title: str, about: str
) -> None:
    from solvers.fitting.fitted_parameters import parameters_toml
    from twin.storage import write_atomically

    remarks = [about]
    if missing:
        remarks.append(
            f"Left out, because the measurements give no upper end: {', '.join(missing)}."
        )
    text = parameters_toml(entries, title=title, remarks=remarks)
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def _survival(
    arguments: argparse.Namespace,
    output: Output,
    columns: Mapping[str, str],
    picture: Path | None,
    parameters: Path | None,
) -> int:
    from solvers.fitting.colonies import read_colonies
    from solvers.fitting.fitted_parameters import CLONOGENIC_WARNING, survival_parameters
    from solvers.fitting.survival_curves import Errors, fit_survival
    from twin.errors import InvalidInput
    from viz.fit_text import survival_data, survival_text

    errors: Errors = arguments.errors or "quasi-poisson"
    table = read_colonies(arguments.table, columns=columns, only=arguments.curve or ())
    if parameters is not None and len(table.curves) > 1:
        raise InvalidInput(
            f"--parameters writes one cell line and there are {', '.join(table.curves)}; choose "
            "one with --curve NAME."
        )
    source = f"{Path(arguments.table).name} (sha256 {table.sha256[:12]})"
    fits = {
        name: fit_survival(curve, confidence=arguments.confidence, errors=errors)
        for name, curve in table.curves.items()
    }
    if picture is not None:
        from viz.fit_figures import survival_figure, write_figure

        write_figure(picture, survival_figure(table.curves, fits, errors=errors))
    text, data = [], []
    for name, fit in fits.items():
        entries, missing = survival_parameters(fit, source=source)
        if parameters is not None:
            about = "Fitted by 'twin fit survival'."
            _write_toml(parameters, entries, missing, title=f"{name}, in vitro", about=about)
        dishes = len(table.curves[name].dose)
        text += [*survival_text(fit, dishes), ""]
        data.append(
            {
                **survival_data(fit, dishes),
                "parameters": {key: one.as_dict() for key, one in entries.items()},
            }
        )
    text += [f"Note: {note}." for note in table.notes]
    text.append(CLONOGENIC_WARNING)
    text += [f"Written: {path}" for path in (picture, parameters) if path is not None]
    output.result(
        "\n".join(text),
        {
            "ok": True,
            "command": "fit",
            "kind": "survival",
            "confidence": arguments.confidence,
            "errors": errors,
            "curves": data,
            "notes": list(table.notes),
            "warning": CLONOGENIC_WARNING,
            "picture": None if picture is None else str(picture),
            "parameters_file": None if parameters is None else str(parameters),
        },
    )
    return 0


def _growth(
    arguments: argparse.Namespace,
    output: Output,
    columns: Mapping[str, str],
    picture: Path | None,
    parameters: Path | None,
) -> int:
    from solvers.fitting.fitted_parameters import growth_parameters
    from solvers.fitting.growth_curves import fit_growth
    from solvers.fitting.growth_laws import LAWS, law_name
    from solvers.fitting.tumour_volumes import read_volumes
    from viz.fit_text import growth_text, law_data

    volumes = read_volumes(
        arguments.table,
        control=arguments.control,
        floor_mm3=0.0 if arguments.floor is None else arguments.floor,
        start_day=arguments.start,
        columns=columns,
    )
    fit = fit_growth(
        volumes,
        laws=LAWS if arguments.law is None else (arguments.law,),
        multiple=4.0 if arguments.multiple is None else arguments.multiple,
        confidence=arguments.confidence,
        seed=arguments.seed or 0,
    )
    source = f"{Path(arguments.table).name} (sha256 {volumes.sha256[:12]})"
    entries, missing = growth_parameters(fit, volumes, source=source)
    if picture is not None:
        from viz.fit_figures import growth_figure, write_figure

        write_figure(picture, growth_figure(volumes, fit, seed=arguments.seed or 0))
    if parameters is not None:
        about = "Fitted by 'twin fit growth'."
        title = f"{law_name(fit.best.law)} growth in animals"
        _write_toml(parameters, entries, missing, title=title, about=about)
    text = [*growth_text(fit, volumes), *(f"Note: {note}." for note in volumes.notes)]
    text += [f"Written: {path}" for path in (picture, parameters) if path is not None]
    output.result(
        "\n".join(text),
        {
            "ok": True,
            "command": "fit",
            "kind": "growth",
            "confidence": fit.confidence,
            "animals": volumes.animals,
            "measurements": len(volumes.time),
            "censored": int(volumes.censored.sum()),
            "control": volumes.groups[0],
            "start_day": volumes.start,
            "multiple": fit.multiple,
            "laws": [law_data(law) for law in fit.laws],
            "comparison": fit.sentence,
            "parameters": {key: one.as_dict() for key, one in entries.items()},
            "notes": list(volumes.notes),
            "picture": None if picture is None else str(picture),
            "parameters_file": None if parameters is None else str(parameters),
        },
    )
    return 0
