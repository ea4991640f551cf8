"""Curves are cut where a run goes on, and training outlives a disk that is full."""

import errno
import io
import os
import re
import signal
import time
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Callback
from strangers import work_in
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.summary.writer.record_writer import RecordWriter

from sinrnn import SinRNN
from sinrnn.cli import train as cli
from sinrnn.training import csv_logger, event_file, loggers

THREE = "a,epoch,step\r\n0.5,,0\r\n,0,7\r\n0.25,1,14\r\n"
TABLE = f"{THREE}0.125,2,1423\r\n"


@pytest.fixture
def path(tmp_path):
    """A table that a run has left."""
    path = tmp_path / "runs" / "name" / "version_0" / "metrics.csv"
    path.parent.mkdir(parents=True)
    path.write_bytes(TABLE.encode())
    return path


def test_table_is_cut_at_the_step_and_goes_on_there(path):
    made = loggers.make_loggers(path.parent, 7)[1]
    assert path.read_bytes().decode() == "a,epoch,step\r\n0.5,,0\r\n,0,7\r\n"
    made.log_metrics({"a": 0.75, "epoch": 1}, 14)
    made.save()
    assert path.read_bytes().decode() == "a,epoch,step\r\n0.5,,0\r\n,0,7\r\n0.75,1,14\r\n"
    made.log_metrics({"b": 3}, 15)
    made.save()
    assert path.read_bytes().decode() == (
        "a,b,epoch,step\r\n0.5,,,0\r\n,,0,7\r\n0.75,,1,14\r\n,3,,15\r\n"
    )


NOW = 1_700_000_000.0
CLOCKS = {
    "stands still": [NOW, NOW, NOW],
    "set back": [NOW, NOW - 86_400, NOW - 7],
    "set back to 1970": [NOW, 5.0, 5.0],
    "goes on": [NOW, NOW + 1, NOW + 86_400],
    "goes on after it was set back": [NOW, NOW - 3, NOW + 3],
}


@pytest.mark.parametrize("clock", CLOCKS)
def test_curves_of_restarts_are_read_in_order_whatever_the_clock_says(tmp_path, monkeypatch, clock):
    folder = tmp_path / "runs" / "name" / "version_0"
    for start, process in enumerate((99, 100, 7)):  # whose names would sort 100, 7, 99
        monkeypatch.setattr(os, "getpid", lambda process=process: process)
        monkeypatch.setattr(time, "time", lambda now=CLOCKS[clock][start]: now)
        monkeypatch.setattr(time, "sleep", None)  # nobody waits for a clock
        events, _ = loggers.make_loggers(folder, 10 * start or None)
        loggers.open_events(events)
        first = 10 * start + 1 if start else 0  # the last four are forgotten, and made again
        for step in range(first, 10 * start + 15):
            events.experiment.add_scalar("loss", 100 * start + step, step)
        events.experiment.close()
    found = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload().Scalars("loss")
    expected = [*range(11), *range(111, 121), *range(221, 235)]
    assert [event.step for event in found] == [value % 100 for value in expected]
    assert [event.value for event in found] == expected
    names = sorted(path.name for path in folder.glob("events.*"))
    assert len(names) == 3
    assert all(re.fullmatch(r"events\.out\.tfevents\.\d{10}\..+", name) for name in names)


def test_table_of_a_run_that_starts_again_is_empty(path):
    loggers.make_loggers(path.parent)
    assert not path.exists()


@pytest.mark.parametrize("lost", range(2, 15))
def test_table_forgets_a_row_that_a_crash_has_cut(path, lost):
    path.write_bytes(TABLE.encode()[:-lost])
    loggers.make_loggers(path.parent, 2000)
    assert path.read_bytes().decode() == THREE


def logged(rows):
    """What a checkpoint says of a table with these rows."""
    made = csv_logger.ResumableCSVLogger(Path("unused"))
    for row in rows:
        made.log_metrics(*row)
    return made.state()


ROWS = [({"a": 0.5}, 0), ({"epoch": 0}, 7), ({"a": 0.25, "epoch": 1}, 14)]


@pytest.fixture
def known(tmp_path, monkeypatch):
    """What a checkpoint of the third row, at step 14, says of the table."""
    monkeypatch.chdir(tmp_path)
    return logged(ROWS)


