"""The loss of batches from loaders of one's own: what is compared, and what cannot be meant."""

import copy
from functools import partial

import pytest
import torch
from cases import BITS, refuses
from fitting import EPOCHS, EXPECTED, LR, small, trainer, wave
from torch.nn.functional import mse_loss
from torch.optim import SGD
from torch.utils.data import DataLoader, TensorDataset

pytestmark = EXPECTED
N, T = 20, 6


def loader(*shapes):
    """Batches of 8, 8 and 4 of normal numbers."""
    return DataLoader(TensorDataset(*(torch.randn(N, *shape) for shape in shapes)), batch_size=8)


def two(**options):
    return small(input_size=2, output_size=2, **options)


def last(net, x, y):
    return mse_loss(net(x), y) / 2


def every(net, x, y):
    return mse_loss(net.unroll(x)[1], torch.cat([x[:, 1:], y[:, None]], 1)) / 2


@pytest.mark.parametrize(("options", "loss"), [({}, last), ({"loss": "every"}, every)])
def test_several_outputs_are_compared_with_as_many_values(options, loss):
    model, batches = two(**options), loader((T, 2), (2,))
    net = copy.deepcopy(model.net)
    done = trainer()
    done.fit(model, batches, batches)
    descent = SGD(net.parameters(), lr=LR)
    for _ in range(EPOCHS):
        for x, y in batches:
            descent.zero_grad()
            loss(net, x, y).backward()
            descent.step()
    torch.testing.assert_close(model.net.state_dict(), net.state_dict(), **BITS)
    x, y = batches.dataset.tensors
    expected = last(net, x, y).item()
    assert done.callback_metrics["half_mse/val"].item() == pytest.approx(expected, rel=1e-12)


def test_updates_by_window_learn_several_outputs():
    each, ones = two(updates="window"), two()
    ones.load_state_dict(each.state_dict())
    batches = loader((T, 2), (2,))
    trainer().fit(each, batches, batches)
    trainer().fit(ones, DataLoader(batches.dataset, batch_size=1), batches)
    torch.testing.assert_close(each.net.state_dict(), ones.net.state_dict(), rtol=1e-12, atol=1e-12)


def test_targets_of_one_output_may_have_one_dimension():
    flat, column = small(), small()
    column.load_state_dict(flat.state_dict())
    batches = loader((T, 1), ())
    x, y = batches.dataset.tensors
    for model, targets in ((flat, y), (column, y[:, None])):
        own = DataLoader(TensorDataset(x, targets), batch_size=8)
        trainer().fit(model, own, own)
    torch.testing.assert_close(flat.net.state_dict(), column.net.state_dict(), **BITS)


TARGETS = "targets must be (8, {}) to fit output_size {}, got {}"


@pytest.mark.parametrize(
    ("model", "x", "y", "message"),
    [
        (two, 2, (), TARGETS.format(2, 2, "(8,)")),
        (two, 2, (1,), TARGETS.format(2, 2, "(8, 1)")),
        (two, 2, (3,), TARGETS.format(2, 2, "(8, 3)")),
        (two, 2, (1, 2), TARGETS.format(2, 2, "(8, 1, 2)")),
        (partial(two, updates="window"), 2, (1,), TARGETS.format(2, 2, "(8, 1)")),
        (partial(small, updates="window"), 1, (3,), TARGETS.format(1, 1, "(8, 3)")),
        (small, 1, (0,), TARGETS.format(1, 1, "(8, 0)")),
        (small, 1, (1, 1), TARGETS.format(1, 1, "(8, 1, 1)")),
        (
            partial(small, input_size=2, loss="every"),
            2,
            (1,),
            "loss: every compares each output with the next input: output_size must equal "
            "input_size 2, got 1",
        ),
    ],
)
def test_targets_that_cannot_be_meant_are_refused(model, x, y, message):
    with refuses(ValueError, message):
        trainer().fit(model(), *[loader((T, x), y)] * 2)


@pytest.mark.parametrize("run", ["validate", "test"])
def test_targets_of_validation_and_test_are_held_to_the_outputs(run):
    x, y = torch.randn(8, T, 2), torch.randn(2, 8)
    batches = DataLoader(TensorDataset(x[None], y[None]), batch_size=None)
    with refuses(ValueError, TARGETS.format(2, 2, "(2, 8)")):
        getattr(trainer(), run)(two(), batches)


@pytest.mark.parametrize(("run", "most"), [("validate", 2), ("test", 1)])
def test_a_loader_too_many_is_refused(run, most):
    model, batches = small(), loader((T, 1), (1,))
    getattr(trainer(), run)(model, [batches] * most, verbose=False)
    message = f"{run} takes at most {most} loaders, got {most + 1}"
    with refuses(ValueError, message):
        getattr(trainer(), run)(model, [batches] * (most + 1), verbose=False)


@pytest.mark.parametrize("size", ["input_size", "output_size"])
def test_windows_of_one_series_refuse_a_network_for_several(size):
    with refuses(ValueError, f"model.{size} must be 1 for windows of one series, got 2"):
        trainer().fit(small(**{size: 2}), wave())
