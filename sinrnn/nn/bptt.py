"""The tanh recurrence and its gradient, derived by hand.

Forward pass, for t = 1..T from a given h[0] (each row is one window of the batch):

    (1)  a[t] = x[t] Wih' + h[t-1] Whh' (+ bh)
    (2)  h[t] = tanh(a[t])

Backward pass. The loss depends on h[t] directly, with gradient grad_out[t], and through a[t+1],
by (1). The derivative of tanh is 1 - tanh², so by (2) it is 1 - h[t]². For t = T..1,

    (3)  grad_h[t] = grad_out[t] + grad_a[t+1] Whh         (grad_a[T+1] = 0)
    (4)  grad_a[t] = grad_h[t] * (1 - h[t]²)

and since (1) is linear in each of its inputs,

    (5)  grad_Whh = sum_t grad_a[t]' h[t-1]
    (6)  grad_Wih = sum_t grad_a[t]' x[t]
    (7)  grad_bh  = sum_t grad_a[t]
    (8)  grad_x[t] = grad_a[t] Wih
    (9)  grad_h0  = grad_a[1] Whh

where the products in (5) and (6) sum over windows as well, and (7) sums the rows of grad_a[t].
Truncation to k = `bptt_steps` stops (3), (4) and the sums after t = T-k+1. Autograd gives the same
gradient when h[T-k] and all earlier states are detached. docs/derivation.md derives the equations
from the chain rule. Source: Werbos (1990), "Backpropagation through time: what it does and how to
do it", Proceedings of the IEEE 78(10).

Internally, time is the first dimension, (T, B, H): each step is one contiguous block, and each sum
over time in (5) and (6) is one matrix product.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd import Function

from sinrnn._private import saved_tensor_hooks
from sinrnn.nn import _reference
from sinrnn.nn._reference import Grads
from sinrnn.nn._workspace import Block, Lease, acquire, as_arrays, release

CACHED = 2**18  # elements of a chunk: 1 MB of float32 fits into a core's L2 cache


def project(x: Tensor, W: Tensor, b: Tensor | None, out: Tensor | None = None) -> Tensor:
    """Compute x W' (+ b): the input term of (1) for all steps, x (T B, D); or the readout."""
    return torch.mm(x, W.t(), out=out) if b is None else torch.addmm(b, x, W.t(), out=out)


def _transposed(Whh: Tensor, steps: int) -> Tensor:
    """Return Whh'. A copy makes each product a third faster and pays off from about eight steps."""
    return Whh.t() if steps < 8 else Whh.t().contiguous()


def forward_states(
    steps: Sequence[Tensor],
    arrays: Sequence[np.ndarray | None],
    before: Tensor | None,
    Whh_t: Tensor,
) -> Tensor:
    """Turn the input terms of `project`, T times (B, H), into states in place; return the last one.

    `arrays` are the same memory, see `_workspace.as_arrays`: NumPy's tanh takes a third (float64)
    or a sixth (float32) of the time of torch's. `before` is the state before; None is zeros.
    """
    for state, array in zip(steps, arrays, strict=True):
        if before is not None:
            state.addmm_(before, Whh_t)  # (1)
        if array is None:  # (2)
            state.tanh_()
        else:
            np.tanh(array, out=array)
        before = state
    return state


