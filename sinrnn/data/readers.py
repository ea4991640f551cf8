"""One column of a local file, as numbers: CSV, .npy, Parquet.

A row is one time step, so a row that holds no number is refused: left out, it would shift time.
"""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sinrnn.data import _text
from sinrnn.data._columns import (
    Column,
    Values,
    beside_time,
    chosen,
    too_large,
    undecided,
    unreadable,
)
from sinrnn.filesystem import local, shipped

CHUNK = 2**22  # values that are looked at together, 32 MB
COPIED = 2**30  # bytes of a .npy file that are read into memory; a larger one is mapped
UNPACKED = 200  # megabytes that a compressed file may unpack to


def read(
    path: str | Path,
    column: Column = None,
    *,
    header: bool | None = None,
    max_megabytes: int = UNPACKED,
) -> Tensor:
    """A column of a file.

    Args:
        path: A local file, of the kind that its ending says, or `shipped`.
        column: The column's name, or its index from 0.
        header: Of text, whether the first row holds names; None finds out, or asks.
        max_megabytes: What a compressed file may unpack to.

    Returns:
        The values, (points,), at least 2; float32 or float64 as a .npy file has them, float32 of
        Parquet, and else float64.

    Raises:
        ValueError: The file is not one finite number a row, or it is not clear which.
        OSError: There is no such file, or it may not be read.
    """
    path = local(shipped(str(path)))
    reader = next((r for ending, r in READERS.items() if path.name.lower().endswith(ending)), None)
    if reader is None:
        raise ValueError(f"{path} must end in one of {' '.join(READERS)}")
    with path.open("rb") as file:
        if not file.read(1):
            raise ValueError(f"{path} is empty")
    if header is not None and not path.name.lower().endswith(tuple(TEXT)):
        raise ValueError(f"header is for files of text, got {path}: leave it out")
    values = reader(path, column, header, max_megabytes * 10**6)
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


def mapped(path: Path) -> bool:
    """Whether a .npy file is too large to be read into memory."""
    return path.suffix.lower() == ".npy" and path.stat().st_size > COPIED


def _npy(path: Path, column: Column, header: bool | None, most: int) -> Values:
    try:
        # Copy on write: a tensor must be writable, and the file stays as it is.
        table: Values = np.lib.format.open_memmap(path, mode="c")
        if not mapped(path):
            with path.open("rb") as file:  # reading a map of a file that is cut ends the process
                table = np.lib.format.read_array(file)
    except Exception as error:  # a broken header is Python text, and raises whatever it leads to
        raise unreadable(path, "as .npy", error) from error
    if table.ndim not in (1, 2) or table.dtype.kind not in "iuf":
        raise ValueError(
            f"{path} must hold real numbers (points,) or (points, columns), got {table.dtype} "
            f"{table.shape}"
        )
    table = table[:, None] if table.ndim == 1 else table
    names = [str(j) for j in range(table.shape[1])]
    k = chosen(path, names, column)
    if k is None:
        raise undecided(path, f"{len(names)} columns", names)
    kept = table.dtype in (np.float32, np.float64)
    return table[:, k] if kept else table[:, k].astype(np.float64)


def _parquet(path: Path, column: Column, header: bool | None, most: int) -> Values:
    try:
        import polars as pl
    except ImportError as error:
        raise ValueError(f"{path} needs polars: pip install polars") from error

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
            points = pl.scan_parquet(file).select(pl.len()).collect().item()
        if 8 * points > most:
            raise too_large(path, f"{8 * points // 10**6}")
        names = list(schema)
        numeric = [j for j, kind in enumerate(schema.values()) if kind.is_numeric()]
        k = chosen(path, names, column)
        if k is None:
            k = beside_time(path, names, numeric, load)
        if k not in numeric:
            kind = schema[names[k]]
            raise ValueError(f"{path}, column {names[k]!r} must hold numbers, got {kind}")
        return load(k)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise unreadable(path, "as Parquet", error) from error


TEXT = [f"{ending}{gz}" for ending in (".csv", ".tsv", ".txt") for gz in ("", ".gz")]
READERS = dict.fromkeys(TEXT, _text.read) | {".npy": _npy, ".parquet": _parquet}
