"""Dispatch modes and fake tensors: they see every operation, and no memory that is used again.

torch.nn.RNN is the oracle.
"""

import contextlib

import pytest
import torch
from cases import BITS, B, D, H, K, T, assert_close, cell, gradients, network, upstream
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils.flop_counter import FlopCounterMode

from sinrnn import SinRNN
from sinrnn.nn import functional

CALLS = {
    "forward": lambda net, x: net(x),
    "lengths": lambda net, x: net(x, lengths=torch.full((len(x),), T - 1)),
    "unroll": lambda net, x: net.unroll(x)[1],
    "step": lambda net, x: net.step(x[:, 0])[1],
    "ahead": lambda net, x: net.unroll(x, ahead=3)[1],
    "rollout": lambda net, x: net.rollout(x, 3, window=T),
}


def used(steps=None):
    """A network whose memory for these shapes waits to be used again, and what it read."""
    net, x = SinRNN(D, H, D, bias=True, bptt_steps=steps), torch.randn(B, T, D)
    for call in CALLS.values():
        call(net, x).sum().backward()
        with torch.no_grad():
            call(net, x)
    return net, x


@pytest.mark.parametrize(
    ("call", "inside"),
    [(name, True) for name in CALLS] + [(name, False) for name in CALLS if name != "lengths"],
)
@pytest.mark.parametrize("steps", [None, K])
def test_fake_tensors_stay_fake_and_real_ones_real(call, inside, steps):
    net, x = used(steps)
    expected = CALLS[call](net, x).detach()
    mode = FakeTensorMode()
    with mode:
        fake, like = SinRNN(D, H, D, bias=True, bptt_steps=steps), torch.randn(B, T, D)
    for grad in (torch.enable_grad, torch.no_grad):
        with mode if inside else contextlib.nullcontext(), grad():
            out = CALLS[call](fake, like)
            assert (type(out), out.shape) == (FakeTensor, expected.shape)
            if out.requires_grad:
                out.sum().backward()
    assert type(fake.Wih.grad) is type(fake.Who.grad) is FakeTensor
    torch.testing.assert_close(CALLS[call](net, x), expected, **BITS)


FUNCTIONS = {
    "tanh_rnn": (functional.tanh_rnn, cell),
    "last_output": (functional.last_output, network),
}


@pytest.mark.slow
@pytest.mark.parametrize("tracing", ["real", "fake", "symbolic"])
@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("bptt_steps", [None, K])
def test_graph_of_make_fx_is_the_function_and_its_gradient(name, tracing, bptt_steps):
    function, made = FUNCTIONS[name]

    def step(inputs):
        out = function(**inputs, bptt_steps=bptt_steps)
        return out, *gradients(function, inputs, bptt_steps=bptt_steps).values()

    inputs, other = made(), made()
    step(inputs)
    graph = make_fx(step, tracing_mode=tracing)(inputs)
    assert_close(graph(other), step(other))


@pytest.mark.parametrize("every", [True, False])
@pytest.mark.parametrize("backward", [True, False])
def test_flops_are_those_of_torch(every, backward):
    net, x = used()
    rnn, head = net.to_torch()

    def theirs():
        h = rnn(x)[0]
        return head(h if every else h[:, -1])

    found = []
    for call in (lambda: net.unroll(x)[1] if every else net(x), theirs):
        with FlopCounterMode(display=False) as counted:
            out = call()
            if backward:
                out.sum().backward()
        found.append(counted.get_total_flops())
    assert found[0] == found[1] > 0


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("bptt_steps", [None, K])
def test_gradient_taken_in_a_mode_of_what_was_made_outside_is_right(name, bptt_steps):
    function, made = FUNCTIONS[name]
    inputs = made()
    expected = gradients(function, inputs, bptt_steps=bptt_steps)
    out = function(**inputs, bptt_steps=bptt_steps)
    with FlopCounterMode(display=False):
        found = torch.autograd.grad(out, list(inputs.values()), upstream(out))
    assert_close(found, tuple(expected.values()))
