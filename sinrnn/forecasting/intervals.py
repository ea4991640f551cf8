"""How wrong a predictor has been of late: intervals around its forecasts widen with that."""

from typing import Any

import torch
from torch import Tensor

from sinrnn.data.windows import EVAL_BATCH, Windows
from sinrnn.forecasting.forecast import stretched

RECENT = 20  # errors that count: more notice a change later, fewer jump with each error
PRIOR = 5  # so many typical errors count with them


@torch.no_grad()
def typical_error(predictor: Any, windows: Windows) -> float:
    """Root mean squared one-step error on windows of the training split, in units of `error`."""
    x, y = windows.sample(EVAL_BATCH)
    return float(_errors(predictor, x, y).square().mean().sqrt())


@torch.no_grad()
def recent_error(predictor: Any, values: Tensor, ends: Tensor, typical: float) -> Tensor:
    """Root mean squared error of the last one-step predictions, over the typical one.

        sqrt((e[1]^2 + ... + e[n]^2 + PRIOR typical^2) / (n + PRIOR)) / typical,   n = RECENT

    or fewer near the start of a series, or 1 where the typical error is not known.

    Args:
        predictor: A Predictor with a window.
        values: The series, (points,).
        ends: Indices up to which the series is known, each the first that is not, (N,).
        typical: Its `typical_error`, 0 if not known.

    Returns:
        A factor for the half-widths of intervals, (N,), float64.
    """
    ones = torch.ones(len(ends), dtype=torch.float64, device="cpu")
    window = predictor.window
    if not typical > 0 or window is None or len(values) <= window:
        return ones
    windows = Windows(values, window)
    first = ends[:, None] - window - torch.arange(1, RECENT + 1, device="cpu")  # of windows
    known = first >= 0
    unique, place = first.clamp_min(0).unique(return_inverse=True)
    parts = [windows.view(part) for part in unique.split(windows.at_most(EVAL_BATCH))]
    errors = torch.cat([_errors(predictor, *part) for part in parts])[place]
    squares = torch.where(known, errors.square(), 0.0).sum(1) + PRIOR * typical**2
    found: Tensor = (squares / (known.sum(1) + PRIOR)).sqrt() / typical
    return found


def around(predictor: Any, values: Tensor, made: Tensor) -> tuple[Tensor, Tensor]:
    """Lower and upper ends of the intervals around a rollout, (steps,) each; nan where not known.

    Args:
        predictor: A Predictor with a `radius`.
        values: The series that was gone on from, (points,).
        made: The predictions after it, (steps,).
    """
    if predictor.log:  # what has no logarithm lies before all that is looked back over
        bad = (values <= 0).nonzero()[:, 0].tolist()
        values = values[bad[-1] + 1 :] if bad else values
    end = torch.tensor([len(values)], device="cpu")
    wider = recent_error(predictor, values, end, predictor.typical_error.item()).item()
    ends: tuple[Tensor, Tensor] = predictor.interval(
        made, wider * stretched(predictor.radius, made)
    )
    return ends


def _errors(predictor: Any, x: Tensor, y: Tensor) -> Tensor:
    found: Tensor = predictor.error(predictor(x), y[:, 0])
    return found.cpu()
