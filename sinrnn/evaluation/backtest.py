"""Forecasts from many origins: how far they hold, and how wide their intervals must be."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from sinrnn.evaluation.metrics import conformal
from sinrnn.forecasting.intervals import recent_error, typical_error
from sinrnn.forecasting.predictor import Predictor

if TYPE_CHECKING:
    from sinrnn.data.datamodule import WindowDataModule

ORIGINS = 200  # as many forecasts as a figure needs; more would only take time
TOLERANCE = 0.4  # standard deviations of the training split


@dataclass
class Backtest:
    """N forecasts of K steps in closed loop, from rolling origins.

    Attributes:
        origins: Index in the series of each forecast's first step, (N,).
        prediction: (N, K).
        truth: What came, (N, K).
        last: The last value that was read, (N,): persistence repeats it.
    """

    origins: Tensor
    prediction: Tensor
    truth: Tensor
    last: Tensor

    @property
    def rmse(self) -> Tensor:
        """Root mean squared error by horizon, (K,)."""
        return (self.prediction - self.truth).square().mean(0).sqrt()

    @property
    def persistence(self) -> Tensor:
        """Root mean squared error of repeating the last value, by horizon, (K,)."""
        return (self.last[:, None] - self.truth).square().mean(0).sqrt()

    @property
    def skill(self) -> Tensor:
        """1 - mse / mse of persistence by horizon, (K,)."""
        return 1 - (self.rmse / self.persistence).square()

    def valid(self, tolerance: float) -> float:
        """Steps until |error| leaves the tolerance: the median over the origins, at most K."""
        outside = ~((self.prediction - self.truth).abs() <= tolerance)
        steps = self.truth.shape[1]
        first = torch.where(outside.any(1), outside.double().argmax(1), steps)
        return first.double().quantile(0.5).item()

    @property
    def amplitude(self) -> float:
        """Deviation of the last half of a forecast over that of what came: the median."""
        half = self.truth.shape[1] // 2
        ours, theirs = (v[:, half:].std(1, correction=0) for v in (self.prediction, self.truth))
        known = theirs > 0
        return (ours[known] / theirs[known]).quantile(0.5).item() if known.any() else math.nan

    def diverged(self, spread: float) -> float:
        """Share of forecasts that are somewhere over 10 of the series' deviations away."""
        away = (self.prediction - self.truth.mean()).abs()
        return (~(away <= 10 * spread)).any(1).double().mean().item()


@dataclass
class BacktestReport:
    """How a network forecasts the test split, and how wide its intervals must be.

    Attributes:
        test: Forecasts of the test split, measured against the series without its noise.
        radius: Half-widths of the intervals, from the validation split, (K,), as `Predictor` has
            them.
        coverage: The share of the test split's samples that the intervals hold, by horizon, (K,).
        tolerance: What an error may be for a forecast to be valid.
        spread: Standard deviation of the training split.
        typical_error: Root mean squared one-step error on the training split, (), 0 if not known.
    """

    test: Backtest
    radius: Tensor
    coverage: Tensor
    tolerance: float
    spread: float
    typical_error: float = 0.0


def evaluate_backtest(
    predictor: Predictor, data: "WindowDataModule", steps: int = 100
) -> BacktestReport | None:
    """Backtest a network on the test split, with intervals from the validation split.

    An interval's half-width is a quantile of the validation split's errors, each divided by how
    wrong the network was just before, times how wrong it has been of late; see `recent_error`.

    Args:
        predictor: What was trained.
        data: Set up.
        steps: K, at most a quarter of either split, so that few forecasts of it overlap much.

    Returns:
        None where there is no closed loop: the horizon is not 1.
    """
    if predictor.horizon != 1 or predictor.window is None:
        return None
    values = data.values.double()
    truth = data.series.noise_free(len(values)).double()
    lengths = {name: last - first for name, (first, last) in _edges(data).items()}
    steps = max(1, min(steps, *(points // 4 for points in lengths.values())))
    typical = typical_error(predictor, data.windows["train"])
    scores, forecasts = {}, {}
    for name, (first, last) in _edges(data).items():
        forecasts[name] = made = backtest(predictor, values, first, last, steps)
        recent = recent_error(predictor, values, made.origins, typical)
        scores[name] = predictor.error(made.prediction, made.truth) / recent[:, None]
    # Errors h steps ahead overlap: about 2 in h are independent, see docs/forecasting.md.
    ahead = torch.arange(1, steps + 1, dtype=torch.float64, device="cpu")
    radius = conformal(scores["val"], independent=2 * lengths["val"] / ahead)
    held = (scores["test"] <= radius).double().mean(0)
    spread = values[slice(*data.edges("train"))].std(correction=0).item()
    test = forecasts["test"]
    test.truth = truth[test.origins[:, None] + torch.arange(steps, device="cpu")]
    return BacktestReport(test, radius, held, TOLERANCE * spread, spread, typical)


def _edges(data: "WindowDataModule") -> dict[str, tuple[int, int]]:
    return {name: data.edges(name) for name in ("val", "test")}


@torch.no_grad()
def backtest(predictor: Predictor, values: Tensor, first: int, last: int, steps: int) -> Backtest:
    """Forecast from origins spread over a stretch of a series.

    What is read may lie before the stretch, what is predicted may not.

    Args:
        predictor: With a window.
        values: The series (points,).
        first: Where the stretch begins.
        last: Where it ends: the first index that is not predicted.
        steps: K, at most half of the stretch.

    Raises:
        ValueError: The network has no window, or the stretch is too short.
    """
    if predictor.window is None:
        raise ValueError("a backtest needs a network that knows its window")
    first = max(first, predictor.window)
    steps = min(steps, (last - first) // 2)
    if steps < 1:
        raise ValueError(f"a backtest needs at least 2 points after a window, got {last - first}")
    count = min(last - steps - first + 1, ORIGINS)
    origins = (
        torch.linspace(first, last - steps, count, dtype=torch.float64, device="cpu").round().long()
    )
    x = values[origins[:, None] + torch.arange(-predictor.window, 0, device="cpu")]
    made = predictor.rollout(x, steps).cpu()
    came = values[origins[:, None] + torch.arange(steps, device="cpu")]
    return Backtest(origins, made, came.double(), x[:, -1].double())
