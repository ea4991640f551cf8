"""SinRNN among torch's tools: what works on any nn.Module works on it. On CUDA too, if there is."""

import copy
import pickle
import shutil

import pytest
import torch
from cases import BITS, B, D, H, K, O, T, assert_close, upstream
from torch import nn
from torch.nn.utils import parametrizations, prune

from sinrnn import SinRNN

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
pytestmark = pytest.mark.parametrize("device", DEVICES)
# Parts of torch 2.13 use what other parts of it call deprecated.
JIT = pytest.mark.filterwarnings("ignore:`torch.jit.script:DeprecationWarning")
WEIGHTS = ("Wih", "Whh", "bh", "Who", "bo")
CALLS = {
    "forward": lambda net, x, h0: net(x, h0),
    "forward, bptt_steps": lambda net, x, h0: net(x, h0),
    "forward, lengths": lambda net, x, h0: net(x, h0, lengths=torch.tensor([3, 7, 1, 5, 4, 6])),
    "unroll": lambda net, x, h0: torch.cat(net.unroll(x, h0), -1),
    "step": lambda net, x, h0: torch.cat(net.step(x[:, 0], h0), -1),
    "rollout": lambda net, x, h0: net.rollout(x, 3, h0),
}
EACH = pytest.mark.parametrize("call", CALLS)
# A truncated gradient is not that of the values; lengths are of a whole batch of six.
EXACT = pytest.mark.parametrize("call", [call for call in CALLS if "bptt_steps" not in call])
SIZED = pytest.mark.parametrize("call", [call for call in CALLS if "lengths" not in call])


def given(call, device, dtype=torch.float64):
    """A network, x and h0 for a call of CALLS."""
    outputs = D if call == "rollout" else O
    net = SinRNN(D, H, outputs, bias=True, init="torch", device=device, dtype=dtype)
    net.bptt_steps = K if call.endswith("bptt_steps") else None
    x, h0 = torch.randn(B, T, D), torch.randn(B, H)
    return net, x.to(net.Wih), h0.to(net.Wih)


def gradient(y, inputs):
    return torch.autograd.grad(y, inputs, upstream(y).to(y), allow_unused=True)


@EACH
def test_device_is_where_everything_stays(device, call):
    net, x, h0 = given(call, device)
    expected = CALLS[call](copy.deepcopy(net).cpu(), x.cpu(), h0.cpu())
    found = CALLS[call](net, x, h0)
    assert found.device.type == device
    assert_close(found.cpu(), expected)
    for grad in gradient(found, list(net.parameters())):
        assert grad.device.type == device


@EACH
def test_every_weight_can_be_frozen_alone(device, call):
    net, x, h0 = given(call, device)
    every = dict(zip(WEIGHTS, gradient(CALLS[call](net, x, h0), list(weights(net))), strict=True))
    for frozen in WEIGHTS:
        other = copy.deepcopy(net)
        getattr(other, frozen).requires_grad_(False)
        CALLS[call](other, x, h0).mul(upstream(CALLS[call](net, x, h0)).to(x)).sum().backward()
        assert getattr(other, frozen).grad is None
        for name in WEIGHTS:
            if name != frozen:
                assert_close(getattr(other, name).grad, every[name])


def weights(net):
    return (getattr(net, name) for name in WEIGHTS)


@SIZED
def test_no_windows_are_a_batch_too(device, call):
    net, x, h0 = given(call, device)
    out = CALLS[call](net, x[:0], h0[:0])
    assert len(out) == 0
    out.sum().backward()
    for weight in weights(net):
        assert weight.grad.shape == weight.shape
        assert not weight.grad.any()


def test_no_windows_have_no_lengths(device):
    net, x, h0 = given("forward", device)
    assert net(x[:0], h0[:0], lengths=torch.zeros(0, dtype=torch.long)).shape == (0, O)


@EACH
def test_backward_twice_with_the_graph_kept_is_twice_the_gradient(device, call):
    net, x, h0 = given(call, device)
    loss = CALLS[call](net, x, h0).square().sum()
    loss.backward(retain_graph=True)
    once = [weight.grad.clone() for weight in weights(net)]
    loss.backward()
    for weight, grad in zip(weights(net), once, strict=True):
        torch.testing.assert_close(weight.grad, 2 * grad, **BITS)
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        loss.backward()


