"""Figures of windows, predictions, gradient flow, rollout, backtest and forecast."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.dates import ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator
from numpy.typing import NDArray
from torch import Tensor

from sinrnn.evaluation import metrics
from sinrnn.evaluation._drawing import (
    DASHED,
    GREY,
    MARKS,
    NETWORK,
    SECOND,
    TRUTH,
    blank,
    caption,
    mark_off_scale,
    scale,
    thinned,
)

if TYPE_CHECKING:
    from sinrnn.evaluation.backtest import BacktestReport
    from sinrnn.evaluation.results import Rollout
    from sinrnn.forecasting.forecast import Forecast
    from sinrnn.nn.trace import Trace


def _truth_and_prediction(
    first: int,
    truth: Tensor,
    prediction: Tensor,
    labels: tuple[str, str],
    height: float,
    before: Sequence[np.ndarray] = (),
) -> tuple[Figure, Axes, Axes]:
    """Draw the truth and a prediction; return the figure, these axes and empty axes below."""
    figure, (above, below) = blank(2, 1, 5, sharex=True, height_ratios=[3, height])
    true, predicted = (thinned(values.numpy()) for values in (truth, prediction))
    above.plot(first + true, truth[true].numpy(), color=TRUTH, lw=4, alpha=0.3, label=labels[0])
    (line,) = above.plot(
        first + predicted, prediction[predicted].numpy(), color=NETWORK, lw=1.3, label=labels[1]
    )
    scale(above, [truth.numpy(), *before], prediction.numpy())
    mark_off_scale(above, line)
    below.set_xlabel("sample of the series")
    below.xaxis.get_major_locator().set_params(integer=True)
    return figure, above, below


def sample_windows(
    samples: Mapping[str, Sequence[tuple[int, Tensor, float, float]]],
    horizon: int,
    quantity: str = "value",
) -> Figure:
    """Draw a few windows of each split, with their targets and predictions.

    Args:
        samples: By split, for each window: index of its first sample, its samples (T,), the target
            and the prediction.
        horizon: Steps from a window's end to its target.
        quantity: Name of the series' values.
    """
    columns = max(len(row) for row in samples.values())
    figure, axes = blank(len(samples), columns, 2.6 * len(samples))
    axes = axes.reshape(-1, columns)
    for row, (name, windows) in zip(axes, samples.items(), strict=True):
        for axis in row[len(windows) :]:
            axis.set_axis_off()
        for axis, (first, x, target, prediction) in zip(row, windows, strict=False):
            steps = first + np.arange(len(x))
            at = steps[-1] + horizon
            look = "o-" if len(x) <= MARKS else "-"
            axis.plot(steps, x.numpy(), look, color=GREY, ms=5, label="window")
            axis.plot(at, target, "o", color=TRUTH, ms=9, mfc="none", label="target")
            axis.plot(at, prediction, "x", color=NETWORK, ms=7, mew=2, label="prediction")
            axis.set_xticks([steps[0], at])
            axis.ticklabel_format(useOffset=False)
            axis.tick_params(labelsize=8)
            axis.margins(0.15)
        row[0].set_ylabel(f"{name}: {quantity}")
    for axis in axes[-1]:
        axis.set_xlabel("sample of the series")
    shown = axes[0, 0].get_legend_handles_labels()
    figure.legend(*shown, loc="outside upper center", ncols=3, frameon=False)
    return figure


def predictions(
    name: str, first: int, horizon: int, target: Tensor, prediction: Tensor, quantity: str = "value"
) -> Figure:
    """Draw the predictions and targets of one split, and their difference below.

    Args:
        name: The split's name.
        first: Index in the series of the first target.
        horizon: Steps from a window's end to its target.
        target: (N,).
        prediction: (N,).
        quantity: Name of the series' values.
    """
    labels = ("target", "prediction")
    figure, above, below = _truth_and_prediction(first, target, prediction, labels, 1)
    ahead = "one step" if horizon == 1 else f"{horizon} steps"
    error = prediction.double() - target.double()
    loss = error.square().mean().item() / 2
    title = f"{name} windows, {ahead} ahead: half_mse {loss:.2e}"
    caption(above, "", quantity, title, loc="outside lower center", ncols=3)
    shown = thinned(error.numpy())
    below.plot(first + shown, error[shown].numpy(), color=NETWORK, lw=0.8)
    below.set_ylabel("prediction - target")
    return figure


def gradient_flow(trace: "Trace", bptt_steps: int | None = None) -> Figure:
    """Draw the gradient at each step of the window, and its cosine with truncated gradients.

    Args:
        trace: The trace of one batch.
        bptt_steps: Steps that the gradient reached back in training; None: all.
    """
    found = metrics.gradient_flow(trace)
    steps = np.arange(1, found.shape[1] + 1)
    depths = np.unique(np.linspace(1, len(steps), 40).round().astype(int))
    cosines = [trace.cosine(int(k)) for k in depths]
    if np.isnan(cosines).all():
        return _without_gradient()
    figure, (left, right) = blank(1, 2, 3.6)
    look = "o-" if len(steps) <= MARKS else "-"
    # A log scale cannot show a step without gradient.
    low, middle, high = found.where(found > 0, np.nan).numpy()
    left.semilogy(steps, middle, look, color=NETWORK, ms=4, label="median window")
    left.fill_between(steps, low, high, color=NETWORK, alpha=0.2, lw=0, label="10 to 90 %")
    if np.isfinite(middle).any():
        bottom, top = left.get_ylim()
        left.set_ylim(
            min(bottom, top / 10), 1.3 * top
        )  # at least one decade, so that a small decrease looks small
    if left.get_ylim()[0] < metrics.NEGLIGIBLE:
        left.axhline(metrics.NEGLIGIBLE, **DASHED, label="negligible below")
    reached = np.count_nonzero(found[1] > metrics.NEGLIGIBLE)
    title = f"{reached} of {len(steps)} steps receive gradient"
    caption(left, "step t of the window", "|dLoss/dh[t]| / |dLoss/dh[T]|", title)
    right.plot(depths, cosines, look, color=SECOND, ms=4)
    if bptt_steps is not None and bptt_steps <= len(steps):
        right.axvline(bptt_steps, **DASHED, label=f"bptt_steps in training: {bptt_steps}")
        right.legend(fontsize=9)
    right.set_ylim(np.nanmin([0, *cosines]) - 0.05, 1.05)
    right.set_xlabel("bptt_steps k, steps that the gradient reaches back")
    right.set_ylabel("cosine with the full gradient")
    left.set_xlim(right.get_xlim())  # including steps without gradient
    for axis in (left, right):
        axis.xaxis.get_major_locator().set_params(integer=True)
    return figure


def _without_gradient() -> Figure:
    """Return a figure with a sentence in place of empty axes."""
    figure, (axis,) = blank(1, 1, 3.6)
    axis.set_axis_off()
    axis.set_title("no gradient", fontsize=11)
    text = "dLoss/dh[t] is 0 at every step of every window"
    axis.text(0.5, 0.5, text, ha="center", va="center", transform=axis.transAxes)
    return figure


def rollout(closed: "Rollout", quantity: str = "value") -> Figure:
    """Draw a rollout and the truth, and the absolute error below."""
    steps = closed.start + np.arange(len(closed.truth))
    labels = ("truth", "rollout: own predictions fed back")
    figure, above, below = _truth_and_prediction(
        closed.start, closed.truth, closed.prediction, labels, 1.3, [closed.warm_up.numpy()]
    )
    read = np.arange(closed.start - len(closed.warm_up), closed.start)
    label = "initial window"
    look = "." if len(read) <= MARKS else "-"
    above.plot(read, closed.warm_up.numpy(), look, color=SECOND, ms=6, lw=1.3, label=label)
    title = f"{len(steps):,} closed-loop steps, RMSE {closed.rmse:.1e}"
    caption(above, "", quantity, title, loc="outside lower center", ncols=3)
    error = (closed.prediction - closed.truth).abs().clamp_min(1e-16)
    below.semilogy(steps, error.numpy(), color=NETWORK, lw=0.8)
    if error.isfinite().all():  # whole powers of ten; other labels would overlap
        low, high = (end.item() for end in error.log10().aminmax())
        below.set_ylim(10 ** (math.floor(low) - 0.1), 10 ** (math.ceil(high) + 0.1))
        below.yaxis.set_minor_locator(NullLocator())
    below.set_ylabel("|error|")
    return figure


def backtest(backtest_report: "BacktestReport") -> Figure:
    """Draw the error and the coverage of forecasts of the test split by steps ahead."""
    figure, (left, right) = blank(1, 2, 3.8)
    test = backtest_report.test
    ahead = np.arange(1, len(test.rmse) + 1)
    left.plot(ahead, test.persistence.numpy(), "-.", color=SECOND, label="persistence")
    (network,) = left.plot(ahead, test.rmse.numpy(), color=NETWORK, label="network")
    left.axhline(backtest_report.spread, **DASHED, label="standard deviation, train")
    # A diverging rollout does not set the scale.
    high = max(test.persistence.max().item(), backtest_report.spread, 1e-12)
    high = max([high, *test.rmse[test.rmse <= 3 * high].tolist()])
    if 0 < test.rmse.min() < high / 30:
        left.set_yscale("log")
        left.set_ylim(top=2 * high)
    else:
        left.set_ylim(0, 1.4 * high)
        left.locator_params(axis="y", prune="upper")
    mark_off_scale(left, network)
    title = f"RMSE {test.rmse[0]:.2g} at 1 step, {test.rmse[-1]:.2g} at {ahead[-1]}"
    origins = f"steps ahead, from {len(test.origins)} origins in the test split"
    caption(left, origins, "RMSE", title)
    right.plot(ahead, 100 * backtest_report.coverage.numpy(), color=SECOND, label="measured")
    right.axhline(90, **DASHED, label="nominal")
    right.set_ylim(0, 109)
    right.locator_params(axis="y", prune="upper")
    known = not backtest_report.radius.isinf().any()
    mean = f"{backtest_report.coverage.mean():.0%} on the test split"
    title = f"coverage of the intervals: {mean if known else 'not known'}"
    caption(right, "steps ahead", "coverage, %", title, loc="lower left")
    for axis in (left, right):
        axis.xaxis.get_major_locator().set_params(integer=True)
    return figure


def forecast(
    before: Tensor, result: "Forecast", names: tuple[str, str] = ("value", "time")
) -> Figure:
    """Draw the end of a series and its forecast.

    Args:
        before: The last values of the series, (n,).
        result: Their forecast.
        names: The names of the values and of the times.
    """
    figure, (axis,) = blank(1, 1, 4)
    past: NDArray[Any] = np.arange(result.start - len(before), result.start)
    steps: NDArray[Any] = np.asarray(result.index)
    if result.past is not None and result.time is not None:
        past, steps = result.past.values[result.start - len(before) :], result.time
    axis.plot(past, before.numpy(), color=TRUTH, lw=1.3, label="series")
    read = past[-len(result.read) :]
    axis.plot(read, result.read.numpy(), color=SECOND, lw=5, alpha=0.35, label="read")
    # Starting at the last sample, so that there is no gap before the first prediction.
    steps = np.concatenate([past[-1:], steps])
    y, low, high = (
        torch.cat([before[-1:], v]).numpy() for v in (result.prediction, result.lower, result.upper)
    )
    if known := int(result.lower.isfinite().sum()):
        axis.fill_between(
            steps, low, high, color=NETWORK, alpha=0.2, lw=0, label=_band(result, known)
        )
    axis.plot(steps, y, color=NETWORK, lw=1.3, label="forecast")
    axis.set(xlabel="sample of the series" if result.time is None else names[1], ylabel=names[0])
    if steps.dtype.kind == "M":
        concise = ConciseDateFormatter(axis.xaxis.get_major_locator())  # type: ignore[no-untyped-call]
        axis.xaxis.set_major_formatter(concise)
    figure.legend(loc="outside upper center", ncols=4, frameon=False, fontsize=9)
    return figure


def _band(result: "Forecast", known: int) -> str:
    """Return the legend of the intervals: coverage, and how far ahead they were measured."""
    coverage = (
        "" if result.held is None else f", {100 * result.held:.0f} % coverage on the test split"
    )
    end = f", measured up to step {known}" if known < len(result.prediction) else ""
    return f"interval: 90 % nominal{coverage}{end}"
