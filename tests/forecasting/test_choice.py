"""Units, window and start chosen for series of which it is known what suits them."""

import math

import pytest
import torch

from sinrnn.forecasting import choice
from sinrnn.forecasting.choice import choose_units


def edges(points):
    first, last = round(0.6 * points), round(0.8 * points)
    return {"train": (0, first), "val": (first, last), "test": (last, points)}


def chosen(values, **options):
    return choose_units(values, edges(len(values)), **options)


def growing():
    """Grows tenfold, and its seasons with it."""
    i = torch.arange(240.0)
    return torch.exp(i / 60 + 0.4 * torch.sin(math.pi * i / 6) + 0.05 * torch.randn(240))


def drifting(points=60):
    return (0.5 + torch.randn(points)).cumsum(0) - 50


def seasonal(period, points, change=0.3):
    """Each value is that of a period before, and something."""
    v = torch.randn(points)
    for i in range(period, points):
        v[i] = v[i - period] + change * v[i]
    return v


def alternating():
    """A random walk, but in the training split its steps are 1, -1, 1, ..."""
    i = torch.arange(100)
    return torch.where(i < 60, (-1.0) ** i, torch.randn(100)).cumsum(0)


def rmse(values, back, horizon=1):
    """Of repeating the value `back` steps before the target, on the validation split."""
    first, last = edges(len(values))["val"]
    at = torch.arange(first + horizon - 1, last)
    return (values[at] - values[at - back]).square().mean().sqrt().item()


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_what_grows_with_its_seasons_is_read_in_logarithms(seed):
    torch.manual_seed(seed)
    found = chosen(growing())
    assert found.units.log
    assert found.error < 0.9 * found.plain
    assert str(found).startswith("log")
    assert f"{found.error / found.plain:.2f} of that on plain values" in str(found)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_walk_that_drifts_is_read_relative(seed):
    torch.manual_seed(seed)
    found = chosen(drifting())
    assert (found.units.relative, found.units.log, found.units.linear) == (True, False, True)
    assert str(found).startswith("relative, window 7")


@pytest.mark.parametrize("period", [12, 18])
def test_window_is_a_period_and_one_where_there_is_one(period):
    torch.manual_seed(2)
    found = chosen(seasonal(period, 240))
    assert (found.period, found.window) == (period, period + 1)
    assert f"window {period + 1} (period {period} + 1): " in str(found)


def test_persistence_and_seasonal_naive_are_starts():
    torch.manual_seed(1)
    seasons, walk = seasonal(12, 100), alternating()
    found = chosen(walk)
    assert (found.linear, found.error) == ("persistence", pytest.approx(rmse(walk, 1)))
    assert not found.units.coefficients.any()
    found = chosen(seasons)
    assert (found.linear, found.error) == ("seasonal naive", pytest.approx(rmse(seasons, 12)))
    assert "(period 12 + 1), starting as seasonal naive: " in str(found)


def test_repeating_values_must_clearly_win(monkeypatch):
    torch.manual_seed(0)
    seasons = seasonal(12, 100)
    fit = chosen(seasons)
    assert fit.linear == "ridge"
    assert 0.85 < rmse(seasons, 12) / fit.error < 1
    monkeypatch.setattr(choice, "CLEARLY", 1.0)
    assert chosen(seasons).linear == "seasonal naive"


def test_simplest_within_one_percent_is_taken(monkeypatch):
    torch.manual_seed(1)
    walk = torch.randn(240).cumsum(0)
    simple = chosen(walk)
    monkeypatch.setattr(choice, "CLOSE", 1.0)
    best = chosen(walk)
    assert best.error < simple.error <= 1.01 * best.error
    assert (simple.window, best.window) == (11, 25)


def test_window_that_is_given_is_kept():
    found = chosen(growing(), window=6)
    assert found.window == len(found.units.coefficients) == 6


@pytest.mark.parametrize("points", [8, 12, 20])
def test_very_short_series_get_a_window_of_one(points):
    found = chosen(drifting(points))
    assert found.window == 1
    assert math.isfinite(found.error)


@pytest.mark.parametrize("bad", [0.0, -1.0])
@pytest.mark.parametrize("at", [3, 200, -1])  # in each split
def test_series_with_a_value_of_zero_or_below_is_never_read_in_logarithms(bad, at):
    values = growing()
    values[at] = bad
    assert not chosen(values).units.log


def test_test_splits_values_do_not_matter():
    values = growing()
    found = chosen(values)
    values[192:] = 1e6 * torch.rand(48)
    other = chosen(values)
    assert str(other) == str(found)
    torch.testing.assert_close(other.units.state_dict(), found.units.state_dict(), rtol=0, atol=0)


def test_horizon_is_that_of_the_forecast(monkeypatch):
    monkeypatch.setattr(choice, "CLEARLY", 1.0)
    torch.manual_seed(1)
    values = seasonal(12, 100)
    found = chosen(values, horizon=2)
    assert found.linear == "seasonal naive"
    assert found.error == pytest.approx(rmse(values, 12, horizon=2))
    assert found.units.coefficients.nonzero().item() == found.window + 1 - 12


def test_constant_training_split_is_refused():
    with pytest.raises(ValueError, match="the train split is constant"):
        chosen(torch.cat([torch.ones(60), torch.randn(40)]))
