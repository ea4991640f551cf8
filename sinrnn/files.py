"""One column of a local file, as numbers: CSV, .npy, Parquet.

A row is one time step, so a row that holds no number is refused: left out, it would shift time.
"""

import csv
import gzip
import math
import re
import zlib
from array import array
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

PACKAGE = Path(__file__).parent
# In a wheel the configs lie inside the package, in a checkout beside it.
CONFIGS = next(p for p in (PACKAGE / "configs", PACKAGE.parent / "configs") if p.is_dir())

Column = str | int | None
Values = NDArray[Any]

MISSING = {"", "na", "n/a", "#n/a", "nan", "null", "none", "?"}
TIME = {"t", "time", "date", "year", "index"}  # names of columns that are not the series
ONE_COMMA = re.compile(r"\s*[+-]?\d*,\d+(e[+-]?\d+)?\s*", re.IGNORECASE)
CHUNK = 2**22  # values that are looked at together, 32 MB


def shipped(path: str) -> str:
    """The path, or where there is no file configs/NAME, that of the one that comes with sinrnn."""
    folder, _, name = path.rpartition("/")
    own = CONFIGS / name
    return str(own) if folder == "configs" and not Path(path).exists() and own.is_file() else path


def read(path: str | Path, column: Column = None) -> Tensor:
    """A column of a file.

    Args:
        path: A local file, of the kind that its ending says, or `shipped`.
        column: The column's name, or its index from 0.

    Returns:
        The values, (points,), at least 2; float32 and float64 of a .npy file as a map of the file,
        float32 of Parquet, and else float64.

    Raises:
        ValueError: The file is not one finite number a row, or it is not clear which.
        OSError: There is no such file, or it may not be read.
    """
    if "://" in str(path):
        raise ValueError(f"{path} is a URL, and only local files are read: download it first")
    path = Path(shipped(str(path)))
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder: name a file in it")
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist")
    reader = next((r for ending, r in READERS.items() if path.name.lower().endswith(ending)), None)
    if reader is None:
        raise ValueError(f"{path} must end in one of {' '.join(READERS)}")
    with path.open("rb") as file:
        if not file.read(1):
            raise ValueError(f"{path} is empty")
    values = reader(path, column)
    if len(values) < 2:
        raise ValueError(f"{path} must hold at least 2 points, got {len(values)}")
    for start in range(0, len(values), CHUNK):
        bad = ~np.isfinite(values[start : start + CHUNK])
        if bad.any():
            row = start + int(bad.argmax())
            raise ValueError(
                f"{path}, row {row} (counted from 0): must be finite, got {values[row]}"
            )
    return torch.from_numpy(values)


def _csv(path: Path, column: Column) -> Values:
    separator = _separator(path, column)
    head = [cells for _, cells in islice(_rows(path, separator), 2)]
    if not head:
        raise ValueError(f"{path} is empty")
    first, second = ([_number(c, ";") for c in cells] for cells in (head[0], head[-1]))
    # A name shows by a number below it, or is what only columns of time are called.
    over = [
        (math.isnan(a) and not math.isnan(b)) or cell.strip().lower() in TIME
        for cell, a, b in zip(head[0], first, second, strict=True)
    ]
    titles = any(over) or any(map(_is_name, head[0]))
    names = [cell.strip() if titles else str(j) for j, cell in enumerate(head[0])]
    k = _chosen(path, names, column)
    if k is None:
        row, cells = (second, head[-1]) if any(over) else (first, head[0])
        numeric = [j for j, x in enumerate(row) if not math.isnan(x) or _is_missing(cells[j])]
        k = _beside_time(path, names, numeric, lambda j: _column(path, separator, j, any(over)))
    titled = _is_name(head[0][k]) or column not in (None, k, str(k))
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


