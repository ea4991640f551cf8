"""The closest known name to a mistyped one."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path

MOST = 1000  # names to compare in a folder


def closest(word: str, names: Iterable[str], cutoff: float = 0.6) -> str:
    """Return the name closest to a word, ignoring case, or "" if none is close."""
    known = {name.lower(): name for name in reversed([*names])}
    found = get_close_matches(word.lower(), known, 1, cutoff)
    return known[found[0]] if found else ""


def meant(name: str) -> str:
    """Return the question that follows an error message, or "" without a name."""
    return f": did you mean {name}?" if name else ""


def option(word: str, options: Sequence[str], aliases: dict[str, str]) -> str:
    """Return the option closest to a word.

    Args:
        word: A dotted name that is not an option.
        options: The dotted names of all options.
        aliases: Options by their names in other programs.
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
    """Return the file or folder closest to a missing one, in the same folder."""
    folder = path.parent
    try:
        names = [each.name for each, _ in zip(folder.iterdir(), range(MOST), strict=False)]
    except OSError:
        return ""
    near = closest(path.name, names, 0.75)  # high, since equal endings make names similar
    return str(folder / near) if near else ""
