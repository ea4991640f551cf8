"""Blocks of steps: the bits, counts and rows of one step after another, and when they are made."""

import math
from functools import partial

import lightning.pytorch as pl
import pytest
import torch
from fitting import EXPECTED, trainer, wave
from lightning.pytorch.callbacks import LambdaCallback
from lightning.pytorch.loggers import CSVLogger
from torch.optim import LBFGS, SGD, Adam
from torch.optim.lr_scheduler import StepLR

from sinrnn._private import checkpoint_of
from sinrnn.callbacks.checkpoint import BestAndLastCheckpoint
from sinrnn.callbacks.monitor import Monitor
from sinrnn.run_folder import LAST
from sinrnn.training import blocks, loss
from sinrnn.training.forecaster import Forecaster
from sinrnn.training.signals import Interrupted

pytestmark = [
    *EXPECTED,
    # The default of 50 is more than an epoch has here.
    pytest.mark.filterwarnings("ignore:The number of training batches"),
]

ADAM, STEP = partial(Adam, lr=0.01), partial(StepLR, step_size=1, gamma=0.5)


@pytest.fixture(autouse=True)
def whole_blocks(monkeypatch):
    """No block ends because a machine is slow."""
    monkeypatch.setattr(blocks, "SECONDS", math.inf)


class Looks(pl.Callback):
    """Looks at batches, and so turns blocks off."""

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        pass


class Keeps(pl.Callback):
    """What checkpoints hold, at each validation and epoch's end."""

    def __init__(self):
        self.found = []

    def on_validation_end(self, trainer, pl_module):
        self.found.append(dict(flat(checkpoint_of(trainer))))

    on_train_epoch_end = on_validation_end


def flat(found, name=""):
    """Numbers and copies of tensors, by where they stand."""
    if isinstance(found, dict | list | tuple):
        for key, each in found.items() if isinstance(found, dict) else enumerate(found):
            yield from flat(each, f"{name}.{key}")
    else:
        yield name, found.clone() if isinstance(found, torch.Tensor) else found


def differing(one, other):
    """Names of what is not the same, to the bit."""
    assert one.keys() == other.keys()
    pairs = ((name, one[name], other[name]) for name in one)
    tensor = torch.Tensor
    return [n for n, a, b in pairs if not (a.equal(b) if isinstance(a, tensor) else a == b)]


def fit(folder, monkeypatch, options, given, data, *more):
    """Steps within blocks, what checkpoints hold, and metrics.csv."""
    torch.manual_seed(0)
    taken, keeps = [], Keeps()
    step = blocks._step
    monkeypatch.setattr(
        blocks, "_step", lambda model, *a: (taken.append(model.batch_loss.by_hand), step(model, *a))
    )
    model = Forecaster(hidden_size=5, **({"optimizer": ADAM} | given))
    logger = CSVLogger(folder, "", "")
    quick = {"max_epochs": 3, "logger": logger, "callbacks": [Monitor(), keeps, *more]}
    done = trainer(**(quick | options))
    done.fit(model, wave(**({"batch_size": 4} | data)))
    monkeypatch.setattr(blocks, "_step", step)
    return taken, keeps.found, (folder / "metrics.csv").read_text(), done.global_step


