"""A batch taken apart, step by step, against autograd through a loop that keeps everything."""

from itertools import product
from math import isnan

import pytest
import torch
from cases import BITS, TOLERANCE, B, D, H, K, O, T, assert_close, refuses

from sinrnn import SinRNN
from sinrnn.nn.functional import half_mse
from sinrnn.nn.trace import Trace, trace

CELL = ["Wih", "Whh", "bh"]


def problem(read="last", h0="h0", bias="bias", init="orthogonal", dtype=torch.float64):
    """What trace reads: a network, its windows, their targets and the states before them."""
    net = SinRNN(D, H, O, bias=bool(bias), init=init, dtype=dtype)
    for vector in (net.bh, net.bo):
        if vector is not None:
            torch.nn.init.normal_(vector, std=0.3)
    target = torch.randn((B, T, O) if read == "every" else (B, O), dtype=dtype)
    x = torch.randn(B, T, D, dtype=dtype)
    return net, x, target, torch.randn(B, H, dtype=dtype) / 2 if h0 else None


@pytest.fixture(
    params=product(["last", "every"], ["h0", ""], ["bias", ""], ["orthogonal", "torch"]),
    ids=lambda options: "-".join(filter(None, options)),
)
def case(request):
    return problem(*request.param)


def loss_of(net, x, target, h0):
    """half_mse of what the network itself gives for that target."""
    return half_mse(net(x, h0) if target.dim() == 2 else net.unroll(x, h0)[1], target)


def learnt(net, x, target, h0):
    """The gradients of the cell's weights that a step of training would use."""
    loss_of(net, x, target, h0).backward()
    return {n: weight.grad for n, weight in net.named_parameters() if n in CELL}


def taken_apart(net, x, target, h0):
    """The oracle: states, and the gradients of every h[t], every a[t], and every step's weights.

    It is autograd, through a loop in which each step has its own copy of Wih, Whh and bh.
    """
    shared = {"Wih": net.Wih, "Whh": net.Whh, "bh": torch.zeros(H) if net.bh is None else net.bh}
    own = [{n: w.detach().clone().requires_grad_() for n, w in shared.items()} for _ in range(T)]
    h, a, y = [torch.zeros(B, H) if h0 is None else h0], [], []
    for t, step in enumerate(own):
        a.append(x[:, t] @ step["Wih"].T + h[-1] @ step["Whh"].T + step["bh"])
        h.append(torch.tanh(a[-1]))
        y.append(h[-1] @ net.Who.T + (0 if net.bo is None else net.bo))
    read = y[-1] if target.dim() == 2 else torch.stack(y, 1)
    loss = ((read - target) ** 2).sum() / (2 * target.numel())

    wanted = [*h[1:], *a, *(step[name] for name in CELL for step in own)]
    found = torch.autograd.grad(loss, wanted)
    grad_h, grad_a, *shares = (torch.stack(found[i : i + T]) for i in range(0, 5 * T, T))
    shares = dict(zip(CELL, shares, strict=True))
    return torch.stack(h, 1).detach(), grad_h.transpose(0, 1), grad_a.transpose(0, 1), shares


def cosine(one, other):
    """One . other / (|one| |other|) over Wih and Whh flattened together."""
    one, other = (torch.cat([g[n].flatten() for n in CELL[:2]]).double() for g in (one, other))
    one, other = one / one.abs().max(), other / other.abs().max()
    return (one @ other / (one.norm() * other.norm())).item()


# The values


def test_loss_is_that_of_the_network(case):
    assert_close(trace(*case).loss, loss_of(*case).detach())


def test_states_and_their_gradients_match_autograd(case):
    found = trace(*case)
    h, grad_h, grad_a, _ = taken_apart(*case)
    assert_close(found.h, h)
    assert_close(found.grad_h, grad_h)
    assert_close(found.grad_a, grad_a)
    torch.testing.assert_close(found.x, case[1], **BITS)


def test_share_of_every_step_is_the_gradient_of_its_own_weights(case):
    assert_close(trace(*case).shares, taken_apart(*case)[-1])


