"""Ensemble: window-by-window learning against NumPy loops that update after each window."""

import math

import numpy as np
import pytest
import reference
import torch
from cases import BITS, B, D, H, K, O, T, assert_close

from sinrnn import Sine, SinRNN
from sinrnn.data.datamodule import WindowDataModule
from sinrnn.training.online import Ensemble

NAMES = ("Wih", "Whh", "Who")
S = 8  # networks
LR = 0.2  # after six windows most weights have moved by more than a tenth
CLIP = 0.05  # cuts some entries of every gradient and leaves others


def drawn(networks=S, **options):
    """Wih, Whh and Who of several networks, (S, ...). Whh is orthogonal: no gradient fades."""
    nets = [SinRNN(D, H, O, **options) for _ in range(networks)]
    return [torch.stack([getattr(net, name).detach() for net in nets]) for name in NAMES]


def given(steps=T):
    """Windows and targets."""
    return torch.randn(B, steps, D), torch.randn(B, O)


def by_reference(weights, x, y, *, lr=LR, clip=math.inf, bptt_steps=None):
    """One network's weights and errors; the gradient of each window by reference.py.

    Also returns how many entries of its gradients were cut, and of how many.
    """
    weights = {n: w.numpy().copy() for n, w in zip(NAMES, weights, strict=True)}
    still = {"h0": np.zeros(H), "bh": np.zeros(H), "bo": np.zeros(O)}
    errors, cut = [], []
    for window, target in zip(x.numpy(), y.numpy(), strict=True):
        errors.append(reference.forward(window, **weights, **still)[1][-1] - target)
        grads = reference.last_output_gradients(
            window, **weights, **still, target=target, bptt_steps=bptt_steps
        )
        for name in NAMES:
            weights[name] -= lr * np.clip(grads[name], -clip, clip)
            cut += (np.abs(grads[name]) > clip).ravel().tolist()
    return [torch.tensor(w) for w in weights.values()], torch.tensor(np.stack(errors)), cut


def by_loop(weights, x, y, lr, clip, bptt_steps):
    """The same as a textbook's recursion over time, quick enough for a long run."""
    Wih, Whh, Who = (w.numpy().copy() for w in weights)
    errors = []
    for window, target in zip(x.numpy(), y.numpy(), strict=True):
        h = [np.zeros(len(Whh))]
        for value in window:
            h.append(np.tanh(Wih @ value + Whh @ h[-1]))
        errors.append(Who @ h[-1] - target)
        grad_y = errors[-1] / len(target)
        grads = np.zeros_like(Wih), np.zeros_like(Whh), np.outer(grad_y, h[-1])
        grad_h = Who.T @ grad_y
        for t in range(len(window), max(len(window) - bptt_steps, 0), -1):
            grad_a = (1 - h[t] ** 2) * grad_h
            grads[0][:] += np.outer(grad_a, window[t - 1])
            grads[1][:] += np.outer(grad_a, h[t - 1])
            grad_h = Whh.T @ grad_a
        for weight, grad in zip((Wih, Whh, Who), grads, strict=True):
            weight -= lr * np.clip(grad, -clip, clip)
    return [torch.tensor(w) for w in (Wih, Whh, Who)], torch.tensor(np.stack(errors))


def one(weights, s):
    return [weight[s] for weight in weights]


def moved(learnt, weights):
    """The largest way that a weight has gone, for each kind of weight."""
    return min((a - b).abs().max().item() for a, b in zip(learnt, weights, strict=True))


# One network


@pytest.mark.parametrize("clip", [None, CLIP])
@pytest.mark.parametrize("bptt_steps", [None, K, 1, T, T + 4])
def test_learn_matches_numpy(bptt_steps, clip):
    weights, (x, y) = drawn(1), given()
    ensemble = Ensemble(*weights, bptt_steps=bptt_steps)
    errors = ensemble.learn(x, y, LR, clip)
    learnt, expected, cut = by_reference(
        one(weights, 0), x, y, clip=clip or math.inf, bptt_steps=bptt_steps
    )
    assert errors.shape == (B, 1, O)
    assert_close(errors[:, 0], expected)
    assert_close(one(ensemble.weights, 0), learnt)
    assert moved(learnt, one(weights, 0)) > LR * CLIP
    assert 0.1 < np.mean(cut) < 0.9 if clip else not any(cut)


@pytest.mark.parametrize("bptt_steps", [None, 1, K])
def test_learn_of_one_step_windows_matches_numpy(bptt_steps):
    weights, (x, y) = drawn(1), given(1)
    ensemble = Ensemble(*weights, bptt_steps=bptt_steps)
    errors = ensemble.learn(x, y, LR)
    learnt, expected, _ = by_reference(one(weights, 0), x, y)
    assert_close(errors[:, 0], expected)
    assert_close(one(ensemble.weights, 0), learnt)
    torch.testing.assert_close(ensemble.weights[1], weights[1], **BITS)  # nothing reads Whh


def test_depth_changes_what_is_learnt():
    weights, (x, y) = drawn(1), given()
    found = []
    for bptt_steps in (None, K, 1):
        ensemble = Ensemble(*weights, bptt_steps=bptt_steps)
        ensemble.learn(x, y, LR)
        found.append(ensemble.weights[1])
    assert (found[0] - found[1]).norm() > 0.01
    assert (found[1] - found[2]).norm() > 0.01


