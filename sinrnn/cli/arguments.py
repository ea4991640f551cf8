"""What was typed: which configs, which run, which modules are trusted."""

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from sinrnn.config.files import SECTIONS
from sinrnn.filesystem import CONFIGS, shipped
from sinrnn.run_folder import CONFIG

TRUST = "Let configs name this module of your own, too; it is imported, and runs."


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
            run = Path(arg.partition("=")[2] or "".join(args[i + 1 : i + 2]))
            if not (run / CONFIG).is_file():
                raise FileNotFoundError(f"--resume {run}: no {CONFIG} in that folder")
            return ["--config", str(run / CONFIG), *args]
    if any(arg in ("-c", "--config") or arg.startswith("--config=") for arg in args):
        found = list(args)
        for i, arg in enumerate(args):
            option, equals, path = arg.partition("=")
            if equals and option == "--config":
                found[i] = f"--config={shipped(path)}"
            elif i and args[i - 1] in ("-c", "--config"):
                found[i] = shipped(arg)
        return found
    return ["--config", str(CONFIGS / "sine.yaml"), *args]


def take_trusted(args: list[str]) -> list[str]:
    """Take --trust out of the arguments, as no config may hold it; returns the modules."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--trust", action="append", default=[])
    try:
        found, rest = parser.parse_known_args(args)
    except argparse.ArgumentError as error:
        raise ValueError(error) from error
    args[:] = rest
    trusted: list[str] = found.trust
    return trusted


def configs(args: Sequence[str]) -> list[str]:
    """The config files that the arguments name, those of one section among them."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    options = [f"--{section}" for section in SECTIONS]
    parser.add_argument("-c", "--config", *options, action="append", default=[], nargs="?")
    found: list[str | None] = parser.parse_known_args(args)[0].config
    return [path for path in found if path is not None]