def test_shares_sum_to_the_gradient_of_the_network(case):
    found = {name: share.sum(0) for name, share in trace(*case).shares.items()}
    expected = learnt(*case)
    assert_close({name: found[name] for name in expected}, expected)


@pytest.mark.parametrize("bptt_steps", [None, *range(1, T + 3)])
def test_gradients_are_those_of_a_network_of_that_truncation(case, bptt_steps):
    found = trace(*case).gradients(bptt_steps)
    assert list(found) == CELL
    case[0].bptt_steps = bptt_steps
    expected = learnt(*case)
    assert_close({name: found[name] for name in expected}, expected)


@pytest.mark.parametrize("read", ["last", "every"])
def test_depth_of_the_network_changes_nothing(read):
    case = problem(read)
    expected = vars(trace(*case))
    case[0].bptt_steps = 2
    torch.testing.assert_close(vars(trace(*case)), expected, **BITS)


def test_flow_by_hand():
    found = trace(*problem())
    found.grad_h = torch.zeros(B, T, H)
    found.grad_h[0, 1, 2], found.grad_h[5, 1, 4] = 3.0, -4.0
    found.grad_h[:, 6] = 2.0
    assert_close(found.flow, torch.tensor([0, 5, 0, 0, 0, 0, 2 * (B * H) ** 0.5]))


@pytest.mark.parametrize("read", ["last", "every"])
def test_float32_stays_float32_and_close_to_float64(read):
    net, *tensors = problem(read, dtype=torch.float32)
    found = trace(net, *tensors)
    exact = trace(net.double(), *(tensor.double() for tensor in tensors))
    for part in (vars, lambda found: found.shares, lambda found: found.gradients(K)):
        assert {tensor.dtype for tensor in part(found).values()} == {torch.float32}
        expected = {name: tensor.float() for name, tensor in part(exact).items()}
        torch.testing.assert_close(part(found), expected, **TOLERANCE[torch.float32])
    assert found.flow.dtype == torch.float64
    torch.testing.assert_close(found.flow, exact.flow, **TOLERANCE[torch.float32])


def test_flow_of_a_fading_gradient_is_not_zero_in_float32():
    net = SinRNN(1, 5, 1, dtype=torch.float32)
    with torch.no_grad():
        net.Whh.mul_(0.3)
    found = trace(net, torch.randn(8, 60, 1).float(), torch.randn(8, 1).float())
    assert 0 < found.flow[5] < 1e-23
    assert (found.flow > 0).equal((found.grad_h != 0).any(2).any(0))


def test_trace_leaves_no_graph_and_no_gradient_behind():
    net, x, target, h0 = problem()
    for weight in net.parameters():
        weight.grad = torch.full_like(weight, 7.0)
    before = {name: weight.detach().clone() for name, weight in net.named_parameters()}
    found = trace(net, x.clone().requires_grad_() * 2, target, h0.requires_grad_())
    derived = [found.flow, *found.shares.values(), *found.gradients(K).values()]
    assert not any(tensor.requires_grad for tensor in [*vars(found).values(), *derived])
    torch.testing.assert_close({n: w.detach() for n, w in net.named_parameters()}, before, **BITS)
    assert all((weight.grad == 7.0).all() for weight in net.parameters())
    assert h0.grad is None


# The cosine


@pytest.mark.parametrize("bptt_steps", [T, T + 1, 10**9])
def test_cosine_is_one_where_nothing_is_cut_off(case, bptt_steps):
    assert trace(*case).cosine(bptt_steps) == pytest.approx(1, abs=1e-14)


@pytest.mark.parametrize("bptt_steps", range(1, T))
@pytest.mark.parametrize("size", [1.0, 1e-200, 1e100])
def test_cosine_is_taken_over_the_input_and_recurrent_weights_together(bptt_steps, size):
    case = problem(bias="")
    with torch.no_grad():
        case[0].Who.mul_(size)  # gradients of size 1, 1e-200 and 1e200
    shares = taken_apart(*case)[-1]
    truncated, full = ({n: s[-k:].sum(0) for n, s in shares.items()} for k in (bptt_steps, T))
    expected = cosine(truncated, full)
    assert expected < 0.999
    assert trace(*case).cosine(bptt_steps) == pytest.approx(expected, rel=1e-12)


