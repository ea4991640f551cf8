"""Each baseline by hand, against NumPy, and the notebook's figures."""

import numpy as np
import pytest
import torch
from cases import assert_close

from sinrnn.data.synthetic import Sine
from sinrnn.data.windows import Windows
from sinrnn.evaluation import baselines as module
from sinrnn.evaluation.baselines import (
    autoregression,
    baselines,
    linear_extrapolation,
    persistence,
    seasonal_naive,
)
from sinrnn.nn.functional import half_mse


def cut(series, window=4, horizon=1):
    """Windows (N, T) and targets (N,)."""
    x, y = Windows(series, window, horizon)[:]
    return x[..., 0], y[:, 0]


def recurrence(points=60):
    """y[t] = 1.6 y[t-1] - 0.9 y[t-2] + 0.3, without noise."""
    values = [1.0, -0.5]
    for _ in range(points - 2):
        values.append(1.6 * values[-1] - 0.9 * values[-2] + 0.3)
    return torch.tensor(values)


# The baselines


def test_persistence_repeats_the_last_value():
    x, _ = cut(torch.tensor([3.0, 1.0, 4.0, 1.5, 9.0]), 2)
    assert persistence(x).tolist() == [1, 4, 1.5]


@pytest.mark.parametrize(("horizon", "expected"), [(1, [-1, 7]), (3, [-5, 13])])
def test_linear_extrapolation_by_hand(horizon, expected):
    x = torch.tensor([[9.0, 3.0, 1.0], [0.0, 1.0, 4.0]])
    assert linear_extrapolation(horizon)(x).tolist() == expected


@pytest.mark.parametrize("horizon", [1, 3])
def test_linear_extrapolation_is_exact_on_a_straight_line(horizon):
    x, y = cut(torch.arange(20.0) * 0.5 - 3, 4, horizon)
    assert half_mse(linear_extrapolation(horizon)(x), y) == 0


def test_linear_extrapolation_of_one_step_is_that_step():
    assert linear_extrapolation(3)(torch.tensor([[3.0], [5.0]])).tolist() == [3, 5]


@pytest.mark.parametrize("horizon", [1, 3])
@pytest.mark.parametrize("series", [recurrence, Sine(200).values])
def test_autoregression_is_exact_on_what_two_values_determine(series, horizon):
    x, y = cut(series(), 4, horizon)
    predict = autoregression(x[:30], y[:30])
    assert half_mse(predict(x), y) < 1e-20
    assert half_mse(persistence(x), y) > 1e-4


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_autoregression_matches_numpy(dtype):
    x, y = cut((torch.randn(80) + 100).to(dtype), 3)
    columns = np.column_stack([x.double().numpy(), np.ones(len(x))])
    found, *_ = np.linalg.lstsq(columns[:50], y[:50].double().numpy())
    predicted = autoregression(x[:50], y[:50])(x)
    torch.testing.assert_close(predicted, torch.from_numpy(columns @ found), rtol=1e-12, atol=0)


def test_autoregression_of_a_constant_series_is_that_constant():
    x, y = cut(torch.full((20,), 0.1))  # all columns alike: rank 1
    assert_close(autoregression(x, y)(x), y)


def test_autoregression_has_a_constant():
    x, y = torch.tensor([[1.0], [-1.0], [2.0]]), torch.tensor([7.0, 3.0, 9.0])
    assert_close(autoregression(x, y)(torch.tensor([[0.0], [10.0]])), torch.tensor([5.0, 25.0]))


@pytest.mark.parametrize(
    ("horizon", "first", "expected"),
    [
        (1, 2, [11, 10, 11, 12]),  # a period of 3 before 2 there is nothing: the value before it
        (4, 5, [11, 10, 11, 12]),  # two periods before the target: one would not be known yet
    ],
)
def test_seasonal_naive_by_hand(horizon, first, expected):
    values = torch.arange(10.0, 20.0)
    assert seasonal_naive(values, first, 4, 3, horizon).tolist() == expected


def test_seasonal_naive_is_exact_on_what_repeats():
    values = torch.randn(7).repeat(9)
    assert_close(seasonal_naive(values, 7, 56, 7, 1), values[7:])
    assert_close(seasonal_naive(values, 14, 49, 7, 10), values[14:])


def test_baselines_know_window_and_horizon():
    x, y = cut(torch.cumsum(torch.randn(40), 0), 3, 2)
    found = baselines(x, y, 2)
    assert list(found) == ["persistence", "linear extrapolation", "autoregression AR(3)"]
    new = torch.randn(5, 3)
    expected = [persistence, linear_extrapolation(2), autoregression(x, y)]
    for predict, by_name in zip(expected, found.values(), strict=True):
        assert_close(by_name(new), predict(new))


# The notebook's figures


def notebook_windows(first, rows):
    """y[i-3..i] -> y[i+1] for i = 3..249 from `first` on, and zeros to fill the rows."""
    y = Sine(divisor=20).values()
    i = first + torch.arange(3, 250)
    x, target = torch.stack([y[i - 3], y[i - 2], y[i - 1], y[i]], 1), y[i + 1]
    filled = rows - len(i)
    return torch.cat([x, torch.zeros(filled, 4)]), torch.cat([target, torch.zeros(filled)])


@pytest.mark.parametrize(
    ("rows", "first", "expected"),
    [
        # Its arrays have 250 rows, the last three zero by mistake: the figures of
        # shared/notebook.md. The 247 real windows alone give slightly others.
        (250, 0, ["1.16e-06", "1.5e-13", "0.00614"]),
        (250, 375, ["6.1e-07", "1.5e-12", "0.132"]),
        (247, 0, ["1.17e-06", "1.5e-13", "0.00598"]),
        (247, 375, ["6.1e-07", "1.5e-12", "0.132"]),
    ],
)
def test_baselines_on_the_notebooks_windows_have_the_known_losses(rows, first, expected):
    x, y = notebook_windows(first, rows)
    _, learnt = notebook_windows(0, rows)
    predictions = [persistence(x), linear_extrapolation()(x), learnt.mean().expand(rows)]
    for prediction, figure in zip(predictions, expected, strict=True):
        digits = len(figure.split("e")[0].lstrip("0.").replace(".", ""))
        assert f"{half_mse(prediction, y):.{digits}g}" == figure


def test_autoregression_of_many_windows_is_fitted_to_some_and_predicts_all(monkeypatch):
    x, y = cut(recurrence())
    expected = autoregression(x, y)(x)
    monkeypatch.setattr(module, "GATHERED", 40)  # ten windows of four
    assert_close(autoregression(x, y)(x), expected)
    assert len(expected) == len(x) == 56
