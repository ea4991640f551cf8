"""Prediction intervals, whose width follows the predictor's recent errors."""

from typing import Any

import torch
from torch import Tensor

from sinrnn.data.windows import EVAL_BATCH, Windows
from sinrnn.forecasting.forecast import by_step

RECENT = 20  # errors in the mean: more react later to a change, fewer react to every error
PRIOR = 5  # weight of the typical error, as a number of errors


@torch.no_grad()
def typical_error(predictor: Any, windows: Windows) -> float:
    """Return the root mean squared `Units.error` of one-step predictions of training windows."""
    x, y = windows.sample(EVAL_BATCH)
    return float(_errors(predictor, x, y).square().mean().sqrt())


@torch.no_grad()
def recent_error(predictor: Any, values: Tensor, ends: Tensor, typical: float) -> Tensor:
    """Return the root mean squared error of the last n = RECENT one-step predictions, scaled.

        sqrt((e[1]^2 + ... + e[n]^2 + PRIOR typical^2) / (n + PRIOR)) / typical

    n is smaller near the start of a series. The result is 1 if the typical error is not known.

    Args:
        predictor: A Predictor with a window.
        values: The series, (points,).
        ends: For each result, the number of first values that are known, (N,).
        typical: The predictor's `typical_error`, 0 if not known.

    Returns:
        A factor for the half-widths of intervals, (N,), float64.
    """
    ones = torch.ones(len(ends), dtype=torch.float64, device="cpu")
    window = predictor.window
    if not typical > 0 or window is None or len(values) <= window:
        return ones
    windows = Windows(values, window)
    first = ends[:, None] - window - torch.arange(1, RECENT + 1, device="cpu")  # of each window
    known = first >= 0
    unique, place = first.clamp_min(0).unique(return_inverse=True)
    parts = [windows.view(part) for part in unique.split(windows.at_most(EVAL_BATCH))]
    errors = torch.cat([_errors(predictor, *part) for part in parts])[place]
    squares = torch.where(known, errors.square(), 0.0).sum(1) + PRIOR * typical**2
    found: Tensor = (squares / (known.sum(1) + PRIOR)).sqrt() / typical
    return found


def rollout_interval(predictor: Any, values: Tensor, prediction: Tensor) -> tuple[Tensor, Tensor]:
    """Return the lower and upper ends of a rollout's intervals, (steps,) each; nan if not known.

    Args:
        predictor: A Predictor with a `radius`.
        values: The series before the rollout, (points,).
        prediction: The rollout, (steps,).
    """
    if predictor.log:  # only the values after the last that has no logarithm
        bad = (values <= 0).nonzero()[:, 0].tolist()
        values = values[bad[-1] + 1 :] if bad else values
    end = torch.tensor([len(values)], device="cpu")
    factor = recent_error(predictor, values, end, predictor.typical_error.item()).item()
    radius = factor * by_step(predictor.radius, prediction)
    ends: tuple[Tensor, Tensor] = predictor.interval(prediction, radius)
    return ends


def _errors(predictor: Any, x: Tensor, y: Tensor) -> Tensor:
    found: Tensor = predictor.error(predictor(x), y[:, 0])
    return found.cpu()
