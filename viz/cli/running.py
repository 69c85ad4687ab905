"""What all commands share: options, output, errors as one sentence, exit status."""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from typing import IO, Any, NoReturn, Protocol

from viz.cli.ranks import Ranks, ranks_of_mpirun

__all__ = ["Output", "run_command"]


class Command(Protocol):
    """A module that is a command."""

    #: Shown by --help: what the command does, and examples.
    DESCRIPTION: str
    EXAMPLES: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the command's own options."""

    def run(self, arguments: argparse.Namespace, output: Output) -> int:
        """Do the work; the exit status."""


class _Usage(Exception):
    """Options that cannot be understood."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise _Usage(f"{message}; '{self.prog} --help' lists the options.")


class Output:
    """Where a command writes: results to standard output, remarks to standard error.

    Parameters
    ----------
    as_json : bool
        One JSON document on standard output.
    quiet : bool
        No progress and no remarks.
    stdout : file
        The real standard output; `sys.stdout` may lead elsewhere meanwhile.
    ranks : Ranks or None
        The processes that mpirun started with this one.
    """

    def __init__(
        self, *, as_json: bool, quiet: bool, stdout: IO[str], ranks: Ranks | None = None
    ) -> None:
        self.as_json, self.quiet, self.ranks = as_json, quiet, ranks
        self._stdout = stdout

    def say(self, text: str) -> None:
        """Write a remark to standard error, unless --quiet."""
        if not self.quiet:
            sys.stderr.write(text.rstrip("\n") + "\n")
            sys.stderr.flush()

    def result(self, text: str, data: dict[str, Any]) -> None:
        """Write the command's result: `data` with --json, else `text`."""
        shown = json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False)
        self._stdout.write((shown if self.as_json else text.rstrip("\n")) + "\n")
        self._stdout.flush()

    @contextlib.contextmanager
    def progress(self, title: str) -> Iterator[Callable[[float, str], None] | None]:
        """Draw a progress bar on standard error; yields what is called with the part done.

        Where standard error is no terminal a line is written now and then instead.
        """
        if self.quiet:
            yield None
            return
        if not sys.stderr.isatty():
            yield _lines(title)
            return
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            Progress,
            TaskProgressColumn,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        with Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[message]}", markup=False),
            console=Console(stderr=True),
            transient=True,
        ) as bar:
            task = bar.add_task(title, total=1.0, message="")
            yield lambda part, message: bar.update(task, completed=part, message=message)


def _lines(title: str) -> Callable[[float, str], None]:
    next_part = 0.25

    def report(part: float, message: str) -> None:
        nonlocal next_part
        if part >= next_part:
            next_part = 0.25 * (int(part / 0.25) + 1)
            sys.stderr.write(f"{title}: {100 * part:.0f} %\n")

    return report


