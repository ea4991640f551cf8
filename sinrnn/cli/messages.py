"""What the programs say, what they say in one line where something is wrong, and what they do not.

All that they print goes through `say`, `refuse` and `Parser`; every main is a `program`.
"""

import argparse
import functools
import logging
import os
import re
import sys
import warnings
from collections.abc import Callable
from typing import Any, NoReturn, ParamSpec, TextIO

from sinrnn.filesystem import shown

P = ParamSpec("P")

BROKEN_PIPE = 128 + 13  # as the shell says it of a process that SIGPIPE has ended

# What a user can do nothing about.
NOISE = [
    ".*does not have many workers.*",  # windows are gathered faster than a worker could send them
    ".*log_every_n_steps.*",  # nothing is logged by step
    ".*Experiment logs directory .* exists and is not empty.*",  # it is this run's own
    ".*GPU available but not used.*",  # the config chose the CPU
    ".*your dataloader is not resumable.*",  # its order is
    ".*isinstance.treespec, LeafSpec.*",  # Lightning 2.6.6 with torch 2.13
]

# What a parser says, and what that means to whoever wrote the config.
REASONS = {
    r"Option ('[^']+') is not accepted": r"it has no argument \1",
    r"following arguments are required: (\w+)": r"its argument \1 is missing",
    r"Expected a tuple with (\d+) elements": r"expected \1 values",
}


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
    """Print, to standard output by default."""
    print(shown(text), file=file, end=end)


class Parser(argparse.ArgumentParser):
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


def refuse(error: Exception) -> int:
    """Say in one line what is wrong; returns the exit status.

    Raises:
        BrokenPipeError: It is one: nobody would read the line.
    """
    if isinstance(error, BrokenPipeError):
        raise error
    say(f"error: {one_line(str(error))}", sys.stderr)
    return 2


def one_line(message: str) -> str:
    """What a parser says over many lines: the key, the value, what was expected."""
    text, key = " ".join(message.split()), r'Parser key "([^"]+)":'
    if denied := re.search(r"Importing '([^']+)' is not allowed", text):
        option = ".".join(re.findall(key, text[: denied.start()])) or "an option"
        return (
            f"{option} names {denied[1]}, which is not on the list of what a config "
            "may name: add --trust MODULE to the command where you trust that code"
        )
    text = re.sub(r"- Expected a path but \S+ either not accessible or invalid - ", "", text)
    keys = re.findall(key, text)
    value = re.search(r"(?:Given|Got) value: (.*?)(?:\. Got value: .*)?$", text)
    expected = re.findall(r"Expected a <class '([^']+)'>|Literal(\[[^]]+\])", text)
    if not keys or not value:
        return re.sub(key, r"\1:", text)
    kinds = dict.fromkeys(kind.rpartition(".")[2] or choice for kind, choice in expected)
    kinds.pop("NoneType", None)
    wanted = f"expected {' or '.join(kinds)}" if kinds else "nothing of that name can be used there"
    for pattern, reason in REASONS.items():
        if found := re.search(pattern, text):
            wanted = found.expand(reason)
    given = value[1].partition(" Subclass types expect")[0]
    if named := re.search(r"class_path['=: ]+([\w.]+)'", given):
        given = named[1]
    return f"{'.'.join(keys)} cannot be {given}: {wanted}"


def quiet() -> None:
    """Silence what Lightning says that no user can act on."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for message in NOISE:
        warnings.filterwarnings("ignore", message)
