"""Checkpoints: whole or refused, and what goes on from them ends in the same bits."""

import errno
import io
import os
import pickle
import re
import signal
from functools import partial
from hashlib import sha256
from itertools import count
from types import SimpleNamespace

import pytest
import torch
from cases import BITS
from lightning.pytorch import Callback
from strangers import work_in
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from sinrnn import SinRNN
from sinrnn.callbacks import checkpoint
from sinrnn.callbacks.checkpoint import BestAndLastCheckpoint
from sinrnn.cli import train as cli
from sinrnn.filesystem import write
from sinrnn.training.checkpoint_io import (
    MARK,
    AtomicCheckpointIO,
    CorruptCheckpointError,
    pack,
    read,
)
from sinrnn.training.csv_logger import ResumableCSVLogger

# The rate grows tenfold each epoch: the first two are the best so far, and no later one is.
WORSE = """
name: worse
data: {series: {class_path: sinrnn.Sine, init_args: {points: 120}}, batch_size: 32}
model:
  optimizer: {class_path: torch.optim.Adam, init_args: {lr: 0.001}}
  scheduler: {class_path: torch.optim.lr_scheduler.StepLR, init_args: {step_size: 1, gamma: 10}}
trainer: {accelerator: cpu, enable_progress_bar: false}
"""
STEPS = 3  # an epoch


@pytest.fixture
def main(tmp_path, monkeypatch):
    """Train in an empty folder, in this process, without pictures: (arguments, callbacks)."""
    work_in(tmp_path, monkeypatch)
    (tmp_path / "worse.yaml").write_text(WORSE)
    return cli.main


@pytest.fixture
def train(main, tmp_path):
    """Run the config, or go on with it: (epochs, arguments) -> its checkpoints, by name."""

    def call(epochs, *args):
        given = [] if "--resume" in args else ["--config", "worse.yaml"]
        assert main([*given, "--trainer.max_epochs", str(epochs), *args]) == 0
        folder = max((tmp_path / "runs" / "worse").iterdir())
        return {path.stem: path for path in folder.glob("checkpoints/*")}

    return call


def load(path):
    return torch.load(path, weights_only=True)


# What is kept


@pytest.mark.parametrize("epochs", [1, 2, 3, 4])
def test_last_is_the_best_byte_for_byte_or_the_last_epochs_own(train, epochs):
    made = train(epochs)
    last, best = made["last"], made["best"]
    assert (last.read_bytes() == best.read_bytes()) is (epochs <= 2)
    assert (load(last)["epoch"], load(last)["global_step"]) == (epochs - 1, STEPS * epochs)
    assert load(best)["global_step"] == STEPS * min(epochs, 2)
    assert set(made) == {"last", "best"}


@pytest.mark.parametrize(
    ("arguments", "left"),
    [
        ("--trainer.max_epochs 0", set()),
        ("--trainer.limit_val_batches 0", {"last"}),
        ("--trainer.fast_dev_run true", set()),
        ("--trainer.val_check_interval 2", {"last", "best"}),
    ],
)
def test_runs_leave_the_checkpoints_that_they_can(train, arguments, left):
    made = train(2, *arguments.split())
    assert set(made) == left
    assert not left or load(made["last"])["epoch"] == 1


@pytest.mark.parametrize("first", [True, False])
def test_checkpoints_are_written_by_the_first_process_alone(tmp_path, first):
    kept = BestAndLastCheckpoint(tmp_path)
    kept.last = {"state_dict": {"w": torch.ones(2)}}
    (tmp_path / "checkpoints").mkdir()
    kept._write(SimpleNamespace(loggers=[], is_global_zero=first, fast_dev_run=False))
    assert (tmp_path / "checkpoints" / "last.ckpt").exists() is first
    assert kept.last is None


# Files


def content():
    weights = {"Whh": torch.randn(3, 4), "bh": torch.randn(5, dtype=torch.float32)}
    weights = {f"predictor.net.{name}": weight for name, weight in weights.items()}
    return {"state_dict": weights, "global_step": 7, "config": "a: 1\n", "loops": {"x": [1, None]}}


