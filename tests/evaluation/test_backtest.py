"""Forecasts from many origins by hand."""

import math
from types import SimpleNamespace

import pytest
import torch
from cases import assert_close, predictor, refuses
from ramp import Given, data, same

from sinrnn import Predictor, SinRNN
from sinrnn.evaluation.backtest import (
    ORIGINS,
    Backtest,
    backtest,
    evaluate_backtest,
)
from sinrnn.evaluation.metrics import conformal
from sinrnn.forecasting.intervals import recent_error

NAN, INF = math.nan, math.inf


class Repeats:
    """In a network's place: it predicts the last value that it read, and keeps what it read."""

    def __init__(self, window=2, horizon=1):
        self.window, self.horizon = window, horizon

    def __call__(self, windows):
        return windows[:, -1, 0]

    def rollout(self, x, steps):
        self.read = x
        return x[:, -1:].expand(-1, steps)

    def error(self, made, came):
        return (made - came).abs()


class Known(Given):
    """These points, and 10 less of each is what they are without their noise."""

    def noise_free(self, points):
        return self.given[:points] - 10


def of(prediction, truth, last=None):
    """A backtest of these forecasts, (N, K)."""
    prediction, truth = torch.tensor(prediction), torch.tensor(truth)
    last = torch.zeros(len(truth)) if last is None else torch.tensor(last)
    return Backtest(torch.arange(len(truth)), prediction, truth, last)


def wrong(*errors):
    """A backtest of nothing, with these errors."""
    return of([[float(v) for v in e] for e in errors], [[0.0] * len(errors[0])] * len(errors))


def sine(points, period, error=0.0):
    """Its frequency is wrong by this part of it."""
    return torch.sin(2 * math.pi * (1 + error) / period * torch.arange(points))


def seen(*args):
    """What a backtest over 0, 1, 2, ... found and read."""
    net = Repeats()
    return backtest(net, torch.arange(1000.0), *args), net.read


# The origins


