"""A file of text as columns: its encoding, comments, separator, names and units."""

import csv
import gzip
import io
import re
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from sinrnn.data import _cells, _dates
from sinrnn.data._cells import is_name, kind
from sinrnn.data._columns import OPTION, Options, Values, too_large, unreadable

VALUES = ("number", "time", "clock")  # kinds of cells that are no names
HEAD = 60  # rows that show what a file is like
KINDS = 20  # of them, those that show what a column holds
ONE_COMMA = re.compile(r"\s*[+-]?\d*,\d+(e[+-]?\d+)?\s*", re.IGNORECASE)


@dataclass
class TextTable:
    """Rows of cells.

    Args:
        path: The file.
        options: How it is read.
        lines: Its lines, those that hold values and those above.
        numbers: Where each of them stands in the file, from 1.
        separator: What stands between cells.
    """

    path: Path
    options: Options
    lines: list[str]
    numbers: Sequence[int]
    separator: str

    def __post_init__(self) -> None:
        self.notes: list[str] = []
        while self.lines and not self.lines[-1].strip(f" {self.separator}"):
            self.lines = self.lines[:-1]  # as spreadsheets write them
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
        """Leave out the first rows."""
        if rows:
            first = self._head()[rows - 1][0] + 1
            self.lines, self.numbers = self.lines[first:], self.numbers[first:]

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """The cells of each row, and the index of the line that it ends in."""
        reader = csv.reader(self.lines, delimiter=self.separator, strict=True)
        try:
            for row in reader:
                yield reader.line_num - 1, row
        except csv.Error as error:
            line = self.numbers[reader.line_num - 1]
            raise ValueError(f"{self.path}, row {line}: {error}: check the quotes") from error

    def _title(self) -> int:
        """Rows above the table: of text, and of fewer cells than the table has columns."""
        head, top = self._head(), 0
        while self.width > 1 and len(head[top][1]) != self.width:
            if any(kind(cell) in VALUES for cell in head[top][1]):
                return 0
            top += 1
        if top:
            said, last = self.lines[0].strip()[:40], self.numbers[head[top - 1][0]]
            self.notes.append(f"rows up to {last} are no part of the table ({said!r}): left out")
        return top

    def _names(self, head: list[list[str]]) -> list[str]:
        """Names of the columns in the first row; none where it holds values."""
        first, below = [cell.strip() for cell in head[0]], head[1:]
        header = self.options.header
        counted = first[0 if first[0] else 1 :]  # beside an index without a name
        if header is None and counted and counted == [*map(str, range(len(counted)))]:
            raise self._unsure(
                f"{self.separator.join(head[0])} may be numbers of columns, as pandas writes them, "
                "or the first values"
            )
        if header is None:
            kinds = [_kind_below(below, j) for j in range(len(first))]
            typed = [cell for cell, k in zip(first, kinds, strict=True) if k in VALUES and cell]
            names = any(is_name(cell) or not re.search(r"\w", cell) for cell in typed)
            values = any(kind(cell) in (*VALUES, "missing") for cell in typed)
            if names and values and self.options.column not in first:
                raise self._unsure(f"{self.lines[0][:60]!r} may be names or values")
            numeric = any(kind(cell) == "number" for cell in first)
            header = names if typed else any(map(is_name, first)) and not numeric
        return first if header else []

    def _unsure(self, what: str) -> ValueError:
        return ValueError(
            f"{self.path}, row {self.numbers[0]}: {what}: say which by header "
            f"({OPTION}header true or false)"
        )

    def _units(self) -> int:
        """Rows of units below the names: text, where all rows below hold values."""
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
        self.notes.append(f"row {line} holds units ({', '.join(text)[:40]}): left out")
        return 1

    def _check_widths(self) -> None:
        """Refuse a row of more or fewer cells than the others."""
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
                    f"with {self.separator!r} between them: give every row as many; or say what "
                    f"stands between them ({OPTION}separator), or how many rows to leave out on "
                    f"top ({OPTION}skip_rows)"
                )

    @cached_property
    def frame(self) -> Any:
        """The cells as pandas reads them: columns of numbers, and of text."""
        import pandas as pd

        return pd.read_csv(
            io.StringIO("\n".join(self.lines) + "\n"),
            sep=self.separator,
            header=None,
            na_filter=False,
            skip_blank_lines=False,
            low_memory=False,
        )

    def cells(self, column: int) -> list[str]:
        """The cells of a column as they stand."""
        return [row[column] if row else "" for _, row in self.rows()]

    def times(self, columns: list[int]) -> list[tuple[Values, str]]:
        """The readings of columns of times, side by side; see `_dates.parse`."""
        first, *others = (self.frame[j].astype(str) for j in columns)
        return _dates.parse(first.str.cat(others, sep=" ") if others else first)

    def at(self, row: int) -> str:
        """Where a row stands."""
        line, _ = next(islice(self.rows(), row, None))
        return f"{self.path}, row {self.numbers[line]}"

    def kind(self, column: int) -> str:
        """What the first rows hold: "number", "time", "text" or "missing"."""
        return _kind_below(self.head, column)

    def numeric(self, column: int) -> Values:
        """A column's numbers, (rows,); nan where a value is missing.

        Raises:
            ValueError: A cell is no number, or it is open which.
        """
        if not self.lines:
            return np.zeros(0)
        found, options = self.frame[column], self.options

        def refuse(row: int, what: str) -> ValueError:
            return ValueError(f"{self.at(row)}, column {self.label(column)}: {what}")

        read = found.dtype.kind in "iuf" and options.decimal != "," and options.thousands is None
        if read and np.isfinite(found).all():
            if self.separator == ";" and options.decimal is None:
                _cells.refuse_one_group((row[column] for _, row in self.rows()), refuse)
            values: Values = found.to_numpy(dtype="float64")
            return values
        cells = self.cells(column) if found.dtype.kind in "iufb" else found.tolist()
        return _cells.numbers(cells, self.separator, options.decimal, options.thousands, refuse)

    def label(self, column: int) -> str:
        """A column's name in quotes, or its index."""
        name = self.names[column]
        return name if name == str(column) else repr(name)


