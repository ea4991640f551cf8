"""Options of a config that need epochs, or one another."""

import pytest

from sinrnn.config.ineffective import needs, unused
from sinrnn.evaluation.results import Need


def scheduler(**arguments):
    return {
        "model": {"scheduler": {"class_path": "torch.optim.lr_scheduler.X", "init_args": arguments}}
    }


def callback(name, every=1, **arguments):
    path = f"lightning.pytorch.callbacks.{name}"
    trainer = {"check_val_every_n_epoch": every}
    return {"trainer": trainer | {"callbacks": [{"class_path": path, "init_args": arguments}]}}


@pytest.mark.parametrize(
    ("content", "name", "need"),
    [
        ({"model": {"readout_epoch": 0}}, "model.readout_epoch", Need(0, 1)),
        ({"model": {"readout_epoch": 11}}, "model.readout_epoch", Need(11, 12)),
        ({"trainer": {"min_epochs": 9}}, "trainer.min_epochs", Need(9, 9)),
        (scheduler(step_size=5), "model.scheduler.step_size", Need(5, 6)),
        (scheduler(milestones=[3, 80, 50]), "model.scheduler.milestones", Need(80, 81)),
        (scheduler(T_max=40), "model.scheduler.T_max", Need(40, 40)),
        (
            callback("EarlyStopping", every=10, patience=3),
            "EarlyStopping's patience",
            Need(3, 40, option=False, waits=True),
        ),
        (
            callback("ModelCheckpoint", every_n_epochs=7),
            "ModelCheckpoint's every_n_epochs",
            Need(7, 7, option=False),
        ),
    ],
)
def test_option_needs_the_epochs_that_it_counts(content, name, need):
    assert needs(content)[name] == need


@pytest.mark.parametrize(
    "content",
    [
        {"model": {"readout_epoch": None}, "trainer": {"callbacks": "not stored: x"}},
        {"model": "not stored: x", "trainer": {"callbacks": [3, {"class_path": 4}]}},
        scheduler(milestones=[], step_size="many", T_max=True, total_iters=-1),
        callback("StochasticWeightAveraging", swa_epoch_start=0.8),  # a share of the epochs
    ],
)
def test_what_is_no_count_needs_nothing(content):
    assert needs(content) == {"trainer.check_val_every_n_epoch": Need(1, 1)}


def test_option_without_the_one_it_belongs_to_is_unused():
    rcond, algorithm = {"readout_rcond": 1e-8}, {"gradient_clip_algorithm": "value"}
    assert unused({"model": rcond, "trainer": algorithm}) == {
        "model.readout_rcond": "model.readout_epoch",
        "trainer.gradient_clip_algorithm": "trainer.gradient_clip_val",
    }
    both = {"readout_epoch": 0}, {"gradient_clip_val": 1.0}
    assert not unused({"model": rcond | both[0], "trainer": algorithm | both[1]})
    assert not unused({"model": {"readout_rcond": 1e-10}, "trainer": {}})
