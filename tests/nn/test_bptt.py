"""tanh_rnn and last_output against NumPy, torch.nn.RNN, autograd and finite differences."""

import gc
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest
import reference
import torch
import torch.utils.checkpoint
from cases import (
    BITS,
    B,
    D,
    H,
    K,
    O,
    T,
    assert_close,
    cell,
    gradients,
    network,
    refuses,
    upstream,
)

from sinrnn import SinRNN
from sinrnn.nn import _reference, _workspace, bptt
from sinrnn.nn.functional import half_mse, last_output, tanh_rnn

CASES = pytest.mark.parametrize(("function", "make"), [(tanh_rnn, cell), (last_output, network)])
CELL = ["x", "h0", "Wih", "Whh", "bh"]
NETWORK = [*CELL, "Who", "bo"]
TRUNCATED = pytest.mark.parametrize("bptt_steps", [None, K, 1])


def detached(x, h0, Wih, Whh, bh=None, Who=None, bo=None, *, bptt_steps=None):
    """The oracle: autograd through a loop that detaches h[T - k] and every state before it.

    Gives the states, or with Who the last output alone.
    """
    steps = x.shape[1]
    h = torch.zeros(x.shape[0], Whh.shape[0], dtype=x.dtype) if h0 is None else h0
    states = []
    for t in range(1, steps + 1):
        a = x[:, t - 1] @ Wih.T + h @ Whh.T
        h = torch.tanh(a if bh is None else a + bh)
        if bptt_steps is not None and t <= steps - bptt_steps:
            h = h.detach()
        states.append(h)
    if Who is None:
        return torch.stack(states, dim=1)
    y = h @ Who.T
    return y if bo is None else y + bo


def assert_detaches(function, inputs, bptt_steps):
    """Values and gradients are the oracle's."""
    assert_close(function(**inputs, bptt_steps=bptt_steps), detached(**inputs))
    expected = gradients(detached, inputs, bptt_steps=bptt_steps)
    assert_close(gradients(function, inputs, bptt_steps=bptt_steps), expected)


def relative_difference(a, b):
    return ((a - b).norm() / b.norm()).item()


def as_numpy(inputs):
    return {n: v.detach().numpy() for n, v in inputs.items()}


# The values


def test_states_and_last_output_match_numpy():
    inputs = network()
    arrays = as_numpy(inputs)
    x, h0 = arrays.pop("x"), arrays.pop("h0")
    samples = [reference.forward(x[b], h0[b], **arrays) for b in range(B)]
    h, y = (torch.tensor(np.stack(parts)) for parts in zip(*samples, strict=True))
    assert_close(tanh_rnn(*(inputs[n] for n in CELL)).detach(), h[:, 1:])
    assert_close(last_output(**inputs).detach(), y[:, -1])


@CASES
@pytest.mark.parametrize("steps", [1, 64, 65, 128, 200])
@pytest.mark.parametrize(("h0", "bias"), [(True, True), (False, False)])
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_values_without_grad_are_those_with_grad(function, make, steps, h0, bias, mode):
    inputs = make(T=steps, h0=h0, bias=bias)
    with mode():
        without = function(**inputs)
    assert not without.requires_grad
    assert_close(without, function(**inputs).detach())


# The gradient


@TRUNCATED
def test_gradient_of_states_matches_products_of_jacobians(bptt_steps):
    inputs = cell()
    x, h0, Wih, Whh, _ = as_numpy(inputs).values()
    states = tanh_rnn(**inputs)
    grad_out = upstream(states).numpy()
    samples = []
    for b in range(B):
        h = np.concatenate([h0[b : b + 1], states[b].detach().numpy()])
        samples.append(reference.state_gradients(x[b], h, Wih, Whh, grad_out[b], bptt_steps))
    assert_close(gradients(tanh_rnn, inputs, bptt_steps=bptt_steps), over_the_batch(samples))


@TRUNCATED
def test_gradient_of_half_mse_matches_products_of_jacobians(bptt_steps):
    inputs = network()
    target = torch.randn(B, O)
    loss = ((last_output(**inputs, bptt_steps=bptt_steps) - target) ** 2).mean() / 2
    found = torch.autograd.grad(loss, list(inputs.values()))

    arrays = as_numpy(inputs)
    x, h0 = arrays.pop("x"), arrays.pop("h0")
    samples = [
        reference.last_output_gradients(
            x[b], h0[b], **arrays, target=target[b].numpy(), bptt_steps=bptt_steps
        )
        for b in range(B)
    ]
    expected = {name: grad / B for name, grad in over_the_batch(samples).items()}
    assert_close(dict(zip(inputs, found, strict=True)), expected)


