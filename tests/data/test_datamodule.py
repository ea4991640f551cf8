"""The data module under a Trainer that does not take all of its batches."""

import lightning.pytorch as pl
import pytest
import torch
from fitting import EPOCHS, EXPECTED, fit, small, wave
from ramp import same

pytestmark = EXPECTED


class Seen(pl.Callback):
    """The windows of all batches of training and of each loader of validation."""

    def __init__(self):
        self.train, self.val = [], {0: [], 1: []}

    def on_train_batch_start(self, trainer, module, batch, batch_idx):
        self.train.append(batch.x)

    def on_validation_batch_start(self, trainer, module, batch, batch_idx, dataloader_idx=0):
        self.val[dataloader_idx].append(batch.x)


def trained(data, *, stateful=False, **options):
    """What was seen, and the weights."""
    torch.manual_seed(0)
    seen, model = Seen(), small(stateful=stateful)
    fit(model, data, callbacks=[seen], **options)
    return seen, model.state_dict()


@pytest.mark.parametrize(
    ("options", "overfit", "train", "val"),
    [
        ({}, 1, [16], (56, 16)),
        ({}, 2, [16, 16], (56, 16)),
        ({}, 0.5, [16, 16], (28, 8)),
        ({"shuffle": False}, 1, [16], (56, 16)),
        ({"batch_size": 0}, 1, [56], (56, 16)),
        ({"batch_size": 0}, 0.5, [28], (28, 8)),
        ({"batch_size": 0}, 0.3, [16], (16, 4)),
        ({"num_streams": 3, "stateful": True}, 2, [3, 3], (56, 16)),
    ],
)
def test_overfit_batches_repeats_the_first_batches(options, overfit, train, val):
    options = dict(options)
    stateful = options.pop("stateful", False)
    data = wave(**options)
    seen, weights = trained(data, stateful=stateful, overfit_batches=overfit)
    assert [len(x) for x in seen.train] == EPOCHS * train
    if not stateful:
        x = data.windows["train"][: sum(train)][0]
        same(torch.cat(seen.train), torch.cat(EPOCHS * [x]))
    for loader, (name, count) in enumerate(zip(("val", "train"), val[::-1], strict=True)):
        x = data.windows[name][:count][0]
        same(torch.cat(seen.val[loader]), torch.cat(EPOCHS * [x]))
    limits = {"limit_train_batches": overfit, "limit_val_batches": overfit}
    _, expected = trained(wave(**options | {"shuffle": False}), stateful=stateful, **limits)
    same(weights, expected)


@pytest.mark.parametrize(("share", "count"), [(0.5, 8), (0.3, 4), (1.0, 16)])
def test_share_of_an_evaluation_is_the_first_of_its_windows(share, count):
    data = wave()
    made = fit(small(), data, max_epochs=1, limit_test_batches=share)
    seen = []

    class Tested(pl.Callback):
        def on_test_batch_start(self, trainer, module, batch, batch_idx, dataloader_idx=0):
            seen.append(batch.x)

    made.callbacks.append(Tested())
    made.test(made.lightning_module, data, verbose=False)
    same(torch.cat(seen), data.windows["test"][:count][0])
