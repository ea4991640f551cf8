"""The recurrence in plain torch operations, differentiated by autograd.

It is slower than `bptt`, but supports torch.func, torch.compile and second derivatives.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.compiler import is_compiling  # the attribute look-up takes a third of the call's time
from torch.nn.functional import linear

from sinrnn._private import (
    any_autocast,
    dispatch_modes,
    forward_mode,
    is_batched,
    jit_tracing,
    transforms_active,
)

R = TypeVar("R")
Grads = tuple[Tensor | None, ...]
HALVES = (torch.bfloat16, torch.float16)


def cut(steps: int, bptt_steps: int | None) -> int:
    """Return the number of first steps that the gradient does not reach."""
    return 0 if bptt_steps is None else max(steps - bptt_steps, 0)


def preferred(grad: Tensor | None = None) -> bool:
    """Return whether the plain operations must be used instead of those of `bptt`.

    This is the case under torch.func, torch.compile, torch.jit.trace, forward-mode autograd and
    dispatch modes (make_fx, fake tensors, FLOP counters): they cannot see into an
    autograd.Function, and must not see reused memory. Batched gradients (is_grads_batched of
    torch.autograd.grad) do not fit into such memory either.
    """
    return (
        is_compiling()
        or transforms_active()
        or jit_tracing()
        or dispatch_modes() > 0
        or forward_mode()
        or (grad is not None and is_batched(grad))
    )


def autocast(x: Tensor) -> bool:
    """Return whether torch.autocast is enabled on x's device."""
    return (
        any_autocast()  # a quick first test
        and isinstance(x, Tensor)
        and torch.amp.is_autocast_available(x.device.type)
        and torch.is_autocast_enabled(x.device.type)
    )


def exactly(x: Tensor) -> AbstractContextManager[Any]:
    """Return a context that disables autocast on x's device."""
    return torch.autocast(x.device.type, enabled=False) if autocast(x) else nullcontext()


def uncast(method: Callable[..., R], like: Tensor, x: Tensor, h0: Any, **options: Any) -> R:
    """Call a method with autocast disabled: half precision would accumulate rounding errors.

    Inputs in half precision, which come from other layers under autocast, get the dtype of `like`.
    """
    with torch.autocast(x.device.type, enabled=False):
        x, h0 = (
            a.to(like.dtype) if isinstance(a, Tensor) and a.dtype in HALVES else a for a in (x, h0)
        )
        return method(x, h0, **options)


def states(
    x: Tensor,
    h0: Tensor | None,
    Wih: Tensor,
    Whh: Tensor,
    bh: Tensor | None = None,
    *,
    bptt_steps: int | None = None,
) -> Tensor:
    """Compute the states of `tanh_rnn` by (1) and (2) of `bptt`; same arguments, (B, T, H)."""
    steps = x.shape[1]
    reached = cut(steps, bptt_steps)
    h = x.new_zeros(x.shape[0], Whh.shape[0]) if h0 is None else h0
    found = []
    for t in range(steps):
        h = torch.tanh(linear(x[:, t], Wih, bh) + h @ Whh.t())
        if t < reached:
            h = h.detach()
        found.append(h)
    return torch.stack(found, 1)


def last_output(
    x: Tensor,
    h0: Tensor | None,
    Wih: Tensor,
    Whh: Tensor,
    bh: Tensor | None,
    Who: Tensor,
    bo: Tensor | None,
    *,
    bptt_steps: int | None = None,
) -> Tensor:
    """Compute the output of `functional.last_output`; same arguments, (B, O)."""
    return linear(states(x, h0, Wih, Whh, bh, bptt_steps=bptt_steps)[:, -1], Who, bo)


def gradient(
    function: Callable[..., Tensor],
    inputs: Sequence[Tensor | None],
    bptt_steps: int | None,
    grad_out: Tensor,
) -> Grads:
    """Compute the gradient of `states` or `last_output`; it can be differentiated again.

    Args:
        function: `states` or `last_output`.
        inputs: Its tensor arguments.
        bptt_steps: Its bptt_steps.
        grad_out: Gradient of its result.

    Returns:
        A gradient for each input that requires one, None for the others.
    """
    # Aliases, so that paths from one input to another are not counted twice.
    create_graph = torch.is_grad_enabled()
    with torch.enable_grad():
        aliases = [None if a is None else a.view_as(a) for a in inputs]
        out = function(*aliases, bptt_steps=bptt_steps)
    wanted = [a for a in aliases if a is not None and a.requires_grad]
    if not out.requires_grad:  # only h0 requires a gradient, and the last bptt_steps miss it
        return tuple(a if a is None else torch.zeros_like(a) for a in aliases)
    grads = torch.autograd.grad(
        out, wanted, grad_out, create_graph=create_graph, materialize_grads=True
    )
    found = iter(grads)
    return tuple(next(found) if a is not None and a.requires_grad else None for a in aliases)