def over_the_batch(samples):
    """One sample's gradients each -> the batch's: x and h0 side by side, weights summed."""
    return {
        name: torch.tensor(
            (np.stack if name in ("x", "h0") else sum)([sample[name] for sample in samples])
        )
        for name in samples[0]
    }


@pytest.mark.parametrize("steps", [1, 2, 3, 7, 20, 50])
@pytest.mark.parametrize("features", [1, 2, 3])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("h0", [True, False])
def test_states_and_gradients_match_torch_rnn(steps, features, bias, h0):
    inputs = cell(T=steps, D=features, bias=bias, h0=h0)
    rnn = torch.nn.RNN(features, H, bias=bias, batch_first=True)
    rnn.weight_ih_l0.data, rnn.weight_hh_l0.data = inputs["Wih"].data, inputs["Whh"].data
    wanted = {"Wih": rnn.weight_ih_l0, "Whh": rnn.weight_hh_l0}
    if bias:
        rnn.bias_ih_l0.data = inputs["bh"].data
        rnn.bias_hh_l0.data.zero_()
        wanted["bh"] = rnn.bias_ih_l0
    wanted["x"] = inputs["x"]
    if h0:
        wanted["h0"] = inputs["h0"]
    expected, _ = rnn(inputs["x"], inputs["h0"][None] if h0 else None)

    assert_close(tanh_rnn(**inputs), expected)
    found = torch.autograd.grad(expected, list(wanted.values()), upstream(expected))
    assert_close(gradients(tanh_rnn, inputs), dict(zip(wanted, found, strict=True)))


@CASES
def test_gradient_matches_finite_differences(function, make):
    assert torch.autograd.gradcheck(function, tuple(make().values()))


@CASES
def test_second_gradient_matches_finite_differences(function, make):
    inputs = make(B=2, T=4, D=1, H=5)
    assert torch.autograd.gradgradcheck(function, tuple(inputs.values()))


@CASES
@pytest.mark.parametrize("steps", [64, 65, 128, 200])
@pytest.mark.parametrize("bptt_steps", [None, 100, 64, 1])
def test_long_window_matches_a_loop_that_detaches(function, make, steps, bptt_steps):
    inputs = make(T=steps)
    assert_detaches(function, inputs, bptt_steps)


@CASES
@pytest.mark.parametrize(
    "sizes", [{"B": 0}, {"B": 1}, {"T": 1}, {"T": 2}, {"H": 1}, {"D": 1}, {"B": 1, "T": 1, "H": 1}]
)
@pytest.mark.parametrize("bptt_steps", [None, 1])
def test_smallest_sizes_match_a_loop_that_detaches(function, make, sizes, bptt_steps):
    inputs = make(**sizes)
    assert_detaches(function, inputs, bptt_steps)


@CASES
@TRUNCATED
def test_strided_and_expanded_inputs_match_a_loop_that_detaches(function, make, bptt_steps):
    inputs = make()
    strided = inputs | {
        "x": torch.randn(T, D, 1).permute(2, 0, 1).expand(B, T, D).requires_grad_(),
        "h0": torch.randn(1, H).expand(B, H).requires_grad_(),
        "Wih": torch.randn(D, H).t().requires_grad_(),
        "Whh": inputs["Whh"].detach().clone().t().requires_grad_(),
        "bh": torch.randn(1).expand(H).requires_grad_(),
    }
    assert_detaches(function, strided, bptt_steps)


@CASES
@TRUNCATED
def test_float32_stays_float32_and_close_to_float64(function, make, bptt_steps):
    inputs = make()
    single = {n: v.detach().float().requires_grad_() for n, v in inputs.items()}
    out = function(**single, bptt_steps=bptt_steps)
    assert out.dtype == torch.float32
    assert_close(out, function(**inputs).float())
    expected = {n: g.float() for n, g in gradients(function, inputs, bptt_steps=bptt_steps).items()}
    assert_close(gradients(function, single, bptt_steps=bptt_steps), expected)


