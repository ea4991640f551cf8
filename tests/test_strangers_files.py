"""Folders and files from strangers: nothing is written elsewhere, nothing hangs or fills memory."""

import copy
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
import programs
import pytest
import torch
from strangers import forge, seal

from sinrnn import Forecaster, Predictor, SinRNN, Windows, filesystem
from sinrnn.callbacks import final_report
from sinrnn.cli import diagnose, export, forecast
from sinrnn.cli import train as cli
from sinrnn.evaluation import picture
from sinrnn.nn import _interop
from sinrnn.training import checkpoint_io

MAINS = {
    "forecast": lambda args: forecast.main([*args, "--steps", "3"]),
    "forecast of the file": lambda args: MAINS["forecast"]([f"{args[0]}/model.safetensors"]),
    "diagnose": diagnose.main,
    "export": export.main,
    "resume": lambda args: cli.main(["--resume", *args, "--trainer.max_epochs", "2"]),
}
posix = pytest.mark.skipif(os.name == "nt", reason="Windows has no pipes in folders")


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
    assert refused("theirs", main=MAINS[main]).startswith(f"{link} is a link to {goal.resolve()}: ")


@posix
@pytest.mark.parametrize("main", ["forecast", "diagnose"])
def test_run_folder_behind_a_link_is_read(theirs, main):
    Path("runs").symlink_to(theirs.parent.resolve())
    assert MAINS[main](["runs/theirs"]) == 0


@posix
@pytest.mark.usefixtures("alarm")
@pytest.mark.parametrize("main", MAINS)
@pytest.mark.parametrize(
    "name", ["metrics.csv", "config.yaml", "model.safetensors", "checkpoints/last.ckpt"]
)
def test_pipe_in_a_run_folder_is_refused_and_not_waited_for(refused, theirs, main, name):
    (theirs / name).unlink()
    os.mkfifo(theirs / name)
    said = refused("theirs", main=MAINS[main])
    if name != "config.yaml":  # for which some programs have a sentence of their own
        assert said == f"theirs/{name} is not a regular file: put a file in its place"


@posix
@pytest.mark.usefixtures("alarm", "theirs")
@pytest.mark.parametrize("pipe", ["pipe.csv", "pipe.csv.gz", "pipe.npy", "pipe.parquet"])
def test_pipe_in_place_of_a_series_or_a_model_is_refused(refused, pipe):
    os.mkfifo(pipe)
    said = f"{pipe} is not a regular file: put a file in its place"
    assert refused("--data.series", "FileSeries", "--data.series.path", pipe) == said
    assert refused("theirs", "--steps", "3", "--input", pipe, main=forecast.main) == said
    assert refused(pipe, "--steps", "3", main=forecast.main) == said
    assert refused(pipe, main=export.main) == said


def test_report_and_pictures_are_written_durably(theirs, monkeypatch):
    """On a full disk a run that goes on keeps the report and the pictures that it had."""
    drawn = {"losses": lambda: None}
    (theirs / "figures").mkdir(exist_ok=True)
    (theirs / "figures" / "losses.png").write_bytes(b"old")
    report, write = (theirs / "report.md").read_text(), filesystem.write

    def full(path, content):
        if path.suffix in (".png", ".md"):
            raise OSError(f"{path} could not be saved (No space left on device)")
        write(path, content)

    monkeypatch.setattr(final_report, "pictures", lambda *args: drawn)
    monkeypatch.setattr(final_report, "drawn", lambda figure: None)
    monkeypatch.setattr(picture, "encoded", lambda image: b"new")
    for module in (final_report, picture):
        monkeypatch.setattr(module, "write", full)
    assert MAINS["resume"](["theirs"]) == 2
    assert (theirs / "report.md").read_text() == report
    assert (theirs / "figures" / "losses.png").read_bytes() == b"old"
    for module in (final_report, picture):
        monkeypatch.setattr(module, "write", write)
    assert MAINS["resume"](["theirs"]) == 0
    assert (theirs / "figures" / "losses.png").read_bytes() == b"new"


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
        ("coverage", torch.tensor([0.5])),
        ("tested", torch.tensor([1.0, torch.nan])),
        ("learnt", torch.ones(1)),
        ("baseline", "\x1b[31m"),
        ("baseline", "a" * 101),
        ("baseline", 1),
        ("mean", torch.tensor(torch.inf)),
        ("scale", torch.tensor(torch.nan)),
        ("scale", torch.tensor(0.0)),
        ("scale", torch.tensor(-1.0)),
        ("coefficients", torch.ones(3)),
        ("window", 0),
        ("window", "4"),
        ("horizon", None),
        ("horizon", 1.0),
        ("log", 1),
        ("more", 2),
    ],
)
def test_model_whose_numbers_make_no_sense_is_refused(tmp_path, name, value):
    """Its checksum fits: whoever writes a file can write that, too."""
    made = Predictor(SinRNN(hidden_size=5), window=4, standardise=True, linear=True)
    made.calibrate(Windows(torch.sin(torch.arange(60.0)), 4))
    tensors, about = made.content()
    (tensors if isinstance(value, torch.Tensor) else about["predictor"])[name] = value
    path = tmp_path / "theirs.safetensors"
    _interop.save(tensors, about, path)
    with pytest.raises(ValueError, match=r"theirs\.safetensors is not a Predictor file: [^\n]+$"):
        Predictor.load(path)


