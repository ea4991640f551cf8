"""Padded batches: each sequence against itself run alone, and what is refused."""

import pytest
import torch
from cases import B, D, H, K, O, T, assert_close, gradients, network, refuses, upstream

from sinrnn import SinRNN
from sinrnn.nn import _padding

LENGTHS = torch.tensor([3, 7, 1, 5, 4, 6])  # shorter than K, as long, longer
TRUNCATED = pytest.mark.parametrize("bptt_steps", [None, 1, K, T, T + 1])
H0 = pytest.mark.parametrize("h0", [True, False])
KIND = "lengths must be a tensor of integers, got"
FIT = "lengths must be (6,) to fit x (6, 7, 2), got"
WITHIN = "lengths must be from 1 to 7, the steps of x, got"
BIAS = pytest.mark.parametrize("bias", [True, False])


def net_and_inputs(outputs=O, **options):
    net = SinRNN(D, H, outputs, bias=True, init="torch", **options)
    torch.nn.init.orthogonal_(net.Whh)
    return net, torch.randn(B, T, D), torch.randn(B, H)


def call(net, kind, x, h0, weights, **options):
    """The module's outputs as a function of all that has a gradient."""
    found = torch.func.functional_call(net, weights, (kind, x, h0), options)
    return found if kind == "forward" else torch.cat(found, -1)