@CASES
@TRUNCATED
def test_gradient_through_a_second_backward_is_the_same(function, make, bptt_steps):
    out = function(**(inputs := make()), bptt_steps=bptt_steps)
    first, second = (
        torch.autograd.grad(out, list(inputs.values()), upstream(out), retain_graph=keep)
        for keep in (True, False)
    )
    torch.testing.assert_close(first, second, **BITS)


@CASES
@TRUNCATED
def test_graphs_alive_together_do_not_disturb_each_other(function, make, bptt_steps):
    problems = [make() for _ in range(3)]
    outs = [function(**inputs, bptt_steps=bptt_steps) for inputs in problems]
    found = [
        torch.autograd.grad(out, list(inputs.values()), upstream(out), retain_graph=True)
        for _ in range(2)
        for out, inputs in reversed(list(zip(outs, problems, strict=True)))
    ]
    assert_close(outs, [detached(**inputs) for inputs in problems])
    expected = [
        tuple(gradients(detached, p, bptt_steps=bptt_steps).values()) for p in problems[::-1]
    ]
    for one, other in zip(found, expected * 2, strict=True):
        assert_close(one, other)


@CASES
@TRUNCATED
def test_threads_do_not_disturb_each_other(function, make, bptt_steps):
    problems = [make() for _ in range(8)]
    with ThreadPoolExecutor(4) as pool:
        found = list(
            pool.map(lambda p: gradients(function, p, bptt_steps=bptt_steps), problems * 4)
        )
    expected = [gradients(detached, p, bptt_steps=bptt_steps) for p in problems]
    for one, other in zip(found, expected * 4, strict=True):
        assert_close(one, other)


@pytest.mark.parametrize(
    ("function", "make", "name"),
    [(tanh_rnn, cell, name) for name in CELL] + [(last_output, network, n) for n in NETWORK],
)
@pytest.mark.parametrize("alone", [True, False])
@pytest.mark.parametrize("create_graph", [False, True])
@TRUNCATED
def test_gradient_does_not_depend_on_which_others_are_wanted(
    function, make, name, alone, create_graph, bptt_steps
):
    inputs = make()
    everything = gradients(function, inputs, bptt_steps=bptt_steps)
    some = {n: v.detach().requires_grad_((n == name) is alone) for n, v in inputs.items()}
    found = gradients(function, some, bptt_steps=bptt_steps, create_graph=create_graph)
    assert_close(found, {n: everything[n] for n in inputs if (n == name) is alone})


@CASES
@pytest.mark.parametrize("name", ["x", "h0", "Wih", "Whh"])
def test_gradient_after_an_input_has_changed_is_refused(function, make, name):
    inputs = make()
    loss = function(**inputs).sum()
    with torch.no_grad():
        inputs[name].mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_gradient_after_the_states_have_changed_is_refused():
    states = tanh_rnn(**cell())
    loss = states.sum()
    with torch.no_grad():
        states.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


# Truncation


@CASES
@pytest.mark.parametrize("bptt_steps", range(1, T + 1))
def test_truncated_gradient_matches_a_loop_that_detaches(function, make, bptt_steps):
    inputs = make()
    expected = gradients(detached, inputs, bptt_steps=bptt_steps)
    assert_close(gradients(function, inputs, bptt_steps=bptt_steps), expected)
    assert_close(gradients(function, inputs, bptt_steps=bptt_steps, create_graph=True), expected)


@CASES
def test_truncation_changes_the_gradient(function, make):
    inputs = make()
    exact = gradients(function, inputs)
    truncated = gradients(function, inputs, bptt_steps=K)
    for name in CELL:
        assert relative_difference(truncated[name], exact[name]) > 0.05, name


@CASES
def test_truncation_leaves_exact_zeros_before_its_depth(function, make):
    found = gradients(function, make(), bptt_steps=K)
    assert not found["x"][:, : T - K].any()
    assert found["x"][:, T - K :].all()
    assert not found["h0"].any()


@CASES
def test_truncation_does_not_change_the_values(function, make):
    inputs = make()
    torch.testing.assert_close(function(**inputs, bptt_steps=K), function(**inputs), **BITS)


@CASES
@pytest.mark.parametrize("bptt_steps", [T, T + 1, 10**9])
def test_depth_of_the_whole_window_is_exact_to_the_bit(function, make, bptt_steps):
    inputs = make()
    found = gradients(function, inputs, bptt_steps=bptt_steps)
    torch.testing.assert_close(found, gradients(function, inputs), **BITS)


