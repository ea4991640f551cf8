"""Interrupt training many times and check that the results are bit-identical.

python scripts/chaos.py                        25 runs, all fixed plans, 200 killed saves
python scripts/chaos.py --runs 2 --saves 10    a short form
"""

import argparse
import contextlib
import csv
import io
import logging
import os
import random
import re
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from matplotlib.figure import Figure
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.optim import Adam

from sinrnn import Forecaster, Predictor, Run, Sine, WindowDataModule, fit
from sinrnn.callbacks import final_report
from sinrnn.cli.forecast import main as forecast
from sinrnn.cli.train import main as train
from sinrnn.filesystem import write
from sinrnn.training import checkpoint_io

if not hasattr(os, "fork"):
    raise SystemExit("error: chaos.py kills processes that it forks; this system has no os.fork")

KILL, TERM, INT = signal.SIGKILL, signal.SIGTERM, signal.SIGINT
PNG_END = b"IEND\xaeB`\x82"
SMALL = ["--data.series.points", "200", "--data.series.noise", "0.1", "--data.window", "6"]
SMALL += ["--trainer.enable_progress_bar", "false", "--model.hidden_size", "8"]
ADAM = ["--model.optimizer", "torch.optim.Adam", "--model.optimizer.lr", "0.01"]
ADAM += ["--model.readout_epoch", "null"]
# Ways to train, each with its own state that a checkpoint must contain.
KINDS = {
    "noise, clipping, schedule": [
        *ADAM,
        *["--data.batch_size", "16", "--model.input_noise", "0.1", "--model.loss", "every"],
        *["--trainer.gradient_clip_val", "0.1", "--trainer.max_epochs", "60"],
        *["--model.scheduler", "torch.optim.lr_scheduler.StepLR"],
        *["--model.scheduler.step_size", "7"],
    ],
    "carried state": [
        *ADAM,
        *["--data.num_streams", "2", "--model.stateful", "true", "--trainer.max_epochs", "60"],
    ],
    "L-BFGS and readout": ["--trainer.max_epochs", "12", "--model.readout_epoch", "5"],
    "window by window": [
        *["--model.optimizer", "torch.optim.SGD", "--model.optimizer.lr", "0.01"],
        *["--model.updates", "window", "--model.readout_epoch", "null"],
        *["--data.batch_size", "40", "--trainer.max_epochs", "40"],
    ],
    "closed loop, rare validation": [
        *ADAM,
        *["--data.batch_size", "32", "--data.steps", "10"],
        *["--trainer.max_epochs", "40", "--trainer.check_val_every_n_epoch", "3"],
    ],
    "carried state, saved each step": [
        *ADAM,
        *["--data.num_streams", "2", "--model.stateful", "true", "--trainer.max_epochs", "20"],
        *["--trainer.callbacks", "ModelCheckpoint"],
        *["--trainer.callbacks.every_n_train_steps", "1"],
    ],
    "validation every second epoch": [
        *ADAM,
        *["--data.batch_size", "16", "--trainer.check_val_every_n_epoch", "2"],
        *["--trainer.callbacks", "ModelCheckpoint", "--trainer.max_epochs", "40"],
        *["--trainer.callbacks.monitor", "half_mse/val"],
    ],
}


@dataclass
class At(pl.Callback):
    """A callback that sends this process a signal in the hook `name` if `when` returns true."""

    name: str
    when: Callable[[pl.Trainer], bool]
    number: int
    pipe: int = -1
    tells: str = "on_train_start"

    def __getattribute__(self, name: str) -> Any:
        if name == object.__getattribute__(self, "name"):
            return object.__getattribute__(self, "_fire")
        own = object.__getattribute__(self, "__dict__")
        if own["pipe"] >= 0 and name == own["tells"]:
            return object.__getattribute__(self, "_tell")
        return object.__getattribute__(self, name)

    def _tell(self, *args: Any, **kwargs: Any) -> None:
        os.write(self.pipe, b"!")

    def _fire(self, trainer: pl.Trainer, *args: Any, **kwargs: Any) -> None:
        if self.when(trainer):
            os.kill(os.getpid(), self.number)


def never(trainer: pl.Trainer) -> bool:
    """Return False, for a process that is not interrupted, or interrupted from outside."""
    return False


def batch(wanted: int) -> Callable[[pl.Trainer], bool]:
    """Return a test for a batch of the second epoch, counted from its end if negative."""

    def here(trainer: pl.Trainer) -> bool:
        index = wanted % int(trainer.num_training_batches)
        return trainer.current_epoch == 1 and trainer.fit_loop.epoch_loop.batch_idx == index

    return here


def second(trainer: pl.Trainer) -> bool:
    """Return whether it is the second epoch."""
    return trainer.current_epoch == 1


