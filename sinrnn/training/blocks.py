"""Blocks of training steps within one step of Lightning, whose overhead exceeds a small step.

The steps of a block give the same weights, bit by bit, and the same step counts as single steps. A
block ends at the end of the epoch, before a validation, at a log step and at the last step.
"""

import time
from math import nan
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.plugins import DoublePrecision, Precision
from lightning.pytorch.strategies import SingleDeviceStrategy
from torch import Tensor, is_anomaly_enabled
from torch.optim import LBFGS, Optimizer

from sinrnn._private import add_steps, has_no_hooks, next_batch
from sinrnn.data.datamodule import WindowDataModule, windows_of
from sinrnn.nn.rnn import SinRNN
from sinrnn.training import options
from sinrnn.training.loss import nonfinite_error
from sinrnn.training.online import descend

SECONDS = 0.1  # longest block: signals, checkpoints and the progress bar wait for its end

# A callback with one of these hooks must see each step, unless it is one of this package's.
HOOKS = (
    "on_train_batch_start",
    "on_before_backward",
    "on_after_backward",
    "on_before_zero_grad",
    "on_before_optimizer_step",
    "on_train_batch_end",
)


def take_extra_steps(model: Any, batch: Any, batch_idx: int) -> tuple[Any, int]:
    """Make all steps of a block but the last, which Lightning makes.

    Args:
        model: The `Forecaster`, within a training step.
        batch: The first batch of the block.
        batch_idx: The index of that batch.

    Returns:
        The last batch of the block, and its index.
    """
    last, deadline = batch_idx + model.extra_steps, time.perf_counter() + SECONDS
    while batch_idx < last and time.perf_counter() < deadline:
        _step(model, batch, batch_idx)
        batch, batch_idx = next_batch(model.trainer), batch_idx + 1
        model.batch_loss.initial_state = model.batch_loss.final_state
    return batch, batch_idx


def _step(model: Any, batch: Any, batch_idx: int) -> None:
    """Make one optimizer step as Lightning does, with the hooks that are in use."""
    trainer, optimizer = model.trainer, model.trainer.optimizers[0]
    loss = model._loss(*model._prepare(batch, batch_idx))
    if not model.batch_loss.by_hand:
        optimizer.zero_grad()
    model.backward(loss)
    model.on_after_backward()
    for callback in trainer.callbacks:
        callback.on_before_optimizer_step(trainer, model, optimizer)
    if trainer.gradient_clip_val is not None:
        algorithm = trainer.gradient_clip_algorithm
        model.clip_gradients(optimizer, trainer.gradient_clip_val, algorithm)
    optimizer.step()


def take_window_steps(model: Any, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Make one step for each window (N, T, D) but the last, whose step Lightning makes.

    Returns:
        The last window and its target.

    Raises:
        FloatingPointError: A step makes weights infinite or NaN. The weights are left as they were.
    """
    if len(x) == 1:
        return x, y
    lr = model.trainer.optimizers[0].param_groups[0]["lr"]
    if not descend(model.net, x[:-1], y[:-1], lr, options.clip(model.trainer)):
        raise nonfinite_error("weights", nan, model.global_step)
    add_steps(model.trainer, len(x) - 1)  # Lightning counts one step per batch
    return x[-1:], y[-1:]


def is_plain(model: Any) -> bool:
    """Return whether nothing but this package's code observes the steps of the next batch."""
    trainer = model.trainer
    return (
        _is_own(model)
        and "training_step" not in vars(model)  # replaced, for example by torch.compile
        and type(windows_of(trainer)) is WindowDataModule
        and type(trainer.strategy) is SingleDeviceStrategy
        and type(trainer.precision_plugin) in (Precision, DoublePrecision)
        and trainer.accumulate_grad_batches == 1
        and not any(map(_has_batch_hook, trainer.callbacks))
    )


def can_skip_autograd(model: Any) -> bool:
    """Return whether `half_mse_gradient` gives the gradient of a batch of a plain model."""
    net, loss, weights = model.net, model.batch_loss, model.net._weights()
    own = {id(weight) for weight in weights if weight is not None}
    return (
        type(net) is SinRNN
        and loss.outputs == "last"
        and not loss.stateful
        and not is_anomaly_enabled()
        and model.trainer.datamodule.steps == 1
        and own == {id(weight) for weight in net.parameters()}  # no parametrization
        and len(own) == len(weights) - weights.count(None)  # no tied weights
        and has_no_hooks(net)
    )


def count_extra_steps(model: Any, batch_idx: int) -> int:
    """Return how many steps to make before the step that Lightning makes; 0 disables the block.

    Args:
        model: The `Forecaster`, at the start of a batch, if it `is_plain`.
        batch_idx: The index of the batch.
    """
    trainer = model.trainer
    possible = (
        model.updates == "batch"
        and not trainer.should_stop
        and _takes_no_closure(trainer.optimizers[0])
        and all(config.interval == "epoch" for config in trainer.lr_scheduler_configs)
    )
    return _block_length(trainer, batch_idx) - 1 if possible else 0


def _is_own(part: Any) -> bool:
    """Return whether the class is defined in sinrnn; a subclass elsewhere may add hooks."""
    return type(part).__module__.startswith("sinrnn.")


def _takes_no_closure(optimizer: Optimizer) -> bool:
    kind = type(optimizer)
    return kind is not LBFGS and kind.__module__.startswith("torch.optim.")


def _has_batch_hook(callback: pl.Callback) -> bool:
    hooks = ((getattr(callback, name), getattr(pl.Callback, name)) for name in HOOKS)
    overrides = any(getattr(own, "__func__", own) is not default for own, default in hooks)
    return overrides and not _is_own(callback)


def _block_length(trainer: Any, batch_idx: int) -> int:
    """Return the number of steps up to the next epoch end, validation, log step or last step."""
    left: list[int] = [trainer.num_training_batches - batch_idx]
    if trainer.max_steps >= 0:
        left.append(trainer.max_steps - trainer.global_step)
    across_epochs = trainer.check_val_every_n_epoch is None
    since_validation = trainer.fit_loop.total_batch_idx if across_epochs else batch_idx
    stops = (trainer.log_every_n_steps, batch_idx), (trainer.val_check_batch, since_validation)
    # val_check_batch is None if validation runs by time, and inf in an endless epoch.
    left += [every - n % every for every, n in stops if isinstance(every, int) and every > 0]
    return min(left)
