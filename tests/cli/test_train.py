"""The command line as people use it: a process, a folder, its files."""

import csv
import json
import os
import re
import runpy
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from sinrnn import Predictor, Sine
from sinrnn.callbacks import final_report
from sinrnn.cli import train as cli
from sinrnn.cli.arguments import typed
from sinrnn.cli.train import TrainCLI, main
from sinrnn.config.messages import one_line
from sinrnn.data.windows import Windows, predict
from sinrnn.filesystem import CONFIGS
from sinrnn.nn.functional import half_mse
from sinrnn.run_folder import claim, claim_folder

ROOT = Path(__file__).parents[2]
# Small, and yet every part of a run is there: clipping, schedule, early stopping, standardising.
SMALL = """
name: small
seed_everything: 3
data:
  series: {class_path: sinrnn.Sine, init_args: {points: 120, stop: 18.85}}
  window: 6
  batch_size: 16
model:
  standardise: true
  hidden_size: 7
  bias: true
  bptt_steps: 4
  optimizer: {class_path: torch.optim.SGD, init_args: {lr: 0.1, momentum: 0.9}}
  scheduler: {class_path: torch.optim.lr_scheduler.StepLR, init_args: {step_size: 2}}
trainer:
  max_epochs: 4
  accelerator: cpu
  gradient_clip_val: 1.0
  gradient_clip_algorithm: value
  callbacks:
    - class_path: lightning.pytorch.callbacks.EarlyStopping
      init_args: {monitor: half_mse/val, patience: 3}
"""


def train(folder, *args):
    command = [sys.executable, str(ROOT / "scripts" / "train.py"), *args]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run of the small config, in a process of its own."""
    folder = tmp_path_factory.mktemp("somewhere")
    (folder / "small.yaml").write_text(SMALL)
    done = train(folder, "--config", "small.yaml")
    assert done.returncode == 0, done.stderr
    return folder / "runs" / "small" / "version_0", done


def test_run_leaves_the_folder_it_promises(run):
    folder, _ = run
    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    events = {name for name in found if name.startswith("events.out.tfevents")}
    pictures = ["windows", "losses", "predictions_train", "predictions_val", "residuals"]
    pictures += ["gradient_flow", "rollout", "backtest"]
    assert len(events) == 1
    assert found - events == {
        "checkpoints/best.ckpt",
        "checkpoints/last.ckpt",
        "config.yaml",
        "hparams.yaml",
        "metrics.csv",
        "model.safetensors",
        "report.md",
        *(f"figures/{name}.png" for name in pictures),
    }


def test_run_says_nothing_but_its_progress_and_its_report(run):
    folder, done = run
    assert done.stderr == ""
    report = (folder / "report.md").read_text()
    first, _, rest = done.stdout.partition("\n")
    assert first == "TensorBoard: tensorboard --logdir runs/small"
    progress, _, printed = rest.strip().partition("\n\n")
    assert all("step/s" in line for line in progress.splitlines())
    assert printed in report
    assert re.search(r"^network( +\d\.\d\de[-+]\d\d){3}$", printed, re.MULTILINE)
    assert "tensorboard --logdir runs/small" in printed


def test_model_file_predicts_what_the_report_says(run):
    folder, _ = run
    net = Predictor.load(folder / "model.safetensors")
    assert (net.window, net.horizon, net.net.bptt_steps, net.net.hidden_size) == (6, 1, 4, 7)
    values = torch.sin(torch.arange(120, dtype=torch.float64) * 18.85 / 120)
    x = values[96:].unfold(0, 6, 1)[:-1]
    loss = (net(x) - values[102:]).square().mean() / 2
    said = re.search(
        r"^network +\S+ +\S+ +(\S+)$", (folder / "report.md").read_text(), re.MULTILINE
    )
    torch.testing.assert_close(loss.item(), float(said[1]), rtol=5e-3, atol=0)


def test_metrics_start_before_training_and_fall(run):
    folder, _ = run
    with (folder / "metrics.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["half_mse/val"]]
    assert [row["epoch"] for row in rows] == ["", "0", "1", "2", "3"]
    for name in ("half_mse/train", "half_mse/val"):
        assert float(rows[-1][name]) < float(rows[0][name]) / 3


def test_event_file_holds_curves_and_pictures(run):
    folder, _ = run
    events = EventAccumulator(str(folder))
    events.Reload()
    assert {"half_mse/train", "half_mse/val"} <= set(events.Tags()["scalars"])
    steps = [event.step for event in events.Scalars("half_mse/val")]
    assert steps == [0, 5, 10, 15, 20]  # before training; after each of 4 epochs of 5 steps
    with (folder / "metrics.csv").open() as file:
        last = [row for row in csv.DictReader(file) if row["half_mse/val"]][-1]
    torch.testing.assert_close(
        events.Scalars("half_mse/val")[-1].value, float(last["half_mse/val"]), rtol=1e-6, atol=0
    )
    pictures = set(events.Tags()["images"])
    assert pictures == {f"figures/{path.stem}" for path in (folder / "figures").iterdir()}


@pytest.fixture
def at_hand(tmp_path, monkeypatch, capsys):
    """Call main() in an empty folder: (arguments) -> status, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    threads = torch.get_num_threads()

    def call(*args):
        status = main(args)
        return status, *capsys.readouterr()

    yield call
    torch.set_num_threads(threads)


