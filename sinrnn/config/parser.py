"""The parser that turns a config and command-line arguments into a model, data and a monitor."""

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
from sinrnn.config import allowlist, files
from sinrnn.config.dump import TRAINER_DEFAULTS
from sinrnn.config.messages import one_line
from sinrnn.config.unknown import explained
from sinrnn.data.datamodule import WindowDataModule
from sinrnn.run_folder import CONFIG
from sinrnn.training.forecaster import Forecaster

# Options that belong to none of trainer, model and data.
OPTIONS = {
    "seed_everything": "Seed of the initial weights and of the batch order.",
    "name": "Name of the run, saved in runs/NAME.",
    "threads": "Number of CPU threads. One is fastest up to a few hundred hidden units.",
    "keep": "Weights to save and report: the best on the validation split, or the last.",
    "figures": "Save figures at the end of training.",
    "resume": "Resume the run in this folder.",
}
MAY_BE_NULL = ("trainer", "data.window")

# Limits of values that no constructor checks.
BOUNDS = {
    "seed_everything": (0, 2**32 - 1),  # NumPy's limits
    "threads": (1, 1024),  # a process cannot have millions
    "trainer.accumulate_grad_batches": (1, math.inf),
    "trainer.check_val_every_n_epoch": (1, math.inf),
    "trainer.gradient_clip_val": (-math.inf, math.inf),  # excludes nan
    "trainer.log_every_n_steps": (0, math.inf),
    "trainer.min_epochs": (0, math.inf),
    "trainer.min_steps": (0, math.inf),
    "trainer.num_sanity_val_steps": (-1, math.inf),
}

_parsers: dict[tuple[Any, ...], LightningArgumentParser] = {}  # by what they are built from


class Parser(LightningArgumentParser):
    """A parser that reads no section of the config from another file."""

    def add_class_arguments(self, *args: Any, **options: Any) -> list[str]:
        """Add the arguments of a class, without the option of reading them from a file."""
        added: list[str] = super().add_class_arguments(*args, **options | {"sub_configs": False})
        return added


class ConfigCLI(LightningCLI):
    """LightningCLI without a trainer. It has `.model`, `.datamodule`, and `.config` with the rest.

    Args:
        args: The arguments: --config FILE, and options that replace values in it.
        trusted: Modules that configs may name in addition to the allowlist.
        parser_class: The class of the parser.
        **about: The parser's arguments that describe the program in its help.

    Raises:
        ArgumentError: An argument is unknown, or a value is not of its type.
        ValueError: The model or the data refuse a value.
    """

    def __init__(
        self,
        args: Sequence[str],
        trusted: Sequence[str] = (),
        parser_class: type[LightningArgumentParser] = Parser,
        **about: str,
    ) -> None:
        allowlist.restrict_imports(trusted)
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
                trainer_defaults=TRAINER_DEFAULTS,
                parser_kwargs={"exit_on_error": False, "allow_abbrev": False, **about},
            )

    def setup_parser(
        self, add_subcommands: bool, main_kwargs: dict[str, Any], subparser_kwargs: dict[str, Any]
    ) -> None:
        """Set up the parser, or take the one that this process has: it takes 40 ms to build."""
        key = type(self), self.parser_class, *sorted(main_kwargs.items())
        if key not in _parsers:
            super().setup_parser(add_subcommands, main_kwargs, subparser_kwargs)
            _parsers[key] = self.parser
        self.parser = _parsers[key]

    def add_default_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the options that belong to none of trainer, model and data."""
        kinds: dict[str, tuple[Any, Any]] = {
            "seed_everything": (int, 0),
            "name": (str, "run"),
            "threads": (int, 1),
            "keep": (Literal["best", "last"], "best"),
            "figures": (bool, True),
            "resume": (str, None),
        }
        for name, (kind, default) in kinds.items():
            parser.add_argument(f"--{name}", type=kind, default=default, help=OPTIONS[name])

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the monitor, and use one seed for weights and batches."""
        parser.add_lightning_class_args(Monitor, "monitor")
        parser.link_arguments("seed_everything", "data.seed")

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parse the arguments, and check values that no constructor checks."""
        try:
            self.config = parser.parse_args(args)
        except ArgumentError as error:
            message = explained(one_line(str(error)), args, parser.get_defaults())
            raise ArgumentError(None, message) from error
        allowlist.check_paths(self.config.as_dict().get("trainer"), "trainer")
        for key, value in parser.get_defaults().items():
            # The parser accepts null for any type.
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
        """Return None: the trainer is created once the run has a folder."""
        return None  # type: ignore[return-value]

    def text(self, seed: int | None = None) -> str:
        """Return the complete config as YAML, with another seed if one is given."""
        config = self.config.clone()
        config.resume = None
        config.seed_everything = config.seed_everything if seed is None else seed
        dumped: str = self.parser.dump(config, skip_unset=False)
        return dumped


def parse_run_config(
    folder: Path, trainer: dict[str, Any], trusted: Sequence[str] = ()
) -> ConfigCLI:
    """Parse the config of a run that is resumed.

    Args:
        folder: The run's folder.
        trainer: Arguments of Lightning's Trainer that replace those in the config.
        trusted: Additional modules that the config may name.

    Raises:
        ValueError: The config holds code, or is not valid.
    """
    path = str(folder / CONFIG)
    files.check(path)
    text = {n: v if isinstance(v, str) else json.dumps(v) for n, v in plain(trainer).items()}
    given = [f"--trainer.{name}={value}" for name, value in text.items()]
    try:
        return ConfigCLI([*files.resuming(folder), f"--resume={folder}", *given], trusted)
    except ArgumentError as error:
        raise ValueError(f"{path}: {one_line(str(error))}") from error
