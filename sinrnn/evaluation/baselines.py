"""What a forecast must beat.

Each baseline sees the same windows (N, T) as the network and predicts the value `horizon` steps
after their end, (N,).
"""

from collections.abc import Callable

import torch
from torch import Tensor

from sinrnn.data.windows import GATHERED

FITTED = 2**19  # windows: plenty for so few weights

Baseline = Callable[[Tensor], Tensor]


def persistence(windows: Tensor) -> Tensor:
    """The next value is the last one."""
    return windows[:, -1]


def linear_extrapolation(horizon: int = 1) -> Baseline:
    """The line through the last two values goes on; of a one-step window, the value itself."""

    def predict(windows: Tensor) -> Tensor:
        last = windows[:, -1]
        if windows.shape[1] < 2:
            return last
        return last + horizon * (last - windows[:, -2])

    return predict


def autoregression(windows: Tensor, targets: Tensor) -> Baseline:
    """Least squares on all values of the window and a constant, fitted once, in float64.

    At most half a million windows are fitted, of long ones as many as fit into 128 MB, spread over
    all that are given.

    Args:
        windows: Training windows (N, T).
        targets: Their targets (N,).
    """
    rows = max(1, GATHERED // windows.shape[1])
    every = -(-len(windows) // min(rows, FITTED))
    x, y = _with_constant(windows[::every]), targets[::every].double()[:, None]
    found = torch.linalg.lstsq(x, y, driver="gelsd").solution[:, 0]
    return lambda windows: torch.cat([_with_constant(w) @ found for w in windows.split(rows)])


def seasonal_naive(values: Tensor, first: int, count: int, period: int, horizon: int) -> Tensor:
    """The value one period before the target, or as many as the horizon spans: y[t+h-m].

    Where the series does not reach back so far, the last value that a window holds.

    Args:
        values: The series (points,).
        first: Index in it of the first target.
        count: Targets, N.
        period: In steps, m.
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
    """All baselines by name, those that learn fitted on the training windows given.

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