class Either(torch.nn.Module):
    """A SinRNN whose forward or unroll is called by name."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, kind, x, h0, **options):
        return getattr(self.net, kind)(x, h0, **options)


def padded(net, kind, lengths):
    def run(x, h0=None, **weights):
        weights = {f"net.{name}": weight for name, weight in weights.items()}
        return call(Either(net), kind, x, h0, weights, lengths=lengths)

    return run


def alone(net, kind, lengths):
    """What `padded` must be: one sequence after the other, the last step repeated to the end."""

    def run(x, h0=None, **weights):
        weights = {f"net.{name}": weight for name, weight in weights.items()}
        found = []
        for b, n in enumerate(lengths.tolist()):
            before = None if h0 is None else h0[b]
            out = call(Either(net), kind, x[b, :n], before, weights)
            if kind == "unroll":
                out = torch.cat([out, out[-1:].expand(T - n, -1)])
            found.append(out)
        return torch.stack(found)

    return run


@pytest.mark.parametrize("kind", ["forward", "unroll"])
@TRUNCATED
@H0
def test_each_sequence_has_the_value_and_gradient_of_running_alone(kind, bptt_steps, h0):
    net, x, start = net_and_inputs(bptt_steps=bptt_steps)
    inputs = {"x": x.requires_grad_(), "h0": start.requires_grad_()} if h0 else {"x": x}
    inputs["x"].requires_grad_()
    inputs |= dict(net.named_parameters())
    ours, theirs = (make(net, kind, LENGTHS) for make in (padded, alone))
    assert_close(ours(**inputs), theirs(**inputs))
    assert_close(gradients(ours, inputs), gradients(theirs, inputs))


@pytest.mark.parametrize("kind", ["forward", "unroll"])
@TRUNCATED
@pytest.mark.parametrize("junk", [1e300, torch.nan, torch.inf])
def test_padding_reaches_neither_values_nor_gradients(kind, bptt_steps, junk):
    net, x, h0 = net_and_inputs(bptt_steps=bptt_steps)
    run = padded(net, kind, LENGTHS)
    inputs = dict(net.named_parameters()) | {"h0": h0.requires_grad_()}
    spoilt = x.clone()
    for b, n in enumerate(LENGTHS.tolist()):
        spoilt[b, n:] = junk
    inputs["x"] = x.requires_grad_()
    expected, grads = run(**inputs), gradients(run, inputs)
    inputs["x"] = spoilt.requires_grad_()
    torch.testing.assert_close(run(**inputs), expected, rtol=0, atol=0)
    found = gradients(run, inputs)
    torch.testing.assert_close(found, grads, rtol=0, atol=0)
    for b, n in enumerate(LENGTHS.tolist()):
        assert not found["x"][b, n:].any()


def test_full_lengths_change_no_value():
    net, x, h0 = net_and_inputs()
    full = torch.full((B,), T)
    assert_close(net.unroll(x, h0, lengths=full), net.unroll(x, h0))
    assert_close(net(x, h0, lengths=full), net(x, h0))


def test_state_at_the_end_goes_on_with_the_next_batch():
    net, x, h0 = net_and_inputs()
    h, _ = net.unroll(x, h0, lengths=LENGTHS)
    further = torch.randn(B, 2, D)
    for b, n in enumerate(LENGTHS.tolist()):
        whole = net(torch.cat([x[b, :n], further[b]]), h0[b])
        assert_close(net(further, h[:, -1])[b], whole)


def test_closed_loop_goes_on_from_each_own_end():
    net, x, h0 = net_and_inputs(D)
    h, y = net.unroll(x, h0, lengths=LENGTHS, ahead=3)
    for b, n in enumerate(LENGTHS.tolist()):
        own_h, own_y = net.unroll(x[b, :n], h0[b], ahead=3)
        assert_close((h[b, T:], y[b, T:]), (own_h[n:], own_y[n:]))


def test_only_the_last_state_is_the_last_of_all():
    inputs = network()
    inputs = {n: inputs[n] for n in ("x", "h0", "Wih", "Whh", "bh")} | {"lengths": LENGTHS}
    for bptt_steps in (None, K):
        every = _padding.states(**inputs, bptt_steps=bptt_steps)
        last = _padding.states(**inputs, bptt_steps=bptt_steps, last_only=True)
        torch.testing.assert_close(last, every[:, -1:], rtol=0, atol=0)


@pytest.mark.parametrize("bptt_steps", [None, K])
def test_second_gradient_matches_finite_differences(bptt_steps):
    net, x, h0 = net_and_inputs()
    weights = [w.detach().requires_grad_() for w in (net.Wih, net.Whh, net.bh)]

    def run(h0, *weights):
        return _padding.states(x, h0, *weights, LENGTHS)

    if bptt_steps is None:
        assert torch.autograd.gradgradcheck(run, (h0.requires_grad_(), *weights))
        return
    # A truncated gradient is not that of the values: it is compared with one that was cut by hand.
    inputs = {"x": x.requires_grad_(), "h0": h0.requires_grad_()} | dict(net.named_parameters())
    net.bptt_steps = bptt_steps

    def second(make):
        grads = gradients(make(net, "unroll", LENGTHS), inputs, create_graph=True)
        length = sum((g**2).sum() for g in grads.values())
        found = torch.autograd.grad(length, list(inputs.values()), materialize_grads=True)
        return dict(zip(inputs, found, strict=True))

    assert_close(second(padded), second(alone))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32, torch.int64])
def test_any_integers_are_lengths(dtype):
    net, x, h0 = net_and_inputs()
    assert_close(net(x, h0, lengths=LENGTHS.to(dtype)), net(x, h0, lengths=LENGTHS))


@pytest.mark.slow
@BIAS
def test_func_and_compile_see_the_same(bias):
    net, x, h0 = net_and_inputs(bptt_steps=K)
    if not bias:
        net = SinRNN(D, H, O, bptt_steps=K)
    expected = net(x, h0, lengths=LENGTHS)
    compiled = torch.compile(net, fullgraph=True, backend="aot_eager")
    assert_close(compiled(x, h0, lengths=LENGTHS), expected)

    def loss(weights):
        y = torch.func.functional_call(net, weights, (x, h0), {"lengths": LENGTHS})
        return (y * upstream(y)).sum()

    weights = dict(net.named_parameters())
    found = torch.func.grad(loss)({n: w.detach() for n, w in weights.items()})
    grads = torch.autograd.grad(expected, list(weights.values()), upstream(expected))
    assert_close(found, dict(zip(weights, grads, strict=True)))


@pytest.mark.parametrize("kind", ["forward", "unroll"])
@pytest.mark.parametrize(
    ("lengths", "error", "message"),
    [
        ([7] * 6, TypeError, f"{KIND} list"),
        (torch.ones(6).float(), TypeError, f"{KIND} torch.float32"),
        (torch.ones(6, dtype=torch.bool), TypeError, f"{KIND} torch.bool"),
        (torch.ones(5, dtype=torch.long), ValueError, f"{FIT} (5,)"),
        (torch.ones(6, 1, dtype=torch.long), ValueError, f"{FIT} (6, 1)"),
        (torch.tensor([1, 2, 0, 3, 4, 5]), ValueError, f"{WITHIN} 0"),
        (torch.tensor([1, 2, 3, 8, 4, -5]), ValueError, f"{WITHIN} 8"),
    ],
)
def test_lengths_that_do_not_fit_are_refused(kind, lengths, error, message):
    net, x, h0 = net_and_inputs()
    with refuses(error, message):
        getattr(net, kind)(x, h0, lengths=lengths)


def test_misfit_is_refused_as_without_lengths():
    net, x, _ = net_and_inputs()
    with refuses(ValueError, "x must be (B, T, 2) with T >= 1 to fit Wih (5, 2), got (6, 7, 1)"):
        net(x[..., :1], lengths=LENGTHS)