@CASES
def test_meta_tensors_never_meet_the_memory_of_the_cpu(function, make):
    inputs = make()
    function(**inputs).sum().backward()  # leaves blocks of these sizes behind
    ghosts = {n: None if v is None else v.detach().to("meta") for n, v in inputs.items()}
    ghosts = {n: v if v is None else v.requires_grad_() for n, v in ghosts.items()}
    out = function(**ghosts)
    out.sum().backward()
    assert (out.device.type, ghosts["Whh"].grad.device.type) == ("meta", "meta")


@CASES
def test_autocast_leaves_values_and_gradients_alone(function, make):
    inputs = {n: v.detach().float().requires_grad_() for n, v in make().items()}
    expected, grads = function(**inputs), gradients(function, inputs)
    with torch.autocast("cpu", torch.bfloat16):
        found, within = function(**inputs), gradients(function, inputs)
        with torch.no_grad():
            assert function(**inputs).dtype == torch.float32
    torch.testing.assert_close(found, expected, **BITS)
    assert_close(within, grads)


def test_last_output_keeps_no_more_states_than_its_depth():
    inputs = network(T=50)
    before = memory()
    with torch.autograd.graph.saved_tensors_hooks(lambda saved: saved, lambda saved: saved):
        y = last_output(**inputs, bptt_steps=K)
    _workspace._idle.clear()  # what waits to be used again is not kept for this gradient
    gc.collect()
    kept = sum(size for where, size in memory().items() if where not in before)
    # The states of K steps, the one that they follow, their inputs, what is returned, small change.
    assert kept < ((K + 1) * B * H + K * B * D + y.numel() + B * H) * y.element_size()


def checkpointed(net, x):
    """The last output of a module, with nothing kept of it but what it reads."""
    return torch.utils.checkpoint.checkpoint(net, x, use_reentrant=False)


class TorchNet(torch.nn.Module):
    """The last output of the same network as torch's own modules compute it."""

    def __init__(self, net):
        super().__init__()
        self.rnn, self.head = net.to_torch()

    def forward(self, x):
        return self.head(self.rnn(x)[0][:, -1])


@pytest.mark.slow
@pytest.mark.parametrize("bptt_steps", [None, 30])
def test_checkpoint_frees_the_states_as_it_does_for_torch(bptt_steps):
    net, x = SinRNN(D, H, O, bptt_steps=bptt_steps), torch.randn(B, 50, D)
    kept = []
    for module in (TorchNet(net), net):
        before = memory()
        y = checkpointed(module, x)
        _workspace._idle.clear()
        gc.collect()
        kept.append(sum(size for where, size in memory().items() if where not in before))
        del y
    assert kept[1] <= kept[0] + B * H * 8  # far from the 50 states


@pytest.mark.parametrize("T", [1, T, 50])
@pytest.mark.parametrize("bptt_steps", [None, K])
def test_checkpoint_on_chunks_gives_the_same_gradient(T, bptt_steps):
    inputs = network(T=T)

    def chunk(*cell):
        return tanh_rnn(*cell)[:, -1]

    def chunks(x, h0, Wih, Whh, bh, Who, bo):
        for part in x.split(8, 1):
            h0 = torch.utils.checkpoint.checkpoint(
                chunk, part, h0, Wih, Whh, bh, use_reentrant=False
            )
        return torch.nn.functional.linear(h0, Who, bo)

    assert_close(gradients(chunks, inputs), gradients(last_output, inputs))
    net, x = SinRNN(D, H, O, bias=True, bptt_steps=bptt_steps), inputs["x"]
    assert_close(gradients(partial(checkpointed, net), {"x": x}), gradients(net, {"x": x}))


def test_save_on_cpu_gives_the_same_gradient_and_sees_the_states():
    inputs, seen = network(), []

    def pack(kept):
        seen.append(tuple(kept.shape))
        return kept.clone()

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda kept: kept):
        found = gradients(last_output, inputs)
    assert (T, B, H) in seen
    assert_close(found, gradients(last_output, inputs))


def memory():
    """The storages of all dense tensors that Python can reach: where -> bytes."""
    plain = (torch.Tensor, torch.nn.Parameter)  # what torch.compile leaves behind has no memory
    found = [o for o in gc.get_objects() if type(o) in plain]
    storages = [o.untyped_storage() for o in found if o.layout is torch.strided]
    return {s.data_ptr(): s.nbytes() for s in storages if s.device.type == "cpu"}


