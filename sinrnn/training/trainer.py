"""Which of several processes this is, as the environment and the trainer say it."""

import os
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.profilers import PassThroughProfiler

# Variables that say which of several processes this is; Lightning takes the first that is set.
RANKS = ("RANK", "LOCAL_RANK", "SLURM_PROCID", "JSM_NAMESPACE_RANK")


def make_trainer(given: dict[str, Any]) -> Trainer:
    """The trainer, where the environment says the same as it of which process this is.

    Raises:
        ValueError: Variables that a cluster's shell leaves do not fit.
    """
    try:
        trainer = Trainer(**given)
    except (RuntimeError, KeyError) as error:
        unset = isinstance(error, KeyError)
        reason = f"{error.args[0]} is not set in the environment" if unset else str(error)
        if "SLURM_NTASKS" in os.environ:
            reason += "; or unset SLURM_NTASKS where SLURM does not start this run"
        raise ValueError(f"the trainer cannot be made: {reason}") from error
    own, (name, told) = trainer.global_rank, rank()
    if not name and own:
        raise ValueError(
            f"RANK is not set in the environment and the trainer's rank is {own}: start the "
            "processes with torchrun"
        )
    if name and told != own:
        raise ValueError(
            f"{name} is {told} in the environment and the trainer's rank is {own}: "
            f"unset {name}, or set trainer.devices and trainer.strategy for several processes"
        )
    return trainer


def rank() -> tuple[str, int]:
    """The variable that says which process this is, and its value; "" and 0 where none does."""
    name = next((name for name in RANKS if name in os.environ), "")
    return name, int(os.environ[name]) if name else 0


class NoProfiler(PassThroughProfiler):
    """Lightning's own enters a generator at each call of a hook, some 50 times a step."""

    nothing: AbstractContextManager[None] = nullcontext()

    def profile(self, action_name: str) -> Any:
        """A context that does nothing, always the same."""
        return self.nothing
