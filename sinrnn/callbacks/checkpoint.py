"""When a run is saved: the best and the last, between two steps, and when anything goes wrong."""

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
    """Keeps best.ckpt and last.ckpt, and stops where a signal asks for it.

    Epochs may be shorter than a save: what each leaves is kept in memory, and written about once a
    second, at the end, and when anything goes wrong; long epochs are saved within, too. Whenever
    the process is killed, last.ckpt leads to the same weights and curves, bit by bit.

    Args:
        folder: The run's.
        config: What a run that is resumed must not change, as text.
        series: The `digest` of what is learnt.
        signals: Asked before each batch whether to stop.
        every: Seconds between two saves, at least.
        within: Seconds between two saves within an epoch.
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
        """The best validation loss so far."""
        return {"score": self.score}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from it, unless what it is of lies in another folder."""
        if (self.folder / BEST).exists():
            self.score = state_dict["score"]

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Make the folder, and sweep what a crash has left there."""
        if trainer.is_global_zero:
            folder = (self.folder / LAST).parent
            folder.mkdir(parents=True, exist_ok=True)
            for part in folder.glob("*.part"):
                part.unlink()

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take the signals back."""
        if self.signals is not None:
            self.signals.arm()

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: Content
    ) -> None:
        """Add what must not change, and the table."""
        checkpoint |= {"config": self.config, "series": self.series}
        if table := find_csv_logger(trainer):
            checkpoint["metrics"] = table.state()

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Between two steps: save if it is time, and stop if that is asked.

        Raises:
            Interrupted: After a signal, when all is saved.
        """
        _check_series(trainer)
        if batch_idx % trainer.accumulate_grad_batches:
            return  # half of a step's gradient is of one process alone
        stop = self.signals is not None and self.signals.stop(trainer)
        if stop or time.monotonic() - self.saved >= self.within:
            self.last = self._state(trainer)
            self._write(trainer)
        if stop and self.signals is not None:
            raise Interrupted(self.signals.number)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Keep what the epoch has left, and whether it is the best."""
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
        """Write what is still in memory."""
        _check_series(trainer)
        self._write(trainer)

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Write what is still in memory: the last epoch that went well."""
        # An OSError may be the disk's, and then come again; or that of what is printed.
        with suppress(OSError) if isinstance(exception, OSError) else nullcontext():
            self._write(trainer)

    def _state(self, trainer: pl.Trainer) -> Content:
        """A copy of all that training goes on from."""
        state: Content = _copied(checkpoint_of(trainer))
        refuse_infinite(state["state_dict"])
        return state

    def _write(self, trainer: pl.Trainer) -> None:
        """Best first: whoever reads last.ckpt takes it that the best so far lies beside it."""
        if trainer.is_global_zero and self.last is not None and not trainer.fast_dev_run:  # type: ignore[attr-defined]
            for logger in trainer.loggers:
                logger.save()  # curves reach at least as far as the checkpoint
            if table := find_csv_logger(trainer):
                table.sync()
            last = pack(self.last)
            if self.best is not None:
                best = last if self.best is self.last else pack(self.best)
                write(self.folder / BEST, best)
            write(self.folder / LAST, last)
        self.best = self.last = None
        self.saved = time.monotonic()


def _copied(value: Any) -> Any:
    """What copy.deepcopy gives, of plain values in a fifth of its time."""
    kind = type(value)
    if kind is dict:
        return {key: _copied(each) for key, each in value.items()}
    if kind is OrderedDict:  # a state_dict, which has attributes, too
        found = copy.copy(value)
        found.update((key, _copied(each)) for key, each in value.items())
        return found
    if kind is list or kind is tuple:
        return kind(map(_copied, value))
    if kind is Tensor and value.is_contiguous():
        return value.detach().clone()
    return value if kind in PLAIN else copy.deepcopy(value)


def _check_series(trainer: pl.Trainer) -> None:
    """Raise where a file that is learnt from has changed meanwhile; weights may be of both."""
    data = windows_of(trainer)
    if data is not None:
        data.series.check_unchanged()
