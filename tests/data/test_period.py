"""The strongest period: found where there is one, and not where there is none."""

import math

import pytest
import torch

from sinrnn.data.period import strongest_period


def wave(period, points):
    return torch.sin(2 * math.pi * torch.arange(points, dtype=torch.float64) / period)


def day_and_week(points, week):
    hours = torch.arange(points) // 24 % 7
    return wave(24, points) * torch.where(hours < 5, 1.0, 1 - week)


def noise(points):
    return torch.randn(points, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


T = torch.arange(120, dtype=torch.float64)
FOUND = {
    "no whole number of steps": (wave(20.3, 300), 20),
    "months, with a trend": (0.3 * T + wave(12, 120) + 0.3 * noise(120), 12),
    "months, growing": ((T / 50).exp() * (3 + wave(12, 120)), 12),
    "a level that wanders": (3 * noise(400).cumsum(0) + 20 * wave(12, 400), 12),
    "hours of a day": (wave(24, 2000) + noise(2000) / 2, 24),
    "a day under much noise": (wave(24, 2000) + noise(2000), 24),
    "a day that matters more than the week": (day_and_week(2000, 0.2), 24),
    "a week that matters": (day_and_week(2000, 0.9), 168),
    "three cycles": (wave(40, 120), 40),
    "fewer": (wave(40, 119), None),
    "three points": (T[:3], None),
    "noise": (noise(1000), None),
    "a random walk": (noise(1000).cumsum(0), None),
    "a slow decay": (0.99**T, None),
    "a line": (1e6 + T, None),
    "a noisy line": (T + noise(120), None),
    "a constant": (torch.full((100,), 1e5), None),
    "no number": (wave(20, 300).where(T.new_ones(300).cumsum(0) > 9, math.nan), None),
}


@pytest.mark.parametrize("case", FOUND)
def test_strongest_period_is_that_of(case):
    values, period = FOUND[case]
    assert strongest_period(values) == period


def test_unit_and_level_of_the_series_do_not_matter():
    values = wave(12, 100) + noise(100) / 5
    assert {strongest_period(a * values + b) for a in (1e-9, 1, 1e9) for b in (0, 1e3 * a)} == {12}
