"""The closed loop: unroll's and rollout's, windows of several targets, and training on it."""

import copy
import math
from functools import partial
from itertools import pairwise

import pytest
import torch
from cases import BITS, B, D, H, T, assert_close, predictor, refuses, upstream
from fitting import EXPECTED, LR, fit, small, wave
from ramp import Given, Ramp, data, same

from sinrnn import SinRNN
from sinrnn.data.samplers import StreamBatchSampler
from sinrnn.data.windows import Windows
from sinrnn.nn.functional import half_mse
from sinrnn.training.forecaster import Forecaster

pytestmark = EXPECTED
BIAS = pytest.mark.parametrize("bias", [True, False])
STATE = pytest.mark.parametrize("h0", [True, False])
N = 9  # steps in closed loop


def network(*, bias=True):
    """A SinRNN that can read its outputs, with biases that are not zero."""
    net = SinRNN(D, H, D, bias=bias)
    with torch.no_grad():
        for b in (net.bh, net.bo):
            if b is not None:
                b.normal_(std=0.25)
    return net


def given(h0=True):
    """Windows and the state before them."""
    return torch.randn(B, T, D) / 2, torch.randn(B, H) / 2 if h0 else None


def fed(net, x, h=None, ahead=N):
    """States and outputs of `step` over x, and then over its own outputs."""
    states, outputs = [], []
    for t in range(x.shape[1] + ahead):
        h, y = net.step(x[:, t] if t < x.shape[1] else outputs[-1], h)
        states.append(h)
        outputs.append(y)
    return torch.stack(states, 1), torch.stack(outputs, 1)


# unroll


@BIAS
@STATE
@pytest.mark.parametrize("ahead", [0, 1, N])
def test_unroll_ahead_is_step_fed_its_own_outputs(bias, h0, ahead):
    net, (x, h0) = network(bias=bias), given(h0)
    h, y = net.unroll(x, h0, ahead=ahead)
    assert (h.shape, y.shape) == ((B, T + ahead, H), (B, T + ahead, D))
    assert_close((h, y), fed(net, x, h0, ahead))
    one = net.unroll(x[0], None if h0 is None else h0[0], ahead=ahead)
    assert_close(one, (h[0], y[0]))
    if not ahead:
        torch.testing.assert_close((h, y), net.unroll(x, h0), **BITS)


@BIAS
@STATE
@pytest.mark.parametrize("part", [0, 1])
def test_unroll_ahead_has_the_gradient_of_the_loop_of_steps(bias, h0, part):
    net, inputs = network(bias=bias), given(h0)
    wanted = [*net.parameters(), *(v.requires_grad_() for v in inputs if v is not None)]

    def gradient(run):
        out = run[part]
        return torch.autograd.grad(out, wanted, upstream(out), materialize_grads=True)

    expected = gradient(fed(net, *inputs))
    for found, wished in zip(gradient(net.unroll(*inputs, ahead=N)), expected, strict=True):
        assert (found - wished).norm() <= 1e-10 * wished.norm()
    named = dict(zip(net.state_dict(), expected, strict=False))
    assert all(named[n].norm() > 1e-3 for n in ("Wih", "Whh") + ("bh",) * bias)


# A rollout that carries the state on, or slides a window


@pytest.mark.parametrize("window", [None, 4])
def test_stateful_predictor_rolls_out_with_its_state(window):
    net, x = SinRNN(hidden_size=H), torch.randn(B, T, 1) / 2
    made = predictor(net, window, stateful=True).rollout(x[..., 0], N)
    assert_close(made, fed(net, x, None, N - 1)[1][:, -N:, 0])


@BIAS
@pytest.mark.parametrize("stateful", [True, False])
def test_standardised_predictor_rolls_out_in_other_units(bias, stateful):
    net, x = SinRNN(hidden_size=H, bias=bias), torch.randn(B, T)
    made = predictor(net, 4, scaling=(3.0, 0.25), stateful=stateful)
    plain = predictor(net, 4, stateful=stateful)
    assert_close(made.rollout(3 + x / 4, N), 3 + plain.rollout(x, N) / 4)


