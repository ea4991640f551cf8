"""Values and gradients against NumPy for sizes, scales and memory layouts that hypothesis picks.

How near is near enough is computed beside: rounding, saturation and the smallest and largest
numbers of the type make a different bound for every element.
"""

import os
from dataclasses import dataclass
from unittest import mock

import numpy as np
import pytest
import reference
import torch
from cases import K, network, upstream
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.configuration import set_hypothesis_home_dir
from torch import nn

from sinrnn import SinRNN, tanh_rnn
from sinrnn.nn import bptt

NAMES = ("x", "h0", "Wih", "Whh", "bh", "Who", "bo")
ABSENT = ("h0", "bh", "bo")  # what may be None
OUTPUTS = {  # what is compared, and what the loss reads
    "tanh_rnn": ("states",),
    "unroll": ("states", "outputs"),
    "forward": ("last",),
    "hooked": ("last",),
}
FUNCTIONS = pytest.mark.parametrize("function", OUTPUTS)


# What hypothesis notes of the source that it tests goes nowhere. It takes its notes while tests are
# collected, earlier than any fixture.
set_hypothesis_home_dir(os.devnull)


def examples(number):
    """The same examples at every run."""
    return settings(max_examples=number, derandomize=True, deadline=None, database=None)


# What hypothesis picks. Always from a few: into wider ranges it mixes constants of the modules that
# are loaded, and then the examples depend on which tests run beside these.

tenths = st.sampled_from(range(-10, 11)).map(lambda tenth: 10 ** (tenth / 10))
wide = st.sampled_from(range(-30, 31)).map(lambda power: 10.0**power)
tensors = (*NAMES, "grad")
scales = st.fixed_dictionaries(dict.fromkeys(tensors, tenths))  # tanh is neither line nor wall
scales |= st.fixed_dictionaries(dict.fromkeys(tensors, tenths | wide))
layouts = st.sampled_from(["contiguous", "transposed", "time first", "strided", "expanded"])


def upto(most, least=1):
    return st.sampled_from(range(least, most + 1))


choices = {
    "sizes": st.tuples(st.sampled_from([1, 2, 3, 0]), upto(7), upto(3), upto(4), upto(3)),
    "bptt_steps": st.none() | upto(9),
    "dtype": st.sampled_from([torch.float32, torch.float64]),
    "seed": upto(99),
    "scales": scales,
    "layouts": st.fixed_dictionaries(dict.fromkeys(tensors, layouts)),
    "absent": st.frozensets(st.sampled_from(ABSENT)),
    "wanted": st.just(frozenset(NAMES)) | st.frozensets(st.sampled_from(NAMES)),
    "create_graph": st.booleans(),
}
problems = st.fixed_dictionaries(choices)


def shapes(B, T, D, H, O):  # noqa: E741
    return {
        "x": (B, T, D),
        "h0": (B, H),
        "Wih": (H, D),
        "Whh": (H, H),
        "bh": (H,),
        "Who": (O, H),
        "bo": (O,),
        "states": (B, T, H),
        "outputs": (B, T, O),
        "last": (B, O),
    }


def laid_out(values, layout):
    """The values in memory of their own, with NaN between them; or, expanded, the first row's."""
    if layout == "transposed":
        return values.mT.contiguous().mT if values.dim() > 1 else values.clone()
    if layout == "time first":
        second = min(1, values.dim() - 1)
        return values.transpose(0, second).contiguous().transpose(0, second)
    if layout == "strided":
        spread = values.new_full([2 * size + 1 for size in values.shape], torch.nan)
        view = spread[(slice(1, None, 2),) * values.dim()]
        return view.copy_(values)
    if layout == "expanded":
        return values[:1].clone().expand(values.shape)
    return values.clone()


def make(problem, outputs):
    """What the function reads, and a gradient for each of its outputs."""
    rng = np.random.default_rng(problem["seed"])
    shape = shapes(*problem["sizes"])

    def draw(name, kind):
        values = torch.tensor(rng.standard_normal(shape[name]) * problem["scales"][kind])
        return laid_out(values.to(problem["dtype"]), problem["layouts"][kind])

    inputs = {n: None if n in problem["absent"] else draw(n, n) for n in NAMES}
    for name, value in inputs.items():
        if value is not None:
            value.requires_grad_(name in problem["wanted"])
    return inputs, {n: draw(n, "grad") for n in outputs}


