"""The losses: of a training batch, and of each split for logging."""

from math import hypot, isfinite
from typing import Any

import torch
from lightning.pytorch.strategies import Strategy
from torch import Tensor
from torch.nn import ModuleDict
from torchmetrics import MeanSquaredError

from sinrnn.data.windows import Batch
from sinrnn.nn._reference import Grads
from sinrnn.nn.bptt import half_mse_gradient
from sinrnn.nn.functional import half_mse
from sinrnn.nn.rnn import SinRNN

# Names of the logged losses, in the order of the loaders.
NAMES = {"validate": ("half_mse/val", "half_mse/train"), "test": ("half_mse/test",)}


class HalfMSE(MeanSquaredError):
    """half_mse over all windows, independent of how they are split into batches."""

    def compute(self) -> Tensor:
        """Return half of the mean squared error over all windows seen so far."""
        return super().compute() / 2


class Losses(ModuleDict):
    """The `HalfMSE` metric of each split, by the name under which it is logged."""

    def __init__(self) -> None:
        names = (name for run in NAMES.values() for name in run)
        # float64 keeps its precision over millions of windows and for losses down to 1e-30.
        super().__init__({name: HalfMSE().set_dtype(torch.float64) for name in names})

    def of(self, run: str, loader: int) -> tuple[str, Any]:
        """Return the name and the metric for the batches of a loader.

        Args:
            run: "validate" or "test".
            loader: The index of the loader.

        Raises:
            ValueError: There are more loaders than losses.
        """
        names = NAMES[run]
        if loader >= len(names):
            raise ValueError(f"{run} takes at most {len(names)} loaders, got {loader + 1}")
        return names[loader], self[names[loader]]


class BatchLoss:
    """half_mse of a training batch, in the units that the network works in.

    Args:
        outputs: "last" or "every"; see `Forecaster`.
        stateful: Start from `initial_state` instead of zeros.

    Attributes:
        by_hand: Compute the gradients of the weights with the loss, and keep them.
        initial_state: Hidden state (B, H) at the start of the batch, detached. None is zeros.
        final_state: Hidden state (B, H) at the end of the windows, detached.
    """

    def __init__(self, outputs: str, stateful: bool) -> None:
        self.outputs, self.stateful = outputs, stateful
        self.by_hand = False
        self.gradients: Grads | None = None
        self.initial_state: Tensor | None = None
        self.final_state: Tensor | None = None

    def __call__(self, net: SinRNN, x: Tensor, y: Tensor, inputs: Tensor) -> Tensor:
        """Return the loss, and set `final_state`; by hand, without autograd's graph.

        Args:
            net: The network.
            x: Windows (B, T, D).
            y: Values after each window: (B, K) if the network has one output, else (B, O).
            inputs: Inputs of the network: x, with noise if input_noise is set.
        """
        if self.by_hand:
            loss, self.gradients = half_mse_gradient(inputs, y, net._weights(), net.bptt_steps)
            return loss
        self.gradients = None  # those of a step that failed
        outputs, targets = self._outputs_and_targets(net, x, y, inputs)
        return half_mse(outputs, targets) if len(x) else outputs.sum()

    def set_gradients(self, net: SinRNN) -> bool:
        """Set the gradients of the last loss if they were computed by hand; return whether."""
        if self.gradients is None:
            return False
        for weight, gradient in zip(net._weights(), self.gradients, strict=True):
            if weight is not None:
                weight.grad = gradient
        self.gradients = None
        return True

    def _outputs_and_targets(
        self, net: SinRNN, x: Tensor, y: Tensor, inputs: Tensor
    ) -> tuple[Tensor, Tensor]:
        targets = y[:, :, None] if net.output_size == 1 else y[:, None]  # (B, K, O)
        ahead = targets.shape[1] - 1
        if self.outputs == "last" and not ahead and not self.stateful:
            return net(inputs), y
        steps = x.shape[1]
        h, outputs = net.unroll(inputs, self.initial_state if self.stateful else None, ahead=ahead)
        self.final_state = h[:, steps - 1].detach()
        if self.outputs == "every":
            return outputs, torch.cat([x[:, 1:], targets], 1)
        return outputs[:, steps - 1 :], targets


def check_batch(net: SinRNN, batch: Batch, *, closed_loop: bool = False) -> Batch:
    """Return the windows x (B, T, D) and targets (B, O) or (B, K) of a batch.

    Args:
        net: The network.
        batch: x and its targets: (B, O), or (B,) if there is one output.
        closed_loop: Allow targets (B, K) of K consecutive steps, if there is one output.

    Raises:
        ValueError: The targets have another shape.
    """
    x, y = batch
    shape, outputs = tuple(y.shape), net.output_size
    y = y[:, None] if y.dim() == 1 else y
    several = closed_loop and outputs == 1 and y.dim() == 2 and y.shape[1] > 0
    if y.shape != (len(x), outputs) and not (several and len(y) == len(x)):
        expected = (len(x), outputs)
        raise ValueError(f"targets must be {expected} to fit output_size {outputs}, got {shape}")
    return x, y


def add_noise(x: Tensor, deviation: float, key: tuple[int, ...]) -> Tensor:
    """Return x with Gaussian noise, which depends only on the key and on x's shape and dtype."""
    # The hash of a tuple of ints is the same in every process.
    source = torch.Generator("cpu").manual_seed(hash(key))
    noise = torch.randn(x.shape, generator=source, dtype=x.dtype, device="cpu")
    return x + deviation * noise.to(x.device)


def mean_over_processes(loss: Tensor, windows: int, strategy: Strategy) -> Tensor:
    """Return the mean loss over the windows of all processes.

    The gradient is that of the process's own windows, weighted so that the average over processes,
    which DDP computes, is the gradient of the mean.
    """
    count = torch.tensor(float(windows), device=loss.device)
    own = loss * (windows / strategy.reduce(count, reduce_op="mean"))
    return own + (strategy.reduce(own.detach(), reduce_op="mean") - own).detach()


def gradient_norm(net: SinRNN, scale: float) -> float:
    """Return the norm of all gradients together, divided by the loss scale."""
    grads = [p.grad for p in net.parameters() if p.grad is not None]
    if scale != 1:  # dividing first keeps the squares from overflowing
        grads = [grad / scale for grad in grads]
    # Three times as fast as torch.nn.utils.get_total_norm for so few weights.
    return hypot(*(torch.linalg.vector_norm(grad).item() for grad in grads))


def check_finite(what: str, value: float, step: int) -> None:
    """Raise `nonfinite_error` if the value is infinite or NaN."""
    if not isfinite(value):
        raise nonfinite_error(what, value, step)


def nonfinite_error(what: str, value: float, step: int) -> FloatingPointError:
    """Return the error that stops training before the weights become infinite or NaN."""
    return FloatingPointError(
        f"the {what} became {value} at step {step}: lower the learning rate "
        "(model.optimizer.lr) or clip the gradient (trainer.gradient_clip_val)"
    )
