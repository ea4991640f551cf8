"""Options of training that make no sense, alone or together, and the sentence for each."""

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
    "updates: window learns the last output alone: data.steps must be 1, data.num_streams 0, "
    "model.loss last and model.input_noise 0"
)
PLAIN = SGD([torch.zeros(1)], lr=1.0).defaults


def check_alone(model: Mapping[str, Any]) -> None:
    """Refuse what a model cannot be.

    Args:
        model: The arguments of `Forecaster`, by name.

    Raises:
        ValueError: An option is out of its range, or contradicts another of the model.
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
            "loss: every compares outputs with the inputs that follow them: output_size must be "
            f"{model['input_size']} as input_size, got {model['output_size']}",
        ),
        ((epoch or 0) < 0, f"readout_epoch must be at least 0 or None, got {epoch}"),
        (not 0 <= rcond < 1, f"readout_rcond must be at least 0 and below 1, got {rcond}"),
        (bias, "updates: window is for networks without biases, got bias true"),
        (updates == "window" and more, LAST),
        (units not in ("given", "auto"), f"units must be given or auto, got {units!r}"),
        (
            units == "auto" and (model["log"] or model["relative"]),
            "units: auto chooses log and relative itself: leave them out, or set units to given",
        ),
        (
            loss == "every" and model["linear"],
            "linear is added to the last output: model.loss must be last",
        ),
    )


def check_together(
    trainer: pl.Trainer, data: WindowDataModule | None, model: Mapping[str, Any], stage: str
) -> None:
    """Refuse a trainer, data and a model that do not go together.

    Args:
        trainer: The trainer.
        data: Its data module, where it is one of ours.
        model: The arguments of `Forecaster`, by name.
        stage: As Lightning's `setup` is given it.

    Raises:
        ValueError: Options contradict each other, or values are too large to learn.
    """
    if model["updates"] == "window":
        check_trainer(trainer)
    if data is not None:
        check_data(data, model)
        if stage == "fit":
            check_size(data, model["standardise"])


def check_fitted(predictor: Predictor) -> None:
    """Refuse to train in units that nothing was fitted for, which would be the series' own.

    Args:
        predictor: What is trained with loaders that are not a `WindowDataModule`'s.

    Raises:
        ValueError: Its units or linear part need a training split, and have seen none.
    """
    wanted = [name for name in ("standardise", "linear") if getattr(predictor, name)]
    if wanted and not predictor.calibrated:
        raise ValueError(
            f"{wanted[0]} is fitted to the training split of a WindowDataModule: train with one, "
            "or call model.predictor.calibrate(windows) first"
        )


def check_epoch(model: Any) -> None:
    """Refuse what the start would have refused, where a callback has changed it since.

    Args:
        model: A `Forecaster` that is trained.

    Raises:
        ValueError: As `check_alone` and `check_together`.
    """
    options = {name: vars(model).get(name, value) for name, value in model.hparams.items()}
    options["loss"] = model.batch_loss.outputs
    check_alone(options)
    check_together(model.trainer, windows_of(model.trainer), options, "train")


def check_step(trainer: pl.Trainer, optimizer: Optimizer, updates: str) -> None:
    """Refuse a step that cannot be made; callbacks may change trainer and optimizer at any time.

    Args:
        trainer: The trainer.
        optimizer: What makes the step.
        updates: "batch" or "window"; see `Forecaster`.

    Raises:
        ValueError: The options contradict each other, or a learning rate is not finite.
    """
    if updates == "window":
        check_trainer(trainer)
    check_plain(optimizer, updates)
    _check_rates(optimizer, "model.optimizer or model.scheduler: the learning rate becomes")
    batches = accumulated(trainer)
    several = isinstance(optimizer, LBFGS) and batches != 1
    once = "torch.optim.LBFGS takes several gradients a step, which would add up:"
    _refuse((several, f"{once} trainer.accumulate_grad_batches must be 1, got {batches}"))


def _check_rates(optimizer: Optimizer, sentence: str) -> None:
    for group in optimizer.param_groups:
        if not math.isfinite(group["lr"]):
            raise ValueError(f"{sentence} {group['lr']}")


def accumulated(trainer: pl.Trainer) -> int:
    """The most batches that a step is made of, now or as a callback plans it."""
    plans = (
        callback.scheduling.values()
        for callback in trainer.callbacks  # type: ignore[attr-defined]
        if isinstance(callback, GradientAccumulationScheduler)
    )
    return max([trainer.accumulate_grad_batches, *chain(*plans)])


def check_trainer(trainer: pl.Trainer) -> None:
    """Refuse a trainer that cannot make one update for each window.

    Raises:
        ValueError: It clips by norm, shares batches among processes, or accumulates gradients.
    """
    by_norm = clip(trainer) is not None and trainer.gradient_clip_algorithm != "value"
    processes, batches = trainer.world_size, accumulated(trainer)
    wants = "updates: window clips gradients by value: set trainer.gradient_clip_algorithm to value"
    each = "updates: window makes a step for each window:"
    _refuse(
        (by_norm, wants),
        (processes != 1, f"{each} it needs one process, got {processes}"),
        (batches != 1, f"{each} trainer.accumulate_grad_batches must be 1, got {batches}"),
    )


def check_data(data: WindowDataModule, model: Mapping[str, Any]) -> None:
    """Refuse data and a model that do not go together.

    Args:
        data: The data.
        model: The arguments of `Forecaster`, by name.

    Raises:
        ValueError: Options of the two contradict each other, or the model is not of one series.
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
            f"model.stateful and data.num_streams need each other, got {carry} and {num_streams}",
        ),
        (
            (model["relative"] or model["linear"]) and ahead,
            "relative and linear are of windows that are read afresh: data.steps must be 1, got "
            f"{data.steps}",
        ),
        (model["updates"] == "window" and (ahead or num_streams > 0), LAST),
    )


def check_size(data: WindowDataModule, standardise: bool) -> None:
    """Refuse values whose loss no float32 can hold.

    Raises:
        ValueError: A split has such.
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
    """Raise the sentence of the first case that holds."""
    for holds, sentence in cases:
        if holds:
            raise ValueError(sentence)


def check_plain(optimizer: Optimizer, updates: str) -> None:
    """Refuse, for updates by window, all but plain gradient descent.

    Raises:
        ValueError: It is another optimizer, or does more.
    """
    if updates != "window":
        return
    groups = optimizer.param_groups
    plain = PLAIN | {"lr": groups[0]["lr"]}
    # Schedulers and checkpoints change the groups alone.
    given = [{name: group[name] for name in PLAIN} for group in groups if type(optimizer) is SGD]
    if type(optimizer) is not SGD or any(options != plain for options in given):
        raise ValueError(
            "updates: window makes steps of plain gradient descent, torch.optim.SGD with "
            f"nothing but lr, got {type(optimizer).__name__}"
        )


def clip(trainer: pl.Trainer) -> float | None:
    """Where gradients are clipped; not at all, to Lightning, from a value of 0 on down."""
    found = trainer.gradient_clip_val
    return found if found and found > 0 else None


def dry_run_optimizer(model: pl.LightningModule) -> Optimizer:
    """One step of optimizer and scheduler, on a copy of the model and a loss of its own.

    Returns:
        That optimizer, as it is after the step.

    Raises:
        ValueError: Something that is found out only then.
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
    except Exception as error:  # each raises what its arithmetic leads to
        raise ValueError(
            "model.optimizer or model.scheduler cannot make a step with these arguments: "
            f"{type(error).__name__}: {error}"
        ) from error
    return optimizer