def call(function, problem, inputs):
    """What the function returns, by name."""
    bptt_steps = problem["bptt_steps"]
    if function == "tanh_rnn":
        cell = [inputs[n] for n in ("x", "h0", "Wih", "Whh", "bh")]
        return {"states": tanh_rnn(*cell, bptt_steps=bptt_steps)}
    _, _, D, H, O = problem["sizes"]  # noqa: E741
    net = SinRNN(D, H, O, bptt_steps=bptt_steps, dtype=problem["dtype"])
    for name in ("Wih", "Whh", "Who", "bh", "bo"):
        value = inputs[name]
        if value is not None:
            inputs[name] = value = nn.Parameter(value, requires_grad=value.requires_grad)
        setattr(net, name, value)
    if function == "unroll":
        return dict(zip(OUTPUTS["unroll"], net.unroll(inputs["x"], inputs["h0"]), strict=True))
    if function == "hooked":  # what is kept for the gradient is put elsewhere
        with torch.autograd.graph.saved_tensors_hooks(torch.clone, lambda kept: kept):
            return {"last": net(inputs["x"], inputs["h0"])}
    return {"last": net(inputs["x"], inputs["h0"])}


def solve(function, problem, inputs, upstream):
    """Values and gradients, by name."""
    out = call(function, problem, inputs)
    wanted = {n: v for n, v in inputs.items() if v is not None and v.requires_grad}
    read = [n for n, v in out.items() if v.requires_grad]
    if not read:
        return out, {}
    found = torch.autograd.grad(
        [out[n] for n in read],
        list(wanted.values()),
        [upstream[n] for n in read],
        create_graph=problem["create_graph"],
        materialize_grads=True,
    )
    return out, dict(zip(wanted, found, strict=True))


# What NumPy gives


def exact(problem, inputs, upstream):
    """Values and gradients of the reference, by name, and its states h[0..T] (B, T+1, H)."""
    shape, arrays = shapes(*problem["sizes"]), in_numpy(problem, inputs)
    x, h0 = arrays["x"], arrays["h0"]
    weights = [arrays[n] for n in ("Wih", "Whh", "bh", "Who", "bo")]
    T = problem["sizes"][1]
    h = np.zeros((len(x), T + 1, len(weights[1])))
    y, grads = np.zeros(shape["outputs"]), {n: np.zeros(shape[n]) for n in NAMES}
    grad_h, grad_y = direct(problem, upstream)
    for b in range(len(x)):
        h[b], y[b] = reference.forward(x[b], h0[b], *weights)
        grad_out = grad_h[b] + grad_y[b] @ arrays["Who"]
        found = reference.state_gradients(
            x[b], h[b], arrays["Wih"], arrays["Whh"], grad_out, problem["bptt_steps"]
        )
        for name in ("Wih", "Whh", "bh"):
            grads[name] += found[name]
        grads["x"][b], grads["h0"][b] = found["x"], found["h0"]
        grads["Who"] += grad_y[b].T @ h[b, 1:]
        grads["bo"] += grad_y[b].sum(0)
    return {"states": h[:, 1:], "outputs": y, "last": y[:, -1]}, grads, h


def in_numpy(problem, inputs):
    """The inputs in float64; those that are absent are zeros."""
    shape = shapes(*problem["sizes"])
    return {
        n: np.zeros(shape[n]) if v is None else v.detach().double().numpy()
        for n, v in inputs.items()
    }


def direct(problem, upstream):
    """What the loss reads of every state and every output, in float64."""
    shape = shapes(*problem["sizes"])
    grad_h, grad_y = np.zeros(shape["states"]), np.zeros(shape["outputs"])
    for name, grad in upstream.items():
        where = {"states": grad_h, "outputs": grad_y, "last": grad_y[:, -1]}[name]
        where += grad.double().numpy()
    return grad_h, grad_y


# How far from it rounding may lead


