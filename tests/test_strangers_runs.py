"""Run folders from strangers, and runs that others reach into: nothing foreign is touched."""

import errno
import os
import re
import shutil
import signal
from pathlib import Path

import numpy as np
import programs
import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.utilities import rank_zero_only
from strangers import RUN, SMALL, changed, forge

from sinrnn import job, run_folder
from sinrnn.cli import diagnose, export, forecast
from sinrnn.training.checkpoint_io import AtomicCheckpointIO, read

ROOT = Path(__file__).parent.parent
RESUME = ["--resume", "theirs", "--trainer.max_epochs", "2"]


@pytest.fixture
def home(tmp_path, no_pictures):
    """An empty folder with a small config, in which training draws no pictures."""
    (tmp_path / "small.yaml").write_text(SMALL)
    return tmp_path


# Paths in a checkpoint


def keeping(**arguments):
    """The small config with a ModelCheckpoint of Lightning's."""
    given = {"filename": "{step}"} | arguments
    callback = {"class_path": "lightning.pytorch.callbacks.ModelCheckpoint", "init_args": given}
    return changed(SMALL, "trainer.callbacks", [callback])


@pytest.mark.filterwarnings("ignore:Checkpoint directory:UserWarning")
@pytest.mark.parametrize("named", ["runs/../notes.txt", f"{RUN}/checkpoints/notes.txt"])
@pytest.mark.parametrize("monitor", ["half_mse/val", None])
def test_paths_in_a_checkpoint_are_never_removed(train, home, named, monitor):
    (home / "small.yaml").write_text(keeping(monitor=monitor))
    assert train("--config", "small.yaml")[0] == 0
    notes = f"{home}/{named}"
    Path(notes).write_text("mine")

    def name_notes(content):
        (state,) = [value for key, value in content["callbacks"].items() if "ModelC" in key]
        bad = torch.tensor(1e9)
        state |= {"best_k_models": {notes: bad}, "kth_best_model_path": notes, "kth_value": bad}
        state |= {"best_model_path": notes, "last_model_path": notes}

    last = forge(RUN, name_notes)
    assert train("--resume", str(RUN), "--trainer.max_epochs", "2")[0] == 0
    assert len(list(last.parent.glob("step=*.ckpt"))) == 2  # it went on
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


def test_link_that_would_replace_whatever_lies_there_is_refused(refused, home):
    (home / "small.yaml").write_text(keeping(save_last="link"))
    said = refused("--config", "small.yaml")
    assert said.startswith("trainer.callbacks.save_last 'link' would replace")


# Another series under the same name


WAVE = np.sin(np.arange(200) / 9)
OTHERS = {
    "it has 300 points instead of 200": np.sin(np.arange(300) / 9),
    "its values differ": WAVE[::-1],
    "it is float32 instead of float64": WAVE.astype(np.float32),
}


@pytest.mark.parametrize("differs", OTHERS)
def test_other_series_under_the_same_name_is_refused(refused, train, home, differs):
    np.save(home / "series.npy", WAVE)
    given = ["--config", "small.yaml", "--data.series", "FileSeries"]
    given += ["--data.series.path", "series.npy"]
    (home / "small.yaml").write_text(changed(SMALL, "data", {"batch_size": 32}))
    assert train(*given)[0] == 0
    np.save(home / "series.npy", OTHERS[differs])
    args = ["--resume", str(RUN), "--trainer.max_epochs", "2"]
    assert refused(*args) == (
        f"the series is not the one that {RUN}/checkpoints/last.ckpt was trained on: {differs}: "
        "restore it, or start a new run"
    )
    np.save(home / "series.npy", WAVE)
    assert train(*args)[0] == 0


# Curves that are not those of the checkpoint


def test_curve_with_a_hole_is_refused_and_none_at_all_is_not(refused, train, theirs):
    assert train("--resume", "theirs", "--trainer.max_epochs", "3")[0] == 0
    args = ["--resume", "theirs", "--trainer.max_epochs", "4"]
    table = theirs / "metrics.csv"
    head, first, _, *rest = table.read_text().splitlines(keepends=True)
    table.write_text("".join([head, first, *rest]))
    assert refused(*args) == (
        f"{table} has changed since the checkpoint was saved: it has 3 rows instead of 4: restore "
        "it, or remove it to resume without the earlier rows"
    )
    table.unlink()
    assert train(*args)[0] == 0
    assert len(table.read_text().splitlines()) == 2  # the names, and the fourth epoch
    assert train("--resume", "theirs", "--trainer.max_epochs", "5")[0] == 0
    assert len(table.read_text().splitlines()) == 3