@pytest.fixture
def no_pictures(monkeypatch):
    monkeypatch.setattr(final_report, "pictures", lambda *args: {})  # most of a run's time


def test_saved_config_trains_the_same_run_to_the_same_bits(run, at_hand, no_pictures, monkeypatch):
    """In another process than the first."""
    folder, _ = run
    monkeypatch.chdir(folder.parents[2])
    torch.set_default_dtype(torch.float32)  # as in a process of its own
    assert at_hand("--config", str(folder / "config.yaml"))[0] == 0
    twin = folder.parent / "version_1"
    first, second = (Predictor.load(f / "model.safetensors") for f in (folder, twin))
    assert all(map(torch.equal, first.parameters(), second.parameters()))
    assert (folder / "metrics.csv").read_text() == (twin / "metrics.csv").read_text()
    states = [
        torch.load(f / "checkpoints" / "last.ckpt", weights_only=True) for f in (folder, twin)
    ]
    assert states[0]["global_step"] == 20
    for name, value in states[0]["state_dict"].items():
        other = states[1]["state_dict"][name]
        assert other == value if isinstance(value, dict) else torch.equal(value, other), name


BAD = {
    "--model.hidden_size -1": "hidden_size must be at least 1, got -1",
    "--model.hidden_size many": "model.hidden_size cannot be many: expected int",
    "--model.bptt_steps 0": "bptt_steps must be at least 1 step or None, got 0",
    "--model.init zeros": "init must be one of orthogonal, linear, torch, notebook, got 'zeros'",
    "--model.optimizer.lr nan": "model.optimizer.lr cannot be nan: expected float",
    "--model.optimizer.lr .nan": "model.optimizer or model.scheduler: Invalid learning rate: nan",
    "--model.optimizer.lr -1": "model.optimizer or model.scheduler: Invalid learning rate: -1.0",
    "--model.optimizer torch.optim.Nope": "model.optimizer names torch.optim.Nope, which is not on",
    "--model.output_size 2": "model.output_size must be 1 for windows of one series, got 2",
    "--model.foo 3": "unrecognized arguments: --model.foo 3",
    "--data.window 0": "window must be at least 1 step, got 0",
    "--data.window 300": "the val split [0.6, 0.8]: window 300 and horizon 1 need 301 points, "
    "got 200",
    "--data.val [0.5,0.8]": "val [0.5, 0.8] must start at or after the end of train, 0.6",
    "--data.test [0.8,1.2]": "test must be [a, b] with 0 <= a < b <= 1, got [0.8, 1.2]",
    "--data.train [-0.1,0.6]": "train must be [a, b] with 0 <= a < b <= 1, got [-0.1, 0.6]",
    "--data.train 3": "data.train cannot be 3: expected tuple",
    "--data.batch_size -3": "batch_size must be at least 1, or 0 for all, got -3",
    "--data.series Nope": "data.series: Expected a dot import path string: Nope",
    "--data.series.points 0": "points must be at least 1, got 0",
    "--model.updates sample": "model.updates cannot be sample: expected ['batch', 'window']",
    "--keep worst": "keep cannot be worst: expected ['best', 'last']",
    "--threads 0": "threads must be at least 1, got 0",
    "--seed_everything -1": "seed_everything must be at least 0, got -1",
    "--resume nope": "--resume nope: no config.yaml in that folder",
    "--trainer.accelerator abacus": "You selected an invalid accelerator name",
}


