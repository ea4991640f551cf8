"""The columns of a Parquet file."""

from pathlib import Path
from typing import Any

import numpy as np

from sinrnn.data import _cells, _dates
from sinrnn.data._columns import Options, Values, too_large, unreadable


class ParquetTable:
    """The columns of a Parquet file; a pandas index is one of them.

    Args:
        path: The file.
        options: Reading options.

    Raises:
        ValueError: The file cannot be read, or unpacks to more than max_megabytes.
    """

    def __init__(self, path: Path, options: Options) -> None:
        self.path, self.notes, self.head = path, list[str](), list[list[str]]()
        try:
            import pandas as pd
            import pyarrow.parquet as pq
        except ImportError as error:
            raise ValueError(f"{path} needs pyarrow: pip install pyarrow") from error
        try:
            with path.open("rb") as file:  # pandas would expand wildcards in a path
                about = pq.ParquetFile(file).metadata
                size = 8 * about.num_rows * about.num_columns
                frame = pd.read_parquet(file) if size <= options.max_megabytes * 10**6 else None
        except PermissionError:
            raise
        except Exception as error:  # Arrow raises many types
            raise unreadable(path, "as Parquet", error) from error
        if frame is None:
            raise too_large(path, f"{size // 10**6}")
        counted = isinstance(frame.index, pd.RangeIndex) and frame.index.name is None
        self.frame = frame if counted else frame.reset_index()
        self.names = [str(name) for name in self.frame.columns]

    def kind(self, column: int) -> str:
        """Return a column's kind: "number", "time", "text" or "missing"."""
        cells = self._column(column)
        if cells.isna().all():
            return "missing"
        kinds = {"i": "number", "u": "number", "f": "number", "M": "time", "b": "text"}
        first = str(cells[cells.first_valid_index()])
        return kinds.get(cells.dtype.kind) or _cells.kind(first).replace("number", "text")

    def _column(self, column: int) -> Any:
        return self.frame.iloc[:, column]

    def numeric(self, column: int) -> Values:
        """Return a column's numbers, (rows,), float32 or float64; nan if one is missing.

        Raises:
            ValueError: The column does not hold numbers, or one is not finite.
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
        """Return the possible readings of a column of times; see `_dates.parse`."""
        found = self._column(columns[0])
        if found.dtype.kind == "M":
            return _dates.of_pandas(found)
        return _dates.parse(found.astype(str))

    def cells(self, column: int) -> list[str]:
        """Return a column as text; "" if a value is missing."""
        found = self._column(column)
        return ["" if na else str(cell) for cell, na in zip(found, found.isna(), strict=True)]

    def at(self, row: int) -> str:
        """Return a row's place in the file, for messages."""
        return f"{self.path}, row {row} (counted from 0)"

    def label(self, column: int) -> str:
        """Return a column's name in quotes, for messages."""
        return repr(self.names[column])


def release_memory() -> None:
    """Return to the system the memory that Arrow keeps after its tables are gone."""
    import pyarrow

    pyarrow.default_memory_pool().release_unused()
