"""Checks of the training options: each by itself, and together with the data and the trainer."""

import copy
import math
from collections.abc import Mapping
from itertools import chain
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import GradientAccumulationScheduler
from torch.optim import LBFGS, SGD, Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from sinrnn.data.datamodule import WindowDataModule, windows_of
from sinrnn.forecasting.predictor import Predictor
from sinrnn.forecasting.units import LARGEST

LAST = (
    "updates: window trains on the last output of each window only: data.steps must be 1, "
    "data.num_streams 0, model.loss last and model.input_noise 0"
)
PLAIN = SGD([torch.zeros(1)], lr=1.0).defaults


def check_alone(model: Mapping[str, Any]) -> None:
    """Check the options of the model.

    Args:
        model: The arguments of `Forecaster`, by name.

    Raises:
        ValueError: An option is out of range, or contradicts another option of the model.
    """
    noise, epoch, rcond = (model[n] for n in ("input_noise", "readout_epoch", "readout_rcond"))
    loss, updates, units = model["loss"], model["updates"], model["units"]
    bias = updates == "window" and model["bias"]
    more = loss == "every" or model["stateful"] or noise > 0
    _refuse(
        (not 0 <= noise < math.inf, f"input_noise must be at least 0 and finite, got {noise}"),
        (loss not in ("last", "every"), f"loss must be last or every, got {loss!r}"),
        (updates not in ("batch", "window"), f"updates must be batch or window, got {updates!r}"),
        (
            loss == "every" and model["input_size"] != model["output_size"],
            "loss: every compares each output with the next input: output_size must equal "
            f"input_size {model['input_size']}, got {model['output_size']}",
        ),
        ((epoch or 0) < 0, f"readout_epoch must be at least 0 or None, got {epoch}"),
        (not 0 <= rcond < 1, f"readout_rcond must be at least 0 and below 1, got {rcond}"),
        (bias, "updates: window needs a network without biases: set model.bias to false"),
        (updates == "window" and more, LAST),
        (units not in ("given", "auto"), f"units must be given or auto, got {units!r}"),
        (
            units == "auto" and (model["log"] or model["relative"]),
            "units: auto chooses log and relative itself: leave them out, or set units to given",
        ),
        (
            loss == "every" and model["linear"],
            "linear is added to the last output only: model.loss must be last, got every",
        ),
    )


def check_together(
    trainer: pl.Trainer, data: WindowDataModule | None, model: Mapping[str, Any], stage: str
) -> None:
    """Check that the trainer, the data and the model fit together.

    Args:
        trainer: The trainer.
        data: The data, or None if the loaders are not those of a `WindowDataModule`.
        model: The arguments of `Forecaster`, by name.
        stage: The argument of Lightning's `setup` hook.

    Raises:
        ValueError: Options contradict each other, or values of the series are too large.
    """
    if model["updates"] == "window":
        check_trainer(trainer)
    if data is not None:
        check_data(data, model)
        if stage == "fit":
            check_size(data, model["standardise"])


def check_fitted(predictor: Predictor) -> None:
    """Check that units and linear part are fitted if there is no `WindowDataModule` to fit them to.

    Args:
        predictor: The predictor that is trained.

    Raises:
        ValueError: They are not fitted.
    """
    needed = [name for name in ("standardise", "linear") if getattr(predictor, name)]
    if needed and not predictor.calibrated:
        raise ValueError(
            f"{needed[0]} is fitted to the training split of a WindowDataModule: train with one, "
            "or call model.predictor.calibrate(windows) first"
        )


def check_epoch(model: Any) -> None:
    """Check the options again at the start of an epoch, since callbacks may have changed them.

    Args:
        model: The `Forecaster`.

    Raises:
        ValueError: See `check_alone` and `check_together`.
    """
    options = {name: vars(model).get(name, value) for name, value in model.hparams.items()}
    options["loss"] = model.batch_loss.outputs
    check_alone(options)
    check_together(model.trainer, windows_of(model.trainer), options, "train")


def check_step(trainer: pl.Trainer, optimizer: Optimizer, updates: str) -> None:
    """Check the options before a step, since callbacks may have changed trainer and optimizer.

    Args:
        trainer: The trainer.
        optimizer: The optimizer.
        updates: "batch" or "window"; see `Forecaster`.

    Raises:
        ValueError: Options contradict each other, or a learning rate is not finite.
    """
    if updates == "window":
        check_trainer(trainer)
    check_plain(optimizer, updates)
    _check_rates(optimizer, "model.optimizer or model.scheduler: the learning rate becomes")
    batches = accumulated(trainer)
    several = isinstance(optimizer, LBFGS) and batches != 1
    reason = "torch.optim.LBFGS computes several gradients per step and cannot accumulate batches:"
    _refuse((several, f"{reason} trainer.accumulate_grad_batches must be 1, got {batches}"))


def _check_rates(optimizer: Optimizer, message: str) -> None:
    for group in optimizer.param_groups:
        if not math.isfinite(group["lr"]):
            raise ValueError(f"{message} {group['lr']}")