@pytest.mark.parametrize("told", ["text", 5, [1], {"x": 1}, {"rows": "x"}, {"rows": -1}])
def test_checkpoint_that_tells_no_rows_is_refused(refused, theirs, told):
    forge(theirs, lambda content: content.update(metrics=told))
    said = refused("--resume", "theirs", "--trainer.max_epochs", "5")
    assert said.startswith("theirs/metrics.csv has changed since the checkpoint was saved: ")


# What a cluster's shell leaves in the environment


RANKS = ("RANK", "LOCAL_RANK", "SLURM_PROCID", "JSM_NAMESPACE_RANK")
NEW = ["--config", "small.yaml"]
NODES = "--trainer.num_nodes 2 --trainer.strategy ddp --trainer.devices 1".split()
TWO = "--trainer.devices 2 --trainer.strategy ddp --trainer.accelerator cpu".split()
OTHER = (
    "{0} is 1 in the environment and the trainer's rank is 0: unset {0}, or set trainer.devices "
    "and trainer.strategy for several processes"
)
UNTOLD = (
    "RANK is not set in the environment and the trainer's rank is 1: start the processes with "
    "torchrun"
)
SLURM = "the trainer cannot be made: {}; or unset SLURM_NTASKS if SLURM does not start this run"
TASKS = SLURM.format("You set `--ntasks=2` in your SLURM bash script, [^\n]+")
NODE = SLURM.format("SLURM_NODEID is not set in the environment")


@pytest.mark.usefixtures("home", "theirs")
@pytest.mark.parametrize(
    ("left", "args", "said"),
    [
        *((f"{name}=1", args, OTHER.format(name)) for name in RANKS for args in (NEW, RESUME)),
        ("NODE_RANK=1 MASTER_ADDR=127.0.0.1", [*NEW, *NODES], UNTOLD),
        ("SLURM_NTASKS=2", NEW, TASKS),
        ("SLURM_NTASKS=2 SLURM_NTASKS_PER_NODE=2", [*NEW, *TWO], NODE),
    ],
)
def test_environment_of_other_processes_is_refused(refused, monkeypatch, left, args, said):
    monkeypatch.setattr(rank_zero_only, "rank", 0)  # which the trainer sets for good
    for variable in left.split():
        monkeypatch.setenv(*variable.split("="))
    assert re.fullmatch(said, refused(*args))


# Escape sequences, which a terminal would obey

BELL = "\x1b]0;title\x07"


def assert_shown(*texts):
    for text in texts:
        assert all(c.isprintable() for c in text.replace("\n", "")), text
    assert any(r"\x1b]0;title\x07" in text for text in texts)


SAID = {
    "a column": (SMALL, "--data.series FileSeries --data.series.path x.csv"),
    "a key": ('"\\e]0;title\\a": 1\n', ""),
    "a class": ('data: {series: {class_path: "\\e]0;title\\a.Bird"}}\n', ""),
    "a class of ours": ('data: {series: {class_path: "sinrnn.\\e]0;title\\a"}}\n', ""),
    "a value": ('trainer: {max_epochs: "\\e]0;title\\a"}\n', ""),
    "a file": ('resume: "\\e]0;title\\a"\n', ""),
}


@pytest.mark.parametrize("named", SAID)
def test_escape_sequences_are_shown_where_training_refuses(refused, home, named):
    config, args = SAID[named]
    (home / "x.csv").write_text(f"{BELL},{BELL}b\n1,2\n3,4\n2,6\n")
    (home / "small.yaml").write_text(config)
    assert_shown(refused("--config", "small.yaml", *args.split()))


class Asks(Callback):
    """Asks the process to end, once."""

    def on_train_batch_end(self, *args):
        os.kill(os.getpid(), signal.SIGTERM)


def test_escape_sequences_in_a_folders_name_are_shown(train, theirs, capsys):
    folder = f"{BELL}\nof theirs"
    theirs.rename(folder)
    title = r"\x1b]0;title\x07\nof theirs"
    status, out, err = train("--resume", folder)
    assert (status, err) == (0, "")
    assert_shown(out)
    assert f"run          {title}\n" in out
    report = Path(folder, "report.md").read_text()
    assert_shown(report)
    assert report.startswith(f"# {title}\n\n")
    assert forecast.main([folder, "--steps", "3"]) == 0
    assert_shown(capsys.readouterr().out)
    assert diagnose.main([folder]) == 0
    status, _, err = train("--resume", folder, "--trainer.max_epochs", "9", callbacks=[Asks()])
    assert status == 128 + signal.SIGTERM
    assert_shown(err)
    assert "stopped by SIGTERM, and saved; resume with: " in err


