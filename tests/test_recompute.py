"""bptt.last_output with keep_every against itself without, which keeps every state."""

import gc
from functools import partial

import pytest
import torch
from cases import BITS, TOLERANCE, B, D, H, K, O, T, assert_close, gradients, network, refuses

from sinrnn import SinRNN, bptt, workspace

EVERY = [1, 2, 3, T, T + 5]


def strided(inputs):
    """The same numbers, laid out otherwise in memory."""
    spread = {n: v if v is None else torch.stack([v, v], -1)[..., 0] for n, v in inputs.items()}
    return {n: v if v is None else v.detach().requires_grad_() for n, v in spread.items()}


@pytest.mark.parametrize("depth", [None, 1, K, T, T + 1])
@pytest.mark.parametrize("h0", [True, False])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("keep_every", EVERY)
def test_output_and_gradient_are_the_same(keep_every, bias, h0, depth):
    inputs = network(h0=h0, bias=bias)
    found = partial(bptt.last_output, keep_every=keep_every)
    same = bptt.last_output(**inputs, depth=depth)
    assert_close(found(**inputs, depth=depth), same)
    with torch.no_grad():
        assert_close(found(**inputs, depth=depth), same.detach())
    assert_close(
        gradients(found, inputs, depth=depth), gradients(bptt.last_output, inputs, depth=depth)
    )


@pytest.mark.parametrize("sizes", [(0, 3, 2, 5, 3), (1, 1, 1, 1, 1), (2, 5, 1, 1, 2)])
def test_smallest_sizes_have_the_same_gradient(sizes):
    inputs = network(*sizes)
    found = gradients(partial(bptt.last_output, keep_every=2), inputs)
    assert_close(found, gradients(bptt.last_output, inputs))


def test_strided_inputs_have_the_same_gradient():
    inputs = strided(network())
    found = gradients(partial(bptt.last_output, keep_every=3), inputs)
    assert_close(found, gradients(bptt.last_output, inputs))


@pytest.mark.parametrize("name", ["x", "h0", "Wih", "Whh", "bh", "Who", "bo"])
def test_gradient_does_not_depend_on_which_others_are_wanted(name):
    inputs = network()
    alone = {n: v.detach().requires_grad_(n == name) for n, v in inputs.items()}
    found = gradients(partial(bptt.last_output, keep_every=3), alone)
    assert_close(found[name], gradients(bptt.last_output, inputs)[name])


def test_float32_gradient_is_as_close_to_float64():
    double = network(T=60)
    single = {n: v.detach().float().requires_grad_() for n, v in double.items()}
    found = gradients(partial(bptt.last_output, keep_every=8), single)
    exact = gradients(bptt.last_output, double)
    for name, grad in found.items():
        assert grad.dtype == torch.float32
        error = (grad.double() - exact[name]).norm() / exact[name].norm()
        assert error < TOLERANCE[torch.float32]["rtol"]


@pytest.mark.parametrize("depth", [None, K])
def test_second_gradient_is_that_of_the_kept_states(depth):
    inputs, second = network(), []
    for function in (partial(bptt.last_output, keep_every=3), bptt.last_output):
        first = gradients(function, inputs, create_graph=True, depth=depth)
        wanted = list(inputs.values())
        total = sum(g.sin().sum() for g in first.values())
        second.append(torch.autograd.grad(total, wanted, materialize_grads=True))
    assert_close(second[0], second[1])


def test_gradient_through_a_second_backward_is_the_same():
    inputs = network()
    y = bptt.last_output(**inputs, keep_every=3)
    again = [
        torch.autograd.grad(y.sin().sum(), list(inputs.values()), retain_graph=True)
        for _ in range(2)
    ]
    torch.testing.assert_close(again[0], again[1], **BITS)


def test_gradient_after_an_input_has_changed_is_refused():
    inputs = network()
    y = bptt.last_output(**inputs, keep_every=3)
    with torch.no_grad():
        inputs["Whh"].mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def test_autocast_leaves_values_and_gradients_alone():
    inputs = {n: v.detach().float().requires_grad_() for n, v in network().items()}
    found = partial(bptt.last_output, keep_every=3)
    plain = gradients(found, inputs)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert_close(gradients(found, inputs), plain)


def storages():
    """Numbers in each storage of float64 tensors that are alive, by where it lies."""
    workspace._idle.clear()
    gc.collect()
    tensors = [t for t in gc.get_objects() if type(t) is torch.Tensor and t.dtype == torch.float64]
    return {s.data_ptr(): s.nbytes() // 8 for s in (t.untyped_storage() for t in tensors)}


def test_states_that_are_kept_are_a_few():
    steps, n = 400, 20
    inputs = network(T=steps)
    before = storages()
    y = bptt.last_output(**inputs, keep_every=n)
    kept = sum(size for where, size in storages().items() if where not in before)
    # One state for each chunk but the first, whose h0 is given; the last one; what is returned.
    assert kept == (steps // n) * B * H + y.numel()


def test_module_with_keep_every_is_the_module_without():
    torch.manual_seed(1)
    plain = SinRNN(D, H, O, bias=True, depth=K)
    sparse = SinRNN(D, H, O, bias=True, depth=K, keep_every=2)
    sparse.load_state_dict(plain.state_dict())
    x = torch.randn(B, T, D)
    for net in (plain, sparse):
        net(x).square().sum().backward()
    assert_close(sparse(x), plain(x))
    grads = [{n: p.grad for n, p in net.named_parameters()} for net in (sparse, plain)]
    assert_close(*grads)


def test_module_uses_what_it_was_asked_to(monkeypatch):
    asked = []
    monkeypatch.setattr(
        bptt, "last_output", lambda *inputs, **options: asked.append(options) or inputs[0]
    )
    SinRNN(D, H, keep_every=9, depth=K)(torch.randn(B, T, D))
    assert asked == [{"depth": K, "keep_every": 9}]


def test_steps_below_one_are_refused():
    with refuses(ValueError, "keep_every must be at least 1 step or None, got 0"):
        SinRNN(keep_every=0)


def test_misfit_is_refused_as_without():
    inputs = network() | {"Whh": torch.randn(H, H + 1)}
    with refuses(ValueError, f"Whh must be {(H, H)} to fit Wih {(H, D)}, got {(H, H + 1)}"):
        bptt.last_output(**inputs, keep_every=2)


def test_func_grad_is_the_gradient():
    inputs = network()
    function = partial(bptt.last_output, keep_every=3)

    def loss(Whh):
        return function(**(inputs | {"Whh": Whh})).sin().sum()

    found = torch.func.grad(loss)(inputs["Whh"].detach())
    (exact,) = torch.autograd.grad(loss(inputs["Whh"]), inputs["Whh"])
    assert_close(found, exact)
