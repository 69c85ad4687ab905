"""``twin init``."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from viz.cli.running import Output

DESCRIPTION = "Put an example patient and study into a new or empty folder."
EXAMPLES = """\
  twin init --example glioblastoma demo
  twin init --list"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("folder", nargs="?", metavar="DIR", help="new or empty folder")
    parser.add_argument(
        "--example", default="glioblastoma", metavar="NAME", help="which one (default: %(default)s)"
    )
    parser.add_argument("--list", action="store_true", help="only list the examples there are")


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Copy the example."""
    import difflib
    from pathlib import Path

    from twin.errors import InvalidInput
    from twin.examples import data_folder
    from viz.cli.copying import copy_folder

    folder = data_folder().joinpath("examples")
    names = sorted(entry.name for entry in folder.iterdir() if entry.is_dir())
    if arguments.list:
        output.result("\n".join(names), {"ok": True, "command": "init", "examples": names})
        return 0
    if arguments.example not in names:
        near = difflib.get_close_matches(arguments.example, names, n=1, cutoff=0.3)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(names)}."
        raise InvalidInput(f"There is no example {arguments.example!r}; {hint}")
    if arguments.folder is None:
        raise InvalidInput("Name a folder: twin init --example glioblastoma DIR.")
    target = Path(arguments.folder)
    files = copy_folder(folder.joinpath(arguments.example), target)
    output.result(
        f"{target} now holds the example {arguments.example!r}: {', '.join(files)}.\n"
        f"Next: twin run {target / 'study.toml'} -o {target / 'results'}",
        {
            "ok": True,
            "command": "init",
            "example": arguments.example,
            "folder": str(target),
            "files": files,
        },
    )
    return 0
