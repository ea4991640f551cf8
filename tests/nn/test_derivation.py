"""docs/derivation.md: a test for each numbered equation, and the document as a whole.

Tensors over time are lists here, with the indices of the text: h[0..T], x[1..T] (x[0] is None).
"""

import re
from math import prod
from pathlib import Path
from types import SimpleNamespace

import markdown
import pytest
import reference
import torch
from cases import BITS, B, H, K, O, T, assert_close, gradients, network, upstream
from torch.autograd import grad
from torch.autograd.functional import jacobian

from sinrnn import SinRNN
from sinrnn.nn import _reference, bptt
from sinrnn.nn.functional import last_output, tanh_rnn

DOCUMENT = Path(__file__).parents[2] / "docs" / "derivation.md"
EQUATION = re.compile(r"^ {4}\((\d+)\) +(.*)$", re.MULTILINE)
INITS = ["orthogonal", "torch", "notebook"]


def over_time(batch):
    """(B, T, N) -> its steps 1..T, at 1..T."""
    return [None, *batch.unbind(1)]


def norm(matrix):
    return torch.linalg.matrix_norm(matrix, 2).item()


def nudged(p, da, dh):
    """States h[0..T] by a loop of its own, with da[t] added to a[t] and dh[t] to h[t]."""
    h = [p.h0 + dh[0]]
    for t in p.steps:
        a = p.x[t] @ p.Wih.T + h[t - 1] @ p.Whh.T + p.bh + da[t]
        h.append(torch.tanh(a) + dh[t])
    return h


@pytest.fixture
def p():
    """The standard problem, and the gradient of what each nudge does to a loss of all states."""
    inputs = network()
    p = SimpleNamespace(inputs=inputs, steps=range(1, T + 1))
    vars(p).update({n: v.detach() for n, v in inputs.items()})
    p.batch, p.x = p.x, over_time(p.x)
    da, dh = ([torch.zeros(B, H, requires_grad=True) for _ in range(T + 1)] for _ in range(2))
    h = nudged(p, da, dh)
    p.h = [state.detach() for state in h]
    p.grad_states = upstream(torch.stack(h[1:], 1))
    p.grad_out = over_time(p.grad_states)
    loss = sum((p.grad_out[t] * h[t]).sum() for t in p.steps)
    p.grad_h = list(grad(loss, dh, retain_graph=True))
    p.grad_a = [None, *grad(loss, da[1:])]
    return p


@pytest.fixture
def row(p):
    """The standard problem's first window alone: rows are vectors."""
    for name in ("x", "h", "grad_out", "grad_h", "grad_a"):
        setattr(p, name, [v if v is None else v[0] for v in getattr(p, name)])
    p.h0 = p.h0[0]
    return p


def reach(p, s, t):
    """dh[t]/dh[s] (H, H) of one window, by autograd through the plain loop."""
    if s == t:
        return torch.eye(H)
    x = torch.stack(p.x[s + 1 : t + 1])[None]
    return jacobian(lambda h: _reference.states(x, h[None], p.Wih, p.Whh, p.bh)[0, -1], p.h[s])


def by_name(p, name, bptt_steps=None):
    """The gradient of one input, by autograd through the plain loop and by bptt."""
    inputs = {n: p.inputs[n] for n in ("x", "h0", "Wih", "Whh", "bh")}
    plain, ours = (
        gradients(f, inputs, bptt_steps=bptt_steps)[name] for f in (_reference.states, tanh_rnn)
    )
    return plain, ours


def pulled_back(p, function, bptt_steps=None):
    """grad_a[1..T] by the function: to a[t] without its recurrent part it is an input's gradient.

    That input goes through the identity, in the place of Wih.
    """
    given = (p.batch @ p.Wih.T + p.bh).requires_grad_()
    states = function(
        given, p.h0, torch.eye(H), p.Whh.clone().requires_grad_(), bptt_steps=bptt_steps
    )
    return over_time(grad(states, given, p.grad_states)[0])


def half_mse(p, function=_reference.last_output):
    """The loss of `function` for some targets, and what it was made of."""
    target = torch.randn(B, O)
    y = function(**p.inputs)
    return torch.nn.functional.mse_loss(y, target) / 2, y, target


# The cell


