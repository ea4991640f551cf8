"""A training job: checks everything before it writes anything, then trains in a run's folder."""

import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
import yaml
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.loggers import TensorBoardLogger

from sinrnn import run_folder
from sinrnn._private import kept_parser_settings
from sinrnn.callbacks.checkpoint import BestAndLastCheckpoint
from sinrnn.callbacks.final_report import FinalReport
from sinrnn.callbacks.monitor import Monitor
from sinrnn.callbacks.progress_bar import Progress
from sinrnn.config import restore
from sinrnn.config.parser import ConfigCLI, parse_run_config
from sinrnn.config.resume_checks import is_as_long, refuse_changes, refuse_other_series
from sinrnn.data.arrays import ArraySeries
from sinrnn.data.datamodule import WindowDataModule
from sinrnn.data.series import Series, digest
from sinrnn.filesystem import filled, refuse_links, shown, write
from sinrnn.training.checkpoint_io import AtomicCheckpointIO, Content, read
from sinrnn.training.forecaster import Forecaster
from sinrnn.training.loggers import make_loggers, open_events
from sinrnn.training.options import check_step, dry_run_optimizer
from sinrnn.training.quiet import quietly
from sinrnn.training.setup import restore_units
from sinrnn.training.signals import Interrupted, Signals
from sinrnn.training.trainer import NoProfiler, make_trainer, rank


class Job:
    """A training run in its own folder; `prepare` makes it.

    Args:
        model: The model to train.
        data: The data.
        trainer: Arguments of Lightning's Trainer, by name.
        config: The whole configuration as YAML text.
        series: The `digest` of the data's series.
        final_report: The callback that writes the report; it knows the folder.
        content: The content of the checkpoint to resume from, or {}.
        resume: The command that resumes the run.
        lock: The lock of the folder, or -1.
        finished: Whether the run has finished before, so that it is only reported again.
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
        finished: bool = False,
    ) -> None:
        self.model, self.data, self.folder = model, data, final_report.folder
        self.final_report, self.resume, self.lock = final_report, resume, lock
        self.checkpoint = f"{self.folder / run_folder.LAST}" if content else None
        self.signals = Signals(f"stopped at once; resume with: {resume}")
        checkpoints = BestAndLastCheckpoint(self.folder, config, series, self.signals)
        progress = [] if trainer.get("enable_progress_bar") is False else [Progress()]
        own = [*progress, final_report.monitor, checkpoints, final_report]
        self.trainer = make_trainer(
            trainer
            | {
                "callbacks": [*_listed(trainer.get("callbacks")), *own],
                "plugins": [*_listed(trainer.get("plugins")), AtomicCheckpointIO()],
                "profiler": trainer.get("profiler") or NoProfiler(),
                "logger": False,  # set below, in the first process only
                "use_distributed_sampler": False,  # BaseBatchSampler distributes the batches
            }
        )
        self.loggers, self.finished, final_report.finished = [], finished, finished
        if finished:  # by a callback, perhaps, which Lightning would ask again after an epoch
            progress = content["loops"]["fit_loop"]["epoch_progress"]
            self.trainer.fit_loop.max_epochs = progress["current"]["processed"]
        elif self.trainer.global_rank == 0:
            run_folder.refuse_vanished(self.folder, lock)
            self.loggers = make_loggers(
                self.folder, content.get("global_step"), content.get("metrics")
            )
        self.trainer.loggers = self.loggers

    def train(self, show: Callable[[str], None] | None = None) -> str:
        """Train, and return the closing text.

        Args:
            show: Called with that text before the pictures are drawn.

        Raises:
            Interrupted: After Ctrl-C or SIGTERM; the checkpoint is saved.
        """
        self.final_report.show = show
        for logger in self.loggers:
            if isinstance(logger, TensorBoardLogger):
                open_events(logger)
        try:
            with self.signals:
                self.trainer.fit(self.model, self.data, ckpt_path=self.checkpoint)
        except Interrupted:  # in all processes
            self._tell_folder()
            raise
        self._tell_folder()
        return self.final_report.text

    @property
    def notes(self) -> list[str]:
        """Lines to print before training: how the series was read, and the units chosen."""
        found = [f"note: {note}" for note in self.data.series.notes]
        return found + ([f"units: {self.model.choice}"] if self.model.choice else [])

    def finish(self) -> Path:
        """Train, and print how to resume after Ctrl-C or SIGTERM; return the run's folder.

        Raises:
            ValueError: Lightning refuses an option.
            FloatingPointError: The loss or its gradient is no longer finite.
        """
        if self.trainer.is_global_zero:
            for note in self.notes:
                print(filled(shown(note)))  # noqa: T201
        try:
            self.train()
        except Interrupted as stopped:
            if self.trainer.is_global_zero:
                print(shown(f"{stopped}, and saved; resume with: {self.resume}"))  # noqa: T201
        except MisconfigurationException as error:  # Lightning raises some only during training
            raise ValueError(f"{error}") from error
        finally:
            self.leave()
        return self.folder

    def _tell_folder(self) -> None:
        """Send the folder, which the first process has made, to all processes."""
        self.folder = self.trainer.strategy.broadcast(self.folder)

    def leave(self) -> None:
        """Unlock the folder, and leave the process group."""
        if self.lock >= 0:
            os.close(self.lock)
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            # gloo's threads would outlive the interpreter, and sometimes abort the process.
            torch.distributed.destroy_process_group()


def _listed(given: Any) -> list[Any]:
    return [*given] if isinstance(given, list | tuple) else [] if given is None else [given]


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
    command_line: bool = True,
) -> Job:
    """Check all options, create or lock the run's folder, and make the trainer.

    Errors that would come up during training are raised here, before anything is written.

    Args:
        model: The model to train.
        data: The data.
        config: Returns the configuration of the run as YAML text, from its folder.
        trainer: Arguments of Lightning's Trainer, by name.
        monitor: The callback that logs to TensorBoard.
        parent: The folder in which the run's folder is created.
        resume: The folder of a run to resume, or None.
        keep: Weights to save and report: the "best" on the validation split, or the "last".
        figures: Whether to draw pictures at the end.
        command: Returns the command that resumes the run, from its folder.
        command_line: Whether advice names options of scripts/train.py instead of Python's
            arguments.

    Raises:
        ValueError: Options are invalid or contradict each other; nothing is left behind.
        OSError: A file cannot be read, or the folder cannot be created.
    """
    last = None if resume is None else resume / run_folder.LAST
    checkpoint = last if last and last.exists() else None  # none if killed before the first
    if resume is not None:
        refuse_links(resume)
    with ExitStack() as undo:
        first = not rank()[1]  # only the first process writes files
        lock = run_folder.claim(resume) if resume is not None and first else -1
        if lock >= 0:
            undo.callback(os.close, lock)
        content, finished = read(checkpoint) if checkpoint is not None else {}, False
        if checkpoint is not None:
            both = config(checkpoint.parents[1]), f"{content.get('config', '')}"
            refuse_changes(*both, checkpoint)
            finished = (checkpoint.parents[1] / run_folder.RESULTS).is_file() and is_as_long(*both)
            restore_units(model.predictor, content)
        data.setup()
        series = digest(data.values)
        refuse_other_series(series, content.get("series"), checkpoint)
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
        fast = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # 12 ms less
        settings = restore.restore_settings(folder, yaml.load(text, fast))
        final_report = FinalReport(folder, monitor, keep, figures, command_line, settings)
        resumed_by = command(folder)
        made = (text, series, final_report, content, resumed_by, lock, finished)
        job = Job(model, data, trainer, *made)
        model.trainer = job.trainer
        job.trainer.datamodule = data  # type: ignore[attr-defined]
        model.setup("fit")
        check_step(job.trainer, optimizer, model.updates)
        if first:
            run_folder.refuse_vanished(folder, lock)
            store(folder, text, data.series)
        undo.pop_all()
        return job


def store(folder: Path, config: str, series: Series) -> None:
    """Write a run's config, and its series if that was given as values in Python."""
    if isinstance(series, ArraySeries):
        write(folder / run_folder.SERIES, series.npy())
    write(folder / run_folder.CONFIG, config.encode())  # last, as it makes the folder a run


