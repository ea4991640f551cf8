"""The finding of a check, and its options as typed on the command line or in Python."""

import re
from typing import NamedTuple

OWNERS = {"data": "WindowDataModule", "model": "Forecaster"}
OPTION = re.compile(r"\{([\w.]+)(?:=([^}]*))?\}")


class Finding(NamedTuple):
    """The measurements of a check, and a problem with a suggestion, or an observation."""

    fact: str
    problem: str = ""
    note: str = ""


def option(name: str, value: object = None) -> str:
    """Return the placeholder of an option in a sentence, which `worded` replaces.

    Args:
        name: The dotted name in the config.
        value: The suggested value; None suggests none.
    """
    return f"{{{name}}}" if value is None else f"{{{name}={value}}}"


def worded(sentence: str, command_line: bool) -> str:
    """Return a sentence with its placeholders replaced.

    Args:
        sentence: A sentence with placeholders from `option`.
        command_line: Whether to write options of scripts/train.py; else arguments in Python.
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
