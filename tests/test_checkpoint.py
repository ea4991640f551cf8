"""Last: last.ckpt is the last epoch's, whether or not that was the best."""

from types import SimpleNamespace

import pytest
import torch
from cases import BITS

from sinrnn import cli, closing
from sinrnn.checkpoint import Last

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
def train(tmp_path, monkeypatch):
    """Run the config: (epochs, arguments) -> the run's checkpoints, by name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch, "set_num_threads", lambda threads: None)
    monkeypatch.setattr(closing, "pictures", lambda *args: {})  # most of a run's time
    (tmp_path / "worse.yaml").write_text(WORSE)
    made = 0

    def call(epochs, *args):
        nonlocal made
        given = [] if "--resume" in args else ["--config", "worse.yaml"]
        assert cli.main([*given, "--trainer.max_epochs", str(epochs), *args]) == 0
        folder, made = tmp_path / f"runs/worse/version_{made}", made + 1
        return {path.stem: path for path in folder.glob("checkpoints/*")}

    return call


def load(path):
    return torch.load(path, weights_only=True)


@pytest.mark.parametrize("epochs", [1, 2, 3, 4])
def test_last_is_the_best_byte_for_byte_or_the_last_epochs_own(train, epochs):
    made = train(epochs)
    last, best = made["last"], made["best"]
    assert (last.read_bytes() == best.read_bytes()) is (epochs <= 2)
    assert (load(last)["epoch"], load(last)["global_step"]) == (epochs - 1, STEPS * epochs)
    assert load(best)["global_step"] == STEPS * min(epochs, 2)
    assert set(made) == {"last", "best"}


@pytest.mark.parametrize("stopped", [2, 3])
def test_resuming_from_last_ends_in_the_bits_of_an_unbroken_run(train, stopped):
    whole, half = load(train(4)["last"]), train(stopped)["last"]
    resumed = load(train(4, "--resume", str(half.parents[1]))["last"])
    for name in ("state_dict", "optimizer_states", "lr_schedulers", "global_step", "epoch"):
        torch.testing.assert_close(resumed[name], whole[name], **BITS)
    moved = resumed["state_dict"]["net.Whh"] - load(half)["state_dict"]["net.Whh"]
    assert moved.abs().max() > 1e-2


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
def test_last_is_copied_once_and_by_the_first_process_alone(tmp_path, first):
    (tmp_path / "best.ckpt").write_bytes(b"best")
    best = SimpleNamespace(_last_global_step_saved=7, best_model_path=tmp_path / "best.ckpt")
    last, trainer = Last(tmp_path, best), SimpleNamespace(global_step=7, is_global_zero=first)
    last._save_checkpoint(trainer, str(tmp_path / "last.ckpt"))
    assert (tmp_path / "last.ckpt").exists() is first
    assert last._last_global_step_saved == 7  # by which Lightning knows not to save it again
