"""One training with several seeds: side by side in processes, and what they are worth together."""

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
from sinrnn.evaluation.summary import Summary, together
from sinrnn.filesystem import PACKAGE, escaped, filled, shown, write
from sinrnn.run import Run

if TYPE_CHECKING:
    from sinrnn.evaluation.picture import Picture

# The package is found where it is here, and nothing else in the folder one is in.
WORKER = (
    "import sys; sys.path.append(sys.argv.pop(1)); "
    "from sinrnn.cli.train import main; raise SystemExit(main())"
)
MOST = 2**32  # as numpy takes seeds
LOOK = 0.1  # seconds between two looks at the processes: nothing beside the seconds of training


class Seeds:
    """Runs that differ in their seed alone: their figures together, and their loss curves.

    Shows itself in a notebook; made by `fit(model, data, seeds=5)`.

    Args:
        runs: The runs by seed, finished or stopped.
        failed: What went wrong, by seed, where something did.
    """

    def __init__(self, runs: Mapping[int, Run], failed: Mapping[int, str]) -> None:
        self.runs, self.failed = [*runs.values()], dict(failed)
        self.seeds = sorted({*runs, *failed})

    @property
    def finished(self) -> list[Run]:
        """Those of the runs that have ended."""
        return [run for run in self.runs if (run.folder / run_folder.RESULTS).is_file()]

    @property
    def table(self) -> str:
        """Median, least and largest of every figure, as text; and what did not end."""
        return "\n".join([columns.text(self._rows()), *self._rest()])

    @property
    def figure(self) -> "Picture":
        """The loss curves of all runs that have ended, in one picture.

        Raises:
            ValueError: None has.
        """
        from sinrnn.evaluation import loss_plots  # matplotlib is slow to import

        if not self.finished:
            raise ValueError("no run has ended, so that there is no picture of them")
        losses = [Summary.read(run.folder / run_folder.RESULTS).half_mse for run in self.finished]
        beside = {name: row["val"] for name, row in losses[0].items() if name != "network"}
        return loss_plots.seeds([run.history for run in self.finished], beside)

    def _rows(self) -> list[list[str]]:
        found = [Summary.read(run.folder / run_folder.RESULTS) for run in self.finished]
        ended = "" if len(found) == len(self.seeds) else f"{len(found)} of "
        head = f"{ended}{len(self.seeds)} seeds, {self.seeds[0]} to {self.seeds[-1]}"
        return together(head, found)

    def _rest(self) -> list[str]:
        stopped = [run for run in self.runs if run not in self.finished]
        lines = [f"seed {seed} failed: {said}" for seed, said in self.failed.items()]
        lines += [f"stopped, and saved: {run.folder}: resume it by itself" for run in stopped]
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
    """Train with each seed, in a process and a version folder of its own.

    After Ctrl-C all are stopped and saved.

    Args:
        config: Gives the whole configuration of the run in a folder with a seed, as YAML text.
        parent: Where the runs' folders are made.
        first: The first seed.
        count: How many there are.
        series: What is learnt from.
        threads: CPU threads of each process; as many processes run at once as there are cores.
        trusted: Modules of the user's own that the config may name.
        figures: Whether a picture of all loss curves is drawn, in the first run's folder.
        progress: Whether a line shows how many are done.

    Raises:
        ValueError: There can be no such seeds; the config holds code; the series cannot be read; or
            no run began, for what the first of them said.
        OSError: There is no file of the series.
    """
    from sinrnn.job import store  # Lightning is slow to import

    if count < 1 or not 0 <= first <= MOST - count:
        raise ValueError(
            f"seeds must be at least 1, and a seed below 2**32, got {count} from {first}"
        )
    _refuse_code(config(parent, first))
    for note in series.notes:  # what the processes say is not shown
        print(filled(shown(f"note: {note}")))  # noqa: T201
    folders = {}
    for seed in range(first, first + count):
        folders[seed] = folder = run_folder.claim_folder(parent)
        store(folder, config(folder, seed), series)
    failed = _processes(folders, max(1, _cores() // threads), trusted, progress)
    for seed in failed:
        left = [folders[seed] / name for name in (run_folder.METRICS, run_folder.LAST)]
        if not any(path.exists() for path in left):  # it never began
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
    """Raise where a config holds notes in place of code, which no other process can have."""
    for _, value in flatten(yaml.safe_load(config)):
        if code := re.search(rf"{NOT_STORED}([^']+)", f"{value}"):
            raise ValueError(
                f"seeds train in processes of their own, from a config, which cannot hold code "
                f"({code[1]}): train with one seed at a time"
            )


def _cores() -> int:
    """Those that this process may use."""
    known = hasattr(os, "sched_getaffinity")
    return len(os.sched_getaffinity(0)) if known else os.cpu_count() or 1


def _processes(
    folders: Mapping[int, Path], at_once: int, trusted: Sequence[str], progress: bool
) -> dict[int, str]:
    """Train in all folders; returns what went wrong, by seed."""
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
                time.sleep(LOOK)
                for seed in [seed for seed, worker in running.items() if worker.has_ended()]:
                    said = running.pop(seed).failure()
                    failed |= {seed: said} if said else {}
                    bar.update()
        finally:
            for worker in running.values():  # of an error in this process
                worker.process.terminate()
    return failed


class Worker:
    """A process that trains in a run's folder, as `--resume` does.

    Ctrl-C does not reach it: the process that started it passes the first one on, once.

    Args:
        folder: The run's.
        trusted: Modules of the user's own that the config may name.
    """

    def __init__(self, folder: Path, trusted: Sequence[str]) -> None:
        self.said = tempfile.TemporaryFile()  # which `failure` closes
        trust = [f"--trust={module}" for module in trusted]
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-c", WORKER, str(PACKAGE.parent), "--resume", folder, *trust],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self.said,
            start_new_session=True,
        )

    def has_ended(self) -> bool:
        """Whether it has."""
        return self.process.poll() is not None

    def failure(self) -> str:
        """What it said last where something went wrong, or nothing."""
        status = self.process.returncode
        self.said.seek(0)
        lines = self.said.read().decode(errors="replace").split("\n")
        self.said.close()
        if status in (0, -signal.SIGINT, 128 + signal.SIGINT):
            return ""
        said = next((line for line in reversed(lines) if line.strip()), "")
        return said.removeprefix("error: ") or f"its process ended with status {status}"
