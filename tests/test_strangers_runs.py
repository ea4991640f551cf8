"""Run folders from strangers, and runs that others reach into: nothing foreign is touched."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from sinrnn import cli, closing
from sinrnn.checkpoint import Durable, pack, read

ROOT = Path(__file__).parent.parent
SMALL = """
name: small
data: {series: {class_path: sinrnn.Sine, init_args: {points: 120}}, batch_size: 32}
model: {hidden_size: 5, optimizer: {class_path: torch.optim.Adam, init_args: {lr: 0.01}}}
trainer: {max_epochs: 1, accelerator: cpu, enable_progress_bar: false}
"""
RUN = Path("runs/small/version_0")
LAST = RUN / "checkpoints" / "last.ckpt"


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty folder with a small config, in which training draws no pictures."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch, "set_num_threads", lambda threads: None)
    monkeypatch.setattr(closing, "pictures", lambda *args: {})  # most of a run's time
    (tmp_path / "small.yaml").write_text(SMALL)
    return tmp_path


@pytest.fixture
def train(home, capsys):
    """Train: (arguments) -> status, stdout, stderr."""

    def call(*args):
        capsys.readouterr()
        return cli.main(list(args)), *capsys.readouterr()

    return call


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def changed(text, keys, value):
    """A config with one value in place of another."""
    config = inner = yaml.safe_load(text)
    for key in keys[:-1]:
        inner = inner.setdefault(key, {})
    inner[keys[-1]] = value
    return yaml.safe_dump(config)


# Paths in a checkpoint


def keeping(**arguments):
    """The small config with a ModelCheckpoint of Lightning's."""
    given = {"dirpath": "kept", "filename": "{step}"} | arguments
    callback = {"class_path": "lightning.pytorch.callbacks.ModelCheckpoint", "init_args": given}
    return changed(SMALL, ["trainer", "callbacks"], [callback])


@pytest.mark.filterwarnings("ignore:Checkpoint directory:UserWarning")
@pytest.mark.parametrize("named", ["kept/../notes.txt", "kept/notes.txt"])
@pytest.mark.parametrize("monitor", ["half_mse/val", None])
def test_paths_in_a_checkpoint_are_never_removed(train, home, named, monitor):
    (home / "small.yaml").write_text(keeping(monitor=monitor))
    assert train("--config", "small.yaml")[0] == 0
    notes = f"{home}/{named}"
    Path(notes).write_text("mine")
    content = read(LAST)
    (state,) = [value for key, value in content["callbacks"].items() if "ModelC" in key]
    bad = torch.tensor(1e9)
    state |= {"best_k_models": {notes: bad}, "kth_best_model_path": notes, "kth_value": bad}
    state |= {"best_model_path": notes, "last_model_path": notes}
    LAST.write_bytes(pack(content))
    assert train("--resume", str(RUN), "--trainer.max_epochs", "2")[0] == 0
    assert len(list((home / "kept").glob("*.ckpt"))) == 2  # it went on
    assert Path(notes).read_text() == "mine"


def test_only_what_was_written_is_removed(tmp_path):
    kept, mine, theirs = Durable(), tmp_path / "mine.ckpt", tmp_path / "theirs.ckpt"
    kept.save_checkpoint({"state_dict": {}}, mine)
    Durable().save_checkpoint({"state_dict": {}}, theirs)
    (tmp_path / "link").symlink_to(tmp_path)
    kept.remove_checkpoint(theirs)
    assert theirs.exists()
    kept.remove_checkpoint(tmp_path / "link" / "mine.ckpt")
    assert not mine.exists()
    mine.write_text("somebody else's by now")
    kept.remove_checkpoint(mine)
    assert mine.exists()


def test_link_that_would_replace_whatever_lies_there_is_refused(train, home):
    (home / "small.yaml").write_text(keeping(save_last="link"))
    (home / "kept" / "last.ckpt").mkdir(parents=True)
    before = list(home.rglob("*"))
    said = (
        "error: ModelCheckpoint cannot have save_last: link, which removes whatever has the "
        "link's name: set it to true\n"
    )
    assert train("--config", "small.yaml") == (2, "", said)
    assert list(home.rglob("*")) == before


# Another series under the same name


WAVE = np.sin(np.arange(200) / 9)
OTHERS = {
    "it has 300 points and had 200": np.sin(np.arange(300) / 9),
    "its values differ": WAVE[::-1],
    "it is float32 and was float64": WAVE.astype(np.float32),
}