# Windows of several targets, and streams


@pytest.mark.parametrize(("horizon", "steps"), [(1, 1), (1, 3), (2, 3), (3, 2)])
def test_windows_have_the_values_from_the_horizon_on_as_targets(horizon, steps):
    windows = Windows(torch.arange(20.0), 4, horizon, steps)
    assert len(windows) == 20 - (4 + horizon + steps - 1) + 1
    x, y = windows[:]
    start = torch.arange(len(windows))[:, None]
    same(x[..., 0], (start + torch.arange(4)).double())
    same(y, (start + 3 + horizon + torch.arange(steps)).double())
    same(windows.targets, y[:, 0])


@pytest.mark.parametrize(
    ("horizon", "steps", "message"),
    [
        (2, 3, "window 4, horizon 2 and 3 steps need 8 points, got 7"),
        (4, 1, "window 4 and horizon 4 need 8 points, got 7"),
        (1, 0, "steps must be at least 1 step, got 0"),
    ],
)
def test_windows_refuse_a_span_too_short_for_their_targets(horizon, steps, message):
    with refuses(ValueError, message):
        Windows(torch.zeros(7), 4, horizon, steps)
    assert len(Windows(torch.zeros(8), 4, horizon, max(1, steps))) >= 1


def test_data_gives_steps_to_training_and_one_to_what_is_judged():
    made = data(Ramp(100), steps=5)
    assert {y.shape[1] for _, y in made.train_dataloader()} == {5}
    evaluated = [*made.val_dataloader(), made.test_dataloader()]
    assert {y.shape[1] for loader in evaluated for _, y in loader} == {1}
    assert (len(made.train_windows), len(made.windows["train"])) == (52, 56)


TOO_MANY = {
    "window 4, horizon 1 and 57 steps need 61 points, got 60": {"steps": 57},
    "num_streams must be at most 14 for windows of 4, got 15": {"num_streams": 15},
}


@pytest.mark.parametrize("message", TOO_MANY)
def test_steps_and_streams_that_the_split_has_no_room_for_are_refused(message):
    with refuses(ValueError, f"the train split [0.0, 0.6]: {message}"):
        data(Ramp(100), **TOO_MANY[message])


@pytest.mark.parametrize("points", [30, 61, 64, 100])
@pytest.mark.parametrize(("window", "num_streams"), [(4, 1), (4, 3), (5, 4), (7, 2)])
@pytest.mark.parametrize("steps", [1, 6])
def test_streams_go_on_where_they_were_and_share_nothing(points, window, num_streams, steps):
    windows = Windows(torch.arange(float(points)), window, steps=steps)
    order = StreamBatchSampler(len(windows), window, num_streams)
    batches = [windows[index][0][..., 0] for index in order]
    covered = points - steps  # what windows reach
    assert len(order) == len(batches) == covered // num_streams // window >= 1
    for before, after in pairwise(batches):
        same(after[:, 0], before[:, -1] + 1)
    read = torch.cat(batches, 1)  # each stream in a row
    assert read.shape == (num_streams, len(order) * window)
    assert read.unique().numel() == read.numel()
    assert max(index.max() for index in order) < len(windows)


# The loss


def batch(K=1):
    return torch.randn(7, 4, 1), torch.randn(7, K)


