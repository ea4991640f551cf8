"""Private names of torch, Lightning and TensorBoard: each stands here, with why it is needed."""

from typing import Any


def checkpoint_of(trainer: Any) -> dict[str, Any]:
    """What `trainer.save_checkpoint` writes: in public, it writes a file at once."""
    content: dict[str, Any] = trainer._checkpoint_connector.dump_checkpoint(False)
    return content


def is_within_accumulation(trainer: Any) -> bool:
    """Whether the batch at hand makes no step: nothing public knows the last batch, which does."""
    within: bool = trainer.fit_loop.epoch_loop._should_accumulate()
    return within


def add_steps(trainer: Any, count: int) -> None:
    """Count further steps; those that Lightning logs at, it counts apart from `global_step`."""
    loop = trainer.fit_loop.epoch_loop
    steps = loop.automatic_optimization.optim_progress.optimizer.step
    for counted in (steps.total, steps.current):
        counted.ready += count
        counted.completed += count
    loop._batches_that_stepped += count
