"""``twin compare``."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from viz.cli.running import Output

DESCRIPTION = """\
One row a treatment: visible volumes with their numerical error, nadir, time to
progression, organs at risk as EQD2; in what the arms differ; and a ranking for
each endpoint over all cases, with ties where nothing can be said."""
EXAMPLES = """\
  twin compare demo/results
  twin compare demo/results --case "more resistant"
  twin compare demo/results --json | python3 -m json.tool"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("results", metavar="RESULTS", help="results folder of 'twin run'")
    parser.add_argument("--case", metavar="NAME", help="case of the tables (default: the first)")


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Compare the arms."""
    from scenarios.comparison import compare
    from twin.results import open_results

    with open_results(arguments.results) as results:
        comparison = compare(results, case=arguments.case)
    output.result(str(comparison), {"ok": True, "command": "compare", **comparison.as_dict()})
    return 0
