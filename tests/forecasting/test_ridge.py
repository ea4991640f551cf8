"""The ridge regression beside refits without each window, and where its answer is known."""

import math

import pytest
import torch

from sinrnn import Windows
from sinrnn.forecasting._ridge import PENALTIES, ridge

EXACT = {"rtol": 1e-7, "atol": 1e-7}  # of ill-conditioned windows, as of a sine


def penalised(x, y, penalty, prior):
    """min |y - x c - i|^2 + penalty |c - prior|^2, as least squares on more rows."""
    middle, left = x.mean(0), y - x @ prior
    rows = torch.cat([x - middle, penalty**0.5 * torch.eye(x.shape[1])])
    wanted = torch.cat([left - left.mean(), torch.zeros(x.shape[1])])
    found = torch.linalg.lstsq(rows, wanted[:, None], driver="gelsd").solution[:, 0]
    return found + prior, left.mean() - middle @ found


def by_refits(x, y, priors):
    """The penalty and prior with the least leave-one-out error, and their fit to all windows."""
    rank = min(len(x) - 1, x.shape[1])
    size = (x - x.mean(0)).square().sum() / rank  # the mean squared singular value
    best = (math.inf,)
    for part in PENALTIES[len(x) - 1 <= x.shape[1] :]:  # else 0 leaves nothing to measure
        for prior in priors:
            error = 0.0
            for i in range(len(x)):
                others = torch.arange(len(x)) != i
                found, level = penalised(x[others], y[others], part * size, prior)
                error += (x[i] @ found + level - y[i]).item() ** 2
            if error < best[0]:
                best = (error, part, penalised(x, y, part * size, prior))
    return best[1:]


@pytest.mark.parametrize(("windows", "noise"), [(12, 1e-3), (12, 1.0), (12, 9.0), (4, 1.0)])
@pytest.mark.parametrize("seed", [0, 1])
def test_ridge_is_the_fit_with_the_least_error_of_refits(windows, noise, seed):
    torch.manual_seed(seed)
    x = 3 + torch.randn(windows, 4) * torch.tensor([1.0, 5.0, 0.3, 2.0])
    weights = torch.tensor([0.5, -1.0, 2.0, 0.0])
    y = 7 + x @ weights + noise * torch.randn(windows)
    _, (found, level) = by_refits(x, y, priors := torch.stack([torch.zeros(4), weights + 0.3]))
    torch.testing.assert_close(ridge(x, y, priors), (found, level), rtol=1e-9, atol=1e-9)


def test_ridge_of_plenty_that_is_exact_is_least_squares():
    x, weights = torch.randn(200, 5) + 4, torch.randn(5)
    found = ridge(x, x @ weights - 3, torch.zeros(1, 5))
    torch.testing.assert_close(found, (weights, torch.tensor(-3.0)), **EXACT)


def test_few_noisy_windows_leave_the_prior():
    x, prior = torch.randn(14, 11), torch.eye(11)[4]
    y = x @ prior + 2 + torch.randn(14)
    found, level = ridge(x, y, torch.stack([torch.zeros(11), prior]))
    wild = penalised(x, y, 0.0, prior)[0]
    assert (wild - prior).norm() > 1
    assert (found - prior).norm() < 0.2
    assert level.item() == pytest.approx(2, abs=0.6)


@pytest.mark.parametrize("noise", [0.0, 1e-15])  # as the last of windows relative to their last
def test_constant_columns_get_no_weight(noise):
    x = torch.randn(30, 3)
    x[:, 1] = 5 + noise * torch.randn(30)
    y = x[:, 0] - 2 * x[:, 2]
    found, level = ridge(x, y, torch.zeros(1, 3))
    torch.testing.assert_close(found, torch.tensor([1.0, 0.0, -2.0]), **EXACT)
    assert abs(level.item()) < 1e-7


@pytest.mark.parametrize(("windows", "varies"), [(1, True), (7, False)])
def test_what_says_nothing_leaves_the_first_prior_and_the_mean(windows, varies):
    x = torch.randn(windows, 3) if varies else torch.full((windows, 3), 2.0)
    y, prior = torch.randn(windows), torch.tensor([[0.5, 0.0, 1.0]])
    found, level = ridge(x, y, prior)
    torch.testing.assert_close(found, prior[0])
    assert (x @ found + level - y).mean().abs() < 1e-12


@pytest.mark.parametrize("window", [2, 25])
def test_sine_is_exact(window):
    x, y = Windows(3 + torch.sin(0.3 * torch.arange(80.0)), window)[:]
    found, level = ridge(x[..., 0], y[:, 0], torch.zeros(1, window))
    torch.testing.assert_close(x[..., 0] @ found + level, y[:, 0], **EXACT)
