"""The command line: one training run, from arguments to a folder."""

import argparse
import copy
import logging
import math
import os
import re
import shlex
import shutil
import sys
import warnings
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Literal

import torch
from jsonargparse import ArgumentError, set_parsing_settings
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.fabric.utilities.rank_zero import _get_rank
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.loggers import TensorBoardLogger
from torch.optim.lr_scheduler import ReduceLROnPlateau

from sinrnn import config, doctor, files
from sinrnn.checkpoint import Checkpoints, Durable, read
from sinrnn.closing import Closing
from sinrnn.durable import write
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

CONFIGS = files.CONFIGS

# All that a config may name: what is not here is refused without being imported.
LISTED = [
    "sinrnn",
    "torch.optim",
    "lightning.pytorch.accelerators",
    "lightning.pytorch.callbacks",
    "lightning.pytorch.plugins",
    "lightning.pytorch.profilers",
    "lightning.pytorch.strategies",
    "lightning.fabric.plugins",  # where some of the plugins are defined
]
SHIPPED = (
    "Where you have no file configs/NAME, that name is one that comes with sinrnn: --config "
    f"{', '.join(f'configs/{path.name}' for path in sorted(CONFIGS.glob('*.yaml')))}."
)
TRUST = "Let configs name this module of your own, too; it is imported, and runs."

# What a user can do nothing about.
NOISE = [
    ".*does not have many workers.*",  # windows are gathered faster than a worker could send them
    ".*log_every_n_steps.*",  # nothing is logged by step
    ".*Experiment logs directory .* exists and is not empty.*",  # it is this run's own
    ".*GPU available but not used.*",  # the config chose the CPU
    ".*your dataloader is not resumable.*",  # its order is
    ".*isinstance.treespec, LeafSpec.*",  # Lightning 2.6.6 with torch 2.13
]


REFUSED = (
    ArgumentError,
    ValueError,
    TypeError,
    OSError,
    ImportError,  # an accelerator whose library is missing
    MisconfigurationException,
)

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

# What no constructor will look at: the least and the most that makes sense.
BOUNDS = {
    "seed_everything": (0, 2**32 - 1),  # as numpy takes them
    "threads": (1, 1024),  # far above any machine's cores; a process cannot have millions
    "trainer.accumulate_grad_batches": (1, math.inf),
    "trainer.check_val_every_n_epoch": (1, math.inf),
    "trainer.gradient_clip_val": (-math.inf, math.inf),  # nan is none of them
    "trainer.log_every_n_steps": (0, math.inf),
    "trainer.min_epochs": (0, math.inf),
    "trainer.min_steps": (0, math.inf),
    "trainer.num_sanity_val_steps": (-1, math.inf),
}