def test_cosine_of_float32_gradients_is_taken_in_float64():
    found = trace(*problem(dtype=torch.float32))
    expected = cosine(found.gradients(K), found.gradients())
    assert found.cosine(K) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("sign", [1, -1])
def test_cosine_is_minus_one_where_truncation_turns_the_gradient_round(sign):
    grad_a = sign * torch.tensor([[[3.0], [-1.0]]])
    found = Trace(torch.zeros(()), torch.ones(1, 2, 1), torch.zeros(1, 3, 1), grad_a, grad_a)
    assert found.cosine(1) == pytest.approx(-1, rel=1e-12)


@pytest.mark.parametrize("bptt_steps", [1, T])
def test_cosine_is_nan_without_any_gradient(bptt_steps):
    net, x, target, h0 = problem()
    with torch.no_grad():
        target = net.unroll(x, h0)[1][:, -1]
    found = trace(net, x, target, h0)
    assert not found.grad_a.any()
    assert isnan(found.cosine(bptt_steps))


def test_cosine_is_nan_where_truncation_leaves_nothing():
    found = trace(*problem())
    found.grad_a[:, 1:] = 0
    assert all(isnan(found.cosine(bptt_steps)) for bptt_steps in range(1, T))
    assert found.cosine(T) == pytest.approx(1, abs=1e-14)


# The errors


@pytest.mark.parametrize("bptt_steps", [0, -1])
def test_truncation_below_one_step_is_refused(bptt_steps):
    found = trace(*problem())
    for function in (found.gradients, found.cosine):
        with refuses(ValueError, f"bptt_steps must be at least 1 step or None, got {bptt_steps}"):
            function(bptt_steps)


@pytest.mark.parametrize(
    ("wrong", "made"),
    [((B, 1), (B, O)), ((1, O), (B, O)), ((B, T), (B, O))]
    + [(wrong, (B, T, O)) for wrong in [(O,), (B, T, 1), (B, 1, O), (1, B, T, O)]],
)
def test_target_of_another_shape_is_refused(wrong, made):
    net, x, _, h0 = problem()
    with refuses(ValueError, f"prediction {made} and target {wrong} must have the same shape"):
        trace(net, x, torch.zeros(wrong), h0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"x": [[[0.0, 0.0]]]},
        {"x": torch.zeros(B, T, D, dtype=torch.int64)},
        {"x": torch.zeros(B, T, D, dtype=torch.float32)},
        {"x": torch.zeros(B, T, D + 1)},
        {"x": torch.zeros(B, 0, D)},
        {"h0": torch.zeros(1, H)},
    ],
)
def test_misfit_is_refused_as_by_the_network(wrong):
    net, x, target, h0 = problem()
    given = {"x": x, "h0": h0} | wrong
    with pytest.raises((TypeError, ValueError)) as expected:
        net(**given)
    with refuses(expected.type, str(expected.value)):
        trace(net, target=target, **given)


@pytest.mark.parametrize("half", [True, False])
def test_autocast_rounds_nothing_of_a_trace(half):
    net, x = SinRNN(D, H, O, bias=True, dtype=torch.float32), torch.randn(B, T, D).bfloat16()
    x = x if half else x.float()
    target, h0 = torch.randn(B, O, dtype=torch.float32), torch.randn(B, H, dtype=torch.float32)
    exact = trace(net, x.float(), target, h0)
    with torch.autocast("cpu", torch.bfloat16):
        seen = trace(net, x, target, h0)
        for name, tensor in vars(exact).items():
            torch.testing.assert_close(getattr(seen, name), tensor, **BITS)
        torch.testing.assert_close(seen.flow, exact.flow, **BITS)
        shares, gradients, cosine = seen.shares, seen.gradients(K), seen.cosine(K)
    torch.testing.assert_close(shares, exact.shares, **BITS)
    torch.testing.assert_close(gradients, exact.gradients(K), **BITS)
    assert cosine == exact.cosine(K)
