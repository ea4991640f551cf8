"""Sine against NumPy on the notebook's grid, and what a series gives beyond its end."""

import math

import numpy as np
import pytest
import torch
from cases import BITS, assert_close, refuses

from sinrnn.series import Series, Sine


def wave(count, points, stop, divisor):
    """The first `count` samples of sin(x / divisor), x_i = i * stop / points."""
    return torch.from_numpy(np.sin(np.arange(count) * stop / points / divisor))


class Three(Series):
    """Three samples, and no formula for a fourth."""

    def values(self):
        return torch.tensor([5.0, 6.0, 8.0])


@pytest.mark.parametrize(
    ("points", "stop", "divisor"),
    [(1000, 10 * math.pi, 20.0), (1000, 10 * math.pi, 1.0), (7, 2.5, -3.0), (1, 4.0, 1.0)],
)
def test_sine_matches_numpy(points, stop, divisor):
    assert_close(Sine(points, stop, divisor).values(), wave(points, points, stop, divisor))


def test_sine_starts_on_the_notebooks_grid():
    assert_close(Sine().values(), wave(1000, 1000, 10 * math.pi, 1.0))


def test_sine_repeats_after_200_points_and_not_before():
    values = Sine().values()
    assert_close(values[200:], values[:-200])
    assert_close(values[100:], -values[:-100])


def test_sine_of_divisor_20_is_a_quarter_of_a_wave():
    values = Sine(divisor=20).values()
    assert (values.diff() > 0).all()
    assert_close(values[-1], torch.tensor(math.sin(0.999 * math.pi / 2)))


def test_sine_is_float64_whatever_the_default():
    torch.set_default_dtype(torch.float32)
    assert Sine().values().dtype == torch.float64


@pytest.mark.parametrize("points", [12, 40, 95])
def test_continued_sine_follows_the_formula(points):
    sine = Sine(40, 6.0, 0.7)
    found = sine.continued(points)
    assert_close(found, wave(points, 40, 6.0, 0.7))
    torch.testing.assert_close(found[:40], sine.values()[:points], **BITS)


@pytest.mark.parametrize(("points", "known"), [(2, 2), (3, 3), (9, 3)])
def test_continued_series_ends_where_its_values_end(points, known):
    torch.testing.assert_close(Three().continued(points), Three().values()[:known], **BITS)


@pytest.mark.parametrize("points", [0, -3])
def test_sine_refuses_points(points):
    with refuses(ValueError, f"points must be at least 1, got {points}"):
        Sine(points)


@pytest.mark.parametrize("name", ["stop", "divisor"])
@pytest.mark.parametrize("value", [0.0, math.nan, math.inf, -math.inf])
def test_sine_refuses_grids_without_end_or_width(name, value):
    with refuses(ValueError, f"{name} must be a finite number other than 0, got {value}"):
        Sine(**{name: value})
