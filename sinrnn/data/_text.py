"""One column of a file of text, .csv and its relatives: separators, names, decimal commas."""

import csv
import gzip
import math
import re
import zlib
from array import array
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from sinrnn.data._columns import TIME, Column, Values, beside_time, chosen, too_large, unreadable

MISSING = {"", "na", "n/a", "#n/a", "nan", "null", "none", "?"}
ONE_COMMA = re.compile(r"\s*[+-]?\d*,\d+(e[+-]?\d+)?\s*", re.IGNORECASE)


def read(path: Path, column: Column, header: bool | None, most: int) -> Values:
    """The numbers of a column, (points,), float64; what is not clear is refused.

    Args:
        path: The file.
        column: As `readers.read` has it.
        header: As `readers.read` has it.
        most: Bytes to unpack of a compressed file.
    """
    if path.suffix.lower() == ".gz":
        _check_unpacked(path, most)
    separator = _separator(path, column)
    head = [cells for _, cells in islice(_rows(path, separator), 2)]
    if not head:
        raise ValueError(f"{path} is empty")
    if header is None and [cell.strip() for cell in head[0]] == [*map(str, range(len(head[0])))]:
        raise ValueError(
            f"{path}, row 1: {separator.join(head[0])} may be numbers of columns, as pandas writes "
            "them, or the first values: say which by header (--data.series.header true or false)"
        )
    first, second = ([_number(c, ";") for c in cells] for cells in (head[0], head[-1]))
    # A name shows by a number below it, or is what only columns of time are called.
    over = [
        (math.isnan(a) and not math.isnan(b)) or cell.strip().lower() in TIME
        if header is None
        else header
        for cell, a, b in zip(head[0], first, second, strict=True)
    ]
    titles = any(over) or (header is None and any(map(_is_name, head[0])))
    names = [cell.strip() if titles else str(j) for j, cell in enumerate(head[0])]
    k = chosen(path, names, column)
    if k is None:
        row, cells = (second, head[-1]) if any(over) else (first, head[0])
        numeric = [j for j, x in enumerate(row) if not math.isnan(x) or _is_missing(cells[j])]
        k = beside_time(path, names, numeric, lambda j: _column(path, separator, j, any(over)))
    titled = titles and (header or _is_name(head[0][k]) or column not in (None, k, str(k)))
    if not titled and any(over[:k] + over[k + 1 :]):
        raise ValueError(
            f"{path}, row 1: {head[0][k]!r} may be a name or a value: give column {k} a name with "
            "letters, or remove the names"
        )
    return _column(path, separator, k, titled)


def _separator(path: Path, column: Column) -> str:
    """The one of tab, ; and , that cuts the first two lines into as many cells."""
    head = list(islice(_lines(path), 2)) or [""]
    if column in (None, 0, "0") and all(map(ONE_COMMA.fullmatch, head)):
        raise ValueError(
            f"{path}, row 1: {head[0].strip()!r} may be two columns or have a decimal comma: name "
            "the columns in a first row, or write decimal points"
        )
    unquoted = [re.sub(r'"[^"]*"', "", line) for line in head]
    found = [s for s in "\t;," if s in unquoted[0]]
    alike = [s for s in found if unquoted[0].count(s) == unquoted[-1].count(s)]
    # Where ; or a tab separates, a comma is a decimal one.
    cells = [cell for s in alike[:1] for cell in unquoted[0].split(s) if "," in cell]
    texts = [cell for cell in cells if math.isnan(_number(cell, ";"))]
    if alike[1:] == [";"] or (len(alike) > 1 and texts):
        raise ValueError(
            f"{path}, row 1: {alike[0]!r} or {alike[1]!r} may separate columns: put text that "
            "holds one of them in quotes"
        )
    return (alike or found or [","])[0]


def _rows(path: Path, separator: str) -> Iterator[tuple[int, list[str]]]:
    """The cells of each row, and the line it ends in."""
    blank = width = 0
    reader = csv.reader(_lines(path), delimiter=separator, strict=True)
    try:
        for row in reader:
            if not row or (len(row) == 1 and row[0].isspace()):
                blank = blank or reader.line_num
            elif blank:
                raise ValueError(f"{path}, row {blank} is blank: fill it in, or remove it")
            elif len(row) != (width := width or len(row)):
                raise ValueError(
                    f"{path}, row {reader.line_num} has {len(row)} cells and row 1 has {width}, "
                    f"with {separator!r} between them: give every row as many"
                )
            else:
                yield reader.line_num, row
    except csv.Error as error:
        raise ValueError(f"{path}, row {reader.line_num}: {error}: check the quotes") from error


def _check_unpacked(path: Path, most: int) -> None:
    """Refuse a compressed file that unpacks to more than `most` bytes, before it is read."""
    left = most
    try:
        with gzip.open(path) as file:
            while left >= 0 and (part := file.read(2**20)):
                left -= len(part)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise unreadable(path, "as UTF-8 text", error) from error
    if left < 0:
        raise too_large(path, f"more than {most // 10**6}")


def _lines(path: Path) -> Iterator[str]:
    opened = gzip.open if path.suffix.lower() == ".gz" else open
    try:
        with opened(path, "rt", encoding="utf-8-sig") as file:
            yield from file
    except (UnicodeDecodeError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise unreadable(path, "as UTF-8 text", error) from error


def _column(path: Path, separator: str, k: int, titled: bool) -> Values:
    rows, found = _rows(path, separator), array("d")
    label = repr(next(rows)[1][k].strip()) if titled else str(k)
    points = commas = False
    for line, row in rows:
        cell = row[k]
        value = _number(cell, separator)
        points, commas = points or "." in cell, commas or "," in cell
        if not math.isfinite(value) or (points and commas):
            wrong = "must be a finite number like -1.5e3"
            if _is_missing(cell):
                wrong = "fill in the missing value"
            elif math.isfinite(value):
                wrong = "must not mix decimal points and decimal commas"
            raise ValueError(f"{path}, row {line}, column {label}: {wrong}, got {cell[:40]!r}")
        found.append(value)
    return np.array(found)


def _number(cell: str, separator: str) -> float:
    """The number in a cell, with a decimal comma where ; separates; nan where there is none."""
    text = cell.replace(",", ".") if separator == ";" else cell
    try:
        return math.nan if "_" in text else float(text)  # Python's 1_000 is none in a file
    except ValueError:
        return math.nan


def _is_missing(cell: str) -> bool:
    return cell.strip().lower() in MISSING


def _is_name(cell: str) -> bool:
    letters = any(map(str.isalpha, cell))
    return letters and math.isnan(_number(cell, ";")) and not _is_missing(cell)
