"""Checkpoints: the best and the last of a run."""

import shutil
from pathlib import Path

import lightning.pytorch as pl
from lightning.pytorch.callbacks import ModelCheckpoint


class Last(ModelCheckpoint):
    """Keeps last.ckpt; where the best was saved at the same step, it is a copy of that.

    Args:
        folder: Where to.
        best: Saves first.
    """

    def __init__(self, folder: Path, best: ModelCheckpoint) -> None:
        super().__init__(
            folder, filename="last", auto_insert_metric_name=False, enable_version_counter=False
        )
        self.best = best

    def _save_checkpoint(self, trainer: pl.Trainer, filepath: str) -> None:
        if self.best._last_global_step_saved != trainer.global_step or not trainer.global_step:
            super()._save_checkpoint(trainer, filepath)
            return
        if trainer.is_global_zero:
            shutil.copyfile(self.best.best_model_path, filepath)
        self._last_global_step_saved = trainer.global_step
        self._last_checkpoint_saved = filepath
