"""Logging of the losses: one row for all loggers before the first step and at each validation."""

from collections.abc import Iterable
from typing import Any, Protocol, runtime_checkable

import lightning.pytorch as pl
from torchmetrics import Metric

from sinrnn.data.datamodule import windows_of
from sinrnn.data.windows import predict


@runtime_checkable
class RowSource(Protocol):
    """A callback that adds numbers to the row of losses."""

    def row(self) -> dict[str, float]:
        """Return the numbers since the last validation by name. Called once per validation."""


def log_loss(model: pl.LightningModule, name: str, metric: Metric) -> None:
    """Log the loss over the batches so far to loggers, callbacks and progress bars.

    While a single process trains, the loss is set directly, ten times as fast as with
    `LightningModule.log`, and `log_losses` passes it to the loggers.
    """
    trainer = model.trainer
    fitting = trainer.state.fn == "fit"
    if fitting and trainer.world_size == 1:
        loss = trainer.callback_metrics[name] = metric.compute()
        trainer.progress_bar_metrics[name] = loss.item()
    else:
        model.log(
            name, metric, prog_bar=True, add_dataloader_idx=False, logger=False if fitting else None
        )


def log_losses(trainer: Any, losses: Iterable[str]) -> None:
    """Log the losses of these names and the numbers of every `RowSource` at the current step.

    `LightningModule.log` would number the rows from 0 and take longer.
    """
    metrics = trainer.callback_metrics
    row = {name: metrics[name].item() for name in losses if name in metrics}
    if trainer.state.fn != "fit" or trainer.sanity_checking or not row:
        return
    row = {"epoch": trainer.current_epoch} | row
    for callback in trainer.callbacks:
        if isinstance(callback, RowSource):
            row |= callback.row()
    for logger in trainer.loggers:
        logger.log_metrics(row, step=trainer.global_step)
        logger.save()


def log_initial_losses(trainer: pl.Trainer, model: pl.LightningModule) -> None:
    """Log the losses of the initial weights, as step 0."""
    data = windows_of(trainer)
    if trainer.global_step == 0 and trainer.ckpt_path is None and data is not None:
        row = {}
        for name in ("val", "train"):
            windows = data.windows[name]
            # In place: a long series has many windows.
            error = predict(model, windows).sub_(windows.view(slice(None))[1][:, 0])
            row[f"half_mse/{name}"] = error.square_().mean().item() / 2
        for logger in trainer.loggers:
            logger.log_metrics(row, step=0)
