"""Training on two processes (DDP over gloo): the same run, in one folder."""

import csv
import re

import programs
import pytest
import torch
from cases import BITS
from strangers import work_in

from sinrnn import SinRNN
from sinrnn.cli.train import main

pytestmark = pytest.mark.process

# 7 windows a batch, 3 in the last: the processes never have equally many.
SMALL = ["--data.series.points", "160", "--data.batch_size", "7", "--model.hidden_size", "8"]
SMALL += ["--model.optimizer", "torch.optim.Adam", "--model.optimizer.lr", "0.003"]
SMALL += ["--model.readout_epoch", "null", "--trainer.enable_progress_bar", "false"]
SMALL += ["--figures", "false"]
TWO = ["--trainer.devices", "2", "--trainer.strategy", "ddp", "--trainer.accelerator", "cpu"]


# As scripts/train.py. It says whether the process has left its group, as gloo's
# threads race with the end of the interpreter and may abort it.
SCRIPT = """
import torch
from sinrnn.cli.train import main

status = main()
print(f"status {status} alive {torch.distributed.is_initialized()}\\n", end="")
raise SystemExit(status)
"""


@pytest.fixture(scope="module")
def train(tmp_path_factory):
    """Train in two processes, in one folder: (arguments) -> the run's folder, what was said."""
    home = tmp_path_factory.mktemp("home")
    (home / "script.py").write_text(SCRIPT)

    def run(*args):
        done = programs.run("script.py", *args, cwd=home)
        assert (done.returncode, done.stderr) == (0, "")
        (folder,) = re.findall(r"^run +(\S+)$", done.stdout, re.MULTILINE)  # said once
        return home / folder, done.stdout

    return run


@pytest.fixture(scope="module")
def two(train):
    """A run of two processes, and what was said."""
    return train("--name", "two", *SMALL, *TWO, "--trainer.max_epochs", "6")


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    """The same run in one process, this one."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        work_in(home, patch)
        assert main(["--name", "one", *SMALL, "--trainer.max_epochs", "6"]) == 0
    return home / "runs/one/version_0"


def weights(folder):
    return SinRNN.load(folder / "model.safetensors").state_dict()


def rows(folder):
    with (folder / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


def test_two_processes_end_as_one_and_log_once_in_one_folder(one, two):
    folder, said = two
    for name, weight in weights(one).items():
        torch.testing.assert_close(weights(folder)[name], weight, rtol=0, atol=1e-6)
    assert [path.name for path in folder.parent.iterdir()] == ["version_0"]
    assert len(list(folder.glob("events.*"))) == 1
    assert [row["step"] for row in rows(folder)] == [row["step"] for row in rows(one)]
    for ours, theirs in zip(rows(folder), rows(one), strict=True):
        assert float(ours["half_mse/val"]) == pytest.approx(float(theirs["half_mse/val"]), abs=1e-6)
    assert said.count("status 0 alive False") == said.count("alive") == 2  # the group has ended


def test_two_processes_resume_to_the_same_bits(train, two):
    train("--name", "resumed", *SMALL, *TWO, "--trainer.max_epochs", "3")
    resumed, _ = train("--resume", "runs/resumed/version_0", "--trainer.max_epochs", "6")
    for name, weight in weights(two[0]).items():
        torch.testing.assert_close(weights(resumed)[name], weight, **BITS)
    assert rows(resumed) == rows(two[0])


FITS = """
from sinrnn import Forecaster, Sine, WindowDataModule, fit

two = {"devices": 2, "strategy": "ddp", "accelerator": "cpu"}
data = WindowDataModule(Sine(points=100))
run = fit(Forecaster(hidden_size=5), data, max_epochs=1, figures=False,
          enable_progress_bar=False, **two)
print(f"{run.folder}: {run.forecast(2).prediction.tolist()}\\n", end="")
"""


def test_two_processes_of_a_python_program_give_the_same_run(tmp_path):
    (tmp_path / "fits.py").write_text(FITS)
    done = programs.run("fits.py", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    first, second = done.stdout.splitlines()
    assert first == second
    assert first.startswith("runs/run/version_0: [")


# Lightning's default, use_distributed_sampler=True, shares out what is not shared out yet.
PYTHON = """
import lightning.pytorch as pl
import torch
from sinrnn import Forecaster, Sine, WindowDataModule

class Count(pl.Callback):
    windows = 0

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.windows += len(batch.x)

for streams in (0, 4):
    torch.manual_seed(0)
    count, data = Count(), WindowDataModule(Sine(160), batch_size=7, num_streams=streams)
    trainer = pl.Trainer(
        accelerator="cpu", max_epochs=3, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, callbacks=[count], **{given}
    )
    model = Forecaster(hidden_size=5, stateful=streams > 0)
    trainer.fit(model, data)
    seen = trainer.strategy.reduce(torch.tensor(float(count.windows)), reduce_op="sum").item()
    val = trainer.callback_metrics["half_mse/val"].item()
    test = trainer.test(model, data, verbose=False)[0]["half_mse/test"]
    if trainer.is_global_zero:
        print("seen", seen, trainer.global_step, val, test, model.net.Whh.norm().item())
"""


def test_processes_of_a_plain_trainer_share_each_batch_once(tmp_path):
    """Of windows in any order, and of streams whose state is carried."""
    found = []
    for given in ({"devices": 1}, {"devices": 2, "strategy": "ddp"}):
        (tmp_path / "script.py").write_text(PYTHON.format(given=given))
        done = programs.run("script.py", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        said = re.findall("^seen (.*)$", done.stdout, re.MULTILINE)
        found.append([[float(number) for number in line.split()] for line in said])
    assert [len(each) for each in found] == [2, 2]
    for one, two in zip(*found, strict=True):
        assert two[:2] == one[:2]
        assert two[2:] == pytest.approx(one[2:], abs=1e-6)
