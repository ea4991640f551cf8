"""A config becomes a model, data and a monitor."""

import json
import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from jsonargparse import ArgumentError
from lightning.pytorch import Trainer
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI

from sinrnn._numbers import plain
from sinrnn.callbacks.monitor import Monitor
from sinrnn.config import allowed, files
from sinrnn.config.describe import TRAINER
from sinrnn.config.messages import one_line
from sinrnn.config.unknown import explained
from sinrnn.data.datamodule import WindowDataModule
from sinrnn.run_folder import CONFIG
from sinrnn.training.forecaster import Forecaster

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


class Parser(LightningArgumentParser):
    """A parser for which no value is a file to read another part of the config from."""

    def add_class_arguments(self, *args: Any, **options: Any) -> list[str]:
        """Add them, each to be given as a value."""
        added: list[str] = super().add_class_arguments(*args, **options | {"sub_configs": False})
        return added


class ConfigCLI(LightningCLI):
    """LightningCLI without a trainer: `.model`, `.datamodule`, and `.config`, which has the rest.

    Args:
        args: The arguments: --config FILE, and what takes the place of values in it.
        trusted: Modules that configs may name beside those that are listed.
        parser_class: Of the parser.
        **about: What its help says of the program.

    Raises:
        ArgumentError: An argument is unknown, or a value not what it may be.
        ValueError: As the model and the data.
    """

    def __init__(
        self,
        args: Sequence[str],
        trusted: Sequence[str] = (),
        parser_class: type[LightningArgumentParser] = Parser,
        **about: str,
    ) -> None:
        allowed.restrict(trusted)
        with warnings.catch_warnings():
            # Lightning 2.6.6 uses names that jsonargparse 4.49 renamed.
            warnings.simplefilter("ignore", DeprecationWarning)
            super().__init__(
                Forecaster,
                WindowDataModule,
                args=list(args),
                parser_class=parser_class,
                run=False,
                save_config_callback=None,
                auto_configure_optimizers=False,
                load_from_checkpoint_support=False,
                trainer_defaults=TRAINER,
                parser_kwargs={"exit_on_error": False, "allow_abbrev": False, **about},
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
        try:
            self.config = parser.parse_args(args)
        except ArgumentError as error:
            said = explained(one_line(str(error)), args, parser.get_defaults())
            raise ArgumentError(None, said) from error
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

    def text(self, seed: int | None = None) -> str:
        """The whole config, as the run's folder has it; with another seed if one is given."""
        config = self.config.clone()
        config.resume = None
        config.seed_everything = config.seed_everything if seed is None else seed
        dumped: str = self.parser.dump(config, skip_unset=False)
        return dumped


def parsed_again(folder: Path, trainer: dict[str, Any], trusted: Sequence[str] = ()) -> ConfigCLI:
    """A run's own config, to resume it.

    Args:
        folder: The run's.
        trainer: Arguments of Lightning's Trainer that take the place of those in the config.
        trusted: Modules of the user's own that it may name.

    Raises:
        ValueError: It holds code, or something that cannot be.
    """
    path = str(folder / CONFIG)
    files.check(path)
    text = {n: v if isinstance(v, str) else json.dumps(v) for n, v in plain(trainer).items()}
    given = [f"--trainer.{name}={value}" for name, value in text.items()]
    try:
        return ConfigCLI([*files.resuming(folder), f"--resume={folder}", *given], trusted)
    except ArgumentError as error:
        raise ValueError(f"{path}: {one_line(str(error))}") from error
