"""Cells of a text file: their kind (number, time, text, missing), and numbers from text."""

import math
import re
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

from sinrnn.data import _dates

MISSING = {"", "na", "n/a", "#n/a", "nan", "null", "none", "?", "-", "."}
GROUPED = r"[+-]?\d{{1,3}}(?:{0}\d{{3}})+(?:{1}\d*)?"  # 1.234.567,89, with both marks
SEVERAL = re.compile(r"\d[ '\u00a0\u202f]\d{3}|\d[.,]\d+[.,]")  # possible thousands marks
ONE_GROUP = re.compile(r"\s*[+-]?[1-9]\d{0,2}[.,]\d{3}\s*")  # 1.004: a decimal or thousands mark?
EITHER = re.compile(r"\s*[+-]?\d{1,3}([., '\u00a0\u202f]\d{3})+([.,]\d+)?\s*")

Refuse = Callable[[int, str], ValueError]  # (row, what is wrong there)


def is_missing(cell: str) -> bool:
    """Return whether a cell marks a missing value."""
    return cell.strip().lower() in MISSING


def number(cell: str, decimal: str = ".") -> float:
    """Return the number in a cell; nan if it holds none."""
    try:
        return math.nan if "_" in cell else float(cell.replace(decimal, "."))  # no 1_000
    except ValueError:
        return math.nan


def kind(cell: str) -> str:
    """Return "missing", "number", "clock", "time" or "text"."""
    if is_missing(cell):
        return "missing"
    numeric = not math.isnan(number(cell)) or not math.isnan(number(cell, ","))
    if numeric or EITHER.fullmatch(cell):
        return "number"
    if _dates.CLOCK.fullmatch(cell.strip()):
        return "clock"
    return "time" if _dates.is_time(cell) else "text"


def is_name(cell: str) -> bool:
    """Return whether a cell can only be a column's name."""
    return kind(cell) == "text" and not re.match(r"\W*\d", cell)


def numbers(
    cells: Sequence[str],
    separator: str,
    decimal: str | None,
    thousands: str | None,
    refuse: Refuse,
) -> NDArray[np.float64]:
    """Convert a column's cells to numbers, (rows,); nan if a value is missing.

    Args:
        cells: The column's cells.
        separator: The file's separator.
        decimal: The decimal mark; None detects it.
        thousands: The thousands mark; None detects it.
        refuse: Makes the error for a row.

    Raises:
        ValueError: A cell is not a finite number, or is ambiguous.
    """
    text = "\n".join(cells)
    if decimal is None and thousands is None:
        decimal, thousands = _marks(cells, text, separator, refuse)
    elif decimal is None:
        decimal = "," if thousands == "." else "."
    if thousands is None and "_" not in text and not (decimal == "," and "." in text):
        plain = text.replace(",", ".").split("\n") if decimal == "," else cells
        with suppress(ValueError):
            found = np.array(plain, dtype=object).astype(np.float64)
            if len(found) == len(cells) and np.isfinite(found).all():
                return found
    grouped = re.compile(GROUPED.format(re.escape(f"{thousands}"), re.escape(decimal)))
    found = np.full(len(cells), math.nan)
    for row, cell in enumerate(cells):
        digits = cell.strip()
        if thousands is not None and grouped.fullmatch(digits):
            digits = digits.replace(thousands, "")
        other = "." if decimal == "," else ","
        if other in digits and kind(cell) == "number":
            raise refuse(row, f"must not mix decimal points and decimal commas, got {cell[:40]!r}")
        found[row] = number(digits, decimal)
        if not math.isfinite(found[row]) and not is_missing(cell):
            raise refuse(row, f"must be a finite number like -1.5e3, got {cell[:40]!r}")
    return found


def refuse_one_group(cells: Iterable[str], refuse: Refuse) -> None:
    """Raise a ValueError if all numbers with a mark are like 1.004: 1.004 or 1004."""
    first = None
    for row, cell in enumerate(cells):
        if "," in cell or "." in cell:
            if not ONE_GROUP.fullmatch(cell):
                return
            first = first or (row, cell.strip())
    if first:
        row, cell = first
        mark = "," if "," in cell else "."
        raise refuse(
            row,
            f"{cell!r} may have decimals or thousands: set --data.series.decimal {mark} or "
            f"--data.series.thousands {mark}",
        )


def _marks(
    cells: Sequence[str], text: str, separator: str, refuse: Refuse
) -> tuple[str, str | None]:
    """Detect the decimal and thousands marks of cells, given also as one text."""
    for cell in cells if SEVERAL.search(text) else ():
        if EITHER.fullmatch(cell) and (space := re.search(r"\d([ '\u00a0\u202f])", cell)):
            return ("," if "," in cell else "."), space[1]
        found = cell.count(",") + cell.count(".")
        if found > 1 and EITHER.fullmatch(cell):
            marks = re.sub(r"[^.,]", "", cell)
            if len(set(marks)) == 2:  # 1.234,5: the last mark is the decimal one
                return marks[-1], marks[0]
            return ("." if marks[0] == "," else ","), marks[0]  # 1.234.567
    commas, points = "," in text, "." in text
    if commas != points and (commas or separator == ";"):
        refuse_one_group(cells, refuse)
    first = next((cell for cell in cells if "," in cell or "." in cell), "")
    return ("," if "," in first and kind(first) == "number" else "."), None
