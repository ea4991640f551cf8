"""The gradient of one batch, step by step: what backpropagation through time does."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity, linear

from sinrnn.nn import _reference
from sinrnn.nn._reference import cut, exactly
from sinrnn.nn.functional import half_mse, tanh_rnn
from sinrnn.nn.rnn import SinRNN


@dataclass
class Trace:
    """The gradient of one batch, step by step; step t = 1..T has index t - 1.

    Attributes:
        loss: half_mse of the batch, a scalar.
        x: Inputs (B, T, D).
        h: States h[0..T], (B, T + 1, H).
        grad_h: dLoss/dh[t], (B, T, H).
        grad_a: dLoss/da[t], (B, T, H).

    Example:
        >>> seen = trace(SinRNN(hidden_size=8), torch.randn(4, 7, 1), torch.randn(4, 1))
        >>> {name: tuple(share.shape) for name, share in seen.shares.items()}
        {'Wih': (7, 8, 1), 'Whh': (7, 8, 8), 'bh': (7, 8)}
    """

    loss: Tensor
    x: Tensor
    h: Tensor
    grad_h: Tensor
    grad_a: Tensor

    @property
    def flow(self) -> Tensor:
        """Gradient that reaches each step: the norm of dLoss/dh[t] over windows and units, (T,).

        It is computed in float64, where the squares of small float32 gradients do not underflow.
        """
        return self.grad_h.double().square().sum((0, 2)).sqrt()

    @property
    def shares(self) -> dict[str, Tensor]:
        """Contribution of each step to the gradients: Wih (T, H, D), Whh (T, H, H), bh (T, H).

        These are the terms of the sums (5) to (7) in `bptt`; their sum over t is the gradient.
        """
        grad_a = self.grad_a.transpose(0, 1).mT  # (T, H, B)
        with exactly(self.x):
            return {
                "Wih": grad_a @ self.x.transpose(0, 1),
                "Whh": grad_a @ self.h[:, :-1].transpose(0, 1),
                "bh": grad_a.sum(2),
            }

    def gradients(self, bptt_steps: int | None = None) -> dict[str, Tensor]:
        """Return the gradients of Wih (H, D), Whh (H, H) and bh (H), truncated to `bptt_steps`.

        Args:
            bptt_steps: Number of last steps whose shares are summed; None is all.

        Returns:
            The gradients by name.

        Raises:
            ValueError: bptt_steps is below 1.
        """
        if bptt_steps is not None and bptt_steps < 1:
            raise ValueError(f"bptt_steps must be at least 1 step or None, got {bptt_steps}")
        first = cut(self.x.shape[1], bptt_steps)
        grad_a = self.grad_a[:, first:].flatten(0, 1)
        with exactly(self.x):
            return {
                "Wih": grad_a.t() @ self.x[:, first:].flatten(0, 1),
                "Whh": grad_a.t() @ self.h[:, first:-1].flatten(0, 1),
                "bh": grad_a.sum(0),
            }

    def cosine(self, bptt_steps: int) -> float:
        """Return the cosine between the gradient truncated to `bptt_steps` and the full one.

        It is taken over Wih and Whh together. Truncation does not change the readout's gradient.

        Args:
            bptt_steps: Number of steps that the truncated gradient reaches back.

        Returns:
            1 if truncation does not change the direction; nan if either gradient is zero.

        Raises:
            ValueError: bptt_steps is below 1.
        """
        truncated, full = (
            torch.cat([found[name].flatten() for name in ("Wih", "Whh")]).double()
            for found in (self.gradients(bptt_steps), self.gradients())
        )
        # Scaled to a largest entry of 1, since squares of small gradients underflow; 0/0 is nan.
        truncated, full = truncated / truncated.abs().max(), full / full.abs().max()
        return cosine_similarity(truncated, full, dim=0).item()


@torch.no_grad()
def trace(net: SinRNN, x: Tensor, target: Tensor, h0: Tensor | None = None) -> Trace:
    """Compute the gradient of half_mse on one batch and keep every step of it.

    This is the full gradient, whatever the network's bptt_steps; `Trace.gradients` truncates it.
    The code is the recursion (3), (4) of `bptt`, written plainly.

    Args:
        net: The network.
        x: Windows (B, T, D).
        target: (B, O) for the last output, or (B, T, O) for the outputs of every step.
        h0: State before the first input (B, H); None is zeros.

    Returns:
        The loss, the states, and dLoss/dh[t] and dLoss/da[t] of every step.

    Raises:
        TypeError: An argument is not a tensor of floating-point numbers.
        ValueError: Shapes or dtypes do not fit, x is no batch, or target does not have the shape of
            the outputs.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> net, x = SinRNN(hidden_size=8), torch.linspace(0, 1, 5).view(1, 5, 1)
        >>> seen = trace(net, x, torch.ones(1, 1))
        >>> seen.flow  # the gradient that reaches each of the 5 steps
        tensor([0.6195, 0.6210, 0.6258, 0.6544, 0.7405], dtype=torch.float64)
        >>> round(seen.cosine(bptt_steps=2), 3)  # truncated to 2 steps it changes direction
        0.935
    """
    if _reference.autocast(x):
        return _reference.uncast(lambda x, h0: trace(net, x, target, h0), net.Whh, x, h0)
    states = tanh_rnn(x, h0, net.Wih, net.Whh, net.bh)
    y = linear(states, net.Who, net.bo)
    if target.dim() == 2:
        y = y[:, -1]
    x, target = x.detach(), target.to(y)
    loss = half_mse(y, target)
    grad_out = torch.zeros_like(states)
    direct = grad_out if target.dim() == 3 else grad_out[:, -1]
    direct.copy_((y - target) / target.numel() @ net.Who)

    grad_h, grad_a = torch.empty_like(states), torch.empty_like(states)
    after = torch.zeros_like(states[:, 0])
    for t in reversed(range(x.shape[1])):
        grad_h[:, t] = grad_out[:, t] + after @ net.Whh  # (3)
        grad_a[:, t] = after = grad_h[:, t] * (1 - states[:, t].square())  # (4)
    first = torch.zeros_like(states[:, 0]) if h0 is None else h0
    return Trace(loss, x, torch.cat([first[:, None], states], 1), grad_h, grad_a)
