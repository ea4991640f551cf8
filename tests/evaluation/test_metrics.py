"""Each measure by hand, and against NumPy."""

import math

import numpy as np
import pytest
import torch
from cases import H, assert_close

from sinrnn.data.windows import Windows
from sinrnn.evaluation.metrics import (
    conformal,
    gradient_flow,
    lag,
    phase_drift,
    saturated,
    skill,
    spectral_radius,
)
from sinrnn.nn.trace import Trace

NAN, INF = math.nan, math.inf


def sine(points, period, error=0.0, late=0.0, amplitude=1.0):
    """Its frequency is wrong by this part of it."""
    return amplitude * torch.sin(2 * math.pi * (1 + error) / period * torch.arange(points) - late)


# Of losses


@pytest.mark.parametrize(
    ("mse", "baseline", "expected"),
    [(0.5, 2, 0.75), (2, 2, 0), (6, 2, -2), (0, 2, 1), (0, 0, 0), (1e-30, 0, -math.inf)],
)
def test_skill_by_hand(mse, baseline, expected):
    assert skill(mse, baseline) == expected


# Of many forecasts


@pytest.mark.parametrize(
    ("count", "coverage", "radius", "squared"),
    [
        (8, 0.9, INF, INF),  # the 8.1th of 8
        (9, 0.9, 9, 81),
        (10, 0.9, 9.9, 98.1),  # 81 + 0.9 (100 - 81)
        (18, 0.9, 17.1, 292.5),  # 289 + 0.1 (324 - 289)
        (19, 0.9, 18, 324),
        (20, 0.9, 18.9, 357.3),  # 324 + 0.9 (361 - 324)
        (99, 0.9, 90, 8100),
        (1, 0.5, 1, 1),
        (4, 0.5, 2.5, 6.5),  # 4 + 0.5 (9 - 4)
        (1, 0.6, INF, INF),
        (3, 0.1, 1, 1),  # the 0.4th: there is none below the first
    ],
)
def test_conformal_rank_by_hand(count, coverage, radius, squared):
    ranks = torch.arange(1.0, count + 1)
    errors = torch.stack([ranks[torch.randperm(count)], ranks[torch.randperm(count)] ** 2], 1)
    expected = torch.tensor([radius, squared], dtype=torch.float64)
    assert_close(conformal(errors, coverage), expected)


def test_conformal_of_errors_of_which_fewer_are_independent():
    n = torch.tensor([20.0, 10.0, 8.0, 1.0, 0.25, 99.0])
    errors = torch.arange(1.0, 21.0)[torch.randperm(20), None].repeat(1, 6)
    # 0.9 (20 + 20 / n): the 18.9th, 19.8th, 20.25th ... of 20, of which none is beyond the last.
    wanted = torch.tensor([18.9, 19.8, 20.0, 20.0, 20.0, 18.9])
    assert_close(conformal(errors, independent=n), wanted)
    assert conformal(errors[:8], independent=n).isinf().all()


def test_conformal_counts_what_is_no_number_as_beyond_everything():
    errors = torch.arange(20.0)[:, None].repeat(1, 4)
    for count in (1, 2, 3):
        errors[:count, count] = NAN
    # Nine tenths of the way from the 18th to the 19th: of the third column, that is none.
    assert_close(conformal(errors), torch.tensor([17.9, 18.9, INF, INF]))


def test_conformal_holds_what_it_promises():
    # Of errors uniform in 0..1 a radius is the share that it holds, with a deviation of 0.04.
    radius = conformal(torch.rand(50, 40_000))
    assert radius.mean().item() == pytest.approx(0.9, abs=1e-3)  # the 46th of 50 would hold 0.902


# Of a wave


@pytest.mark.parametrize(("period", "cycles"), [(5, 5), (5, 20), (40, 5), (40, 20), (8, 20.25)])
@pytest.mark.parametrize("error", [0.001, -0.001, 0.03, -0.03, 0.2, -0.2])
def test_phase_drift_is_the_error_of_the_frequency(error, period, cycles):
    points = round(period * cycles)
    pair = sine(points, period, error, late=0.5), sine(points, period)
    drift, periods = phase_drift(*(part + 5 for part in pair))  # a truth need not be around 0
    assert cycles - 2.5 < periods <= cycles
    assert drift == pytest.approx(error * periods, rel=0.02, abs=1.5e-3)


@pytest.mark.parametrize("cycles", [2.5, 3.5, 5.5, 10.3])
@pytest.mark.parametrize("late", [0.3, 1.5])
def test_phase_drift_of_a_broken_number_of_periods(cycles, late):
    i = torch.arange(round(50 * cycles))
    truth, made = (torch.sin(2 * math.pi * f * i / 50 + late) for f in (1, 1.03))
    drift, periods = phase_drift(made, truth)
    assert drift == pytest.approx(0.03 * periods, rel=0.05)