@dataclass
class Rounded:
    """Numbers of at most this size, and how far rounding may have taken them.

    One operation rounds by half of eps, sinrnn's and the reference's; this is twice their sum.
    Below the smallest normal number it may round to zero. An error is inf, which excuses anything,
    where the type cannot hold what lies on the way.

    Source: Higham (2002), "Accuracy and Stability of Numerical Algorithms", section 3.3.
    """

    size: np.ndarray
    error: np.ndarray
    number: torch.finfo

    def __post_init__(self):
        held = self.size + self.error < self.number.max / 4
        self.error = np.where(held, self.error, np.inf)

    def __add__(self, other):
        size = self.size + other.size
        return Rounded(size, self.error + other.error + 2 * self.number.eps * size, self.number)

    def __mul__(self, other):
        size = self.size * other.size
        error = self.error * (other.size + other.error) + self.size * other.error
        return Rounded(size, error + 2 * self.number.eps * size + self.number.tiny, self.number)

    def __matmul__(self, other):
        terms, size = self.size.shape[-1], self.size @ other.size
        error = self.error @ (other.size + other.error) + self.size @ other.error
        error = error + terms * (2 * self.number.eps * size + self.number.tiny)
        return Rounded(size, error, self.number)

    def __getitem__(self, index):
        return Rounded(self.size[index], self.error[index], self.number)

    @property
    def T(self):
        return Rounded(self.size.T, self.error.T, self.number)


def bounds(problem, inputs, upstream, h):
    """How far values and gradients may be from the reference's, whose states are h, by name."""
    arrays, number = in_numpy(problem, inputs), torch.finfo(problem["dtype"])

    def plain(values):
        return Rounded(np.abs(values), np.zeros(values.shape), number)

    x, Wih, Whh, bh, Who, bo = (plain(arrays[n]) for n in ("x", "Wih", "Whh", "bh", "Who", "bo"))
    T, bptt_steps = problem["sizes"][1], problem["bptt_steps"]
    states, slopes = [plain(arrays["h0"])], [None]
    for t in range(1, T + 1):
        a = x[:, t - 1] @ Wih.T + states[-1] @ Whh.T + bh
        value = arrays["x"][:, t - 1] @ arrays["Wih"].T + h[:, t - 1] @ arrays["Whh"].T
        state, slope = activation(value + arrays["bh"], h[:, t], a.error, number)
        states.append(state)
        slopes.append(slope)

    grad_h, grad_y = (plain(grad) for grad in direct(problem, upstream))
    first = 1 if bptt_steps is None else max(T - bptt_steps + 1, 1)
    found = {n: plain(np.zeros_like(v)) for n, v in arrays.items()}
    grad_x = np.zeros_like(arrays["x"])
    after = None
    for t in range(T, 0, -1):
        found["Who"] += grad_y[:, t - 1].T @ states[t]
        found["bo"] += grad_y[:, t - 1].T @ plain(np.ones(len(grad_x)))
        if t < first:
            continue
        grad = grad_h[:, t - 1] + grad_y[:, t - 1] @ Who
        grad_a = (grad if after is None else grad + after @ Whh) * slopes[t]
        grad_a.error += number.tiny / number.eps**0.5  # what is below counts as zero
        found["Whh"] += grad_a.T @ states[t - 1]
        found["Wih"] += grad_a.T @ x[:, t - 1]
        found["bh"] += grad_a.T @ plain(np.ones(len(grad_x)))
        grad_x[:, t - 1] = (grad_a @ Wih).error
        after = grad_a
    if first == 1:
        found["h0"] = after @ Whh
    outputs = [state @ Who.T + bo for state in states[1:]]
    values = {
        "states": np.stack([state.error for state in states[1:]], 1),
        "outputs": np.stack([y.error for y in outputs], 1),
        "last": outputs[-1].error,
    }
    return values, {n: g.error for n, g in found.items()} | {"x": grad_x}


def activation(a, h, error, number):
    """h = tanh(a) and 1 - h², where a is wrong by `error`."""
    within = np.maximum(np.abs(a) - error, 0)
    steepest = 1 / np.cosh(within) ** 2
    off = np.minimum(error * steepest, 2) + 4 * number.eps * np.abs(h) + number.tiny
    bent = 2 * np.abs(h) * off + off**2 + 4 * number.eps
    flat = within > 20  # h is 1 or -1, and 1 - h² is 0, to the bit
    off, bent = (np.where(flat, 0, wrong) for wrong in (off, bent))
    lost = ~np.isfinite(error)
    off, bent = (np.where(lost, np.inf, wrong) for wrong in (off, bent))
    return Rounded(np.abs(h), off, number), Rounded(1 - h**2, bent, number)


