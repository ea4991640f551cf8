"""Options that contradict each other, or are out of their range, and the sentence for each."""

import math
from functools import partial
from types import SimpleNamespace

import lightning.pytorch as pl
import pytest
import torch
from cases import refuses
from fitting import EXPECTED, LR, fit, small, trainer, wave
from lightning.pytorch.callbacks import GradientAccumulationScheduler
from torch.optim import SGD
from torch.optim.lr_scheduler import OneCycleLR

from sinrnn.training.forecaster import Forecaster
from sinrnn.training.options import check_trainer

pytestmark = EXPECTED
NOISE = "input_noise must be at least 0 and finite, got"
HORIZON = "loss: every, stateful and data.steps need data.horizon 1, got 2"
STREAMS = "model.stateful and data.num_streams must be set together, got"
EACH = {"updates": "window"}
LAST = (
    "updates: window trains on the last output of each window only: data.steps must be 1, "
    "data.num_streams 0, model.loss last and model.input_noise 0"
)
STEP = "updates: window updates the weights after each window:"
BY_VALUE = "updates: window clips gradients by value: set trainer.gradient_clip_algorithm to value"
NO_BIAS = "updates: window needs a network without biases: set model.bias to false"
PLAIN = "updates: window needs plain gradient descent: use torch.optim.SGD and set only lr, got"
SMALL = {"hidden_size": 5, "optimizer": partial(SGD, lr=LR)}
CLIP = {"gradient_clip_val": 1.0}


@pytest.mark.parametrize(
    ("model", "data", "trainer", "message"),
    [
        ({"input_noise": -0.1}, {}, {}, f"{NOISE} -0.1"),
        ({"input_noise": math.inf}, {}, {}, f"{NOISE} inf"),
        ({"input_noise": math.nan}, {}, {}, f"{NOISE} nan"),
        ({"loss": "first"}, {}, {}, "loss must be last or every, got 'first'"),
        ({"updates": "sample"}, {}, {}, "updates must be batch or window, got 'sample'"),
        ({"loss": "every"}, {"horizon": 2}, {}, HORIZON),
        ({}, {"horizon": 2, "steps": 2}, {}, HORIZON),
        ({"stateful": True}, {"horizon": 2, "num_streams": 3}, {}, HORIZON),
        ({"stateful": True}, {}, {}, f"{STREAMS} True and 0"),
        ({}, {"num_streams": 3}, {}, f"{STREAMS} False and 3"),
        (EACH, {"steps": 2}, {}, LAST),
        (EACH | {"stateful": True}, {"num_streams": 3}, {}, LAST),
        (EACH | {"loss": "every"}, {}, {}, LAST),
        (EACH | {"input_noise": 0.1}, {}, {}, LAST),
        (
            EACH | {"bias": True},
            {},
            {},
            NO_BIAS,
        ),
        (EACH, {}, CLIP, BY_VALUE),
        (EACH, {}, CLIP | {"gradient_clip_algorithm": "norm"}, BY_VALUE),
        (
            EACH,
            {},
            {"accumulate_grad_batches": 2},
            f"{STEP} trainer.accumulate_grad_batches must be 1, got 2",
        ),
    ],
)
def test_options_that_do_not_go_together_are_refused(model, data, trainer, message):
    with refuses(ValueError, message):
        fit(small(**model), wave(**data), **trainer)


def test_updates_by_window_refuse_several_processes():
    several = SimpleNamespace(
        gradient_clip_val=None, accumulate_grad_batches=1, world_size=3, callbacks=[]
    )
    with refuses(ValueError, f"{STEP} it needs a single process, got 3"):
        check_trainer(several)


class Descent(SGD):
    """Something else than SGD, with the same arguments."""


@pytest.mark.parametrize(
    ("optimizer", "name"),
    [
        (torch.optim.Adam, "Adam"),
        (partial(torch.optim.ASGD, lr=LR), "ASGD"),
        (partial(Descent, lr=LR), "Descent"),
        (partial(SGD, lr=LR, momentum=0.9), "SGD"),
        (partial(SGD, lr=LR, weight_decay=1e-3), "SGD"),
        (partial(SGD, lr=LR, maximize=True), "SGD"),
    ],
)
def test_updates_by_window_refuse_all_but_plain_gradient_descent(optimizer, name):
    with refuses(ValueError, f"{PLAIN} {name}"):
        fit(Forecaster(hidden_size=5, optimizer=optimizer, **EACH), wave())


