"""What a forecast is to be taken with: each sentence where it is true, and where it is silent."""

import math

import pytest
import torch
from cases import predictor, refuses

from sinrnn import Predictor, SinRNN, Windows

VALUES = torch.tensor([4.0, 5.0, 6.0, 5.0, 5.5], dtype=torch.float64).repeat(12)


def made(**options):
    """A predictor that has learnt from VALUES."""
    found = Predictor(SinRNN(hidden_size=3), window=4, **options)
    found.calibrate(Windows(VALUES, 4))
    return found


def told(found, *read):
    return list(found.forecast(torch.tensor(read), 2).cautions)


def beside(ours, theirs):
    found = made()
    found.tested, found.baseline = torch.tensor([ours, theirs]), "persistence"
    return found


def covered(*held, radius=1.0):
    found = made()
    found.coverage, found.radius = torch.tensor(held), torch.full((len(held),), radius)
    return found


def test_range_learnt_is_that_of_the_training_windows():
    found = made(log=True, relative=True)
    assert found.learnt.tolist() == found.seen.tolist() == [VALUES.min(), VALUES.max()]


@pytest.mark.parametrize(
    ("options", "last", "said"),
    [
        ({}, 6.0, []),
        ({}, 6.09, []),  # a twentieth of the range may be chance
        ({}, 6.2, ["1 of the last 4 values lie outside the training range (4 to 6), the farthest "
                   "at 6.2: the network extrapolates"]),
        ({"log": True, "standardise": True}, 1.0, ["1 of the last 4 values lie outside the "
         "training range (4 to 6), the farthest at 1: the network extrapolates"]),
        ({"relative": True}, 9.0, []),  # level and trend pass
    ],
)  # fmt: skip
def test_window_beyond_what_was_learnt_is_told_with_its_numbers(options, last, said):
    assert told(made(**options), 5.0, 5.0, 5.0, last) == said


def test_farthest_value_may_lie_below():
    (said,) = told(made(), 6.5, 1.0, 5.0, 5.0)
    assert said.startswith("2 of the last 4 values lie outside the training range (4 to 6), the f")
    assert "farthest at 1:" in said


@pytest.mark.parametrize(("ours", "lost"), [(1.04, False), (1.06, True)])
def test_network_that_lost_to_a_baseline_says_so(ours, lost):
    said = "persistence was better on the test split: half_mse 1.00e+00, the network's 1.06e+00"
    assert told(beside(ours, 1.0), 5.0, 5.0, 5.0, 5.0) == [said] * lost


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (covered(0.9, 0.71), []),
        (
            covered(0.9, 0.6),
            ["the intervals are too narrow: they cover 75% of the test split instead of"],
        ),
        (
            covered(0.2, 0.2),
            ["the intervals are too narrow: they cover 20% of the test split instead of"],
        ),
        (covered(0.2, 0.2, radius=math.inf), []),  # there are none
    ],
)
def test_intervals_that_failed_say_so(found, said):
    assert [s.removesuffix(" 90%") for s in told(found, 5.0, 5.0, 5.0, 5.0)] == said


@pytest.mark.parametrize(
    ("seen", "value", "refused"),
    [((45.0, 60.0), 79.9, False), ((45.0, 60.0), 80.1, True), ((45.0, 60.0), 24.9, True)],
)
def test_series_is_another_where_it_lies_far_from_all_that_the_run_had(seen, value, refused):
    found = predictor(SinRNN(hidden_size=3), 4, scaling=(50.0, 2.0))
    found.seen = torch.tensor(seen)
    values = torch.full((4,), value)
    if not refused:
        assert len(found.forecast(values, 2).prediction) == 2
        return
    message = (
        "the network was trained on values around 50 with standard deviation 2, the last 4 values "
        f"lie around {value}: check the series and its unit"
    )
    with refuses(ValueError, message):
        found.forecast(values, 2)


def test_forecast_carries_what_its_intervals_held():
    found = covered(0.9, 0.5)
    made = found.forecast(VALUES, 3)
    torch.testing.assert_close(made.coverage, torch.tensor([0.9, 0.5, math.nan]), equal_nan=True)
    assert made.held == pytest.approx(0.7)
    assert predictor(SinRNN(hidden_size=3), 4, radius=[1.0]).forecast(VALUES, 3).held is None
