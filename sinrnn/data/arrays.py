"""A series of values at hand: a list, an array, a tensor, a pandas or polars Series."""

import io
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from sinrnn.data.series import Series
from sinrnn.data.windows import check_series


class ArraySeries(Series):
    """Values at hand, one for each time step.

    Args:
        values: A list, a NumPy array, a tensor, a pandas or polars Series, or a DataFrame of one
            column; one-dimensional numbers. float32 and float64 stay, other numbers become float64.

    Raises:
        TypeError: They are not real numbers.
        ValueError: They are not one-dimensional, or one is missing or not finite.

    Example:
        >>> ArraySeries([1, 2.5, 4]).values()
        tensor([1.0000, 2.5000, 4.0000], dtype=torch.float64)
    """

    def __init__(self, values: ArrayLike | Tensor) -> None:
        names = [str(name) for name in getattr(values, "columns", ())]
        if len(names) > 1:
            raise ValueError(
                f"a series is one column, got {len(names)} ({', '.join(names)}): choose one"
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
            raise ValueError(f"a series is one number for each step: {error}") from error
        if names and array.ndim == 2:
            array = array[:, 0]
        if array.dtype.kind not in "iuf":
            raise TypeError(f"a series is of real numbers, got {_kind(array)}")
        dtype = np.float32 if array.dtype == np.float32 else np.float64
        array = array.astype(dtype, order="C")  # a copy: what is learnt from does not change
        self._values = torch.from_numpy(array)
        check_series(self._values)
        bad = np.flatnonzero(~np.isfinite(array))
        if len(bad):
            raise ValueError(
                f"a series has a number for each step, got {array[bad[0]]} at index {bad[0]} and "
                f"{len(bad)} such in all: fill them or choose a part without them"
            )

    def values(self) -> Tensor:
        """All samples, (points,), float32 or float64: a copy."""
        return self._values.clone()

    def npy(self) -> bytes:
        """The samples as the content of a .npy file."""
        content = io.BytesIO()
        np.save(content, self._values.numpy())
        return content.getvalue()


def _kind(array: np.ndarray[Any, Any]) -> str:
    """What an array holds, as its user would say it."""
    for value in array.flat:
        if not isinstance(value, int | float | np.number) or isinstance(value, complex):
            return f"{type(value).__name__} {str(value)[:40]!r}"
    return str(array.dtype)


# In annotations alone.
SeriesLike = Series | ArrayLike | Tensor


def as_series(given: SeriesLike) -> Series:
    """The series itself, or one of the values given.

    Raises:
        TypeError: As `ArraySeries`.
        ValueError: As `ArraySeries`.
    """
    return given if isinstance(given, Series) else ArraySeries(given)
