"""Ensemble: window-by-window learning against NumPy loops that update after each window."""

import math

import numpy as np
import pytest
import reference
import torch
from cases import BITS, B, D, H, K, O, T, assert_close
from ramp import data

from sinrnn import Sine, SinRNN
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


def by_reference(weights, x, y, *, lr=LR, clip=None, bptt_steps=None):
    """One network's weights and errors; the gradient of each window by reference.py.

    Also returns which entries of its gradients were cut.
    """
    weights = {n: w.detach().numpy().copy() for n, w in zip(NAMES, weights, strict=True)}
    (O, H), clip = weights["Who"].shape, clip or math.inf  # noqa: E741
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


def one(weights, s):
    return [weight[s] for weight in weights]


def moved(learnt, weights):
    """The largest way that a weight has gone, for each kind of weight."""
    return min((a - b).abs().max().item() for a, b in zip(learnt, weights, strict=True))


@pytest.mark.parametrize("networks", [1, S])
@pytest.mark.parametrize("clip", [None, CLIP])
@pytest.mark.parametrize("bptt_steps", [None, K, 1, T, T + 4])
def test_each_network_learns_as_numpy_does(bptt_steps, clip, networks):
    weights, (x, y) = drawn(networks), given()
    ensemble = Ensemble(*weights, bptt_steps=bptt_steps)
    errors = ensemble.learn(x, y, LR, clip)
    assert errors.shape == (B, networks, O)
    for s in range(networks):
        learnt, expected, cut = by_reference(
            one(weights, s), x, y, clip=clip, bptt_steps=bptt_steps
        )
        assert_close(errors[:, s], expected)
        assert_close(one(ensemble.weights, s), learnt)
        assert moved(learnt, one(weights, s)) > LR * CLIP / 2
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
def test_long_run_matches_numpy(init, lr, clip, bptt_steps):
    split = data(Sine(1000, divisor=20.0), train=(0.0, 0.251), val=(0.375, 0.626)).windows["train"]
    x, y = split[:]
    assert x.shape == (247, 4, 1)
    net = SinRNN(init=init)
    start = [getattr(net, name).detach() for name in NAMES]
    ensemble = Ensemble(*(weight[None] for weight in start), bptt_steps=bptt_steps)
    expected, losses, options = start, [], {"lr": lr, "clip": clip, "bptt_steps": bptt_steps}
    for _ in range(3):
        errors = ensemble.learn(x, y, lr, clip)
        expected, wanted, _ = by_reference(expected, x, y, **options)
        torch.testing.assert_close(errors[:, 0], wanted, rtol=1e-9, atol=1e-12)
        losses.append(errors.square().mean().item() / 2)
    torch.testing.assert_close(one(ensemble.weights, 0), expected, rtol=1e-9, atol=1e-12)
    assert losses[2] < 0.95 * losses[0]
    assert moved(expected, start) > 1e-5


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


def test_learn_changes_its_own_weights_and_nothing_given():
    net, (x, y) = SinRNN(D, H, O), given()
    weights = [getattr(net, name)[None] for name in NAMES]
    before = [tensor.detach().clone() for tensor in (*weights, x, y)]
    ensemble = Ensemble(*weights)
    torch.testing.assert_close(ensemble.weights, before[:3], **BITS)
    ensemble.learn(x, y, LR)
    torch.testing.assert_close([w.detach() for w in (*weights, x, y)], before, **BITS)
    assert moved(ensemble.weights, before[:3]) > 0.01
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
