"""The command line: ``twin COMMAND``. Each command is a module; it is imported when it is used."""

from __future__ import annotations

import difflib
import sys
from importlib import import_module

__all__ = ["COMMANDS", "main"]

#: name: (module, one line of help), in the order of a first visit.
COMMANDS: dict[str, tuple[str, str]] = {
    "init": ("init", "put an example patient and study into a folder"),
    "import": ("import_", "make a patient folder of DICOM, NIfTI or NRRD files"),
    "deidentify": ("deidentify", "copy DICOM files without who they are of"),
    "segment": ("segment", "label images by a network that you have on disk"),
    "register": ("register", "bring one image onto another, with figures and a picture"),
    "atlas": ("atlas", "tissues and organs of an atlas on a patient's image"),
    "tensor": ("tensor", "fit diffusion tensors to a diffusion-weighted MRI"),
    "build": ("build", "make the mesh of a patient from images and outlines"),
    "mesh": ("mesh", "mesh any label map, with a page of the mesh's quality"),
    "plan": ("plan", "say every treatment with dates, doses and warnings before a run"),
    "run": ("run", "simulate every treatment of a study"),
    "compare": ("compare", "one row a treatment, what differs, and the ranking"),
    "report": ("report", "pictures and a self-contained report.html"),
    "export": ("export_dicom", "predicted tumour and targets as DICOM on the original series"),
    "train": ("train", "train a neural surrogate of one patient on the solver"),
    "whatif": ("whatif", "ask the surrogate about one changed treatment"),
    "fit": ("fit", "dose response from colony counts, growth from tumour volumes"),
    "trial": ("trial", "published trials predicted with values frozen on one of them"),
    "dvh": ("dvh", "dose-volume histograms of a plan's structures, of files alone"),
    "schema": ("schema", "JSON Schema of patient or study files"),
    "verify": ("verify", "hold the solver on this machine against known answers"),
    "doctor": ("doctor_command", "what is installed and what is missing"),
    "clean": ("clean", "empty the caches"),
}

HELP = """\
usage: twin COMMAND [OPTIONS]

A digital twin of a brain tumour under treatment: how one patient's tumour
responds to several treatments, by finite elements, and what-if answers in
milliseconds by a neural surrogate of that patient. Research use only.

commands:
{commands}

Start here:
  twin init --example glioblastoma demo
  twin run demo/study.toml -o demo/results
  twin compare demo/results

'twin COMMAND --help' says more about a command. Every command takes
  --json      one JSON document on standard output, all else on standard error
  --quiet     no progress and no remarks
  --debug     log more, and show the traceback of an error
  --seed N    of what is random in the command
  --threads N at most so many at the same time (all processors if not given)

exit status: 0 done, 1 failed, 2 bad input
"""


def main(argv: list[str] | None = None) -> int:
    """Run the command line; 0 done, 1 failed, 2 bad input.

    Parameters
    ----------
    argv : list of str or None
        Arguments without the program's name; those of the process if None.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        rows = [f"  {name:<10} {line}" for name, (_, line) in COMMANDS.items()]
        sys.stdout.write(HELP.format(commands="\n".join(rows)))
        return 0 if arguments else 2
    if arguments[0] == "--version":
        from twin import __version__

        sys.stdout.write(f"twin {__version__}\n")
        return 0
    name = arguments[0]
    if name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, n=1, cutoff=0.4)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(COMMANDS)}."
        sys.stderr.write(f"twin: there is no command {name!r}; {hint}\n")
        return 2
    from viz.cli.running import run_command

    module = import_module(f"viz.cli.{COMMANDS[name][0]}")
    return run_command(name, module, arguments[1:])
