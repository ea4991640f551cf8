"""What the programs say, what they say in one line where something is wrong, and what they do not.

All that they print goes through `say`, `refuse` and `Parser`; every main is a `program`.
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

BROKEN_PIPE = 128 + 13  # as the shell says it of a process that SIGPIPE has ended


def program(main: Callable[P, int]) -> Callable[P, int]:
    """A main that ends as other programs do where nobody reads on: `train.py | head -1`."""

    @functools.wraps(main)
    def run(*args: P.args, **options: P.kwargs) -> int:
        status = 0
        try:
            try:
                status = main(*args, **options)
            finally:
                sys.stdout.flush()  # here, where an error has an answer yet
        except OSError as error:
            for stream in (sys.stdout, sys.stderr):
                _silence(stream)
            if isinstance(error, BrokenPipeError):
                return BROKEN_PIPE
            return status or refuse(error)  # unless it has been said
        return status

    return run


def _silence(stream: TextIO) -> None:
    """Let what a stream still holds go nowhere, if it cannot go where it went."""
    try:
        stream.flush()
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def say(text: str, file: TextIO | None = None, end: str = "\n") -> None:
    """Print, to standard output by default; characters outside its encoding as escapes."""
    encoding = (file or sys.stdout).encoding or "utf-8"
    print(shown(text).encode(encoding, "backslashreplace").decode(encoding), file=file, end=end)


class Printed(argparse.ArgumentParser):
    """Prints with `say`, so that it escapes arguments, and a broken pipe is an error."""

    def print_usage(self, file: Any = None) -> None:
        """Say how to call the program."""
        say(self.format_usage(), file, end="")

    def print_help(self, file: Any = None) -> None:
        """Say how to call the program, and what its arguments are."""
        say(self.format_help(), file, end="")

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        """End the process, with a message for standard error."""
        say(message or "", sys.stderr, end="")
        sys.exit(status)


class Parser(Printed):
    """A parser that takes no abbreviations, and says in one line what is wrong with an option."""

    def __init__(self, **options: Any) -> None:
        self.known = ["--help", "--"]
        super().__init__(**{"allow_abbrev": False} | options)

    def add_argument(self, *names: Any, **options: Any) -> Any:
        """Add an option, and remember its names."""
        self.known += names
        return super().add_argument(*names, **options)

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Refuse what is no option before anything else, with the one that was probably meant."""
        for arg in sys.argv[1:] if args is None else args:
            name = arg.partition("=")[0]
            if name.startswith("--") and name not in self.known:
                near = meant(closest(name, self.known)) or ": --help lists them"
                self.error(f"there is no option {name}{near}")
        return super().parse_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        """Say in one line what is wrong, and end the process."""
        message = re.sub(r"^argument (--\S+): expected one argument$", r"\1 needs a value", message)
        sys.exit(refuse(ValueError(message)))


def columns() -> int:
    """Those that a line may take in this terminal."""
    return min(WIDTH, shutil.get_terminal_size().columns - 1)


def refuse(error: Exception) -> int:
    """Say in one line what is wrong; returns the exit status.

    Raises:
        BrokenPipeError: It is one: nobody would read the line.
    """
    if isinstance(error, BrokenPipeError):
        raise error
    line = f"error: {one_line(str(error))}"
    # In a terminal it is broken between words; elsewhere programs may look for it.
    say(filled(line, width=columns()) if sys.stderr.isatty() else line, sys.stderr)
    return 2
