"""SinRNN: its four ways to run against each other and NumPy, its readout, its units, its state."""

import copy
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import reference
import torch
from cases import BITS, B, D, H, K, O, T, assert_close, refuses, upstream

import sinrnn
from sinrnn import SinRNN
from sinrnn.nn.functional import last_output, tanh_rnn
from sinrnn.nn.init import INITS

BIAS = pytest.mark.parametrize("bias", [True, False])
FIT = "x must be (B, T, 2) with T >= 1 to fit Wih (5, 2), got"
STEP = "x must be (B, 2) to fit Wih (5, 2), got"
FLOATS = "x must be a tensor of floating-point numbers, got"


def network(outputs=O, *, bias=True, **options):
    """A SinRNN of the standard sizes whose biases, where it has them, are not zero."""
    net = SinRNN(D, H, outputs, bias=bias, **options)
    with torch.no_grad():
        for b in (net.bh, net.bo):
            if b is not None:
                b.normal_(std=0.25)
    return net


def given():
    """Windows and the state before them."""
    return torch.randn(B, T, D) / 2, torch.randn(B, H) / 2


# The ways to run it


@BIAS
def test_unroll_and_forward_match_numpy(bias):
    net, (x, h0) = network(bias=bias), given()
    weights = {n: w.detach().numpy() for n, w in net.state_dict().items()}
    weights = {"bh": np.zeros(H), "bo": np.zeros(O)} | weights
    samples = [reference.forward(x[b].numpy(), h0[b].numpy(), **weights) for b in range(B)]
    h, y = (torch.tensor(np.stack(parts)) for parts in zip(*samples, strict=True))
    assert_close(net.unroll(x, h0), (h[:, 1:], y))
    assert_close(net(x, h0), y[:, -1])


@BIAS
def test_no_h0_means_zeros(bias):
    net, (x, _) = network(D, bias=bias), given()
    zeros = torch.zeros(B, H)
    assert_close(net(x), net(x, zeros))
    assert_close(net.unroll(x), net.unroll(x, zeros))
    assert_close(net.step(x[:, 0]), net.step(x[:, 0], zeros))
    assert_close(net.rollout(x, 3), net.rollout(x, 3, zeros))


@BIAS
def test_one_window_without_a_batch_is_a_batch_of_one(bias):
    net, (x, h0) = network(D, bias=bias), given()
    h, y = net.unroll(x[:1], h0[:1])
    for window in (None, K):
        one = net.rollout(x[0], 3, h0[0], window=window)
        assert_close(one, net.rollout(x[:1], 3, h0[:1], window=window)[0])
    assert_close(net(x[0], h0[0]), net(x[:1], h0[:1])[0])
    assert_close(net(x[0]), net(x[:1])[0])
    assert_close(net.unroll(x[0], h0[0]), (h[0], y[0]))


@BIAS
def test_step_one_sample_at_a_time_is_unroll(bias):
    net, (x, h) = network(bias=bias), given()
    states, outputs = net.unroll(x, h)
    for t in range(T):
        h, y = net.step(x[:, t], h)
        assert_close((h, y), (states[:, t], outputs[:, t]))


@BIAS
def test_rollout_without_window_is_step_fed_its_own_outputs(bias):
    net, (x, h0) = network(D, bias=bias), given()
    h, made = h0, []
    for t in range(T):
        h, y = net.step(x[:, t], h)
    for _ in range(9):
        made.append(y)
        h, y = net.step(y, h)
    assert_close(net.rollout(x, 9, h0), torch.stack(made, dim=1))


def test_rollout_with_window_slides_it_over_its_own_outputs():
    net, (x, h0) = network(D), given()
    known = x
    for _ in range(9):
        known = torch.cat([known, net(known[:, -K:], h0)[:, None]], dim=1)
    assert_close(net.rollout(x, 9, h0, window=K), known[:, T:])


