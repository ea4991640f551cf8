"""The callback that saves the best and the last checkpoint of a run, and stops on signals."""

import copy
import time
from collections import OrderedDict
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Checkpoint
from torch import Tensor

from sinrnn._private import checkpoint_of
from sinrnn.data.datamodule import windows_of
from sinrnn.filesystem import write
from sinrnn.run_folder import BEST, LAST
from sinrnn.training.checkpoint_io import Content, pack, refuse_infinite
from sinrnn.training.csv_logger import find_csv_logger
from sinrnn.training.signals import Interrupted, Signals

PLAIN = (int, float, bool, str, type(None))


class BestAndLastCheckpoint(Checkpoint):
    """Saves best.ckpt and last.ckpt, and stops training after a signal.

    A save may take longer than an epoch. Therefore the state after each epoch is kept in memory and
    written about once a second, at the end of training, and if an exception is raised. Long epochs
    are also saved between two steps. Whenever the process is killed, resuming from last.ckpt gives
    the same weights and curves, bit by bit.

    Args:
        folder: The run's folder.
        config: The config of the run, as YAML text.
        series: The `digest` of the series.
        signals: The signals that stop training.
        every: Minimum number of seconds between two saves.
        within: Number of seconds between two saves within an epoch.
    """

    def __init__(
        self,
        folder: Path,
        config: str = "",
        series: dict[str, Any] | None = None,
        signals: Signals | None = None,
        every: float = 1.0,
        within: float = 30.0,
    ) -> None:
        self.folder, self.config, self.series, self.signals = folder, config, series, signals
        self.every, self.within = every, within
        self.score = float("inf")
        self.best: Content | None = None
        self.last: Content | None = None
        self.saved = time.monotonic()

    def state_dict(self) -> dict[str, Any]:
        """Return the best validation loss so far."""
        return {"score": self.score}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the best validation loss, unless best.ckpt is in another folder."""
        if (self.folder / BEST).exists():
            self.score = state_dict["score"]

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Create the folder, and remove incomplete files that a crash has left there."""
        if trainer.is_global_zero:
            folder = (self.folder / LAST).parent
            folder.mkdir(parents=True, exist_ok=True)
            for part in folder.glob("*.part"):
                part.unlink()

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Install the signal handlers again, since Lightning has replaced them."""
        if self.signals is not None:
            self.signals.arm()

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: Content
    ) -> None:
        """Add the config, the digest of the series and the state of metrics.csv."""
        checkpoint |= {"config": self.config, "series": self.series}
        if csv_logger := find_csv_logger(trainer):
            checkpoint["metrics"] = csv_logger.state()

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Between two steps, save if it is time, and stop after a signal.

        Raises:
            Interrupted: A signal was received. The checkpoint is saved.
        """
        _check_series(trainer)
        if batch_idx % trainer.accumulate_grad_batches:
            return  # each process has its own part of a gradient that is still accumulating
        stop = self.signals is not None and self.signals.stop(trainer)
        if stop or time.monotonic() - self.saved >= self.within:
            self.last = self._state(trainer)
            self._write(trainer)
        if stop and self.signals is not None:
            raise Interrupted(self.signals.number)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Keep the state after the epoch, also as the best if its validation loss is the lowest."""
        _check_series(trainer)
        score = trainer.callback_metrics.get("half_mse/val")
        better = score is not None and float(score) < self.score
        if better:
            self.score = float(score)  # type: ignore[arg-type]
        self.last = self._state(trainer)
        if better:
            self.best = self.last
        if time.monotonic() - self.saved >= self.every:
            self._write(trainer)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the state that is still in memory."""
        _check_series(trainer)
        self._write(trainer)

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Write the state that is still in memory, after the last complete epoch."""
        # An OSError may come from the disk, and is then raised again; or from the output.
        with suppress(OSError) if isinstance(exception, OSError) else nullcontext():
            self._write(trainer)

    def _state(self, trainer: pl.Trainer) -> Content:
        """Return a copy of the complete state of training."""
        state: Content = _copy(checkpoint_of(trainer))
        refuse_infinite(state["state_dict"])
        return state

    def _write(self, trainer: pl.Trainer) -> None:
        """Write best.ckpt first, since last.ckpt implies that the best so far is saved."""
        if trainer.is_global_zero and self.last is not None and not trainer.fast_dev_run:  # type: ignore[attr-defined]
            for logger in trainer.loggers:
                logger.save()  # curves reach at least as far as the checkpoint
            if csv_logger := find_csv_logger(trainer):
                csv_logger.sync()
            last = pack(self.last)
            if self.best is not None:
                best = last if self.best is self.last else pack(self.best)
                write(self.folder / BEST, best)
            write(self.folder / LAST, last)
        self.best = self.last = None
        self.saved = time.monotonic()


def _copy(value: Any) -> Any:
    """Return a deep copy, five times as fast as copy.deepcopy for plain values."""
    kind = type(value)
    if kind is dict:
        return {key: _copy(each) for key, each in value.items()}
    if kind is OrderedDict:  # a state_dict, which also has attributes
        copied = copy.copy(value)
        copied.update((key, _copy(each)) for key, each in value.items())
        return copied
    if kind is list or kind is tuple:
        return kind(map(_copy, value))
    if kind is Tensor and value.is_contiguous():
        return value.detach().clone()
    return value if kind in PLAIN else copy.deepcopy(value)


def _check_series(trainer: pl.Trainer) -> None:
    """Check that the file of the series has not changed, so that weights never mix two series."""
    data = windows_of(trainer)
    if data is not None:
        data.series.check_unchanged()