def test_learn_goes_on_from_what_was_learnt():
    weights, (x, y) = drawn(), given()
    whole, parts = Ensemble(*weights, bptt_steps=K), Ensemble(*weights, bptt_steps=K)
    errors = whole.learn(x, y, LR, CLIP)
    cut = [parts.learn(x[part], y[part], LR, CLIP) for part in (slice(2), slice(2, None))]
    torch.testing.assert_close(torch.cat(cut), errors, **BITS)
    torch.testing.assert_close(parts.weights, whole.weights, **BITS)


@pytest.mark.parametrize(
    ("init", "lr", "clip", "bptt_steps"),
    [("notebook", 5e-5, 1.0, 10), ("orthogonal", 0.05, 1.0, 10), ("orthogonal", 0.05, 1e-3, 3)],
)
def test_long_run_matches_a_plain_numpy_loop(init, lr, clip, bptt_steps):
    data = WindowDataModule(Sine(1000, divisor=20.0), train=(0.0, 0.251), val=(0.375, 0.626))
    data.setup()
    x, y = data.windows["train"][:]
    assert x.shape == (247, 4, 1)
    net = SinRNN(init=init)
    start = [getattr(net, name) for name in NAMES]
    ensemble = Ensemble(*(weight[None] for weight in start), bptt_steps=bptt_steps)
    expected, losses = [weight.detach() for weight in start], []
    for _ in range(3):
        errors = ensemble.learn(x, y, lr, clip)
        expected, wanted = by_loop(expected, x, y, lr, clip, bptt_steps)
        torch.testing.assert_close(errors[:, 0], wanted, rtol=1e-9, atol=1e-12)
        losses.append(errors.square().mean().item() / 2)
        assert losses[-1] == pytest.approx(wanted.square().mean().item() / 2, rel=1e-9)
    torch.testing.assert_close(one(ensemble.weights, 0), expected, rtol=1e-9, atol=1e-12)
    assert losses[2] < 0.95 * losses[0]
    assert moved(expected, start) > 1e-5


# Several networks


@pytest.mark.parametrize("clip", [None, CLIP])
@pytest.mark.parametrize("bptt_steps", [None, K])
def test_each_network_learns_as_it_would_alone(bptt_steps, clip):
    weights, (x, y) = drawn(), given()
    ensemble = Ensemble(*weights, bptt_steps=bptt_steps)
    errors = ensemble.learn(x, y, LR, clip)
    assert errors.shape == (B, S, O)
    for s in range(S):
        learnt, expected, _ = by_reference(
            one(weights, s), x, y, clip=clip or math.inf, bptt_steps=bptt_steps
        )
        assert_close(errors[:, s], expected)
        assert_close(one(ensemble.weights, s), learnt)


def test_exploding_network_leaves_the_others_alone():
    weights, (x, y) = drawn(), given()
    weights[2][3] = 1e200  # errors of 1e200, and so a gradient of Whh beyond float64
    ensemble = Ensemble(*weights, bptt_steps=K)
    errors = ensemble.learn(x, y, LR)
    assert not errors[:, 3].isfinite().all()
    others = [s for s in range(S) if s != 3]
    rest = Ensemble(*(weight[others] for weight in weights), bptt_steps=K)
    assert_close(errors[:, others], rest.learn(x, y, LR))
    assert_close([weight[others] for weight in ensemble.weights], rest.weights)


def test_states_and_outputs_are_those_of_every_network():
    nets = [SinRNN(D, H, O) for _ in range(S)]
    weights = [torch.stack([getattr(net, name) for net in nets]) for name in NAMES]
    ensemble, (x, y) = Ensemble(*weights), given()
    for learnt in (False, True):
        if learnt:
            ensemble.learn(x, y, LR)
            for s, net in enumerate(nets):
                net.load_state_dict(dict(zip(NAMES, one(ensemble.weights, s), strict=True)))
        with torch.no_grad():
            states = torch.stack([net.unroll(x)[0][:, -1] for net in nets])
            outputs = torch.stack([net(x) for net in nets])
        assert_close(ensemble.states(x), states)
        assert_close(ensemble.outputs(x), outputs)


# What it keeps


def test_learn_changes_its_own_weights_and_nothing_given():
    weights, (x, y) = drawn(), given()
    before = [tensor.clone() for tensor in (*weights, x, y)]
    ensemble = Ensemble(*weights)
    torch.testing.assert_close(ensemble.weights, weights, **BITS)
    ensemble.learn(x, y, LR)
    torch.testing.assert_close([*weights, x, y], before, **BITS)
    assert moved(ensemble.weights, weights) > 0.01


def test_one_network_of_parameters_is_copied_too():
    net, (x, y) = SinRNN(D, H, O), given()
    before = [getattr(net, name).detach().clone() for name in NAMES]
    ensemble = Ensemble(*(getattr(net, name)[None] for name in NAMES))
    ensemble.learn(x, y, LR)
    torch.testing.assert_close([getattr(net, n).detach() for n in NAMES], before, **BITS)
    assert not any(weight.requires_grad for weight in ensemble.weights)


def test_float32_stays_float32():
    weights, (x, y) = drawn(), given()
    exact, short = Ensemble(*weights), Ensemble(*(weight.float() for weight in weights))
    expected = exact.learn(x, y, LR, CLIP)
    errors = short.learn(x.float(), y.float(), LR, CLIP)
    parts = [errors, *short.weights, short.states(x.float()), short.outputs(x.float())]
    assert {part.dtype for part in parts} == {torch.float32}
    assert_close(errors, expected.float())
    assert_close(short.weights, [weight.float() for weight in exact.weights])