@pytest.fixture
def path(tmp_path):
    """A small checkpoint."""
    write(tmp_path / "a.ckpt", pack(content()))
    return tmp_path / "a.ckpt"


def whole(payload):
    """Bytes that look whole, whatever they are."""
    return payload + MARK + sha256(payload).digest()


def one_sentence(error, path):
    text = str(error.value)
    return text.startswith(f"{path} ") and not re.search(r"\n|\. |\.$", text)


@pytest.mark.parametrize("reader", [read, load, AtomicCheckpointIO().load_checkpoint])
def test_what_was_packed_is_read(tmp_path, reader):
    given = content()
    assert pack(given) == pack(given)
    AtomicCheckpointIO().save_checkpoint(given, tmp_path / "new" / "a.ckpt")
    found = reader(tmp_path / "new" / "a.ckpt")
    assert list(found) == list(given)
    torch.testing.assert_close(found.pop("state_dict"), given.pop("state_dict"), **BITS)
    assert found == given


def test_torn_and_changed_files_are_refused_at_every_byte(path):
    full = path.read_bytes()
    for place in range(len(full)):
        changed = bytearray(full)
        changed[place] ^= 1 << place % 8
        for spoilt in (full[:place], changed):
            path.write_bytes(spoilt)
            with pytest.raises(CorruptCheckpointError, match="is not a complete sinrnn") as error:
                read(path)
            assert one_sentence(error, path), place


def saved(thing):
    file = io.BytesIO()
    torch.save(thing, file)
    return file.getvalue()


MISSING = "a complete sinrnn checkpoint: its checksum is missing"
NO = "a sinrnn checkpoint: "


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda full: full + b"\0", MISSING),
        (lambda full: full + full, "a complete sinrnn checkpoint: its checksum does not match"),
        (lambda full: saved(content()), MISSING),
        (lambda full: whole(b""), NO),
        (lambda full: whole(b"PK and something else"), NO),
        (lambda full: whole(full[:700]), NO),
        (lambda full: whole(pickle.dumps({"state_dict": {}})), NO),
        (lambda full: whole(saved([1, 2])), f"{NO}it has no state_dict"),
        (lambda full: whole(saved({"a": 1})), f"{NO}it has no state_dict"),
    ],
)
def test_what_is_no_checkpoint_is_refused_with_the_reason(path, spoil, reason):
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(CorruptCheckpointError, match=re.escape(f"{path} is not {reason}")) as error:
        read(path)
    assert one_sentence(error, path)


def test_only_local_files_are_read(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"a\.ckpt does not exist$"):
        read(tmp_path / "a.ckpt")
    with pytest.raises(IsADirectoryError, match=r"is a folder: name a file in it$"):
        read(tmp_path)


@pytest.mark.parametrize("bad", ["nan", "inf", "-inf"])
def test_weights_that_are_not_finite_are_not_saved(path, bad):
    before, given = path.read_bytes(), content()
    given["state_dict"]["predictor.net.Whh"][1, 2] = float(bad)
    with pytest.raises(FloatingPointError, match=r"^Whh is not finite"):
        AtomicCheckpointIO().save_checkpoint(given, path)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


# Going on. Each kind has something of its own that must not be lost within an epoch.

