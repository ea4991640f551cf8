"""A Parquet file as columns."""

from pathlib import Path
from typing import Any

import numpy as np

from sinrnn.data import _cells, _dates
from sinrnn.data._columns import Options, Values, too_large, unreadable


class ParquetTable:
    """The columns of a Parquet file; pandas' index is one of them.

    Args:
        path: The file.
        options: How it is read.

    Raises:
        ValueError: It cannot be read, or unpacks to more than it may.
    """

    def __init__(self, path: Path, options: Options) -> None:
        self.path, self.notes, self.head = path, list[str](), list[list[str]]()
        try:
            import pandas as pd
            import pyarrow.parquet as pq
        except ImportError as error:
            raise ValueError(f"{path} needs pyarrow: pip install pyarrow") from error
        try:
            with path.open("rb") as file:  # a path would be taken for a pattern of paths
                about = pq.ParquetFile(file).metadata
                size = 8 * about.num_rows * about.num_columns
                frame = pd.read_parquet(file) if size <= options.max_megabytes * 10**6 else None
        except PermissionError:
            raise
        except Exception as error:  # of Arrow's there are many kinds
            raise unreadable(path, "as Parquet", error) from error
        if frame is None:
            raise too_large(path, f"{size // 10**6}")
        counted = isinstance(frame.index, pd.RangeIndex) and frame.index.name is None
        self.frame = frame if counted else frame.reset_index()
        self.names = [str(name) for name in self.frame.columns]

    def kind(self, column: int) -> str:
        """What a column holds: "number", "time", "text" or "missing"."""
        cells = self._column(column)
        if cells.isna().all():
            return "missing"
        kinds = {"i": "number", "u": "number", "f": "number", "M": "time", "b": "text"}
        first = str(cells[cells.first_valid_index()])
        return kinds.get(cells.dtype.kind) or _cells.kind(first).replace("number", "text")

    def _column(self, column: int) -> Any:
        return self.frame.iloc[:, column]

    def numeric(self, column: int) -> Values:
        """A column's numbers, (rows,), float32 or float64; nan where one is missing.

        Raises:
            ValueError: It holds something else, or a number is not finite.
        """
        found = self._column(column)
        if found.dtype.kind not in "iuf":
            raise ValueError(
                f"{self.path}, column {self.label(column)} must hold numbers, got {found.dtype}"
            )
        kept = "float32" if found.dtype == np.float32 else "float64"
        values: Values = found.to_numpy(dtype=kept, na_value=np.nan, copy=True)
        if np.isinf(values).any():
            row = int(np.isinf(values).argmax())
            raise ValueError(
                f"{self.at(row)}, column {self.label(column)}: must be finite, got {values[row]}"
            )
        return values

    def times(self, columns: list[int]) -> list[tuple[Values, str]]:
        """The readings of columns of times; see `_dates.parse`."""
        found = self._column(columns[0])
        if found.dtype.kind == "M":
            return _dates.of_pandas(found)
        return _dates.parse(found.astype(str))

    def cells(self, column: int) -> list[str]:
        """A column as text; "" where a value is missing."""
        found = self._column(column)
        return ["" if gone else str(cell) for cell, gone in zip(found, found.isna(), strict=True)]

    def at(self, row: int) -> str:
        """Where a row stands."""
        return f"{self.path}, row {row} (counted from 0)"

    def label(self, column: int) -> str:
        """A column's name in quotes."""
        return repr(self.names[column])
