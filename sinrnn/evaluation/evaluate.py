"""Evaluate a trained predictor on its data: all measurements of the report and the diagnosis."""

import copy
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from sinrnn.data.period import strongest_period
from sinrnn.data.splits import Splits
from sinrnn.data.windows import Batch, Windows, predict
from sinrnn.evaluation import results
from sinrnn.evaluation.baselines import seasonal_naive
from sinrnn.evaluation.metrics import lag, saturated, spectral_radius
from sinrnn.evaluation.results import History, Results, Rollout, Settings
from sinrnn.forecasting.predictor import Predictor
from sinrnn.forecasting.units import UNITS
from sinrnn.nn.trace import trace

ROLLOUT_STEPS = 1000
MAX_WINDOWS = 1000  # in a subsample, enough for a share or a gradient
MAX_STATES = 2**22  # in a subsample, 16 MB of float32


@torch.no_grad()
def evaluate(
    predictor: Predictor,
    data: Splits,
    predicted: dict[str, Tensor],
    history: History | None = None,
    settings: Settings | None = None,
) -> Results:
    """Return the losses, the closed loop and the measurements for the diagnosis.

    Args:
        predictor: The trained predictor.
        data: The data, set up.
        predicted: Predictions (N,) by split, at least of train and val. The closed loop starts at
            the last of these splits.
        history: The losses by epoch.
        settings: The settings of the run that neither the predictor nor the data hold.
    """
    every = {name: data.windows[name].view(slice(None)) for name in predicted}
    windows = {name: (x[..., 0], y[:, 0]) for name, (x, y) in every.items()}
    net, coverage = predictor.net, predictor.coverage
    h, _ = net.unroll(subsample(data.windows["val"], predictor)[0])
    train = data.windows["train"].values
    low, high = train.min(), train.max()
    period = strongest_period(train)
    known = {name: getattr(predictor, name) for name in ("window", "stateful", *UNITS)}
    known |= {"period": period, "init": net.init, "bptt_steps": net.bptt_steps}
    known["longest"] = min(len(data.windows[name]) for name in predicted) + data.window - 1
    return Results(
        half_mse=results.losses(predicted, windows, data.horizon, _seasonal(data, windows, period)),
        variance={name: y.double().var(correction=0).item() for name, (_, y) in windows.items()},
        saturated=saturated(h[:, -1]),
        spectral_radius=spectral_radius(net.Whh),
        trace=trace(net, *subsample(data.windows["train"], predictor)),
        settings=replace(settings or Settings(), **known),
        flatness=float(
            predicted["train"].std(correction=0) / windows["train"][1].std(correction=0)
        ),
        lag=lag(data.windows["val"], predicted["val"]),
        outside={
            name: ((y < low) | (y > high)).double().mean().item()
            for name, (_, y) in windows.items()
            if name != "train"
        },
        train_range=(low.item(), high.item()),
        history=history,
        rollout=_rollout(predictor, data, list(predicted)[-1]),
        coverage=(
            coverage.mean().item() if len(coverage) and not predictor.radius.isinf().any() else None
        ),
    )


def _seasonal(
    data: Splits, windows: Iterable[str], period: int | None
) -> dict[str, dict[str, Callable[[int, int], Tensor]]]:
    """Return the seasonal naive forecast of each split by name, or {} without a period."""
    if period is None:
        return {}

    def naive(target: int, first: int, last: int) -> Tensor:
        return seasonal_naive(data.values, target + first, last - first, period, data.horizon)

    ahead = data.window + data.horizon - 1
    by_split: dict[str, Callable[[int, int], Tensor]] = {
        name: partial(naive, data.edges(name)[0] + ahead) for name in windows
    }
    return {f"seasonal naive ({period})": by_split}


def _rollout(predictor: Predictor, data: Splits, split: str) -> Rollout | None:
    """Return the closed loop from the start of a split, beyond its end if it is the test split."""
    start, end = data.edges(split)
    points = start + data.window + ROLLOUT_STEPS
    points = points if split == "test" else min(points, end)
    values, truth = data.series.continued(points), data.series.noise_free(points)
    return results.rollout(predictor, values, start, data.window, ROLLOUT_STEPS, truth)


def subsample(windows: Windows, predictor: Predictor, most: int = MAX_WINDOWS) -> Batch:
    """Return at most `most` windows and targets, spread over the split, in the network's units."""
    states = windows.window * predictor.net.hidden_size  # of one window
    return predictor.encode(*windows.sample(min(most, max(MAX_STATES // states, 1))))


def excerpt(data: Splits, most: int) -> Splits:
    """Return a copy of the data with at most the first `most` windows of each split."""
    data.series.check_unchanged()
    part = copy.copy(data)
    part.windows = {
        name: Windows(w.values[: most + w.window + w.horizon - 1], w.window, w.horizon)
        for name, w in data.windows.items()
    }
    return part


def predictions(
    predictor: torch.nn.Module,
    data: Splits,
    splits: Sequence[str] = ("train", "val", "test"),
) -> dict[str, Tensor]:
    """Return the predictions (N,) for all windows of these splits, by split."""
    return {name: predict(predictor, data.windows[name]) for name in splits}
