"""The reason why training ended early."""

from typing import Any

from lightning.pytorch.callbacks import EarlyStopping, Timer


def why_ended(trainer: Any, most: int | None) -> str:
    """Return why training ended before its last epoch, or "" if it did not.

    Args:
        trainer: The trainer, after training.
        most: The planned number of epochs, or None.
    """
    done = trainer.current_epoch
    if trainer.fast_dev_run or most is None or not 0 <= done < most:
        return ""
    after = f"after epoch {done} of {most}"
    if 0 < trainer.max_steps <= trainer.global_step:
        return f"stopped {after}: max_steps is {trainer.max_steps}"
    for callback in trainer.callbacks:
        if isinstance(callback, EarlyStopping) and callback.stopped_epoch:
            epochs = callback.wait_count * trainer.check_val_every_n_epoch
            better = "fallen" if callback.mode == "min" else "risen"
            why = f"{callback.monitor} has not {better} for {epochs} epochs"
            if callback.wait_count < callback.patience:
                why = f"{callback.stopping_reason_message}"
            return f"stopped early {after}: {why}"
        if isinstance(callback, Timer) and callback.time_remaining() == 0:
            return f"stopped {after}: its time limit was reached"
    return f"stopped {after}"