def _parser(name: str, command: Command) -> _Parser:
    parser = _Parser(
        prog=f"twin {name}",
        description=command.DESCRIPTION,
        epilog=f"examples:\n{command.EXAMPLES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    command.add_arguments(parser)
    common = parser.add_argument_group("common options")
    common.add_argument(
        "--json",
        action="store_true",
        help="one JSON document on standard output, all else on standard error",
    )
    common.add_argument("--quiet", action="store_true", help="no progress and no remarks")
    common.add_argument(
        "--debug", action="store_true", help="log more, and show the traceback of an error"
    )
    common.add_argument(
        "--seed",
        type=int,
        metavar="N",
        help="seed of what is random in the command; where nothing is, it changes nothing",
    )
    common.add_argument(
        "--threads", type=int, metavar="N", help="at most so many threads (default: all processors)"
    )
    return parser


def _check_common(arguments: argparse.Namespace) -> None:
    if arguments.threads is None:
        arguments.threads = (
            len(os.sched_getaffinity(0))
            if hasattr(os, "sched_getaffinity")
            else (os.cpu_count() or 1)
        )
    if not 1 <= arguments.threads <= 1024:
        raise _Usage(f"--threads is {arguments.threads}; give a whole number from 1 to 1024.")
    if arguments.seed is not None and not 0 <= arguments.seed < 2**32:
        raise _Usage(f"--seed is {arguments.seed}; give a whole number from 0 to 4294967295.")


def run_command(name: str, command: Any, argv: list[str]) -> int:
    """Parse `argv` and run a command; every failure becomes one sentence and a status.

    Under mpirun the processes of a command that says ``ON_ALL_RANKS`` take part
    together; of any other the first one runs it. Only the first one speaks.
    """
    from twin.errors import InvalidInput

    try:
        ranks = ranks_of_mpirun()
    except InvalidInput as error:
        return _fail(2, str(error), "--json" in argv, sys.stdout)
    if ranks is None:
        return _run(name, command, argv, None)
    return ranks.run(
        lambda: _run(name, command, argv, ranks),
        together=getattr(command, "ON_ALL_RANKS", False),
    )


def _run(name: str, command: Any, argv: list[str], ranks: Ranks | None) -> int:
    as_json = "--json" in argv
    with _kept_clean(as_json) as stdout:
        try:
            arguments = _parser(name, command).parse_args(argv)
            _check_common(arguments)
        except _Usage as error:
            return _fail(2, str(error), as_json, stdout)
        except SystemExit as stop:  # --help
            return int(stop.code or 0)
        logging.basicConfig(
            level=logging.DEBUG if arguments.debug else logging.WARNING,
            stream=sys.stderr,
            format="%(levelname)s %(name)s: %(message)s" if arguments.debug else "%(message)s",
        )
        if arguments.debug:
            for noisy in ("matplotlib", "numba", "PIL", "FFCx", "UFL", "h5py"):
                logging.getLogger(noisy).setLevel(logging.INFO)
        # Runs are spread over threads already; more threads inside each would only collide.
        for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
            os.environ.setdefault(variable, "1")
        output = Output(as_json=as_json, quiet=arguments.quiet, stdout=stdout, ranks=ranks)
        try:
            return int(command.run(arguments, output))
        except KeyboardInterrupt:
            return _fail(1, "Interrupted.", as_json, stdout)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.__stdout__.fileno())  # type: ignore[union-attr]
            return 1
        except Exception as error:
            if arguments.debug:
                traceback.print_exc()
            return _fail(*_sentence(error), as_json, stdout)


def _sentence(error: Exception) -> tuple[int, str]:
    from twin.errors import InvalidInput, TherapyTwinError

    text = " ".join(str(error).split())
    if isinstance(error, InvalidInput):
        return 2, text
    if isinstance(error, TherapyTwinError):
        return 1, text
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        return 1, f"{where}{error.strerror}."
    if isinstance(error, MemoryError):
        return 1, "There is not enough memory; use fewer --threads or a coarser mesh."
    return 1, f"Unexpected {type(error).__name__}: {text} (--debug shows where; please report it)."


def _fail(status: int, sentence: str, as_json: bool, stdout: IO[str]) -> int:
    sys.stderr.write(f"twin: {sentence}\n")
    if as_json:
        stdout.write(json.dumps({"ok": False, "status": status, "error": sentence}) + "\n")
        stdout.flush()
    return status


@contextlib.contextmanager
def _kept_clean(as_json: bool) -> Iterator[IO[str]]:
    """Standard output for one JSON document; all else that is printed goes to standard error."""
    if not as_json:
        yield sys.stdout
        return
    real: IO[str] = sys.stdout
    saved = -1
    if (
        sys.stdout is sys.__stdout__ and _descriptor(real) == 1
    ):  # also what compiled libraries print
        real.flush()
        saved = os.dup(1)
        os.dup2(2, 1)
        real = os.fdopen(os.dup(saved), "w", encoding="utf-8")
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield real
    finally:
        if saved >= 0:
            real.close()
            os.dup2(saved, 1)
            os.close(saved)


def _descriptor(stream: IO[str]) -> int:
    try:
        return stream.fileno()
    except (OSError, ValueError):
        return -1