def test_phase_drift_stands_noise_and_another_amplitude():
    pair = sine(1000, 50, 0.03, amplitude=0.5), sine(1000, 50)
    drift, periods = phase_drift(*(part + 0.1 * torch.randn(1000) for part in pair))
    assert drift == pytest.approx(0.03 * periods, abs=0.06)  # four standard deviations


@pytest.mark.parametrize(
    ("points", "period", "found"),
    [(1, 40, 0), (3, 40, 0), (7, 40, 0), (72, 40, 0), (96, 40, 1), (99, 3, 0), (100, 4, 1)],
)
def test_phase_drift_needs_two_periods_of_four_steps(points, period, found):
    assert (phase_drift(sine(points, period), sine(points, period)) is not None) == found


@pytest.mark.parametrize("still", [0.0, 0.1, 5.0])
def test_phase_drift_of_what_stands_still_is_none(still):
    assert phase_drift(sine(100, 20), torch.full((100,), still)) is None


# Of a network


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_saturated_counts_what_is_beyond_099_and_not_099_itself(dtype):
    h = torch.tensor([[0.99, -0.99, 0.991], [-0.991, 1.0, 0.0], [0.5, -1.0, 0.98]], dtype=dtype)
    assert saturated(h) == 4 / 9


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_spectral_radius_matches_numpy_in_float64(dtype):
    Whh = torch.nn.Parameter(torch.randn(H, H, dtype=dtype))
    expected = abs(np.linalg.eigvals(Whh.detach().double().numpy())).max()
    assert spectral_radius(Whh) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("Whh", "radius"),
    [
        ([[0.0, -0.7], [0.7, 0.0]], 0.7),  # turns: its eigenvalues are imaginary
        ([[0.5, 0.0], [0.0, -3.0]], 3.0),  # flips: the larger one is negative
        ([[0.5, 9.0], [0.0, 0.4]], 0.5),  # shears: its norm says nothing
        ([[1.0, NAN], [0.0, 1.0]], NAN),  # LAPACK would end the process
    ],
)
def test_spectral_radius_of_what_is_known(Whh, radius):
    assert spectral_radius(torch.tensor(Whh)) == pytest.approx(radius, rel=1e-12, nan_ok=True)


@pytest.mark.parametrize("horizon", [1, 3])
@pytest.mark.parametrize(("size", "dtype"), [(1, torch.float64), (1e-30, torch.float32)])
def test_lag_is_that_of_the_sample_that_is_predicted(horizon, size, dtype):
    windows = Windows((size * torch.randn(40)).to(dtype), 5, horizon)
    x, y = windows[:]
    noise = (size * 1e-3 * torch.randn(len(x))).to(dtype)
    found = [lag(windows, x[:, -1 - before, 0] + noise) for before in range(5)]
    assert found == [horizon + before for before in range(5)]
    assert lag(windows, y[:, 0] + noise) == 0


def test_lag_is_never_shorter_than_the_horizon():
    # A ramp, predicted 1, 2, ... steps late: nearest are the target, or the last value read.
    windows = Windows(torch.arange(40.0), 5, 3)
    found = [lag(windows, windows.targets - late) for late in (1, 2, 3, 4)]
    assert found == [0, 3, 3, 4]
    # Where all fit equally well, nothing is late.
    assert lag(Windows(torch.ones(20), 4, 2), torch.ones(15)) == 0


# The gradient, step by step


def test_gradient_flow_is_of_each_window_against_its_own_last_step():
    grad = torch.ones(21, 3, 2) * torch.tensor([0.25, 0.5, 1.0])[:, None]
    grad[:, 0] *= torch.linspace(0.5, 1.5, 21)[:, None]  # 0.125 to 0.375 of the last step's
    grad *= torch.logspace(-9, 9, 21)[:, None, None]  # however large a window's error is
    # One window with nearly all of the sum of squares, whose gradient explodes on its way back.
    grad[20, 0] = 1e30
    low, median, high = gradient_flow(Trace(*[torch.zeros(())] * 3, grad, grad))
    assert_close(low, torch.tensor([0.15, 0.5, 1.0]))
    assert_close(median, torch.tensor([0.25, 0.5, 1.0]))
    assert_close(high, torch.tensor([0.35, 0.5, 1.0]))


def test_gradient_flow_leaves_out_windows_whose_last_step_has_none():
    grad = torch.ones(3, 2, 1)
    grad[1:, -1] = 0
    assert gradient_flow(Trace(*[torch.zeros(())] * 3, grad, grad)).equal(torch.ones(3, 2))
    assert gradient_flow(Trace(*[torch.zeros(())] * 3, grad[1:], grad[1:])).isnan().all()
