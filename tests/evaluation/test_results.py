"""Losses and rollouts by hand."""

import math

import pytest
import torch
from cases import assert_close, predictor
from ramp import same

from sinrnn import SinRNN
from sinrnn.evaluation.results import Rollout, losses, rollout


def two_weight_net(horizon=1, **options):
    """H = 1, so that a prediction can be written down; it reads windows of two."""
    net = SinRNN(hidden_size=1, **options)
    for weight, value in ((net.Wih, 0.5), (net.Whh, -0.3), (net.Who, 1.7)):
        torch.nn.init.constant_(weight, value)
    return predictor(net, 2, horizon)


# The rollout


def test_rmse_by_hand():
    made, truth = torch.tensor([1.0, 4.0, 3.0, 0.0]), torch.tensor([1.0, 2.0, 3.0, 4.0])
    assert Rollout(7, torch.zeros(2), made, truth).rmse == pytest.approx(5**0.5, rel=1e-14)


@pytest.mark.parametrize(("most", "steps"), [(3, 3), (100, 5)])
def test_rollout_by_hand(most, steps):
    values = torch.sin(torch.arange(10.0))
    found = rollout(two_weight_net(), values, 3, 2, most)
    known = values[3:5].tolist()
    for _ in range(steps):
        a, b = known[-2:]
        known.append(1.7 * math.tanh(0.5 * b - 0.3 * math.tanh(0.5 * a)))
    assert found.start == 5
    same(found.warm_up, values[3:5])
    same(found.truth, values[5 : 5 + steps])
    assert_close(found.prediction, torch.tensor(known[2:]))


def test_rollout_of_a_float32_network_is_judged_in_float64():
    values = torch.sin(torch.arange(10.0))
    found = rollout(two_weight_net(dtype=torch.float32), values, 3, 2, 5)
    assert found.prediction.dtype == found.truth.dtype == torch.float64
    same(found.truth, values[5:])


def test_rollout_is_compared_with_the_truth_that_is_given():
    values = torch.sin(torch.arange(10.0))
    measured = rollout(two_weight_net(), values, 3, 2, 4)
    found = rollout(two_weight_net(), values, 3, 2, 4, values + 1)
    same(found.truth, values[5:9] + 1)
    same(found.warm_up, values[3:5])  # this is what was measured
    same(found.prediction, measured.prediction)


@pytest.mark.parametrize(
    ("net", "start"),
    [
        (lambda: two_weight_net(horizon=2), 3),
        (lambda: two_weight_net(output_size=2), 3),
        (lambda: two_weight_net(), 8),
        (lambda: two_weight_net(), 9),
    ],
    ids=["horizon 2", "two outputs", "no truth left", "not even a window left"],
)
def test_rollout_is_none_where_there_can_be_none(net, start):
    assert rollout(net(), torch.zeros(10), start, 2, 5) is None


# The losses


def test_losses_by_hand():
    x = torch.tensor([[0.0, 1.0], [1.0, 3.0], [3.0, 4.0], [4.0, 4.0]])
    y = 2 * x[:, 1] - 3 * x[:, 0] + 1  # -> 3, 4, 0, -3, what the autoregression finds
    test_x, test_y = torch.tensor([[1.0, 2.0], [2.0, 5.0]]), torch.tensor([4.0, 5.0])
    windows = {"train": (x, y), "test": (test_x, test_y)}
    predicted = {"train": y + 0.5, "test": torch.tensor([3.0, 8.0])}
    found = losses(predicted, windows, 3)
    expected = {
        "network": {"train": 0.25 / 2, "test": (1 + 9) / 4},
        # 1, 3, 4, 4 against 3, 4, 0, -3 and 2, 5 against 4, 5
        "persistence": {"train": (4 + 1 + 16 + 49) / 8, "test": (4 + 0) / 4},
        # last + 3 (last - before): 4, 9, 7, 4 and 5, 14
        "linear extrapolation": {"train": (1 + 25 + 49 + 49) / 8, "test": (1 + 81) / 4},
        # 2 * 2 - 3 + 1 = 2 and 2 * 5 - 3 * 2 + 1 = 5
        "autoregression AR(2)": {"train": 0.0, "test": (4 + 0) / 4},
    }
    assert found.keys() == expected.keys()
    for name, by_span in expected.items():
        assert found[name] == pytest.approx(by_span, rel=1e-12, abs=1e-25)


def test_losses_are_taken_in_float64():
    y = torch.tensor([1.0, 2.0, 3.0])
    predicted = {"train": (y + 1e-9).float()}  # 1e-9 is lost here
    found = losses(predicted, {"train": (y[:, None], y + 1e-12)}, 1)
    assert found["network"]["train"] == pytest.approx(1e-24 / 2, rel=1e-3, abs=0)
