"""Window-by-window learning: plain gradient descent with one update per window, in order.

This is how the notebook trains. For a single window the overhead of torch exceeds the arithmetic,
so this module repeats the equations of `bptt.py` in NumPy, for one window at a time.
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
    """Train a network without biases with one gradient-descent step per window, in order.

    The loss of a window is half_mse, the mean of (y[T] - target)² / 2 over the O outputs. Weights
    in half precision are trained in float32 and rounded at the end.

    Args:
        net: The network, changed in place.
        x: Windows (N, T, D).
        y: Targets (N, O).
        lr: Learning rate.
        clip: Clip the entries of the gradient to [-clip, clip]. None does not clip.

    Returns:
        True if all weights are finite. If not, the network keeps the weights it had.
    """
    weights = (net.Wih, net.Whh, net.Who)
    dtype = torch.promote_types(net.Wih.dtype, torch.float32)
    # All weights in one vector, so that one operation updates them; the NumPy arrays are views.
    flat = torch.cat([weight.flatten() for weight in weights]).to("cpu", dtype)
    windows, targets = (tensor.to("cpu", dtype).numpy() for tensor in (x, y))
    with np.errstate(all="ignore"):  # an overflow shows in the weights
        _train(flat, net, windows, targets, lr, clip)
    if not flat.isfinite().all():
        return False
    for weight, trained in zip(weights, _split(flat, net), strict=True):
        weight.copy_(trained)
    return True


def _split(flat: Tensor, net: SinRNN) -> list[Tensor]:
    """Return views of Wih, Whh and Who, or their gradients, in a vector that holds all of them."""
    weights = (net.Wih, net.Whh, net.Who)
    parts = flat.split([weight.numel() for weight in weights])
    return [part.view_as(weight) for part, weight in zip(parts, weights, strict=True)]


def _train(weights: Tensor, net: SinRNN, x: Array, y: Array, lr: float, clip: float | None) -> None:
    """Train the vector of all weights in place, on views that are made once, before the loop."""
    gradients = torch.empty_like(weights)
    Wih, Whh, Who = (part.numpy() for part in _split(weights, net))
    grad_Wih, grad_Whh, grad_Who = (part.numpy() for part in _split(gradients, net))
    flat, gradient, T = weights.numpy(), gradients.numpy(), x.shape[1]
    cut = 0 if net.bptt_steps is None else max(T - net.bptt_steps, 0)

    # Rows t of two matrices (T, H) hold h[t] and dLoss/da[t]; the rest are views of them.
    h, grad_a = np.empty((2, T, len(Whh)), flat.dtype)
    states, grads = list(h), list(grad_a)
    buffer, grad_y = np.empty_like(states[0]), np.empty(len(Who), flat.dtype)
    Wih_t, column, h_T, grad_a_T = Wih.T, grad_y[:, None], states[-1], grads[-1]
    forward, backward = list(pairwise(states)), list(pairwise(grads[cut:][::-1]))
    grad_a_next, h_previous = grad_a[max(cut, 1) :].T, h[max(cut, 1) - 1 : -1]
    grad_a_cut, x_cut = grad_a[cut:].T, x[:, cut:]
    one = np.ones((), flat.dtype)
    if clip is not None:  # NumPy compares with a number at half of the speed
        highest = np.full_like(gradient, clip)
        lowest = -highest
    for window, window_cut, target in zip(x, x_cut, y, strict=True):
        # A.dot(B, out) takes half of the time of np.dot for such small arrays.
        window.dot(Wih_t, h)  # (1), the term of the inputs
        np.tanh(states[0], out=states[0])
        for previous, state in forward:
            state += Whh.dot(previous, buffer)  # (1)
            np.tanh(state, out=state)  # (2)
        Who.dot(h_T, grad_y)
        grad_y -= target
        grad_y /= len(target)

        np.multiply(column, h_T, out=grad_Who)
        np.multiply(h, h, out=grad_a)
        np.subtract(one, grad_a, out=grad_a)  # 1 - h²
        grad_a_T *= grad_y.dot(Who, buffer)
        for after, grad in backward:
            grad *= after.dot(Whh, buffer)  # (3), (4)
        grad_a_next.dot(h_previous, grad_Whh)  # (5)
        grad_a_cut.dot(window_cut, grad_Wih)  # (6)

        if clip is not None:
            np.minimum(gradient, highest, out=gradient)
            np.maximum(gradient, lowest, out=gradient)
        gradient *= lr
        flat -= gradient
