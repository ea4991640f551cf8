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
from functools import partial
from pathlib import Path

import programs
import pytest
import torch
import yaml
from lightning.pytorch.callbacks import LearningRateMonitor
from matplotlib.figure import Figure
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from sinrnn import Forecaster, Predictor, Sine, WindowDataModule, fit
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
SCRIPT, NOTEBOOK = (str(ROOT / "scripts" / f"{name}.py") for name in ("train", "notebook"))
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


def validated(folder):
    """The rows of metrics.csv that hold a validation loss."""
    with (folder / "metrics.csv").open() as file:
        return [row for row in csv.DictReader(file) if row["half_mse/val"]]


def checkpoint(folder, name):
    return torch.load(folder / "checkpoints" / f"{name}.ckpt", weights_only=True)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run of the small config, in a process of its own."""
    folder = tmp_path_factory.mktemp("somewhere")
    (folder / "small.yaml").write_text(SMALL)
    command = [sys.executable, SCRIPT, "--config", "small.yaml"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return folder / "runs" / "small" / "version_0", done


@pytest.mark.process
def test_run_leaves_the_folder_it_promises(run):
    folder, _ = run
    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    events = {name for name in found if name.startswith("events.out.tfevents")}
    pictures = "windows losses residuals gradient_flow rollout"
    pictures += " predictions_train predictions_val predictions_test"
    others = "config.yaml hparams.yaml metrics.csv model.safetensors report.md results.json"
    assert len(events) == 1
    assert found - events == {
        *(f"checkpoints/{name}.ckpt" for name in ("best", "last")),
        *(f"figures/{name}.png" for name in (*pictures.split(), "backtest")),
        *others.split(),
    }


@pytest.mark.process
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


@pytest.mark.process
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


@pytest.mark.process
def test_curves_start_before_training_and_fall_and_tensorboard_has_them_and_the_pictures(run):
    folder, _ = run
    rows = validated(folder)
    assert [row["epoch"] for row in rows] == ["", "0", "1", "2", "3"]
    for name in ("half_mse/train", "half_mse/val"):
        assert float(rows[-1][name]) < float(rows[0][name]) / 3
    events = EventAccumulator(str(folder))
    events.Reload()
    assert {"half_mse/train", "half_mse/val"} <= set(events.Tags()["scalars"])
    curve = events.Scalars("half_mse/val")
    assert [event.step for event in curve] == [0, 5, 10, 15, 20]  # 4 epochs of 5 steps
    last = float(rows[-1]["half_mse/val"])
    torch.testing.assert_close(curve[-1].value, last, rtol=1e-6, atol=0)
    pictures = {f"pictures/{path.stem}" for path in (folder / "figures").iterdir()}
    assert set(events.Tags()["images"]) == pictures
    shown = re.findall(r"^!\[(\w+)\]\((\S+)\)$", (folder / "report.md").read_text(), re.MULTILINE)
    assert {name for name, _ in shown} == {path.stem for path in (folder / "figures").iterdir()}
    assert all((folder / path).is_file() for _, path in shown)


@pytest.mark.process
@pytest.mark.usefixtures("no_pictures")
def test_saved_config_trains_the_same_run_to_the_same_bits(run, train, monkeypatch):
    """In another process than the first."""
    folder, _ = run
    monkeypatch.chdir(folder.parents[2])
    torch.set_default_dtype(torch.float32)  # as in a process of its own
    assert train("--config", str(folder / "config.yaml"))[0] == 0
    twin = folder.parent / "version_1"
    first, second = (Predictor.load(f / "model.safetensors") for f in (folder, twin))
    assert all(map(torch.equal, first.parameters(), second.parameters()))
    assert (folder / "metrics.csv").read_text() == (twin / "metrics.csv").read_text()
    state, other = (checkpoint(f, "last") for f in (folder, twin))
    assert state["global_step"] == 20
    for name, value in state["state_dict"].items():
        same = other["state_dict"][name]
        assert same == value if isinstance(value, dict) else torch.equal(value, same), name


def test_missing_config_and_unknown_accelerator_end_in_one_line(refused):
    assert refused("--config", "nope.yaml") == "--config nope.yaml: there is no such file"
    said = "You selected an invalid accelerator name"
    assert refused("--trainer.accelerator", "abacus").startswith(said)


EXPLODES = "--model.optimizer torch.optim.SGD --model.optimizer.lr 1e30 --model.readout_epoch null"
STOPPING = "--trainer.callbacks+ lightning.pytorch.callbacks.EarlyStopping"
KEEPING = "--trainer.callbacks+ lightning.pytorch.callbacks.ModelCheckpoint"
SCALING = "--trainer.plugins lightning.pytorch.plugins.MixedPrecision --trainer.plugins.device cpu"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (f"{EXPLODES} --trainer.max_epochs 9", r"the loss became (nan|inf) at step \d+: lower .*"),
        (
            f"{STOPPING} --trainer.callbacks.monitor nope --trainer.enable_progress_bar false",
            "Early stopping conditioned on metric `nope` which is not avail.*",
        ),
        (
            f"{KEEPING} --trainer.callbacks.monitor nope --trainer.enable_progress_bar false",
            r"`ModelCheckpoint\(monitor='nope'\)` could not find the monitored key .*",
        ),
        (
            f"{SCALING} --trainer.plugins.precision 16-mixed --trainer.enable_progress_bar false",
            "AMP and the LBFGS optimizer are not compatible.",
        ),
    ],
)
def test_training_that_cannot_go_on_ends_in_one_line(train, arguments, said):
    status, _, err = train(*arguments.split())
    assert status == 2
    assert re.fullmatch(f"error: {said}\n", err)


QUICK = {"max_epochs": 1, "enable_progress_bar": False, "log_every_n_steps": 1}


def rates(folder):
    """Learning rates that a LearningRateMonitor has logged."""
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    return [event.value for event in events.Scalars("lr-Adam")]


@pytest.mark.usefixtures("no_pictures")
@pytest.mark.parametrize("option", ["--trainer.callbacks", "--trainer.callbacks+"])
def test_one_callback_on_the_command_line_needs_no_list(train, option):
    args = [part for key, value in QUICK.items() for part in (f"--trainer.{key}", str(value))]
    args += ["--model.optimizer", "torch.optim.Adam", "--model.optimizer.lr", "0.25"]
    assert train(option, "LearningRateMonitor", *args)[0::2] == (0, "")
    assert set(rates("runs/sine/version_0")) == {0.25}


@pytest.mark.usefixtures("no_pictures")
@pytest.mark.parametrize("given", [lambda one: one, lambda one: [one], lambda one: (one,)])
def test_one_callback_in_python_needs_no_list(given):
    model = Forecaster(optimizer=partial(torch.optim.Adam, lr=0.25))
    callbacks = given(LearningRateMonitor())
    fit(model, WindowDataModule(), callbacks=callbacks, threads=None, **QUICK)
    assert set(rates("runs/run/version_0")) == {0.25}


@pytest.mark.slow
@pytest.mark.parametrize("config", sorted(path.name for path in CONFIGS.glob("*.yaml")))
def test_every_config_trains(train, tmp_path, config):
    short = ["--config", f"configs/{config}", "--trainer.max_epochs", "2"]
    status, out, err = train(*short)
    assert (status, err) == (0, "")
    name = yaml.safe_load((CONFIGS / config).read_text())["name"]
    saved = yaml.safe_load((tmp_path / "runs" / name / "version_0" / "config.yaml").read_text())
    assert saved["trainer"]["max_epochs"] == 2
    assert "closed-loop steps" in out


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        "--trainer.max_epochs 0",
        "--trainer.limit_val_batches 0 --trainer.max_epochs 2",
        "--trainer.overfit_batches 1 --trainer.max_epochs 2",
        "--trainer.overfit_batches 0.5 --trainer.max_epochs 2",
        "--trainer.fast_dev_run true",
        "--trainer.logger false --trainer.max_epochs 1",
        "--trainer.precision bf16-mixed --trainer.max_epochs 1",
        "--trainer.precision 64-true --trainer.max_epochs 1",
        "--data.horizon 3 --trainer.max_epochs 1",
        "--data.series.points 20 --data.train [0,0.3] --data.val [0.3,0.6] --data.test [0.6,1.0]",
    ],
)
def test_unusual_runs_end_with_a_report(train, arguments):
    status, out, err = train("--data.series.points", "120", *arguments.split())
    assert (status, err) == (0, "")
    assert re.search(r"^network( +\d\.\d\de[-+]\d\d){3}$", out, re.MULTILINE)


def test_run_of_another_version_is_refused_as_that(refused, theirs):
    config = theirs / "config.yaml"
    config.write_text(config.read_text().replace("bptt_steps:", "depth:"))
    said = refused("--resume", "theirs")
    assert said.startswith("the run's config is of another version of sinrnn (")
    assert "'depth'" in said
    assert said.endswith("): train it again")


# Arguments, and what the run had instead of the last of them.
CHANGES = {
    "--model.hidden_size 9": "5",
    "--model.optimizer.lr 0.2": "0.01",
    "--model.input_noise 0.5": "0.0",
    "--data.series.points 121": "120",
    "--data.batch_size 8": "32",
    "--seed_everything 4": "0",
    "--trainer.accumulate_grad_batches 2": "1",
}


@pytest.mark.parametrize("change", CHANGES)
def test_changed_option_is_refused_where_a_run_goes_on(refused, theirs, change):
    option, value = change.removeprefix("--").split()
    name = re.sub(r"(optimizer|series)\.", r"\1.init_args.", option)
    assert refused("--resume", "theirs", *change.split()) == (
        f"{name} is {CHANGES[change]} in theirs/checkpoints/last.ckpt and cannot become {value} "
        "when a run is resumed: leave it, or start a new run"
    )


def test_resume_goes_on_in_the_same_folder_with_what_may_change(train, theirs):
    free = "--trainer.max_epochs 3 --keep last --threads 1 --monitor.flow false"
    status, _, err = train("--resume", "theirs", *free.split())
    assert (status, err) == (0, "")
    assert list(Path().iterdir()) == [theirs]
    config = yaml.safe_load((theirs / "config.yaml").read_text())
    assert config["trainer"]["max_epochs"] == 3
    assert (config["keep"], config["monitor"]["flow"], config["resume"]) == ("last", False, None)
    assert [row["step"] for row in validated(theirs)] == ["0", "3", "6", "9"]
    last = checkpoint(theirs, "last")
    assert (last["epoch"], last["global_step"]) == (2, 9)
    net = Predictor.load(theirs / "model.safetensors")
    assert torch.equal(net.net.Whh, last["state_dict"]["predictor.net.Whh"])


def test_finished_run_is_only_reported_again(train, theirs):
    names = ("metrics.csv", "checkpoints/best.ckpt", "model.safetensors", "results.json")
    before = [(theirs / name).read_bytes() for name in names]
    events = {path: path.read_bytes() for path in theirs.glob("events.*")}
    torch.set_default_dtype(torch.float32)  # as in a process of its own
    assert train("--resume", "theirs")[0] == 0
    assert [(theirs / name).read_bytes() for name in names] == before
    assert {path: path.read_bytes() for path in theirs.glob("events.*")} == events


@pytest.mark.usefixtures("no_pictures")
def test_finished_run_that_stopped_early_is_only_reported_again(train):
    args = "--trainer.callbacks EarlyStopping --trainer.callbacks.monitor half_mse/val "
    args += "--trainer.callbacks.patience 2 --trainer.max_epochs 40 --data.series.points 120 "
    args += "--model.optimizer Adam --model.optimizer.lr 0.5 --model.readout_epoch null"
    assert train(*args.split())[0] == 0
    folder = Path("runs/sine/version_0")
    kept = [*folder.glob("events.*"), folder / "metrics.csv"]
    before = [path.read_bytes() for path in kept]
    status, out, _ = train("--resume", str(folder))
    assert status == 0
    assert "note: the run is finished; to continue it" in out
    assert re.search(r"stopped early after epoch \d+ of 40: half_mse/val has\s+not", out)
    assert [path.read_bytes() for path in kept] == before
    assert len([*folder.glob("events.*")]) == 1
    assert train("--resume", str(folder), "--trainer.max_epochs", "41")[0] == 0
    assert (folder / "metrics.csv").read_bytes() > before[-1]  # it goes on


def test_second_process_in_a_folder_is_refused(refused, train, theirs):
    args = ["--resume", "theirs", "--trainer.max_epochs", "3"]
    held = claim(theirs)
    assert refused(*args) == "theirs: another process is training there"
    os.close(held)
    assert train(*args)[0] == 0


def started(folder, command):
    """A process that trains, once it has its first losses."""
    process = programs.Program(command, folder)
    patience = time.monotonic() + 60
    while not list(folder.glob("runs/*/version_0/metrics.csv")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < patience
        time.sleep(0.01)
    return process


@pytest.mark.process
@pytest.mark.usefixtures("no_pictures")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_stops_with_the_command_that_goes_on(train, tmp_path, number):
    (tmp_path / "small.yaml").write_text(SMALL.replace("patience: 3", "patience: 9999"))
    args = ["--config", "small.yaml", "--trainer.max_epochs", "200", "--name", "a name"]
    args += ["--figures", "false"]
    process = started(tmp_path, [SCRIPT, *args])
    status, _, err = train("--resume", "runs/a name/version_0")
    said = "error: runs/a name/version_0: another process is training there\n"
    assert (status, err) == (2, said)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    said = f"\nstopped by {signal.Signals(number).name}, and saved; resume with: "
    assert err.startswith(said)
    command = err.removeprefix(said).removesuffix("\n")
    assert "\n" not in command
    folder = tmp_path / "runs" / "a name" / "version_0"
    assert not (folder / "report.md").exists()
    if number == signal.SIGINT:
        bin_folder = str(Path(sys.executable).parent)  # where `python` is the one that runs this
        env = os.environ | {"PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}"}
        options = {"env": env, "capture_output": True, "text": True, "timeout": 120}
        done = subprocess.run(command, shell=True, cwd=tmp_path, **options)
        assert (done.returncode, done.stderr) == (0, "")
    else:
        program, script, *args = shlex.split(command)
        assert (program, Path(script).name) == (typed(sys.executable), "train.py")
        torch.set_default_dtype(torch.float32)  # as in a process of its own
        assert train(*args)[0::2] == (0, "")
    assert (folder / "report.md").exists()
    assert [int(row["step"]) for row in validated(folder)] == list(range(0, 1001, 5))


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


@pytest.mark.process
@pytest.mark.usefixtures("no_pictures")
def test_second_interrupt_ends_at_once_and_harms_nothing(train, tmp_path):
    (tmp_path / "small.yaml").write_text(SMALL)
    (tmp_path / "impatient.py").write_text(IMPATIENT)
    done = programs.run("impatient.py", "--config", "small.yaml", cwd=tmp_path)
    assert done.returncode == 128 + signal.SIGINT
    folder = Path("runs/small/version_0")
    command = f"{typed(sys.executable)} impatient.py --resume {folder}"
    assert done.stderr == f"\nstopped at once; resume with: {command}\n"
    assert "it goes on" not in done.stdout
    assert not list(folder.rglob("*.part"))
    assert train("--resume", str(folder))[0] == 0
    assert train("--config", "small.yaml")[0] == 0
    twin = folder.with_name("version_1")
    one, two = (Predictor.load(f / "model.safetensors") for f in (folder, twin))
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


@pytest.mark.usefixtures("no_pictures")
@pytest.mark.parametrize(("keep", "arguments"), [("best", []), ("last", ["--keep", "last"])])
def test_keep_says_which_weights_are_saved_and_reported(train, tmp_path, keep, arguments):
    (tmp_path / "worse.yaml").write_text(WORSE)
    status, out, err = train("--config", "worse.yaml", *arguments)
    assert (status, err) == (0, "")
    folder = tmp_path / "runs" / "run" / "version_0"
    losses = [float(row["half_mse/val"]) for row in validated(folder)]
    assert losses[-1] > 10 * min(losses)
    wanted = min(losses) if keep == "best" else losses[-1]
    split = Windows(Sine(120).values()[72:96], 4)
    net = Predictor.load(folder / "model.safetensors")
    loss = half_mse(predict(net, split), split.targets).item()
    assert loss == pytest.approx(wanted, rel=1e-6)
    said = re.search(r"^network +\S+ +(\S+) +\S+$", out, re.MULTILINE)
    assert float(said[1]) == pytest.approx(wanted, rel=5e-3)
    best, last = (checkpoint(folder, name) for name in ("best", "last"))
    assert (best["epoch"], last["epoch"]) == (1, 4)
    best_Whh = best["state_dict"]["predictor.net.Whh"]
    assert torch.equal(net.net.Whh, best_Whh) is (keep == "best")


@pytest.mark.usefixtures("no_pictures")
def test_table_is_on_the_screen_before_the_pictures_are_drawn(monkeypatch, capsys):
    said = []

    def draw():
        said.append(capsys.readouterr().out)
        return Figure()

    monkeypatch.setattr(final_report, "pictures", lambda *args: {"one": draw})
    Path("small.yaml").write_text(SMALL)
    assert cli.main(["--config", "small.yaml"]) == 0
    (before,) = said
    assert re.search(r"^network +\S+ +\S+ +\S+$", before, re.MULTILINE)
    assert "TensorBoard  tensorboard --logdir runs/small\n" in before
    assert capsys.readouterr().out == ""


# In float64 every seed is below linear extrapolation's 1.5e-12.
@pytest.mark.slow
@pytest.mark.usefixtures("no_pictures")
@pytest.mark.parametrize(("precision", "worst"), [("32-true", 1e-10), ("64-true", 1.5e-12)])
def test_best_config_holds_what_it_promises(precision, worst):
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


@pytest.mark.process
def test_notebook_script_prints_its_table_and_writes_its_figure(tmp_path):
    quick = ["--starts", "3", "--epochs", "2", "--seeds", "1", "--figure", "F.png"]
    done = programs.run(NOTEBOOK, *quick, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    value = r"\d\.\d\de[-+]\d\d"
    table = {}
    for line in done.stdout.splitlines():
        cells = re.search(rf"^(.+?) {{2,}}({value}).* {{2,}}({value})", line)
        if cells:
            table[re.sub(r", \d+\.\d s$", "", cells[1])] = (float(cells[2]), float(cells[3]))
    assert list(table) == [
        "notebook, before training",
        "notebook, after 500 epochs",
        "same training, 3 starts, before",
        "same training, 3 starts, 2 epochs",
        "mean of the training targets",
        "persistence",
        "linear extrapolation",
        "autoregression AR(4)",
        "best.yaml, 1 seeds, float32",
        "best.yaml, 1 seeds, float64",
    ]
    before, after = (table[f"same training, 3 starts, {w}"] for w in ("before", "2 epochs"))
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


def test_place_where_no_folder_can_be_made_is_refused_before_training(refused):
    Path("runs").write_text("a file")
    said = "cannot create a folder in runs/sine (Not a directory): start in a writable folder"
    assert refused() == said


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