def final_state(
    x: Tensor, before: Tensor | None, Wih: Tensor, Whh: Tensor, bh: Tensor | None
) -> Tensor:
    """Return the state after x (T, B, D). Its memory does not grow with T."""
    (T, B, D), H = x.shape, len(Whh)
    Whh_t = _transposed(Whh, T)
    size = max(1, CACHED // max(B * H, 1))
    for chunk in (x,) if T <= size else x.split(size):
        h = acquire(len(chunk), B, H, x)
        project(chunk.reshape(len(h.flat), D), Wih, bh, h.flat)
        before = last = forward_states(h.steps, h.arrays, before, Whh_t).clone()
        release(h)
    return last


def backward_states(grad_a: Block, h: Block, grad_out: Sequence[Tensor], Whh: Tensor) -> None:
    """Fill grad_a with dLoss/da[t] for the steps of h.

    grad_out holds the direct gradients of the last states: grad_out[-1] belongs to the last step,
    grad_out[-2] to the one before. They are zero for earlier steps.
    """
    torch.addcmul(h.one, h.block, h.block, value=-1, out=grad_a.block)  # 1 - h²
    remaining = iter(reversed(grad_out))
    grad_h = grad_a.spare
    after = grad_a.steps[-1].mul_(next(remaining))
    flush = False
    for t in range(len(grad_a.steps) - 2, -1, -1):
        step, direct = grad_a.steps[t], next(remaining, None)
        if t % 32 == 31:  # halved in each of 32 steps, 3e-28 becomes 7e-38
            flush = _near_subnormal(after)
        if direct is None:  # (3)
            torch.mm(after, Whh, out=grad_h)
        else:
            torch.addmm(direct, after, Whh, out=grad_h)
        after = step.mul_(grad_h)  # (4)
        if flush:
            info = torch.finfo(after.dtype)
            torch.hardshrink(after, info.tiny / info.eps**0.5, out=after)


def _near_subnormal(grad_a: Tensor) -> bool:
    """Return whether any nonzero entry is close to the subnormal range, below 3e-28 in float32.

    Subnormal arithmetic can be 100 times slower on CPUs. From there on, entries below 3e-35 are
    flushed to zero, so that their products with weights stay above the smallest normal number,
    1e-38.
    """
    if not grad_a.is_cpu or grad_a.dtype not in (torch.float32, torch.float64):
        return False
    info, size = torch.finfo(grad_a.dtype), grad_a.abs()
    low = info.tiny / info.eps**1.5
    # The minimum is a quick first test. Saturated units have exact zeros, which do not count.
    return len(size) > 0 and size.min().item() < low and bool(((size < low) & (size > 0)).any())


def weight_gradients(
    needs: Sequence[bool],
    grad_a: Block,
    h: Block,
    before: Tensor | None,
    x: Tensor,
    steps_x: Tensor,
    Wih: Tensor,
    Whh: Tensor,
) -> Grads:
    """Compute the gradients of x, h0, Wih, Whh and bh; None for those that `needs` leaves out.

    grad_a and h hold the last k steps, `before` is the state before them, x (B, T, D) is the whole
    input and steps_x (k B, D) its last k steps, time first.
    """
    grad_x = grad_h0 = grad_Wih = grad_Whh = grad_bh = None
    cut = x.shape[1] - len(grad_a.steps)
    if needs[3]:  # (5)
        grad_Whh = torch.mm(grad_a.late_t, h.early)
        if before is not None:
            grad_Whh.addmm_(grad_a.steps[0].t(), before)
    if needs[2]:  # (6)
        grad_Wih = torch.mm(grad_a.flat_t, steps_x)
    if needs[4]:  # (7)
        grad_bh = grad_a.flat.sum(0)
    if needs[0]:  # (8)
        grad_x = torch.zeros_like(x)
        grad_x[:, cut:] = (grad_a.block @ Wih).transpose(0, 1)
    if needs[1]:  # (9)
        first = grad_a.steps[0]
        grad_h0 = torch.zeros_like(first) if cut else first @ Whh
    return grad_x, grad_h0, grad_Wih, grad_Whh, grad_bh


class _States(Function):
    """The autograd node of `functional.tanh_rnn`; it saves its inputs and the states it returns."""

    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> Tensor:
        x, h0, Wih, Whh, bh, bptt_steps = inputs
        B, T, _ = x.shape
        H = len(Whh)
        # Time first in memory, batch first in shape. It is no view, so that autograd notices when
        # it is changed in place.
        out: Tensor = x.new_empty_strided((B, T, H), (H, B * H, 1))
        steps_x = x.transpose(0, 1).flatten(0, 1)
        h = out.transpose(0, 1)
        project(steps_x, Wih, bh, h.flatten(0, 1))
        forward_states(h.unbind(0), as_arrays(h), h0, _transposed(Whh, T))
        ctx.save_for_backward(x, h0, Wih, Whh, bh, out)
        ctx.bptt_steps = bptt_steps
        return out

    @staticmethod
    def backward(ctx: Any, grad_out: Tensor) -> Grads:
        x, h0, Wih, Whh, bh, out = ctx.saved_tensors
        if _reference.autocast(x):
            with torch.autocast(x.device.type, enabled=False):
                return _States.backward(ctx, grad_out)
        if torch.is_grad_enabled() or _reference.preferred(grad_out):
            return (
                *_reference.gradient(
                    _reference.states, (x, h0, Wih, Whh, bh), ctx.bptt_steps, grad_out
                ),
                None,
            )
        B, T, _ = x.shape
        cut = _reference.cut(T, ctx.bptt_steps)
        h = Block(out.transpose(0, 1)[cut:])
        before = out[:, cut - 1] if cut else h0
        steps_x = x[:, cut:].transpose(0, 1).flatten(0, 1)
        grad_a = acquire(T - cut, B, len(Whh), out)
        backward_states(grad_a, h, grad_out[:, cut:].unbind(1), Whh)
        grads = weight_gradients(ctx.needs_input_grad, grad_a, h, before, x, steps_x, Wih, Whh)
        release(grad_a)
        return (*grads, None)


class _LastOutput(Function):
    """The autograd node of `functional.last_output`; it keeps the states that the gradient needs.

    They lie in a reused block, or in fresh memory if saved-tensor hooks are set.
    """

    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> Tensor:
        x, h0, Wih, Whh, bh, Who, bo, bptt_steps = inputs
        B, T, D = x.shape
        cut = _reference.cut(T, bptt_steps)
        steps, before = x.transpose(0, 1), h0
        if cut:
            before, steps = final_state(steps[:cut], h0, Wih, Whh, bh), steps[cut:]
        steps_x = steps.reshape((T - cut) * B, D)
        hooked = saved_tensor_hooks()  # such as checkpoint and save_on_cpu: must see all tensors
        h = Block(x.new_empty(T - cut, B, len(Whh))) if hooked else acquire(T - cut, B, len(Whh), x)
        project(steps_x, Wih, bh, h.flat)
        last = forward_states(h.steps, h.arrays, before, _transposed(Whh, T - cut))
        ctx.bptt_steps, ctx.held = bptt_steps, None if hooked else (Lease(h), before, steps_x)
        saved = (before, h.block) if hooked else ()
        ctx.save_for_backward(x, h0, Wih, Whh, bh, Who, bo, *saved)
        return project(last, Who, bo)

    @staticmethod
    def backward(ctx: Any, grad_y: Tensor) -> Grads:
        x, h0, Wih, Whh, bh, Who, bo, *saved = ctx.saved_tensors
        if _reference.autocast(x):
            with torch.autocast(x.device.type, enabled=False):
                return _LastOutput.backward(ctx, grad_y)
        if torch.is_grad_enabled() or _reference.preferred(grad_y):
            inputs = (x, h0, Wih, Whh, bh, Who, bo)
            return (
                *_reference.gradient(_reference.last_output, inputs, ctx.bptt_steps, grad_y),
                None,
            )
        needs = ctx.needs_input_grad
        if ctx.held is None:
            before, h = saved[0], Block(saved[1])
            steps_x = x[:, x.shape[1] - len(h.steps) :].transpose(0, 1).flatten(0, 1)
        else:
            lease, before, steps_x = ctx.held
            h = lease.block
        grad_Who = torch.mm(grad_y.t(), h.steps[-1]) if needs[5] else None
        grad_bo = grad_y.sum(0) if needs[6] else None
        grad_a = acquire(len(h.steps), len(x), len(Whh), h.block)
        backward_states(grad_a, h, (torch.mm(grad_y, Who),), Whh)
        cell = weight_gradients(needs, grad_a, h, before, x, steps_x, Wih, Whh)
        release(grad_a)
        return (*cell, grad_Who, grad_bo, None)


# Function.apply checks for torch.func's transforms, which takes twice as long as the node itself.
# `_reference.preferred` has already checked, so the base class is called directly.
apply_states = super(Function, _States).apply
apply_last_output = super(Function, _LastOutput).apply


class _Context:
    """Takes the place of autograd's ctx: it stores what the backward needs."""

    def __init__(self, *inputs: Any) -> None:
        self.needs_input_grad = [isinstance(a, Tensor) and a.requires_grad for a in inputs]

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        self.saved_tensors = tensors


@torch.no_grad()
def half_mse_gradient(
    x: Tensor, y: Tensor, weights: Sequence[Tensor | None], bptt_steps: int | None
) -> tuple[Tensor, Grads]:
    """Compute half_mse of the last outputs for targets y (B, O), and its weight gradients.

    The result is bit-identical to autograd's. It skips the autograd engine, which takes as long as
    the arithmetic of a small network. The weights are Wih, Whh, bh, Who and bo.
    """
    inputs = (x, None, *weights, bptt_steps)
    ctx = _Context(*inputs)
    error = _LastOutput.forward(ctx, *inputs) - y
    grads = _LastOutput.backward(ctx, 2 * error * (0.5 / error.numel()))
    return error.square().mean() / 2, grads[2:7]
