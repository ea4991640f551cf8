"""Messages for unknown options, classes and arguments, with the name that was probably meant."""

import inspect
import re
from collections.abc import Iterator, Sequence
from typing import Any

from sinrnn import _suggest
from sinrnn._suggest import closest, meant
from sinrnn.config import allowlist

# Options by their names in other programs.
ALIASES = {
    "epochs": "trainer.max_epochs",
    "gpus": "trainer.devices",
    "learning_rate": "model.optimizer.lr",
    "lr": "model.optimizer.lr",
    "noise": "data.series.noise",
    "path": "data.series.path",
    "points": "data.series.points",
    "seed": "seed_everything",
}
HOMES = {  # modules of the classes that an option takes; lightning.pytorch for the trainer's
    "data.series": "sinrnn",
    "model.optimizer": "torch.optim",
    "model.scheduler": "torch.optim.lr_scheduler",
}
NO_CLASS = (
    r"(?P<key>\S+): Expected a dot import path string: (?P<name>\S+)",
    r"(?P<key>\S+) names (?P<name>\S+), which is not on the list .*",
    r"(?P<key>\S+) cannot be (?P<name>\S+): (?:nothing of that name .*|expected list)",
)
NO_ARGUMENT = (
    r"\S+: Problem with given class_path '(?P<path>\S+)': Option '(?P<name>\w+)' is not accepted",
    r"\S+ cannot be (?P<path>\S+): it has no argument '(?P<name>\w+)'",
)


def explained(message: str, args: Sequence[str], defaults: Any) -> str:
    """Return a parser's message with the name that was probably meant.

    Args:
        message: The message in one line, from `one_line`.
        args: The arguments that were parsed.
        defaults: The parser's defaults, which name all options.
    """
    if found := re.fullmatch(r"argument (?:-\w/)?(--\S+): expected one argument", message):
        following = [*args[1:], "--"]
        bare = (a for a, b in zip(args, following, strict=True) if "=" not in a and b[:2] == "--")
        given = next((arg for arg in bare if f"{arg}.".startswith(f"{found[1]}.")), found[1])
        return f"{given} needs a value"
    if found := re.fullmatch(r"unrecognized arguments: (\S+).*", message):
        return _no_option(found[1], list(_options(defaults.as_dict())))
    if found := re.fullmatch(r"(?:Group '(\S+)' does not accept o|O)ption '(\S+)'.*", message):
        section, name = found[1] or "", found[2]
        options = list(_options(defaults.as_dict()))
        return message + meant(_suggest.option(f"{section}.{name}".lstrip("."), options, ALIASES))
    if found := _first(NO_ARGUMENT, message):
        cls = allowlist.allowed_classes().get(found["path"])
        names = inspect.signature(cls).parameters if cls else ()
        near = meant(closest(found["name"], names))
        return f"{found['path']} has no argument {found['name']!r}{near}"
    if found := _first(NO_CLASS, message):
        return _no_class(message, found["key"], found["name"])
    if found := re.fullmatch(r"(\S+) cannot be (\S+): expected (?:tuple|list)", message):
        listed = (
            f"[{found[2].strip('[]()')}]"
            if "," in found[2]
            else "numbers in brackets, as in [0,0.6]"
        )
        return f"{found[1]} cannot be {found[2]}: write {listed}"
    return message


def _first(patterns: Sequence[str], message: str) -> re.Match[str] | None:
    return next(filter(None, (re.fullmatch(pattern, message) for pattern in patterns)), None)


def _options(defaults: dict[str, Any], section: str = "") -> Iterator[str]:
    """Yield the dotted names of all options, as they are typed."""
    for name, value in defaults.items():
        inner = section if name in ("init_args", "class_path") else f"{section}.{name}".lstrip(".")
        yield inner
        if isinstance(value, dict):
            yield from _options(value, inner)


def _no_option(word: str, options: Sequence[str]) -> str:
    if not word.startswith("-"):
        return f"{word!r} follows no option: name the option, as in --config {word}"
    name = word.partition("=")[0].lstrip("-")
    near = _suggest.option(name, options, ALIASES)
    question = meant(f"--{near}" if near else "")
    section = " trainer" * name.startswith("trainer.")
    return f"unknown option --{name}{question or f': see --help{section}'}"


def _no_class(message: str, key: str, name: str) -> str:
    home, last = HOMES.get(key, "lightning.pytorch"), name.rpartition(".")[2]
    known: dict[str, str] = {}
    for path, cls in allowlist.allowed_classes().items():  # public paths come first
        if path.startswith(home) and not inspect.isabstract(cls):
            known.setdefault(path.rpartition(".")[2], path)
    if key == "data.series":
        known = {short: f"{home}.{short}" for short in known}
    packages = {path.partition(".")[0] for path in known.values()}
    if "." in name and name.partition(".")[0] not in packages:
        return message  # a class of the user's own, which --trust may allow
    near = closest(last, known, 0.75)
    if near and last not in known:
        return f"{key}: unknown class {name}{meant(known[near] if '.' in name else near)}"
    if key == "data.series" and "." not in name:
        return f"{key}: unknown series {name}: choose one of {', '.join(sorted(known))}"
    return message