def assert_within(found, expected, bound):
    """Found is as near to expected as the bound says; NaN and inf are not near anything."""
    found = found.detach().double().numpy()
    assert found.shape == expected.shape == bound.shape
    near = np.abs(found - expected) <= bound
    assert (near | ~np.isfinite(bound)).all(), f"{found} is not {expected} within {bound}"


def assert_all_within(problem, values, grads, inputs, upstream):
    with np.errstate(all="ignore"):
        expected, expected_grads, h = exact(problem, inputs, upstream)
        near, near_grads = bounds(problem, inputs, upstream, h)
    for name, value in values.items():
        assert value.dtype == problem["dtype"]
        assert_within(value, expected[name], near[name])
    for name, grad in grads.items():
        assert grad.dtype == problem["dtype"]
        assert_within(grad, expected_grads[name], near_grads[name])


@FUNCTIONS
@given(problem=problems)
@examples(150)
def test_values_and_gradients_match_numpy(function, problem):
    inputs, upstream = make(problem, OUTPUTS[function])
    values, grads = solve(function, problem, inputs, upstream)
    assert_all_within(problem, values, grads, inputs, upstream)


@FUNCTIONS
@given(problem=problems, cached=upto(40))
@examples(60)
def test_values_without_a_gradient_match_numpy(function, problem, cached):
    inputs, upstream = make(problem, OUTPUTS[function])
    with torch.no_grad(), mock.patch.object(bptt, "CACHED", cached):  # several chunks
        values = call(function, problem, inputs)
    assert_all_within(problem, values, {}, inputs, upstream)


vanishing = {  # the gradient looks for tiny numbers at every 32nd step
    "sizes": st.tuples(upto(2), upto(40, 33), st.just(1), upto(3), st.just(1)),
    "bptt_steps": st.none() | upto(40, 33),
    "dtype": st.just(torch.float32),
    "create_graph": st.just(False),
    "scales": st.builds(
        lambda Whh, grad: dict.fromkeys(tensors, 1.0) | {"x": 0.1, "Whh": Whh, "grad": grad},
        st.sampled_from([0.1, 0.3, 0.6, 1.0]),
        wide,
    ),
}


@pytest.mark.parametrize("function", ["unroll", "forward", "hooked"])
@given(problem=st.fixed_dictionaries(choices | vanishing))
@examples(10)
def test_long_windows_with_gradients_that_vanish_match_numpy(function, problem):
    inputs, upstream = make(problem, OUTPUTS[function])
    values, grads = solve(function, problem, inputs, upstream)
    assert_all_within(problem, values, grads, inputs, upstream)


@FUNCTIONS
@given(problem=problems)
@examples(40)
def test_what_the_caller_gave_is_left_as_it_was(function, problem):
    inputs, upstream = make(problem, OUTPUTS[function])
    theirs = [v for v in (*inputs.values(), *upstream.values()) if v is not None]
    before = [(v._version, v.untyped_storage().tolist()) for v in theirs]
    values, _ = solve(function, problem, inputs, upstream)
    kept = [v.untyped_storage().tolist() for v in values.values()]
    solve(function, problem, inputs, upstream)
    assert before == [(v._version, v.untyped_storage().tolist()) for v in theirs]
    assert kept == [v.untyped_storage().tolist() for v in values.values()]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("bptt_steps", [None, K])
def test_bounds_forgive_nothing_but_rounding(dtype, bptt_steps):
    inputs = {n: v.detach() for n, v in network().items()}
    sizes = (*inputs["x"].shape, *inputs["Who"].t().shape)
    problem = {"sizes": sizes, "bptt_steps": bptt_steps, "dtype": dtype}
    grads = {"last": upstream(inputs["x"].new_empty(shapes(*sizes)["last"]))}
    expected, expected_grads, h = exact(problem, inputs, grads)
    near, near_grads = bounds(problem, inputs, grads, h)
    for bound, value in ((near, expected), (near_grads, expected_grads)):
        for name in bound:
            size = np.abs(value[name]).max()
            # The worst case of each step doubles the error of the one before, T = 7 times and back.
            assert bound[name].max() <= 2e5 * torch.finfo(dtype).eps * size
