"""Window-by-window learning: plain gradient descent with one update per window, in order.

This is how the notebook trains. One window is too little work for an autograd node of its own,
so the equations of `bptt.py` stand here once more, for S networks at a time that all see the
same window: every tensor has one dimension more, and rows are networks.
"""

import torch
from torch import Tensor

from sinrnn.nn.rnn import SinRNN


class Ensemble:
    """S networks without biases that learn side by side from the same windows.

    Args:
        Wih: Input weights (S, H, D).
        Whh: Recurrent weights (S, H, H).
        Who: Readout weights (S, O, H).
        bptt_steps: Steps that the gradient reaches back; None is the whole window.

    Attributes:
        weights: Copies of Wih, Whh and Who, which learn.
    """

    def __init__(
        self, Wih: Tensor, Whh: Tensor, Who: Tensor, *, bptt_steps: int | None = None
    ) -> None:
        # All weights of a network in one row, so that one operation updates them all.
        given = (Wih.detach(), Whh.detach(), Who.detach())
        self.flat = torch.cat([weight.flatten(1) for weight in given], 1)
        self.shapes = [weight.shape[1:] for weight in given]
        self.weights = self._parts(self.flat)
        self.bptt_steps = bptt_steps

    def _parts(self, flat: Tensor) -> list[Tensor]:
        parts = flat.split([shape.numel() for shape in self.shapes], 1)
        return [part.unflatten(1, shape) for part, shape in zip(parts, self.shapes, strict=True)]

    @torch.no_grad()
    def states(self, x: Tensor) -> Tensor:
        """States after windows x (N, T, D): (S, N, H)."""
        Wih, Whh, _ = self.weights
        h = torch.tanh(x[:, 0] @ Wih.mT)
        for t in range(1, x.shape[1]):
            h = torch.tanh(x[:, t] @ Wih.mT + h @ Whh.mT)
        return h

    @torch.no_grad()
    def outputs(self, x: Tensor) -> Tensor:
        """Outputs after windows x (N, T, D): (S, N, O)."""
        return self.states(x) @ self.weights[2].mT

    @torch.no_grad()
    def learn(self, x: Tensor, y: Tensor, lr: float, clip: float | None = None) -> Tensor:
        """Take the windows one after another; after each, every network makes one step.

        The loss of one window is its half_mse, the mean of (y[T] - target)² / 2 over O outputs.
        All in one piece, as the loop works on views that are made once, before it.

        Args:
            x: Windows (N, T, D).
            y: Targets (N, O).
            lr: Learning rate, the factor of the gradient in each step.
            clip: Entries of the gradient are cut to [-clip, clip]; None leaves them.

        Returns:
            The errors y[T] - target, (N, S, O), each seen before the window's own step.
        """
        Wih, Whh, Who = self.weights
        (N, T, D), (S, H, _) = x.shape, Wih.shape
        cut = 0 if self.bptt_steps is None else max(T - self.bptt_steps, 0)
        gradient = torch.empty_like(self.flat)
        grad_Wih, grad_Whh, grad_Who = self._parts(gradient)
        Wih_t, Whh_t, Who_t = Wih.mT, Whh.mT, Who.mT

        # h[t] and dLoss/da[t] in the rows of each network's matrix, (S, T, H), and views of them.
        h, grad_a = x.new_empty(2, S, T, H)
        states, grads = h.split(1, 1), grad_a.split(1, 1)
        earlier, before = grads[cut:-1][::-1], states[cut - 1] if cut else None
        early, late, reached = h[:, cut : T - 1], grad_a[:, cut + 1 :].mT, grad_a[:, cut:].mT
        one, errors = h.new_ones(()), x.new_empty(N, S, 1, y.shape[1])
        seen = x[:, None].expand(N, S, T, D)
        for window, ends, target, error in zip(seen, seen[:, :, cut:], y, errors, strict=True):
            torch.bmm(window, Wih_t, out=h)  # (1), what the inputs add
            last = states[0].tanh_()
            for state in states[1:]:
                last = state.baddbmm_(last, Whh_t).tanh_()  # (1), (2)
            grad_y = torch.bmm(last, Who_t, out=error).sub_(target).div(len(target))

            torch.bmm(grad_y.mT, last, out=grad_Who)
            torch.addcmul(one, h, h, value=-1, out=grad_a)  # 1 - h²
            after = grads[-1].mul_(torch.bmm(grad_y, Who))
            for step in earlier:
                after = step.mul_(torch.bmm(after, Whh))  # (3), (4)
            torch.bmm(late, early, out=grad_Whh)  # (5)
            if before is not None:
                grad_Whh.baddbmm_(after.mT, before)
            torch.bmm(reached, ends, out=grad_Wih)  # (6)

            if clip is not None:
                gradient.clamp_(-clip, clip)
            self.flat.sub_(gradient, alpha=lr)
        return errors[:, :, 0]


@torch.no_grad()
def descend(net: SinRNN, x: Tensor, y: Tensor, lr: float, clip: float | None = None) -> bool:
    """Let one network without biases learn as `Ensemble.learn` does.

    Returns:
        Whether its weights stayed finite; where not, they are left as they were.
    """
    weights = (net.Wih, net.Whh, net.Who)
    learner = Ensemble(*(weight[None] for weight in weights), bptt_steps=net.bptt_steps)
    learner.learn(x, y, lr, clip)
    if not learner.flat.isfinite().all():
        return False
    for weight, learnt in zip(weights, learner.weights, strict=True):
        weight.copy_(learnt[0])
    return True
