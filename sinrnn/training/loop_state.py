"""What a checkpoint says of where training was, so that any leads to the same bits.

Lightning takes a checkpoint up rightly where it was saved after a validation or after an epoch.
One that a callback saves elsewhere would drop or repeat a validation, an epoch or half of a step.
"""

from typing import Any

import lightning.pytorch as pl

from sinrnn._private import is_within_accumulation, validates_next


def save_loop_state(trainer: pl.Trainer, checkpoint: dict[str, Any]) -> None:
    """Let a checkpoint say what comes next, in Lightning's counts, and keep half of a gradient."""
    state = checkpoint["loops"]["fit_loop"]
    loop, counts = state["epoch_loop.state_dict"], state["epoch_loop.batch_progress"]
    total, current = counts["total"], counts["current"]
    evaluated = state["epoch_loop.val_loop.batch_progress"]
    done = current["processed"]
    ended = counts["is_last_batch"] and done == current["ready"]
    if total["ready"] > total["started"]:  # between two batches
        # Lightning, resuming within an epoch, counts a step that it takes for lost.
        loop["_batches_that_stepped"] -= not is_within_accumulation(trainer)
    elif total["completed"] < total["processed"]:  # callbacks see the end of a batch
        due = validates_next(trainer)
        if ended or due:
            for count in (total, current):
                count["completed"] = count["processed"]
            loop["_batches_that_stepped"] += not due
        if due:
            _begin(evaluated)
    elif trainer.validating:
        seen = evaluated["current"]
        _end(evaluated) if seen["ready"] == seen["completed"] > 0 else _begin(evaluated)
    if done % trainer.accumulate_grad_batches and not ended:
        weights = trainer.lightning_module.named_parameters()
        checkpoint["gradient"] = {name: weight.grad for name, weight in weights}


def _begin(evaluated: dict[str, Any]) -> None:
    """A validation that is to be made from its start: to Lightning, one that was broken off."""
    count = evaluated["total"]["ready"] + 1
    begun = {"ready": count, "started": count, "processed": count - 1, "completed": count - 1}
    evaluated |= {"total": begun, "current": dict.fromkeys(begun, 0), "is_last_batch": False}


def _end(evaluated: dict[str, Any]) -> None:
    """A validation that is over, whether or not one before it was broken off."""
    total = evaluated["total"]
    evaluated["total"] = dict.fromkeys(total, total["ready"])


def restore_loop_state(trainer: pl.Trainer, gradient: dict[str, Any]) -> None:
    """Take up half of a gradient, and begin an epoch afresh where none is under way.

    Args:
        trainer: The trainer, which starts to train.
        gradient: What `save_loop_state` has kept, by weight; empty where nothing was.
    """
    for name, weight in trainer.lightning_module.named_parameters():
        if name in gradient:
            grad = gradient[name]
            weight.grad = None if grad is None else grad.to(weight)
    loop = trainer.fit_loop
    batches: Any = loop.epoch_loop.batch_progress.total
    batches.ready = batches.started  # forget the batch that was only ready
    epochs: Any = loop.epoch_progress
    if epochs.total.started == epochs.total.processed:
        # With max_steps, Lightning would go through the end of the epoch once more.
        for count in (epochs.total, epochs.current):
            count.ready = count.started = count.completed = count.processed
        loop.reset_restart_stage()
        loop.epoch_loop.restarting = False
