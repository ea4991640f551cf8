"""Training on two processes (DDP over gloo): the same run, in one folder."""

import csv
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from sinrnn import SinRNN

ROOT = Path(__file__).parent.parent
# 7 windows a batch, 3 in the last: the processes never have equally many.
SMALL = ["--data.series.points", "160", "--data.batch_size", "7", "--model.hidden_size", "8"]
SMALL += ["--model.optimizer", "torch.optim.Adam", "--model.optimizer.lr", "0.003"]
SMALL += ["--model.readout_epoch", "null", "--trainer.enable_progress_bar", "false"]
TWO = ["--trainer.devices", "2", "--trainer.strategy", "ddp", "--trainer.accelerator", "cpu"]


@pytest.fixture(scope="module")
def train(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")

    def run(*args):
        command = [sys.executable, str(ROOT / "scripts" / "train.py"), *args]
        done = subprocess.run(command, cwd=home, capture_output=True, text=True, timeout=180)
        (folder,) = re.findall(r"^run +(\S+)$", done.stdout, re.MULTILINE)  # said once
        assert (done.returncode, done.stderr) == (0, "")
        return home / folder

    return run


@pytest.fixture(scope="module")
def runs(train):
    """One process, two, and two that were resumed."""
    one = train("--name", "one", *SMALL, "--trainer.max_epochs", "6")
    two = train("--name", "two", *SMALL, *TWO, "--trainer.max_epochs", "6")
    train("--name", "resumed", *SMALL, *TWO, "--trainer.max_epochs", "3")
    resumed = train("--resume", "runs/resumed/version_0", "--trainer.max_epochs", "6")
    return one, two, resumed


def weights(folder):
    return SinRNN.load(folder / "model.safetensors").state_dict()


def rows(folder):
    with (folder / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


def test_two_processes_end_as_one(runs):
    one, two, _ = runs
    for name, weight in weights(one).items():
        torch.testing.assert_close(weights(two)[name], weight, rtol=0, atol=1e-6)


def test_two_processes_log_once_in_one_folder(runs):
    one, two, _ = runs
    assert [folder.name for folder in two.parent.iterdir()] == ["version_0"]
    assert len(list(two.glob("events.*"))) == 1
    assert [row["step"] for row in rows(two)] == [row["step"] for row in rows(one)]
    for ours, theirs in zip(rows(two), rows(one), strict=True):
        assert float(ours["half_mse/val"]) == pytest.approx(float(theirs["half_mse/val"]), abs=1e-6)


def test_two_processes_resume_to_the_same_bits(runs):
    _, two, resumed = runs
    for name, weight in weights(two).items():
        torch.testing.assert_close(weights(resumed)[name], weight, rtol=0, atol=0)
    assert rows(resumed) == rows(two)


def test_no_process_ends_with_the_group_alive(tmp_path):
    """Its threads race with the end of the interpreter, which now and then aborts the process."""
    script = tmp_path / "script.py"
    script.write_text(
        "import torch\nfrom sinrnn.cli import main\n"
        "print('status', main(), 'alive', torch.distributed.is_initialized())\n"
    )
    command = [sys.executable, str(script), *SMALL, *TWO, "--trainer.max_epochs", "1"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=180)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("status 0 alive False") == 2
