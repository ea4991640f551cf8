"""Any checkpoint of any callback, resumed by plain Lightning, leads to the undisturbed run."""

from functools import partial

import lightning.pytorch as pl
import pytest
import torch
from cases import BITS
from fitting import EXPECTED, trainer, wave
from lightning.pytorch.callbacks import Checkpoint, ModelCheckpoint
from torch.optim import LBFGS, SGD, Adam
from torch.optim.lr_scheduler import ReduceLROnPlateau

from sinrnn.training.forecaster import Forecaster

pytestmark = [
    *EXPECTED,
    # It does not know that the data module's batches depend on the epoch alone.
    pytest.mark.filterwarnings("ignore:You're resuming from a checkpoint that ended before"),
    # Of a resumed run that writes into a folder of its own.
    pytest.mark.filterwarnings("ignore:The dirpath has changed"),
]


class Seen(pl.Callback):
    """What is trained on and validated, from an epoch's start to its end."""

    def __init__(self):
        self.events = []

    def on_train_epoch_start(self, trainer, pl_module):
        self.events.append(("start", trainer.current_epoch))

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        self.events.append((trainer.current_epoch, batch_idx, trainer.global_step))

    def on_validation_end(self, trainer, pl_module):
        loss = trainer.callback_metrics["half_mse/val"].item()
        self.events.append((trainer.current_epoch, "val", loss))

    def on_train_epoch_end(self, trainer, pl_module):
        stepped = trainer.fit_loop.epoch_loop._batches_that_stepped
        self.events.append((trainer.current_epoch, "end", stepped))


class SaveAt(Checkpoint):
    """Saves at each call of a hook."""

    def __init__(self, hook, dirpath):
        self.folder, self.count = dirpath, 0
        setattr(self, hook, self.save)

    def save(self, trainer, *args):
        trainer.save_checkpoint(self.folder / f"{self.count:02d}.ckpt")
        self.count += 1


def fit(folder, options, saves, model, data, path=None, kept=True):
    """Weights, steps and events, from the start or from a checkpoint; what it saves is kept."""
    torch.manual_seed(0)
    made, seen = Forecaster(hidden_size=5, **({"optimizer": ADAM} | model)), Seen()
    saved = SaveAt(saves, folder) if isinstance(saves, str) else saves(dirpath=folder)
    done = trainer(
        callbacks=[seen, saved], enable_checkpointing=True, **({"max_epochs": 3} | options)
    )
    if not kept:
        done.save_checkpoint = lambda *args, **options: None
    done.fit(made, wave(**data), ckpt_path=path)
    return made.net.state_dict(), done.global_step, seen.events


ADAM, AGAIN = partial(Adam, lr=0.01), partial(LBFGS, max_iter=3)
PLATEAU = partial(ReduceLROnPlateau, mode="max", patience=0, factor=0.5)
EVERY = partial(ModelCheckpoint, save_top_k=-1, filename="{epoch}-{step}")
BEST = partial(EVERY, monitor="half_mse/val")
VALIDATED, ENDED = (partial(BEST, save_on_train_epoch_end=end) for end in (False, True))
STEP, THREE, FOUR = (partial(EVERY, every_n_train_steps=n) for n in (1, 3, 4))  # 4 are an epoch
TOTAL = {"val_check_interval": 3, "check_val_every_n_epoch": None}
WINDOW = {"optimizer": partial(SGD, lr=0.01), "updates": "window"}
LIMITED = {"max_steps": 10, "max_epochs": -1}
HALF = {"accumulate_grad_batches": 3, "val_check_interval": 2}
CASES = {
    "every second epoch": ({"check_val_every_n_epoch": 2}, BEST, {}, {}),
    "after validation": ({}, VALIDATED, {}, {}),
    "after the epoch": ({}, ENDED, {}, {}),
    "each step": ({}, partial(STEP, monitor="half_mse/val"), {}, {}),
    "each step, rarely validated": ({"check_val_every_n_epoch": 2}, STEP, {}, {}),
    "each step, never validated": ({"limit_val_batches": 0}, STEP, {}, {}),
    "not the epoch's steps": ({}, THREE, {}, {}),
    "the epoch's steps": ({}, FOUR, {}, {}),
    "validated twice": ({"val_check_interval": 0.5}, VALIDATED, {}, {}),
    "validated twice, each step": ({"val_check_interval": 2}, STEP, {}, {}),
    "validated by the whole epoch": ({"val_check_interval": 4}, BEST, {}, {}),
    "validated over epochs": (TOTAL, VALIDATED, {}, {}),
    "accumulated": ({"accumulate_grad_batches": 2}, VALIDATED, {}, {}),
    "accumulated, each step": ({"accumulate_grad_batches": 3}, STEP, {}, {}),
    "L-BFGS": ({}, STEP, {"optimizer": AGAIN}, {}),
    "three batches": ({"limit_train_batches": 3}, STEP, {}, {}),
    "by window": ({}, STEP, WINDOW, {}),
    "noise": ({}, STEP, {"input_noise": 0.1}, {}),
    "carried": ({}, STEP, {"stateful": True}, {"num_streams": 3}),
    "carried, L-BFGS": ({}, STEP, {"stateful": True, "optimizer": AGAIN}, {"num_streams": 3}),
    "plateau after validation": ({}, VALIDATED, {"scheduler": PLATEAU}, {}),
    "plateau after the epoch": ({}, ENDED, {"scheduler": PLATEAU}, {}),
    "plateau, each step": ({}, STEP, {"scheduler": PLATEAU}, {}),
    "readout": ({}, STEP, {"readout_epoch": 2}, {}),
    "steps": (LIMITED, partial(EVERY, save_on_train_epoch_end=True), {}, {}),
    "steps, each": (LIMITED, STEP, {}, {}),
} | {
    hook: (HALF, hook, {}, {})
    for hook in (
        *("on_train_start", "on_train_epoch_start", "on_train_batch_start", "on_train_batch_end"),
        *("on_validation_start", "on_validation_batch_start", "on_validation_batch_end"),
        *("on_validation_end", "on_train_epoch_end"),
    )
}


def assert_leads_there(path, case, whole, kept=False):
    """Resume in a folder that is named for the checkpoint."""
    weights, steps, events = whole
    found = fit(path.with_suffix(""), *case, path, kept)
    torch.testing.assert_close(found[0], weights, **BITS)
    assert found[1:] == (steps, events[len(events) - len(found[2]) :])


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_every_checkpoint_leads_to_the_bits_of_the_undisturbed_run(case, tmp_path):
    whole = fit(tmp_path, *case)
    saved = sorted(tmp_path.glob("*.ckpt"))
    for path in saved:
        assert_leads_there(path, case, whole, kept=path == saved[0])
    # What a run saves that is resumed once counts as the whole run does.
    for path in sorted(saved[0].with_suffix("").glob("*.ckpt")):
        assert_leads_there(path, case, whole)
