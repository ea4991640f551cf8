"""The command line: one training run, from arguments to a folder."""

import argparse
import logging
import os
import re
import shutil
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from jsonargparse import ArgumentError
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI

from sinrnn import doctor
from sinrnn.checkpoint import Checkpoints, Durable, read, write
from sinrnn.closing import Closing
from sinrnn.examine import examine, predictions
from sinrnn.forecaster import Forecaster
from sinrnn.interrupt import Interrupted, Signals
from sinrnn.loggers import forgive, loggers
from sinrnn.monitor import Monitor, Progress
from sinrnn.report import History
from sinrnn.rnn import SinRNN
from sinrnn.windows import WindowDataModule

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

PACKAGE = Path(__file__).parent
# In a checkout the configs lie beside the package, in a wheel inside it.
CONFIGS = next(p for p in (PACKAGE.parent / "configs", PACKAGE / "configs") if p.is_dir())

# What a user can do nothing about.
NOISE = [
    ".*does not have many workers.*",  # windows are gathered faster than a worker could send them
    ".*log_every_n_steps.*",  # nothing is logged by step
    ".*Experiment logs directory .* exists and is not empty.*",  # it is this run's own
    ".*GPU available but not used.*",  # the config chose the CPU
    ".*your dataloader is not resumable.*",  # its order is
    ".*isinstance.treespec, LeafSpec.*",  # Lightning 2.6.6 with torch 2.13
]


# What may change where a run goes on.
FREE = (
    "config",
    "resume",
    "ckpt_path",
    "name",
    "threads",
    "keep",
    "monitor",
    "trainer.max_epochs",
    "trainer.max_steps",
    "trainer.max_time",
    "trainer.enable_progress_bar",
)


