"""Run folders from strangers, and runs that others reach into: nothing foreign is touched."""

import errno
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from lightning.pytorch import Callback
from lightning.pytorch.utilities import rank_zero_only
from strangers import SMALL, work_in

from sinrnn import job, run_folder
from sinrnn.cli import diagnose, export, forecast
from sinrnn.cli import train as cli
from sinrnn.training.checkpoint_io import AtomicCheckpointIO, pack, read

ROOT = Path(__file__).parent.parent
RUN = Path("runs/small/version_0")
LAST = RUN / "checkpoints" / "last.ckpt"


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty folder with a small config, in which training draws no pictures."""
    work_in(tmp_path, monkeypatch)
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
    given = {"filename": "{step}"} | arguments
    callback = {"class_path": "lightning.pytorch.callbacks.ModelCheckpoint", "init_args": given}
    return changed(SMALL, ["trainer", "callbacks"], [callback])


@pytest.mark.filterwarnings("ignore:Checkpoint directory:UserWarning")
@pytest.mark.parametrize("named", ["runs/../notes.txt", f"{RUN}/checkpoints/notes.txt"])
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
    assert len(list(LAST.parent.glob("step=*.ckpt"))) == 2  # it went on
    assert Path(notes).read_text() == "mine"


def test_only_what_was_written_is_removed(tmp_path):
    kept, mine, theirs = AtomicCheckpointIO(), tmp_path / "mine.ckpt", tmp_path / "theirs.ckpt"
    kept.save_checkpoint({"state_dict": {}}, mine)
    AtomicCheckpointIO().save_checkpoint({"state_dict": {}}, theirs)
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
    status, out, said = train("--config", "small.yaml")
    assert (status, out) == (2, "")
    assert said.startswith("error: trainer.callbacks.save_last 'link' would replace")
    assert not (home / "runs").exists()


# Another series under the same name


WAVE = np.sin(np.arange(200) / 9)
OTHERS = {
    "it has 300 points and had 200": np.sin(np.arange(300) / 9),
    "its values differ": WAVE[::-1],
    "it is float32 and was float64": WAVE.astype(np.float32),
}


@pytest.mark.parametrize("differs", OTHERS)
def test_other_series_under_the_same_name_is_refused(train, home, differs):
    np.save(home / "series.npy", WAVE)
    given = ["--config", "small.yaml", "--data.series", "FileSeries"]
    given += ["--data.series.path", "series.npy"]
    (home / "small.yaml").write_text(changed(SMALL, ["data"], {"batch_size": 32}))
    assert train(*given)[0] == 0
    before = contents(home / "runs")
    np.save(home / "series.npy", OTHERS[differs])
    args = ["--resume", str(RUN), "--trainer.max_epochs", "2"]
    said = f"error: the series is another than that of {LAST}: {differs}: restore it, or start "
    assert train(*args) == (2, "", f"{said}a new run\n")
    assert contents(home / "runs") == before
    np.save(home / "series.npy", WAVE)
    assert train(*args)[0] == 0


# Curves that are not those of the checkpoint


def test_curve_with_a_hole_is_refused_and_none_at_all_is_not(train, home):
    assert train("--config", "small.yaml", "--trainer.max_epochs", "3")[0] == 0
    args = ["--resume", str(RUN), "--trainer.max_epochs", "4"]
    table = RUN / "metrics.csv"
    head, first, _, *rest = table.read_text().splitlines(keepends=True)
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


@pytest.mark.parametrize("told", ["text", 5, [1], {"x": 1}, {"rows": "x"}, {"rows": -1}])
def test_checkpoint_that_tells_no_rows_is_refused(train, home, told):
    assert train("--config", "small.yaml")[0] == 0
    LAST.write_bytes(pack(read(LAST) | {"metrics": told}))
    before = contents(home)
    status, out, err = train("--resume", str(RUN))
    assert (status, out) == (2, "")
    assert err.startswith(f"error: {RUN}/metrics.csv is not as the checkpoint left it: ")
    assert err.count("\n") == 1
    assert contents(home) == before


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
    monkeypatch.setattr(rank_zero_only, "rank", 0)  # which the trainer sets for good
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


# Escape sequences, which a terminal would obey

BELL = "\x1b]0;title\x07"


def assert_shown(*texts):
    for text in texts:
        assert all(c.isprintable() for c in text.replace("\n", "")), text
    assert any(r"\x1b]0;title\x07" in text for text in texts)


COLUMNS = f"{BELL},{BELL}b\n1,2\n3,4\n2,6\n"
SAID = {
    "a column": ("small.yaml", "--data.series FileSeries --data.series.path x.csv"),
    "a key": ('"\\e]0;title\\a": 1\n', ""),
    "a class": ('data: {series: {class_path: "\\e]0;title\\a.Bird"}}\n', ""),
    "a class of ours": ('data: {series: {class_path: "sinrnn.\\e]0;title\\a"}}\n', ""),
    "a value": ('trainer: {max_epochs: "\\e]0;title\\a"}\n', ""),
    "a file": ('resume: "\\e]0;title\\a"\n', ""),
}


@pytest.mark.parametrize("named", SAID)
def test_escape_sequences_are_shown_where_training_refuses(train, home, named):
    config, args = SAID[named]
    (home / "x.csv").write_text(COLUMNS)
    if config != "small.yaml":
        (home / "small.yaml").write_text(config)
    status, out, err = train("--config", "small.yaml", *args.split())
    assert (status, out) == (2, "")
    assert_shown(err)


def test_escape_sequences_in_a_folders_name_are_shown(train, home, capsys):
    assert train("--config", "small.yaml")[0] == 0
    theirs = home / "runs" / f"{BELL}\nof theirs"
    RUN.rename(theirs)
    shown, title = str(theirs.relative_to(home)), r"\x1b]0;title\x07\nof theirs"
    status, out, err = train("--resume", shown)
    assert (status, err) == (0, "")
    assert_shown(out)
    assert f"run          runs/{title}\n" in out
    report = (theirs / "report.md").read_text()
    assert_shown(report)
    assert report.startswith(f"# runs/{title}\n\n")
    assert forecast.main([shown, "--steps", "3"]) == 0
    assert_shown(capsys.readouterr().out)
    assert diagnose.main([shown]) == 0


@pytest.mark.extra
def test_escape_sequences_in_a_folders_name_are_shown_by_the_export(train, home, capsys):
    pytest.importorskip("onnx", reason="ONNX files need onnx: sinrnn[onnx]")
    assert train("--config", "small.yaml")[0] == 0
    theirs = home / "runs" / f"{BELL}\nof theirs"
    RUN.rename(theirs)
    assert export.main([str(theirs)]) == 0
    assert_shown(capsys.readouterr().out)


@pytest.mark.parametrize("program", [forecast, diagnose, export], ids=lambda x: x.__name__)
def test_escape_sequences_in_arguments_are_shown(home, capsys, program):
    steps = ["--steps", "3"] if program is forecast else []
    assert program.main([BELL, *steps]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert_shown(err)
    with pytest.raises(SystemExit):
        program.main([BELL, *steps, BELL])
    out, err = capsys.readouterr()
    assert out == ""
    assert_shown(err)


class Asks(Callback):
    """Asks the process to end, once."""

    def on_train_batch_end(self, *args):
        os.kill(os.getpid(), signal.SIGTERM)


def test_escape_sequences_in_the_command_that_goes_on_are_shown(train, home, capsys):
    assert train("--config", "small.yaml")[0] == 0
    theirs = f"runs/{BELL}"
    RUN.rename(theirs)
    args = ["--resume", theirs, "--trainer.max_epochs", "9"]
    assert cli.main(args, [Asks()]) == 128 + signal.SIGTERM
    err = capsys.readouterr().err
    assert_shown(err)
    assert "stopped by SIGTERM, and saved; go on with: " in err


# Whoever reads what is said, and stops to


BUFFERED = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}


def closed(*command, errors=False):
    """A process whose output nobody reads: its exit status, and what it says of that."""
    stderr = subprocess.STDOUT if errors else subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, *command], stdout=subprocess.PIPE, stderr=stderr, text=True, env=BUFFERED
    ) as process:
        process.stdout.close()
        said = "" if errors else process.stderr.read()
    return process.returncode, said


SCRIPTS = {
    "train": "--config small.yaml",
    "train with its bar": "--config small.yaml --trainer.enable_progress_bar true",
    "train --help": "--help",
    "forecast": f"{RUN} --steps 3",
    "forecast --help": "--help",
    "diagnose": f"{RUN}",
    "diagnose --help": "--help",
    "export --help": "--help",
}


@pytest.mark.parametrize("given", SCRIPTS)
def test_programs_end_silently_where_nobody_reads_on(train, home, given):
    script = str(ROOT / "scripts" / f"{given.split()[0]}.py")
    assert train("--config", "small.yaml")[0] == 0
    assert closed(script, *SCRIPTS[given].split()) == (141, "")


@pytest.mark.extra
def test_export_ends_silently_where_nobody_reads_on(train, home):
    pytest.importorskip("onnx", reason="ONNX files need onnx: sinrnn[onnx]")
    assert train("--config", "small.yaml")[0] == 0
    assert closed(str(ROOT / "scripts" / "export.py"), str(RUN)) == (141, "")


def test_refusal_that_nobody_reads_ends_in_the_same_way(home):
    script = str(ROOT / "scripts" / "train.py")
    assert closed(script, "--config", "nope.yaml", errors=True) == (141, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no such device")
@pytest.mark.parametrize("given", ["train", "train with its bar", "forecast", "diagnose"])
def test_output_that_cannot_be_written_is_one_line(train, home, given):
    assert train("--config", "small.yaml")[0] == 0
    script = str(ROOT / "scripts" / f"{given.split()[0]}.py")
    command = [sys.executable, script, *SCRIPTS[given].split()]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, env=BUFFERED)
    assert (done.returncode, done.stderr) == (2, "error: [Errno 28] No space left on device\n")


class Gone(Callback):
    """What is printed can be written no more, in the second epoch."""

    def __init__(self, error):
        self.error = error

    def on_train_batch_end(self, trainer, *args):
        if trainer.current_epoch == 1:
            raise OSError(self.error, os.strerror(self.error))


@pytest.mark.parametrize(("error", "status"), [(errno.EPIPE, 141), (errno.ENOSPC, 2)])
def test_training_that_nobody_reads_saves_what_it_has(train, home, error, status):
    args = ["--config", "small.yaml", "--trainer.max_epochs", "3"]
    assert cli.main(args, [Gone(error)]) == status
    assert read(LAST)["epoch"] == 0
    assert train("--resume", str(RUN))[0] == 0
    assert train("--config", "small.yaml", "--trainer.max_epochs", "3")[0] == 0
    for name in ("metrics.csv", "model.safetensors"):
        one, two = (RUN.with_name(f"version_{i}") / name for i in range(2))
        assert one.read_bytes() == two.read_bytes()


# A folder that somebody removes or replaces while a run gets ready

VANISHED = "error: runs/small/version_0 has vanished, or is another folder by now: start again\n"


@pytest.mark.parametrize(
    ("module", "when"), [(run_folder, "claim"), (job, "_made"), (job, "loggers")]
)
@pytest.mark.parametrize("what", [RUN, RUN.parent, RUN.parent.parent])
def test_folder_that_vanishes_leaves_nothing_behind(train, home, monkeypatch, module, when, what):
    called = getattr(module, when)

    def vanish(*args):
        shutil.rmtree(what)
        return called(*args)

    monkeypatch.setattr(module, when, vanish)
    assert train("--config", "small.yaml") == (2, "", VANISHED)
    assert sorted(path.name for path in home.rglob("*")) == ["small.yaml"]


def test_folder_of_another_run_by_then_is_left_as_it_is(train, home, monkeypatch):
    called = job.loggers

    def replace(*args):
        RUN.rename(home / "moved")
        RUN.mkdir()
        (RUN / "config.yaml").write_text("another's")
        return called(*args)

    monkeypatch.setattr(job, "loggers", replace)
    assert train("--config", "small.yaml") == (2, "", VANISHED)
    assert (RUN / "config.yaml").read_text() == "another's"


def test_folder_that_vanishes_where_a_run_goes_on_is_not_made_again(train, home, monkeypatch):
    assert train("--config", "small.yaml")[0] == 0
    called = job._made

    def vanish(*args):
        shutil.rmtree(RUN)
        return called(*args)

    monkeypatch.setattr(job, "_made", vanish)
    assert train("--resume", str(RUN)) == (2, "", VANISHED)
    assert not RUN.exists()
