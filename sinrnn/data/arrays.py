"""ArraySeries: a list, an array, a tensor, a pandas or polars Series as a series."""

import io
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from sinrnn.data import _dates, _order
from sinrnn.data.series import Series
from sinrnn.data.time_index import TIME_FIELD, TimeIndex
from sinrnn.data.windows import check_series


class ArraySeries(Series):
    """A series of given values.

    Args:
        values: A list, a NumPy array, a tensor, a pandas or polars Series, or a DataFrame with one
            column; one-dimensional numbers. float32 and float64 are kept, others become float64.
        index: Their times, in even steps: times of pandas or NumPy, dates as text, or numbers such
            as years. None takes the index of a pandas object, unless it only counts or labels the
            rows. If the newest value comes first, the order is reversed.

    Raises:
        TypeError: The values are not real numbers.
        ValueError: The values are not one-dimensional, or one is missing or not finite; or their
            times have gaps, occur twice or go back.

    Example:
        >>> ArraySeries([1, 2.5, 4]).values()
        tensor([1.0000, 2.5000, 4.0000], dtype=torch.float64)
    """

    def __init__(self, values: ArrayLike | Tensor, index: Any = None) -> None:
        if index is None and type(values).__module__.startswith("pandas"):
            index = _pandas_index(values)
        names = [str(name) for name in getattr(values, "columns", ())]
        if len(names) > 1:
            raise ValueError(
                f"a series must be one column, got {len(names)} ({', '.join(names)}): choose one"
            )
        if isinstance(values, Tensor):
            check_series(values)
            values = values.detach().cpu()
            values = values.float() if values.dtype in (torch.half, torch.bfloat16) else values
        if isinstance(values, np.ma.MaskedArray):
            values = np.ma.filled(values.astype(np.float64), np.nan)
        try:
            array = np.asarray(values)
        except (ValueError, TypeError) as error:  # rows of different lengths
            raise ValueError(f"a series must be one number for each step: {error}") from error
        if names and array.ndim == 2:
            array = array[:, 0]
        if array.dtype.kind not in "iuf":
            raise TypeError(f"a series must be of real numbers, got {_kind(array)}")
        dtype = np.float32 if array.dtype == np.float32 else np.float64
        array = array.astype(dtype, order="C")  # a copy, which the caller cannot change
        self._values = torch.from_numpy(array)
        check_series(self._values)
        bad = np.flatnonzero(~np.isfinite(array))
        if len(bad):
            raise ValueError(
                f"a series must have a finite number at each step, got {array[bad[0]]} at index "
                f"{bad[0]} ({len(bad):,} in all): fill them in, or choose a part without them"
            )
        if index is not None:
            self._order_by(index)

    def _order_by(self, index: Any) -> None:
        """Check the times, and put the values in their order."""
        times, zone = _times(index)
        array = self._values.numpy()
        if len(times) != len(array):
            raise ValueError(
                f"index must have a time for each value, got {len(times)} and {len(array)}"
            )
        rows = _order.Rows(
            at=lambda i: f"index, row {i} (counted from 0)",
            time=lambda i: str(times[i]),
            several=lambda _: "sort the values, or choose one series",
            gaps="fill them, for example with series.asfreq('D').interpolate(), or pass the values "
            "without times, series.to_numpy()",
        )
        array, self.index, self.notes = _order.regularise(times, zone, array, "refuse", rows)
        self._values = torch.from_numpy(array)

    def values(self) -> Tensor:
        """Return a copy of all samples, (points,), float32 or float64."""
        return self._values.clone()

    def view(self) -> Tensor:
        """Return the samples without a copy."""
        return self._values

    def npy(self) -> bytes:
        """Return the content of a .npy file of the samples; with times, it has two fields."""
        table = array = self._values.numpy()
        if self.index is not None:
            fields = [
                (f"{TIME_FIELD} {self.index.zone}".strip(), self.index.values.dtype),
                ("value", array.dtype),
            ]
            table = np.empty(len(array), dtype=fields)
            for (name, _), part in zip(fields, (self.index.values, array), strict=True):
                table[name] = part
        content = io.BytesIO()
        np.save(content, table)
        return content.getvalue()


def _pandas_index(values: Any) -> Any:
    """Return the index of a pandas Series or DataFrame if it holds times, else None."""
    import pandas as pd

    found = getattr(values, "index", None)
    if isinstance(found, pd.MultiIndex):
        raise ValueError(
            f"a series must have one time for each value, got an index of {found.nlevels} levels: "
            "choose one series"
        )
    if found is None or (isinstance(found, pd.RangeIndex) and found.name is None):
        return None  # row numbers
    if isinstance(found, pd.DatetimeIndex | pd.PeriodIndex) or found.dtype.kind in "iuf":
        return found
    return found if len(found) and _dates.is_time(str(found[0])) else None  # else labels


def _times(index: Any) -> tuple[Any, str]:
    """Convert an index to times as in `TimeIndex`, and their zone.

    Raises:
        TypeError: The index holds neither times nor numbers.
        ValueError: A time is missing or ambiguous.
    """
    import pandas as pd

    if isinstance(index, TimeIndex):
        return index.values, index.zone
    found = index.to_timestamp() if isinstance(index, pd.PeriodIndex) else pd.Index(index)
    if found.dtype.kind in "iuf":
        readings = [(found.to_numpy(), "")]
    elif isinstance(found, pd.DatetimeIndex):
        readings = _dates.of_pandas(found.to_series())
    elif found.dtype.kind == "O" and len(found):
        readings = _dates.parse(found.to_series().astype(str))
    else:
        raise TypeError(f"index must hold times or numbers, got {found.dtype}")
    wrong = np.isnan(readings[0][0]) if readings else np.ones(len(found), dtype=bool)
    if wrong.any():
        row = int(wrong.argmax())
        raise ValueError(
            f"index, row {row} (counted from 0): must be a time like 2000-12-31, got {found[row]!r}"
        )
    clear = _order.clearest(readings)
    if clear is None:
        raise ValueError(f"index must hold times like 2000-12-31, got {found[0]!r}: day or month?")
    return clear


def _kind(array: np.ndarray[Any, Any]) -> str:
    """Describe an array's content by its first value that is not a number."""
    for value in array.flat:
        if not isinstance(value, int | float | np.number) or isinstance(value, complex):
            return f"{type(value).__name__} {str(value)[:40]!r}"
    return str(array.dtype)


SeriesLike = Series | ArrayLike | Tensor  # for annotations


def as_series(given: SeriesLike) -> Series:
    """Return a series unchanged, and values as an `ArraySeries`, with its errors."""
    return given if isinstance(given, Series) else ArraySeries(given)