def test_equation_1_the_pre_activation_is_what_tanh_takes(p):
    h = over_time(tanh_rnn(p.batch, p.h0, p.Wih, p.Whh, p.bh))
    for t in p.steps:
        a = p.x[t] @ p.Wih.T + p.h[t - 1] @ p.Whh.T + p.bh
        assert_close(torch.atanh(h[t]), a)


def test_equation_2_the_state_is_its_tanh(p):
    h = over_time(tanh_rnn(p.batch, p.h0, p.Wih, p.Whh, p.bh))
    for t in p.steps:
        a = p.x[t] @ p.Wih.T + p.h[t - 1] @ p.Whh.T + p.bh
        assert_close(h[t], (a.exp() - (-a).exp()) / (a.exp() + (-a).exp()))


# The gradient


def test_equation_3_the_loss_reads_a_state_directly_and_through_the_next_step(p):
    grad_a = [*p.grad_a, torch.zeros(B, H)]
    for t in p.steps:
        assert_close(p.grad_out[t] + grad_a[t + 1] @ p.Whh, p.grad_h[t])
    for t in p.steps[:-1]:  # bptt's: the state h[t] as the h0 of what is left of the window
        h = p.h[t].clone().requires_grad_()
        rest = tanh_rnn(p.batch[:, t:], h, p.Wih, p.Whh, p.bh)
        found = grad(rest, h, p.grad_states[:, t:])[0]
        assert_close(p.grad_out[t] + found, p.grad_h[t])


def test_equation_4_tanh_passes_on_one_minus_its_square(p):
    found = pulled_back(p, tanh_rnn)
    for t in p.steps:
        expected = p.grad_h[t] * (1 - p.h[t] ** 2)
        assert_close(p.grad_a[t], expected)
        assert_close(found[t], expected)


def test_equation_4_matches_finite_differences(p):
    # Central differences of step 1e-3, extrapolated: their error is of order 1e-12.
    def loss(change):
        da, zeros = [torch.zeros(B, H) for _ in range(T + 1)], [0] * (T + 1)
        da[3][4, 2] = change
        h = nudged(p, da, zeros)
        return sum((p.grad_out[t] * h[t]).sum() for t in p.steps)

    def slope(step):
        return (loss(step) - loss(-step)) / (2 * step)

    found = (64 * slope(5e-4) - 20 * slope(1e-3) + slope(2e-3)) / 45
    expected = (p.grad_h[3] * (1 - p.h[3] ** 2))[4, 2]
    torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-11)


def test_equation_5_the_recurrent_weights_collect_every_step(p):
    expected = sum(p.grad_a[t].T @ p.h[t - 1] for t in p.steps)
    for found in by_name(p, "Whh"):
        assert_close(found, expected)


def test_equation_6_so_do_the_input_weights(p):
    expected = sum(p.grad_a[t].T @ p.x[t] for t in p.steps)
    for found in by_name(p, "Wih"):
        assert_close(found, expected)


def test_equation_7_and_the_bias_over_every_row_too(p):
    expected = sum(p.grad_a[t].sum(0) for t in p.steps)
    for found in by_name(p, "bh"):
        assert_close(found, expected)


def test_equation_8_an_input_reaches_its_own_step(p):
    expected = torch.stack([p.grad_a[t] @ p.Wih for t in p.steps], 1)
    for found in by_name(p, "x"):
        assert_close(found, expected)


def test_equation_9_the_first_state_reaches_the_first_step(p):
    for found in by_name(p, "h0"):
        assert_close(found, p.grad_a[1] @ p.Whh)


# Many to one


def test_equation_10_the_output_reads_the_last_state(p):
    expected = p.h[T] @ p.Who.T + p.bo
    assert_close(last_output(**p.inputs).detach(), expected)
    weights = [getattr(p, n).numpy() for n in ("Wih", "Whh", "bh", "Who", "bo")]
    for b in range(B):
        _, y = reference.forward(p.batch[b].numpy(), p.h0[b].numpy(), *weights)
        assert_close(torch.tensor(y[-1]), expected[b])


def test_equation_11_the_loss_is_half_the_mean_squared_error(p):
    loss, y, target = half_mse(p)
    expected = ((y - target) ** 2).sum() / (2 * B * O)
    assert_close(loss, expected)
    assert_close(
        torch.tensor(reference.half_mse(y.detach().numpy(), target.numpy())), loss.detach()
    )