@pytest.mark.parametrize("arguments", BAD)
def test_bad_input_ends_in_one_line_and_leaves_nothing(at_hand, tmp_path, arguments):
    status, out, err = at_hand(*arguments.split())
    assert status == 2
    assert out == ""
    assert err.startswith(f"error: {BAD[arguments]}")
    assert err.count("\n") == 1
    assert not list(tmp_path.glob("runs/*/*"))


def test_missing_config_ends_in_one_line(at_hand, tmp_path):
    status, _, err = at_hand("--config", "nope.yaml")
    assert (status, err) == (2, f"error: config: File does not exist: '{tmp_path / 'nope.yaml'}'\n")


def test_unknown_key_in_a_config_is_named(at_hand, tmp_path):
    (tmp_path / "bad.yaml").write_text("data:\n  widow: 3\n")
    status, _, err = at_hand("--config", "bad.yaml")
    assert status == 2
    assert err.count("\n") == 1
    assert "widow" in err


WINDOWED = {
    "--model.bias true": "updates: window is for networks without biases, got bias true",
    "--model.optimizer torch.optim.Adam": "model.optimizer or model.scheduler: updates: window "
    "makes steps of plain gradient descent, torch.optim.SGD with nothing but lr, got Adam",
    "--model.optimizer.momentum 0.9": "model.optimizer or model.scheduler: updates: window makes "
    "steps of plain gradient descent, torch.optim.SGD with nothing but lr, got SGD",
    "--trainer.gradient_clip_algorithm norm": "updates: window clips gradients by value: set "
    "trainer.gradient_clip_algorithm to value",
    "--trainer.gradient_clip_algorithm null": "updates: window clips gradients by value: set "
    "trainer.gradient_clip_algorithm to value",
}


@pytest.mark.parametrize("arguments", WINDOWED)
def test_updates_by_window_refuse_in_one_line_and_leave_nothing(at_hand, tmp_path, arguments):
    config = str(CONFIGS / "notebook.yaml")
    status, out, err = at_hand("--config", config, *arguments.split())
    assert (status, out, err) == (2, "", f"error: {WINDOWED[arguments]}\n")
    assert not list(tmp_path.glob("runs/*/*"))


def test_exploding_loss_stops_with_what_to_change(at_hand):
    sgd = ["--model.optimizer", "torch.optim.SGD", "--model.optimizer.lr", "1e30"]
    status, _, err = at_hand(*sgd, "--model.readout_epoch", "null", "--trainer.max_epochs", "9")
    assert status == 2
    assert re.fullmatch(r"error: the loss became (nan|inf) at step \d+: lower .*\n", err)


