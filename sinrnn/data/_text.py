"""The columns of a text file: its title, names, units and cells."""

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from sinrnn.data import _cells, _dates, _lines
from sinrnn.data._cells import is_name, kind
from sinrnn.data._columns import OPTION, Options, Values

VALUES = ("number", "time", "clock")  # kinds of cells that hold values, not names
HEAD = 60  # rows from which the file's layout is detected
KINDS = 20  # rows from which a column's kind is detected


class TextTable:
    """The columns of a text file.

    Args:
        path: The file.
        options: Reading options.

    Raises:
        ValueError: The file is not text, empty, or ambiguous.
    """

    def __init__(self, path: Path, options: Options) -> None:
        self.path, self.options, self.notes = path, options, list[str]()
        found = _lines.read(path, options)
        self.lines, self.numbers, self.separator = found.lines, found.numbers, found.separator
        self.width = Counter(len(row) for _, row in self._head()[-20:]).most_common(1)[0][0]
        self._drop(self._title())
        self._check_widths()
        names = self._names([row for _, row in self._head()])
        self.names = names or [str(j) for j in range(self.width)]
        if names:
            self._drop(1)
            self._drop(self._units())
        self.head = [row for _, row in self._head() if row]

    def _head(self) -> list[tuple[int, list[str]]]:
        return list(islice(self.rows(), HEAD))

    def _drop(self, rows: int) -> None:
        """Drop the first rows."""
        if rows:
            first = self._head()[rows - 1][0] + 1
            self.lines, self.numbers = self.lines[first:], self.numbers[first:]

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """Yield each row's cells, with the index of the line that it ends in."""
        reader = csv.reader(self.lines, delimiter=self.separator, strict=True)
        try:
            for row in reader:
                yield reader.line_num - 1, row
        except csv.Error as error:
            line = self.numbers[reader.line_num - 1]
            raise ValueError(f"{self.path}, row {line}: {error}: check the quotes") from error

    def _title(self) -> int:
        """Return the number of title rows: text above the table, with another number of cells."""
        head, top = self._head(), 0
        while self.width > 1 and len(head[top][1]) != self.width:
            if any(kind(cell) in VALUES for cell in head[top][1]):
                return 0
            top += 1
        if top:
            text, last = self.lines[0].strip()[:40], self.numbers[head[top - 1][0]]
            self.notes.append(f"rows up to {last} are not part of the table ({text!r}): skipped")
        return top

    def _names(self, head: list[list[str]]) -> list[str]:
        """Return the columns' names in the first row; [] if it holds values."""
        first, below = [cell.strip() for cell in head[0]], head[1:]
        header = self.options.header
        counted = first[0 if first[0] else 1 :]  # without an unnamed index column
        if header is None and counted and counted == [*map(str, range(len(counted)))]:
            raise self._unsure(
                f"{self.separator.join(head[0])} may be column numbers, as pandas writes them, or "
                "the first values"
            )
        if header is None:
            kinds = [_kind_below(below, j) for j in range(len(first))]
            typed = [cell for cell, k in zip(first, kinds, strict=True) if k in VALUES and cell]
            names = any(is_name(cell) or not re.search(r"\w", cell) for cell in typed)
            values = any(kind(cell) in (*VALUES, "missing") for cell in typed)
            if typed and names == values and self.options.column not in first:
                raise self._unsure(f"{self.lines[0][:60]!r} may be names or values")
            numeric = any(kind(cell) == "number" for cell in first)
            header = names or not values if typed else any(map(is_name, first)) and not numeric
        return first if header else []

    def _unsure(self, what: str) -> ValueError:
        return ValueError(
            f"{self.path}, row {self.numbers[0]}: {what}: set header ({OPTION}header true or false)"
        )

    def _units(self) -> int:
        """Return the number of unit rows, 0 or 1: text below the names, above values."""
        head = self._head()
        if len(head) < 3 or len(head[0][1]) != self.width:
            return 0
        kinds = [_kind_below([row for _, row in head[1:]], j) for j in range(self.width)]
        typed = [cell for cell, k in zip(head[0][1], kinds, strict=True) if k in VALUES]
        text = [cell.strip() for cell in typed if kind(cell) == "text"]
        others = any(kind(cell) != "text" and cell.strip() for cell in typed)
        bracketed = any(re.fullmatch(r"[\[(].*[\])]", cell) for cell in text)
        if others or not (bracketed or len(text) > 1):
            return 0
        line = self.numbers[head[0][0]]
        self.notes.append(f"row {line} holds units ({', '.join(text)[:40]}): skipped")
        return 1

    def _check_widths(self) -> None:
        """Raise a ValueError for a row with more or fewer cells than the others."""
        with suppress(csv.Error):
            widths = set(map(len, csv.reader(self.lines, delimiter=self.separator, strict=True)))
            if widths <= {self.width, self.width - (self.width == 1)}:
                return
        for line, row in self.rows():
            number = self.numbers[line]
            if not row and self.width > 1:
                raise ValueError(f"{self.path}, row {number} is blank: fill it in, or remove it")
            if len(row) != self.width and (row or self.width > 1):
                raise ValueError(
                    f"{self.path}, row {number} has {len(row)} cells and others have {self.width}, "
                    f"separated by {self.separator!r}: give all rows the same number, set the "
                    f"separator ({OPTION}separator), or skip the first rows ({OPTION}skip_rows)"
                )

    @cached_property
    def frame(self) -> Any:
        """The cells as pandas reads them, with typed columns."""
        import pandas as pd

        return pd.read_csv(
            io.StringIO("\n".join(self.lines) + "\n"),
            sep=self.separator,
            header=None,
            names=range(self.width),
            na_filter=False,
            skip_blank_lines=False,
            low_memory=False,
        )

    def cells(self, column: int) -> list[str]:
        """Return the cells of a column as text."""
        return [row[column] if row else "" for _, row in self.rows()]

    def times(self, columns: list[int]) -> list[tuple[Values, str]]:
        """Return the possible readings of adjacent columns of times; see `_dates.parse`."""
        first, *others = (self.frame[j].astype(str) for j in columns)
        return _dates.parse(first.str.cat(others, sep=" ") if others else first)

    def at(self, row: int) -> str:
        """Return a row's place in the file, for messages."""
        line, _ = next(islice(self.rows(), row, None))
        return f"{self.path}, row {self.numbers[line]}"

    def kind(self, column: int) -> str:
        """Return a column's kind by its first rows: "number", "time", "text" or "missing"."""
        return _kind_below(self.head, column)

    def numeric(self, column: int) -> Values:
        """Return a column's numbers, (rows,); nan if a value is missing.

        Raises:
            ValueError: A cell is not a number, or is ambiguous.
        """
        if not self.lines:
            return np.zeros(0)
        found, options = self.frame[column], self.options

        def refuse(row: int, what: str) -> ValueError:
            words = self.width == 1 and " " in self.frame[0].astype(str)[row].strip()
            cure = f"; or set the separator ({OPTION}separator)" if words else ""
            return ValueError(f"{self.at(row)}, column {self.label(column)}: {what}{cure}")

        read = found.dtype.kind in "iuf" and options.decimal != "," and options.thousands is None
        if read and np.isfinite(found).all():
            if self.separator == ";" and options.decimal is None:
                _cells.refuse_one_group((row[column] for _, row in self.rows()), refuse)
            values: Values = found.to_numpy(dtype="float64", copy=True)
            return values
        text = str(found.dtype) == "str"  # else booleans, or integers beyond 64 bits
        cells = found.tolist() if text else self.cells(column)
        return _cells.numbers(cells, self.separator, options.decimal, options.thousands, refuse)

    def label(self, column: int) -> str:
        """Return a column's name in quotes, or its index, for messages."""
        name = self.names[column]
        return name if name == str(column) else repr(name)


def _kind_below(rows: list[list[str]], column: int) -> str:
    """Return the most frequent kind of a column's cells; "missing" if all are."""
    kinds = Counter(kind(row[column]) for row in rows[:KINDS] if len(row) > column)
    kinds.pop("missing", None)
    return kinds.most_common(1)[0][0] if kinds else "missing"