@pytest.mark.parametrize(
    ("first", "last", "steps", "origins"),
    [
        (10, 15, 2, [10, 11, 12, 13]),
        (10, 15, 9, [10, 11, 12, 13]),  # 2 is half of 5
        (10, 16, 9, [10, 11, 12, 13]),
        (10, 12, 1, [10, 11]),
        (0, 8, 3, [2, 3, 4, 5]),  # nothing can be read before the series
        (0, 500, 1, None),
        (100, 900, 100, None),
    ],
)
def test_origins_spread_over_the_stretch_and_never_leave_it(first, last, steps, origins):
    found, read = seen(first, last, steps)
    K = min(steps, (last - first) // 2)
    if origins is None:
        assert len(found.origins) == ORIGINS
        even = (last - K - max(first, 2)) / (ORIGINS - 1)
        gaps = found.origins.diff()
        assert (gaps - even).abs().max() < 1
    else:
        assert found.origins.tolist() == origins
    assert found.origins[0] == max(first, 2)
    assert found.origins[-1] + K == last
    at = found.origins[:, None].double()
    same(read, at + torch.tensor([-2.0, -1.0]))
    same(found.truth, at + torch.arange(K))
    same(found.last, at[:, 0] - 1)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_backtest_is_rollouts_one_by_one(dtype):
    values = torch.sin(torch.arange(40.0) / 3)
    net = predictor(SinRNN(hidden_size=5, dtype=dtype), 4)
    found = backtest(net, values, 20, 40, 6)
    assert found.prediction.shape == (15, 6)
    assert found.prediction.dtype == found.truth.dtype == found.last.dtype == torch.float64
    assert not found.prediction.requires_grad
    for origin, made in zip(found.origins.tolist(), found.prediction, strict=True):
        alone = net.rollout(values[origin - 4 : origin], 6).detach()
        assert_close(made.to(dtype), alone.to(dtype))


def test_backtest_refuses_a_network_without_a_window():
    with refuses(ValueError, "a backtest needs a predictor with a window"):
        backtest(predictor(SinRNN()), torch.zeros(40), 20, 40, 6)


@pytest.mark.parametrize(("first", "last", "points"), [(20, 21, 1), (20, 20, 0), (0, 3, 1)])
def test_backtest_refuses_where_too_little_is_left_after_a_window(first, last, points):
    with refuses(ValueError, f"a backtest needs at least 2 points after a window, got {points}"):
        backtest(Repeats(), torch.zeros(40), first, last, 6)


# What they are worth


def test_rmse_and_skill_by_hand():
    found = of([[1.0, 5.0], [2.0, 1.0]], [[2.0, 2.0], [2.0, 2.0]], [0.0, 1.0])
    # Errors -1, 0 and 3, -1; persistence's -2, -1 and the same.
    assert_close(found.rmse, torch.tensor([0.5, 5.0]).sqrt())
    assert_close(found.persistence, torch.tensor([2.5, 2.5]).sqrt())
    assert_close(found.skill, torch.tensor([1 - 0.5 / 2.5, 1 - 5 / 2.5]))


@pytest.mark.parametrize(
    ("errors", "steps"),
    [
        ([(0, 0, 9)], 2),
        ([(0, -9, 0)], 1),  # that it comes back is of no use
        ([(9, 0, 0)], 0),
        ([(0, 0, 0)], 3),
        ([(1, -1, 1)], 3),  # the tolerance itself is within
        ([(0, NAN, 0)], 1),
        ([(0, 0, -INF)], 2),
        ([(9, 9, 9), (0, 0, 9), (0, 0, 0)], 2),
        ([(9, 0, 0), (0, 0, 0)], 1.5),
        ([(9, 0, 0), (0, 9, 0), (0, 0, 0), (0, 0, 0)], 2),
    ],
)
def test_valid_by_hand(errors, steps):
    assert wrong(*errors).valid(1.0) == steps


def test_amplitude_is_the_median_over_the_last_halves():
    truth = [[5.0, 7.0, 1.0, -1.0]] * 3
    parts = ([9.0, 0.0, 0.5, -0.5], [0.0, 0.0, 3.0, -3.0], [0.0, 0.0, 12.0, 8.0])
    assert of(list(parts), truth).amplitude == 2.0  # of 0.5, 3 and 2
    assert of(list(parts[:2]), truth[:2]).amplitude == 1.75
    # Where nothing moves, there is none.
    still, moving = [1.0, 2.0, 3.0, 3.0], [0.0, 0.0, 1.0, -1.0]
    assert of([parts[0], parts[0]], [still, moving]).amplitude == 0.5
    assert math.isnan(of([parts[0]], [still]).amplitude)


@pytest.mark.parametrize(
    ("ends", "share"),
    [
        ([0.0, 21.0, -19.0, 1.0], 0.0),  # 10 deviations of 2 around 1, the edge included
        ([0.0, 21.1, 1.0, 1.0], 0.25),
        ([-19.1, 21.1, 1.0, 1.0], 0.5),
        ([NAN, INF, -INF, 1.0], 0.75),
    ],
)
def test_diverged_by_hand(ends, share):
    found = of([[1.0, end] for end in ends], [[0.0, 2.0]] * 4)
    assert found.diverged(2.0) == share


# On the test split, with intervals


def module(points, **splits):
    splits = {"train": (0.0, 0.5), "val": (0.5, 0.75), "test": (0.75, 1.0)} | splits
    return data(Known(points), window=2, **splits)


def steps_and_a_jump():
    """0 and 2 in turn to learn from; up by 1 at each step; still, but for a jump of 5 at 70."""
    up, still = torch.arange(1.0, 21.0), torch.full((20,), 20.0)
    still[10:] += 5
    return torch.cat([torch.tensor([0.0, 2.0]).repeat(20), up + 2, still + 2])


def scores(values, first, last):
    """Errors 1, 2 and 3 steps ahead of repeating the last value, over how large they were of late.

    That is the root of the mean square of the last 20 one-step errors and 5 typical ones of 2, over
    the typical one.
    """
    found = []
    for t in range(first, last - 2):
        late = [(values[s] - values[s - 1]) ** 2 for s in range(max(t - 20, 2), t)]
        factor = ((sum(late) + 5 * 4) / (len(late) + 5)) ** 0.5 / 2
        found.append((values[t : t + 3] - values[t - 1]).abs() / factor)
    return torch.stack(found)


def test_evaluate_backtest_by_hand():
    values = steps_and_a_jump()
    found = evaluate_backtest(Repeats(), module(values), 3)
    assert found.typical_error == 2.0
    # 20 validation points: of the errors h steps ahead, 2 * 20 / h are independent.
    radius = conformal(scores(values, 40, 60), independent=40 / torch.arange(1.0, 4.0))
    assert_close(found.radius, radius)
    # The noise is left out of the test's truth alone: the intervals are for what is measured.
    assert_close(found.coverage, (scores(values, 60, 80) <= radius).double().mean(0))
    assert found.test.origins.tolist() == list(range(60, 78))
    at = found.test.origins[:, None]
    same(found.test.truth, values[at + torch.arange(3)] - 10)
    same(found.test.prediction, values[at - 1].expand(-1, 3))
    same(found.test.last, values[at[:, 0] - 1])
    assert found.spread == 1.0
    assert found.tolerance == 0.4


@pytest.mark.parametrize(
    ("splits", "steps"), [({}, 5), ({"test": (0.75, 0.875)}, 2), ({"val": (0.5, 0.625)}, 2)]
)
def test_evaluate_backtest_forecasts_a_quarter_of_the_shorter_split(splits, steps):
    found = evaluate_backtest(Repeats(), module(steps_and_a_jump(), **splits))
    assert found.test.truth.shape[1] == len(found.radius) == len(found.coverage) == steps


def test_evaluate_backtest_of_too_few_validation_windows_says_so():
    found = evaluate_backtest(Repeats(), module(steps_and_a_jump(), val=(0.5, 0.6)), 3)
    assert len(found.radius) == 2
    assert found.radius.isinf().all()  # 8 points have 7 origins
    assert (found.coverage == 1).all()


@pytest.mark.parametrize("net", [Repeats(horizon=2), Repeats(window=None)])
def test_evaluate_backtest_is_none_without_a_closed_loop(net):
    assert evaluate_backtest(net, SimpleNamespace()) is None


def test_intervals_of_logarithms_are_measured_on_them():
    values = torch.exp(torch.arange(100) / 10 + torch.sin(torch.arange(100.0)) / 5)
    cut = data(Given(values), window=4)
    made = Predictor(SinRNN(hidden_size=2), window=4, log=True, relative=True)
    made.calibrate(cut.windows["train"])
    found = evaluate_backtest(made, cut, 5)
    calibration = backtest(made, values, *cut.edges("val"), 5)
    late = recent_error(made, values, calibration.origins, found.typical_error)[:, None]
    errors = (calibration.prediction.log() - calibration.truth.log()).abs() / late
    assert_close(found.radius, conformal(errors, independent=40 / torch.arange(1.0, 6.0)))
    late = recent_error(made, values, found.test.origins, found.typical_error)[:, None]
    held = (found.test.prediction.log() - found.test.truth.log()).abs() <= late * found.radius
    assert_close(found.coverage, held.double().mean(0))
    made.radius = 100 * found.radius
    assert (made.forecast(values, 5).lower > 0).all()
