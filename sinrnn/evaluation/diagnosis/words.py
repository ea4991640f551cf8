"""What a check finds, and options in the words of the command line or of Python."""

import re
from typing import NamedTuple

OWNERS = {"data": "WindowDataModule", "model": "Forecaster"}
OPTION = re.compile(r"\{([\w.]+)(?:=([^}]*))?\}")


class Finding(NamedTuple):
    """What a check measured; what is wrong and what to try; or an observation that is no fault."""

    fact: str
    problem: str = ""
    note: str = ""


def option(name: str, value: object = None) -> str:
    """An option as sentences have it until `worded` words it.

    Args:
        name: As the config has it, dotted.
        value: What it is to be; None leaves that open.
    """
    return f"{{{name}}}" if value is None else f"{{{name}={value}}}"


def worded(sentence: str, command_line: bool) -> str:
    """A sentence with its options in words.

    Args:
        sentence: With options as `option` gives them.
        command_line: Whether they are those of scripts/train.py, or else arguments in Python.
    """
    if command_line:
        return OPTION.sub(_typed, sentence)
    return re.sub(r"\) (Forecaster|WindowDataModule|fit)\(", ", ", OPTION.sub(_called, sentence))


def _typed(found: re.Match[str]) -> str:
    name, value = found.groups()
    return f"--{name}" if value is None else f"--{name} {value}"


def _called(found: re.Match[str]) -> str:
    name, value = found.groups()
    owner, _, argument = name.rpartition(".")
    if argument == "seed_everything":
        argument = "seed"
    if owner in ("model.optimizer", "model.scheduler"):
        value = f"partial(..., {argument}={value or '...'})"
        owner, _, argument = owner.partition(".")
    elif value is None:
        value = "..."
    elif re.fullmatch("[a-z_]+", value):
        value = value.capitalize() if value in ("true", "false") else f'"{value}"'
    return f"{OWNERS.get(owner, 'fit')}({argument}={value})"
