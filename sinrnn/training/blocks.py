"""Several steps of training in one of Lightning's, which takes longer than a step of a small net.

The steps of a block are the same as one by one, and counted as such. A block ends where somebody
looks: at the end of the epoch, at a validation, at a row of the log, at the last step.
"""

import time
from math import nan
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.plugins import DoublePrecision, Precision
from lightning.pytorch.strategies import SingleDeviceStrategy
from torch import Tensor
from torch.optim import LBFGS, Optimizer

from sinrnn._private import add_steps, is_plain, next_batch
from sinrnn.data.datamodule import WindowDataModule, windows_of
from sinrnn.nn.bptt import half_mse_gradient
from sinrnn.nn.rnn import SinRNN
from sinrnn.training import options
from sinrnn.training.loss import check_finite, exploded
from sinrnn.training.online import descend

SECONDS = 0.1  # signals, checkpoints and the progress bar wait for the end of a block

# What a callback may look at within a block; those of this package see what they need.
HOOKS = (
    "on_train_batch_start",
    "on_before_backward",
    "on_after_backward",
    "on_before_zero_grad",
    "on_before_optimizer_step",
    "on_train_batch_end",
)


def learn_all_but_last(model: Any, batch: Any, batch_idx: int) -> tuple[Any, int]:
    """Make the steps of a block but its last, which is left to Lightning.

    Args:
        model: The `Forecaster`, within a training step.
        batch: The step's batch.
        batch_idx: Its index.

    Returns:
        The last batch of the block, and its index.
    """
    last, until = batch_idx + model.ahead, time.perf_counter() + SECONDS
    by_hand = _is_by_hand(model)
    while batch_idx < last and time.perf_counter() < until:
        _step(model, batch, batch_idx, by_hand)
        batch, batch_idx = next_batch(model.trainer), batch_idx + 1
        model.batch_loss.before = model.batch_loss.after
    return batch, batch_idx


def _step(model: Any, batch: Any, batch_idx: int, by_hand: bool) -> None:
    """A step as Lightning makes it, with the hooks that somebody listens to."""
    trainer, optimizer = model.trainer, model.trainer.optimizers[0]
    if by_hand:
        weights, (_, y, read) = model.net._weights(), model._prepared(batch, batch_idx)
        loss, gradients = half_mse_gradient(read, y, weights, model.net.bptt_steps)
        check_finite("loss", loss.item(), model.global_step)
        for weight, gradient in zip(weights, gradients, strict=True):
            if weight is not None:
                weight.grad = gradient
    else:
        loss = model._loss(batch, batch_idx)
        optimizer.zero_grad()
        loss.backward()
    model.on_after_backward()
    for callback in trainer.callbacks:
        callback.on_before_optimizer_step(trainer, model, optimizer)
    if trainer.gradient_clip_val is not None:
        algorithm = trainer.gradient_clip_algorithm
        model.clip_gradients(optimizer, trainer.gradient_clip_val, algorithm)
    optimizer.step()


def learn_each_but_last(model: Any, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Make a step for each window (N, T, D) but the last, which is left to Lightning.

    Returns:
        That window and its target.

    Raises:
        FloatingPointError: Weights are not finite then; they are as they were.
    """
    if len(x) == 1:
        return x, y
    lr = model.trainer.optimizers[0].param_groups[0]["lr"]
    if not descend(model.net, x[:-1], y[:-1], lr, options.clip(model.trainer)):
        raise exploded("weights", nan, model.global_step)
    add_steps(model.trainer, len(x) - 1)  # Lightning counts one step a batch
    return x[-1:], y[-1:]


def _is_by_hand(model: Any) -> bool:
    """Whether the loss is half_mse of last outputs, and nobody sees how its gradient is made."""
    net, loss, weights = model.net, model.batch_loss, model.net._weights()
    own = {id(weight) for weight in weights if weight is not None}
    return (
        type(net) is SinRNN
        and loss.outputs == "last"
        and not loss.stateful
        and model.trainer.datamodule.steps == 1
        and own == {id(weight) for weight in net.parameters()}  # none is computed from others
        and len(own) == len(weights) - weights.count(None)  # or tied to another
        and is_plain(net)
    )


def steps_ahead(model: Any, batch_idx: int) -> int:
    """How many steps may be made before the one at which Lightning must be asked what follows.

    Args:
        model: The `Forecaster`, as a batch begins.
        batch_idx: The batch's index.
    """
    trainer = model.trainer
    possible = (
        _is_ours(model)
        and "training_step" not in vars(model)  # as torch.compile, and whoever watches, sets it
        and model.updates == "batch"
        and type(windows_of(trainer)) is WindowDataModule
        and type(trainer.strategy) is SingleDeviceStrategy
        and type(trainer.precision_plugin) in (Precision, DoublePrecision)
        and trainer.accumulate_grad_batches == 1
        and not trainer.should_stop
        and _takes_no_closure(trainer.optimizers[0])
        and all(config.interval == "epoch" for config in trainer.lr_scheduler_configs)
        and not any(map(_looks_at_batches, trainer.callbacks))
    )
    return _steps(trainer, batch_idx) - 1 if possible else 0


def _is_ours(part: Any) -> bool:
    """Others may have hooks of their own."""
    return type(part).__module__.startswith("sinrnn.")


def _takes_no_closure(optimizer: Optimizer) -> bool:
    kind = type(optimizer)
    return kind is not LBFGS and kind.__module__.startswith("torch.optim.")


def _looks_at_batches(callback: pl.Callback) -> bool:
    hooks = ((getattr(callback, name), getattr(pl.Callback, name)) for name in HOOKS)
    looks = any(getattr(own, "__func__", own) is not none for own, none in hooks)
    return looks and not _is_ours(callback)


def _steps(trainer: Any, batch_idx: int) -> int:
    """Steps to the next at which Lightning must be asked what follows."""
    left: list[int] = [trainer.num_training_batches - batch_idx]
    if trainer.max_steps >= 0:
        left.append(trainer.max_steps - trainer.global_step)
    over_epochs = trainer.check_val_every_n_epoch is None
    validated = trainer.fit_loop.total_batch_idx if over_epochs else batch_idx
    rows = (trainer.log_every_n_steps, batch_idx), (trainer.val_check_batch, validated)
    # No number is a validation by time, or none within an endless epoch.
    left += [every - n % every for every, n in rows if isinstance(every, int) and every > 0]
    return min(left)
