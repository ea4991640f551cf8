"""Arguments that are read before the config is parsed: configs, --resume, --trust, --seeds."""

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sinrnn.config.files import SECTIONS, resuming
from sinrnn.filesystem import CONFIGS, config_file

TRUST = "Allow configs to name classes of this module, which is imported and executed."

SEEDS = "Train with this number of seeds in parallel; the first is --seed_everything."


def command() -> list[str]:
    """Return the command that starts this program: sinrnn, or python with a script or module."""
    python, script = typed(sys.executable), Path(sys.argv[0])
    if not script.is_file():  # started by python -c, or by a launcher of Windows
        return [python, "-m", "sinrnn"]
    if script.name == "__main__.py":
        return [python, "-m", script.parent.name]
    return [python, str(script)] if script.suffix == ".py" else [typed(str(script))]


def usage_name() -> str:
    """Return the program's name in its help: train.py, sinrnn or python -m sinrnn."""
    *_, flag, target = ["", *command()]
    return f"python -m {target}" if flag == "-m" else Path(target).name


def typed(program: str) -> str:
    """Return a program's name if the shell finds it by that name, else its path."""
    name = Path(program).name
    return name if shutil.which(name) == program else program


def with_config(args: list[str]) -> list[str]:
    """Return the arguments with the config of --resume, the default config or shipped paths."""
    for i, arg in enumerate(args):
        if arg == "--resume" or arg.startswith("--resume="):
            run = arg.partition("=")[2] or "".join(args[i + 1 : i + 2])
            if not run or run.startswith("--"):
                raise ValueError("--resume needs the folder of a run")
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
    """Remove --trust from the arguments, since no config may set it, and return the modules."""
    trusted, args[:] = _given(args, "--trust")
    return trusted


def take_seeds(args: list[str]) -> int | None:
    """Remove --seeds from the arguments, since each run has one seed, and return it, or None.

    Raises:
        ValueError: It is not a number of at least 1, or --resume is given, too.
    """
    given, args[:] = _given(args, "--seeds")
    try:
        seeds = int(given[-1]) if given else None
    except ValueError as error:
        raise ValueError(f"--seeds must be a number, got {given[-1]!r}") from error
    if seeds is not None and seeds < 1:
        raise ValueError(f"--seeds must be at least 1, got {seeds}")
    if seeds is not None and any(arg.partition("=")[0] == "--resume" for arg in args):
        raise ValueError("--seeds and --resume exclude each other: resume each run separately")
    return seeds


def take_section(args: list[str]) -> str | None:
    """Remove --help from the arguments and return its section, "" without one, None without it.

    Raises:
        ValueError: The section does not exist.
    """
    place = next((i for i, arg in enumerate(args) if arg in ("-h", "--help")), None)
    if place is None:
        return None
    following = args[place + 1 : place + 2]
    section = following[0] if following and not following[0].startswith("-") else ""
    if section not in ("", *SECTIONS):
        raise ValueError(f"--help takes {', '.join(SECTIONS)} or nothing, got {section}")
    del args[place : place + 1 + bool(section)]
    return section


def configs(args: Sequence[str]) -> list[str]:
    """Return the config files in the arguments, including those of one section."""
    sections = [f"--{section}" for section in SECTIONS]
    found, _ = _given(args, "-c", "--config", *sections, nargs="?")
    return [path for path in found if path is not None]


def _given(
    args: Sequence[str], *options: str, nargs: str | None = None
) -> tuple[list[Any], list[str]]:
    """Return the values of some options, and all other arguments.

    Raises:
        ValueError: An option has no value.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument(*options, dest="values", action="append", default=[], nargs=nargs)
    try:
        found, rest = parser.parse_known_args(args)
    except argparse.ArgumentError as error:
        raise ValueError(f"{options[-1]} needs a value") from error
    return found.values, rest
