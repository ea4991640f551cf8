"""The help of training: every option, with its value in the loaded config."""

import inspect
import textwrap
from collections.abc import Iterator
from typing import Any

from docstring_parser import parse
from lightning.pytorch import Trainer

from sinrnn.callbacks.monitor import Monitor
from sinrnn.cli.arguments import SEEDS, TRUST, usage_name
from sinrnn.config.allowlist import allowed_classes
from sinrnn.config.parser import OPTIONS
from sinrnn.data.datamodule import WindowDataModule
from sinrnn.filesystem import CONFIGS, WIDTH, filled
from sinrnn.training.forecaster import Forecaster

OWNERS = {"model": Forecaster, "data": WindowDataModule, "monitor": Monitor, "trainer": Trainer}
FIRST = ("max_epochs", "max_steps", "callbacks", "gradient_clip_val", "accelerator", "devices")
LINKED = "data.seed"  # set by seed_everything
HEADS = {
    "model": "Network and training:",
    "data": "Series, windows and batches:",
    "monitor": "Logging to TensorBoard:",
    "trainer": "Lightning's Trainer:",
}
MORE = "For all options of the Trainer: --help trainer. For a class: --model.optimizer.help Adam."


def text(config: dict[str, Any], source: str, section: str = "") -> str:
    """Return the help of a section, or of all sections with the main options of the Trainer.

    Args:
        config: The values of all options.
        source: The name of the loaded config.
        section: One of OWNERS, or "".
    """
    usage = f"usage: {usage_name()} [--config FILE] [--OPTION VALUE ...]"
    lines = [filled(usage, " " * 7), ""]
    if not section:
        names = ", ".join(f"configs/{path.name}" for path in sorted(CONFIGS.glob("*.yaml")))
        about = f"Train a recurrent network. These configs come with sinrnn: {names}."
        lines += [filled(about, ""), ""]
    lines += [filled(f"The values shown are those of {source}.", "")]
    if not section:
        lines.append("")
        general = {name: _value(config.get(name)) for name in OPTIONS}
        values = {"config": source, **general, "seeds": "COUNT", "trust": "MODULE"}
        texts = {**OPTIONS, "seeds": SEEDS, "trust": TRUST}
        texts["config"] = "Config file. If given several times, later files override earlier ones."
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


def _argument(name: str, value: Any, description: str) -> Iterator[str]:
    """Yield the help of an argument, and of the arguments of its class."""
    made = value if isinstance(value, dict) and "class_path" in value else None
    yield from _option(name, made["class_path"] if made else _value(value), description)
    cls = allowed_classes().get(made["class_path"]) if made else None
    ours = cls is not None and cls.__module__.startswith("sinrnn")
    texts = _texts(cls) if cls and ours else {}
    for inner, given in ((made or {}).get("init_args") or {}).items():
        yield from _argument(f"{name}.{inner}", given, texts.get(inner, ""))


def _option(name: str, value: str, description: str) -> Iterator[str]:
    yield f"  --{name} {value}"
    yield from textwrap.wrap(description, WIDTH, initial_indent=" " * 8, subsequent_indent=" " * 8)


def _texts(cls: type) -> dict[str, str]:
    """Return the descriptions of a class's arguments in its docstring and its bases'."""
    found: dict[str, str] = {}
    for base in cls.__mro__:
        for of in (base, vars(base).get("__init__")):
            parsed = parse(inspect.getdoc(of) or "").params if of and base is not object else []
            for param in parsed:
                found.setdefault(param.arg_name, " ".join((param.description or "").split()))
    return found


def _value(value: Any) -> str:
    """Return a value as it is typed."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list | tuple):
        return f"[{','.join(map(_value, value))}]"
    if isinstance(value, dict):
        return f"{value.get('class_path', value)}"
    return f"{value}"