ADAM = ["--model.optimizer", "torch.optim.Adam", "--model.optimizer.lr", "0.01"]
ADAM += ["--model.readout_epoch", "null"]
KINDS = {
    "noise": [*ADAM, "--data.batch_size", "17", "--model.input_noise", "0.1"],
    "carried": [*ADAM, "--data.num_streams", "2", "--model.stateful", "true"],
    "accumulated": [*ADAM, "--data.batch_size", "17", "--trainer.accumulate_grad_batches", "2"],
}
KINDS["window"] = ["--model.optimizer", "torch.optim.SGD", "--model.optimizer.lr", "0.05"]
KINDS["window"] += ["--model.readout_epoch", "null", "--data.batch_size", "17"]
KINDS["window"] += ["--model.updates", "window"]
BATCHES = {"noise": 7, "carried": 9, "accumulated": 7, "window": 7}
# Steps after which to stop, one after the other: within, at the end, within a later epoch.
STOPS = {"noise": [1, 5, 7, 9], "carried": [3, 9, 14], "accumulated": [1, 3, 4, 7]}
STOPS["window"] = [17, 114, 148]  # windows
SHORT = ["--data.series.points", "200", "--data.series.noise", "0.1", "--data.window", "6"]
SHORT += ["--model.hidden_size", "8", "--trainer.enable_progress_bar", "false"]


class Stop(Callback):
    """A signal comes in the midst of the step that is the n-th."""

    def __init__(self, step):
        self.step = step

    def on_before_optimizer_step(self, trainer, pl_module, optimizer):
        if trainer.global_step == self.step - 1:
            os.kill(os.getpid(), signal.SIGTERM)


class Crash(Callback):
    """What nobody has foreseen goes wrong after the n-th batch."""

    def __init__(self, batches):
        self.batches = batches

    def on_train_batch_end(self, trainer, *args):
        if trainer.fit_loop.epoch_loop.total_batch_idx + 1 == self.batches:
            raise RuntimeError("unforeseen")


def outcome(folder):
    """All that must be the same."""
    found = {"model": dict(SinRNN.load(folder / "model.safetensors").state_dict())}
    for name in ("best", "last"):
        content = read(folder / "checkpoints" / f"{name}.ckpt")
        loop = content["loops"]["fit_loop"]
        kept = ("state_dict", "optimizer_states", "lr_schedulers", "global_step", "epoch")
        found[name] = {key: content[key] for key in kept} | {
            "stepped": loop["epoch_loop.state_dict"]["_batches_that_stepped"],
            "batches": loop["epoch_loop.batch_progress"]["total"]["completed"],
        }
    return found


def scalars(folder):
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    tags = ("half_mse/train", "half_mse/val", "optimizer/gradient_norm", "optimizer/learning_rate")
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in tags}


def assert_same(one, two):
    torch.testing.assert_close(outcome(two), outcome(one), **BITS)
    assert (two / "metrics.csv").read_bytes() == (one / "metrics.csv").read_bytes()
    curves = scalars(one)
    assert scalars(two) == curves
    for points in curves.values():
        steps = [step for step, _ in points]
        assert len(steps) >= 3
        assert steps == sorted(set(steps))


def stop(main, folder, given, kind, patch):
    """Stop a run after each of its STOPS."""
    args = given
    for step in STOPS[kind]:
        assert main(args, [Stop(step)]) == 128 + signal.SIGTERM
        assert read(folder / "checkpoints" / "last.ckpt")["global_step"] == step
        args = ["--resume", str(folder)]


def crash(main, folder, given, kind, patch, *, within=False):
    """Let a run crash within the second epoch."""
    with patch.context() as patched:
        if within:  # every batch seems to take a minute
            patched.setattr(checkpoint.time, "monotonic", count(step=60).__next__)
        with pytest.raises(RuntimeError, match="unforeseen"):
            main(given, [Crash(BATCHES[kind] + 5)])
    found = read(folder / "checkpoints" / "last.ckpt")["loops"]["fit_loop"]
    done = found["epoch_loop.batch_progress"]["total"]["completed"]
    assert done == BATCHES[kind] + 4 * within


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_disturbed_runs_end_in_the_bits_of_an_undisturbed_one(
    main, tmp_path, monkeypatch, capsys, kind
):
    given = [*SHORT, *KINDS[kind], "--trainer.max_epochs", "3"]
    assert main(given) == 0
    whole = tmp_path / "runs" / "sine" / "version_0"
    for number, end in enumerate((stop, crash, partial(crash, within=True)), 1):
        folder = whole.with_name(f"version_{number}")
        end(main, folder, given, kind, monkeypatch)
        assert main(["--resume", str(folder)]) == 0
        assert_same(whole, folder)
    assert len(list(whole.parent.iterdir())) == 4
    said = capsys.readouterr().err
    assert said.count("stopped by SIGTERM, and saved; resume with: ") == len(STOPS[kind])