@pytest.mark.parametrize("window", [None, K])
def test_rollout_passes_the_gradient_of_every_prediction(window):
    net, (x, h0) = network(D), given()
    x.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: net.rollout(x, 3, h0, window=window), x)


def test_depth_of_the_network_is_the_depth_of_its_gradient():
    net, (x, h0) = network(bptt_steps=K), given()
    weights = [net.Wih, net.Whh, net.bh, net.Who, net.bo]

    def gradient(y):
        return torch.autograd.grad(y, weights, upstream(y), retain_graph=True)

    expected = last_output(x, h0, *weights, bptt_steps=K)
    assert_close(gradient(net(x, h0)), gradient(expected))
    h = tanh_rnn(x, h0, *weights[:3], bptt_steps=K)
    assert_close(gradient(net.unroll(x, h0)[1]), gradient(h @ net.Who.T + net.bo))
    exact = gradient(last_output(x, h0, *weights))
    assert (exact[1] - gradient(expected)[1]).norm() > 0.05 * exact[1].norm()


def test_functional_call_over_stacked_networks_runs_each():
    nets, (x, h0) = [network() for _ in range(3)], given()
    stacked, _ = torch.func.stack_module_state(nets)

    def run(weights):
        return torch.func.functional_call(nets[0], weights, (x, h0))

    expected = torch.stack([net(x, h0) for net in nets])
    assert_close(torch.func.vmap(run)(stacked), expected)


# What it refuses


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"input_size": 0}, "input_size must be at least 1, got 0"),
        ({"hidden_size": -1}, "hidden_size must be at least 1, got -1"),
        ({"output_size": 0}, "output_size must be at least 1, got 0"),
        ({"bptt_steps": 0}, "bptt_steps must be at least 1 step or None, got 0"),
        ({"init": "he"}, "init must be one of orthogonal, linear, torch, notebook, got 'he'"),
    ],
)
def test_constructor_refuses_by_name(options, message):
    with refuses(ValueError, message):
        SinRNN(**options)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda net: net([0.0]), TypeError, f"{FLOATS} list"),
        (lambda net: net.unroll([0.0]), TypeError, f"{FLOATS} list"),
        (lambda net: net.step(1.0), TypeError, f"{FLOATS} float"),
        (lambda net: net.rollout([0.0], 3), TypeError, f"{FLOATS} list"),
        (lambda net: net(torch.zeros(7)), ValueError, f"{FIT} (7,)"),
        (lambda net: net(torch.zeros(7, 3)), ValueError, f"{FIT} (1, 7, 3)"),
        (lambda net: net.unroll(torch.zeros(6, 7, 1)), ValueError, f"{FIT} (6, 7, 1)"),
        (lambda net: net.rollout(torch.zeros(7), 3), ValueError, f"{FIT} (7,)"),
        (lambda net: net.step(torch.zeros(2)), ValueError, f"{STEP} (2,)"),
        (lambda net: net.step(torch.zeros(6, 3)), ValueError, f"{STEP} (6, 3)"),
        (
            lambda net: net.step(torch.zeros(6, 2), torch.zeros(1, 5)),
            ValueError,
            "h0 must be (6, 5) to fit x (6, 2) and Wih (5, 2), got (1, 5)",
        ),
        (  # a step of no window is one all the same, and x is not what is wrong
            lambda net: net.step(torch.zeros(0, 2), torch.zeros(1, 5)),
            ValueError,
            "h0 must be (0, 5) to fit x (0, 2) and Wih (5, 2), got (1, 5)",
        ),
        (
            lambda net: net(torch.zeros(6, 7, 2), torch.zeros(5)),
            ValueError,
            "h0 must be (6, 5) to fit x (6, 7, 2) and Wih (5, 2), got (5,)",
        ),
        (
            lambda net: net(torch.zeros(6, 7, 2, dtype=torch.float32)),
            ValueError,
            "the dtypes must agree, got x torch.float32 and Wih torch.float64",
        ),
        (
            lambda net: net.rollout(torch.zeros(7, 2), 0),
            ValueError,
            "steps must be at least 1, got 0",
        ),
        (
            lambda net: net.fit_readout(torch.zeros(6, 7, 2), torch.zeros(6)),
            ValueError,
            "y must be (6, 2) to fit x (6, 7, 2), got (6,)",
        ),
    ],
)
def test_call_refuses_by_name(call, error, message):
    net = network(D)
    with refuses(error, message):
        call(net)


