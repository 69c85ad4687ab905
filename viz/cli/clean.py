"""``twin clean``."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from viz.cli.running import Output

DESCRIPTION = """\
Empty the caches (meshes that were built before). Nothing but what can be made
again is removed: patients, studies and results stay."""
EXAMPLES = """\
  twin clean
  twin clean --list"""

#: Folders that the project makes in its cache; nothing else there is touched.
CACHES = ("meshes",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("--list", action="store_true", help="only say what would be removed")


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Empty the caches."""
    import shutil

    from twin.storage import cache_folder

    folder = cache_folder()
    found = [folder / name for name in CACHES if (folder / name).is_dir()]
    files = [path for one in found for path in one.rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files)
    if not arguments.list:
        for one in found:
            shutil.rmtree(one)
    verb = "would be removed" if arguments.list else "removed"
    output.result(
        f"{len(files)} files ({size / 1e6:.1f} MB) {verb} from {folder}.",
        {
            "ok": True,
            "command": "clean",
            "folder": str(folder),
            "files": len(files),
            "bytes": size,
            "removed": not arguments.list,
        },
    )
    return 0
