"""The training program: it trains with a config and prints the result."""

import shlex
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentError
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback
from lightning.pytorch.cli import LightningArgumentParser

from sinrnn.cli import messages
from sinrnn.cli.arguments import (
    command,
    configs,
    take_section,
    take_seeds,
    take_trusted,
    usage_name,
    with_config,
)
from sinrnn.cli.messages import program, refuse, say
from sinrnn.config import files, parser
from sinrnn.filesystem import CONFIGS, filled, refuse_url
from sinrnn.job import Job, prepare_parsed
from sinrnn.run_folder import LAST, folder_name
from sinrnn.seeds import train_seeds
from sinrnn.training.quiet import quiet
from sinrnn.training.signals import Interrupted

USER_ERRORS = (
    ArgumentError,
    ValueError,
    TypeError,
    OSError,
    ImportError,  # an accelerator whose library is missing
    MisconfigurationException,
)


class Parser(messages.Printed, parser.Parser):
    """The parser of configs, printing with `say`."""


class TrainCLI(parser.ConfigCLI):
    """A training run from command line arguments.

    Args:
        args: The arguments.
        trusted: Further modules that configs may name.
        section: The section whose help is printed, see `sinrnn.cli.help`; None trains.
    """

    def __init__(
        self, args: Sequence[str], trusted: Sequence[str] = (), section: str | None = None
    ) -> None:
        self.trusted, self.section = trusted, section
        super().__init__(
            args,
            trusted,
            Parser,
            prog=usage_name(),
        )

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Check the config files, parse the arguments, and print help if asked for."""
        for path in configs(args):
            files.check(path)
        super().parse_arguments(parser, args)
        if self.section is not None:
            from sinrnn.cli import help

            paths = [Path(f"{path}") for path in self.config.get("config") or []]
            ours = [f"configs/{p.name}" if p.parent == CONFIGS else f"{p}" for p in paths]
            say(help.text(self.config.as_dict(), " and ".join(ours), self.section))
            raise SystemExit(0)

    def job(self) -> Job:
        """Check the configuration and claim a folder for the run.

        Raises:
            ValueError: As for `prepare`.
            OSError: As for `prepare`.
        """
        return prepare_parsed(self, self.again)

    def again(self, folder: Path) -> str:
        """Return the command that resumes the run in a folder."""
        trust = [f"--trust={module}" for module in self.trusted]
        return shlex.join([*command(), "--resume", str(folder), *trust])


@program
def main(argv: Sequence[str] | None = None, callbacks: Sequence[Callback] = ()) -> int:
    """Train, print the result and return the exit status.

    Args:
        argv: The arguments; None takes those of the process.
        callbacks: Callbacks to call before all others.
    """
    args = list(sys.argv[1:] if argv is None else argv)
    quiet()
    try:
        trusted = take_trusted(args)
        for arg in args:
            refuse_url(arg)
        section = take_section(args)
        seeds = take_seeds(args)
        parsed = TrainCLI(with_config(args), trusted, section)
        if seeds is not None:
            return _train_seeds(parsed, seeds)
        job = parsed.job()
    except USER_ERRORS as error:
        unknown = isinstance(error, ArgumentError) and "does not accept option" in str(error)
        if unknown and any(arg.startswith("--resume") for arg in args):
            version = f"the run's config is of another version of sinrnn ({error}): train it again"
            error = ValueError(version)
        return refuse(error)
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "allocate memory" not in str(error):
            raise
        return refuse(MemoryError("not enough memory: lower model.hidden_size or the points"))
    job.trainer.callbacks[:0] = callbacks  # type: ignore[attr-defined]
    return _train(job)


def _train_seeds(parsed: TrainCLI, count: int) -> int:
    """Train with several seeds, print the table and return the exit status."""
    config = parsed.config
    parent = Path("runs") / folder_name(config.name)
    say(f"TensorBoard: tensorboard --logdir {parent}")
    found = train_seeds(
        lambda folder, seed: parsed.text(seed),
        parent,
        config.seed_everything,
        count,
        parsed.datamodule.series,
        threads=config.threads,
        trusted=parsed.trusted,
        figures=config.figures,
        progress=config.trainer.enable_progress_bar is not False,
    )
    say(f"\n{found}")
    if len(found.finished) == count:
        return 0
    return 1 if found.failed else 128 + signal.SIGINT


def _train(job: Job) -> int:
    """Train, print the result or the error, and return the exit status."""
    if job.loggers:
        for note in job.notes:
            say(filled(note))
        say(f"TensorBoard: {job.final_report.tensorboard}")
    if job.finished:
        say("note: the run is finished; to continue it, raise --trainer.max_epochs")
    try:
        job.train(lambda text: say(f"\n{text}"))
    except Interrupted as stopped:
        if job.trainer.is_global_zero:
            say(f"\n{stopped}, and saved; resume with: {job.resume}", sys.stderr)
        return 128 + stopped.number
    except FloatingPointError as error:
        last = job.folder / LAST
        kept = f"; the weights before are in {last}" if last.exists() else ""
        return refuse(FloatingPointError(f"{error}{kept}"))
    except (ValueError, OSError, MisconfigurationException) as error:
        return refuse(error)
    except RuntimeError as error:
        if "conditioned on metric" not in str(error):  # raised by EarlyStopping
            raise
        return refuse(error)
    finally:
        job.leave()
    return 0
