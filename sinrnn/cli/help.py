"""The help of training: each option with the value of the config that is loaded."""

import inspect
import shlex
import textwrap
from collections.abc import Iterator
from typing import Any

from docstring_parser import parse
from lightning.pytorch import Trainer

from sinrnn.callbacks.monitor import Monitor
from sinrnn.cli.arguments import SEEDS, TRUST, command
from sinrnn.config.allowlist import allowed_classes
from sinrnn.config.parser import OPTIONS
from sinrnn.data.datamodule import WindowDataModule
from sinrnn.filesystem import CONFIGS, WIDTH, filled
from sinrnn.training.forecaster import Forecaster

OWNERS = {"model": Forecaster, "data": WindowDataModule, "monitor": Monitor, "trainer": Trainer}
FIRST = ("max_epochs", "max_steps", "callbacks", "gradient_clip_val", "accelerator", "devices")
LINKED = "data.seed"  # which seed_everything sets
HEADS = {
    "model": "the network, and how it learns:",
    "data": "the series, and how it is cut into windows:",
    "monitor": "what TensorBoard shows:",
    "trainer": "Lightning's Trainer:",
}
MORE = "All options of the Trainer: --help trainer. Those of a class: --model.optimizer.help Adam."


def text(config: dict[str, Any], source: str, section: str = "") -> str:
    """The help of a section, or of all but what few change of the Trainer.

    Args:
        config: The values of all options.
        source: Where they are from.
        section: One of OWNERS, or "".
    """
    usage = f"usage: {shlex.join(command())} [--config FILE] [--OPTION VALUE ...]"
    lines = [filled(usage, " " * 7), ""]
    if not section:
        names = ", ".join(f"configs/{path.name}" for path in sorted(CONFIGS.glob("*.yaml")))
        about = f"Train a recurrent network. These configs come with sinrnn: {names}."
        lines += [filled(about, ""), ""]
    lines += [filled(f"The values below are those of {source}.", "")]
    if not section:
        lines.append("")
        general = {name: _value(config.get(name)) for name in OPTIONS}
        values = {"config": source, **general, "seeds": "COUNT", "trust": "MODULE"}
        texts = {**OPTIONS, "seeds": SEEDS, "trust": TRUST}
        texts["config"] = "File of values; several are read one after the other."
        for name, value in values.items():
            lines += _option(name, value, texts[name])
    for name in [section] if section else OWNERS:
        lines += ["", HEADS[name], *_section(name, config.get(name) or {}, not section)]
    return "\n".join([*lines, "", filled(MORE, "")])


def _section(name: str, values: dict[str, Any], short: bool) -> Iterator[str]:
    texts = _texts(OWNERS[name])
    for argument, value in values.items():
        place = f"{name}.{argument}"
        if place == LINKED or (short and name == "trainer" and argument not in FIRST):
            continue
        yield from _argument(place, value, texts.get(argument, ""))


def _argument(name: str, value: Any, said: str) -> Iterator[str]:
    """An argument, and those of the class that it names."""
    made = value if isinstance(value, dict) and "class_path" in value else None
    yield from _option(name, made["class_path"] if made else _value(value), said)
    cls = allowed_classes().get(made["class_path"]) if made else None
    ours = cls is not None and cls.__module__.startswith("sinrnn")
    texts = _texts(cls) if cls and ours else {}
    for inner, given in ((made or {}).get("init_args") or {}).items():
        yield from _argument(f"{name}.{inner}", given, texts.get(inner, ""))


def _option(name: str, value: str, said: str) -> Iterator[str]:
    yield f"  --{name} {value}"
    yield from textwrap.wrap(said, WIDTH, initial_indent=" " * 8, subsequent_indent=" " * 8)


def _texts(cls: type) -> dict[str, str]:
    """What the docstrings of a class and of what it is derived from say of its arguments."""
    found: dict[str, str] = {}
    for base in cls.__mro__:
        for of in (base, vars(base).get("__init__")):
            parsed = parse(inspect.getdoc(of) or "").params if of and base is not object else []
            for param in parsed:
                found.setdefault(param.arg_name, " ".join((param.description or "").split()))
    return found


def _value(value: Any) -> str:
    """A value as it is typed."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list | tuple):
        return f"[{','.join(map(_value, value))}]"
    if isinstance(value, dict):
        return f"{value.get('class_path', value)}"
    return f"{value}"