def _lines(path: Path) -> Iterator[str]:
    opened = gzip.open if path.suffix.lower() == ".gz" else open
    try:
        with opened(path, "rt", encoding="utf-8-sig") as file:
            yield from file
    except (UnicodeDecodeError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise _unreadable(path, "as UTF-8 text", error) from error


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


def _chosen(path: Path, names: list[str], column: Column) -> int | None:
    """Index of the column that is asked for, or of the only one; None where that is open."""
    if column is None:
        return 0 if len(names) == 1 else None
    found = [j for j, name in enumerate(names) if str(column) in (name, str(j))]
    if len(found) != 1:
        count = f"{len(found)} columns" if found else "no column"
        raise _undecided(path, f"{count} {column!r}", names)
    return found[0]


def _beside_time(
    path: Path, names: list[str], numeric: list[int], column: Callable[[int], Values]
) -> int:
    """Index of the one column of numbers beside time, which its name tells, or even steps."""
    time = {j for j in numeric if names[j].lower() in TIME}
    if len(numeric) == 2 and numeric[0] == 0 and 0 not in time:
        with suppress(ValueError):  # a column with gaps is not time
            steps = np.diff(column(0))
            if len(steps) > 1 and steps.min() > 0 and np.ptp(steps) <= 1e-6 * steps.mean():
                time.add(0)
    series = [j for j in numeric if j not in time]
    if len(series) != 1:
        raise _undecided(path, f"{len(names)} columns", names)
    return series[0]


def _undecided(path: Path, found: str, names: list[str]) -> ValueError:
    all_of_them = [str(j) if name == str(j) else f"{j} ({name})" for j, name in enumerate(names)]
    listed = ", ".join(all_of_them[:20] + ["..."] * (len(names) > 20))
    return ValueError(f"{path} has {found}: choose column {listed}")


def _unreadable(path: Path, kind: str, error: BaseException) -> ValueError:
    said = " ".join(str(error).split())
    return ValueError(f"{path} cannot be read {kind}, write it again: {said}")


def _npy(path: Path, column: Column) -> Values:
    try:
        # Copy on write: a tensor must be writable, and the file stays as it is.
        table: Values = np.lib.format.open_memmap(path, mode="c")
    except Exception as error:  # a broken header is Python text, and raises whatever it leads to
        raise _unreadable(path, "as .npy", error) from error
    if table.ndim not in (1, 2) or table.dtype.kind not in "iuf":
        raise ValueError(
            f"{path} must hold real numbers (points,) or (points, columns), got {table.dtype} "
            f"{table.shape}"
        )
    table = table[:, None] if table.ndim == 1 else table
    names = [str(j) for j in range(table.shape[1])]
    k = _chosen(path, names, column)
    if k is None:
        raise _undecided(path, f"{len(names)} columns", names)
    kept = table.dtype in (np.float32, np.float64)
    return table[:, k] if kept else table[:, k].astype(np.float64)


def _parquet(path: Path, column: Column) -> Values:
    try:
        import polars as pl
    except ImportError as error:
        raise ValueError(f"{path} needs polars: pip install 'sinrnn[data]'") from error

    def load(k: int) -> Values:
        with path.open("rb") as file:
            found = pl.read_parquet(file, columns=[k]).to_series()
        if found.null_count():
            row = found.is_null().arg_max()
            raise ValueError(f"{path}, row {row} (counted from 0): fill in the missing value")
        kept = found if found.dtype == pl.Float32 else found.cast(pl.Float64)
        values: Values = kept.to_numpy(writable=True)
        return values

    try:
        with path.open("rb") as file:  # a path would be taken for a pattern of paths
            schema = pl.read_parquet_schema(file)
        names = list(schema)
        numeric = [j for j, kind in enumerate(schema.values()) if kind.is_numeric()]
        k = _chosen(path, names, column)
        if k is None:
            k = _beside_time(path, names, numeric, load)
        if k not in numeric:
            kind = schema[names[k]]
            raise ValueError(f"{path}, column {names[k]!r} must hold numbers, got {kind}")
        return load(k)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise _unreadable(path, "as Parquet", error) from error


CSV = dict.fromkeys([f"{e}{gz}" for e in (".csv", ".tsv", ".txt") for gz in ("", ".gz")], _csv)
READERS = CSV | {".npy": _npy, ".parquet": _parquet}