SHORT = ["--trainer.max_epochs", "6"]  # the plans end in the third epoch
PLANS = {
    "at step 1": ("on_train_batch_end", lambda t: t.global_step == 1),
    "last batch but one": ("on_train_batch_end", batch(-2)),
    "last batch": ("on_train_batch_end", batch(-1)),
    "first of the next epoch": ("on_train_batch_start", batch(0)),
    "during validation": ("on_validation_batch_start", lambda t: t.current_epoch > 0),
    "at an epoch's end": ("on_train_epoch_end", second),
}


def process(folder: Path, main: Callable[[], int]) -> int:
    """Call `main` in a process forked from this one, which has imported everything."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        os.chdir(folder)
        log = os.open("log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
        code = main()
        sys.stdout.flush()
    finally:
        os._exit(code)


def training(folder: Path, args: list[str], at: At) -> int:
    """Train in another process."""
    return process(folder, lambda: train(args, [at]))


def from_python(folder: Path) -> int:
    """Train in another process as a notebook does: first with fit, later with resume."""

    def main() -> int:
        run = Path("runs/sine/version_0")
        if (run / "config.yaml").exists():
            Run(run).resume(enable_progress_bar=False)
            return 0
        model = Forecaster(hidden_size=8, input_noise=0.1, optimizer=partial(Adam, lr=0.01))
        data = WindowDataModule(Sine(points=200, noise=0.1).values(), window=6, batch_size=16)
        fit(model, data, name="sine", seed=0, max_epochs=60, enable_progress_bar=False)
        return 0

    return process(folder, main)


def forecasting(folder: Path, steps: int) -> int:
    """Forecast in another process."""
    return process(folder, lambda: forecast(["runs/sine/version_0", "--steps", f"{steps}"]))


def warm_up(folder: Path) -> None:
    """Train in this process, so that those forked from it find all of it imported and cached."""
    with contextlib.chdir(folder), contextlib.redirect_stdout(io.StringIO()):
        train([*SMALL, *ADAM, "--trainer.max_epochs", "1"])


def ended(pid: int) -> int:
    """Wait for a process and return its exit status, negative if a signal killed it."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def undisturbed(folder: Path, args: list[str]) -> float:
    """Train without interruption and return the seconds of training."""
    code = ended(training(folder, args, At("", never, 0)))
    log = (folder / "log.txt").read_text()
    assert code == 0, log
    return float(re.findall(r"^training +(\S+) s$", log, re.MULTILINE)[0])


def arguments(folder: Path, fresh: list[str]) -> list[str]:
    """Return the arguments of a new run, or those that resume it if it exists."""
    run = folder / "runs" / "sine" / "version_0"
    return ["--resume", str(run)] if (run / "config.yaml").exists() else fresh


def disturbed(
    folder: Path, args: list[str], seconds: float, times: int, dice: random.Random
) -> str:
    """Train, interrupted at random times by random signals; return these and the statuses."""
    statuses = []
    for _ in range(times):
        number = dice.choice([KILL, TERM, INT])
        pid = started_up(folder, args, "on_train_start")
        time.sleep(dice.uniform(0, seconds / times))
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        code = ended(pid)
        statuses.append(f"{number.name[3:]}:{code}")
        assert code in (0, -number, 128 + number), (folder / "log.txt").read_text()
    finish(folder)
    return " ".join(statuses)


def killed_from_python(home: Path, times: int, dice: random.Random) -> str:
    """Kill and resume `fit` repeatedly, and run it undisturbed; return the statuses."""
    alone, folder = home / "alone", home / "killed"
    for each in (alone, folder):
        each.mkdir(parents=True)
    started, statuses = time.monotonic(), []
    assert ended(from_python(alone)) == 0, (alone / "log.txt").read_text()
    seconds = time.monotonic() - started
    for _ in range(times):
        pid = from_python(folder)
        while not (folder / "runs" / "sine" / "version_0" / "config.yaml").exists():
            time.sleep(0.01)
        statuses.append(kill(pid, dice.uniform(0, 1.5 * seconds / times)))
    assert ended(from_python(folder)) == 0, (folder / "log.txt").read_text()
    return " ".join(statuses)


def started_up(folder: Path, args: list[str], hook: str) -> int:
    """Train or resume; return the process when it reaches the hook, or has ended."""
    reader, writer = os.pipe()
    pid = training(folder, arguments(folder, args), At("", never, 0, writer, hook))
    os.close(writer)
    os.read(reader, 1)
    os.close(reader)
    return pid


def finish(folder: Path) -> None:
    """Resume to the end."""
    code = ended(training(folder, arguments(folder, []), At("", never, 0)))
    assert code == 0, (folder / "log.txt").read_text()