# An epoch has 56 windows, in 14 batches.
CASES = {  # options of the trainer, the model and the data; steps within blocks by hand or not
    "plain": ({}, {}, {}, 3 * 13, True),
    "biases": ({}, {"bias": True, "standardise": True}, {}, 3 * 13, True),
    "linear": ({}, {"linear": True, "relative": True}, {}, 3 * 13, True),
    "noise": ({}, {"input_noise": 0.1, "bptt_steps": 2}, {}, 3 * 13, True),
    "scheduler": ({}, {"scheduler": STEP}, {}, 3 * 13, True),
    "readout": ({}, {"readout_epoch": 1}, {}, 3 * 13, True),
    "float32": ({"precision": "32-true"}, {}, {}, 3 * 13, True),
    "clipped by norm": ({"gradient_clip_val": 0.01}, {}, {}, 3 * 13, True),
    "clipped by value": (
        {"gradient_clip_val": 0.01, "gradient_clip_algorithm": "value"},
        *({}, {}, 3 * 13, True),
    ),
    "anomalies": ({"detect_anomaly": True}, {}, {}, 3 * 13, False),
    "every": ({}, {"loss": "every"}, {}, 3 * 13, False),
    "closed loop": ({}, {}, {"steps": 3}, 3 * 13, False),
    "stateful": ({}, {"stateful": True}, {"num_streams": 3}, 3 * 3, False),
    "momentum": ({}, {"optimizer": partial(SGD, lr=0.01, momentum=0.5)}, {}, 3 * 13, True),
    "rows": ({"log_every_n_steps": 4}, {}, {}, 3 * 10, True),
    "validated within": ({"val_check_interval": 5}, {}, {}, 3 * 11, True),
    "validated over epochs": (
        {"val_check_interval": 9, "check_val_every_n_epoch": None},
        *({}, {}, 42 - 7, True),
    ),
    "limited": ({"limit_train_batches": 6}, {}, {}, 3 * 5, True),
    "steps": ({"max_steps": 20, "max_epochs": -1}, {}, {}, 13 + 5, True),
    "overfitted": ({"overfit_batches": 3}, {}, {}, 3 * 2, True),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_blocks_have_the_bits_counts_and_rows_of_single_steps(case, tmp_path, monkeypatch):
    *given, within, by_hand = case
    taken, found, rows, steps = fit(tmp_path / "blocks", monkeypatch, *given)
    assert taken == [by_hand] * within
    none, expected, same, as_many = fit(tmp_path / "single", monkeypatch, *given, Looks())
    assert not none
    assert (rows, steps) == (same, as_many)
    assert len(found) == len(expected) > 2
    for one, other in zip(found, expected, strict=True):
        assert not differing(one, other)


@pytest.mark.parametrize(
    ("options", "given", "more"),
    [
        ({"accumulate_grad_batches": 2}, {}, ()),
        ({}, {"optimizer": partial(LBFGS, max_iter=3)}, ()),
        ({}, {"updates": "window", "optimizer": partial(SGD, lr=0.01)}, ()),
        ({"precision": "bf16-mixed"}, {}, ()),
        ({}, {}, (LambdaCallback(on_train_batch_start=lambda *_: None),)),
        ({}, {}, (LambdaCallback(on_after_backward=lambda *_: None),)),
    ],
)
def test_what_blocks_would_change_goes_step_by_step(options, given, more, tmp_path, monkeypatch):
    taken, *_ = fit(tmp_path, monkeypatch, options, given, {}, *more)
    assert not taken


@pytest.mark.parametrize(
    "given",
    [
        {"optimizer": partial(LBFGS, max_iter=3), "bias": True, "bptt_steps": 2},
        {"optimizer": partial(SGD, lr=0.01), "updates": "window"},
    ],
    ids=["closure", "window"],
)
def test_steps_of_lightning_by_hand_have_the_bits_of_autograd(given, tmp_path, monkeypatch):
    seen, known = [], loss.half_mse_gradient
    monkeypatch.setattr(loss, "half_mse_gradient", lambda *a: (seen.append(a), known(*a))[1])
    _, found, rows, _ = fit(tmp_path / "hand", monkeypatch, {}, given, {})
    count = len(seen)
    assert count >= 3 * 14
    _, expected, same, _ = fit(tmp_path / "autograd", monkeypatch, {}, given, {}, Looks())
    assert len(seen) == count
    assert rows == same
    for one, other in zip(found, expected, strict=True):
        assert not differing(one, other)


def test_training_step_outside_a_trainer_has_a_graph():
    model, data = Forecaster(hidden_size=5), wave()
    trainer(max_epochs=1).fit(model, data)
    loss = model.training_step(data.windows["train"][:8], 0)
    loss.backward()
    assert all(weight.grad.norm() > 0 for weight in model.net.parameters())


def test_training_after_a_failure_has_nothing_left_of_it():
    found = []
    for fails in (True, False):
        torch.manual_seed(0)
        model = Forecaster(hidden_size=5, optimizer=partial(SGD, lr=1e200))
        before = {name: weight.clone() for name, weight in model.net.state_dict().items()}
        if fails:
            with pytest.raises(FloatingPointError):
                trainer().fit(model, wave(batch_size=4))
        model.net.load_state_dict(before)
        model.optimizer = ADAM
        trainer(accumulate_grad_batches=2).fit(model, wave(batch_size=4))
        found.append(model.net.state_dict())
    assert not differing(*found)


class Named(Forecaster):
    """May have hooks of its own."""


def test_subclasses_and_schedulers_by_step_go_step_by_step(tmp_path, monkeypatch):
    def by_step(trainer, pl_module):
        trainer.lr_scheduler_configs[0].interval = "step"

    change = LambdaCallback(on_train_start=by_step)
    taken, *_ = fit(tmp_path / "step", monkeypatch, {}, {"scheduler": STEP}, {}, change)
    assert not taken
    monkeypatch.setitem(globals(), "Forecaster", Named)
    taken, *_ = fit(tmp_path / "named", monkeypatch, {}, {}, {})
    assert not taken


def lower(weight):
    weight.grad.tril_()


@pytest.mark.parametrize("kind", ["weight", "accumulated", "module", "frozen"])
def test_hooks_and_frozen_weights_are_seen_in_blocks(kind, tmp_path, monkeypatch):
    def change(trainer, pl_module):
        net = pl_module.net
        if kind == "weight":
            net.Whh.register_hook(lambda grad: grad.tril())
        elif kind == "accumulated":
            net.Whh.register_post_accumulate_grad_hook(lower)
        elif kind == "module":
            net.register_forward_hook(lambda *given: 2 * given[-1])
        else:
            net.Whh.requires_grad_(False)

    start = LambdaCallback(on_train_start=change)
    taken, found, *_ = fit(tmp_path / "blocks", monkeypatch, {}, {}, {}, start)
    assert taken == [kind == "frozen"] * 39
    _, expected, *_ = fit(tmp_path / "single", monkeypatch, {}, {}, {}, start, Looks())
    assert not differing(found[-1], expected[-1])
    _, other, *_ = fit(tmp_path / "other", monkeypatch, {}, {}, {})
    weights = ".state_dict.predictor.net.Whh"
    assert (found[-1][weights] - other[-1][weights]).abs().max() > 1e-4


def test_slow_steps_end_a_block(tmp_path, monkeypatch):
    monkeypatch.setattr(blocks, "SECONDS", 0.0)
    taken, *_ = fit(tmp_path, monkeypatch, {}, {}, {})
    assert not taken


def test_what_explodes_within_a_block_is_told_with_its_step(tmp_path, monkeypatch):
    rate = {"optimizer": partial(SGD, lr=1e200)}
    said = []
    for more in ((), (Looks(),)):
        with pytest.raises(FloatingPointError, match=r"became .* at step [1-9]") as caught:
            fit(tmp_path / f"{len(said)}", monkeypatch, {}, rate, {}, *more)
        said.append(str(caught.value))
    assert said[0] == said[1]


class StopsAt:
    """In place of signals: asks to stop at a step, once."""

    number = 2

    def __init__(self, step):
        self.step = step

    def arm(self):
        pass

    def stop(self, trainer):
        return trainer.global_step >= self.step


# Blocks end after 5, 10 and 14 batches of an epoch: a stop within one comes at its end.
@pytest.mark.filterwarnings("ignore:You're resuming from a checkpoint that ended before")
@pytest.mark.parametrize(("asked", "stopped"), [(1, 5), (10, 10), (12, 14), (16, 19), (27, 28)])
def test_what_stops_between_blocks_goes_on_to_the_same_bits(asked, stopped, tmp_path):
    def run(folder, stop=None, path=None):
        torch.manual_seed(0)
        model, keeps = Forecaster(hidden_size=5, optimizer=ADAM, input_noise=0.1), Keeps()
        saves = BestAndLastCheckpoint(tmp_path / folder, signals=stop)
        options = {"callbacks": [Monitor(), saves, keeps], "enable_checkpointing": True}
        done = trainer(log_every_n_steps=5, **options)
        try:
            done.fit(model, wave(batch_size=4), ckpt_path=path)
        except Interrupted:
            return done.global_step
        del keeps.found[-1][last]
        return keeps.found[-1]

    last = f".callbacks.{BestAndLastCheckpoint.__qualname__}.score"
    whole = run("whole")
    assert run("cut", StopsAt(asked)) == stopped
    # Lightning counts the validations since it was resumed.
    found = differing(run("cut", path=tmp_path / "cut" / LAST), whole)
    assert not [name for name in found if ".val_loop." not in name]
