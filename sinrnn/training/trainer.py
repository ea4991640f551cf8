"""Construction of the Trainer, with a check of the process's rank."""

import os
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.profilers import PassThroughProfiler

# Environment variables with the rank of a process. Lightning takes the first that is set.
RANKS = ("RANK", "LOCAL_RANK", "SLURM_PROCID", "JSM_NAMESPACE_RANK")


def make_trainer(arguments: dict[str, Any]) -> Trainer:
    """Return Lightning's Trainer, after checking that its rank is that of the environment.

    Raises:
        ValueError: The environment variables, for example those of a SLURM shell, do not fit.
    """
    try:
        trainer = Trainer(**arguments)
    except (RuntimeError, KeyError) as error:
        unset = isinstance(error, KeyError)
        reason = f"{error.args[0]} is not set in the environment" if unset else str(error)
        if "SLURM_NTASKS" in os.environ:
            reason += "; or unset SLURM_NTASKS if SLURM does not start this run"
        raise ValueError(f"the trainer cannot be made: {reason}") from error
    expected, (name, found) = trainer.global_rank, rank()
    if not name and expected:
        raise ValueError(
            f"RANK is not set in the environment and the trainer's rank is {expected}: start the "
            "processes with torchrun"
        )
    if name and found != expected:
        raise ValueError(
            f"{name} is {found} in the environment and the trainer's rank is {expected}: "
            f"unset {name}, or set trainer.devices and trainer.strategy for several processes"
        )
    return trainer


def rank() -> tuple[str, int]:
    """Return the environment variable that holds the rank, and the rank: "" and 0 without one."""
    name = next((name for name in RANKS if name in os.environ), "")
    return name, int(os.environ[name]) if name else 0


class NoProfiler(PassThroughProfiler):
    """A profiler without overhead: Lightning's enters a generator some 50 times per step."""

    nothing: AbstractContextManager[None] = nullcontext()

    def profile(self, action_name: str) -> Any:
        """Return the same empty context for every action."""
        return self.nothing
