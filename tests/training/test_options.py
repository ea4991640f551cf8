"""Options that contradict each other, or are out of their range, and the sentence for each."""

import math
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from cases import refuses
from fitting import EXPECTED, LR, fit, small, wave
from torch.optim import SGD

from sinrnn.training.forecaster import Forecaster
from sinrnn.training.options import check_trainer

pytestmark = EXPECTED
NOISE = "input_noise must be at least 0 and finite, got"
HORIZON = "loss: every, stateful and data.steps need data.horizon 1, got 2"
STREAMS = "model.stateful and data.num_streams need each other, got"
EACH = {"updates": "window"}
LAST = (
    "updates: window learns the last output alone: data.steps must be 1, data.num_streams 0, "
    "model.loss last and model.input_noise 0"
)
STEP = "updates: window makes a step for each window:"
BY_VALUE = "updates: window clips gradients by value: set trainer.gradient_clip_algorithm to value"
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
            "updates: window is for networks without biases, got bias true",
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
    several = SimpleNamespace(gradient_clip_val=None, accumulate_grad_batches=1, world_size=3)
    with refuses(ValueError, f"{STEP} it needs one process, got 3"):
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
    message = (
        "updates: window makes steps of plain gradient descent, torch.optim.SGD with nothing but "
        f"lr, got {name}"
    )
    with refuses(ValueError, message):
        fit(Forecaster(hidden_size=5, optimizer=optimizer, **EACH), wave())
