"""When learning-rate schedulers step: each epoch, or after a validation for ReduceLROnPlateau."""

import sys
from typing import Any

import lightning.pytorch as pl
from torch.optim.lr_scheduler import ReduceLROnPlateau

MONITOR = "half_mse/val"


def scheduler_config(scheduler: Any) -> dict[str, Any]:
    """Return Lightning's configuration of a scheduler, which steps it at the end of each epoch.

    Lightning never steps a ReduceLROnPlateau: it would do so after the checkpoint is saved, and in
    epochs without a validation. `step_plateau_schedulers` steps it instead.
    """
    if isinstance(scheduler, ReduceLROnPlateau):
        return {"scheduler": scheduler, "monitor": MONITOR, "frequency": sys.maxsize}
    return {"scheduler": scheduler}


def step_plateau_schedulers(trainer: pl.Trainer) -> None:
    """Step every ReduceLROnPlateau with the validation loss, after a validation during training."""
    if trainer.state.fn != "fit" or trainer.sanity_checking:
        return
    for config in trainer.lr_scheduler_configs:
        if config.reduce_on_plateau:
            loss = trainer.callback_metrics[MONITOR]
            trainer.lightning_module.lr_scheduler_step(config.scheduler, loss)
