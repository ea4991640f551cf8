"""What was typed: which configs, which run, which modules are trusted."""

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sinrnn.config.files import SECTIONS, resuming
from sinrnn.filesystem import CONFIGS, config_file

TRUST = "Let configs name this module of your own, too; it is imported, and runs."

SEEDS = "Train with so many seeds, from --seed_everything on, side by side."


def command() -> list[str]:
    """What to type to start this program again: sinrnn, or python and a script or module."""
    python, script = typed(sys.executable), Path(sys.argv[0])
    if not script.is_file():  # started by python -c, or by a launcher of Windows
        return [python, "-m", "sinrnn"]
    if script.name == "__main__.py":
        return [python, "-m", script.parent.name]
    return [python, str(script)] if script.suffix == ".py" else [typed(str(script))]


def typed(program: str) -> str:
    """A program's name where the shell finds it by that, else its path."""
    name = Path(program).name
    return name if shutil.which(name) == program else program


def with_config(args: list[str]) -> list[str]:
    """The arguments, with the default config where none is chosen, and with shipped ones found."""
    for i, arg in enumerate(args):
        if arg == "--resume" or arg.startswith("--resume="):
            run = arg.partition("=")[2] or "".join(args[i + 1 : i + 2])
            if not run or run.startswith("--"):
                raise ValueError("--resume must name the folder of a run, got nothing")
            return [*resuming(Path(run)), *args]
    if not any(arg in ("-c", "--config") or arg.startswith("--config=") for arg in args):
        return ["--config", str(CONFIGS / "sine.yaml"), *args]
    found = list(args)
    for i, arg in enumerate(args):
        if arg.startswith("--config="):
            found[i] = f"--config={config_file('--config', arg.partition('=')[2])}"
        elif i and args[i - 1] in ("-c", "--config") and not arg.startswith("-"):
            found[i] = config_file("--config", arg)
    return found


def take_trusted(args: list[str]) -> list[str]:
    """Take --trust out of the arguments, as no config may hold it; returns the modules."""
    trusted, args[:] = _given(args, "--trust")
    return trusted


def take_seeds(args: list[str]) -> int | None:
    """Take --seeds out of the arguments, as each run has one; returns how many, or None.

    Raises:
        ValueError: It is no number, or a run is to be resumed.
    """
    given, args[:] = _given(args, "--seeds")
    try:
        seeds = int(given[-1]) if given else None
    except ValueError as error:
        raise ValueError(f"--seeds must be a number, got {given[-1]!r}") from error
    if seeds is not None and seeds < 1:
        raise ValueError(f"--seeds must be at least 1, got {seeds}")
    if seeds is not None and any(arg.partition("=")[0] == "--resume" for arg in args):
        raise ValueError("--seeds is for new runs: resume each run by itself")
    return seeds


def take_section(args: list[str]) -> str | None:
    """Take --help out of the arguments; returns its section, "" without one, None without it.

    Raises:
        ValueError: There is no such section.
    """
    place = next((i for i, arg in enumerate(args) if arg in ("-h", "--help")), None)
    if place is None:
        return None
    following = args[place + 1 : place + 2]
    section = following[0] if following and not following[0].startswith("-") else ""
    if section not in ("", *SECTIONS):
        raise ValueError(f"--help must be of {', '.join(SECTIONS)}, or of nothing, got {section}")
    del args[place : place + 1 + bool(section)]
    return section


def configs(args: Sequence[str]) -> list[str]:
    """The config files that the arguments name, those of one section among them."""
    sections = [f"--{section}" for section in SECTIONS]
    found, _ = _given(args, "-c", "--config", *sections, nargs="?")
    return [path for path in found if path is not None]


def _given(
    args: Sequence[str], *options: str, nargs: str | None = None
) -> tuple[list[Any], list[str]]:
    """The values of some options, and all other arguments.

    Raises:
        ValueError: One has no value.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument(*options, dest="values", action="append", default=[], nargs=nargs)
    try:
        found, rest = parser.parse_known_args(args)
    except argparse.ArgumentError as error:
        raise ValueError(f"{options[-1]} needs a value") from error
    return found.values, rest
