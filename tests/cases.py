"""The standard problem that the tests share, and how near is equal."""

from contextlib import contextmanager

import pytest
import torch

from sinrnn import Predictor

# All different, so that a swapped axis cannot pass; K is bptt_steps, between 1 and T.
B, T, D, H, O, K = 6, 7, 2, 5, 3, 4  # noqa: E741 - the design's names

# Ten times what rounding leaves on the tests' problems.
TOLERANCE = {
    torch.float64: {"rtol": 1e-13, "atol": 1e-13},
    torch.float32: {"rtol": 1e-5, "atol": 1e-5},
}
BITS = {"rtol": 0, "atol": 0}


def assert_close(actual, expected):
    """Equal within TOLERANCE: tensors, or mappings and sequences of tensors."""
    values = actual.values() if isinstance(actual, dict) else actual
    dtype = actual.dtype if isinstance(actual, torch.Tensor) else next(iter(values)).dtype
    torch.testing.assert_close(actual, expected, **TOLERANCE[dtype])


def predictor(net, window=None, horizon=1, *, scaling=(0.0, 1.0), stateful=False, radius=None):
    """A Predictor around a network, standardised where a scaling is given."""
    standardise = tuple(scaling) != (0.0, 1.0)
    options = {"window": window, "horizon": horizon, "stateful": stateful}
    made = Predictor(net, standardise=standardise, **options)
    made.mean.fill_(scaling[0])
    made.scale.fill_(scaling[1])
    if radius is not None:
        made.radius = torch.as_tensor(radius, dtype=torch.float64)
    return made


def cell(B=B, T=T, D=D, H=H, *, h0=True, bias=True):
    """What tanh_rnn reads, by name. Whh is orthogonal, so no gradient fades with time."""
    tensors = {
        "x": torch.randn(B, T, D) / 2,
        "h0": torch.randn(B, H) / 2 if h0 else None,
        "Wih": torch.randn(H, D) / 2,
        "Whh": torch.nn.init.orthogonal_(torch.empty(H, H)),
        "bh": torch.randn(H) / 4 if bias else None,
    }
    return _wanted(tensors)


def network(B=B, T=T, D=D, H=H, O=O, *, h0=True, bias=True):  # noqa: E741
    """What last_output reads, by name."""
    readout = {"Who": torch.randn(O, H), "bo": torch.randn(O) if bias else None}
    return cell(B, T, D, H, h0=h0, bias=bias) | _wanted(readout)


def _wanted(tensors):
    return {n: v if v is None else v.requires_grad_() for n, v in tensors.items()}


def upstream(out):
    """A gradient for every element of `out`: all different, the same at each call."""
    return torch.cos(torch.arange(out.numel(), dtype=out.dtype)).reshape(out.shape)


def gradients(function, inputs, *, create_graph=False, **options):
    """dLoss/d(input), by name, for a loss that reads every element that function returns."""
    out = function(**inputs, **options)
    wanted = {n: v for n, v in inputs.items() if v is not None and v.requires_grad}
    found = torch.autograd.grad(
        out,
        list(wanted.values()),
        upstream(out),
        create_graph=create_graph,
        materialize_grads=True,
    )
    return dict(zip(wanted, found, strict=True))


@contextmanager
def refuses(error, message):
    """The code within raises this error, and no more and no less than this message."""
    with pytest.raises(error) as caught:
        yield
    assert caught.type is error
    assert str(caught.value) == message
