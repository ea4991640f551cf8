"""Window-by-window learning: plain gradient descent with one update per window, in order.

This is how the notebook trains. One window is too little work for an autograd node, and for a call
of torch: the equations of `bptt.py` stand here once more, for one window at a time, in NumPy.
"""

from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sinrnn.nn.rnn import SinRNN

Array = np.ndarray[Any, np.dtype[Any]]


@torch.no_grad()
def descend(net: SinRNN, x: Tensor, y: Tensor, lr: float, clip: float | None = None) -> bool:
    """Let a network without biases take windows one after another, with one step after each.

    The loss of one window is its half_mse, the mean of (y[T] - target)² / 2 over O outputs. Half
    precision learns in float32, and is rounded at the end.

    Args:
        net: The network.
        x: Windows (N, T, D).
        y: Targets (N, O).
        lr: Learning rate, the factor of the gradient in each step.
        clip: Entries of the gradient are cut to [-clip, clip]; None leaves them.

    Returns:
        Whether its weights stayed finite; where not, they are left as they were.
    """
    weights = (net.Wih, net.Whh, net.Who)
    dtype = torch.promote_types(net.Wih.dtype, torch.float32)
    # All weights in one row, so that one operation updates them all; arrays share its memory.
    flat = torch.cat([weight.flatten() for weight in weights]).to("cpu", dtype)
    windows, targets = (given.to("cpu", dtype).numpy() for given in (x, y))
    with np.errstate(all="ignore"):  # what explodes is told by the weights
        _learn(flat, net, windows, targets, lr, clip)
    if not flat.isfinite().all():
        return False
    for weight, learnt in zip(weights, _parts(flat, net), strict=True):
        weight.copy_(learnt)
    return True


def _parts(flat: Tensor, net: SinRNN) -> list[Tensor]:
    """Views of Wih, Whh and Who in a row of all weights, or of all gradients."""
    weights = (net.Wih, net.Whh, net.Who)
    parts = flat.split([weight.numel() for weight in weights])
    return [part.view_as(weight) for part, weight in zip(parts, weights, strict=True)]


def _learn(weights: Tensor, net: SinRNN, x: Array, y: Array, lr: float, clip: float | None) -> None:
    """Let all weights, in a row, learn; in place, on views that are made once, before the loop."""
    gradients = torch.empty_like(weights)
    Wih, Whh, Who = (part.numpy() for part in _parts(weights, net))
    grad_Wih, grad_Whh, grad_Who = (part.numpy() for part in _parts(gradients, net))
    flat, gradient, T = weights.numpy(), gradients.numpy(), x.shape[1]
    cut = 0 if net.bptt_steps is None else max(T - net.bptt_steps, 0)

    # h[t] and dLoss/da[t] in the rows of a matrix (T, H), and views of them.
    h, grad_a = np.empty((2, T, len(Whh)), flat.dtype)
    states, grads = list(h), list(grad_a)
    room, grad_y = np.empty_like(states[0]), np.empty(len(Who), flat.dtype)
    Wih_t, column, h_T = Wih.T, grad_y[:, None], states[-1]
    later, earlier = list(pairwise(states)), list(pairwise(grads[cut:][::-1]))
    late, early = grad_a[max(cut, 1) :].T, h[max(cut, 1) - 1 : -1]
    reached, ends = grad_a[cut:].T, x[:, cut:]
    for window, end, target in zip(x, ends, y, strict=True):
        np.dot(window, Wih_t, out=h)  # (1), what the inputs add
        np.tanh(states[0], out=states[0])
        for before, state in later:
            state += np.dot(Whh, before, out=room)  # (1)
            np.tanh(state, out=state)  # (2)
        np.dot(Who, h_T, out=grad_y)
        grad_y -= target
        grad_y /= len(target)

        np.multiply(column, h_T, out=grad_Who)
        np.multiply(h, h, out=grad_a)
        np.subtract(1, grad_a, out=grad_a)  # 1 - h²
        np.multiply(grads[-1], np.dot(grad_y, Who, out=room), out=grads[-1])
        for after, step in earlier:
            step *= np.dot(after, Whh, out=room)  # (3), (4)
        np.dot(late, early, out=grad_Whh)  # (5)
        np.dot(reached, end, out=grad_Wih)  # (6)

        if clip is not None:
            np.minimum(gradient, clip, out=gradient)
            np.maximum(gradient, -clip, out=gradient)
        gradient *= lr
        flat -= gradient
