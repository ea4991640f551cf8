"""Training with several seeds in parallel processes, and the results of all of them."""

import base64
import html
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from sinrnn import run_folder
from sinrnn.config.files import NOT_STORED, flatten
from sinrnn.data.series import Series
from sinrnn.evaluation import columns
from sinrnn.evaluation.summary import Summary, statistics_table
from sinrnn.filesystem import PACKAGE, escaped, filled, shown, write
from sinrnn.run import Run

if TYPE_CHECKING:
    from sinrnn.evaluation.picture import Picture

# The worker imports the package of this process, and nothing from the working directory.
WORKER = (
    "import sys; sys.path.append(sys.argv.pop(1)); "
    "from sinrnn.cli.train import main; raise SystemExit(main())"
)
MOST = 2**32  # numpy's seeds are below this
POLL = 0.1  # seconds between two polls of the processes


class Seeds:
    """Runs that differ only in their seed, with a table and a picture of all.

    `fit(model, data, seeds=5)` returns it.

    Args:
        runs: The runs by seed, finished or stopped.
        failed: The error messages of failed runs, by seed.
    """

    def __init__(self, runs: Mapping[int, Run], failed: Mapping[int, str]) -> None:
        self.runs, self.failed = [*runs.values()], dict(failed)
        self.seeds = sorted({*runs, *failed})

    @property
    def finished(self) -> list[Run]:
        """The runs that have finished."""
        return [run for run in self.runs if (run.folder / run_folder.RESULTS).is_file()]

    @property
    def table(self) -> str:
        """Median, minimum and maximum of every result as text, and the unfinished runs."""
        return "\n".join([columns.text(self._rows()), *self._rest()])

    @property
    def figure(self) -> "Picture":
        """The loss curves of all finished runs in one picture.

        Raises:
            ValueError: No run has finished.
        """
        from sinrnn.evaluation import loss_plots  # matplotlib is slow to import

        if not self.finished:
            raise ValueError("no run has finished: there are no loss curves to draw")
        losses = [Summary.read(run.folder / run_folder.RESULTS).half_mse for run in self.finished]
        baselines = {name: row["val"] for name, row in losses[0].items() if name != "network"}
        return loss_plots.seeds([run.history for run in self.finished], baselines)

    def _rows(self) -> list[list[str]]:
        found = [Summary.read(run.folder / run_folder.RESULTS) for run in self.finished]
        ended = "" if len(found) == len(self.seeds) else f"{len(found)} of "
        head = f"{ended}{len(self.seeds)} seeds, {self.seeds[0]} to {self.seeds[-1]}"
        return statistics_table(head, found)

    def _rest(self) -> list[str]:
        stopped = [run for run in self.runs if run not in self.finished]
        lines = [f"seed {seed} failed: {error}" for seed, error in self.failed.items()]
        lines += [f"stopped and saved: {run.folder}: resume it separately" for run in stopped]
        return [filled(escaped(line)) for line in (["", *lines] if lines else [])]

    def __repr__(self) -> str:
        return self.table

    def _repr_html_(self) -> str:
        from sinrnn.evaluation.picture import png  # matplotlib is slow to import

        rest = "<br>".join(map(html.escape, self._rest()))
        text = f"{columns.as_html(self._rows())}{rest}"
        if not self.finished:
            return text
        picture = base64.b64encode(png(self.figure)).decode()
        return f'{text}<img src="data:image/png;base64,{picture}" alt="loss curves">'


