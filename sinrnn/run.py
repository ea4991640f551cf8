"""One training run: checked before anything is written, then trained in a folder of its own."""

import os
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

import torch
from lightning.fabric.utilities.rank_zero import _get_rank
from lightning.pytorch import Trainer
from lightning.pytorch.loggers import TensorBoardLogger

from sinrnn.callbacks.checkpoint import BestAndLastCheckpoint
from sinrnn.callbacks.final_report import FinalReport
from sinrnn.callbacks.progress_bar import Progress
from sinrnn.data.series import digest
from sinrnn.filesystem import refuse_links, shown, write
from sinrnn.run_folder import (
    claim,
    claim_folder,
    clear,
    folder_name,
    refuse_vanished,
    remove_empty,
)
from sinrnn.training.checkpoint_io import AtomicCheckpointIO, Content, read
from sinrnn.training.loggers import begin, loggers
from sinrnn.training.options import dry_run_optimizer
from sinrnn.training.signals import Signals

# What may change where a run goes on.
RESUME_MAY_CHANGE = (
    "config",
    "resume",
    "name",
    "threads",
    "keep",
    "monitor",
    "trainer.gradient_clip",  # what stops an explosion
    "trainer.max_epochs",
    "trainer.max_steps",
    "trainer.max_time",
    "trainer.enable_progress_bar",
)

# Variables that say which of several processes this is; Lightning takes the first that is set.
RANKS = ("RANK", "LOCAL_RANK", "SLURM_PROCID", "JSM_NAMESPACE_RANK")


class Job(Protocol):
    """What is to be trained, and how, as the command line gives it.

    Attributes:
        parser: Turns settings into a config's text.
        config: The settings, by name.
        config_init: The same, with objects in place of what names them.
        model: A `Forecaster`.
        datamodule: A `WindowDataModule`.
    """

    parser: Any
    config: Any
    config_init: Any
    model: Any
    datamodule: Any

    def parsed(self, text: str) -> dict[str, Any]:
        """The settings in a config's text, by name.

        Raises:
            ValueError: It cannot be read.
        """

    def again(self, folder: Path) -> str:
        """What to type to go on with the run in a folder."""


class Run:
    """One training run in its own folder.

    Args:
        cli: The parsed arguments, with model and data.
        folder: The run's folder.
        config: The whole configuration, as text.
        series: The series' digest.
        checkpoint: Where it goes on from, or None.
        before: What that holds, where the folder has its curves already.
        lock: What holds the folder, or -1.
    """

    def __init__(
        self,
        cli: Job,
        folder: Path,
        config: str,
        series: dict[str, Any],
        checkpoint: Path | None,
        before: Content,
        lock: int,
    ) -> None:
        monitor = cli.config_init.monitor
        self.cli, self.checkpoint, self.lock = cli, checkpoint, lock
        self.final_report = FinalReport(folder, monitor, cli.config.keep)
        self.command = cli.again(folder)
        self.signals = Signals(f"stopped at once; go on with: {self.command}")
        given = dict(cli.config_init.trainer)
        checkpoints = BestAndLastCheckpoint(folder / "checkpoints", config, series, self.signals)
        progress = [] if given["enable_progress_bar"] is False else [Progress()]
        own = [*progress, monitor, checkpoints, self.final_report]
        given["callbacks"] = [*_listed(given["callbacks"]), *own]
        given["plugins"] = [*_listed(given["plugins"]), AtomicCheckpointIO()]
        given["logger"] = False  # until it is known which process this is
        given["use_distributed_sampler"] = False  # the order of batches is shared out as it is
        self.trainer = _made(given)
        curves = before.get("global_step"), before.get("metrics")
        self.loggers = []
        if self.trainer.global_rank == 0:
            refuse_vanished(folder, lock)
            self.loggers = loggers(folder, *curves)
        self.trainer.loggers = self.loggers

    def train(self) -> str:
        """Train, and return the closing text.

        Raises:
            Interrupted: After Ctrl-C or SIGTERM; all is saved.
        """
        for logger in self.loggers:
            if isinstance(logger, TensorBoardLogger):
                print(shown(f"TensorBoard: {self.final_report.tensorboard}"))  # noqa: T201
                begin(logger)
        checkpoint = None if self.checkpoint is None else str(self.checkpoint)
        with self.signals:
            self.trainer.fit(self.cli.model, self.cli.datamodule, ckpt_path=checkpoint)
        return self.final_report.text

    def leave(self) -> None:
        """Let go of the folder, and of the other processes."""
        if self.lock >= 0:
            os.close(self.lock)
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            # Else gloo's threads outlive the interpreter, and now and then abort the process.
            torch.distributed.destroy_process_group()


