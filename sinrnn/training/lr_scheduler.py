"""When a learning-rate scheduler makes its steps."""

import sys
from typing import Any

import lightning.pytorch as pl
from torch.optim.lr_scheduler import ReduceLROnPlateau

MONITOR = "half_mse/val"


def scheduler_config(scheduler: Any) -> dict[str, Any]:
    """What Lightning is told of a scheduler: a step at each epoch's end, or none for a plateau's.

    Lightning would step a plateau's after checkpoints are saved, which then lack the step, and
    without a validation, too.
    """
    if isinstance(scheduler, ReduceLROnPlateau):
        return {"scheduler": scheduler, "monitor": MONITOR, "frequency": sys.maxsize}
    return {"scheduler": scheduler}


def step_plateau_schedulers(trainer: pl.Trainer) -> None:
    """Step what looks at the validation loss, after a validation in training."""
    if trainer.state.fn != "fit" or trainer.sanity_checking:
        return
    for config in trainer.lr_scheduler_configs:
        if config.reduce_on_plateau:
            loss = trainer.callback_metrics[MONITOR]
            trainer.lightning_module.lr_scheduler_step(config.scheduler, loss)
