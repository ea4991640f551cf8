"""The command line: a training run, from arguments to an exit status."""

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
    """Prints what a terminal may have."""


class TrainCLI(parser.ConfigCLI):
    """A training run, as the arguments say.

    Args:
        args: The arguments.
        trusted: Modules that configs may name beside those that are listed.
        section: Whose help is shown in place of training, see `sinrnn.cli.help`; None trains.
    """

    def __init__(
        self, args: Sequence[str], trusted: Sequence[str] = (), section: str | None = None
    ) -> None:
        self.trusted, self.section = trusted, section
        super().__init__(
            args,
            trusted,
            Parser,
            prog=shlex.join(command()),
        )

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Look at the files before the parser does."""
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
        """Check what was asked for, and claim a folder for it.

        Raises:
            ValueError: As `prepare`.
            OSError: As `prepare`.
        """
        return prepare_parsed(self, self.again)

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
        section = take_section(args)
        seeds = take_seeds(args)
        parsed = TrainCLI(with_config(args), trusted, section)
        if seeds is not None:
            return _train_seeds(parsed, seeds)
        job = parsed.job()
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


def _train_seeds(parsed: TrainCLI, count: int) -> int:
    """Train with several seeds, and say what came out; returns the exit status."""
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
    """Train, and say how it ended; returns the exit status."""
    if job.loggers:
        for note in job.notes:
            say(filled(note))
        say(f"TensorBoard: {job.final_report.tensorboard}")
    if job.finished:
        say("note: the run has ended; it goes on with more epochs: --trainer.max_epochs N")
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
        if "conditioned on metric" not in str(error):  # EarlyStopping's way to say it
            raise
        return refuse(error)
    finally:
        job.leave()
    return 0