@pytest.mark.slow
@EXACT
def test_second_derivative_is_that_of_finite_differences(device, call):
    net, x, h0 = given(call, device)
    inputs = [v.detach().requires_grad_() for v in (x, h0, *weights(net))]

    def run(x, h0, *values):
        calls = Called(net, CALLS[call])
        named = {f"net.{name}": value for name, value in zip(WEIGHTS, values, strict=True)}
        return torch.func.functional_call(calls, named, (x, h0))

    assert torch.autograd.gradgradcheck(run, inputs)


class Called(nn.Module):
    """One way to call a network, as a module."""

    def __init__(self, net, call):
        super().__init__()
        self.net, self.call = net, call

    def forward(self, x, h0):
        return self.call(self.net, x, h0)


@EACH
def test_strided_and_expanded_inputs_are_as_good_as_copies(device, call):
    net, x, h0 = given(call, device)
    for other, start in (
        (x.transpose(0, 1).contiguous().transpose(0, 1), h0.t().contiguous().t()),
        (x.repeat_interleave(2, 1)[:, ::2], h0.repeat_interleave(2, 1)[:, ::2]),
        (x[:1].expand(B, -1, -1), h0[:1].expand(B, -1)),
        (x[..., :1].expand(-1, -1, D), h0[:, :1].expand(-1, H)),
    ):
        same = [v.contiguous().requires_grad_() for v in (other, start)]
        odd = [v.detach().requires_grad_() for v in (other, start)]
        out, expected = (CALLS[call](net, *inputs) for inputs in (odd, same))
        assert_close(out, expected)
        assert_close(gradient(out, odd), gradient(expected, same))


@SIZED
def test_func_sees_each_sample_and_each_network(device, call):
    nets, (_, x, h0) = [given(call, device)[0] for _ in range(3)], given(call, device)

    def loss(values, x, h0):
        calls = Called(nets[0], CALLS[call])
        named = {f"net.{name}": value for name, value in values.items()}
        y = torch.func.functional_call(calls, named, (x[None], h0[None]))
        return (y * upstream(y).to(y)).sum()

    stacked, _ = torch.func.stack_module_state(nets)
    each = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0, 0))
    found = torch.func.vmap(each, in_dims=(0, None, None))(stacked, x, h0)
    for i, net in enumerate(nets):
        for b in range(B):
            y = CALLS[call](net, x[b : b + 1], h0[b : b + 1])
            expected = gradient(y, list(weights(net)))
            assert_close([found[name][i, b] for name in WEIGHTS], list(expected))


@EACH
@pytest.mark.parametrize("vectorize", [True, False])
def test_jacobian_is_the_same_however_it_is_made(device, call, vectorize):
    net, x, h0 = given(call, device)
    found = torch.autograd.functional.jacobian(
        lambda h0: CALLS[call](net, x, h0), h0, vectorize=vectorize
    )
    y = CALLS[call](net, x, h0.requires_grad_())
    expected = [torch.autograd.grad(v, h0, retain_graph=True)[0] for v in y.flatten()]
    assert_close(found.flatten(0, y.dim() - 1), torch.stack(expected))


@JIT
@EXACT
def test_forward_mode_agrees_with_reverse_mode(device, call):
    net, x, h0 = given(call, device)
    along = torch.randn_like(h0)
    with torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.make_dual(h0, along)
        found = torch.autograd.forward_ad.unpack_dual(CALLS[call](net, x, dual)).tangent
    _, expected = torch.autograd.functional.jvp(lambda h0: CALLS[call](net, x, h0), h0, along)
    assert_close(found, expected)