# What comes in later: an epoch may be planned so, or a callback may change anything.

ONCE = "torch.optim.LBFGS computes several gradients per step and cannot accumulate batches:"
TWO = "trainer.accumulate_grad_batches must be 1, got 2"
LBFGS = partial(torch.optim.LBFGS, max_iter=3)


class Later(pl.Callback):
    """Changes something at the start of epoch 1, or of its second batch."""

    def __init__(self, change, batch=None):
        self.change, self.batch = change, batch

    def on_train_epoch_start(self, trainer, pl_module):
        if trainer.current_epoch == 1 and self.batch is None:
            self.change(trainer, pl_module)

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.current_epoch == 1 and self.batch == batch_idx:
            self.change(trainer, pl_module)


def setting(name, value):
    """A change of an attribute of the trainer, or of the model where it has that name."""

    def change(trainer, model):
        setattr(model if hasattr(model, name) else trainer, name, value)

    return change


def rate(trainer, model):
    trainer.optimizers[0].param_groups[0]["lr"] = math.inf


def momentum(trainer, model):
    trainer.optimizers[0].param_groups[0]["momentum"] = 0.9


@pytest.mark.parametrize("optimizer", [LBFGS, partial(SGD, lr=LR)])
@pytest.mark.parametrize("plan", [{"accumulate_grad_batches": 2}, {1: 2}])
def test_accumulation_is_refused_at_the_start_where_it_cannot_be(optimizer, plan):
    by_batch = optimizer is LBFGS
    model = Forecaster(optimizer=optimizer, updates="batch" if by_batch else "window")
    if 1 in plan:
        plan = {"callbacks": [GradientAccumulationScheduler(plan)]}
    made = trainer(**plan)
    with refuses(ValueError, f"{ONCE if by_batch else STEP} {TWO}"):
        made.fit(model, wave())
    assert made.global_step == 0


@pytest.mark.parametrize("batch", [None, 1])
@pytest.mark.parametrize(
    ("model", "change", "message"),
    [
        ({"optimizer": LBFGS}, setting("accumulate_grad_batches", 2), f"{ONCE} {TWO}"),
        (EACH, setting("accumulate_grad_batches", 2), f"{STEP} {TWO}"),
        (EACH, setting("gradient_clip_val", 1.0), BY_VALUE),
        (EACH, momentum, f"{PLAIN} SGD"),
        ({}, rate, "model.optimizer or model.scheduler: the learning rate becomes inf"),
    ],
)
def test_what_the_start_refuses_is_refused_when_a_callback_brings_it_in(
    model, change, message, batch
):
    with refuses(ValueError, message):
        fit(Forecaster(**SMALL | model), wave(), callbacks=[Later(change, batch)])


@pytest.mark.parametrize(
    ("model", "name", "value", "message"),
    [
        ({}, "input_noise", math.nan, f"{NOISE} nan"),
        (EACH, "input_noise", 0.1, LAST),
        ({"bias": True}, "updates", "window", NO_BIAS),
        ({}, "stateful", True, f"{STREAMS} True and 0"),
    ],
)
def test_an_option_that_a_callback_changes_is_refused_as_at_the_start(model, name, value, message):
    with refuses(ValueError, message):
        fit(Forecaster(**SMALL | model), wave(), callbacks=[Later(setting(name, value))])


def test_updates_by_window_refuse_momentum_that_a_scheduler_brings():
    one_cycle = partial(OneCycleLR, max_lr=LR, total_steps=9)
    with refuses(ValueError, f"{PLAIN} SGD"):
        fit(Forecaster(**SMALL | EACH, scheduler=one_cycle), wave())


@pytest.mark.parametrize("more", [{"loss": "every"}, {"stateful": True}, {"input_noise": 0.1}])
def test_updates_by_window_refuse_what_they_would_ignore_without_data_of_ours(more):
    with refuses(ValueError, LAST):
        small(**EACH, **more)


@pytest.mark.parametrize("unit", ["standardise", "linear"])
def test_units_need_a_training_split_to_be_fitted_to(unit):
    data, model = wave(), small(**{unit: True})
    data.setup()
    with pytest.raises(ValueError, match=f"^{unit} is fitted to the training split of a Window"):
        trainer().fit(model, data.train_dataloader(), data.val_dataloader())
    model.predictor.calibrate(data.windows["train"])
    trainer(max_epochs=1).fit(model, data.train_dataloader(), data.val_dataloader())
    assert model.predictor(data.windows["val"][:][0]).isfinite().all()
