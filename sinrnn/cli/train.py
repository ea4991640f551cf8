"""The command line: a training run, from arguments to an exit status."""

import math
import shlex
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

from sinrnn.callbacks.monitor import Monitor
from sinrnn.cli import messages
from sinrnn.cli.arguments import TRUST, command, configs, take_trusted, with_config
from sinrnn.cli.messages import program, refuse, say
from sinrnn.config import allowed, files
from sinrnn.config.describe import TRAINER
from sinrnn.data.datamodule import WindowDataModule
from sinrnn.filesystem import CONFIGS, refuse_url
from sinrnn.job import Job, prepare
from sinrnn.run_folder import LAST, folder_name
from sinrnn.training.forecaster import Forecaster
from sinrnn.training.quiet import quiet
from sinrnn.training.signals import Interrupted

SHIPPED = (
    "Where you have no file configs/NAME, that name is one that comes with sinrnn: --config "
    f"{', '.join(f'configs/{path.name}' for path in sorted(CONFIGS.glob('*.yaml')))}."
)

USER_ERRORS = (
    ArgumentError,
    ValueError,
    TypeError,
    OSError,
    ImportError,  # an accelerator whose library is missing
    MisconfigurationException,
)

MAY_BE_NULL = ("trainer", "data.window")

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


class Parser(messages.Parser, LightningArgumentParser):
    """A parser for which no value is a file to read another part of the config from."""

    def add_class_arguments(self, *args: Any, **options: Any) -> list[str]:
        """Add them, each to be given as a value."""
        added: list[str] = super().add_class_arguments(*args, **options | {"sub_configs": False})
        return added


class TrainCLI(LightningCLI):
    """LightningCLI with a run folder of its own for each run.

    Args:
        args: The arguments.
        trusted: Modules that configs may name beside those that are listed.
    """

    def __init__(self, args: Sequence[str], trusted: Sequence[str] = ()) -> None:
        self.trusted = trusted
        allowed.restrict(trusted)
        with warnings.catch_warnings():
            # Lightning 2.6.6 uses names that jsonargparse 4.49 renamed.
            warnings.simplefilter("ignore", DeprecationWarning)
            super().__init__(
                Forecaster,
                WindowDataModule,
                args=list(args),
                parser_class=Parser,
                run=False,
                save_config_callback=None,
                auto_configure_optimizers=False,
                load_from_checkpoint_support=False,
                trainer_defaults=TRAINER,
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
            help="Weights to save and report: best on the validation split, or the last.",
        )
        parser.add_argument(
            "--figures", type=bool, default=True, help="Draw figures/ at the end of training."
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
            files.check(path)
        self.config = parser.parse_args(args)
        allowed.check_paths(self.config.as_dict().get("trainer"), "trainer")
        for key, value in parser.get_defaults().items():
            # The parser takes null for any type.
            key = key.removesuffix(".class_path")
            if (
                value is not None
                and not key.startswith(MAY_BE_NULL)
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

    def job(self) -> Job:
        """Check what was asked for, and claim a folder for it.

        Raises:
            ValueError: As `prepare`.
            OSError: As `prepare`.
        """
        config = self.config.clone()
        config.resume = None
        text = self.parser.dump(config, skip_unset=False)
        return prepare(
            self.model,
            self.datamodule,
            lambda folder: text,
            trainer=dict(self.config_init.trainer),
            monitor=self.config_init.monitor,
            parent=Path("runs") / folder_name(config.name),
            resume=Path(self.config.resume) if self.config.resume else None,
            keep=config.keep,
            figures=config.figures,
            command=self.again,
        )

    def again(self, folder: Path) -> str:
        """What to type to go on with the run in a folder."""
        trust = [f"--trust={module}" for module in self.trusted]
        return shlex.join([*command(), "--resume", str(folder), *trust])


@program
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
            refuse_url(arg)
        job = TrainCLI(with_config(args), trusted).job()
    except USER_ERRORS as error:
        unknown = isinstance(error, ArgumentError) and "does not accept option" in str(error)
        if unknown and any(arg.startswith("--resume") for arg in args):
            said = f"the run's config is of another version of sinrnn ({error}): train it again"
            error = ValueError(said)
        return refuse(error)
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "allocate memory" not in str(error):
            raise
        return refuse(MemoryError("not enough memory: lower model.hidden_size or the points"))
    job.trainer.callbacks[:0] = callbacks  # type: ignore[attr-defined]
    return _train(job)


def _train(job: Job) -> int:
    """Train, and say how it ended; returns the exit status."""
    if job.loggers:
        for note in job.data.series.notes:
            say(f"note: {note}")
        if job.model.choice:
            say(f"units: {job.model.choice}")
        say(f"TensorBoard: {job.final_report.tensorboard}")
    try:
        text = job.train()
    except Interrupted as stopped:
        if job.trainer.is_global_zero:
            say(f"\n{stopped}, and saved; go on with: {job.resume}", sys.stderr)
        return 128 + stopped.number
    except FloatingPointError as error:
        last = job.folder / LAST
        kept = f"; the weights before are in {last}" if last.exists() else ""
        return refuse(FloatingPointError(f"{error}{kept}"))
    except (ValueError, OSError, MisconfigurationException) as error:
        return refuse(error)
    except RuntimeError as error:
        if "conditioned on metric" not in str(error):  # EarlyStopping's way to say it
            raise
        return refuse(error)
    finally:
        job.leave()
    if text:
        say(f"\n{text}")
    return 0