@pytest.mark.extra
def test_escape_sequences_in_a_folders_name_are_shown_by_the_export(theirs, capsys):
    pytest.importorskip("onnx", reason="ONNX files need onnx: sinrnn[onnx]")
    theirs.rename(f"{BELL}\nof theirs")
    assert export.main([f"{BELL}\nof theirs"]) == 0
    assert_shown(capsys.readouterr().out)


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("program", [forecast, diagnose, export], ids=lambda x: x.__name__)
def test_escape_sequences_in_arguments_are_shown(refused, capsys, program):
    steps = ["--steps", "3"] if program is forecast else []
    assert_shown(refused(BELL, *steps, main=program.main))
    with pytest.raises(SystemExit):
        program.main([BELL, *steps, BELL])
    out, err = capsys.readouterr()
    assert out == ""
    assert_shown(err)


# Whoever reads what is said, and stops to


COMMANDS = {
    "train": "--config small.yaml",
    "train with its bar": "--config small.yaml --trainer.enable_progress_bar true",
    "train refusing": "--config nope.yaml",
    "train --help": "--help",
    "forecast": "theirs --steps 3",
    "forecast --help": "--help",
    "diagnose": "theirs",
    "diagnose --help": "--help",
    "export": "theirs",
    "export --help": "--help",
}


def command(given):
    return [ROOT / "scripts" / f"{given.split()[0]}.py", *COMMANDS[given].split()]


@pytest.mark.process
@pytest.mark.usefixtures("home", "theirs")
@pytest.mark.parametrize(
    "given", [pytest.param(g, marks=pytest.mark.extra if g == "export" else ()) for g in COMMANDS]
)
def test_programs_end_silently_where_nobody_reads_on(given):
    if given == "export":
        pytest.importorskip("onnx", reason="ONNX files need onnx: sinrnn[onnx]")
    shared = given == "train refusing"  # what it says goes where nobody reads, too
    done = programs.run(*command(given), stdout=None, joined=shared)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.process
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no such device")
@pytest.mark.usefixtures("home", "theirs")
@pytest.mark.parametrize("given", ["train", "train with its bar", "forecast", "diagnose"])
def test_output_that_cannot_be_written_is_one_line(given):
    done = programs.run(*command(given), stdout="/dev/full")
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
    assert train(*args, callbacks=[Gone(error)])[0] == status
    assert read(RUN / "checkpoints" / "last.ckpt")["epoch"] == 0
    assert train("--resume", str(RUN))[0] == 0
    assert train(*args)[0] == 0
    for name in ("metrics.csv", "model.safetensors"):
        one, two = (RUN.with_name(f"version_{i}") / name for i in range(2))
        assert one.read_bytes() == two.read_bytes()


# A folder that somebody removes or replaces while a run gets ready

VANISHED = "error: {} was removed or replaced: start again\n"


def vanish(what):
    shutil.rmtree(what)


def replace(what):
    what.rename("moved")
    what.mkdir()
    (what / "config.yaml").write_text("another's")


@pytest.fixture
def meanwhile(monkeypatch):
    """Before a function is called, something happens to a folder."""

    def call(module, name, happens, what):
        called = getattr(module, name)

        def late(*args):
            happens(what)
            return called(*args)

        monkeypatch.setattr(module, name, late)

    return call


@pytest.mark.parametrize(
    ("module", "when"), [(run_folder, "claim"), (job, "make_trainer"), (job, "make_loggers")]
)
@pytest.mark.parametrize("what", [RUN, RUN.parent, RUN.parent.parent])
def test_folder_that_vanishes_leaves_nothing_behind(train, home, meanwhile, module, when, what):
    meanwhile(module, when, vanish, what)
    assert train("--config", "small.yaml") == (2, "", VANISHED.format(RUN))
    assert sorted(path.name for path in home.rglob("*")) == ["small.yaml"]


@pytest.mark.usefixtures("home")
def test_folder_of_another_run_by_then_is_left_as_it_is(train, meanwhile):
    meanwhile(job, "make_loggers", replace, RUN)
    assert train("--config", "small.yaml") == (2, "", VANISHED.format(RUN))
    assert (RUN / "config.yaml").read_text() == "another's"


def test_folder_that_vanishes_where_a_run_goes_on_is_not_made_again(train, theirs, meanwhile):
    meanwhile(job, "make_trainer", vanish, theirs)
    assert train("--resume", "theirs") == (2, "", VANISHED.format("theirs"))
    assert not theirs.exists()
