"""The name that was probably meant, for whoever typed another."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path

MOST = 1000  # names that are looked at in a folder


def closest(word: str, names: Iterable[str], cutoff: float = 0.6) -> str:
    """The name most like a word, whatever their case; "" where none is like it."""
    known = {name.lower(): name for name in reversed([*names])}
    found = get_close_matches(word.lower(), known, 1, cutoff)
    return known[found[0]] if found else ""


def meant(name: str) -> str:
    """The question after a sentence; nothing without a name."""
    return f": did you mean {name}?" if name else ""


def option(word: str, options: Sequence[str], aliases: dict[str, str]) -> str:
    """The option most like a word.

    Args:
        word: A dotted name that is no option.
        options: All dotted names.
        aliases: Options by what they are called elsewhere.
    """
    section, _, last = word.rpartition(".")
    if last in aliases:
        return aliases[last]
    within = [name.rpartition(".")[2] for name in options if name.rpartition(".")[0] == section]
    if near := closest(last, within):
        return f"{section}.{near}".lstrip(".")
    ends = {name.rpartition(".")[2]: name for name in reversed(options)}
    return ends.get(closest(last, ends, 0.8), "" if within else closest(word, options, 0.8))


def file(path: Path) -> str:
    """The file or folder most like one that is not there, in the same folder."""
    folder = path.parent
    try:
        names = [each.name for each, _ in zip(folder.iterdir(), range(MOST), strict=False)]
    except OSError:
        return ""
    near = closest(path.name, names, 0.75)  # endings alone make names alike
    return str(folder / near) if near else ""