@pytest.mark.parametrize("way", ["--resume", "--ckpt_path"])
@pytest.mark.parametrize("differs", OTHERS)
def test_other_series_under_the_same_name_is_refused(train, home, way, differs):
    np.save(home / "series.npy", WAVE)
    given = ["--config", "small.yaml", "--data.series", "FileSeries"]
    given += ["--data.series.path", "series.npy"]
    (home / "small.yaml").write_text(changed(SMALL, ["data"], {"batch_size": 32}))
    assert train(*given)[0] == 0
    before = contents(home / "runs")
    np.save(home / "series.npy", OTHERS[differs])
    args = {"--resume": ["--resume", str(RUN)], "--ckpt_path": [*given, "--ckpt_path", str(LAST)]}
    said = f"error: the series is another than that of {LAST}: {differs}: restore it, or start "
    assert train(*args[way], "--trainer.max_epochs", "2") == (2, "", f"{said}a new run\n")
    assert contents(home / "runs") == before
    np.save(home / "series.npy", WAVE)
    assert train(*args[way], "--trainer.max_epochs", "2")[0] == 0


# Curves that are not those of the checkpoint


def test_curve_with_a_hole_is_refused_and_none_at_all_is_not(train, home):
    assert train("--config", "small.yaml", "--trainer.max_epochs", "3")[0] == 0
    args = ["--resume", str(RUN), "--trainer.max_epochs", "4"]
    table = RUN / "metrics.csv"
    head, first, second, *rest = table.read_text().splitlines(keepends=True)
    table.write_text("".join([head, first, *rest]))
    before = contents(home)
    said = (
        f"error: {table} is not as the checkpoint left it: it has 3 rows and had 4: restore it, "
        "or remove it to go on without the earlier curve\n"
    )
    assert train(*args) == (2, "", said)
    assert contents(home) == before
    table.unlink()
    assert train(*args)[0] == 0
    assert len(table.read_text().splitlines()) == 2  # the names, and the fourth epoch
    assert train("--resume", str(RUN), "--trainer.max_epochs", "5")[0] == 0
    assert len(table.read_text().splitlines()) == 3


# What a cluster's shell leaves in the environment


@pytest.mark.parametrize("way", ["new", "--resume"])
@pytest.mark.parametrize("name", ["RANK", "LOCAL_RANK", "SLURM_PROCID", "JSM_NAMESPACE_RANK"])
def test_rank_that_is_not_the_trainers_is_refused(train, home, monkeypatch, name, way):
    args = ["--config", "small.yaml"]
    if way == "--resume":
        assert train(*args)[0] == 0
        args = ["--resume", str(RUN), "--trainer.max_epochs", "2"]
    before, held = contents(home), sorted(home.rglob("*"))
    monkeypatch.setenv(name, "1")
    said = (
        f"error: {name} is 1 in the environment and the trainer's rank is 0: unset {name}, or set "
        "trainer.devices and trainer.strategy for several processes\n"
    )
    assert train(*args) == (2, "", said)
    assert sorted(home.rglob("*")) == held
    assert contents(home) == before


def test_rank_of_a_second_machine_that_the_environment_does_not_tell_is_refused(
    train, home, monkeypatch
):
    monkeypatch.setenv("NODE_RANK", "1")
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    nodes = "--trainer.num_nodes 2 --trainer.strategy ddp --trainer.devices 1".split()
    status, out, err = train("--config", "small.yaml", *nodes)
    assert (status, out) == (2, "")
    assert err == (
        "error: RANK is not set in the environment and the trainer's rank is 1: start the "
        "processes with torchrun\n"
    )
    assert [path.name for path in home.iterdir()] == ["small.yaml"]


TWO = "--trainer.devices 2 --trainer.strategy ddp --trainer.accelerator cpu".split()
SLURM = {
    "SLURM_NTASKS=2": ([], "You set `--ntasks=2` in your SLURM bash script, [^\n]+"),
    "SLURM_NTASKS=2 SLURM_NTASKS_PER_NODE=2": (TWO, "SLURM_NODEID is not set in the environment"),
}


@pytest.mark.parametrize("left", SLURM)
def test_variables_of_slurm_that_do_not_fit_are_refused(train, home, monkeypatch, left):
    for variable in left.split():
        monkeypatch.setenv(*variable.split("="))
    args, reason = SLURM[left]
    status, out, err = train("--config", "small.yaml", *args)
    assert (status, out) == (2, "")
    assert re.fullmatch(
        rf"error: the trainer cannot be made: {reason}; or unset SLURM_NTASKS where SLURM does not "
        "start this run\n",
        err,
    )
    assert [path.name for path in home.iterdir()] == ["small.yaml"]
