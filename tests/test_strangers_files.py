"""Folders and files from strangers: nothing is written elsewhere, nothing hangs or fills memory."""

import copy
import hashlib
import io
import os
import re
import shutil
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback
from strangers import small_run, work_in

from sinrnn import Forecaster, Predictor, SinRNN, Windows, filesystem
from sinrnn.callbacks import final_report
from sinrnn.cli import diagnose, export, forecast
from sinrnn.cli import train as cli
from sinrnn.data import readers
from sinrnn.nn import _interop
from sinrnn.training import checkpoint_io

MAINS = {
    "forecast": lambda run: forecast.main([run, "--steps", "3"]),
    "forecast of the file": lambda run: forecast.main([f"{run}/model.safetensors", "--steps", "3"]),
    "diagnose": lambda run: diagnose.main([run]),
    "export": lambda run: export.main([run]),
    "resume": lambda run: cli.main(["--resume", run, "--trainer.max_epochs", "2"]),
}
posix = pytest.mark.skipif(os.name == "nt", reason="Windows has no pipes in folders")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of a finished run."""
    return small_run(tmp_path_factory.mktemp("trained"))


@pytest.fixture
def theirs(trained, tmp_path, monkeypatch):
    """A copy of that folder, from a stranger; its name, as seen from where one is."""
    shutil.copytree(trained, tmp_path / "theirs")
    work_in(tmp_path, monkeypatch)
    return Path("theirs")


@pytest.fixture
def refused(capsys):
    """Call a main that refuses in one line, and give it."""

    def call(main, *args):
        capsys.readouterr()
        assert main(*args) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert re.fullmatch(r"error: [^\n]+\n", err), err
        return err.removeprefix("error: ").rstrip()

    return call


@pytest.fixture
def alarm():
    """What waits for longer than half a minute fails."""

    def late(number, frame):
        raise TimeoutError("it waits for a pipe")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(30)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


# Links and pipes in a run's folder


@posix
@pytest.mark.parametrize("main", MAINS)
@pytest.mark.parametrize("name", ["report.md", "model.safetensors.part", "metrics.csv", "figures"])
def test_link_in_a_run_folder_is_refused_and_not_followed(refused, theirs, main, name):
    mine = Path("mine")
    mine.mkdir()
    (mine / "thesis.tex").write_text("mine")
    link = theirs / name
    shutil.rmtree(link) if link.is_dir() else link.unlink(missing_ok=True)
    goal = mine if name == "figures" else mine / "thesis.tex"
    link.symlink_to(goal.resolve())
    assert refused(MAINS[main], str(theirs)).startswith(f"{link} is a link to {goal.resolve()}: ")
    assert [path.name for path in mine.iterdir()] == ["thesis.tex"]
    assert (mine / "thesis.tex").read_text() == "mine"


@posix
@pytest.mark.parametrize("main", ["forecast", "diagnose"])
def test_run_folder_behind_a_link_is_read(capsys, theirs, main):
    Path("runs").symlink_to(theirs.parent.resolve())
    assert MAINS[main]("runs/theirs") == 0


@posix
@pytest.mark.usefixtures("alarm")
@pytest.mark.parametrize("main", MAINS)
@pytest.mark.parametrize(
    "name", ["metrics.csv", "config.yaml", "model.safetensors", "checkpoints/last.ckpt"]
)
def test_pipe_in_a_run_folder_is_refused_and_not_waited_for(refused, theirs, main, name):
    (theirs / name).unlink()
    os.mkfifo(theirs / name)
    refused(MAINS[main], str(theirs))


def test_report_and_pictures_are_written_durably(theirs, monkeypatch):
    """On a full disk a run that goes on keeps the report and the pictures that it had."""
    drawn = {"losses": lambda: None}
    (theirs / "figures" / "losses.png").write_bytes(b"old")
    report, write = (theirs / "report.md").read_text(), filesystem.write

    def full(path, content):
        if path.suffix in (".png", ".md"):
            raise OSError(f"{path} could not be saved (No space left on device)")
        write(path, content)

    monkeypatch.setattr(final_report, "pictures", lambda *args: drawn)
    monkeypatch.setattr(final_report, "png", lambda figure: b"new")
    monkeypatch.setattr(final_report, "write", full)
    assert MAINS["resume"](str(theirs)) == 2
    assert (theirs / "report.md").read_text() == report
    assert (theirs / "figures" / "losses.png").read_bytes() == b"old"
    monkeypatch.setattr(final_report, "write", write)
    assert MAINS["resume"](str(theirs)) == 0
    assert (theirs / "figures" / "losses.png").read_bytes() == b"new"


@posix
@pytest.mark.usefixtures("alarm", "theirs")
@pytest.mark.parametrize("ending", ["csv", "csv.gz", "npy", "parquet"])
def test_pipe_in_place_of_a_series_is_refused(refused, ending):
    pipe = f"pipe.{ending}"
    os.mkfifo(pipe)
    said = f"{pipe} is not a regular file: put a file in its place"
    series = ["--data.series", "FileSeries", "--data.series.path", pipe]
    assert refused(cli.main, series) == said
    assert refused(forecast.main, ["theirs", "--steps", "3", "--input", pipe]) == said


@posix
@pytest.mark.usefixtures("alarm", "theirs")
def test_pipe_in_place_of_a_model_or_checkpoint_is_refused(refused):
    os.mkfifo("pipe")
    said = "pipe is not a regular file: put a file in its place"
    Path("pipe").replace("theirs/checkpoints/last.ckpt")
    assert refused(cli.main, ["--resume", "theirs"]) == f"theirs/checkpoints/last.ckpt{said[4:]}"
    os.mkfifo("pipe")
    assert refused(forecast.main, ["pipe", "--steps", "3"]) == said
    assert refused(export.main, ["pipe"]) == said


# Numbers that a file may hold and a network cannot


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Wih", torch.full((5, 1), torch.nan)),
        ("Whh", torch.full((5, 5), torch.inf)),
        ("Who", torch.ones(1, 5, dtype=torch.int64)),
        ("Who", torch.ones(1, 6)),
        ("Whh", torch.ones(5)),
        ("radius", torch.tensor([-1.0])),
        ("radius", torch.tensor([torch.nan])),
        ("radius", torch.ones(2, 2)),
        ("radius", torch.ones(())),
        ("radius", torch.ones(2, dtype=torch.float32)),
        ("mean", torch.tensor(torch.inf)),
        ("scale", torch.tensor(torch.nan)),
        ("scale", torch.tensor(0.0)),
        ("scale", torch.tensor(-1.0)),
        ("coefficients", torch.ones(3)),
    ],
)
def test_model_whose_numbers_make_no_sense_is_refused(tmp_path, name, value):
    """Its checksum fits: whoever writes a file can write that, too."""
    made = Predictor(SinRNN(hidden_size=5), window=4, standardise=True, linear=True)
    made.calibrate(Windows(torch.sin(torch.arange(60.0)), 4))
    tensors, about = made.content()
    path = tmp_path / "theirs.safetensors"
    _interop.save(tensors | {name: value}, about, path)
    with pytest.raises(ValueError, match=r"theirs\.safetensors is not a Predictor file: [^\n]+$"):
        Predictor.load(path)


@pytest.mark.parametrize(
    ("name", "value"),
    [("window", 0), ("window", "4"), ("horizon", None), ("horizon", 1.0), ("log", 1), ("more", 2)],
)
def test_model_whose_values_make_no_sense_is_refused(tmp_path, name, value):
    tensors, about = Predictor(SinRNN(hidden_size=5), window=4).content()
    about["predictor"] = about["predictor"] | {name: value}
    path = tmp_path / "theirs.safetensors"
    _interop.save(tensors, about, path)
    with pytest.raises(ValueError, match=r"theirs\.safetensors is not a Predictor file: [^\n]+$"):
        Predictor.load(path)


def test_steps_beyond_reason_are_refused(trained, capsys):
    assert forecast.main([str(trained), "--steps", "1000001"]) == 2
    assert capsys.readouterr().err == "error: --steps must be at most 1,000,000, got 1000001\n"


@pytest.mark.parametrize("program", ["train", "forecast", "diagnose", "export"])
def test_backend_that_matplotlib_does_not_know_is_not_asked_for(program):
    script = Path(__file__).parents[1] / "scripts" / f"{program}.py"
    env = os.environ | {"MPLBACKEND": "nonsense"}
    done = subprocess.run([sys.executable, script, "--help"], env=env, capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")


# A series that changes while it is learnt


class Changes(Callback):
    """Truncates the file in the second epoch."""

    def on_train_batch_start(self, trainer, *args):
        if trainer.current_epoch == 1 and args[-1] == 1:
            os.truncate("series.npy", 400)


def test_mapped_series_that_changes_ends_the_run_in_a_sentence(
    tmp_path, monkeypatch, capsys, refused
):
    work_in(tmp_path, monkeypatch)
    monkeypatch.setattr(readers, "COPIED", 100)
    np.save("series.npy", np.sin(np.arange(400) / 9))
    given = ["--data.series", "FileSeries", "--data.series.path", "series.npy"]
    given += ["--data.batch_size", "32", "--model.readout_epoch", "null", "--name", "small"]
    given += ["--trainer.max_epochs", "5", "--trainer.enable_progress_bar", "false"]
    assert cli.main(given, [Changes()]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: series.npy has changed while it was in use")
    last = checkpoint_io.read("runs/small/version_0/checkpoints/last.ckpt")
    assert last["epoch"] == 0  # the epoch that went well
    assert not Path("runs/small/version_0/model.safetensors").exists()


@pytest.mark.parametrize("level", [1, 9])
def test_compressed_checkpoint_is_refused(theirs, tmp_path, level):
    """A few kilobytes of it could stand for gigabytes; its checksum fits."""
    path = theirs / "checkpoints" / "last.ckpt"
    whole = path.read_bytes()[: -checkpoint_io.TRAILER]
    packed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(whole)) as old, zipfile.ZipFile(packed, "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name), zipfile.ZIP_DEFLATED, level)
    content = packed.getvalue()
    path.write_bytes(content + checkpoint_io.MARK + hashlib.sha256(content).digest())
    with pytest.raises(ValueError, match="it is compressed"):
        checkpoint_io.read(path)


TRUNCATED = """
import os, sys
import numpy as np
from lightning.pytorch import Callback
from sinrnn.cli import train
from sinrnn.data import readers