def test_equation_12_its_gradient_is_the_mean_error(p):
    loss, y, target = half_mse(p)
    assert_close(grad(loss, y)[0], ((y - target) / (B * O)).detach())


@pytest.mark.parametrize("function", [_reference.last_output, last_output])
def test_equation_13_the_readout_collects_the_last_state(p, function):
    loss, y, _ = half_mse(p, function)
    grad_y, grad_Who = grad(loss, (y, p.inputs["Who"]))
    assert_close(grad_Who, grad_y.T @ p.h[T])


@pytest.mark.parametrize("function", [_reference.last_output, last_output])
def test_equation_14_the_readouts_bias_collects_every_row(p, function):
    loss, y, _ = half_mse(p, function)
    grad_y, grad_bo = grad(loss, (y, p.inputs["bo"]))
    assert_close(grad_bo, sum(grad_y[b] for b in range(B)))


def test_equation_15_only_the_last_state_is_read(p):
    target, states = torch.randn(B, O), torch.stack(p.h[1:], 1).requires_grad_()
    y = states[:, -1] @ p.Who.T + p.bo
    loss = torch.nn.functional.mse_loss(y, target) / 2
    grad_y, grad_out = grad(loss, (y, states))
    expected = torch.zeros(B, T, H)
    expected[:, -1] = grad_y @ p.Who
    assert_close(grad_out, expected)
    # The whole network's gradient is that of its states, read so.
    cell_names = ["x", "h0", "Wih", "Whh", "bh"]
    inputs = [p.inputs[n] for n in cell_names]
    found = grad(last_output(**p.inputs), inputs, grad_y)
    assert_close(found, grad(_reference.states(*inputs), inputs, grad_out))


# Products of Jacobians


def J(p, t):
    return torch.diag(1 - p.h[t] ** 2) @ p.Whh


def product(p, s, t):
    """J[t] J[t-1] ... J[s+1]."""
    found = torch.eye(H)
    for r in range(s + 1, t + 1):
        found = J(p, r) @ found
    return found


def test_equation_16_one_step_has_one_jacobian(row):
    for t in row.steps:
        assert_close(reach(row, t - 1, t), J(row, t))


def test_equation_17_many_steps_have_their_product(row):
    for s in range(T + 1):
        for t in range(s, T + 1):
            assert_close(reach(row, s, t), product(row, s, t))


def test_equation_17_elementwise_products_are_something_else(row):
    found, expected = J(row, T) * J(row, T - 1), reach(row, T - 2, T)
    assert norm(found - expected) > norm(expected) / 2


def test_equation_18_the_recursion_is_a_sum_over_later_steps(row):
    for s in row.steps:
        found = sum(row.grad_out[t] @ product(row, s, t) for t in range(s, T + 1))
        assert_close(found, row.grad_h[s])


def test_equation_19_the_gradient_is_a_sum_over_pairs(row):
    found = torch.zeros(H, H)
    for t in row.steps:
        for s in range(1, t + 1):
            part = row.grad_out[t] @ product(row, s, t) @ torch.diag(1 - row.h[s] ** 2)
            found += torch.outer(part, row.h[s - 1])
    Whh = row.Whh.clone().requires_grad_()
    for function in (_reference.states, tanh_rnn):
        states = function(row.batch[:1], row.h0[None], row.Wih, Whh, row.bh)
        assert_close(grad(states, Whh, row.grad_states[:1])[0], found)


# Truncation


def test_equation_20_the_last_steps_are_exact_and_the_others_are_zero(p):
    for function in (_reference.states, tanh_rnn):
        found = pulled_back(p, function, bptt_steps=K)
        for t in p.steps:
            assert_close(found[t], p.grad_a[t] if t > T - K else torch.zeros(B, H))


def test_equation_21_the_truncated_sum_is_that_of_a_loop_that_detaches(p):
    expected = sum(p.grad_a[t].T @ p.h[t - 1] for t in range(T - K + 1, T + 1))
    for found in by_name(p, "Whh", bptt_steps=K):
        assert_close(found, expected)


def test_equation_22_the_error_is_the_sum_over_the_dropped_steps(p):
    dropped = sum(p.grad_a[t].T @ p.h[t - 1] for t in range(1, T - K + 1))
    for full, truncated in zip(by_name(p, "Whh"), by_name(p, "Whh", bptt_steps=K), strict=True):
        assert_close(full - truncated, dropped)


