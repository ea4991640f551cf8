"""Backtests: forecasts from many origins, their errors, and the intervals they call for."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from sinrnn.evaluation.metrics import conformal
from sinrnn.forecasting.intervals import recent_error, typical_error
from sinrnn.forecasting.predictor import Predictor

if TYPE_CHECKING:
    from sinrnn.data.splits import Splits

ORIGINS = 200  # enough for stable figures
TOLERANCE = 0.4  # standard deviations of the training split


@dataclass
class Backtest:
    """N forecasts of K steps in closed loop, from rolling origins.

    Attributes:
        origins: Index in the series of each forecast's first step, (N,).
        prediction: Predictions (N, K).
        truth: Observed values (N, K).
        last: Last value of each forecast's window, (N,), which persistence repeats.
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
        """Root mean squared error of persistence by horizon, (K,)."""
        return (self.last[:, None] - self.truth).square().mean(0).sqrt()

    @property
    def skill(self) -> Tensor:
        """1 - mse / mse of persistence by horizon, (K,)."""
        return 1 - (self.rmse / self.persistence).square()

    def valid(self, tolerance: float) -> float:
        """Return the median number of steps until |error| exceeds the tolerance, at most K."""
        outside = ~((self.prediction - self.truth).abs() <= tolerance)
        steps = self.truth.shape[1]
        first = torch.where(outside.any(1), outside.double().argmax(1), steps)
        return first.double().quantile(0.5).item()

    @property
    def amplitude(self) -> float:
        """Median ratio of standard deviations, forecast to truth, over the last half of the steps.

        It is 1 if forecasts keep the amplitude of the series, and 0 if they die out.
        """
        half = self.truth.shape[1] // 2
        ours, true = (v[:, half:].std(1, correction=0) for v in (self.prediction, self.truth))
        known = true > 0
        return (ours[known] / true[known]).quantile(0.5).item() if known.any() else math.nan

    def diverged(self, spread: float) -> float:
        """Return the share of forecasts that leave the mean by more than 10 standard deviations."""
        distance = (self.prediction - self.truth.mean()).abs()
        return (~(distance <= 10 * spread)).any(1).double().mean().item()


@dataclass
class BacktestReport:
    """Backtest of the test split, and intervals.

    Attributes:
        test: Forecasts of the test split, compared with the series without its noise.
        radius: Half-widths of the intervals (K,), from the validation split; see `Predictor`.
        coverage: Share of the test split's samples within the intervals, by horizon, (K,).
        tolerance: Largest error of a valid forecast.
        spread: Standard deviation of the training split.
        typical_error: Root mean squared one-step error on the training split, or 0.
    """

    test: Backtest
    radius: Tensor
    coverage: Tensor
    tolerance: float
    spread: float
    typical_error: float = 0.0


def evaluate_backtest(
    predictor: Predictor, data: "Splits", steps: int = 100
) -> BacktestReport | None:
    """Backtest a predictor on the test split, with intervals from the validation split.

    The half-width of an interval is a quantile of the errors on the validation split, where each
    error is divided by the predictor's recent error; see `recent_error`.

    Args:
        predictor: The predictor.
        data: The data, set up.
        steps: Steps of each forecast, K. A quarter of the shorter split is the limit, so that
            forecasts do not overlap too much.

    Returns:
        The report, or None if the horizon is not 1, which a closed loop needs.
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
        forecasts[name] = found = backtest(predictor, values, first, last, steps)
        recent = recent_error(predictor, values, found.origins, typical)
        scores[name] = predictor.error(found.prediction, found.truth) / recent[:, None]
    # Errors h steps ahead overlap: about 2 in h are independent, see docs/forecasting.md.
    ahead = torch.arange(1, steps + 1, dtype=torch.float64, device="cpu")
    radius = conformal(scores["val"], independent=2 * lengths["val"] / ahead)
    coverage = (scores["test"] <= radius).double().mean(0)
    spread = values[slice(*data.edges("train"))].std(correction=0).item()
    test = forecasts["test"]
    test.truth = truth[test.origins[:, None] + torch.arange(steps, device="cpu")]
    return BacktestReport(test, radius, coverage, TOLERANCE * spread, spread, typical)


def _edges(data: "Splits") -> dict[str, tuple[int, int]]:
    return {name: data.edges(name) for name in ("val", "test")}


@torch.no_grad()
def backtest(predictor: Predictor, values: Tensor, first: int, last: int, steps: int) -> Backtest:
    """Forecast from origins spread over a range of a series.

    All predictions are within the range. The windows may begin before it.

    Args:
        predictor: A predictor with a window.
        values: The series (points,).
        first: First index of the range.
        last: Index after the end of the range.
        steps: Steps of each forecast, K. Half of the range is the limit.

    Raises:
        ValueError: The predictor has no window, or the range is too short.
    """
    if predictor.window is None:
        raise ValueError("a backtest needs a predictor with a window")
    first = max(first, predictor.window)
    steps = min(steps, (last - first) // 2)
    if steps < 1:
        raise ValueError(f"a backtest needs at least 2 points after a window, got {last - first}")
    count = min(last - steps - first + 1, ORIGINS)
    origins = (
        torch.linspace(first, last - steps, count, dtype=torch.float64, device="cpu").round().long()
    )
    x = values[origins[:, None] + torch.arange(-predictor.window, 0, device="cpu")]
    prediction = predictor.rollout(x, steps).cpu()
    truth = values[origins[:, None] + torch.arange(steps, device="cpu")]
    return Backtest(origins, prediction, truth.double(), x[:, -1].double())