def prepare_parsed(
    parsed: ConfigCLI, command: Callable[[Path], str], command_line: bool = True
) -> Job:
    """Call `prepare` with a parsed config and command line; its errors are those of `prepare`.

    Args:
        parsed: The parsed config and command line.
        command: As in `prepare`.
        command_line: As in `prepare`.
    """
    config, text = parsed.config, parsed.text()
    return prepare(
        parsed.model,
        parsed.datamodule,
        lambda folder: text,
        trainer=dict(parsed.config_init.trainer),
        monitor=parsed.config_init.monitor,
        parent=Path("runs") / run_folder.folder_name(config.name),
        resume=Path(config.resume) if config.resume else None,
        keep=config.keep,
        figures=config.figures,
        command=command,
        command_line=command_line,
    )


def resume(folder: Path, trainer: dict[str, Any], trusted: Sequence[str] = ()) -> None:
    """Resume the run in a folder.

    Args:
        folder: The run's folder.
        trainer: Arguments of Lightning's Trainer that replace those in its config.
        trusted: Modules of the user that the config may name.

    Raises:
        ValueError: The config cannot be read, or as `prepare`.
        OSError: As `prepare`.
    """
    with quietly(None):
        with kept_parser_settings():
            parsed = parse_run_config(folder, trainer, trusted)
            job = prepare_parsed(parsed, lambda folder: f"Run({str(folder)!r}).resume()", False)
        job.finish()
