"""The loss of a batch: which outputs are compared with which values, from which state."""

import torch
from lightning.pytorch.strategies import Strategy
from torch import Tensor
from torchmetrics import MeanSquaredError

from sinrnn.nn.functional import half_mse
from sinrnn.nn.rnn import SinRNN


class HalfMSE(MeanSquaredError):
    """half_mse over all windows, however they come in batches."""

    def compute(self) -> Tensor:
        """Half of the mean over all that was seen."""
        return super().compute() / 2


class BatchLoss:
    """half_mse of a batch in training, in the units that the network works in.

    Args:
        outputs: "last" or "every"; see `Forecaster`.
        stateful: Whether a batch starts from the state that the one before it ended with.

    Attributes:
        before: The state that the batch at hand starts from, detached (B, H); None is zeros.
        after: The state that it ends with, likewise.
    """

    def __init__(self, outputs: str, stateful: bool) -> None:
        self.outputs, self.stateful = outputs, stateful
        self.before: Tensor | None = None
        self.after: Tensor | None = None

    def __call__(self, net: SinRNN, x: Tensor, y: Tensor, read: Tensor) -> Tensor:
        """The loss, and the state `after`.

        Args:
            net: The network.
            x: Windows (B, T, 1).
            y: What follows them, (B, K).
            read: What the network reads: x, with noise where there is any.
        """
        made, wanted = self._compared(net, x, y, read)
        return half_mse(made, wanted) if len(x) else made.sum()

    def _compared(self, net: SinRNN, x: Tensor, y: Tensor, read: Tensor) -> tuple[Tensor, Tensor]:
        if self.outputs == "last" and y.shape[1] == 1 and not self.stateful:
            return net(read), y
        steps = x.shape[1]
        h, out = net.unroll(read, self.before if self.stateful else None, ahead=y.shape[1] - 1)
        self.after = h[:, steps - 1].detach()
        if self.outputs == "every":
            return out[..., 0], torch.cat([x[:, 1:, 0], y], 1)
        return out[:, steps - 1 :, 0], y


def noisy(x: Tensor, deviation: float, key: tuple[int, ...]) -> Tensor:
    """Windows with normal noise, a function of the key, of x's shape and of x's dtype."""
    # A tuple of ints has the same hash in every process.
    source = torch.Generator("cpu").manual_seed(hash(key))
    noise = torch.randn(x.shape, generator=source, dtype=x.dtype, device="cpu")
    return x + deviation * noise.to(x.device)


def shared(loss: Tensor, windows: int, strategy: Strategy) -> Tensor:
    """The mean over the windows of all processes; its gradient is left to be averaged."""
    count = torch.tensor(float(windows), device=loss.device)
    own = loss * (windows / strategy.reduce(count, reduce_op="mean"))
    return own + (strategy.reduce(own.detach(), reduce_op="mean") - own).detach()


def exploded(what: str, value: float, step: int) -> FloatingPointError:
    """The error that stops training before a step that would poison the weights."""
    return FloatingPointError(
        f"the {what} became {value} at step {step}: lower the learning rate "
        "(model.optimizer.lr) or clip the gradient (trainer.gradient_clip_val)"
    )