@pytest.mark.parametrize(
    ("outputs", "window", "message"),
    [
        (
            O,
            None,
            "a rollout feeds outputs back as inputs: output_size must equal input_size, 2, got 3",
        ),
        (D, 0, "window must be at least 1, got 0"),
        (D, T + 1, "x must have at least 8 steps, got 7"),
    ],
)
def test_rollout_refuses_what_cannot_be(outputs, window, message):
    net, (x, _) = network(outputs), given()
    with refuses(ValueError, message):
        net.rollout(x, 3, window=window)


# Its weights


def test_parameters_have_the_names_and_shapes_of_the_design():
    shapes = {n: tuple(p.shape) for n, p in network().named_parameters()}
    assert shapes == {"Wih": (H, D), "Whh": (H, H), "Who": (O, H), "bh": (H,), "bo": (O,)}


def test_network_without_bias_has_none_to_train_or_store():
    net = network(bias=False)
    assert net.bh is None
    assert net.bo is None
    assert set(dict(net.named_parameters())) == set(net.state_dict()) == {"Wih", "Whh", "Who"}


def test_init_orthogonal_keeps_the_length_of_a_state():
    net = SinRNN(D, 40, O, bias=True)
    assert_close(net.Whh.T @ net.Whh, torch.eye(40))
    for weight in (net.Wih, net.Who):
        assert weight.abs().max() <= 40**-0.5
        assert weight.unique().numel() == weight.numel()
    assert not net.bh.any()
    assert not net.bo.any()


def test_init_linear_reads_the_input_by_a_hundredth():
    net = SinRNN(D, 400, O, bias=True, init="linear")
    assert 0.009 < net.Wih.std() < 0.011
    assert net.Wih.mean().abs() < 0.002
    assert_close(net.Whh.T @ net.Whh, torch.eye(400))
    assert 0.9 * 400**-0.5 < net.Who.abs().max() <= 400**-0.5
    for weight in (net.Wih, net.Who):
        assert weight.unique().numel() == weight.numel()
    assert not net.bh.any()
    assert not net.bo.any()


def test_init_torch_fills_the_interval_of_torch():
    for name, weight in SinRNN(D, 40, O, bias=True, init="torch").named_parameters():
        assert weight.abs().max() <= 40**-0.5, name
        assert weight.unique().numel() == weight.numel(), name
        assert (weight < 0).any(), name


def test_init_notebook_fills_the_interval_of_the_notebook():
    net = SinRNN(D, 40, O, bias=True, init="notebook")
    for weight in (net.Wih, net.Whh, net.Who):
        assert weight.min() >= 0
        assert 0.9 < weight.max() < 0.99
    assert not net.bh.any()
    assert not net.bo.any()


@pytest.mark.parametrize("init", INITS)
def test_reset_parameters_draws_anew_and_the_seed_decides(init):
    torch.manual_seed(7)
    net = SinRNN(D, H, O, bias=True, init=init)
    first = copy.deepcopy(net.state_dict())
    net.reset_parameters()
    assert not any(torch.equal(net.state_dict()[n], first[n]) for n in ("Wih", "Whh", "Who"))
    torch.manual_seed(7)
    net.reset_parameters()
    torch.testing.assert_close(net.state_dict(), first, **BITS)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_dtype_is_that_of_every_weight_and_output(dtype):
    net = SinRNN(D, H, O, bias=True, dtype=dtype)
    assert {p.dtype for p in net.parameters()} == {dtype}
    assert net(torch.zeros(B, T, D, dtype=dtype)).dtype == dtype