# Derivatives of the gradient, and torch.func


def second_gradients(function, inputs, bptt_steps):
    """The gradient of the squared length of the gradient."""
    grads = gradients(function, inputs, bptt_steps=bptt_steps, create_graph=True)
    length = sum((g**2).sum() for g in grads.values())
    found = torch.autograd.grad(length, list(inputs.values()), materialize_grads=True)
    return dict(zip(inputs, found, strict=True))


@CASES
@TRUNCATED
def test_second_gradient_matches_a_loop_that_detaches(function, make, bptt_steps):
    inputs = make()
    expected = second_gradients(detached, inputs, bptt_steps)
    assert_close(second_gradients(function, inputs, bptt_steps), expected)


@CASES
def test_gradient_with_a_graph_counts_each_path_once(function, make):
    # h0 depends on Whh: the path through h0 belongs to h0's gradient, and comes back from there.
    inputs = make()

    def tied(Whh, recur):
        return recur(**inputs | {"h0": inputs["h0"] @ Whh, "Whh": Whh})

    Whh = {"Whh": inputs["Whh"]}
    expected = gradients(tied, Whh, recur=detached)
    assert_close(gradients(tied, Whh, recur=function, create_graph=True), expected)


@CASES
@TRUNCATED
def test_func_grad_is_the_gradient(function, make, bptt_steps):
    inputs = {n: v.detach() for n, v in make().items()}

    def loss(inputs):
        out = function(**inputs, bptt_steps=bptt_steps)
        return (out * upstream(out)).sum()

    expected = {n: v.clone().requires_grad_() for n, v in inputs.items()}
    expected = gradients(detached, expected, bptt_steps=bptt_steps)
    assert_close(torch.func.grad(loss)(inputs), expected)


@CASES
def test_func_vmap_gives_each_network_of_an_ensemble_its_own(function, make):
    x = torch.randn(B, T, D)
    ensemble = [{n: v for n, v in make().items() if n != "x"} for _ in range(3)]
    stacked = {n: torch.stack([one[n].detach() for one in ensemble]) for n in ensemble[0]}

    def loss(weights):
        out = function(x, **weights, bptt_steps=K)
        return (out * upstream(out)).sum()

    found = torch.func.vmap(torch.func.grad(loss))(stacked)
    for i, one in enumerate(ensemble):
        expected = gradients(partial(detached, x), one, bptt_steps=K)
        assert_close({n: g[i] for n, g in found.items()}, expected)


# The errors


def zeros(*shape, dtype=torch.float64):
    return torch.zeros(*shape, dtype=dtype)


SINGLE = torch.float32
FLOATS = "must be a tensor of floating-point numbers, got"
DTYPES = "the dtypes must agree, got {} torch.float32 and Wih torch.float64"
FIT = "with T >= 1 to fit Wih (5, 2)"
BATCH = "to fit x (6, 7, 2) and Wih (5, 2)"
CELL_ERRORS = [
    ("x", 1.0, TypeError, f"x {FLOATS} float"),
    ("x", [[[0.0]]], TypeError, f"x {FLOATS} list"),
    ("x", np.zeros((6, 7, 2)), TypeError, f"x {FLOATS} ndarray"),
    ("x", zeros(6, 7, 2, dtype=torch.int64), TypeError, f"x {FLOATS} torch.int64"),
    ("h0", [0.0] * 5, TypeError, f"h0 {FLOATS} list"),
    *(
        ("x", zeros(*wrong), ValueError, f"x must be (B, T, 2) {FIT}, got {wrong}")
        for wrong in [(7, 2), (6, 7, 3), (6, 0, 2)]
    ),
    ("Wih", zeros(5), ValueError, "Wih must be (H, D), got (5,)"),
    ("Whh", zeros(5, 4), ValueError, "Whh must be (5, 5) to fit Wih (5, 2), got (5, 4)"),
    ("bh", zeros(1), ValueError, "bh must be (5,) to fit Wih (5, 2), got (1,)"),
    ("h0", zeros(1, 5), ValueError, f"h0 must be (6, 5) {BATCH}, got (1, 5)"),
    ("x", zeros(6, 7, 2, dtype=SINGLE), ValueError, DTYPES.format("x")),
    ("h0", zeros(6, 5, dtype=SINGLE), ValueError, DTYPES.format("h0")),
    ("Whh", zeros(5, 5, dtype=SINGLE), ValueError, DTYPES.format("Whh")),
    ("bh", zeros(5, dtype=SINGLE), ValueError, DTYPES.format("bh")),
    ("bptt_steps", 0, ValueError, "bptt_steps must be at least 1 step or None, got 0"),
    ("bptt_steps", -1, ValueError, "bptt_steps must be at least 1 step or None, got -1"),
]
READOUT_ERRORS = [
    ("Who", zeros(3, 4), ValueError, "Who must be (O, 5) to fit Wih (5, 2), got (3, 4)"),
    ("bo", zeros(1), ValueError, "bo must be (3,) to fit Who (3, 5), got (1,)"),
    ("Who", zeros(3, 5, dtype=SINGLE), ValueError, DTYPES.format("Who")),
    ("bo", zeros(3, dtype=SINGLE), ValueError, DTYPES.format("bo")),
]