@pytest.mark.parametrize("step", [7, 14])  # rows that a checkpoint counts stay whatever theirs
def test_table_that_holds_what_was_logged_is_cut_after_it(path, known, step):
    assert known["rows"] == 3
    made = loggers.make_loggers(path.parent, step, known)[1]
    assert path.read_bytes().decode() == THREE
    assert made.state() == known
    made.log_metrics({"a": 0.125, "b": 2.0, "epoch": 2}, 21)
    made.save()
    assert made.state() == logged([*ROWS, ({"a": 0.125, "b": 2.0, "epoch": 2}, 21)])
    # Another column of another run's is no change of these rows.
    assert loggers.make_loggers(path.parent, 14, known)[1].state() == known


DIFFER = "its first 3 rows differ"
DAMAGED = {
    "first row gone": (lambda text: text.replace("0.5,,0\r\n", ""), DIFFER),
    "a digit": (lambda text: text.replace("0.25", "0.35"), DIFFER),
    "another step": (lambda text: text.replace(",14", ",13"), DIFFER),
    "a column": (lambda text: text.replace("a,", "b,"), DIFFER),
    "a cell more": (lambda text: text.replace(",14", ",14,1"), DIFFER),
    "last rows gone": (lambda text: text[: text.index("0.25")], "it has 2 rows instead of 3"),
    "cut within": (lambda text: text[: text.index("14")], "it has 2 rows instead of 3"),
    "empty": (lambda text: "", "it has 0 rows instead of 3"),
    "no table": (lambda text: '"' * 200_000 + "\n", "it has 0 rows instead of 3"),
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_table_without_what_was_logged_is_refused_and_left(path, known, damage):
    damaged, reason = DAMAGED[damage]
    path.write_bytes(damaged(TABLE).encode())
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"metrics\.csv") as error:
        loggers.make_loggers(path.parent, 14, known)
    assert str(error.value) == (
        f"{path} has changed since the checkpoint was saved: {reason}: restore it, or remove it to "
        "resume without the earlier rows"
    )
    assert path.read_bytes() == before


def test_table_that_was_removed_starts_again(path, known):
    path.unlink()
    made = loggers.make_loggers(path.parent, 14, known)[1]
    made.log_metrics({"a": 0.125, "epoch": 2}, 21)
    assert made.state() == logged([({"a": 0.125, "epoch": 2}, 21)])


def test_rows_and_their_file_are_on_the_disk_after_sync(path, known, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", lambda fd: synced.append(os.fstat(fd).st_ino))
    made = loggers.make_loggers(path.parent, 14, known)[1]
    synced.clear()
    made.sync()
    assert synced == [path.stat().st_ino, path.parent.stat().st_ino]


def test_table_is_never_gone(path, monkeypatch):
    def fail(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(csv_logger, "write", fail)
    with pytest.raises(OSError, match="No space left"):
        loggers.make_loggers(path.parent, 7)
    assert path.read_bytes().decode() == TABLE


class Full(Callback):
    """From the second epoch on the disk takes no more events."""

    def on_train_epoch_start(self, trainer, pl_module):
        if trainer.current_epoch == 1:
            events = trainer.loggers[0].experiment.file_writer.event_writer
            events.close()
            events.file = Path("/dev/full").open("ab")


@pytest.mark.slow
def test_training_ends_with_the_same_weights_where_events_cannot_be_written(
    tmp_path, monkeypatch, capsys
):
    handler = signal.getsignal(signal.SIGINT)  # a shell's background jobs ignore it
    work_in(tmp_path, monkeypatch)
    short = ["--data.series.points", "120", "--trainer.max_epochs", "4"]
    short += ["--trainer.enable_progress_bar", "false"]
    assert cli.main(short) == 0
    with pytest.warns(UserWarning, match="events cannot be written") as seen:
        assert cli.main(short, [Full()]) == 0
    said = [str(warning.message) for warning in seen if "events" in str(warning.message)]
    assert said == [
        "TensorBoard's events cannot be written (No space left on device); "
        "training continues without them"
    ]
    assert "error" not in capsys.readouterr().err
    runs = [tmp_path / "runs" / "sine" / f"version_{i}" for i in range(2)]
    one, two = (SinRNN.load(run / "model.safetensors") for run in runs)
    assert all(map(torch.equal, one.parameters(), two.parameters()))
    one, two = ((run / "metrics.csv").read_bytes() for run in runs)
    assert one == two
    assert signal.getsignal(signal.SIGINT) is handler


@pytest.mark.parametrize("size", [0, 1, 9, 100_001])
def test_event_files_have_the_checksums_of_tensorboard(size):
    content = bytes((i * i) % 251 for i in range(size))
    file = io.BytesIO()
    RecordWriter(file).write(content)
    assert event_file.record(content) == file.getvalue()
