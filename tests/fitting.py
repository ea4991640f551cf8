"""A small network, a small data module and a trainer for them, and the same training by hand."""

import copy
from functools import partial

import lightning.pytorch as pl
import pytest
import torch
from ramp import Given, data
from torch.nn.utils import clip_grad_norm_
from torch.optim import SGD

from sinrnn import Predictor, SinRNN
from sinrnn.data.samplers import WindowBatchSampler
from sinrnn.nn.functional import half_mse
from sinrnn.training.forecaster import Forecaster

LR, EPOCHS = 0.05, 3
EXPECTED = [  # the marks of a file that trains with Lightning
    # Windows are gathered faster than a worker could send them.
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    # Where there is a GPU: at these sizes it is slower, and sums in another order.
    pytest.mark.filterwarnings("ignore:GPU available but not used"),
    # Lightning 2.6.6 with torch 2.13.
    pytest.mark.filterwarnings("ignore:.*isinstance.treespec, LeafSpec"),
]


class Wave(Given):
    """A sine with something beside it that four samples do not foretell.

    `val` is a factor for all that comes after the training split, `test` is added to the test one.
    """

    def __init__(self, mean=0.0, scale=1.0, points=100, val=1.0, test=0.0):
        i = torch.arange(points, dtype=torch.float64)
        wave = mean + scale * (torch.sin(0.3 * i) + torch.cos(i**2) / 10)
        wave[i >= 0.6 * points] *= val
        super().__init__(wave + test * (i >= 0.8 * points))


def windows(series, **options):
    """By default of 100 points: 56 for training in batches of 16, the last of 8."""
    return data(series, **({"batch_size": 16, "seed": 5} | options))


def wave(mean=0.0, scale=1.0, **options):
    return windows(Wave(mean, scale), **options)


def small(lr=LR, **options):
    """A network of five units under plain gradient descent."""
    return Forecaster(hidden_size=5, optimizer=partial(SGD, lr=lr), **options)


def trainer(**options):
    quick = {"accelerator": "cpu", "precision": "64-true", "max_epochs": EPOCHS}
    quick |= {"num_sanity_val_steps": 0, "logger": False, "enable_checkpointing": False}
    quick |= {"enable_progress_bar": False, "enable_model_summary": False}
    return pl.Trainer(**(quick | options))


def fit(model, data, **options):
    """The trainer, done."""
    made = trainer(**options)
    made.fit(model, data)
    return made


def scaling(data, standardise=True):
    """Mean and scale of the training split, or those of its own units."""
    made = Predictor(SinRNN(hidden_size=1), window=data.window, standardise=standardise)
    made.calibrate(data.windows["train"])
    return made.mean.item(), made.scale.item()


def inner(batch, data, standardise=True):
    """A batch in the network's units."""
    mean, scale = scaling(data, standardise)
    return [(part - mean) / scale for part in batch]


def by_hand(net, data, clip=0, algorithm="norm", *, standardise=False):
    """What fit does, without Lightning: the weights, and loss, norm and share clipped by step."""
    net, split, steps = copy.deepcopy(net), data.windows["train"], []
    weights, order = list(net.parameters()), WindowBatchSampler(len(split), 16, 5)
    descent, scale = SGD(weights, lr=LR), scaling(data, standardise)[1]
    for epoch in range(EPOCHS):
        order.set_epoch(epoch)
        for index in order:
            x, y = inner(split[index], data, standardise)
            loss = half_mse(net(x), y)
            descent.zero_grad()
            loss.backward()
            flat, share = torch.cat([weight.grad.flatten() for weight in weights]), 0.0
            if clip > 0 and algorithm == "value":
                share = (flat.abs() > clip).double().mean().item()
                for weight in weights:
                    weight.grad.clamp_(-clip, clip)
            elif clip > 0:
                share = float(flat.norm() > clip)
                clip_grad_norm_(weights, clip)
            descent.step()
            steps.append((scale**2 * loss.item(), flat.norm().item(), share))
    return net.state_dict(), torch.tensor(steps).T.numpy()
