"""The state of Lightning's loops in a checkpoint, so that every checkpoint resumes bit-identically.

Lightning resumes correctly from checkpoints saved after a validation or at the end of an epoch.
From those that callbacks save at other points it would skip or repeat a validation, an epoch or the
accumulated part of a step.
"""

from typing import Any

import lightning.pytorch as pl

from sinrnn._private import is_within_accumulation, validates_next


def save_loop_state(trainer: pl.Trainer, checkpoint: dict[str, Any]) -> None:
    """Correct the loop counts of a checkpoint, and add a gradient that is still accumulating."""
    state = checkpoint["loops"]["fit_loop"]
    loop, counts = state["epoch_loop.state_dict"], state["epoch_loop.batch_progress"]
    total, current = counts["total"], counts["current"]
    validation = state["epoch_loop.val_loop.batch_progress"]
    done = current["processed"]
    ended = counts["is_last_batch"] and done == current["ready"]
    if total["ready"] > total["started"]:  # between two batches
        # When resuming within an epoch, Lightning counts one step more, which it takes for lost.
        loop["_batches_that_stepped"] -= not is_within_accumulation(trainer)
    elif total["completed"] < total["processed"]:  # in a callback's on_train_batch_end
        due = validates_next(trainer)
        if ended or due:
            for count in (total, current):
                count["completed"] = count["processed"]
            loop["_batches_that_stepped"] += not due
        if due:
            _mark_started(validation)
    elif trainer.validating:
        seen = validation["current"]
        if seen["ready"] == seen["completed"] > 0:
            _mark_completed(validation)
        else:
            _mark_started(validation)
    if done % trainer.accumulate_grad_batches and not ended:
        weights = trainer.lightning_module.named_parameters()
        checkpoint["gradient"] = {name: weight.grad for name, weight in weights}


def _mark_started(validation: dict[str, Any]) -> None:
    """Mark a validation as interrupted in its first batch: Lightning then runs all of it."""
    count = validation["total"]["ready"] + 1
    total = {"ready": count, "started": count, "processed": count - 1, "completed": count - 1}
    validation |= {"total": total, "current": dict.fromkeys(total, 0), "is_last_batch": False}


def _mark_completed(validation: dict[str, Any]) -> None:
    """Mark a validation as completed, even if an earlier one was interrupted."""
    total = validation["total"]
    validation["total"] = dict.fromkeys(total, total["ready"])


def restore_loop_state(trainer: pl.Trainer, gradient: dict[str, Any]) -> None:
    """Restore an accumulating gradient, and start a new epoch if the last one was completed.

    Args:
        trainer: The trainer, at the start of training.
        gradient: The gradients that `save_loop_state` stored, by name of the weight, or {}.
    """
    for name, weight in trainer.lightning_module.named_parameters():
        if name in gradient:
            grad = gradient[name]
            weight.grad = None if grad is None else grad.to(weight)
    loop = trainer.fit_loop
    batches: Any = loop.epoch_loop.batch_progress.total
    batches.ready = batches.started  # drop a batch that was fetched and not started
    epochs: Any = loop.epoch_progress
    if epochs.total.started == epochs.total.processed:
        # With max_steps, Lightning would run the end of the completed epoch again.
        for count in (epochs.total, epochs.current):
            count.ready = count.started = count.completed = count.processed
        loop.reset_restart_stage()
        loop.epoch_loop.restarting = False