def _kind_below(rows: list[list[str]], column: int) -> str:
    """What most cells of a column are; "missing" where all are."""
    kinds = Counter(kind(row[column]) for row in rows[:KINDS] if len(row) > column)
    kinds.pop("missing", None)
    return kinds.most_common(1)[0][0] if kinds else "missing"


def table(path: Path, options: Options) -> TextTable:
    """The table of a file of text.

    Raises:
        ValueError: It is no text, empty, or it is not clear how it is to be read.
    """
    text = _decoded(path, options)
    lines = text.split("\n")
    while lines and not lines[-1].strip(" "):
        lines.pop()
    first, separator = options.skip_rows or 0, options.separator
    if options.skip_rows is None and lines:
        told = re.fullmatch(r'"?sep=(.)"?', lines[0])
        first, separator = (1, separator or told[1]) if told else (0, separator)
    numbers: Sequence[int] = range(first + 1, len(lines) + 1)
    lines = lines[first:]
    if "#" in text:
        kept = [i for i, line in enumerate(lines) if not line.startswith("#")]
        lines, numbers = [lines[i] for i in kept], [numbers[i] for i in kept]
    blank = next((i for i, line in enumerate(lines) if line.strip()), len(lines))
    lines, numbers = lines[blank:], numbers[blank:]
    if not lines:
        raise ValueError(f"{path} is empty")
    separator = separator or _separator(path, lines[:HEAD], numbers, options)
    if separator == " ":
        lines = [" ".join(line.split()) for line in lines]
    return TextTable(path, options, lines, numbers, separator)


def _separator(path: Path, head: list[str], numbers: Sequence[int], options: Options) -> str:
    """The one of tab, ; , | and space that cuts the lines of a table into as many cells."""
    body = head[-20:]
    commas = [i for i, line in enumerate(head) if "," in line]
    unclear = all(ONE_COMMA.fullmatch(head[i]) for i in commas)
    one = options.decimal != "," and options.column in (None, 0, "0")  # else there are two
    if one and commas and unclear and len(commas) >= len(head) - 1:
        raise ValueError(
            f"{path}, row {numbers[commas[0]]}: {head[commas[0]].strip()!r} may be two columns or "
            f"have a decimal comma: say which by {OPTION}separator , or {OPTION}decimal ,"
        )
    unquoted = [re.sub(r'"[^"]*"', "", line) for line in body]
    shares = {}
    for mark in "\t;,|"[: 2 if options.decimal == "," else 4]:
        count, share = Counter(line.count(mark) for line in unquoted).most_common(1)[0]
        if count:
            shares[mark] = share
    alike = [mark for mark, share in shares.items() if share == len(unquoted)]
    # Where ; or a tab separates, a comma is a decimal one.
    ends = [re.sub(r'"[^"]*"', "", head[0]), unquoted[-1]]
    cells = [cell for m in alike[:1] for line in ends for cell in line.split(m) if "," in cell]
    texts = [cell for cell in cells if kind(cell) != "number"]
    if alike[1:2] == [";"] or (len(alike) > 1 and texts):
        raise ValueError(
            f"{path}, row {numbers[0]}: {alike[0]!r} or {alike[1]!r} may separate columns: say "
            f"which by {OPTION}separator"
        )
    if not shares:
        words = [line.split() for line in unquoted[1:] or unquoted]
        numeric = all(kind(word) == "number" for line in words for word in line)
        return " " if numeric and {*map(len, words)} - {1} and len({*map(len, words)}) == 1 else ","
    return alike[0] if alike else max(shares, key=lambda mark: shares[mark])


def _decoded(path: Path, options: Options) -> str:
    """The text of a file, with one kind of newline.

    Raises:
        ValueError: It is not of its encoding, or unpacks to more than it may.
    """
    packed = path.suffix.lower() == ".gz"
    most = options.max_megabytes * 10**6
    try:
        with gzip.open(path) if packed else path.open("rb") as file:
            data = file.read(most + 1 if packed else -1)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise unreadable(path, "as gzip", error) from error
    if packed and len(data) > most:
        raise too_large(path, f"more than {options.max_megabytes}")
    marked = data[:2] in (b"\xff\xfe", b"\xfe\xff")  # which nothing else begins with
    try:
        text = data.decode(options.encoding or ("utf-16" if marked else "utf-8-sig"))
    except (UnicodeError, LookupError) as error:
        cure = f"give its encoding, often cp1252, with {OPTION}encoding"
        raise ValueError(
            f"{path} cannot be read as {options.encoding or 'UTF-8'} text ({error}): {cure}"
        ) from error
    return text.replace("\r\n", "\n").replace("\r", "\n")
