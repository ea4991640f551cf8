"""A training job: checked before anything is written, then trained in a run's folder."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
import yaml
from lightning.pytorch import Trainer
from lightning.pytorch.loggers import TensorBoardLogger

from sinrnn import run_folder
from sinrnn.callbacks.checkpoint import BestAndLastCheckpoint
from sinrnn.callbacks.final_report import FinalReport
from sinrnn.callbacks.monitor import Monitor
from sinrnn.callbacks.progress_bar import Progress
from sinrnn.config.files import check_text
from sinrnn.data.arrays import ArraySeries
from sinrnn.data.datamodule import WindowDataModule
from sinrnn.data.series import digest
from sinrnn.filesystem import refuse_links, write
from sinrnn.training.checkpoint_io import AtomicCheckpointIO, Content, read
from sinrnn.training.forecaster import Forecaster
from sinrnn.training.loggers import begin, loggers
from sinrnn.training.options import check_step, dry_run_optimizer
from sinrnn.training.quiet import NoProfiler
from sinrnn.training.signals import Interrupted, Signals

# Settings that may change when a run is resumed.
RESUME_MAY_CHANGE = (
    "config",
    "resume",
    "name",
    "threads",
    "keep",
    "figures",
    "monitor",
    "data.series.init_args.path",  # the values are compared themselves
    "trainer.gradient_clip",  # what stops an explosion
    "trainer.max_epochs",
    "trainer.max_steps",
    "trainer.max_time",
    "trainer.enable_progress_bar",
)

# Variables that say which of several processes this is; Lightning takes the first that is set.
RANKS = ("RANK", "LOCAL_RANK", "SLURM_PROCID", "JSM_NAMESPACE_RANK")


class Job:
    """One training run, in a folder that is its own; made by `prepare`.

    Args:
        model: What is trained.
        data: What it learns from.
        trainer: Arguments of Lightning's Trainer, by name.
        config: The whole configuration, as text.
        series: The `digest` of the data's series.
        final_report: What is made at the end; it knows the folder.
        content: The checkpoint that it resumes from, or nothing.
        resume: What to type to resume it.
        lock: What holds the folder, or -1.
    """

    def __init__(
        self,
        model: Forecaster,
        data: WindowDataModule,
        trainer: dict[str, Any],
        config: str,
        series: dict[str, Any],
        final_report: FinalReport,
        content: Content,
        resume: str,
        lock: int,
    ) -> None:
        self.model, self.data, self.folder = model, data, final_report.folder
        self.final_report, self.resume, self.lock = final_report, resume, lock
        self.checkpoint = f"{self.folder / run_folder.LAST}" if content else None
        self.signals = Signals(f"stopped at once; go on with: {resume}")
        checkpoints = BestAndLastCheckpoint(self.folder, config, series, self.signals)
        progress = [] if trainer.get("enable_progress_bar") is False else [Progress()]
        own = [*progress, final_report.monitor, checkpoints, final_report]
        self.trainer = _made(
            trainer
            | {
                "callbacks": [*_listed(trainer.get("callbacks")), *own],
                "plugins": [*_listed(trainer.get("plugins")), AtomicCheckpointIO()],
                "profiler": trainer.get("profiler") or NoProfiler(),
                "logger": False,  # until it is known which process this is
                "use_distributed_sampler": False,  # the order of batches is shared out as it is
            }
        )
        self.loggers = []
        if self.trainer.global_rank == 0:
            run_folder.refuse_vanished(self.folder, lock)
            self.loggers = loggers(self.folder, content.get("global_step"), content.get("metrics"))
        self.trainer.loggers = self.loggers

    def train(self) -> str:
        """Train, and return the closing text.

        Raises:
            Interrupted: After Ctrl-C or SIGTERM; all is saved.
        """
        for logger in self.loggers:
            if isinstance(logger, TensorBoardLogger):
                begin(logger)
        try:
            with self.signals:
                self.trainer.fit(self.model, self.data, ckpt_path=self.checkpoint)
        except Interrupted:  # in all processes
            self._tell_folder()
            raise
        self._tell_folder()
        return self.final_report.text

    def _tell_folder(self) -> None:
        """Let every process know the folder, which the first has made."""
        self.folder = self.trainer.strategy.broadcast(self.folder)

    def leave(self) -> None:
        """Let go of the folder, and of the other processes."""
        if self.lock >= 0:
            os.close(self.lock)
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            # Else gloo's threads outlive the interpreter, and now and then abort the process.
            torch.distributed.destroy_process_group()


def _listed(given: Any) -> list[Any]:
    return [*given] if isinstance(given, list | tuple) else [] if given is None else [given]


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
    rank, (name, told) = trainer.global_rank, _rank()
    if not name and rank:
        raise ValueError(
            f"RANK is not set in the environment and the trainer's rank is {rank}: start the "
            "processes with torchrun"
        )
    if name and told != rank:
        raise ValueError(
            f"{name} is {told} in the environment and the trainer's rank is {rank}: "
            f"unset {name}, or set trainer.devices and trainer.strategy for several processes"
        )
    return trainer


def _rank() -> tuple[str, int]:
    """The variable that says which process this is, and its value; "" and 0 where none does."""
    name = next((name for name in RANKS if name in os.environ), "")
    return name, int(os.environ[name]) if name else 0


def prepare(
    model: Forecaster,
    data: WindowDataModule,
    config: Callable[[Path], str],
    *,
    trainer: dict[str, Any],
    monitor: Monitor,
    parent: Path = Path("runs/run"),
    resume: Path | None = None,
    keep: str = "best",
    figures: bool = True,
    command: Callable[[Path], str] = str,
) -> Job:
    """Raise now what would come up during training; claim a folder and make the trainer.

    Args:
        model: What is to be trained.
        data: What it learns from.
        config: Gives the whole configuration of the run in a folder, as YAML text.
        trainer: Arguments of Lightning's Trainer, by name.
        monitor: What shows training in TensorBoard.
        parent: Where the run's folder is made.
        resume: The folder of a run to resume, or None.
        keep: Weights to save and report: those that are "best" on the validation split, or "last".
        figures: Whether pictures are drawn at the end.
        command: Gives what to type to resume the run in a folder.

    Raises:
        ValueError: Something cannot be as it is asked for; nothing is left behind.
        OSError: A file cannot be read, or no folder be made.
    """
    last = None if resume is None else resume / run_folder.LAST
    checkpoint = last if last and last.exists() else None  # it may have been killed before
    if resume is not None:
        refuse_links(resume)
    with ExitStack() as undo:
        first = not _rank()[1]  # of several processes the first alone writes anything
        lock = run_folder.claim(resume) if resume is not None and first else -1
        if lock >= 0:
            undo.callback(os.close, lock)
        content = read(checkpoint) if checkpoint is not None else {}
        if checkpoint is not None:
            _refuse_changes(
                config(checkpoint.parents[1]), f"{content.get('config', '')}", checkpoint
            )
        data.setup()
        series = digest(data.values)
        _refuse_other_series(series, content.get("series"), checkpoint)
        optimizer = dry_run_optimizer(model)
        folder = resume or parent
        if resume is None and first:
            folder = run_folder.claim_folder(parent)
            undo.callback(run_folder.remove_empty, folder)
            lock = run_folder.claim(folder)
            if lock >= 0:
                undo.callback(os.close, lock)
            undo.callback(run_folder.clear, folder, lock)
        text = config(folder)
        final_report = FinalReport(folder, monitor, keep, figures)
        resumed_by = command(folder)
        job = Job(model, data, trainer, text, series, final_report, content, resumed_by, lock)
        model.trainer = job.trainer
        job.trainer.datamodule = data  # type: ignore[attr-defined]
        model.setup("fit")
        check_step(job.trainer, optimizer, model.updates)
        if first:
            run_folder.refuse_vanished(folder, lock)
            write(folder / run_folder.CONFIG, text.encode())
            if isinstance(data.series, ArraySeries):
                write(folder / run_folder.SERIES, data.series.npy())
        undo.pop_all()
        return job


def _refuse_changes(config: str, before: str, checkpoint: Path) -> None:
    """Raise where a checkpoint would silently override what is asked for now."""
    try:
        check_text(before, "its config", code=True)
    except ValueError as error:
        raise ValueError(f"{checkpoint}: {error}") from error
    was, now = (dict(_flat(yaml.safe_load(text))) for text in (before, config))
    for key in dict.fromkeys([*was, *now]):
        if was.get(key) != now.get(key) and not key.startswith(RESUME_MAY_CHANGE):
            raise ValueError(
                f"{key} is {was.get(key)} in {checkpoint} and cannot become {now.get(key)} where a "
                "run goes on: leave it, or start a new run"
            )


def _flat(settings: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Settings by dotted name."""
    if isinstance(settings, dict) and settings:
        for name, value in settings.items():
            yield from _flat(value, f"{key}.{name}" if key else f"{name}")
    else:
        yield key, settings


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
