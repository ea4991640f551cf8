"""Selection of a file's columns for the series and its time, and messages about columns."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from sinrnn._suggest import closest
from sinrnn.data import _dates

Column = str | int | None
Values = NDArray[Any]

OPTION = "--data.series."
TIME = {"t", "time", "date", "year", "index", "timestamp", "datetime", "ds"}
PARTS = ("year", "month", "day", "hour", "minute", "second")
COUNT = ("", "Unnamed: 0")  # names of a column of row numbers, as pandas and R write it
WIDE = 3  # column names that are times, at least, in a table with a row for each series


@dataclass(frozen=True)
class Options:
    """The options of `FileSeries`, which documents them."""

    column: Column = None
    time: Column = None
    where: str | None = None
    gaps: Literal["refuse", "fill", "ignore"] = "refuse"
    header: bool | None = None
    decimal: Literal[".", ","] | None = None
    thousands: str | None = None
    separator: str | None = None
    skip_rows: int | None = None
    encoding: str | None = None
    max_megabytes: int = 200


class Table(Protocol):
    """The interface of a file's columns."""

    path: Path
    names: list[str]
    notes: list[str]
    head: list[list[str]]  # the first rows of a text file

    def kind(self, column: int) -> str:
        """Return "number", "time", "clock", "text" or "missing"."""

    def numeric(self, column: int) -> Values:
        """Return a column's numbers; nan if one is missing."""

    def cells(self, column: int) -> list[str]:
        """Return a column as text."""

    def times(self, columns: list[int]) -> list[tuple[Values, str]]:
        """Return the possible readings of adjacent columns of times; see `_dates.parse`."""

    def at(self, row: int) -> str:
        """Return a row's place in the file, for messages."""

    def label(self, column: int) -> str:
        """Return a column's name in quotes, or its index, for messages."""


def find(path: Path, names: list[str], column: Column, option: str = "column") -> int:
    """Return the index of a column that is given by name or index.

    Raises:
        ValueError: There is none, or more than one.
    """
    found = [j for j, name in enumerate(names) if str(column) in (name, str(j))]
    if len(found) != 1:
        count = f"{len(found)} columns" if found else "no column"
        near = "" if found else closest(str(column), [name for name in names if name])
        like = f" (did you mean {near}?)" if near else ""
        raise undecided(path, f"{count} {column!r}{like}", names, option)
    return found[0]


def times_of(table: Table, options: Options) -> list[int]:
    """Return the columns that hold the time: none, one, several parts, or a date and a clock.

    Raises:
        ValueError: Several columns are possible.
    """
    if options.time == "none":
        return []
    if options.time is not None:
        return [find(table.path, table.names, options.time, "time")]
    series = None if options.column is None else find(table.path, table.names, options.column)
    others = [j for j in range(len(table.names)) if j != series]
    names = {table.names[j].strip().lower(): j for j in others}
    parts = [names[part] for part in PARTS if part in names]
    if "year" in names and "month" in names:
        if all(table.kind(j) == "number" for j in parts):
            return parts
        if any(_dates.is_time(f"2000 {row[names['month']]}") for row in table.head[:1]):
            return [names["year"], names["month"]]  # the month by its name
    dates = [j for j in others if table.kind(j) == "time"]
    clocks = [j for j in others if table.kind(j) == "clock"]
    if len(dates) == 1:
        return dates + clocks[:1]
    if dates:
        raise undecided(table.path, f"{len(dates)} columns of times", table.names, "time")
    named = [j for j in others if table.kind(j) == "number" and table.names[j].lower() in TIME]
    numeric = [j for j in range(len(table.names)) if table.kind(j) in ("number", "missing")]
    first = numeric[:1] == [0] != named and series != 0
    alone = len(numeric) == 2 or table.names[0] in COUNT
    even = bool(first and alone and _is_even(table))
    if even and named and series is None:  # such as laps and lap times
        raise undecided(table.path, "2 columns of numbers", table.names, "column")
    return named if len(named) == 1 else [0] * even


def _is_even(table: Table) -> bool:
    """Return whether the first column rises in even steps."""
    try:
        steps = np.diff(table.numeric(0))
    except ValueError:
        return False
    return len(steps) > 1 and steps.min() > 0 and bool(np.ptp(steps) <= 1e-6 * steps.mean())


def series_of(table: Table, time: list[int], column: Column) -> int:
    """Return the column of the series: the given one, or the only one of numbers.

    Raises:
        ValueError: Several columns are possible, or none holds numbers.
    """
    if column is not None or len(table.names) == 1:
        return find(table.path, table.names, 0 if column is None else column)
    left = [j for j in range(len(table.names)) if j not in time]
    series = [j for j in left if table.kind(j) == "number"]
    series += [j for j in left if table.kind(j) == "missing" and table.names[j]]
    series.sort()
    if len(series) > 1 and series[0] == 0 and table.names[0] in COUNT:
        del series[0]
    if len(series) == 1:
        return series[0]
    for row in (table.names, *table.head[:1]):
        times = [cell.strip() for cell in row if _is_time(cell.strip())]
        if len(times) >= WIDE and len(times) > len(row) / 2 and len(times) == len(set(times)):
            raise ValueError(
                f"{table.path} has a column for each time ({times[0]} to {times[-1]}) and a row "
                "for each series: transpose it, so that each row is a time"
            )
    if not table.cells(0):
        raise ValueError(f"{table.path} must hold at least 2 points, got 0")
    if not series:
        raise ValueError(
            f"{table.path} has no column of numbers: {_found(table)}: write numbers like 5.25"
        )
    found = f"{len(series)} columns of numbers"
    if len(series) > len(table.head) > 0:
        rows = "1 row" if len(table.head) == 1 else f"{len(table.head)} rows"
        found += f" and {rows} (transpose it if each row is a series)"
    raise undecided(table.path, found, table.names, "column", series)


def _is_time(name: str) -> bool:
    return bool(re.fullmatch(r"(1[89]|20)\d\d", name)) or _dates.is_time(name)


def _found(table: Table) -> str:
    """Describe the first columns, each by its first cell that is not missing."""
    found = []
    for j in range(min(len(table.names), 5)):
        cells = table.cells(j)
        row = next((i for i, cell in enumerate(cells) if cell.strip()), 0)
        where = table.at(row).rpartition(", ")[2]
        found.append(f"column {table.label(j)} has {cells[row][:40]!r} in {where}")
    return ", ".join(found)


def undecided(
    path: Path, found: str, names: list[str], option: str, among: list[int] | None = None
) -> ValueError:
    """Return the error for a file with no such column, or several."""
    among = list(range(len(names))) if among is None else among
    listed = [str(j) if names[j] == str(j) else f"{j} ({names[j]})" for j in among]
    some = ", ".join(listed[:20] + ["..."] * (len(listed) > 20))
    return ValueError(f"{path} has {found}: choose one with {OPTION}{option}: {some}")


def too_large(path: Path, megabytes: str) -> ValueError:
    """Return the error for a compressed file that unpacks to more than max_megabytes."""
    return ValueError(
        f"{path} unpacks to {megabytes} MB: if that is right, raise max_megabytes "
        f"({OPTION}max_megabytes)"
    )


def unreadable(path: Path, kind: str, error: BaseException) -> ValueError:
    """Return the error for a file whose content does not fit its extension."""
    reason = " ".join(str(error).split())
    return ValueError(f"{path} cannot be read {kind}, write it again: {reason}")