class TrainCLI(LightningCLI):
    """LightningCLI with a run folder of its own for each run."""

    def __init__(self, args: Sequence[str]) -> None:
        super().__init__(
            Forecaster,
            WindowDataModule,
            args=list(args),
            run=False,
            save_config_callback=None,
            auto_configure_optimizers=False,
            load_from_checkpoint_support=False,
            trainer_defaults={"enable_model_summary": False, "num_sanity_val_steps": 0},
            parser_kwargs={"exit_on_error": False, "description": "Train a recurrent network."},
        )

    def add_default_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the options that are neither the trainer's, the model's nor the data's."""
        parser.add_argument(
            "--seed_everything", type=int, default=0, help="Seed of weights and batch order."
        )
        parser.add_argument("--name", type=str, default="run", help="Runs go to runs/NAME.")
        parser.add_argument(
            "--threads",
            type=int,
            default=1,
            help="CPU threads of torch. At a few hundred hidden units one is faster than many.",
        )
        parser.add_argument(
            "--keep",
            type=Literal["best", "last"],
            default="best",
            help="Weights to save and report: best on the validation span, or the last.",
        )
        parser.add_argument(
            "--ckpt_path",
            type=str,
            default=None,
            help="Go on from this checkpoint in a new folder.",
        )
        parser.add_argument(
            "--resume", type=str, default=None, help="Folder of a run to go on with, as it was."
        )

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """What shows training, and one seed for weights and batches."""
        parser.add_lightning_class_args(Monitor, "monitor")
        parser.link_arguments("seed_everything", "data.seed")

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parse, and refuse what no constructor will look at."""
        self.config = parser.parse_args(args)
        for key, least in {"seed_everything": 0, "threads": 1}.items():
            if self.config[key] < least:
                raise ValueError(f"{key} must be at least {least}, got {self.config[key]}")

    def before_instantiate_classes(self) -> None:
        """Set the number of threads."""
        torch.set_num_threads(self.config.threads)

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Leave the trainer until there is a folder for it."""
        return None  # type: ignore[return-value]

    def prepare(self) -> "Run":
        """Raise now what would come up during training; claim a folder and make the trainer."""
        resumed = Path(self.config.resume) if self.config.resume else None
        checkpoint = Path(self.config.ckpt_path) if self.config.ckpt_path else None
        if resumed is not None:
            last = resumed / "checkpoints" / "last.ckpt"
            checkpoint = last if last.exists() else None  # killed before its first save
        content = read(checkpoint) if checkpoint is not None else {}
        if content:
            self._refuse_changes(content.get("config", ""), checkpoint)
        self.datamodule.setup()
        for size in ("input_size", "output_size"):
            if self.model.hparams[size] != 1:
                raise ValueError(
                    f"model.{size} must be 1 for windows of one series, "
                    f"got {self.model.hparams[size]}"
                )
        try:
            self.model.configure_optimizers()
        except ValueError as error:
            raise ValueError(f"model.optimizer or model.scheduler: {error}") from error
        config = self.config.clone()
        config.resume = config.ckpt_path = None
        text = self.parser.dump(config, skip_none=False)
        folder = resumed or claim_folder(Path("runs") / self.config.name)
        try:
            lock = claim(folder)
            run = Run(
                self, folder, text, checkpoint, content.get("global_step") if resumed else None
            )
            self.model.trainer = run.trainer
            self.model.setup("fit")
            write(folder / "config.yaml", text.encode())
            run.lock = lock
            return run
        except Exception:
            if resumed is None:
                shutil.rmtree(folder)
            raise

    def _refuse_changes(self, text: str, checkpoint: Path | None) -> None:
        """Raise where a checkpoint would silently override what is asked for now."""
        try:
            before = dict(self.parser.parse_string(text).items())
        except ArgumentError as error:
            raise ValueError(f"{checkpoint}: {one_line(str(error))}") from error
        now = dict(self.config.items())
        for key in dict.fromkeys([*before, *now]):
            was, asked = before.get(key), now.get(key)
            if was != asked and not key.startswith(FREE):
                raise ValueError(
                    f"{key} is {was} in {checkpoint} and cannot become {asked} where a run goes "
                    "on: leave it, or start a new run"
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
        self, cli: TrainCLI, folder: Path, config: str, checkpoint: Path | None, step: int | None
    ) -> None:
        monitor = cli.config_init.monitor
        self.cli, self.checkpoint = cli, checkpoint
        self.closing = Closing(folder, monitor, cli.config.keep)
        self.command = f"python {sys.argv[0] or 'scripts/train.py'} --resume {folder}"
        self.signals = Signals(f"stopped at once; go on with: {self.command}")
        given = dict(cli.config_init.trainer)
        checkpoints = Checkpoints(folder / "checkpoints", config, self.signals)
        progress = [] if given["enable_progress_bar"] is False else [Progress()]
        own = [*progress, monitor, checkpoints, self.closing]
        given["callbacks"] = [*(given["callbacks"] or []), *own]
        given["plugins"] = [*_listed(given["plugins"]), Durable()]
        given["logger"] = self.loggers = loggers(folder, step)
        self.trainer = Trainer(**given)

    def train(self) -> str:
        """Train, and return the closing text.

        Raises:
            Interrupted: After Ctrl-C or SIGTERM; all is saved.
        """
        print(f"TensorBoard: {self.closing.tensorboard}")  # noqa: T201
        forgive(self.loggers[0])  # type: ignore[arg-type]
        checkpoint = None if self.checkpoint is None else str(self.checkpoint)
        with self.signals:
            self.trainer.fit(self.cli.model, self.cli.datamodule, ckpt_path=checkpoint)
        return self.closing.text


def _listed(given: Any) -> list[Any]:
    return given if isinstance(given, list) else [] if given is None else [given]


def claim(folder: Path) -> int:
    """Hold a folder as long as the process lives; gives what holds it.

    Raises:
        ValueError: Another process trains there.
    """
    held = os.open(folder, os.O_RDONLY)
    if fcntl is not None:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(held)
            raise ValueError(f"{folder}: another process is training there") from error
    return held


def claim_folder(parent: Path) -> Path:
    """Make the first free folder version_0, version_1, ...; two runs never get the same."""
    parent.mkdir(parents=True, exist_ok=True)
    for version in range(len(list(parent.iterdir())) + 1_000):
        folder = parent / f"version_{version}"
        try:
            folder.mkdir()
        except FileExistsError:
            continue
        return folder
    raise FileExistsError(f"{parent} has no free version")


