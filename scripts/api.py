"""Write docs/api.md from signatures and docstrings: python scripts/api.py."""

import argparse
import ast
import inspect
import re
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import sinrnn

PAGE = Path(__file__).parent.parent / "docs" / "api.md"
HEAD = """\
# The public names of sinrnn

`B` windows in a batch, `T` steps in a window, `D` inputs, `H` hidden units, `O` outputs. Every
example is run by the tests, after

```python
import torch
from sinrnn import *
```

This page is made from the docstrings by `python scripts/api.py`.
"""
ORDER = {
    "The network": ["SinRNN"],
    "The recurrence": ["tanh_rnn"],
    "A gradient, step by step": ["trace", "Trace"],
    "Where numbers come from": [
        *("Series", "Generated", "Sine", "SumOfSines", "Damped"),
        *("Chirp", "Square", "MackeyGlass", "FileSeries"),
    ],
    "Windows and batches": ["Windows", "WindowDataModule"],
    "Training with Lightning": ["Forecaster"],
}
ANCHORS = {"Trace": "trace-1"}  # the second of that name
SECTION = re.compile(r"^(Args|Attributes|Returns|Raises|Source|Example):\n((?: +.*\n|\n)+)", re.M)
ITEM = re.compile(r"^(\S[^:]*): ((?:.*\n(?: +.*\n)*))", re.M)


def members(cls: type) -> dict[str, Any]:
    """The public methods and properties that a class defines itself, in its order."""
    return {
        name: member
        for name, member in vars(cls).items()
        if not name.startswith("_") and (inspect.isroutine(member) or isinstance(member, property))
    }


def is_hook(cls: type, name: str, member: Any) -> bool:
    """Whether PyTorch or Lightning calls it: they define it, and it documents no arguments."""
    theirs = (base for base in cls.__mro__ if not base.__module__.startswith("sinrnn"))
    documented = "Args:" in (inspect.getdoc(member) or "")
    return not documented and any(name in vars(base) for base in theirs)


def function(member: Any) -> Callable[..., Any]:
    """The function behind a method or property."""
    inner = getattr(member, "fget", None) or getattr(member, "__func__", member)
    found: Callable[..., Any] = inspect.unwrap(inner)
    return found


def signature(name: str, member: Any) -> str:
    """As the source has it, so that defaults are short and the same everywhere."""
    source = ast.parse(textwrap.dedent(inspect.getsource(function(member)))).body[0]
    assert isinstance(source, ast.FunctionDef)
    result = "" if source.returns is None else f" -> {ast.unparse(source.returns)}"
    if isinstance(member, property):
        return name + result.replace(" ->", ":")
    given = source.args
    plain = [*given.posonlyargs, *given.args]
    defaults = [None] * (len(plain) - len(given.defaults)) + given.defaults
    parts = [*map(_parameter, plain, defaults)]
    if plain and plain[0].arg in ("self", "cls"):
        parts = parts[1:]
    if given.vararg:
        parts.append("*" + _parameter(given.vararg))
    elif given.kwonlyargs:
        parts.append("*")
    parts += map(_parameter, given.kwonlyargs, given.kw_defaults)
    if given.kwarg:
        parts.append("**" + _parameter(given.kwarg))
    if source.name == "__init__":
        result = ""
    line = f"{name}({', '.join(parts)}){result}"
    if len(line) <= 88:
        return line
    return f"{name}(\n" + "".join(f"    {part},\n" for part in parts) + f"){result}"


def _parameter(name: ast.arg, default: ast.expr | None = None) -> str:
    text = ast.unparse(name)
    if default is None:
        return text
    return f"{text}{' = ' if name.annotation else '='}{ast.unparse(default)}"


def items(body: str) -> dict[str, str]:
    """What a section of `name: text` has, each text in one line."""
    found = ITEM.findall(textwrap.dedent(body).strip("\n") + "\n")
    return {name: " ".join(text.split()) for name, text in found}


def markdown(docstring: str) -> str:
    """A docstring with Google sections as Markdown."""
    return re.sub(r"\n{3,}", "\n\n", SECTION.sub(_section, docstring + "\n\n")).strip() + "\n"


def _section(match: re.Match[str]) -> str:
    title, body = match[1], textwrap.dedent(match[2]).strip("\n") + "\n"
    if title == "Example":
        return f"```pycon\n{body}```\n\n"
    if title in ("Args", "Attributes", "Raises"):
        body = "".join(f"- `{name}`: {text}\n" for name, text in items(body).items())
        return f"**{title}**\n\n{body}\n"
    return f"**{title}**: {body}\n"


def entry(name: str) -> str:
    """The part of the page on one public name."""
    thing = getattr(sinrnn, name)
    text = f"### {name}\n\n"
    own = vars(thing).get("__init__") if inspect.isclass(thing) else thing
    if own is not None and name != "Trace":
        text += f"```python\n{signature(name, own)}\n```\n\n"
    bases = [b.__name__ for b in getattr(thing, "__bases__", ()) if b.__name__ in sinrnn.__all__]
    text += "".join(f"A [{base}](#{base.lower()}), with its methods.\n\n" for base in bases)
    text += markdown(inspect.getdoc(thing) or "")
    hooks = []
    for part, member in members(thing).items() if inspect.isclass(thing) else ():
        doc = inspect.getdoc(member) or ""
        if is_hook(thing, part, member):
            first = doc.partition("\n\n")[0]
            hooks.append(f"- `{part}`: {' '.join(first.split())}\n")
            continue
        text += f"\n#### {name}.{part}\n\n```python\n{signature(part, member)}\n```\n\n"
        text += markdown(doc)
    if hooks:
        text += f"\n#### What PyTorch or Lightning calls in {name}\n\n" + "".join(hooks)
    return text


def page() -> str:
    """The whole page."""
    links = [
        f"- {title}: "
        + ", ".join(f"[{name}](#{ANCHORS.get(name, name.lower())})" for name in names)
        + "\n"
        for title, names in ORDER.items()
    ]
    text = HEAD + "\n" + "".join(links)
    for title, names in ORDER.items():
        text += f"\n## {title}\n" + "".join(f"\n{entry(name)}" for name in names)
    return text


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__.partition(":")[0] + ".").parse_args()
    PAGE.write_text(page())
    print(f"{PAGE.relative_to(PAGE.parents[1])} is written")