@pytest.mark.parametrize("init", INITS)
def test_device_meta_makes_shapes_without_numbers(init):
    net = SinRNN(D, H, O, bias=True, init=init, device="meta")
    assert {p.device.type for p in net.parameters()} == {"meta"}


def test_repr_is_the_call_that_makes_it():
    net = SinRNN(D, H, O, bias=True, bptt_steps=K, init="torch")
    assert repr(net) == "SinRNN(2, 5, 3, bias=True, bptt_steps=4, init='torch')"
    assert repr(SinRNN()) == "SinRNN(1, 50, 1, bias=False, bptt_steps=None, init='orthogonal')"


@BIAS
@pytest.mark.parametrize("clone", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_copy_is_equal_and_apart(bias, clone):
    net, (x, h0) = network(bias=bias, bptt_steps=K, init="torch"), given()
    other = clone(net)
    torch.testing.assert_close(other.state_dict(), net.state_dict(), **BITS)
    assert repr(other) == repr(net)
    before = net(x, h0)
    with torch.no_grad():
        other.Whh.mul_(2)
    torch.testing.assert_close(net(x, h0), before, **BITS)


def test_state_dict_of_another_network_is_refused():
    with pytest.raises(RuntimeError, match=r'Missing key.*"bh", "bo"'):
        network().load_state_dict(network(bias=False).state_dict())
    with pytest.raises(RuntimeError, match=r'Unexpected key.*"bh", "bo"'):
        network(bias=False).load_state_dict(network().state_dict())


# The readout by least squares


@BIAS
def test_fit_readout_leaves_a_residual_orthogonal_to_the_states(bias):
    net, x, y = network(bias=bias), torch.randn(40, T, D), torch.randn(40, O)
    net.fit_readout(x, y)
    residual = y - net(x)
    reads = net.unroll(x)[0][:, -1]
    assert_close(reads.T @ residual, torch.zeros(H, O))
    if bias:
        assert_close(residual.sum(0), torch.zeros(O))


@BIAS
def test_fit_readout_is_the_best_readout(bias):
    net, x, y = network(bias=bias), torch.randn(40, T, D), torch.randn(40, O)
    drawn = copy.deepcopy(net.state_dict())
    net.fit_readout(x, y)
    fitted, least = copy.deepcopy(net.state_dict()), ((net(x) - y) ** 2).sum()
    for name in fitted.keys() - {"Wih", "Whh", "bh"}:
        for size in (1e-3, 1):
            other = fitted | {name: fitted[name] + size * torch.randn_like(fitted[name])}
            net.load_state_dict(other)
            assert ((net(x) - y) ** 2).sum() > least, name
    for name in drawn.keys() & {"Wih", "Whh", "bh"}:
        torch.testing.assert_close(fitted[name], drawn[name], **BITS)


@pytest.mark.parametrize(
    ("dtype", "apart", "options"),
    [
        (torch.float32, 1e-7, {}),
        (torch.float64, 1e-14, {}),
        (torch.float32, torch.finfo(torch.float32).eps, {"rcond": 0.0}),
        (torch.float64, torch.finfo(torch.float64).eps, {"rcond": 0.0}),
    ],
)
def test_fit_readout_does_not_tell_apart_what_is_nearly_the_same(dtype, apart, options):
    # Two units that differ by rounding: fitted to the difference, their weights would be huge.
    net = SinRNN(1, 2, 1, dtype=dtype)
    with torch.no_grad():
        net.Wih.copy_(torch.tensor([[1.0], [1.0 + apart]]))
    assert net.Wih[0] != net.Wih[1]
    x, y = torch.randn(40, 1, 1, dtype=dtype), torch.randn(40, 1, dtype=dtype)
    net.fit_readout(x, y, **options)
    assert_close(net.Who[:, 0], net.Who[:, 1])


@BIAS
def test_fit_readout_gives_no_weight_below_the_cutoff(bias):
    net, x, y = network(bias=bias), torch.randn(40, T, D), torch.randn(40, O)
    reads = net.unroll(x)[0][:, -1].detach().numpy()
    if bias:
        reads = np.hstack([reads, np.ones((40, 1))])
    u, s, vt = np.linalg.svd(reads, full_matrices=False)
    # A cutoff between each pair of neighbours leaves the first r directions.
    for r in range(1, len(s) + 1):
        below = s[r] if r < len(s) else 0.0
        net.fit_readout(x, y, rcond=(s[r - 1] + below) / (2 * s[0]))
        expected = torch.tensor((vt[:r].T / s[:r]) @ u[:, :r].T @ y.numpy()).T
        found = torch.cat([net.Who, net.bo[:, None]], 1) if bias else net.Who
        assert_close(found.detach(), expected)


# The package


@pytest.mark.process
def test_import_of_the_package_brings_torch_and_nothing_heavier(tmp_path):
    code = """
import sys, torch, sinrnn
sinrnn.SinRNN().save("net.safetensors")
sinrnn.SinRNN.load("net.safetensors")(torch.zeros(4, 1))
heavy = {"lightning", "pytorch_lightning", "matplotlib", "tensorboard", "torchmetrics",
         "jsonargparse"}
print(*sorted(heavy & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(Path(sinrnn.__file__).parents[1])},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (0, "\n"), done.stderr


def test_package_names_what_it_has_and_nothing_else():
    assert set(sinrnn.__all__) <= set(dir(sinrnn))
    with pytest.raises(AttributeError, match="module 'sinrnn' has no attribute 'nothing'"):
        sinrnn.nothing  # noqa: B018 - the access is the test


class Doubled(torch.nn.Module):
    """A parametrization."""

    def forward(self, weight):
        return 2 * weight


@pytest.mark.parametrize("name", ["Wih", "Whh", "bh", "Who", "bo"])
@pytest.mark.parametrize("how", ["parametrized", "tensor", "parameter"])
def test_replaced_weight_takes_effect(name, how):
    net, same = (SinRNN(D, H, O, bias=True, init="torch") for _ in range(2))
    same.load_state_dict(net.state_dict())
    weight = getattr(net, name).detach()
    with torch.no_grad():
        getattr(same, name).mul_(2)
    if how == "parametrized":
        torch.nn.utils.parametrize.register_parametrization(net, name, Doubled())
    else:
        delattr(net, name)
        setattr(net, name, 2 * weight if how == "tensor" else torch.nn.Parameter(2 * weight))
    x = torch.randn(B, T, D)
    assert_close(net(x), same(x))
    assert_close(net.unroll(x), same.unroll(x))
    assert_close(net.step(x[:, 0]), same.step(x[:, 0]))


DENSE = "x must be a dense tensor, got "
NESTED = f"{DENSE}a nested one: use torch.nested.to_padded_tensor, and lengths"


@pytest.mark.filterwarnings("ignore:.*nested tensors is in prototype stage")
@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta state")
@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda x: torch.nested.nested_tensor([x, x[:2]]), NESTED),
        (lambda x: torch.nested.nested_tensor([x, x[:2]], layout=torch.jagged), NESTED),
        (lambda x: torch.stack([x, x]).to_sparse(), f"{DENSE}torch.sparse_coo: use to_dense()"),
        (lambda x: x.to_sparse(), f"{DENSE}torch.sparse_coo: use to_dense()"),
        (lambda x: x.to_sparse_csr(), f"{DENSE}torch.sparse_csr: use to_dense()"),
    ],
)
@pytest.mark.parametrize("call", ["__call__", "unroll", "step", "rollout"])
def test_tensors_that_are_not_dense_are_refused_in_a_sentence(call, made, said):
    net, x = SinRNN(D, H, D), made(torch.randn(T, D))
    options = {"steps": 2} if call == "rollout" else {}
    with refuses(TypeError, said):
        getattr(net, call)(x, **options)