def _listed(given: Any) -> list[Any]:
    return given if isinstance(given, list) else [] if given is None else [given]


def _made(given: dict[str, Any]) -> Trainer:
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
    rank = trainer.global_rank
    name = next((name for name in RANKS if name in os.environ), None)
    if name is None and rank:
        raise ValueError(
            f"RANK is not set in the environment and the trainer's rank is {rank}: start the "
            "processes with torchrun"
        )
    if name is not None and int(os.environ[name]) != rank:
        raise ValueError(
            f"{name} is {os.environ[name]} in the environment and the trainer's rank is {rank}: "
            f"unset {name}, or set trainer.devices and trainer.strategy for several processes"
        )
    return trainer


def prepare(cli: Job) -> Run:
    """Raise now what would come up during training; claim a folder and make the trainer.

    Args:
        cli: The parsed arguments, with model and data.

    Raises:
        ValueError: Something cannot be as it is asked for; nothing is left behind.
        OSError: A file cannot be read, or no folder be made.
    """
    resumed = Path(cli.config.resume) if cli.config.resume else None
    last = None if resumed is None else resumed / "checkpoints" / "last.ckpt"
    checkpoint = last if last and last.exists() else None  # it may have been killed before
    if resumed is not None:
        refuse_links(resumed)
    with ExitStack() as undo:
        first = not _get_rank()  # of several processes the first alone writes anything
        lock = claim(resumed) if resumed is not None and first else -1
        if lock >= 0:
            undo.callback(os.close, lock)
        content = read(checkpoint) if checkpoint is not None else {}
        if content:
            _refuse_changes(cli, str(content.get("config", "")), checkpoint)
        cli.datamodule.setup()
        series = digest(cli.datamodule.values)
        _refuse_other_series(series, content.get("series"), checkpoint)
        dry_run_optimizer(cli.model)
        config = cli.config.clone()
        config.resume = None
        text = cli.parser.dump(config, skip_unset=False)
        folder = resumed or Path("runs") / folder_name(config.name)
        if resumed is None and first:
            folder = claim_folder(folder)
            undo.callback(remove_empty, folder)
            lock = claim(folder)
            if lock >= 0:
                undo.callback(os.close, lock)
            undo.callback(clear, folder, lock)
        run = Run(cli, folder, text, series, checkpoint, content, lock)
        cli.model.trainer = run.trainer
        run.trainer.datamodule = cli.datamodule  # type: ignore[attr-defined]
        cli.model.setup("fit")
        if first:
            refuse_vanished(folder, lock)
            write(folder / "config.yaml", text.encode())
        undo.pop_all()
        return run


def _refuse_changes(cli: Job, text: str, checkpoint: Path | None) -> None:
    """Raise where a checkpoint would silently override what is asked for now."""
    try:
        before = cli.parsed(text)
    except ValueError as error:
        raise ValueError(f"{checkpoint}: {error}") from error
    now = dict(cli.config.items())
    for key in dict.fromkeys([*before, *now]):
        was, asked = before.get(key), now.get(key)
        if was != asked and not key.startswith(RESUME_MAY_CHANGE):
            raise ValueError(
                f"{key} is {was} in {checkpoint} and cannot become {asked} where a run goes "
                "on: leave it, or start a new run"
            )


def _refuse_other_series(now: Any, before: Any, checkpoint: Path | None) -> None:
    """Raise where a checkpoint is of another series, of which its config knows only the name."""
    if not isinstance(before, dict) or now == before:
        return
    if now["points"] != before.get("points"):
        differs = f"it has {now['points']} points and had {before.get('points')}"
    elif now["dtype"] != before.get("dtype"):
        differs = f"it is {now['dtype']} and was {before.get('dtype')}"
    else:
        differs = "its values differ"
    raise ValueError(
        f"the series is another than that of {checkpoint}: {differs}: restore it, or start a new "
        "run"
    )