def train_seeds(
    config: Callable[[Path, int], str],
    parent: Path,
    first: int,
    count: int,
    series: Series,
    *,
    threads: int = 1,
    trusted: Sequence[str] = (),
    figures: bool = True,
    progress: bool = True,
) -> Seeds:
    """Train with each seed in its own process and version folder.

    Ctrl-C stops and saves all of them.

    Args:
        config: Returns the configuration of a run as YAML text, from its folder and seed.
        parent: The folder of the version folders.
        first: The first seed.
        count: Number of seeds.
        series: The series to train on.
        threads: CPU threads of each process; the processes together use all cores.
        trusted: Modules of the user that the config may name.
        figures: Whether to draw the loss curves of all runs, in the first run's folder.
        progress: Whether to show a progress bar.

    Raises:
        ValueError: The seeds are out of range; the config holds code; the series cannot be read; or
            no run started, with the first run's message.
        OSError: The series' file does not exist.
    """
    from sinrnn.job import store  # Lightning is slow to import

    if count < 1 or not 0 <= first <= MOST - count:
        raise ValueError(
            f"seeds must be at least 1, and a seed below 2**32, got {count} from {first}"
        )
    _refuse_code(config(parent, first))
    for note in series.notes:  # the output of the processes is not shown
        print(filled(shown(f"note: {note}")))  # noqa: T201
    folders = {}
    for seed in range(first, first + count):
        folders[seed] = folder = run_folder.claim_folder(parent)
        store(folder, config(folder, seed), series)
    failed = _processes(folders, max(1, _cores() // threads), trusted, progress)
    for seed in failed:
        left = [folders[seed] / name for name in (run_folder.METRICS, run_folder.LAST)]
        if not any(path.exists() for path in left):  # it never started
            run_folder.clear(folders[seed], -1)
            run_folder.remove_empty(folders[seed])
            del folders[seed]
    if not folders:
        raise ValueError(failed[first])
    found = Seeds({seed: Run(folder, trust=trusted) for seed, folder in folders.items()}, failed)
    if figures and found.finished:
        from sinrnn.evaluation.picture import png  # matplotlib is slow to import

        path = found.finished[0].folder / run_folder.SEEDS
        path.parent.mkdir(exist_ok=True)
        write(path, png(found.figure))
    return found


def _refuse_code(config: str) -> None:
    """Raise a ValueError if a config stands for code, which other processes do not have."""
    for _, value in flatten(yaml.safe_load(config)):
        if code := re.search(rf"{NOT_STORED}([^']+)", f"{value}"):
            raise ValueError(
                "each seed is trained by a process from a config, which cannot hold code "
                f"({code[1]}): train with one seed at a time"
            )


def _cores() -> int:
    """Return the number of cores that this process may use."""
    known = hasattr(os, "sched_getaffinity")
    return len(os.sched_getaffinity(0)) if known else os.cpu_count() or 1


def _processes(
    folders: Mapping[int, Path], at_once: int, trusted: Sequence[str], progress: bool
) -> dict[int, str]:
    """Train in all folders; return the error messages by seed."""
    from tqdm.auto import tqdm

    from sinrnn.training.signals import Signals

    waiting, failed, asked = [*folders], dict[int, str](), False
    running: dict[int, Worker] = {}
    bar = tqdm(
        total=len(folders),
        desc="seeds",
        unit="run",
        disable=not progress,
        file=sys.stdout,
        mininterval=0.1 if sys.stdout.isatty() else 10,  # seconds; a log keeps every line
    )
    with bar, Signals("stopped at once") as signals:
        try:
            while running or (waiting and not signals.number):
                if signals.number and not asked:
                    asked = True
                    for worker in running.values():
                        worker.process.send_signal(signal.SIGINT)
                while waiting and len(running) < at_once and not signals.number:
                    seed = waiting.pop(0)
                    running[seed] = Worker(folders[seed], trusted)
                time.sleep(POLL)
                for seed in [seed for seed, worker in running.items() if worker.has_ended()]:
                    error = running.pop(seed).failure()
                    failed |= {seed: error} if error else {}
                    bar.update()
        finally:
            for worker in running.values():  # left by an error in this process
                worker.process.terminate()
    return failed


class Worker:
    """A process that trains in a run's folder with `--resume`.

    It has its own session, so that Ctrl-C does not reach it: `_processes` sends it one SIGINT.

    Args:
        folder: The run's folder.
        trusted: Modules of the user that the config may name.
    """

    def __init__(self, folder: Path, trusted: Sequence[str]) -> None:
        self.stderr = tempfile.TemporaryFile()  # closed by `failure`
        trust = [f"--trust={module}" for module in trusted]
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-c", WORKER, str(PACKAGE.parent), "--resume", folder, *trust],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self.stderr,
            start_new_session=True,
        )

    def has_ended(self) -> bool:
        """Return whether the process has ended."""
        return self.process.poll() is not None

    def failure(self) -> str:
        """Return the last line of its stderr if it failed, else ""."""
        status = self.process.returncode
        self.stderr.seek(0)
        lines = self.stderr.read().decode(errors="replace").split("\n")
        self.stderr.close()
        if status in (0, -signal.SIGINT, 128 + signal.SIGINT):
            return ""
        last = next((line for line in reversed(lines) if line.strip()), "")
        return last.removeprefix("error: ") or f"its process ended with status {status}"