@pytest.mark.parametrize("config", sorted(path.name for path in CONFIGS.glob("*.yaml")))
def test_every_config_trains(at_hand, tmp_path, config):
    short = ["--config", f"configs/{config}", "--trainer.max_epochs", "2"]
    status, out, err = at_hand(*short)
    assert (status, err) == (0, "")
    name = yaml.safe_load((CONFIGS / config).read_text())["name"]
    saved = yaml.safe_load((tmp_path / "runs" / name / "version_0" / "config.yaml").read_text())
    assert saved["trainer"]["max_epochs"] == 2
    assert "in closed loop" in out


@pytest.mark.parametrize(
    "arguments",
    [
        "--trainer.max_epochs 0",
        "--trainer.limit_val_batches 0 --trainer.max_epochs 2",
        "--trainer.fast_dev_run true",
        "--trainer.logger false --trainer.max_epochs 1",
        "--trainer.precision bf16-mixed --trainer.max_epochs 1",
        "--trainer.precision 64-true --trainer.max_epochs 1",
        "--data.horizon 3 --trainer.max_epochs 1",
        "--data.series.points 20 --data.train [0,0.3] --data.val [0.3,0.6] --data.test [0.6,1.0]",
    ],
)
def test_unusual_runs_end_with_a_report(at_hand, arguments):
    status, out, err = at_hand("--data.series.points", "120", *arguments.split())
    assert (status, err) == (0, "")
    assert re.search(r"^network( +\d\.\d\de[-+]\d\d){3}$", out, re.MULTILINE)


@pytest.fixture
def short(at_hand, no_pictures, tmp_path):
    """A run of two epochs and no pictures: its folder, and a call that makes more."""
    (tmp_path / "small.yaml").write_text(SMALL)
    args = ["--config", "small.yaml", "--trainer.max_epochs", "2"]
    assert at_hand(*args, "--trainer.enable_progress_bar", "false")[0] == 0
    return Path("runs/small/version_0"), at_hand


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_run_of_another_version_is_refused_as_that(short):
    folder, call = short
    config = folder / "config.yaml"
    config.write_text(config.read_text().replace("bptt_steps: 4", "depth: 4"))
    status, out, err = call("--resume", str(folder))
    assert (status, out) == (2, "")
    assert err.startswith("error: the run's config is of another version of sinrnn (")
    assert "'depth'" in err
    assert err.endswith("): train it again\n")


# Arguments, and what the run had instead of the last of them.
CHANGES = {
    "--model.hidden_size 9": "7",
    "--model.optimizer.lr 0.2": "0.1",
    "--model.input_noise 0.5": "0.0",
    "--data.series.points 121": "120",
    "--data.batch_size 8": "16",
    "--seed_everything 4": "3",
    "--trainer.accumulate_grad_batches 2": "1",
}


@pytest.mark.parametrize("change", CHANGES)
def test_changed_option_is_refused_where_a_run_goes_on(short, change):
    folder, call = short
    last = folder / "checkpoints" / "last.ckpt"
    before = contents(folder)
    status, out, err = call("--resume", str(folder), *change.split())
    option, value = change.removeprefix("--").split()
    name = re.sub(r"(optimizer|series)\.", r"\1.init_args.", option)
    assert (status, out, err) == (
        2,
        "",
        f"error: {name} is {CHANGES[change]} in {last} and cannot become {value} where a run goes "
        "on: leave it, or start a new run\n",
    )
    assert contents(folder) == before
    assert list(folder.parent.iterdir()) == [folder]


def test_resume_goes_on_in_the_same_folder_with_what_may_change(short):
    folder, call = short
    free = "--trainer.max_epochs 3 --keep last --threads 1 --monitor.flow false"
    status, _, err = call("--resume", str(folder), *free.split())
    assert (status, err) == (0, "")
    assert list(folder.parent.iterdir()) == [folder]
    config = yaml.safe_load((folder / "config.yaml").read_text())
    assert config["trainer"]["max_epochs"] == 3
    assert (config["keep"], config["monitor"]["flow"], config["resume"]) == ("last", False, None)
    with (folder / "metrics.csv").open() as file:
        rows = [row["step"] for row in csv.DictReader(file) if row["half_mse/val"]]
    assert rows == ["0", "5", "10", "15"]
    last = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    assert (last["epoch"], last["global_step"]) == (2, 15)
    net = Predictor.load(folder / "model.safetensors")
    assert torch.equal(net.net.Whh, last["state_dict"]["predictor.net.Whh"])