def kill(pid: int, after: float) -> str:
    """Kill a process after this many seconds and return its status."""
    time.sleep(after)
    os.kill(pid, KILL)  # a process that has ended waits for `ended`
    return f"KILL:{ended(pid)}"


def killed_at_the_end(
    folder: Path, args: list[str], times: int, dice: random.Random
) -> tuple[int, str]:
    """Kill while model, report and figures are written; return how often one was torn."""
    pid, started = started_up(folder, args, "on_fit_end"), time.monotonic()
    assert ended(pid) == 0
    seconds, torn, statuses = time.monotonic() - started, 0, []
    for _ in range(times):
        statuses.append(kill(started_up(folder, args, "on_fit_end"), dice.uniform(0, seconds)))
        torn += not all_whole(folder / "runs" / "sine" / "version_0")
    finish(folder)
    return torn, " ".join(statuses)


def all_whole(run: Path) -> bool:
    """Return whether model, report and figures of a run are whole."""
    Predictor.load(run / "model.safetensors")
    report = (run / "report.md").read_text().endswith(("```\n", ".png)\n"))
    return report and all(path.read_bytes().endswith(PNG_END) for path in run.rglob("*.png"))


def killed_at_the_start(folder: Path, args: list[str], times: int, dice: random.Random) -> str:
    """Kill repeatedly before a resumed run starts to train."""
    started = time.monotonic()
    pid = started_up(folder, args, "on_train_start")
    seconds = time.monotonic() - started
    statuses = [kill(pid, 0)]
    for _ in range(times):
        pid = training(folder, arguments(folder, args), At("", never, 0))
        statuses.append(kill(pid, dice.uniform(0, seconds)))
    finish(folder)
    return " ".join(statuses)


def killed_forecasts(folder: Path, times: int, dice: random.Random) -> int:
    """Kill while a forecast is written; return how often a file was neither old nor new."""
    run, known, torn = folder / "runs" / "sine" / "version_0", set(), 0
    files = [run / "forecast.csv", run / "forecast.png"]
    for steps in (9, 5):
        started = time.monotonic()
        assert ended(forecasting(folder, steps)) == 0, (folder / "log.txt").read_text()
        seconds = time.monotonic() - started
        known |= {path.read_bytes() for path in files}
    for _ in range(times):
        kill(forecasting(folder, dice.choice([5, 9])), dice.uniform(0, seconds))
        torn += not {path.read_bytes() for path in files} <= known
    assert ended(forecasting(folder, 5)) == 0
    assert len(known) == 4
    assert not list(run.rglob("*.part"))
    return torn


def outcome(folder: Path) -> dict[str, Any]:
    """Return all that must be identical: weights, optimizer state, curves."""
    run = folder / "runs" / "sine" / "version_0"
    found: dict[str, Any] = {}
    for name in ("best", "last"):
        content = checkpoint_io.read(run / "checkpoints" / f"{name}.ckpt")
        content.pop("config")  # the number of the folder may differ
        found |= {f"{name}/{key}": content[key] for key in ("state_dict", "optimizer_states")}
        found[f"{name}/steps"] = content["global_step"], content["epoch"], content["lr_schedulers"]
        found[f"{name}/loops"] = content["loops"]["fit_loop"]["epoch_loop.state_dict"]
    found["model"] = dict(Predictor.load(run / "model.safetensors").state_dict())
    with (run / "metrics.csv").open() as file:
        found["metrics.csv"] = list(csv.DictReader(file))
    events = EventAccumulator(str(run), size_guidance={"scalars": 0}).Reload()
    for tag in (
        "half_mse/train",
        "half_mse/val",
        "optimizer/gradient_norm",
        "optimizer/learning_rate",
    ):
        found[tag] = [(event.step, event.value) for event in events.Scalars(tag)]
    return found


