"""The rows that every logger gets: the losses before the first step, and at each validation."""

from collections.abc import Iterable
from typing import Any, Protocol, runtime_checkable

import lightning.pytorch as pl
from torchmetrics import Metric

from sinrnn.data.datamodule import windows_of
from sinrnn.data.windows import predict
from sinrnn.nn.functional import half_mse


@runtime_checkable
class RowSource(Protocol):
    """A callback that has numbers for the epoch's row, with the losses."""

    def row(self) -> dict[str, float]:
        """The numbers since the last validation, by name; asked once at each."""


def log_loss(model: pl.LightningModule, name: str, metric: Metric) -> None:
    """Show a loss to loggers, callbacks and progress bars, for as far as its batches have come.

    In training of one process, callbacks and bars get it without Lightning's `log`, which takes
    ten times as long, and `write_row` writes it.
    """
    trainer = model.trainer
    fitting = trainer.state.fn == "fit"
    if fitting and trainer.world_size == 1:
        loss = trainer.callback_metrics[name] = metric.compute()
        trainer.progress_bar_metrics[name] = loss.item()
    else:
        model.log(name, metric, prog_bar=True, add_dataloader_idx=False, logger=not fitting)


def write_row(trainer: Any, losses: Iterable[str]) -> None:
    """Write the epoch's row: losses by name, and what each `RowSource` has, at the steps made.

    Lightning would count steps from 0, and take longer over each number.
    """
    found = trainer.callback_metrics
    row = {name: found[name].item() for name in losses if name in found}
    if trainer.state.fn != "fit" or trainer.sanity_checking or not row:
        return
    row = {"epoch": trainer.current_epoch} | row
    for callback in trainer.callbacks:
        if isinstance(callback, RowSource):
            row |= callback.row()
    for logger in trainer.loggers:
        logger.log_metrics(row, step=trainer.global_step)
        logger.save()


def write_first_row(trainer: pl.Trainer, model: pl.LightningModule) -> None:
    """Write the losses before the first step, so that curves start where learning does."""
    data = windows_of(trainer)
    if trainer.global_step == 0 and trainer.ckpt_path is None and data is not None:
        row = {}
        for name in ("val", "train"):
            windows = data.windows[name]
            row[f"half_mse/{name}"] = half_mse(predict(model, windows), windows.targets).item()
        for logger in trainer.loggers:
            logger.log_metrics(row, step=0)
