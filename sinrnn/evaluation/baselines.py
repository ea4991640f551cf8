"""Baselines: simple forecasts that a network should beat.

Each baseline reads the same windows (N, T) as the network and predicts the value `horizon` steps
after their end, (N,).
"""

from collections.abc import Callable

import torch
from torch import Tensor

from sinrnn.data.windows import GATHERED

FITTED = 2**19  # windows; more do not change the few coefficients

Baseline = Callable[[Tensor], Tensor]


def persistence(windows: Tensor) -> Tensor:
    """Predict the last value of each window."""
    return windows[:, -1]


def linear_extrapolation(horizon: int = 1) -> Baseline:
    """Return a baseline that extends the line through a window's last two values.

    For windows of one step it predicts their value.
    """

    def predict(windows: Tensor) -> Tensor:
        last = windows[:, -1]
        if windows.shape[1] < 2:
            return last
        return last + horizon * (last - windows[:, -2])

    return predict


def autoregression(windows: Tensor, targets: Tensor) -> Baseline:
    """Return a linear autoregression on all values of a window and a constant.

    It is fitted by least squares in float64, on at most half a million windows, and on as many as
    take 128 MB. If there are more, these are spread evenly over all of them.

    Args:
        windows: Training windows (N, T).
        targets: Their targets (N,).
    """
    rows = max(1, GATHERED // windows.shape[1])
    every = -(-len(windows) // min(rows, FITTED))
    x, y = _with_constant(windows[::every]), targets[::every].double()[:, None]
    coefficients = torch.linalg.lstsq(x, y, driver="gelsd").solution[:, 0]
    return lambda windows: torch.cat(
        [_with_constant(part) @ coefficients for part in windows.split(rows)]
    )


def seasonal_naive(values: Tensor, first: int, count: int, period: int, horizon: int) -> Tensor:
    """Predict the value one period before the target, y[t+h-m].

    If the horizon is longer than the period, it is the value a multiple of the period before. If
    the series starts later than that, it is the last value of the window.

    Args:
        values: The series (points,).
        first: Index of the first target in the series.
        count: Number of targets, N.
        period: Period in steps, m.
        horizon: Steps from a window's end to its target, h.

    Returns:
        The predictions, (N,).

    Source:
        Hyndman, Athanasopoulos (2021), "Forecasting: Principles and Practice", 3rd ed., 5.2.
    """
    target = torch.arange(first, first + count, device="cpu")
    back = period * -(-horizon // period)
    return values[target - torch.where(target >= back, back, horizon)]


def _with_constant(windows: Tensor) -> Tensor:
    return torch.cat([windows.double(), windows.new_ones(len(windows), 1).double()], 1)


def baselines(windows: Tensor, targets: Tensor, horizon: int) -> dict[str, Baseline]:
    """Return the baselines by name, fitted to the training windows where they need it.

    Args:
        windows: Training windows (N, T).
        targets: Their targets (N,).
        horizon: Steps from a window's end to its target.
    """
    return {
        "persistence": persistence,
        "linear extrapolation": linear_extrapolation(horizon),
        f"autoregression AR({windows.shape[1]})": autoregression(windows, targets),
    }
