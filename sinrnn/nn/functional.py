"""The recurrence and the loss as functions of plain tensors."""

import torch
from torch import Tensor

from sinrnn.nn import _reference, bptt
from sinrnn.nn._validation import check


def tanh_rnn(
    x: Tensor,
    h0: Tensor | None,
    Wih: Tensor,
    Whh: Tensor,
    bh: Tensor | None = None,
    *,
    bptt_steps: int | None = None,
) -> Tensor:
    """Compute all states h[1..T] of h[t] = tanh(Wih x[t] + Whh h[t-1] + bh).

    The gradient is the hand-derived recursion of `sinrnn.nn.bptt`. It may be differentiated again.

    Args:
        x: Inputs (B, T, D).
        h0: State before the first input (B, H); None is zeros.
        Wih: Input weights (H, D).
        Whh: Recurrent weights (H, H).
        bh: Bias (H), or None.
        bptt_steps: Number of steps k that the gradient reaches back from the last one. For k < T
            it equals the gradient of a loop that detaches h[T - k] and every earlier state: these
            states, their inputs and h0 get zero. None, or k >= T, gives the exact gradient.

    Returns:
        The states h[1..T], (B, T, H).

    Raises:
        TypeError: An argument is not a tensor of floating-point numbers.
        ValueError: Shapes or dtypes do not fit each other, T is 0, or bptt_steps is below 1.

    Example:
        >>> x, Wih, Whh = torch.randn(6, 7, 2), torch.randn(5, 2), torch.eye(5, requires_grad=True)
        >>> tanh_rnn(x, None, Wih, Whh, bptt_steps=3)[:, -1].sum().backward()  # 3 of 7 steps
        >>> Whh.grad.shape
        torch.Size([5, 5])
    """
    if _reference.autocast(x):  # half precision would accumulate rounding errors over the steps
        with torch.autocast(x.device.type, enabled=False):
            return tanh_rnn(x, h0, Wih, Whh, bh, bptt_steps=bptt_steps)
    check(x, h0, Wih, Whh, bh, bptt_steps)
    if _reference.preferred():
        return _reference.states(x, h0, Wih, Whh, bh, bptt_steps=bptt_steps)
    return bptt.apply_states(x, h0, Wih, Whh, bh, bptt_steps)  # type: ignore[no-any-return, no-untyped-call]


def last_output(
    x: Tensor,
    h0: Tensor | None,
    Wih: Tensor,
    Whh: Tensor,
    bh: Tensor | None,
    Who: Tensor,
    bo: Tensor | None = None,
    *,
    bptt_steps: int | None = None,
) -> Tensor:
    """Compute only the last output of the same recurrence, y[T] = Who h[T] (+ bo).

    This is cheaper than reading y[T] off `tanh_rnn`: one autograd node computes cell and readout,
    and keeps only the last `bptt_steps` states. Arguments and errors are those of `tanh_rnn`, with
    the readout's Who (O, H) and bo (O) or None. The result is (B, O).
    """
    if _reference.autocast(x):
        with torch.autocast(x.device.type, enabled=False):
            return last_output(x, h0, Wih, Whh, bh, Who, bo, bptt_steps=bptt_steps)
    check(x, h0, Wih, Whh, bh, bptt_steps, Who, bo)
    if _reference.preferred():
        return _reference.last_output(x, h0, Wih, Whh, bh, Who, bo, bptt_steps=bptt_steps)
    if not torch.is_grad_enabled():
        return bptt.project(bptt.final_state(x.transpose(0, 1), h0, Wih, Whh, bh), Who, bo)
    return bptt.apply_last_output(x, h0, Wih, Whh, bh, Who, bo, bptt_steps)  # type: ignore[no-any-return, no-untyped-call]


def half_mse(prediction: Tensor, target: Tensor) -> Tensor:
    """Compute the mean squared error / 2, the notebook's loss.

    Args:
        prediction: Any shape.
        target: The same shape.

    Raises:
        ValueError: The shapes differ. Nothing is broadcast.
    """
    if prediction.shape != target.shape:
        raise ValueError(
            f"prediction {tuple(prediction.shape)} and target {tuple(target.shape)} must have "
            "the same shape"
        )
    return (prediction - target).square().mean() / 2