readers.COPIED = 100
hook, when = sys.argv.pop(1), iter([False] * 9 + [True])


def truncate(*args, **options):
    if next(when, False):
        os.truncate("series.npy", 4096)


sys.exit(train.main(sys.argv[1:], [type("Changes", (Callback,), {hook: truncate})()]))
"""


@posix
@pytest.mark.parametrize("hook", ["on_train_batch_end", "on_validation_batch_end"])
def test_mapped_series_that_is_truncated_is_not_read_beyond_its_end(tmp_path, hook):
    """Which the system would answer with a signal that ends the process without a word."""
    np.save(tmp_path / "series.npy", np.sin(np.arange(50_000) / 9))
    given = ["--data.series", "FileSeries", "--data.series.path", "series.npy"]
    given += ["--data.batch_size", "1024", "--model.readout_epoch", "null"]
    given += ["--model.optimizer", "torch.optim.Adam", "--trainer.enable_progress_bar", "false"]
    command = [sys.executable, "-c", TRUNCATED, hook, *given]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("error: series.npy has changed while it was in use")


def test_checkpoint_whose_records_share_their_bytes_is_refused(tmp_path):
    """As many names for one record as one likes make gigabytes of megabytes."""
    content = {"state_dict": {f"w{i}": torch.zeros(1000) for i in range(40)}}
    whole, made = io.BytesIO(checkpoint_io.pack(content)[: -checkpoint_io.TRAILER]), io.BytesIO()
    with zipfile.ZipFile(whole) as old, zipfile.ZipFile(made, "w") as new:
        one = None
        for name in old.namelist():
            if one is not None and "/data/" in name:
                again = copy.copy(one)
                again.filename = name
                new.filelist.append(again)
                continue
            new.writestr(name, old.read(name))
            one = new.getinfo(name) if "/data/" in name else None
    made.seek(0)
    assert len(torch.load(made)["state_dict"]) == 40  # torch takes it
    path = tmp_path / "theirs.ckpt"
    content = made.getvalue()
    path.write_bytes(content + checkpoint_io.MARK + hashlib.sha256(content).digest())
    with pytest.raises(checkpoint_io.CorruptCheckpointError, match="its records overlap"):
        checkpoint_io.read(path)


@pytest.mark.parametrize("value", [torch.nan, -torch.inf])
def test_checkpoint_whose_weights_are_not_finite_is_refused(theirs, refused, value):
    path = theirs / "checkpoints" / "last.ckpt"
    content = checkpoint_io.read(path)
    content["state_dict"]["predictor.net.Whh"][1, 2] = value
    path.write_bytes(checkpoint_io.pack(content))
    said = f"{path} is not a sinrnn checkpoint: its Whh is not finite"
    assert refused(MAINS["resume"], str(theirs)) == said
    with pytest.raises(checkpoint_io.CorruptCheckpointError, match="Whh is not finite"):
        Forecaster.load_from_checkpoint(path)