def test_hooks_are_called_with_values_and_gradients(device):
    net, x, h0 = given("forward", device)
    plain, seen = copy.deepcopy(net), {}
    net.register_forward_pre_hook(lambda module, args: seen.update(x=args[0]))
    net.register_forward_hook(lambda module, args, y: seen.update(y=y))
    net.register_full_backward_hook(lambda module, into, out: seen.update(into=into, out=out))
    net.Whh.register_hook(lambda grad: 2 * grad)
    y, expected = (each(x.requires_grad_(), h0.requires_grad_()) for each in (net, plain))
    (y * upstream(y).to(y)).sum().backward()
    *into, Whh = gradient(expected, [x, h0, plain.Whh])
    assert seen["x"] is x
    assert_close(seen["y"], expected)
    assert_close(list(seen["into"]), into)
    assert_close(seen["out"][0], upstream(y).to(y))
    assert_close(net.Whh.grad, 2 * Whh)


@pytest.mark.parametrize("name", ["Wih", "Whh", "Who"])
@pytest.mark.parametrize("how", ["weight_norm", "spectral_norm", "orthogonal", "prune"])
def test_parametrized_and_pruned_weights_are_what_is_used(device, name, how):
    net, x, h0 = given("forward", device)
    net.eval()  # spectral_norm moves on at each call in training
    if how == "prune":
        prune.l1_unstructured(net, name, 0.5)
    else:
        getattr(parametrizations, how)(net, name)
    plain = SinRNN(D, H, O, bias=True, device=device)
    with torch.no_grad():
        for each in WEIGHTS:
            getattr(plain, each).copy_(getattr(net, each))
    for call in ("forward", "unroll", "step"):
        assert_close(CALLS[call](net, x, h0), CALLS[call](plain, x, h0))
    net(x, h0).sum().backward()
    assert all(p.grad is not None for p in net.parameters())


def test_shared_weight_gets_the_gradient_of_both(device):
    (one, x, h0), (two, _, _) = given("forward", device), given("forward", device)
    apart = copy.deepcopy(two)
    two.Whh = one.Whh
    with torch.no_grad():
        apart.Whh.copy_(one.Whh)
    first = copy.deepcopy(one)
    (one(x, h0).sum() + two(x, h0).sum()).backward()
    first(x, h0).sum().backward()
    apart(x, h0).sum().backward()
    assert_close(one.Whh.grad, first.Whh.grad + apart.Whh.grad)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@EACH
def test_to_another_dtype_and_back_runs_there(device, call, dtype):
    net, x, h0 = given(call, device)
    exact = CALLS[call](net, x, h0)
    found = CALLS[call](net.to(dtype), x.to(dtype), h0.to(dtype))
    assert found.dtype == dtype
    torch.testing.assert_close(found.double(), exact, rtol=0, atol=60 * torch.finfo(dtype).eps)


def test_meta_network_becomes_real(device):
    torch.manual_seed(3)
    expected = SinRNN(D, H, O, bias=True, device=device)
    ghost = SinRNN(D, H, O, bias=True, device="meta")
    assert ghost(torch.zeros(B, T, D, device="meta")).shape == (B, O)
    torch.manual_seed(3)
    ghost.to_empty(device=device).reset_parameters()
    torch.testing.assert_close(ghost.state_dict(), expected.state_dict(), **BITS)


def test_state_dict_loads_strictly_or_in_part(device):
    (net, x, h0), (other, _, _) = given("forward", device), given("forward", device)
    state = net.state_dict()
    assert list(state) == ["Wih", "Whh", "Who", "bh", "bo"]
    other.load_state_dict(state)
    torch.testing.assert_close(other(x, h0), net(x, h0), **BITS)
    part, before = {"Whh": state["Whh"] * 2, "more": state["bh"]}, other.Wih.clone()
    missed = other.load_state_dict(part, strict=False)
    assert set(missed.missing_keys) == {"Wih", "Who", "bh", "bo"}
    assert missed.unexpected_keys == ["more"]
    assert_close(other.Whh, 2 * net.Whh)
    torch.testing.assert_close(other.Wih, before, **BITS)
    with pytest.raises(RuntimeError, match="size mismatch for Whh"):
        other.load_state_dict(state | {"Whh": state["Whh"][:2]})


def test_pickled_within_a_model_it_is_whole(device):
    net, x, _ = given("forward", device)
    model = nn.Sequential(net, nn.Linear(O, 1, device=device))
    torch.testing.assert_close(pickle.loads(pickle.dumps(model))(x), model(x), **BITS)
    assert "(0): SinRNN(2, 5, 3, bias=True, bptt_steps=None, init='torch')" in repr(model)


