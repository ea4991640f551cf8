"""What a terminal of 80 columns shows: no line is too wide, and none is broken within a word."""

import os
import re
import struct
import sys

import pytest

from sinrnn._status import status
from sinrnn.cli.diagnose import main as diagnose
from sinrnn.cli.train import main as train

pty = pytest.importorskip("pty", reason="Windows has no pseudo-terminals")

COLUMNS = 80
UNITS = "--model.units auto --data.window null --data.series.noise 0.05 --data.series.points 300"
STOPS = "--trainer.callbacks EarlyStopping --trainer.callbacks.monitor half_mse/val "
STOPS += "--trainer.callbacks.patience 3"
ADAM = "--model.optimizer Adam --model.optimizer.lr 0.3 --model.readout_epoch null"
SHORT = "--trainer.max_epochs 40 --figures false"


def shown(main, *args):
    """What a program writes to a terminal: the status, and the lines, each as it was last."""
    import fcntl
    import termios

    pid, end = pty.fork()
    if not pid:
        try:
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 24, COLUMNS, 0, 0))
            sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w")
            sys.__stdout__ = sys.stdout  # which shutil asks for the columns
            ended = main(list(args))
            sys.stdout.flush()
            os._exit(ended)
        finally:
            os._exit(3)
    text = b""
    while True:
        try:
            text += os.read(end, 2**16)
        except OSError:  # it has ended
            break
    _, ended = os.waitpid(pid, 0)
    os.close(end)
    lines = text.decode().replace("\r\n", "\n").split("\n")
    return os.waitstatus_to_exitcode(ended), [line.split("\r") for line in lines]


def test_run_that_stops_early_has_no_line_that_is_too_wide(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COLUMNS", raising=False)
    args = f"{UNITS} {STOPS} {ADAM} {SHORT}".split()
    status, found = shown(train, *args)
    lines = [line[-1] for line in found]
    text = "\n".join(lines)
    assert status == 0, text
    assert max(len(part) for line in found for part in line) < COLUMNS, text
    # The losses stand before the bar, which ends full.
    bar = next(line for line in lines if "step/s" in line)
    ended = re.match(r"epoch (\d+)/40, val=\S+, train=\S+ \|(\S+)\| ", bar)
    assert set(ended[2]) == {"█"}
    why = f"stopped early after epoch {ended[1]} of 40: half_mse/val has not fallen for 3 epochs"
    assert why in " ".join(text.split())
    assert any(part.startswith("evaluating ...") for line in found for part in line)
    assert "..." not in text  # and is cleared before the table
    status, found = shown(diagnose, "runs/sine/version_0")
    assert status == 0
    assert max(len(part) for line in found for part in line) < COLUMNS


def test_error_is_broken_between_words_in_a_terminal(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COLUMNS", raising=False)
    status, found = shown(train, "--data.series", "Nope")
    lines = [line[-1] for line in found]
    assert status == 2
    assert " ".join(" ".join(lines).split()) == (
        "error: data.series: unknown series Nope: choose one of Chirp, Damped, FileSeries, "
        "MackeyGlass, Sine, Square, SumOfSines"
    )
    assert len(lines) > 2
    assert max(map(len, lines)) < COLUMNS


def test_status_is_silent_where_nobody_looks(capsys):
    status("evaluating")
    assert capsys.readouterr() == ("", "")
