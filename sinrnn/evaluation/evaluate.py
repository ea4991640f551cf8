"""A trained network on its data: what it is worth, and what a diagnosis looks at."""

import copy
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from sinrnn.data.datamodule import WindowDataModule
from sinrnn.data.period import strongest_period
from sinrnn.data.windows import Batch, Windows, predict
from sinrnn.evaluation import results
from sinrnn.evaluation.baselines import seasonal_naive
from sinrnn.evaluation.metrics import lag, saturated, spectral_radius
from sinrnn.evaluation.results import History, Results, Rollout, Settings
from sinrnn.forecasting.predictor import Predictor
from sinrnn.forecasting.units import UNITS
from sinrnn.nn.trace import trace

ROLLOUT_STEPS = 1000
LOOKED_AT = 1000  # windows: enough for a share or a gradient,
STATES = 2**22  # as long as their states, 16 MB of float32, are no more than these


@torch.no_grad()
def evaluate(
    predictor: Predictor,
    data: WindowDataModule,
    predicted: dict[str, Tensor],
    history: History | None = None,
    settings: Settings | None = None,
) -> Results:
    """Losses, closed loop, and what a diagnosis looks at.

    Args:
        predictor: What was trained.
        data: Set up.
        predicted: The network's predictions by split, (N,): train and val at least. The closed
            loop starts at the last of these splits.
        history: The run's curves.
        settings: What it was set to, as far as neither predictor nor data know it.
    """
    every = {name: data.windows[name].view(slice(None)) for name in predicted}
    windows = {name: (x[..., 0], y[:, 0]) for name, (x, y) in every.items()}
    net, held = predictor.net, predictor.coverage
    h, _ = net.unroll(subsample(data.windows["val"], predictor)[0])
    train = data.windows["train"].values
    low, high = train.min(), train.max()
    period = strongest_period(train)
    set_to = {name: getattr(predictor, name) for name in ("window", "stateful", *UNITS)}
    set_to |= {"period": period, "init": net.init, "bptt_steps": net.bptt_steps}
    set_to["longest"] = min(len(data.windows[name]) for name in predicted) + data.window - 1
    return Results(
        half_mse=results.losses(predicted, windows, data.horizon, _seasonal(data, windows, period)),
        variance={name: y.double().var(correction=0).item() for name, (_, y) in windows.items()},
        saturated=saturated(h[:, -1]),
        spectral_radius=spectral_radius(net.Whh),
        trace=trace(net, *subsample(data.windows["train"], predictor)),
        settings=replace(settings or Settings(), **set_to),
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
        coverage=held.mean().item() if len(held) and not predictor.radius.isinf().any() else None,
    )


def _seasonal(
    data: WindowDataModule, windows: dict[str, tuple[Tensor, Tensor]], period: int | None
) -> dict[str, dict[str, Tensor]]:
    """What the last period foretells, by name and split; nothing where there is no period."""
    if period is None:
        return {}
    ahead, values = data.window + data.horizon - 1, data.values
    return {
        f"seasonal naive ({period})": {
            name: seasonal_naive(values, data.edges(name)[0] + ahead, len(y), period, data.horizon)
            for name, (_, y) in windows.items()
        }
    }


def _rollout(predictor: Predictor, data: WindowDataModule, split: str) -> Rollout | None:
    """From the start of a split on; of the test split, which comes last, also beyond its end."""
    start, end = data.edges(split)
    points = start + data.window + ROLLOUT_STEPS
    points = points if split == "test" else min(points, end)
    values, truth = data.series.continued(points), data.series.noise_free(points)
    return results.rollout(predictor, values, start, data.window, ROLLOUT_STEPS, truth)


def subsample(windows: Windows, predictor: Predictor, most: int = LOOKED_AT) -> Batch:
    """At most `most` windows and targets, spread over the split, as the network has them."""
    net = predictor.net
    most = min(most, max(STATES // (windows.window * net.hidden_size), 1))
    return predictor.encode(*windows.sample(most))


def excerpt(data: WindowDataModule, most: int) -> WindowDataModule:
    """The same data with no more than the first `most` windows of each split."""
    data.series.check_unchanged()
    part = copy.copy(data)
    part.windows = {
        name: Windows(w.values[: most + w.window + w.horizon - 1], w.window, w.horizon)
        for name, w in data.windows.items()
    }
    return part


def predictions(
    predictor: torch.nn.Module,
    data: WindowDataModule,
    splits: Sequence[str] = ("train", "val", "test"),
) -> dict[str, Tensor]:
    """The network's predictions for all windows of some splits, by split, (N,)."""
    return {name: predict(predictor, data.windows[name]) for name in splits}
