"""The loss by hand; tests/nn/test_bptt.py has the recurrence."""

import torch
from cases import refuses

from sinrnn.nn.functional import half_mse


def test_half_mse_by_hand():
    prediction, target = torch.tensor([[1.0], [2.0], [5.0]]), torch.tensor([[1.0], [4.0], [2.0]])
    assert half_mse(prediction, target) == (0 + 4 + 9) / (2 * 3)


def test_half_mse_broadcasts_nothing():
    message = "prediction (5, 1) and target (5,) must have the same shape"
    with refuses(ValueError, message):
        half_mse(torch.zeros(5, 1), torch.zeros(5))
