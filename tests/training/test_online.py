"""Window-by-window learning against a NumPy loop that updates after each window."""

import copy
import math

import numpy as np
import pytest
import reference
import torch
from cases import BITS, B, D, H, K, O, T
from ramp import data

from sinrnn import Sine, SinRNN
from sinrnn.nn.functional import half_mse
from sinrnn.training.online import descend

NAMES = ("Wih", "Whh", "Who")
LR = 0.2  # after six windows most weights have moved by more than a tenth
CLIP = 0.05  # cuts some entries of every gradient and leaves others


def given(steps=T):
    """Windows and targets."""
    return torch.randn(B, steps, D), torch.randn(B, O)


def weights_of(net):
    return [getattr(net, name).detach().clone() for name in NAMES]


def by_reference(net, x, y, *, lr=LR, clip=None):
    """The weights after all windows; the gradient of each by reference.py.

    Also returns which entries of the gradients were cut.
    """
    weights = dict(zip(NAMES, (w.numpy() for w in weights_of(net)), strict=True))
    (O, H), clip = weights["Who"].shape, clip or math.inf  # noqa: E741
    still, cut = {"h0": np.zeros(H), "bh": np.zeros(H), "bo": np.zeros(O)}, []
    for window, target in zip(x.numpy(), y.numpy(), strict=True):
        grads = reference.last_output_gradients(
            window, **weights, **still, target=target, bptt_steps=net.bptt_steps
        )
        for name in NAMES:
            weights[name] -= lr * np.clip(grads[name], -clip, clip)
            cut += (np.abs(grads[name]) > clip).ravel().tolist()
    return [torch.tensor(w) for w in weights.values()], cut


def moved(learnt, weights):
    """The largest way that a weight has gone, for each kind of weight."""
    return min((a - b).abs().max().item() for a, b in zip(learnt, weights, strict=True))


def close(found, expected):
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("clip", [None, CLIP])
@pytest.mark.parametrize("bptt_steps", [None, K, 1, T, T + 4])
def test_network_learns_as_numpy_does(bptt_steps, clip):
    net, (x, y) = SinRNN(D, H, O, bptt_steps=bptt_steps), given()
    before, (expected, cut) = weights_of(net), by_reference(net, x, y, clip=clip)
    assert descend(net, x, y, LR, clip)
    close(weights_of(net), expected)
    assert moved(expected, before) > LR * CLIP / 2
    assert 0.1 < np.mean(cut) < 0.9 if clip else not any(cut)


@pytest.mark.parametrize("bptt_steps", [None, 1, K])
def test_one_step_windows_leave_Whh(bptt_steps):
    net, (x, y) = SinRNN(D, H, O, bptt_steps=bptt_steps), given(1)
    before, (expected, _) = weights_of(net), by_reference(net, x, y)
    descend(net, x, y, LR)
    close(weights_of(net), expected)
    torch.testing.assert_close(net.Whh.detach(), before[1], **BITS)  # nothing reads it


def test_depth_changes_what_is_learnt():
    whole, (x, y) = SinRNN(D, H, O), given()
    nets = [copy.deepcopy(whole) for _ in range(3)]
    for net, bptt_steps in zip(nets, (None, K, 1), strict=True):
        net.bptt_steps = bptt_steps
        descend(net, x, y, LR)
    assert (nets[0].Whh - nets[1].Whh).norm() > 0.01
    assert (nets[1].Whh - nets[2].Whh).norm() > 0.01


def test_learning_goes_on_from_what_was_learnt():
    whole, (x, y) = SinRNN(D, H, O, bptt_steps=K), given()
    parts = copy.deepcopy(whole)
    descend(whole, x, y, LR, CLIP)
    for part in (slice(2), slice(2, None)):
        descend(parts, x[part], y[part], LR, CLIP)
    torch.testing.assert_close(weights_of(parts), weights_of(whole), **BITS)


@pytest.mark.parametrize(
    ("init", "lr", "clip", "bptt_steps"),
    [("notebook", 5e-5, 1.0, 10), ("orthogonal", 0.05, 1.0, 10), ("orthogonal", 0.05, 1e-3, 3)],
)
def test_long_run_matches_numpy(init, lr, clip, bptt_steps):
    split = data(Sine(1000, divisor=20.0), train=(0.0, 0.251), val=(0.375, 0.626)).windows["train"]
    x, y = split[:]
    assert x.shape == (247, 4, 1)
    net, losses = SinRNN(init=init, bptt_steps=bptt_steps), []
    start = weights_of(net)
    for _ in range(3):
        expected, _ = by_reference(net, x, y, lr=lr, clip=clip)
        descend(net, x, y, lr, clip)
        close(weights_of(net), expected)
        losses.append(half_mse(net(x), y).item())
    assert losses[2] < 0.95 * losses[0]
    assert moved(expected, start) > 1e-5


def test_exploding_network_is_left_as_it_was():
    net, (x, y) = SinRNN(D, H, O), given()
    with torch.no_grad():
        net.Who.fill_(1e200)  # errors of 1e200, and so a gradient of Whh beyond float64
    before = weights_of(net)
    assert not descend(net, x, y, LR)
    torch.testing.assert_close(weights_of(net), before, **BITS)


def test_what_is_given_is_left_alone():
    net, (x, y) = SinRNN(D, H, O), given()
    before = x.clone(), y.clone()
    descend(net, x, y, LR)
    torch.testing.assert_close((x, y), before, **BITS)
    assert all(weight.grad is None and weight.requires_grad for weight in net.parameters())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_other_precisions_learn_in_float32(dtype):
    net, (x, y) = SinRNN(D, H, O, dtype=dtype), given()
    exact = copy.deepcopy(net).double()
    descend(exact, x, y, LR, CLIP)
    descend(net, x.to(dtype), y.to(dtype), LR, CLIP)
    rounding = torch.finfo(dtype).eps
    tolerance = {"rtol": 8 * rounding, "atol": 8 * rounding}
    torch.testing.assert_close(
        [w.double() for w in weights_of(net)], weights_of(exact), **tolerance
    )