@pytest.mark.parametrize(
    ("function", "make", "name", "value", "error", "message"),
    [(tanh_rnn, cell, *row) for row in CELL_ERRORS]
    + [(last_output, network, *row) for row in CELL_ERRORS + READOUT_ERRORS],
)
def test_misfit_is_refused_by_name(function, make, name, value, error, message):
    with refuses(error, message):
        function(**make() | {name: value})


def fading(T, scale, dtype):
    """What last_output reads, with a gradient that shrinks by about `scale` at every step."""
    tensors = network(T=T, D=1, h0=False, bias=False)
    with torch.no_grad():
        tensors["Whh"].mul_(scale)
    return {n: v if v is None else v.detach().to(dtype) for n, v in tensors.items()}


def last_gradients(function, tensors, size, **options):
    """Gradients of what last_output reads, for a loss that is `size` times its output."""
    wanted = {n: v.clone().requires_grad_() for n, v in tensors.items() if v is not None}
    y = function(**(tensors | wanted), **options)
    found = torch.autograd.grad(y, list(wanted.values()), torch.full_like(y, size))
    return dict(zip(wanted, found, strict=True))


def test_vanished_gradient_is_as_exact_as_float32_can_hold_it():
    tensors = fading(200, 0.5, torch.float32)
    found = last_gradients(last_output, tensors, 1.0)
    double = {n: v if v is None else v.double() for n, v in tensors.items()}
    exact = last_gradients(_reference.last_output, double, 1.0)
    for name in ("Wih", "Whh", "Who"):
        assert_close(found[name], exact[name].float())
    # Per input: right as long as float32 has all its digits, then zero.
    x, exact_x = found["x"].double(), exact["x"]
    held = exact_x.abs().amax((0, 2)) > 1e-30
    assert held.sum() > 50
    torch.testing.assert_close(x[:, held], exact_x[:, held], rtol=1e-3, atol=1e-33)
    assert (x[:, ~held].abs() < 1e-30).all()
    assert (x[:, :50] == 0).all()


def test_vanished_gradient_leaves_no_subnormal_numbers_behind():
    found = last_gradients(last_output, fading(200, 0.7, torch.float32), 1.0)["x"]
    tiny = torch.finfo(torch.float32).tiny
    assert (found == 0).any()
    assert (found != 0).any()
    assert not ((found != 0) & (found.abs() < tiny)).any()


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_gradient_that_fades_evenly_ends_before_the_subnormal_numbers(sign):
    # 0.6 a step; of this T a check at each 64th step instead of each 32nd would come too late.
    tensors = fading(248, 0.5, torch.float32)
    tensors |= {n: tensors[n].abs() for n in ("Wih", "Who")}
    tensors |= {"Whh": 0.6 * torch.eye(H, dtype=torch.float32), "x": 0 * tensors["x"]}
    found = sign * last_gradients(last_output, tensors, sign)["x"]
    assert (found >= 0).all()
    assert (found > 0).any()
    assert (found == 0).any()
    assert not ((found > 0) & (found < torch.finfo(torch.float32).tiny)).any()


def test_small_gradient_of_float64_is_kept_beside_one_that_vanishes():
    tensors = fading(64, 0.7, torch.float64)
    wanted = {n: v.clone().requires_grad_() for n, v in tensors.items() if v is not None}
    size = torch.ones(B, O)
    size[0] = 1e-290  # its window leaves the normal numbers on its way back
    size[1] = 1e-40
    y = last_output(**(tensors | wanted))
    (found,) = torch.autograd.grad(y, wanted["x"], size, retain_graph=True)
    (usual,) = torch.autograd.grad(y, wanted["x"], torch.ones(B, O))
    assert_close(found[1] * 1e40, usual[1])


