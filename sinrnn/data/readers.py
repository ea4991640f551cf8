"""One column of a local file and its times: text, .npy and Parquet.

Each row is one time step. No row is skipped, filled in or moved without a note.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sinrnn.data._columns import Column, Options, Values, find, undecided, unreadable
from sinrnn.data._parquet import ParquetTable, release_memory
from sinrnn.data._tables import SeriesData, series
from sinrnn.data._text import TextTable
from sinrnn.data.time_index import TIME_FIELD, TimeIndex, indexed
from sinrnn.filesystem import local, shipped

CHUNK = 2**22  # values that are processed together, 32 MB
COPIED = 2**30  # bytes of a .npy file that is read into memory, at most; a larger one is mapped


@dataclass
class FileContent:
    """The series that a file holds.

    Args:
        values: At least 2 samples, (points,); float32 if a .npy or Parquet file has float32, else
            float64.
        index: Their times; None without a column of times.
        notes: Sentences on what was done to the rows, and on suspicious values.
        names: Of the columns of values and of times; "" for a column without a name.
    """

    values: Tensor
    index: TimeIndex | None = None
    notes: list[str] = field(default_factory=list)
    names: tuple[str, str] = ("", "")


def read(path: str | Path, column: Column = None, **options: Any) -> FileContent:
    """Read a column of a file.

    Args:
        path: A local file, or one that is `shipped`; its extension gives its format.
        column: The column's name, or its index from 0.
        **options: The other options of `FileSeries`, by name.

    Raises:
        ValueError: The file is not one finite number per row, its times are not in even steps, or
            it is ambiguous.
        OSError: The file does not exist or cannot be read.
    """
    path, given = local(shipped(str(path))), Options(column=column, **options)
    ending = next((e for e in READERS if path.name.lower().endswith(e)), None)
    if ending is None:
        raise ValueError(f"{path} must end in one of {' '.join(READERS)}")
    with path.open("rb") as file:
        if not file.read(1):
            raise ValueError(f"{path} is empty")
    for f in fields(Options):
        if f.name not in TAKEN.get(ending, f.name) and getattr(given, f.name) != f.default:
            raise ValueError(f"{f.name} is for text files, got {path}: leave it out")
    values, index, notes, names = READERS[ending](path, given)
    if len(values) < 2:
        raise ValueError(f"{path} must hold at least 2 points, got {len(values)}")
    for start in range(0, len(values), CHUNK):
        bad = ~np.isfinite(values[start : start + CHUNK])
        if bad.any():
            row = start + int(bad.argmax())
            raise ValueError(
                f"{path}, row {row} (counted from 0): must be finite, got {values[row]}"
            )
    return FileContent(torch.from_numpy(values), index, notes, names)


def mapped(path: Path) -> bool:
    """Return whether a .npy file is too large to be read into memory."""
    return path.suffix.lower() == ".npy" and path.stat().st_size > COPIED


def _npy(path: Path, options: Options) -> SeriesData:
    try:
        # Copy on write: tensors must be writable, and the file must not change.
        table: Values = np.lib.format.open_memmap(path, mode="c")
        if not mapped(path):
            with path.open("rb") as file:  # reading a mapped file that is truncated would crash
                table = np.lib.format.read_array(file)
    except Exception as error:  # NumPy parses the header as Python text, which raises any type
        raise unreadable(path, "as .npy", error) from error
    index, fields = None, table.dtype.names or ()
    if table.ndim == 1 and len(fields) == 2 and fields[0].startswith(TIME_FIELD):
        index = _index(path, table[fields[0]], fields[0].removeprefix(TIME_FIELD).strip())
        table = table[fields[1]]
    if table.ndim not in (1, 2) or table.dtype.kind not in "iuf":
        raise ValueError(
            f"{path} must hold real numbers (points,) or (points, columns), got {table.dtype} "
            f"{table.shape}"
        )
    table = table[:, None] if table.ndim == 1 else table
    names = [str(j) for j in range(table.shape[1])]
    if options.column is None and len(names) != 1:
        raise undecided(path, f"{len(names)} columns", names, "column")
    k = 0 if options.column is None else find(path, names, options.column)
    values = table[:, k]
    if table.dtype not in (np.float32, np.float64):
        values = values.astype(np.float64)
    if not mapped(path):  # else the other columns would stay in memory
        values = np.ascontiguousarray(values)
    return values, index, [], ("", "")


def _index(path: Path, times: Values, zone: str) -> TimeIndex:
    """Return the times that `ArraySeries.npy` wrote; raise a ValueError if they do not rise."""
    known = times.dtype.kind in "iuf" or times.dtype == "datetime64[us]"
    if not known or np.isnan(times).any() or not (times[1:] > times[:-1]).all():
        raise ValueError(f"{path} must hold rising times, got {times.dtype}")
    return indexed(np.ascontiguousarray(times), zone)


def _text(path: Path, options: Options) -> SeriesData:
    return series(TextTable(path, options), options)


def _parquet(path: Path, options: Options) -> SeriesData:
    found = series(ParquetTable(path, options), options)
    release_memory()
    return found


TEXT = [f"{ending}{gz}" for ending in (".csv", ".tsv", ".txt") for gz in ("", ".gz")]
READERS: dict[str, Callable[[Path, Options], SeriesData]] = dict.fromkeys(TEXT, _text)
READERS |= {".npy": _npy, ".parquet": _parquet}
# The options that apply to files other than text.
TAKEN = {".npy": {"column", "max_megabytes"}}
TAKEN[".parquet"] = TAKEN[".npy"] | {"time", "where", "gaps"}