def equal(one: Any, two: Any) -> bool:
    """Return whether two outcomes are bit-identical."""
    if isinstance(one, torch.Tensor):
        return isinstance(two, torch.Tensor) and torch.equal(one, two)
    if isinstance(one, dict):
        return one.keys() == two.keys() and all(equal(one[key], two[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(two) and all(map(equal, one, two))
    return bool(one == two)


def differences(one: dict[str, Any], two: dict[str, Any]) -> list[str]:
    """Return the names of all that differs."""
    return [key for key in one if not equal(one[key], two[key])]


def torn(folder: Path, times: int, dice: random.Random) -> int:
    """Kill a process that saves repeatedly; return how often the file was torn."""
    path, count = folder / "a.ckpt", 0
    state = {"state_dict": {"Whh": torch.randn(200, 200)}, "step": 0}
    write(path, checkpoint_io.pack(state))
    for _ in range(times):
        pid = os.fork()
        if not pid:
            step = 0
            while True:
                step += 1
                write(path, checkpoint_io.pack(state | {"step": step}))
        time.sleep(dice.uniform(0.001, 0.03))
        os.kill(pid, KILL)
        ended(pid)
        try:
            checkpoint_io.read(path)
        except ValueError:
            count += 1
    return count


def main() -> int:
    """Run all interruptions, print the results and return the exit status."""
    parser = argparse.ArgumentParser(
        allow_abbrev=False, description=__doc__.splitlines()[0] if __doc__ else None
    )
    parser.add_argument(
        "--runs", type=int, default=25, help="Number of runs with random interruptions."
    )
    parser.add_argument("--times", type=int, default=4, help="Number of interruptions of each run.")
    parser.add_argument("--saves", type=int, default=200, help="Number of killed saves.")
    parser.add_argument(
        "--kinds", type=int, default=len(KINDS), help="Number of ways to train, at most 7."
    )
    parser.add_argument("--seed", type=int, default=0, help="Seed of the interruptions.")
    options = parser.parse_args()
    logging.getLogger("tensorboard").setLevel(logging.ERROR)  # it logs every restart
    # Figures take most of the time and have no effect on the bits, so two small ones are drawn.
    small = {"a": lambda: Figure((1, 1)), "b": lambda: Figure((1, 2))}
    final_report.pictures = lambda *args: small  # type: ignore[attr-defined]
    dice, failed, done, bad, killed = random.Random(options.seed), 0, 0, 0, 0
    kinds = dict(list(KINDS.items())[: options.kinds])
    with tempfile.TemporaryDirectory() as home:
        os.environ["TMPDIR"] = "/dev/shm" if Path("/dev/shm").is_dir() else home
        warm_up(Path(home))
        seconds, wanted = {}, {}
        total = len(kinds) * len(PLANS) + 2 * len(list(kinds)[:2]) + options.runs + 1
        started = time.monotonic()

        def judge(what: str, wanted: dict[str, Any], folder: Path) -> None:
            nonlocal failed, done
            wrong = differences(wanted, outcome(folder))
            failed, done = failed + bool(wrong), done + 1
            print(f"{what}: {'differs in ' + ', '.join(wrong) if wrong else 'equal'}", flush=True)
            left = (time.monotonic() - started) / done * (total - done)
            print(f"{done} of {total}, about {left:.0f} s left", file=sys.stderr)

        for name, args in kinds.items():
            folder, fresh = Path(home) / f"{name}, short", [*SMALL, *args, *SHORT]
            folder.mkdir()
            undisturbed(folder, fresh)
            short = outcome(folder)
            for plan, (hook, when) in PLANS.items():
                folder = Path(home) / f"{name}, {plan}"
                folder.mkdir()
                statuses = []
                for number in (KILL, TERM, INT):
                    pid = training(folder, arguments(folder, fresh), At(hook, when, number))
                    statuses.append(f"{number.name[3:]}:{ended(pid)}")
                finish(folder)
                judge(f"{name}, {plan} ({' '.join(statuses)})", short, folder)
            if name not in list(kinds)[:2]:
                continue  # the rest does not depend on the way to train
            folder = Path(home) / f"{name}, end"
            folder.mkdir()
            found, which = killed_at_the_end(folder, fresh, options.times, dice)
            judge(f"{name}, while the report is written ({which})", short, folder)
            bad += found
            bad += killed_forecasts(folder, options.times, dice)
            killed += 2 * options.times
            folder = Path(home) / f"{name}, start"
            folder.mkdir()
            which = killed_at_the_start(folder, fresh, options.times, dice)
            judge(f"{name}, before training resumes ({which})", short, folder)
        for name, args in list(kinds.items())[: options.runs]:
            folder = Path(home) / name
            folder.mkdir()
            seconds[name] = undisturbed(folder, [*SMALL, *args])
            wanted[name] = outcome(folder)
            print(f"{name}: {seconds[name]:.1f} s undisturbed", flush=True)
        for run in range(options.runs):
            name = list(kinds)[run % len(kinds)]
            folder = Path(home) / f"{run}"
            folder.mkdir()
            which = disturbed(folder, [*SMALL, *kinds[name]], seconds[name], options.times, dice)
            judge(f"run {run + 1}, {name} ({which})", wanted[name], folder)
        python = Path(home, "python")
        which = killed_from_python(python, options.times, dice)
        judge(f"fit and Run.resume ({which})", outcome(python / "alone"), python / "killed")
        bad += torn(Path(home), options.saves, dice)
        killed += options.saves
    print(f"{done - failed} of {done} runs have the same bits; {bad} of {killed} files torn")
    return 1 if failed or bad else 0


if __name__ == "__main__":
    raise SystemExit(main())