def accumulated(trainer: pl.Trainer) -> int:
    """Return the largest number of batches per step, now or in a callback's schedule."""
    plans = (
        callback.scheduling.values()
        for callback in trainer.callbacks  # type: ignore[attr-defined]
        if isinstance(callback, GradientAccumulationScheduler)
    )
    return max([trainer.accumulate_grad_batches, *chain(*plans)])


def check_trainer(trainer: pl.Trainer) -> None:
    """Check that the trainer can make one update per window.

    Raises:
        ValueError: It clips gradients by norm, has several processes, or accumulates batches.
    """
    by_norm = clip(trainer) is not None and trainer.gradient_clip_algorithm != "value"
    processes, batches = trainer.world_size, accumulated(trainer)
    value = "updates: window clips gradients by value: set trainer.gradient_clip_algorithm to value"
    step = "updates: window updates the weights after each window:"
    _refuse(
        (by_norm, value),
        (processes != 1, f"{step} it needs a single process, got {processes}"),
        (batches != 1, f"{step} trainer.accumulate_grad_batches must be 1, got {batches}"),
    )


def check_data(data: WindowDataModule, model: Mapping[str, Any]) -> None:
    """Check that the data and the model fit together.

    Args:
        data: The data.
        model: The arguments of `Forecaster`, by name.

    Raises:
        ValueError: Options contradict each other, or the model has several inputs or outputs.
    """
    for size in ("input_size", "output_size"):
        if model[size] != 1:
            raise ValueError(f"model.{size} must be 1 for windows of one series, got {model[size]}")
    every, carry, horizon = model["loss"] == "every", model["stateful"], data.horizon
    ahead, num_streams = data.steps > 1, data.num_streams
    _refuse(
        (
            horizon != 1 and (every or carry or ahead),
            f"loss: every, stateful and data.steps need data.horizon 1, got {horizon}",
        ),
        (
            carry != (num_streams > 0),
            "model.stateful and data.num_streams must be set together, got "
            f"{carry} and {num_streams}",
        ),
        (
            (model["relative"] or model["linear"]) and ahead,
            "model.relative and model.linear cannot train in closed loop: data.steps must be 1, "
            f"got {data.steps}",
        ),
        (model["updates"] == "window" and (ahead or num_streams > 0), LAST),
    )


def check_size(data: WindowDataModule, standardise: bool) -> None:
    """Check that the loss cannot overflow float32.

    Raises:
        ValueError: A split has values that are too large.
    """
    most = LARGEST**2 if standardise else LARGEST
    for name, windows in data.windows.items():
        largest = max(abs(end.item()) for end in windows.values.aminmax())
        if largest > most:
            instead = "" if standardise else ", or set model.standardise"
            raise ValueError(
                f"the {name} split {list(data.splits[name])}: its values must be at most "
                f"{most:.0e}, got {largest:.3g}: give the series in a larger unit{instead}"
            )


def _refuse(*cases: tuple[bool, str]) -> None:
    """Raise a ValueError with the message of the first condition that is true."""
    for condition, message in cases:
        if condition:
            raise ValueError(message)


def check_plain(optimizer: Optimizer, updates: str) -> None:
    """Check that updates by window use plain gradient descent.

    Raises:
        ValueError: The optimizer is not SGD, or has options other than lr.
    """
    if updates != "window":
        return
    groups = optimizer.param_groups
    plain = PLAIN | {"lr": groups[0]["lr"]}
    # The groups, not optimizer.defaults: schedulers and checkpoints change only those.
    given = [{name: group[name] for name in PLAIN} for group in groups if type(optimizer) is SGD]
    if type(optimizer) is not SGD or any(options != plain for options in given):
        raise ValueError(
            "updates: window needs plain gradient descent: use torch.optim.SGD and set only lr, "
            f"got {type(optimizer).__name__}"
        )


def clip(trainer: pl.Trainer) -> float | None:
    """Return gradient_clip_val, or None if it is not positive, when Lightning does not clip."""
    value = trainer.gradient_clip_val
    return value if value and value > 0 else None


def dry_run_optimizer(model: pl.LightningModule) -> Optimizer:
    """Make one step of the optimizer and the scheduler, with a simple loss on a copy of the model.

    Returns:
        The optimizer after the step.

    Raises:
        ValueError: The step fails, or the learning rate is not finite.
    """
    model = copy.deepcopy(model)
    parameters = list(model.parameters())

    def squares() -> Any:
        optimizer.zero_grad()
        loss = torch.stack([p.square().sum() for p in parameters]).sum()
        loss.backward()
        return loss

    try:
        made: Any = model.configure_optimizers()
        optimizer: Optimizer = made["optimizer"] if isinstance(made, dict) else made
        _check_rates(optimizer, "Invalid learning rate:")
        optimizer.step(squares)
        if isinstance(made, dict):
            scheduler = made["lr_scheduler"]["scheduler"]
            scheduler.step(*[1.0] * isinstance(scheduler, ReduceLROnPlateau))
            _check_rates(optimizer, "the learning rate becomes")
    except ValueError as error:
        raise ValueError(f"model.optimizer or model.scheduler: {error}") from error
    except Exception as error:  # optimizers raise many types
        raise ValueError(
            "model.optimizer or model.scheduler cannot make a step with these arguments: "
            f"{type(error).__name__}: {error}"
        ) from error
    return optimizer
