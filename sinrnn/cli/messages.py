"""Output and error messages of the programs.

All output goes through `say`, `refuse` and `Parser`. Every main function is a `program`.
"""

import argparse
import functools
import os
import re
import shutil
import sys
from collections.abc import Callable
from typing import Any, NoReturn, ParamSpec, TextIO

from sinrnn._suggest import closest, meant
from sinrnn.config.messages import one_line
from sinrnn.filesystem import WIDTH, filled, shown

P = ParamSpec("P")

BROKEN_PIPE = 128 + 13  # the shell's status of a process that SIGPIPE ended


def program(main: Callable[P, int]) -> Callable[P, int]:
    """Make a main function end quietly if its output is closed, as by `train.py | head -1`."""

    @functools.wraps(main)
    def run(*args: P.args, **options: P.kwargs) -> int:
        status = 0
        try:
            try:
                status = main(*args, **options)
            finally:
                sys.stdout.flush()  # here, where an error can still be handled
        except OSError as error:
            for stream in (sys.stdout, sys.stderr):
                _silence(stream)
            if isinstance(error, BrokenPipeError):
                return BROKEN_PIPE
            return status or refuse(error)  # unless the error was printed
        return status

    return run


def _silence(stream: TextIO) -> None:
    """Discard the buffered output of a stream that cannot be written."""
    try:
        stream.flush()
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def say(text: str, file: TextIO | None = None, end: str = "\n") -> None:
    """Print to standard output or a file, with escapes for characters outside its encoding."""
    encoding = (file or sys.stdout).encoding or "utf-8"
    print(shown(text).encode(encoding, "backslashreplace").decode(encoding), file=file, end=end)


class Printed(argparse.ArgumentParser):
    """A parser that prints with `say`: arguments are escaped, and a broken pipe is an error."""

    def print_usage(self, file: Any = None) -> None:
        """Print the usage."""
        say(self.format_usage(), file, end="")

    def print_help(self, file: Any = None) -> None:
        """Print the usage and all arguments."""
        say(self.format_help(), file, end="")

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        """End the process, with a message for standard error."""
        say(message or "", sys.stderr, end="")
        sys.exit(status)


class Parser(Printed):
    """A parser without abbreviations, whose error messages are one line."""

    def __init__(self, **options: Any) -> None:
        self.known = ["--help", "--"]
        super().__init__(**{"allow_abbrev": False} | options)

    def add_argument(self, *names: Any, **options: Any) -> Any:
        """Add an option and remember its names."""
        self.known += names
        return super().add_argument(*names, **options)

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse the arguments; unknown options are refused first, with the closest option."""
        for arg in sys.argv[1:] if args is None else args:
            name = arg.partition("=")[0]
            if name.startswith("--") and name not in self.known:
                near = meant(closest(name, self.known)) or ": see --help"
                self.error(f"unknown option {name}{near}")
        return super().parse_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        """Print the error in one line and end the process."""
        message = re.sub(r"^argument (--\S+): expected one argument$", r"\1 needs a value", message)
        sys.exit(refuse(ValueError(message)))


def columns() -> int:
    """Return the number of columns of a line in this terminal."""
    return min(WIDTH, shutil.get_terminal_size().columns - 1)


def refuse(error: Exception) -> int:
    """Print an error in one line and return the exit status.

    Raises:
        BrokenPipeError: The error is one, so the line cannot be printed.
    """
    if isinstance(error, BrokenPipeError):
        raise error
    line = f"error: {one_line(str(error))}"
    # Wrapped in a terminal only; elsewhere programs may search for the line.
    say(filled(line, width=columns()) if sys.stderr.isatty() else line, sys.stderr)
    return 2