@CASES
@pytest.mark.parametrize("bptt_steps", [None, K])
def test_no_windows_and_no_numbers_have_a_gradient_however_long(function, make, bptt_steps):
    for device, batch in (("cpu", 0), ("meta", B)):
        given = {n: v.detach().to(device) for n, v in make(B=batch, T=70).items()}
        inputs = {n: v.requires_grad_() for n, v in given.items()}
        out = function(**inputs, bptt_steps=bptt_steps)
        grads = torch.autograd.grad(out, list(inputs.values()), torch.ones_like(out))
        assert [g.shape for g in grads] == [v.shape for v in inputs.values()]


@CASES
def test_many_gradients_at_once_are_each_of_them_without_a_graph(function, make):
    inputs = make()
    out, wanted = function(**inputs), list(inputs.values())
    ways = torch.randn(3, *out.shape)
    found = torch.autograd.grad(out, wanted, ways, is_grads_batched=True, retain_graph=True)
    each = [torch.autograd.grad(out, wanted, way, retain_graph=True) for way in ways]
    assert_close(list(found), [torch.stack(grads) for grads in zip(*each, strict=True)])
    assert not any(grad.requires_grad for grad in found)


def test_gradient_of_a_tiny_loss_is_kept():
    tensors = fading(60, 0.9, torch.float32)
    found, usual = (last_gradients(last_output, tensors, size) for size in (1e-28, 1.0))
    for name in ("Wih", "Whh", "Who"):
        assert_close(found[name] * 1e28, usual[name])


def test_gradient_that_vanished_comes_back_where_an_earlier_state_is_read():
    tensors = fading(200, 0.5, torch.float32)
    inputs = {n: tensors[n] for n in ("x", "h0", "Wih", "Whh", "bh")}
    weight = torch.zeros(200)
    weight[[30, 199]] = 1.0

    def loss(function, inputs, dtype):
        given = {n: v if v is None else v.to(dtype).requires_grad_() for n, v in inputs.items()}
        h = function(**given)
        return torch.autograd.grad((h.sum((0, 2)) * weight).sum(), [given["x"], given["Whh"]])

    found = loss(tanh_rnn, inputs, torch.float32)
    exact = loss(_reference.states, inputs, torch.float64)
    assert_close(found[1], exact[1].float())
    torch.testing.assert_close(found[0], exact[0].float(), rtol=1e-3, atol=1e-30)


def test_window_whose_gradient_has_vanished_does_not_slow_the_others_or_change_them():
    tensors = fading(200, 0.97, torch.float32)
    tensors["x"][0] = 9.0  # saturated: its gradient is below all others', and soon below 1e-38
    tensors["Wih"] = torch.ones_like(tensors["Wih"])
    found = last_gradients(last_output, tensors, 1.0)
    exact = last_gradients(_reference.last_output, tensors, 1.0)
    for name in ("Wih", "Whh", "Who"):
        assert_close(found[name], exact[name])
    tiny = torch.finfo(torch.float32).tiny
    size = found["x"].abs()
    assert not ((size > 0) & (size < tiny))[:, :-32].any()
    torch.testing.assert_close(found["x"][1:], exact["x"][1:], rtol=1e-3, atol=1e-30)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("bptt_steps", [None, K, 1, T + 2])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_half_mse_gradient_has_the_bits_of_autograd(dtype, bptt_steps, bias):
    net = SinRNN(D, H, O, bias=bias, bptt_steps=bptt_steps, init="torch", dtype=dtype)
    x, y = torch.randn(B, T, D, dtype=dtype), torch.randn(B, O, dtype=dtype)
    weights = net.Wih, net.Whh, net.bh, net.Who, net.bo
    loss, found = bptt.half_mse_gradient(x, y, weights, bptt_steps)
    expected = half_mse(net(x), y)
    expected.backward()
    torch.testing.assert_close(loss, expected.detach(), **BITS)
    assert [grad is None for grad in found] == [weight is None for weight in weights]
    for weight, grad in zip(weights, found, strict=True):
        if weight is not None:
            torch.testing.assert_close(grad, weight.grad, **BITS)