def main(argv: Sequence[str] | None = None, callbacks: Sequence[Callback] = ()) -> int:
    """Train as the arguments say and print what came out; returns the exit status.

    Args:
        argv: The arguments; None takes the process's own.
        callbacks: Called before all others.
    """
    args = list(sys.argv[1:] if argv is None else argv)
    quiet()
    try:
        run = TrainCLI(with_config(args)).prepare()
    except (ArgumentError, ValueError, TypeError, OSError, MisconfigurationException) as error:
        return refuse(error)
    run.trainer.callbacks[:0] = callbacks  # type: ignore[attr-defined]
    try:
        text = run.train()
    except Interrupted as stopped:
        print(f"\n{stopped}, and saved; go on with: {run.command}", file=sys.stderr)  # noqa: T201
        return 128 + stopped.number
    except (FloatingPointError, ValueError, OSError) as error:
        return refuse(error)
    finally:
        os.close(run.lock)
    print(f"\n{text}")  # noqa: T201
    return 0


def with_config(args: list[str]) -> list[str]:
    """The arguments, with the default config where none is chosen."""
    for i, arg in enumerate(args):
        if arg == "--resume" or arg.startswith("--resume="):
            run = Path(arg.partition("=")[2] or "".join(args[i + 1 : i + 2]))
            if not (run / "config.yaml").is_file():
                raise FileNotFoundError(f"--resume {run}: no config.yaml in that folder")
            return ["--config", str(run / "config.yaml"), *args]
    if any(arg in ("-c", "--config") or arg.startswith("--config=") for arg in args):
        return args
    return ["--config", str(CONFIGS / "sine.yaml"), *args]


def refuse(error: Exception) -> int:
    """Say in one line what is wrong; returns the exit status."""
    print(f"error: {one_line(str(error))}", file=sys.stderr)  # noqa: T201
    return 2


def one_line(message: str) -> str:
    """What a parser says over many lines: the key, the value, what was expected."""
    text = " ".join(message.split())
    text = re.sub(r"- Expected a path but \S+ either not accessible or invalid - ", "", text)
    keys = re.findall(r'Parser key "([^"]+)":', text)
    value = re.search(r"(?:Given|Got) value: (.*?)(?:\. Got value: .*)?$", text)
    expected = re.findall(r"Expected a <class '([^']+)'>|Literal(\[[^]]+\])", text)
    if not keys or not value:
        return re.sub(r'Parser key "([^"]+)":', r"\1:", text)
    kinds = dict.fromkeys(kind.rpartition(".")[2] or choice for kind, choice in expected)
    kinds.pop("NoneType", None)
    wanted = f"expected {' or '.join(kinds)}" if kinds else "nothing of that name can be used there"
    return f"{'.'.join(keys)} cannot be {value[1]}: {wanted}"


def quiet() -> None:
    """Silence what Lightning says that no user can act on."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for message in NOISE:
        warnings.filterwarnings("ignore", message)


def diagnose(argv: Sequence[str] | None = None) -> int:
    """Examine a run's folder and print what was measured; returns the exit status."""
    parser = argparse.ArgumentParser(
        description="What is wrong with a finished run, and what to try."
    )
    parser.add_argument("run", type=Path, help="The run's folder.")
    folder: Path = parser.parse_args(argv).run
    try:
        net = SinRNN.load(folder / "model.safetensors")
        cli = configured(folder, net)
        data = cli.datamodule
        data.setup()
        history = History.read(folder / "metrics.csv")
        clip = cli.config.trainer.gradient_clip_val
        results = examine(net, data, predictions(net, data), history, clip)
    except (ValueError, TypeError, OSError) as error:
        return refuse(error)
    print(doctor.letter(doctor.diagnose(results)))  # noqa: T201
    return 0


def configured(folder: Path, net: SinRNN) -> TrainCLI:
    """A finished run's config, with model and data as it says, for the network that it trained.

    Args:
        folder: The run's.
        net: What it trained.

    Raises:
        FileNotFoundError: The folder has no config.
        ValueError: The config cannot be read, or is not the network's.
    """
    config = folder / "config.yaml"
    if not config.is_file():
        raise FileNotFoundError(f"{config} does not exist")
    quiet()
    try:
        cli = TrainCLI(["--config", str(config)])
    except ArgumentError as error:
        raise ValueError(f"{config}: {one_line(str(error))}") from error
    data = cli.datamodule
    if (net.window, net.horizon) != (data.window, data.horizon):
        raise ValueError(
            f"{folder}: model.safetensors has window {net.window} and horizon {net.horizon}, "
            f"config.yaml {data.window} and {data.horizon}"
        )
    return cli