@BIAS
@pytest.mark.parametrize(
    ("loss", "K"), [("every", 1), *((n, k) for n in ("last", "every") for k in (2, 5))]
)
def test_loss_covers_what_it_names_and_the_predictions_in_closed_loop(bias, loss, K):
    model, (x, y) = small(bias=bias, loss=loss, standardise=True), batch(K)
    model.predictor.mean.fill_(3.0)
    model.predictor.scale.fill_(0.25)
    outputs = fed(model.net, x, ahead=K - 1)[1][..., 0]
    errors = [((outputs[:, 3:] - y) ** 2).flatten()]
    if loss == "every":
        errors.append(((outputs[:, :3] - x[:, 1:, 0]) ** 2).flatten())
    found = model.training_step((3 + x / 4, 3 + y / 4), 0)
    torch.testing.assert_close(found, torch.cat(errors).mean() / 2)


# The state carried on


def carried(**options):
    return wave(num_streams=3, **options)


def bptt_by_hand(net, data, epochs, *, loss="last", steps=1):
    """Truncated backpropagation through time in plain torch over the streams' chunks."""
    net = copy.deepcopy(net)
    weights = dict(net.named_parameters())
    split, T = data.windows["train"].values, data.window
    values = (split - split.mean()) / split.std(correction=0)
    length = (len(split) - steps) // data.num_streams
    for _ in range(epochs):
        h = torch.zeros(data.num_streams, net.hidden_size)
        for chunk in range(length // T):
            rows = [
                values[b * length + chunk * T :][: T + steps, None] for b in range(data.num_streams)
            ]
            series, made = torch.stack(rows), []
            for t in range(T + steps - 1):
                x = series[:, t] if t < T else made[-1]
                a = x @ weights["Wih"].t() + h @ weights["Whh"].t()
                h = torch.tanh(a if net.bh is None else a + weights["bh"])
                y = h @ weights["Who"].t()
                made.append(y if net.bo is None else y + weights["bo"])
                if t == T - 1:
                    kept = h.detach()
            first = 0 if loss == "every" else T - 1
            error = torch.stack(made, 1)[:, first:] - series[:, first + 1 :]
            grads = torch.autograd.grad((error**2).mean() / 2, list(weights.values()))
            with torch.no_grad():
                for weight, grad in zip(weights.values(), grads, strict=True):
                    weight -= LR * grad
            h = kept
    return net.state_dict()


@BIAS
@pytest.mark.parametrize("loss", ["last", "every"])
@pytest.mark.parametrize("steps", [1, 4])
@pytest.mark.parametrize("epochs", [1, 2])
def test_carrying_the_state_is_truncated_bptt(bias, loss, steps, epochs):
    model = small(bias=bias, loss=loss, stateful=True, standardise=True)
    made = carried(steps=steps)
    expected = bptt_by_hand(model.net, made, epochs, loss=loss, steps=steps)
    before = copy.deepcopy(model.net.state_dict())
    fit(model, made, max_epochs=epochs)
    torch.testing.assert_close(model.net.state_dict(), expected, rtol=1e-12, atol=1e-15)
    assert (before["Whh"] - expected["Whh"]).abs().max() > 1e-4


def states(model, monkeypatch):
    """Filled in training: batch, and state before and after it, for each closure."""
    seen, step = [], model.training_step

    def watched(batch, batch_idx):
        before, loss = model.batch_loss.initial_state, step(batch, batch_idx)
        seen.append((batch_idx, before, model.batch_loss.final_state))
        return loss

    monkeypatch.setattr(model, "training_step", watched)
    return seen


def test_state_starts_at_zero_in_each_epoch_and_is_detached(monkeypatch):
    model = small(stateful=True)
    seen = states(model, monkeypatch)
    fit(model, carried())
    assert [index for index, _, _ in seen] == [*range(4)] * 3  # 59 points: 19 a stream
    for (_, _, after), (index, before, _) in pairwise(seen):
        assert (before is None) if index == 0 else (before is after)
        assert not after.requires_grad
        assert after.shape == (3, 5)
    assert seen[0][1] is None


def test_state_stays_while_an_optimizer_comes_to_a_batch_again(monkeypatch):
    lbfgs = partial(torch.optim.LBFGS, max_iter=4)
    model = Forecaster(hidden_size=5, optimizer=lbfgs, stateful=True)
    seen = states(model, monkeypatch)
    fit(model, carried(), max_epochs=1)
    for batch in range(4):
        within = [before for index, before, _ in seen if index == batch]
        assert len(within) > 1
        assert all(before is within[0] for before in within)
        assert (within[0] is None) == (batch == 0)


# Noise


def noisy(seed, noise=0.5):
    """The weights after training, and what each forward read: whether to learn from it, and x."""
    torch.manual_seed(3)
    model, seen = small(input_noise=noise, standardise=True), []
    torch.manual_seed(seed)
    model.net.register_forward_pre_hook(
        lambda net, inputs: seen.append((torch.is_grad_enabled(), inputs[0].clone()))
    )
    fit(model, wave(shuffle=False), max_epochs=2)
    return model.net.state_dict(), seen


def test_noise_is_of_the_seed_new_at_each_step_and_only_in_training():
    (first, found), (again, _), (other, _), (none, clean) = map(
        noisy, (1, 1, 2, 1), (*[0.5] * 3, 0)
    )
    torch.testing.assert_close(again, first, **BITS)
    for different in (other, none):
        assert (different["Whh"] - first["Whh"]).abs().max() > 1e-5
    pairs = list(zip(clean, found, strict=True))
    noise = [b - a for (learnt, a), (_, b) in pairs if learnt]
    assert len(noise) == 8
    values = torch.cat([part.flatten() for part in noise])
    assert values.unique().numel() == values.numel() == 2 * 56 * 4
    assert values.std().item() == pytest.approx(0.5, rel=0.1)
    assert abs(values.mean().item()) < 0.1
    judged = [(a, b) for (learnt, a), (_, b) in pairs if not learnt]
    assert judged
    assert all(torch.equal(a, b) for a, b in judged)


@pytest.mark.parametrize(
    ("options", "K"), [({"loss": "every"}, 1), ({}, 5), ({"stateful": True}, 1)]
)
def test_noise_is_on_what_is_read_and_not_on_the_targets(options, K, monkeypatch):
    model, (x, y) = small(input_noise=0.5, **options), batch(K)
    read, unroll = [], model.net.unroll
    monkeypatch.setattr(
        model.net, "unroll", lambda x, *a, **o: read.append(x) or unroll(x, *a, **o)
    )
    found = model.training_step((x, y), 0)
    (noisy,) = read
    assert 0.25 < (noisy - x).std().item() < 0.75
    outputs = fed(model.net, noisy, ahead=K - 1)[1][..., 0]
    following = torch.cat([x[:, 1:, 0], y], 1)
    first = 0 if "loss" in options else 3
    assert_close(found, half_mse(outputs[:, first:], following[:, first:]))


# What it is for


def sine(i):
    return torch.sin(2 * math.pi * i / 20)


@pytest.mark.slow
# A start that is 1e-6 beside this one ends in the same errors, 0.08 and 1.05, to three digits.
@pytest.mark.parametrize(("steps", "stays"), [(40, True), (1, False)])
def test_training_on_the_closed_loop_makes_it_stay_with_the_sine(steps, stays):
    noise = torch.randn(200, generator=torch.Generator().manual_seed(7)) / 10
    torch.manual_seed(4)
    adam = partial(torch.optim.Adam, lr=0.01)
    model = Forecaster(hidden_size=16, bias=True, optimizer=adam)
    splits = {"train": (0, 0.7), "val": (0.7, 0.85), "test": (0.85, 1)}
    made = data(Given(sine(torch.arange(200)) + noise), window=15, steps=steps, **splits)
    fit(model, made, max_epochs=120, limit_val_batches=0)
    with torch.no_grad():
        predicted = model.predictor.rollout(made.values[110:140], 200)
    error = (predicted - sine(torch.arange(140, 340))).abs().max()
    assert (error < 0.5) == stays
