"""``twin schema``."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from viz.cli.running import Output

DESCRIPTION = """\
Print the JSON Schema of patient.toml or study.toml: every key, its meaning and an
example of its value. Editors use it to complete and check the files."""
EXAMPLES = """\
  twin schema study
  twin schema patient > patient.schema.json"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("file", choices=("patient", "study"), help="which file")


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Print the schema."""
    import json

    if arguments.file == "study":
        from scenarios.study_file import study_json_schema

        schema = study_json_schema()
    else:
        from twin.patient_file import json_schema

        schema = json_schema()
    output.result(json.dumps(schema, indent=1, ensure_ascii=False), schema)
    return 0