@pytest.mark.parametrize("stopped", [2, 3])
def test_more_epochs_end_in_the_bits_of_a_run_that_had_them_from_the_start(train, stopped):
    full, half = train(4)["last"], train(stopped)["last"]
    before = load(half)["state_dict"]["predictor.net.Whh"]
    half.with_name("old.ckpt.part").write_bytes(b"half")  # which a crash has left
    made = train(4, "--resume", str(half.parents[1]))
    assert made == {name: half.with_stem(name) for name in ("last", "best")}
    assert_same(full.parents[1], half.parents[1])
    after = load(half)["state_dict"]["predictor.net.Whh"]
    assert (after - before).abs().max() > 1e-2


def test_curve_is_on_the_disk_before_the_checkpoint_that_counts_it(train, monkeypatch):
    order = []
    sync, kept = ResumableCSVLogger.sync, checkpoint.write
    monkeypatch.setattr(ResumableCSVLogger, "sync", lambda self: order.append("rows") or sync(self))
    monkeypatch.setattr(
        checkpoint, "write", lambda path, *args: order.append(path.stem) or kept(path, *args)
    )
    last = train(1)["last"]
    assert order == ["rows", "best", "last"]
    assert load(last)["metrics"]["rows"] == 2


def test_spoilt_checkpoint_is_refused_and_left(main, train, capsys):
    last = train(1)["last"]
    last.write_bytes(last.read_bytes()[:-1])
    table = last.parents[1] / "metrics.csv"
    before = table.read_bytes()
    assert main(["--resume", str(last.parents[1])]) == 2
    said = f"error: {last} is not a complete sinrnn checkpoint: its checksum is missing\n"
    assert capsys.readouterr().err == said
    assert table.read_bytes() == before


class Poison(Callback):
    """Weights that are not finite, where no loss will tell."""

    def on_validation_end(self, trainer, pl_module):
        if trainer.current_epoch == 1:
            pl_module.net.Whh.data[2, 3] = float("nan")


def test_training_that_goes_wrong_leaves_the_last_good_epoch(main, tmp_path, capsys):
    assert main(["--config", "worse.yaml", "--trainer.max_epochs", "3"], [Poison()]) == 2
    assert re.fullmatch(r"error: Whh is not finite.*\n", capsys.readouterr().err)
    for name in ("last", "best"):
        found = read(tmp_path / f"runs/worse/version_0/checkpoints/{name}.ckpt")
        assert (found["epoch"], found["global_step"]) == (0, STEPS)


class Full(Callback):
    """The disk is full from the second epoch on."""

    def __init__(self, patch):
        self.patch = patch

    def on_train_epoch_start(self, trainer, *args):
        if trainer.current_epoch == 1:
            self.patch.setattr(os, "fsync", self.fail)

    def fail(self, *args):
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("slow", [False, True])
def test_disk_that_is_full_ends_training_with_one_line(main, train, monkeypatch, capsys, slow):
    whole = train(3)["last"].parents[1]
    with monkeypatch.context() as patch:
        if slow:  # every epoch is saved
            patch.setattr(checkpoint.time, "monotonic", count(step=10).__next__)
        args = ["--config", "worse.yaml", "--trainer.max_epochs", "3"]
        assert main(args, [Full(patch)]) == 2
    folder = whole.with_name("version_1")
    said = (
        r"error: \S+ could not be saved \(No space left on device\); its old content is unchanged"
    )
    assert re.fullmatch(said + "\n", capsys.readouterr().err)
    assert not list(folder.rglob("*.part"))
    if slow:
        assert read(folder / "checkpoints" / "last.ckpt")["epoch"] == 0
    assert main(["--resume", str(folder)]) == 0
    assert_same(whole, folder)
