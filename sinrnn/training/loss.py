"""The loss of a batch: which outputs are compared with which values, from which state."""

from math import hypot, isfinite
from typing import Any

import torch
from lightning.pytorch.strategies import Strategy
from torch import Tensor
from torch.nn import ModuleDict
from torchmetrics import MeanSquaredError

from sinrnn.data.windows import Batch
from sinrnn.nn.functional import half_mse
from sinrnn.nn.rnn import SinRNN

# The losses of the loaders' batches, in their order.
NAMES = {"validate": ("half_mse/val", "half_mse/train"), "test": ("half_mse/test",)}


class HalfMSE(MeanSquaredError):
    """half_mse over all windows, however they come in batches."""

    def compute(self) -> Tensor:
        """Half of the mean over all that was seen."""
        return super().compute() / 2


class Losses(ModuleDict):
    """The half_mse of each split, by the name under which it is logged."""

    def __init__(self) -> None:
        names = (name for run in NAMES.values() for name in run)
        # float64: a mean over millions of windows, and losses down to 1e-30, keep their digits.
        super().__init__({name: HalfMSE().set_dtype(torch.float64) for name in names})

    def of(self, run: str, loader: int) -> tuple[str, Any]:
        """Name and metric of the loss of a loader's batches.

        Args:
            run: "validate" or "test".
            loader: The loader's index.

        Raises:
            ValueError: There is no loss for it.
        """
        names = NAMES[run]
        if loader >= len(names):
            raise ValueError(f"{run} takes at most {len(names)} loaders, got {loader + 1}")
        return names[loader], self[names[loader]]


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
            x: Windows (B, T, D).
            y: What follows them: (B, K) of one output, (B, O) of several.
            read: What the network reads: x, with noise where there is any.
        """
        made, wanted = self._compared(net, x, y, read)
        return half_mse(made, wanted) if len(x) else made.sum()

    def _compared(self, net: SinRNN, x: Tensor, y: Tensor, read: Tensor) -> tuple[Tensor, Tensor]:
        after = y[:, :, None] if net.output_size == 1 else y[:, None]  # (B, K, O)
        ahead = after.shape[1] - 1
        if self.outputs == "last" and not ahead and not self.stateful:
            return net(read), y
        steps = x.shape[1]
        h, out = net.unroll(read, self.before if self.stateful else None, ahead=ahead)
        self.after = h[:, steps - 1].detach()
        if self.outputs == "every":
            return out, torch.cat([x[:, 1:], after], 1)
        return out[:, steps - 1 :], after


def paired(net: SinRNN, batch: Batch, *, ahead: bool = False) -> Batch:
    """A batch's windows x (B, T, D) and what outputs are compared with, in two dimensions.

    Args:
        net: The network.
        batch: x, and what follows: (B, O), or (B,) of one output.
        ahead: Whether that may be (B, K), values in closed loop, where there is one output.

    Raises:
        ValueError: It is something else.
    """
    x, y = batch
    shape, outputs = tuple(y.shape), net.output_size
    y = y[:, None] if y.dim() == 1 else y
    several = ahead and outputs == 1 and y.dim() == 2 and y.shape[1] > 0
    if y.shape != (len(x), outputs) and not (several and len(y) == len(x)):
        wanted = (len(x), outputs)
        raise ValueError(f"targets must be {wanted} to fit output_size {outputs}, got {shape}")
    return x, y


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


def gradient_norm(net: SinRNN, scale: float) -> float:
    """The norm of all gradients together, as it is without the scale that is on them."""
    grads = [p.grad for p in net.parameters() if p.grad is not None]
    if scale != 1:  # squares of what is scaled may overflow
        grads = [grad / scale for grad in grads]
    # A third of what get_total_norm takes for so few weights.
    return hypot(*(torch.linalg.vector_norm(grad).item() for grad in grads))


def check_finite(what: str, value: float, step: int) -> None:
    """Stop training where a number is not finite; see `exploded`."""
    if not isfinite(value):
        raise exploded(what, value, step)


def exploded(what: str, value: float, step: int) -> FloatingPointError:
    """The error that stops training before a step that would poison the weights."""
    return FloatingPointError(
        f"the {what} became {value} at step {step}: lower the learning rate "
        "(model.optimizer.lr) or clip the gradient (trainer.gradient_clip_val)"
    )