@pytest.mark.usefixtures("theirs")
def test_steps_beyond_reason_are_refused(refused):
    said = refused("theirs", "--steps", "1000001", main=forecast.main)
    assert said == "--steps must be at most 1,000,000, got 1000001"


@pytest.mark.process
def test_backend_that_matplotlib_does_not_know_is_not_asked_for():
    """Every script imports the programs' package before anything else, and that forgets it."""
    for program in ("train", "forecast", "diagnose", "export"):
        script = Path(__file__).parents[1] / "scripts" / f"{program}.py"
        first = re.search(r"^(?:from|import) (\S+)", script.read_text(), re.MULTILINE)[1]
        assert first.startswith("sinrnn.cli.")
    command = [sys.executable, "-c", "import sinrnn.cli, matplotlib"]
    env = os.environ | {"MPLBACKEND": "nonsense"}
    done = subprocess.run(command, env=env, capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")


# Checkpoints that stand for more than their bytes, or for no numbers


@pytest.mark.parametrize("level", [1, 9])
def test_compressed_checkpoint_is_refused(theirs, level):
    """A few kilobytes of it could stand for gigabytes; its checksum fits."""
    path = theirs / "checkpoints" / "last.ckpt"
    whole = path.read_bytes()[: -checkpoint_io.TRAILER]
    packed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(whole)) as old, zipfile.ZipFile(packed, "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name), zipfile.ZIP_DEFLATED, level)
    path.write_bytes(seal(packed.getvalue()))
    with pytest.raises(ValueError, match="it is compressed"):
        checkpoint_io.read(path)


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
    path.write_bytes(seal(made.getvalue()))
    with pytest.raises(checkpoint_io.CorruptCheckpointError, match="its records overlap"):
        checkpoint_io.read(path)


@pytest.mark.parametrize("value", [torch.nan, -torch.inf])
def test_checkpoint_whose_weights_are_not_finite_is_refused(theirs, refused, value):
    whh = "predictor.net.Whh"
    path = forge(theirs, lambda content: content["state_dict"][whh][1, 2].fill_(value))
    said = f"{path} is not a sinrnn checkpoint: its Whh is not finite"
    assert refused("theirs", main=MAINS["resume"]) == said
    with pytest.raises(checkpoint_io.CorruptCheckpointError, match="Whh is not finite"):
        Forecaster.load_from_checkpoint(path)


# A series that is truncated while it is learnt

TRUNCATED = """
import os, sys
from lightning.pytorch import Callback
from sinrnn.cli import train
from sinrnn.data import readers

readers.COPIED = 100
hook, size = sys.argv.pop(1), int(sys.argv.pop(1))
when = iter([False] * 9 + [True])


def truncate(*args, **options):
    if next(when, False):
        os.truncate("series.npy", size)


sys.exit(train.main(sys.argv[1:], [type("Changes", (Callback,), {hook: truncate})()]))
"""


@pytest.mark.process
@posix
@pytest.mark.parametrize(
    ("hook", "points", "batch", "size"),
    [
        ("on_train_batch_start", 400, 32, 400),  # in the second epoch
        ("on_train_batch_end", 50_000, 1024, 4096),
        ("on_validation_batch_end", 50_000, 1024, 4096),
    ],
)
def test_mapped_series_that_is_truncated_is_not_read_beyond_its_end(
    tmp_path, hook, points, batch, size
):
    """Which the system would answer with a signal that ends the process without a word."""
    np.save(tmp_path / "series.npy", np.sin(np.arange(points) / 9))
    given = ["--data.series", "FileSeries", "--data.series.path", "series.npy"]
    given += ["--data.batch_size", f"{batch}", "--model.readout_epoch", "null"]
    given += ["--model.optimizer", "torch.optim.Adam", "--trainer.enable_progress_bar", "false"]
    done = programs.run("-c", TRUNCATED, hook, size, *given, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("error: series.npy has changed during training")
    folder = tmp_path / "runs" / "sine" / "version_0"
    assert not (folder / "model.safetensors").exists()
    if points == 400:  # the epoch that went well
        assert checkpoint_io.read(folder / "checkpoints" / "last.ckpt")["epoch"] == 0