def test_equation_23_holds_for_the_gradient_and_not_for_the_truncated_one(p):
    def truncated(Whh, k):
        """Of half_mse for targets of 1, by the recursion, which autograd then differentiates."""
        h = [p.h0]
        for t in p.steps:
            h.append(torch.tanh(p.x[t] @ p.Wih.T + h[-1] @ Whh.T + p.bh))
        grad_h, found = (h[T] @ p.Who.T + p.bo - 1) / (B * O) @ p.Who, 0
        for t in range(T, T - k, -1):
            grad_a = grad_h * (1 - h[t] ** 2)
            found = found + grad_a.T @ h[t - 1]
            grad_h = grad_a @ Whh
        return found

    for k in (T, K):
        y = last_output(**p.inputs, bptt_steps=k)
        ours = grad(((y - 1) ** 2).mean() / 2, p.inputs["Whh"])[0]
        assert_close(truncated(p.Whh, k), ours)
    full, cut = (
        jacobian(lambda Whh, k=k: truncated(Whh, k), p.Whh).reshape(H * H, H * H) for k in (T, K)
    )
    assert_close(full, full.T)
    assert (cut - cut.T).abs().max() > 0.1 * cut.abs().max()


# Vanishing and exploding


@pytest.mark.parametrize("factor", [0.5, 1, 1.5])
def test_equation_24_norms_bound_the_product(row, factor):
    row.Whh = row.Whh * factor
    h = nudged(row, [0] * (T + 1), [0] * (T + 1))
    row.h = h
    for t in range(T):
        bound = prod((1 - h[s] ** 2).max().item() * norm(row.Whh) for s in range(t + 1, T + 1))
        assert norm(reach(row, t, T)) <= bound * (1 + 1e-12)


@pytest.mark.parametrize("factor", [0.5, 1, 1.5])
def test_equation_24_is_reached_by_orthogonal_weights_without_a_signal(row, factor):
    row.x, row.bh = [0 * row.x[1]] * (T + 1), 0 * row.bh
    row.h, row.Whh = [0 * row.h0] * (T + 1), row.Whh * factor
    assert norm(reach(row, 0, T)) == pytest.approx(factor**T, rel=1e-12)


@pytest.mark.parametrize("saturated", [0, 1, 2, 4])
def test_equation_25_a_saturated_unit_passes_nothing(row, saturated):
    # At one step alone; tanh(a + 40) is 1 to the last bit, and its slope 0.
    da = [torch.zeros(H) for _ in range(T + 1)]
    da[3][:saturated] = 40

    def last(dh):
        return nudged(row, da, [dh] + [0] * T)[T]

    assert torch.linalg.matrix_rank(jacobian(last, torch.zeros(H))) == H - saturated


@pytest.mark.parametrize("init", INITS)
def test_equation_26_powers_lie_between_spectral_radius_and_norm(init):
    Whh = SinRNN(init=init).Whh.detach()
    rho = torch.linalg.eigvals(Whh).abs().max().item()
    power = torch.eye(len(Whh))
    for n in range(1, 11):
        power = power @ Whh
        assert rho**n * (1 - 1e-12) <= norm(power) <= norm(Whh) ** n * (1 + 1e-12)
        if init == "orthogonal":
            assert (rho, norm(power)) == pytest.approx((1, 1), rel=1e-12)
    # Neither bound is idle: with torch's weights both sides are far apart.
    assert init != "torch" or rho**10 < norm(power) / 2 < norm(Whh) ** 10 / 20


# The notebook's weights


def test_equation_27_row_sums_enclose_the_spectral_radius():
    for _ in range(10):
        net = SinRNN(init="notebook")
        rho, sums = torch.linalg.eigvals(net.Whh).abs().max(), net.Whh.sum(1)
        assert sums.min() < rho < sums.max()
        assert rho.item() == pytest.approx(24.75, rel=0.05)
    constant = torch.full((50, 50), 0.495)  # where both bounds are reached
    assert torch.linalg.eigvals(constant).abs().max().item() == pytest.approx(24.75, rel=1e-12)