@EACH
def test_autocast_keeps_the_precision_of_the_weights(device, call):
    net, x, h0 = given(call, device, torch.float32)
    x, h0 = x.bfloat16(), h0.bfloat16()  # as a layer before it gives them there
    exact = copy.deepcopy(net)
    expected = CALLS[call](exact, x.float(), h0.float())
    with torch.autocast(device, torch.bfloat16):
        found = CALLS[call](net, x, h0)
        assert found.dtype == torch.float32
        assert_close(found, expected)
    found.square().sum().backward()
    expected.square().sum().backward()
    for ours, theirs in zip(weights(net), weights(exact), strict=True):
        assert_close(ours.grad, theirs.grad)


@EACH
def test_autocast_casts_no_other_number(device, call):
    net, x, h0 = given(call, device, torch.float32)
    with torch.autocast(device, torch.bfloat16), pytest.raises(ValueError, match="dtypes must"):
        CALLS[call](net, x.double(), h0)


@pytest.mark.slow
@SIZED
def test_compiled_whole_it_is_equal_at_every_batch_size(device, call):
    net, x, h0 = given(call, device)
    run = torch.compile(
        lambda x, h0: CALLS[call](net, x, h0), fullgraph=True, dynamic=True, backend="aot_eager"
    )
    for size in (B, 3, 2 * B):
        windows, start = x.repeat(2, 1, 1)[:size], h0.repeat(2, 1)[:size]
        found, expected = run(windows, start), CALLS[call](net, windows, start)
        assert_close(found, expected)
        ours, theirs = (gradient(y, list(weights(net))) for y in (found, expected))
        assert_close(list(ours), list(theirs))


@pytest.mark.slow
@JIT
def test_compiled_to_machine_code_it_is_equal(device):
    if device == "cpu" and shutil.which("g++") is None:
        pytest.skip("torch.compile needs a C++ compiler for machine code")
    net, x, h0 = given("forward, bptt_steps", device)
    compiled = torch.compile(net, fullgraph=True)
    found, expected = compiled(x, h0), net(x, h0)
    assert_close(found, expected)
    assert_close(
        list(gradient(found, list(weights(net)))), list(gradient(expected, list(weights(net))))
    )


@pytest.mark.slow
@SIZED
def test_exported_with_a_free_batch_it_is_equal(device, call):
    net, x, h0 = given(call, device)
    batch = {0: torch.export.Dim("B")}
    calls = Called(net, CALLS[call])
    exported = torch.export.export(calls, (x, h0), dynamic_shapes={"x": batch, "h0": batch})
    for size in (B, 3, 2 * B):
        windows, start = x.repeat(2, 1, 1)[:size], h0.repeat(2, 1)[:size]
        assert_close(exported.module()(windows, start), CALLS[call](net, windows, start))


def test_saved_from_a_device_it_loads_on_the_cpu(device, tmp_path):
    net, x, h0 = given("forward", device)
    net.save(tmp_path / "net.safetensors")
    loaded = SinRNN.load(tmp_path / "net.safetensors")
    torch.testing.assert_close(loaded.state_dict(), copy.deepcopy(net).cpu().state_dict(), **BITS)
    assert_close(loaded(x.cpu(), h0.cpu()), net(x, h0).cpu())


def test_readout_is_fitted_where_the_network_lives(device):
    net, x, _ = given("forward", device)
    y = torch.randn(B, O, device=device)
    net.fit_readout(x, y)
    assert net.Who.device.type == device
    assert_close(net(x), y)  # six windows, six weights each


def test_modules_of_torch_are_made_where_the_network_lives(device):
    net, x, _ = given("forward", device)
    rnn, head = net.to_torch()
    assert_close(head(rnn(x)[0][:, -1]), net(x))
    assert_close(SinRNN.from_torch(rnn, head)(x), net(x))


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.complex64])
def test_weights_that_are_no_real_numbers_are_refused(device, dtype):
    with pytest.raises(ValueError, match=f"^dtype must be a floating-point type, got {dtype}$"):
        SinRNN(dtype=dtype, device=device)