def test_finished_run_is_only_reported_again(short):
    folder, call = short
    before = contents(folder)
    assert call("--resume", str(folder))[0] == 0
    after = contents(folder)
    for name in ("metrics.csv", "checkpoints/best.ckpt", "model.safetensors"):
        assert after[folder / name] == before[folder / name], name


def test_second_process_in_a_folder_is_refused(short):
    folder, call = short
    before = contents(folder)
    held = claim(folder)
    status, out, err = call("--resume", str(folder), "--trainer.max_epochs", "3")
    said = f"error: {folder}: another process is training there\n"
    assert (status, out, err) == (2, "", said)
    assert contents(folder) == before
    os.close(held)
    assert call("--resume", str(folder), "--trainer.max_epochs", "3")[0] == 0


def started(folder, command):
    """A process that trains, once it has its first losses."""
    process = subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    patience = time.monotonic() + 60
    while not list(folder.glob("runs/*/version_0/metrics.csv")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < patience
        time.sleep(0.01)
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_stops_with_the_command_that_goes_on(at_hand, no_pictures, tmp_path, number):
    (tmp_path / "small.yaml").write_text(SMALL.replace("patience: 3", "patience: 9999"))
    args = ["--config", "small.yaml", "--trainer.max_epochs", "200", "--name", "a name"]
    process = started(tmp_path, [sys.executable, str(ROOT / "scripts" / "train.py"), *args])
    status, _, err = at_hand("--resume", "runs/a name/version_0")
    said = "error: runs/a name/version_0: another process is training there\n"
    assert (status, err) == (2, said)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    said = f"stopped by {signal.Signals(number).name}, and saved; go on with: "
    assert err.startswith(f"\n{said}")
    command = err.removeprefix(f"\n{said}").removesuffix("\n")
    assert "\n" not in command
    folder = tmp_path / "runs" / "a name" / "version_0"
    assert not (folder / "report.md").exists()
    if number == signal.SIGINT:
        bin_folder = str(Path(sys.executable).parent)  # where `python` is the one that runs this
        done = subprocess.run(
            command,
            shell=True,
            cwd=tmp_path,
            env=os.environ | {"PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert (done.returncode, done.stderr) == (0, "")
    else:
        python, script, *args = shlex.split(command)
        assert (python, Path(script).name) == (typed(sys.executable), "train.py")
        torch.set_default_dtype(torch.float32)  # as in a process of its own
        assert at_hand(*args)[0::2] == (0, "")
    assert (folder / "report.md").exists()
    with (folder / "metrics.csv").open() as file:
        steps = [int(row["step"]) for row in csv.DictReader(file) if row["half_mse/val"]]
    assert steps == list(range(0, 1001, 5))


# Presses Ctrl-C twice within a step, at the seventh.
IMPATIENT = """
import os, signal, sys
from lightning.pytorch import Callback
from sinrnn.cli.train import main

class Twice(Callback):
    def on_before_optimizer_step(self, trainer, *args):
        if trainer.global_step == 6:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)
            print("it goes on", flush=True)

raise SystemExit(main(callbacks=[Twice()]))
"""


def test_second_interrupt_ends_at_once_and_harms_nothing(at_hand, no_pictures, tmp_path):
    (tmp_path / "small.yaml").write_text(SMALL)
    (tmp_path / "impatient.py").write_text(IMPATIENT)
    command = [sys.executable, "impatient.py", "--config", "small.yaml"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 128 + signal.SIGINT
    folder = Path("runs/small/version_0")
    command = f"{typed(sys.executable)} impatient.py --resume {folder}"
    assert done.stderr == f"\nstopped at once; go on with: {command}\n"
    assert "it goes on" not in done.stdout
    assert not list(folder.rglob("*.part"))
    assert at_hand("--resume", str(folder))[0] == 0
    assert at_hand("--config", "small.yaml")[0] == 0
    one, two = (
        Predictor.load(f / "model.safetensors") for f in (folder, folder.parent / "version_1")
    )
    assert all(map(torch.equal, one.parameters(), two.parameters()))


# The rate grows tenfold each epoch: the second epoch is the best, and the fifth far worse.
WORSE = """
data:
  series: {class_path: sinrnn.Sine, init_args: {points: 120}}
model:
  optimizer: {class_path: torch.optim.Adam, init_args: {lr: 0.001}}
  scheduler: {class_path: torch.optim.lr_scheduler.StepLR, init_args: {step_size: 1, gamma: 10}}
trainer: {max_epochs: 5, accelerator: cpu}
"""


@pytest.mark.parametrize(("keep", "arguments"), [("best", []), ("last", ["--keep", "last"])])
def test_keep_says_which_weights_are_saved_and_reported(
    at_hand, no_pictures, tmp_path, keep, arguments
):
    (tmp_path / "worse.yaml").write_text(WORSE)
    status, out, err = at_hand("--config", "worse.yaml", *arguments)
    assert (status, err) == (0, "")
    folder = tmp_path / "runs" / "run" / "version_0"
    with (folder / "metrics.csv").open() as file:
        rows = [float(row["half_mse/val"]) for row in csv.DictReader(file) if row["half_mse/val"]]
    assert rows[-1] > 10 * min(rows)
    wanted = min(rows) if keep == "best" else rows[-1]
    split = Windows(Sine(120).values()[72:96], 4)
    net = Predictor.load(folder / "model.safetensors")
    loss = half_mse(predict(net, split), split.targets).item()
    assert loss == pytest.approx(wanted, rel=1e-6)
    said = re.search(r"^network +\S+ +(\S+) +\S+$", out, re.MULTILINE)
    assert float(said[1]) == pytest.approx(wanted, rel=5e-3)
    best = torch.load(folder / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"]
    assert torch.equal(net.net.Whh, best["predictor.net.Whh"]) is (keep == "best")


def test_last_checkpoint_is_of_the_last_epoch_though_it_is_not_the_best(
    at_hand, no_pictures, tmp_path
):
    (tmp_path / "worse.yaml").write_text(WORSE)
    assert at_hand("--config", "worse.yaml")[0] == 0
    folder = tmp_path / "runs" / "run" / "version_0" / "checkpoints"
    epochs = {
        name: torch.load(folder / f"{name}.ckpt", weights_only=True)["epoch"]
        for name in ("best", "last")
    }
    assert epochs == {"best": 1, "last": 4}


# In float64 every seed is below linear extrapolation's 1.5e-12.
@pytest.mark.parametrize(("precision", "worst"), [("32-true", 1e-10), ("64-true", 1.5e-12)])
def test_best_config_holds_what_it_promises(tmp_path, monkeypatch, no_pictures, precision, worst):
    monkeypatch.chdir(tmp_path)
    torch.set_default_dtype(torch.float32)  # as in a process of its own
    found = {"train": [], "val": []}
    cli.quiet()
    for seed in range(5):
        arguments = ["--seed_everything", str(seed), "--trainer.precision", precision]
        arguments += ["--trainer.enable_progress_bar", "false"]
        made = TrainCLI(["--config", str(CONFIGS / "best.yaml"), *arguments]).job()
        text = made.train()
        said = re.search(r"^network +(\S+) +(\S+)", text, re.MULTILINE)
        for name, value in zip(found, said.groups(), strict=True):
            found[name].append(float(value))
    assert max(found["train"]) <= 1e-13
    assert max(found["val"]) <= worst
    if precision == "64-true":
        assert sorted(found["val"])[2] <= 1e-18


NOTEBOOK = str(ROOT / "scripts" / "notebook.py")


def test_notebook_script_prints_its_table_and_writes_its_figure(tmp_path):
    quick = ["--starts", "3", "--epochs", "2", "--seeds", "1", "--figure", "F.png"]
    command = [sys.executable, NOTEBOOK, *quick]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    value = r"\d\.\d\de[-+]\d\d"
    table = {}
    for line in done.stdout.splitlines():
        cells = re.search(rf"^(.+?) {{2,}}({value}).* {{2,}}({value})", line)
        if cells:
            table[re.sub(r", \d+\.\d s$", "", cells[1])] = (float(cells[2]), float(cells[3]))
    assert list(table) == [
        "notebook's print, before training",
        "notebook's print, after 500 epochs",
        "its recipe, 3 starts, before training",
        "its recipe, 3 starts, 2 epochs",
        "mean of the training targets",
        "persistence",
        "linear extrapolation",
        "autoregression AR(4)",
        "best.yaml, 1 seeds, float32",
        "best.yaml, 1 seeds, float64",
    ]
    before, after = (table[f"its recipe, 3 starts, {w}"] for w in ("before training", "2 epochs"))
    for first, second in zip(before, after, strict=True):
        assert 100 < second < 0.99 * first < 1000
    assert table["best.yaml, 1 seeds, float64"][1] < table["linear extrapolation"][1] < 1.6e-12
    assert (tmp_path / "F.png").read_bytes().startswith(b"\x89PNG")
    assert [path.name for path in tmp_path.iterdir()] == ["F.png"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--starts 0", "--starts must be at least 1, got 0"),
        ("--figure nowhere/F.png", "--figure nowhere/F.png: there is no such folder"),
    ],
)
def test_notebook_script_refuses_in_one_line(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [NOTEBOOK, *arguments.split()])
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(NOTEBOOK, run_name="__main__")
    out, err = capsys.readouterr()
    assert (stop.value.code, out) == (2, "")
    usage, _, error = err.rpartition("notebook.py: error: ")
    assert error == f"{message}\n"
    assert usage.startswith("usage: ")
    assert not list(tmp_path.iterdir())


def test_claimed_folders_are_never_given_twice(tmp_path):
    (tmp_path / "version_0").mkdir()
    (tmp_path / "version_0" / "kept").write_text("by somebody")
    assert [claim_folder(tmp_path).name for _ in range(3)] == [f"version_{i}" for i in (1, 2, 3)]
    assert (tmp_path / "version_0" / "kept").read_text() == "by somebody"


def test_early_stopping_on_what_is_not_measured_ends_in_one_line(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    stopping = "lightning.pytorch.callbacks.EarlyStopping"
    args = ["--trainer.callbacks+", stopping, "--trainer.callbacks.monitor", "nope"]
    assert main([*args, "--trainer.enable_progress_bar", "false"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: Early stopping conditioned on metric `nope` which is not avail")
    assert said.count("\n") == 1


def test_place_where_no_folder_can_be_made_is_refused_before_training(
    tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    Path("runs").write_text("a file")
    assert main([]) == 2
    said = "no folder can be made in runs/sine (Not a directory): start where there can be one"
    assert capsys.readouterr() == ("", f"error: {said}\n")
    assert Path("runs").read_text() == "a file"


def test_one_line_names_the_inner_key():
    message = (
        'Parser key "a": Type X\n  Parser key "b":\n  Expected a <class \'int\'>. Got value: 3'
    )
    assert one_line(message) == "a.b cannot be 3: expected int"


def test_help_explains_every_option_of_ours(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    ours = "seed_everything threads resume data.window data.horizon data.train model.standardise"
    for option in ours.split():
        assert re.search(rf"--{re.escape(option)} [^\n]*\n? +\w+", text), option
    assert json.dumps("orthogonal").strip('"') in text