def test_equation_28_the_slope_falls_exponentially():
    a = torch.linspace(-3, 3, 101)
    assert_close(4 / (a.exp() + (-a).exp()) ** 2, 1 - torch.tanh(a) ** 2)
    a = torch.linspace(-300, 300, 101)
    slope, bound = 4 / (a.exp() + (-a).exp()) ** 2, 4 * (-2 * a.abs()).exp()
    assert (slope <= bound * (1 + 1e-13)).all()
    assert_close((slope / bound)[a.abs() > 20], torch.ones(int((a.abs() > 20).sum())))


def test_equation_29_a_saturated_network_gives_the_sums_of_its_readout():
    net = SinRNN(output_size=O, init="notebook")
    y = net(torch.rand(B, T, 1) + 0.1)
    assert_close(y, net.Who.sum(1).expand(B, O))
    found = grad(y.square().sum(), [net.Wih, net.Whh, net.Who])
    torch.testing.assert_close(found[:2], (torch.zeros(50, 1), torch.zeros(50, 50)), **BITS)
    assert_close(found[2], found[2][:, :1].expand(O, 50))


def test_equation_30_the_best_constant_is_the_mean():
    target = torch.randn(B, 1)
    best = reference.half_mse(target.mean().item(), target.numpy())
    assert best == pytest.approx(target.var(correction=0).item() / 2, rel=1e-12)
    c = torch.linspace(-2, 2, 401, requires_grad=True)
    losses = ((c - target) ** 2).mean(0) / 2
    assert losses.min().item() >= best
    # The slope is zero at the mean alone.
    assert_close(grad(losses.sum(), c)[0], (c - target.mean()).detach())


# The code


def test_equation_31_a_sum_over_time_is_one_product(p):
    stacked = torch.cat(p.grad_a[1:]).T @ torch.cat(p.h[:-1])
    for found in by_name(p, "Whh"):
        assert_close(found, stacked)


# The document


def equations(text):
    return {int(n): " ".join(content.split()) for n, content in EQUATION.findall(text)}


def test_every_equation_of_the_document_is_tested():
    numbers = list(equations(DOCUMENT.read_text()))
    assert numbers == list(range(1, len(numbers) + 1))
    tested = {int(n) for n in re.findall(r"test_equation_(\d+)_", " ".join(globals()))}
    assert tested == set(numbers)


def test_equations_of_the_document_are_those_of_the_code():
    stated, ours = equations(DOCUMENT.read_text()), equations(bptt.__doc__)
    assert list(ours) == list(range(1, 10))
    assert {n: stated[n] for n in ours} == ours


def test_functions_that_the_document_names_are_in_the_code():
    named = re.findall(r"^\| `(\w+)` \|", DOCUMENT.read_text(), re.MULTILINE)
    assert len(named) == 5
    assert set(named) <= set(vars(bptt))


def test_document_runs_and_draws_every_picture_it_shows(tmp_path):
    (tmp_path / "docs").mkdir()
    markdown.run(DOCUMENT, tmp_path)
    shown = re.findall(r"!\[.+\]\((.+)\)", DOCUMENT.read_text())
    assert shown == ["derivation-gradient.png"]
    drawn = {file.name: file.read_bytes() for file in (tmp_path / "docs").iterdir()}
    assert set(drawn) == set(shown)
    assert all(picture.startswith(b"\x89PNG") for picture in drawn.values())


def test_pictures_of_the_document_are_there():
    for name in re.findall(r"!\[.+\]\((.+)\)", DOCUMENT.read_text()):
        picture = (DOCUMENT.parent / name).read_bytes()
        assert picture.startswith(b"\x89PNG")
        assert len(picture) < 60_000


def test_document_says_what_each_block_prints():
    for code, said, _ in markdown.blocks(DOCUMENT):
        assert ("print(" in code) == (said is not None)


@pytest.mark.parametrize("said", ["3\n", "", "2\n2\n"])
def test_markdown_sees_another_output(said, tmp_path):
    document = tmp_path / "a.md"
    text = "# A\n\n```python\none = 1\n```\n\n```python\nprint(one + 1)\n```\n\n```text\n{}```\n"
    document.write_text(text.format("2\n"))
    assert markdown.run(document, tmp_path)["one"] == 1
    document.write_text(text.format(said))
    with pytest.raises(AssertionError, match=r"a\.md, line 7"):
        markdown.run(document, tmp_path)