class TrainCLI(LightningCLI):
    """LightningCLI with a run folder of its own for each run.

    Args:
        args: The arguments.
        trusted: Modules that configs may name beside those that are listed.
    """

    def __init__(self, args: Sequence[str], trusted: Sequence[str] = ()) -> None:
        self.trusted = trusted
        if trusted:  # which may lie in the folder one is in, as for python -m
            sys.path.append(str(Path.cwd()))
        set_parsing_settings(
            import_path_denylist=["*"],
            import_path_allowlist=[*LISTED, *trusted],
            instantiate_subclass_spec_in_any=False,
            config_read_mode_urls_enabled=False,
            config_read_mode_fsspec_enabled=False,
        )
        super().__init__(
            Forecaster,
            WindowDataModule,
            args=list(args),
            run=False,
            save_config_callback=None,
            auto_configure_optimizers=False,
            load_from_checkpoint_support=False,
            trainer_defaults={"enable_model_summary": False, "num_sanity_val_steps": 0},
            parser_kwargs={
                "exit_on_error": False,
                "prog": shlex.join(command()),
                "description": f"Train a recurrent network. {SHIPPED} --trust MODULE: {TRUST}",
            },
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
        for path in configs(args):
            config.check(path)
        self.config = parser.parse_args(args)
        for key, value in parser.get_defaults().items():
            # The parser takes null for any type.
            key = key.removesuffix(".class_path")
            if (
                value is not None
                and not key.startswith("trainer")
                and (self.config.get(key, value) is None)
            ):
                raise ValueError(f"{key} has no value: give it one, or leave it out")
        if self.config["trainer.val_check_interval"] == 0:
            raise ValueError("trainer.val_check_interval must be above 0, got 0")
        for key, (least, most) in BOUNDS.items():
            value = self.config[key]
            if value is not None and not least <= value <= most:
                limits = f"at least {least}" if value < least else f"at most {most}"
                limits = "a number" if math.isnan(value) else limits
                raise ValueError(f"{key} must be {limits}, got {value}")

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
            if checkpoint is not None:
                raise ValueError(
                    f"resume {resumed} and ckpt_path {checkpoint} exclude each other: "
                    "leave one of them"
                )
            last = resumed / "checkpoints" / "last.ckpt"
            checkpoint = last if last.exists() else None  # killed before its first save
        with ExitStack() as undo:
            first = not _get_rank()  # of several processes the first alone writes anything
            lock = claim(resumed) if resumed is not None and first else -1
            if lock >= 0:
                undo.callback(os.close, lock)
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
            rehearse(self.model)
            config = self.config.clone()
            config.resume = config.ckpt_path = None
            text = self.parser.dump(config, skip_none=False)
            folder = resumed or Path("runs") / folder_name(self.config.name)
            if resumed is None and first:
                folder = claim_folder(folder)
                undo.callback(_remove, folder)
                lock = claim(folder)
                undo.callback(os.close, lock)
            step = content.get("global_step") if resumed is not None else None
            run = Run(self, folder, text, checkpoint, step)
            run.lock = lock
            self.model.trainer = run.trainer
            run.trainer.datamodule = self.datamodule  # type: ignore[attr-defined]
            self.model.setup("fit")
            if first:
                write(folder / "config.yaml", text.encode())
            undo.pop_all()
            return run

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


def _listed(given: Any) -> list[Any]:
    return given if isinstance(given, list) else [] if given is None else [given]


def configs(args: Sequence[str]) -> list[str]:
    """The config files that the arguments name."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("-c", "--config", action="append", default=[], nargs="?")
    found: list[str | None] = parser.parse_known_args(args)[0].config
    return [path for path in found if path is not None]


def folder_name(name: str) -> str:
    """The name, if it is that of a folder in runs/ and of none elsewhere.

    Raises:
        ValueError: It is not.
    """
    fits = name == name.strip() and name.isprintable() and len(name.encode()) <= 200
    if name in ("", ".", "..") or not fits or re.search(r"[/\\:]", name):
        raise ValueError(
            f"name must be that of a folder within runs, without / and at most 200 bytes long, "
            f"got {name[:40]!r}"
        )
    return name


def rehearse(model: Forecaster) -> None:
    """One step of optimizer and scheduler, on a copy of the model and a loss of its own.

    Raises:
        ValueError: What some of them find out only then: arguments that cannot be.
    """
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


def main(argv: Sequence[str] | None = None, callbacks: Sequence[Callback] = ()) -> int:
    """Train as the arguments say and print what came out; returns the exit status.

    Args:
        argv: The arguments; None takes the process's own.
        callbacks: Called before all others.
    """
    args = list(sys.argv[1:] if argv is None else argv)
    quiet()
    try:
        trusted = take_trusted(args)
        for arg in args:
            if "://" in arg:
                raise ValueError(
                    f"{arg} is a URL, and only local files are read: download it first"
                )
        run = TrainCLI(with_config(args), trusted).prepare()
    except REFUSED as error:
        return refuse(error)
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "allocate memory" not in str(error):
            raise
        return refuse(MemoryError("not enough memory: lower model.hidden_size or the points"))
    run.trainer.callbacks[:0] = callbacks  # type: ignore[attr-defined]
    try:
        text = run.train()
    except Interrupted as stopped:
        if run.trainer.is_global_zero:
            print(f"\n{stopped}, and saved; go on with: {run.command}", file=sys.stderr)  # noqa: T201
        return 128 + stopped.number
    except FloatingPointError as error:
        last = run.closing.folder / "checkpoints" / "last.ckpt"
        kept = f"; the weights before are in {last}" if last.exists() else ""
        return refuse(FloatingPointError(f"{error}{kept}"))
    except (ValueError, OSError) as error:
        return refuse(error)
    except RuntimeError as error:
        if "conditioned on metric" not in str(error):  # EarlyStopping's way to say it
            raise
        return refuse(error)
    finally:
        if run.lock >= 0:
            os.close(run.lock)
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            # Else gloo's threads outlive the interpreter, and now and then abort the process.
            torch.distributed.destroy_process_group()
    if text:
        print(f"\n{text}")  # noqa: T201
    return 0


def command() -> list[str]:
    """What to type to start this program again: sinrnn, or python and a script or module."""
    python, script = typed(sys.executable), Path(sys.argv[0])
    if not script.is_file():  # started by python -c, or by a launcher of Windows
        return [python, "-m", "sinrnn"]
    if script.name == "__main__.py":
        return [python, "-m", script.parent.name]
    return [python, str(script)] if script.suffix == ".py" else [typed(str(script))]


def typed(program: str) -> str:
    """A program's name where the shell finds it by that, else its path."""
    name = Path(program).name
    return name if shutil.which(name) == program else program


def with_config(args: list[str]) -> list[str]:
    """The arguments, with the default config where none is chosen, and with shipped ones found."""
    for i, arg in enumerate(args):
        if arg == "--resume" or arg.startswith("--resume="):
            run = Path(arg.partition("=")[2] or "".join(args[i + 1 : i + 2]))
            if not (run / "config.yaml").is_file():
                raise FileNotFoundError(f"--resume {run}: no config.yaml in that folder")
            return ["--config", str(run / "config.yaml"), *args]
    if any(arg in ("-c", "--config") or arg.startswith("--config=") for arg in args):
        found = list(args)
        for i, arg in enumerate(args):
            option, equals, path = arg.partition("=")
            if equals and option == "--config":
                found[i] = f"--config={files.shipped(path)}"
            elif i and args[i - 1] in ("-c", "--config"):
                found[i] = files.shipped(arg)
        return found
    return ["--config", str(CONFIGS / "sine.yaml"), *args]


def take_trusted(args: list[str]) -> list[str]:
    """Take --trust out of the arguments, as no config may hold it; returns the modules."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--trust", action="append", default=[])
    try:
        found, rest = parser.parse_known_args(args)
    except argparse.ArgumentError as error:
        raise ValueError(error) from error
    args[:] = rest
    trusted: list[str] = found.trust
    return trusted


def refuse(error: Exception) -> int:
    """Say in one line what is wrong; returns the exit status."""
    print(f"error: {one_line(str(error))}", file=sys.stderr)  # noqa: T201
    return 2


# What a parser says, and what that means to whoever wrote the config.
REASONS = {
    r"Option ('[^']+') is not accepted": r"it has no argument \1",
    r"following arguments are required: (\w+)": r"its argument \1 is missing",
    r"Expected a tuple with (\d+) elements": r"expected \1 values",
}


def one_line(message: str) -> str:
    """What a parser says over many lines: the key, the value, what was expected."""
    text = " ".join(message.split())
    if denied := re.search(r"Importing '([^']+)' is not allowed", text):
        key = ".".join(re.findall(r'Parser key "([^"]+)":', text[: denied.start()]))
        return (
            f"{key or 'an option'} names {denied[1]}, which is not on the list of what a config "
            "may name: add --trust MODULE to the command where you trust that code"
        )
    text = re.sub(r"- Expected a path but \S+ either not accessible or invalid - ", "", text)
    keys = re.findall(r'Parser key "([^"]+)":', text)
    value = re.search(r"(?:Given|Got) value: (.*?)(?:\. Got value: .*)?$", text)
    expected = re.findall(r"Expected a <class '([^']+)'>|Literal(\[[^]]+\])", text)
    if not keys or not value:
        return re.sub(r'Parser key "([^"]+)":', r"\1:", text)
    kinds = dict.fromkeys(kind.rpartition(".")[2] or choice for kind, choice in expected)
    kinds.pop("NoneType", None)
    wanted = f"expected {' or '.join(kinds)}" if kinds else "nothing of that name can be used there"
    for pattern, reason in REASONS.items():
        if found := re.search(pattern, text):
            wanted = found.expand(reason)
    given = value[1].partition(" Subclass types expect")[0]
    if named := re.search(r"class_path['=: ]+([\w.]+)'", given):
        given = named[1]
    return f"{'.'.join(keys)} cannot be {given}: {wanted}"


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
    parser.add_argument("--trust", action="append", default=[], metavar="MODULE", help=TRUST)
    args = parser.parse_args(argv)
    folder: Path = args.run
    try:
        net = SinRNN.load(folder / "model.safetensors")
        cli = configured(folder, net, args.trust)
        data = cli.datamodule
        data.setup()
        history = History.read(folder / "metrics.csv")
        clip = cli.config.trainer.gradient_clip_val
        results = examine(net, data, predictions(net, data), history, clip)
    except (ValueError, TypeError, OSError) as error:
        return refuse(error)
    print(doctor.letter(doctor.diagnose(results)))  # noqa: T201
    return 0


def configured(folder: Path, net: SinRNN, trusted: Sequence[str] = ()) -> TrainCLI:
    """A finished run's config, with model and data as it says, for the network that it trained.

    Args:
        folder: The run's.
        net: What it trained.
        trusted: Modules that the config may name beside those that are listed.

    Raises:
        FileNotFoundError: The folder has no config.
        ValueError: The config cannot be read, or is not the network's.
    """
    config = folder / "config.yaml"
    if not config.is_file():
        raise FileNotFoundError(f"{config} does not exist")
    quiet()
    try:
        cli = TrainCLI(["--config", str(config)], trusted)
    except ArgumentError as error:
        raise ValueError(f"{config}: {one_line(str(error))}") from error
    data = cli.datamodule
    if (net.window, net.horizon) != (data.window, data.horizon):
        raise ValueError(
            f"{folder}: model.safetensors has window {net.window} and horizon {net.horizon}, "
            f"config.yaml {data.window} and {data.horizon}"
        )
    return cli
