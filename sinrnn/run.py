"""One training run: checked before anything is written, then trained in a folder of its own."""

import copy
import math
import os
import shlex
import shutil
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from jsonargparse import ArgumentError
from lightning.fabric.utilities.rank_zero import _get_rank
from lightning.pytorch import Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from torch.optim.lr_scheduler import ReduceLROnPlateau

from sinrnn.arguments import command, folder_name
from sinrnn.checkpoint import Checkpoints, Durable, read
from sinrnn.closing import Closing
from sinrnn.durable import refuse_links, write
from sinrnn.forecaster import Forecaster
from sinrnn.interrupt import Signals
from sinrnn.loggers import forgive, loggers
from sinrnn.messages import one_line
from sinrnn.progress import Progress

if TYPE_CHECKING:
    from sinrnn.cli import TrainCLI

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

# What may change where a run goes on.
FREE = (
    "config",
    "resume",
    "ckpt_path",
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


class Run:
    """One training run in its own folder.

    Args:
        cli: The parsed arguments, with model and data.
        folder: The run's folder.
        config: The whole configuration, as text.
        checkpoint: Where it goes on from, or None.
        step: Steps made when that was saved, where the folder has its curves already.
    """

    lock = -1

    def __init__(
        self, cli: "TrainCLI", folder: Path, config: str, checkpoint: Path | None, step: int | None
    ) -> None:
        monitor = cli.config_init.monitor
        self.cli, self.checkpoint = cli, checkpoint
        self.closing = Closing(folder, monitor, cli.config.keep)
        trust = [f"--trust={module}" for module in cli.trusted]
        self.command = shlex.join([*command(), "--resume", str(folder), *trust])
        self.signals = Signals(f"stopped at once; go on with: {self.command}")
        given = dict(cli.config_init.trainer)
        checkpoints = Checkpoints(folder / "checkpoints", config, self.signals)
        progress = [] if given["enable_progress_bar"] is False else [Progress()]
        own = [*progress, monitor, checkpoints, self.closing]
        given["callbacks"] = [*(given["callbacks"] or []), *own]
        given["plugins"] = [*_listed(given["plugins"]), Durable()]
        self.loggers = [] if _get_rank() else loggers(folder, step)
        given["logger"] = self.loggers or False
        given["use_distributed_sampler"] = False  # the order of batches is shared out as it is
        self.trainer = Trainer(**given)

    def train(self) -> str:
        """Train, and return the closing text.

        Raises:
            Interrupted: After Ctrl-C or SIGTERM; all is saved.
        """
        for logger in self.loggers:
            if isinstance(logger, TensorBoardLogger):
                print(f"TensorBoard: {self.closing.tensorboard}")  # noqa: T201
                forgive(logger)
        checkpoint = None if self.checkpoint is None else str(self.checkpoint)
        with self.signals:
            self.trainer.fit(self.cli.model, self.cli.datamodule, ckpt_path=checkpoint)
        return self.closing.text

    def leave(self) -> None:
        """Let go of the folder, and of the other processes."""
        if self.lock >= 0:
            os.close(self.lock)
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            # Else gloo's threads outlive the interpreter, and now and then abort the process.
            torch.distributed.destroy_process_group()


def _listed(given: Any) -> list[Any]:
    return given if isinstance(given, list) else [] if given is None else [given]


def prepare(cli: "TrainCLI") -> Run:
    """Raise now what would come up during training; claim a folder and make the trainer.

    Args:
        cli: The parsed arguments, with model and data.

    Raises:
        ValueError: Something cannot be as it is asked for; nothing is left behind.
        OSError: A file cannot be read, or no folder be made.
    """
    resumed, checkpoint = _origin(cli.config.resume, cli.config.ckpt_path)
    if resumed is not None:
        refuse_links(resumed)
    with ExitStack() as undo:
        first = not _get_rank()  # of several processes the first alone writes anything
        lock = claim(resumed) if resumed is not None and first else -1
        if lock >= 0:
            undo.callback(os.close, lock)
        content = read(checkpoint) if checkpoint is not None else {}
        if content:
            _refuse_changes(cli, content.get("config", ""), checkpoint)
        cli.datamodule.setup()
        rehearse(cli.model)
        config = cli.config.clone()
        config.resume = config.ckpt_path = None
        text = cli.parser.dump(config, skip_unset=False)
        folder = resumed or Path("runs") / folder_name(config.name)
        if resumed is None and first:
            folder = claim_folder(folder)
            undo.callback(_remove, folder)
            lock = claim(folder)
            undo.callback(os.close, lock)
        step = content.get("global_step") if resumed is not None else None
        run = Run(cli, folder, text, checkpoint, step)
        run.lock = lock
        cli.model.trainer = run.trainer
        run.trainer.datamodule = cli.datamodule  # type: ignore[attr-defined]
        cli.model.setup("fit")
        if first:
            write(folder / "config.yaml", text.encode())
        undo.pop_all()
        return run


def _origin(resume: str | None, ckpt_path: str | None) -> tuple[Path | None, Path | None]:
    """The folder to go on in and the checkpoint to go on from, where there is one."""
    resumed, checkpoint = (Path(path) if path else None for path in (resume, ckpt_path))
    if resumed is None:
        return None, checkpoint
    if checkpoint is not None:
        raise ValueError(
            f"resume {resumed} and ckpt_path {checkpoint} exclude each other: leave one of them"
        )
    last = resumed / "checkpoints" / "last.ckpt"
    return resumed, last if last.exists() else None  # killed before its first save


def _refuse_changes(cli: "TrainCLI", text: str, checkpoint: Path | None) -> None:
    """Raise where a checkpoint would silently override what is asked for now."""
    try:
        before = dict(cli.parser.parse_string(text).items())
    except ArgumentError as error:
        raise ValueError(f"{checkpoint}: {one_line(str(error))}") from error
    now = dict(cli.config.items())
    for key in dict.fromkeys([*before, *now]):
        was, asked = before.get(key), now.get(key)
        if was != asked and not key.startswith(FREE):
            raise ValueError(
                f"{key} is {was} in {checkpoint} and cannot become {asked} where a run goes "
                "on: leave it, or start a new run"
            )


def rehearse(model: Forecaster) -> None:
    """One step of optimizer and scheduler, on a copy of the model and a loss of its own.

    Raises:
        ValueError: Something that is found out only then; or the model is not of one series.
    """
    for size in ("input_size", "output_size"):
        if model.hparams[size] != 1:
            raise ValueError(
                f"model.{size} must be 1 for windows of one series, got {model.hparams[size]}"
            )
    model = copy.deepcopy(model)
    parameters = list(model.net.parameters())

    def squares() -> torch.Tensor:
        optimizer.zero_grad()
        loss = torch.stack([p.square().sum() for p in parameters]).sum()
        loss.backward()
        return loss

    try:
        made = model.configure_optimizers()
        optimizer = made["optimizer"] if isinstance(made, dict) else made
        for group in optimizer.param_groups:
            if not math.isfinite(group["lr"]):
                raise ValueError(f"Invalid learning rate: {group['lr']}")
        optimizer.step(squares)
        if isinstance(made, dict):
            scheduler = made["lr_scheduler"]["scheduler"]
            scheduler.step(*[1.0] * isinstance(scheduler, ReduceLROnPlateau))
            for group in optimizer.param_groups:
                if not math.isfinite(group["lr"]):
                    raise ValueError(f"the learning rate becomes {group['lr']}")
    except ValueError as error:
        raise ValueError(f"model.optimizer or model.scheduler: {error}") from error
    except Exception as error:  # each raises what its arithmetic leads to
        raise ValueError(
            "model.optimizer or model.scheduler cannot make a step with these arguments: "
            f"{type(error).__name__}: {error}"
        ) from error


def _remove(folder: Path) -> None:
    """Take a run's folder away again, and what is empty then."""
    shutil.rmtree(folder)
    with suppress(OSError):  # somebody else's runs are in it
        for made in (folder.parent, folder.parent.parent):
            made.rmdir()


def claim(folder: Path) -> int:
    """Hold a folder as long as the process lives; gives what holds it, or -1 on Windows.

    Raises:
        ValueError: Another process trains there.
    """
    if fcntl is None:
        return -1
    held = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(held)
        raise ValueError(f"{folder}: another process is training there") from error
    return held


def claim_folder(parent: Path) -> Path:
    """Make the first free folder version_0, version_1, ...; two runs never get the same.

    Raises:
        OSError: No folder can be made there.
    """
    try:
        parent.mkdir(parents=True, exist_ok=True)
        version = 0
        while True:
            folder = parent / f"version_{version}"
            with suppress(FileExistsError):
                folder.mkdir()
                return folder
            version += 1
    except OSError as error:
        raise OSError(
            f"no folder can be made in {parent} ({error.strerror}): start where there can be one"
        ) from error
