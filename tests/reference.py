"""The recurrence and its gradient in NumPy, for one sample, as a textbook writes them.

h[t] = tanh(Wih x[t] + Whh h[t-1] + bh) and y[t] = Who h[t] + bo, for t = 1..T. Arrays of states
start at h[0]; x and y start at t = 1, so x[t] of the text is x[t - 1] here.

The gradient is the sum over all pairs s <= t of how step s moves the state at t,

    dh[t]/da[s] = J[t] J[t-1] ... J[s+1] diag(1 - h[s]²)      with J[t] = diag(1 - h[t]²) Whh

and no recursion over time, so that it shares nothing with the backward of `bptt.py`.
"""

import numpy as np


def forward(x, h0, Wih, Whh, bh, Who, bo):
    """States h[0..T], (T+1, H), and outputs y[1..T], (T, O), of inputs x (T, D)."""
    h, y = [h0], []
    for t in range(1, len(x) + 1):
        h.append(np.tanh(Wih @ x[t - 1] + Whh @ h[t - 1] + bh))
        y.append(Who @ h[t] + bo)
    return np.stack(h), np.stack(y)


def half_mse(y, target):
    """Half the mean squared error."""
    return np.mean((y - target) ** 2) / 2


def state_gradients(x, h, Wih, Whh, grad_out, bptt_steps=None):
    """Gradients of a loss that reads h[t] by grad_out[t - 1]; of the last bptt_steps alone.

    Nothing before step T - bptt_steps + 1 is read by the loss or reached by the gradient.
    """
    steps = len(x)
    first = 1 if bptt_steps is None else max(steps - bptt_steps + 1, 1)
    grads = {
        "x": np.zeros_like(x),
        "h0": np.zeros_like(h[0]),
        "Wih": np.zeros_like(Wih),
        "Whh": np.zeros_like(Whh),
        "bh": np.zeros_like(h[0]),
    }
    for t in range(first, steps + 1):
        for s in range(first, t + 1):
            jacobian = np.diag(1 - h[s] ** 2)
            for r in range(s + 1, t + 1):
                jacobian = np.diag(1 - h[r] ** 2) @ Whh @ jacobian
            grad_a = grad_out[t - 1] @ jacobian
            grads["x"][s - 1] += grad_a @ Wih
            grads["Wih"] += np.outer(grad_a, x[s - 1])
            grads["Whh"] += np.outer(grad_a, h[s - 1])
            grads["bh"] += grad_a
            if s == 1:
                grads["h0"] += grad_a @ Whh
    return grads


def last_output_gradients(x, h0, Wih, Whh, bh, Who, bo, target, bptt_steps=None):
    """Gradients of half_mse(y[T], target), the many-to-one loss of one sample."""
    h, y = forward(x, h0, Wih, Whh, bh, Who, bo)
    grad_y = (y[-1] - target) / len(target)
    grad_out = np.zeros_like(h[1:])
    grad_out[-1] = grad_y @ Who
    cell = state_gradients(x, h, Wih, Whh, grad_out, bptt_steps)
    return cell | {"Who": np.outer(grad_y, h[-1]), "bo": grad_y}
