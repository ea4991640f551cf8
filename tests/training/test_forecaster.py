"""Forecaster against the same training written as a plain torch loop, bit for bit."""

import copy
import io
import math
from functools import partial

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from cases import BITS, assert_close, refuses
from fitting import EPOCHS, EXPECTED, LR, by_hand, fit, inner, scaling, small, trainer, wave
from lightning.pytorch.callbacks import LearningRateMonitor
from lightning.pytorch.loggers.logger import DummyLogger
from lightning.pytorch.plugins.precision import MixedPrecision
from torch.optim import SGD
from torch.optim.lr_scheduler import ReduceLROnPlateau, StepLR
from torch.utils.data import DataLoader, TensorDataset

from sinrnn.callbacks.monitor import Monitor
from sinrnn.data import windows
from sinrnn.data.samplers import WindowBatchSampler
from sinrnn.data.windows import Windows, predict
from sinrnn.nn.functional import half_mse
from sinrnn.training import forecaster as module
from sinrnn.training.checkpoint_io import AtomicCheckpointIO, CorruptCheckpointError
from sinrnn.training.forecaster import Forecaster
from sinrnn.training.online import descend

pytestmark = EXPECTED


class Log(DummyLogger):
    """Keeps what is logged."""

    def __init__(self):
        super().__init__()
        self.rows = []

    def log_metrics(self, metrics, step=None):
        self.rows.append((step, dict(metrics)))


class Losses(pl.Callback):
    """Keeps both losses of every epoch."""

    def __init__(self):
        self.val, self.train = [], []

    def on_train_epoch_end(self, trainer, pl_module):
        self.val.append(trainer.callback_metrics["half_mse/val"].item())
        self.train.append(trainer.callback_metrics["half_mse/train"].item())


def whole_loss(net, split):
    """half_mse over all windows at once."""
    x, y = split[:]
    with torch.no_grad():
        return half_mse(net(x).reshape(y.shape), y).item()


# One step, without a trainer


@pytest.mark.parametrize("bias", [True, False])
def test_forward_and_the_training_loss_are_in_their_units(bias):
    model = small(bias=bias, standardise=True)
    model.predictor.mean.fill_(3.0)
    model.predictor.scale.fill_(0.25)
    x, y = torch.randn(7, 4, 1), torch.randn(7, 1)
    own, series = model.net(x), 3 + x / 4
    assert_close(model(series), 3 + own[:, 0] / 4)
    assert_close(model.predictor.copy()(series), model(series))
    expected = ((own - y) ** 2).sum() / (2 * 7)
    assert_close(model.training_step((series, 3 + y / 4), 0), expected)
    torch.testing.assert_close(half_mse(model(series), 3 + y[:, 0] / 4), expected / 16)
    model.predictor.copy().net.Wih.data.zero_()  # which is apart
    assert model.net.Wih.all()


def exploded(what, step):
    return (
        f"the {what} at step {step}: lower the learning rate (model.optimizer.lr) or clip the "
        "gradient (trainer.gradient_clip_val)"
    )


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_training_stops_at_a_loss_that_is_not_finite(bad):
    with refuses(FloatingPointError, exploded(f"loss became {bad}", 0)):
        small().training_step((torch.zeros(2, 4, 1), torch.tensor([[0.0], [bad]])), 0)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_predict_gives_every_window_its_prediction_in_float64(dtype, monkeypatch):
    monkeypatch.setattr(windows, "EVAL_BATCH", 7)
    made = small().predictor.to(dtype)
    split = Windows(torch.randn(30), 4)
    found = predict(made, split)
    assert found.dtype == torch.float64
    torch.testing.assert_close(found, made(split[:][0]).detach())


# Training


@pytest.mark.parametrize("standardise", [False, True])
@pytest.mark.parametrize(
    ("clip", "algorithm"), [(0, None), (1e-3, "value"), (1e-3, "norm"), (1e-3, None)]
)
def test_training_is_gradient_descent_bit_for_bit(standardise, clip, algorithm):
    model, data = small(standardise=standardise), wave(2.0, 0.5)
    expected, steps = by_hand(model.net, data, clip, algorithm, standardise=standardise)
    fit(model, data, gradient_clip_val=clip, gradient_clip_algorithm=algorithm)
    torch.testing.assert_close(model.net.state_dict(), expected, **BITS)
    assert (steps[2] > 0.1).all() == (clip > 0)  # the share that was clipped


@pytest.mark.parametrize(
    ("scheduler", "factor"),
    [
        (None, 1),
        (partial(StepLR, step_size=1, gamma=0.1), 1e-3),
        (partial(StepLR, step_size=2, gamma=0.1), 1e-1),
        # The validation loss falls: for mode max a plateau after the first epoch.
        (partial(ReduceLROnPlateau, mode="max", patience=0, factor=0.5), 0.25),
        (partial(ReduceLROnPlateau, mode="min", patience=0, factor=0.5), 1),
    ],
)
def test_scheduler_is_stepped_once_an_epoch(scheduler, factor):
    losses = Losses()
    done = fit(small(scheduler=scheduler), wave(), callbacks=[losses])
    assert losses.val == sorted(losses.val, reverse=True)
    assert done.optimizers[0].param_groups[0]["lr"] == pytest.approx(LR * factor, rel=1e-12)


@pytest.mark.parametrize(
    ("options", "factor"),
    [
        ({"check_val_every_n_epoch": 2}, 0.5),  # epochs 1 and 3 have a validation
        ({"check_val_every_n_epoch": 2, "num_sanity_val_steps": 2}, 0.5),
        ({"val_check_interval": 3, "check_val_every_n_epoch": None}, 0.5**4),
        ({"limit_val_batches": 0}, 1),
    ],
)
def test_plateau_is_stepped_at_each_validation(options, factor):
    plateau = partial(ReduceLROnPlateau, mode="max", patience=0, factor=0.5)
    done = fit(small(scheduler=plateau), wave(), **{"max_epochs": 4} | options)
    assert done.optimizers[0].param_groups[0]["lr"] == pytest.approx(LR * factor, rel=1e-12)


# What is logged


@pytest.mark.parametrize("standardise", [False, True])
@pytest.mark.parametrize(
    ("eval_batch", "precision", "dtype"),
    [(7, 64, torch.float64), (4096, 64, torch.float64), (4096, 32, torch.float32)],
)
def test_logged_losses_are_those_over_all_windows_in_the_series_units(
    eval_batch, precision, dtype, standardise, monkeypatch
):
    torch.set_default_dtype(torch.float32)  # losses keep the digits of float64 nevertheless
    # 56, 16 and 16 windows: uneven
    monkeypatch.setattr("sinrnn.data.datamodule.EVAL_BATCH", eval_batch)
    model, data = small(standardise=standardise), wave(100.0, 5.0)
    done = fit(model, data, precision=f"{precision}-true")
    assert (model.net.Wih.dtype, data.windows["val"].values.dtype) == (dtype, torch.float64)
    found = {name: done.callback_metrics[f"half_mse/{name}"].item() for name in ("train", "val")}
    (test,) = done.test(model, data, verbose=False)
    found["test"] = test["half_mse/test"]
    for name, split in data.windows.items():
        expected = half_mse(predict(model, split), split.targets).item()
        assert found[name] == pytest.approx(expected, rel=1e-12)
        assert found[name] == pytest.approx(whole_loss(model.predictor.copy(), split), rel=1e-10)


def test_losses_before_the_first_step_are_logged_at_step_0():
    log, model, data = Log(), small(), wave(100.0, 5.0)
    losses = (whole_loss(model, data.windows[name]) for name in ("val", "train"))
    before = dict(zip(("half_mse/val", "half_mse/train"), losses, strict=True))
    fit(model, data, logger=log, log_every_n_steps=1)
    step, first = log.rows[0]
    assert step == 0
    assert first == pytest.approx(before, rel=1e-12)


@pytest.mark.parametrize("resumed", [False, True])
def test_losses_at_step_0_are_logged_once_where_training_goes_on(resumed, tmp_path):
    model, data, options = small(), wave(), {"logger": Log(), "log_every_n_steps": 1}
    done, path = fit(model, data, **options), tmp_path / "a.ckpt"
    done.save_checkpoint(path)
    again = trainer(**options) if resumed else done
    again.fit_loop.max_epochs = EPOCHS + 2
    again.fit(model, data, ckpt_path=path if resumed else None)
    assert [step for step, _ in options["logger"].rows] == [0, 4, 8, 12, 16, 20]


class Extra(pl.Callback):
    """Has something for each epoch's row."""

    def row(self):
        return {"extra": 7.0}


@pytest.mark.parametrize("sanity", [0, 1])
def test_each_validation_is_one_row_at_the_steps_made_and_is_saved(sanity):
    log, losses, model, saved = Log(), Losses(), small(), []
    log.save = lambda: saved.append(len(log.rows))
    options = {"num_sanity_val_steps": sanity, "log_every_n_steps": 1}
    fit(model, wave(), logger=log, callbacks=[losses, Extra()], **options)
    pairs = zip(losses.val, losses.train, strict=True)
    names = ("epoch", "half_mse/val", "half_mse/train", "extra")
    rows = [dict(zip(names, (i, v, t, 7.0), strict=True)) for i, (v, t) in enumerate(pairs)]
    assert log.rows[1:] == list(zip([4, 8, 12], rows, strict=True))
    assert all(type(row["epoch"]) is int for _, row in log.rows[1:])
    assert saved[1:4] == [2, 3, 4]


def test_validate_and_test_log_as_lightning_does():
    log, model, data = Log(), small(), wave()
    made = trainer(logger=log)
    for run in (made.validate, made.test):
        run(model, data, verbose=False)
    names = [{"half_mse/val", "half_mse/train", "epoch"}, {"half_mse/test", "epoch"}]
    assert [(step, set(row)) for step, row in log.rows] == [(0, found) for found in names]
    found = log.rows[0][1] | log.rows[1][1]
    for name, split in data.windows.items():
        assert found[f"half_mse/{name}"] == pytest.approx(whole_loss(model, split), rel=1e-12)


class Grads(pl.Callback):
    """Keeps every gradient as callbacks see it before its step, and at each validation."""

    def __init__(self):
        self.before, self.validated = [], []

    def on_before_optimizer_step(self, trainer, pl_module, optimizer):
        self.before.append([weight.grad.clone() for weight in pl_module.net.parameters()])

    def on_validation_end(self, trainer, pl_module):
        self.validated.append([weight.grad.clone() for weight in pl_module.net.parameters()])


def test_last_gradient_is_there_to_look_at_during_validation():
    grads = Grads()
    fit(small(), wave(), callbacks=[grads])
    torch.testing.assert_close(grads.validated, grads.before[3::4], **BITS)


# The readout


@pytest.mark.parametrize("standardise", [False, True])
@pytest.mark.parametrize("most", [20_000, 12])
def test_readout_is_solved_at_the_start_of_its_epoch(standardise, most, monkeypatch):
    monkeypatch.setattr(module, "READOUT_WINDOWS", most)
    model, losses = small(lr=0.0, readout_epoch=1, standardise=standardise), Losses()
    data = wave(2.0, 0.5)
    scale, split = scaling(data, standardise)[1], data.windows["train"]

    def read(batch):
        x, y = inner(batch, data, standardise)
        return model.net.unroll(x)[0][:, -1].detach().numpy(), y.numpy()

    # With a rate of 0 the states stay, so that NumPy can solve for them beforehand.
    weights, *_ = np.linalg.lstsq(*read(split.sample(most)))
    h, y = read(split[:])
    least = scale**2 * ((h @ weights - y) ** 2).mean() / 2
    before = scale**2 * ((h @ model.net.Who.detach().numpy().T - y) ** 2).mean() / 2
    fit(model, data, callbacks=[losses])
    assert losses.train == pytest.approx([before, least, least], rel=1e-9)
    assert least < before / 2


@pytest.mark.parametrize(("rcond", "directions"), [(1e-1, 2), (2e-2, 4), (0.0, 5)])
def test_readout_is_solved_down_to_its_cutoff(rcond, directions):
    model, data = small(lr=0.0, readout_epoch=0, readout_rcond=rcond), wave()
    x, y = data.windows["train"][:]
    h = model.net.unroll(x)[0][:, -1].detach().numpy()
    expected, _, rank, _ = np.linalg.lstsq(h, y.numpy(), rcond=rcond)
    assert rank == directions
    fit(model, data, max_epochs=1)
    torch.testing.assert_close(model.net.Who.detach(), torch.tensor(expected.T))


def test_readout_is_not_solved_without_a_data_module_of_ours():
    data = wave()
    message = "readout_epoch needs a WindowDataModule: train with one"
    with refuses(TypeError, message):
        trainer().fit(small(readout_epoch=0), data.train_dataloader(), data.val_dataloader())


# What is kept


@pytest.mark.parametrize("standardise", [False, True])
@pytest.mark.parametrize(
    ("options", "data", "carries"),
    [
        ({}, {"window": 6, "horizon": 3}, False),
        ({"loss": "every"}, {}, False),
        ({"input_noise": 0.1}, {}, False),
        ({"updates": "window"}, {}, False),
        ({}, {"steps": 2}, True),
        ({"stateful": True}, {"num_streams": 3}, True),
        ({"stateful": True, "loss": "every"}, {"num_streams": 3, "steps": 2}, True),
    ],
)
def test_setup_takes_from_the_data_what_a_forecast_needs(options, data, carries, standardise):
    model, data = small(standardise=standardise, **options), wave(2.0, 0.5, **data)
    fit(model, data, max_epochs=1)
    made = model.predictor
    assert (made.window, made.horizon) == (data.window, data.horizon)
    assert (made.mean.item(), made.scale.item()) == scaling(data, standardise)
    assert ((made.mean, made.scale) == (0, 1)) is not standardise
    assert made.stateful is made.copy().stateful is carries


@pytest.mark.parametrize("plugins", [[AtomicCheckpointIO()], []], ids=["durable", "plain"])
def test_checkpoint_is_plain_and_loads_without_running_code(tmp_path, plugins):
    model = small(bias=True, bptt_steps=2, readout_epoch=1, standardise=True)
    data = wave(2.0, 0.5)
    fit(model, data, plugins=plugins).save_checkpoint(tmp_path / "last.ckpt")
    saved = torch.load(tmp_path / "last.ckpt", weights_only=True)
    kept = {"input_size": 1, "hidden_size": 5, "output_size": 1, "bias": True, "bptt_steps": 2}
    kept |= {"init": "orthogonal", "standardise": True, "log": False, "relative": False}
    kept |= {
        "linear": False,
        "units": "given",
        "readout_epoch": 1,
        "readout_rcond": 1e-10,
        "updates": "batch",
    }
    kept |= {"loss": "last", "stateful": False, "input_noise": 0.0}
    assert saved["hyper_parameters"] == dict(model.hparams) == kept
    assert {type(value) for value in model.hparams.values()} == {int, bool, str, float}
    again = Forecaster.load_from_checkpoint(tmp_path / "last.ckpt")
    x, _ = data.windows["test"][:]
    torch.testing.assert_close(again(x), model(x), **BITS)
    assert saved["optimizer_states"][0]["param_groups"][0]["lr"] == LR


class Named(Forecaster):
    """A constructor of its own, without those arguments that it gives itself."""

    def __init__(self, size, note="none"):
        super().__init__(hidden_size=size, bias=True)
        self.note = note


class Open(Forecaster):
    """One that hands on what it does not know."""

    def __init__(self, note="none", **options):
        super().__init__(**options)
        self.note = note


class Whole(Forecaster):
    """One of a single argument that holds all."""

    def __init__(self, settings):
        super().__init__(hidden_size=settings["hidden_size"])
        self.save_hyperparameters(settings)


LIGHTNING = pl.LightningModule.load_from_checkpoint.__func__


def saved_by(model, path):
    """The file of a model that was trained for an epoch."""
    fit(model, wave(), max_epochs=1).save_checkpoint(path)
    return path


@pytest.mark.parametrize(
    "model",
    [
        lambda: Forecaster(hidden_size=5),
        lambda: Named(5, note="mine"),
        lambda: Open("mine", hidden_size=5, bptt_steps=2),
        lambda: Whole({"hidden_size": 5}),
    ],
    ids=["Forecaster", "Named", "Open", "Whole"],
)
@pytest.mark.parametrize("options", [{}, {"map_location": "cpu", "weights_only": True}])
def test_load_from_checkpoint_gives_what_lightnings_gives(tmp_path, model, options):
    model = model()
    path = saved_by(model, tmp_path / "last.ckpt")
    expected = LIGHTNING(type(model), path, **options)
    for source in (path, str(path), io.BytesIO(path.read_bytes())):
        found = type(model).load_from_checkpoint(source, **options)
        assert type(found) is type(model)
        assert found.hparams == expected.hparams == model.hparams
        assert getattr(found, "note", None) == getattr(model, "note", None)
        torch.testing.assert_close(found.net.state_dict(), model.net.state_dict(), **BITS)


def test_load_from_checkpoint_takes_each_of_lightnings_options(tmp_path):
    path = saved_by(Named(5), tmp_path / "last.ckpt")
    assert Named.load_from_checkpoint(path, note="mine", weights_only=False).note == "mine"
    meta = Named.load_from_checkpoint(path, map_location=torch.device("cpu"))
    assert meta.net.Whh.device.type == "cpu"
    for name, text in {"h.yaml": "size: 5\nnote: file\n", "h.csv": "key,value\nsize,5\n"}.items():
        (tmp_path / name).write_text(text)
        found = Named.load_from_checkpoint(path, hparams_file=tmp_path / name)
        assert found.note == ("file" if name == "h.yaml" else "none")
    content = torch.load(path, weights_only=True)
    del content["state_dict"]["predictor.net.bh"]
    torch.save(content, path)
    with pytest.raises(
        CorruptCheckpointError, match=r"is not a checkpoint of Named: .*Missing key.*net\.bh"
    ):
        Named.load_from_checkpoint(path)
    assert Named.load_from_checkpoint(path, strict=False).net.Whh.shape == (5, 5)


def test_load_from_checkpoint_refuses_arguments_that_there_are_not(tmp_path):
    path = saved_by(Named(5), tmp_path / "last.ckpt")
    with refuses(TypeError, "Named has no argument 'hidden_size'"):
        Named.load_from_checkpoint(path, hidden_size=5)
    message = f"{path} is not a checkpoint of Forecaster: it has no argument note, size"
    with refuses(CorruptCheckpointError, message):
        Forecaster.load_from_checkpoint(path)


# One update for each window

WINDOWED = {"shuffle": False, "batch_size": 16}
VALUE = {"gradient_clip_val": 1e-2, "gradient_clip_algorithm": "value"}


def weights_of(model):
    return [getattr(model.net, name).detach().clone() for name in ("Wih", "Whh", "Who")]


def close(found, expected):
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def each_by_hand(model, data, *, rates, clip=None, standardise=False):
    """The weights that updates: window leads to, without Lightning; one rate for each epoch."""
    model = copy.deepcopy(model)
    split = data.windows["train"]
    order = WindowBatchSampler(len(split), data.batch_size, data.seed, data.shuffle)
    for epoch, rate in enumerate(rates):
        order.set_epoch(epoch)
        descend(model.net, *inner(split[torch.cat(list(order))], data, standardise), rate, clip)
    return weights_of(model)


@pytest.mark.parametrize("clip", [{}, VALUE])
@pytest.mark.parametrize("bptt_steps", [None, 2])
def test_updates_by_window_are_gradient_descent_with_batches_of_one(bptt_steps, clip):
    ones, each = small(bptt_steps=bptt_steps), small(bptt_steps=bptt_steps, updates="window")
    each.load_state_dict(ones.state_dict())
    before = weights_of(each)
    fit(ones, wave(shuffle=False, batch_size=1), **clip)
    fit(each, wave(**WINDOWED), **clip)
    close(weights_of(each), weights_of(ones))
    assert all((a - b).abs().max() > 1e-2 for a, b in zip(before, weights_of(each), strict=True))


# 56 windows: batches of one, of 11 with a last one of one, of 16 and 8, and all at once.
@pytest.mark.parametrize("batch_size", [1, 11, 16, 0])
@pytest.mark.parametrize(("clip", "limit"), [({}, None), (VALUE, 1e-2)])
def test_updates_by_window_step_with_the_last_windows_gradient(clip, limit, batch_size):
    model, data = small(updates="window", bptt_steps=2), wave(batch_size=batch_size, shuffle=False)
    log, grads = Log(), Grads()
    twin, expected = copy.deepcopy(model), []
    net = twin.net
    for x, y in data.train_dataloader():
        descend(net, x[:-1], y[:-1], LR, limit)
        one = copy.deepcopy(net)
        descend(one, x[-1:], y[-1:], 1.0)
        pairs = zip(net.parameters(), one.parameters(), strict=True)
        expected.append([(before - after).detach() for before, after in pairs])
        descend(net, x[-1:], y[-1:], LR, limit)
    options = {"callbacks": [Monitor(), grads], "logger": log, "log_every_n_steps": 1}
    fit(model, data, max_epochs=1, **options, **clip)
    close(weights_of(model), weights_of(twin))
    close(grads.before, expected)
    norms = [torch.cat([grad.flatten() for grad in found]).norm().item() for found in expected]
    shown = log.rows[-1][1]
    assert shown["gradient/norm"] == pytest.approx(np.mean(norms), rel=1e-9)
    assert shown["gradient/norm_max"] == pytest.approx(max(norms), rel=1e-9)
    assert max(norms) > 2e-2  # beyond the clip


NOTHING = [
    {"gradient_clip_val": val, "gradient_clip_algorithm": algorithm}
    for val in (None, 0, -1.0)
    for algorithm in (None, "value", "norm")
]


@pytest.mark.parametrize(
    ("scheduler", "standardise", "rates"),
    [
        (None, False, [LR, LR, LR]),
        (None, True, [LR, LR, LR]),
        (partial(StepLR, step_size=1, gamma=0.1), False, [LR, LR / 10, LR / 100]),
        (partial(StepLR, step_size=2, gamma=0.5), False, [LR, LR, LR / 2]),
        # The validation loss falls: for mode max a plateau after the first epoch.
        (partial(ReduceLROnPlateau, mode="max", patience=0, factor=0.5), False, [LR, LR, LR / 2]),
    ],
)
@pytest.mark.parametrize(("clip", "limit"), [(VALUE, 1e-2), *((given, None) for given in NOTHING)])
def test_updates_by_window_keep_the_order_of_the_batches_and_the_epochs_rates(
    clip, limit, standardise, scheduler, rates
):
    model = small(updates="window", standardise=standardise, scheduler=scheduler)
    data, losses = wave(2.0, 0.5) if standardise else wave(), Losses()
    options = {"rates": rates, "standardise": standardise}
    expected = each_by_hand(model, data, clip=limit, **options)
    other = each_by_hand(model, data, clip=None if limit else 1e-2, **options)
    fit(model, data, callbacks=[losses], **clip)
    assert losses.val == sorted(losses.val, reverse=True)
    close(weights_of(model), expected)
    assert (expected[2] - other[2]).abs().max() > 1e-3


def test_steps_are_windows_where_each_is_an_update():
    log, losses = Log(), Losses()
    options = {"callbacks": [losses, LearningRateMonitor("step")], "log_every_n_steps": 1}
    done = fit(small(updates="window"), wave(), logger=log, **options)
    assert done.global_step == EPOCHS * 56
    count = done.fit_loop.epoch_loop.automatic_optimization.optim_progress.optimizer.step
    assert count.total.ready == count.total.completed == EPOCHS * 56
    assert count.current.ready == count.current.completed == 56
    steps = [step for step, row in log.rows if "half_mse/val" in row]
    assert steps == [56 * epoch for epoch in range(EPOCHS + 1)]
    steps = [step for step, row in log.rows if "lr-SGD" in row]  # as Lightning's callbacks see it
    assert steps == [56 * epoch + 16 * i for epoch in range(EPOCHS) for i in range(4)]
    assert losses.val[-1] < losses.val[0]


# The error after one step is 1e160, and its square beyond float64; after two it is no number.
@pytest.mark.parametrize(
    ("batch_size", "what", "step"), [(2, "loss became inf", 1), (16, "weights became nan", 0)]
)
def test_updates_by_window_stop_before_weights_that_are_not_finite(batch_size, what, step):
    model = small(lr=1e160, updates="window")
    with refuses(FloatingPointError, exploded(what, step)):
        fit(model, wave(batch_size=batch_size))
    assert all(weight.isfinite().all() for weight in model.net.parameters())


def test_training_stops_before_the_step_of_a_gradient_that_is_not_finite():
    model, before = small(), []

    class Poison(pl.Callback):
        def on_before_backward(self, trainer, pl_module, loss):
            if trainer.global_step == 5:
                before.append(copy.deepcopy(weights_of(pl_module)))
                pl_module.net.Whh.register_hook(lambda grad: grad * math.nan)

    with refuses(FloatingPointError, exploded("gradient became nan", 5)):
        fit(model, wave(), callbacks=[Poison()])
    torch.testing.assert_close(weights_of(model), before[0], **BITS)


# Mixed precision: gradients are scaled until the step


def mixed(scale):
    """16-mixed on a CPU, by a scaler that starts there; every overflow halves the scale."""
    torch.set_default_dtype(torch.float32)
    scaler = torch.amp.GradScaler("cpu", init_scale=scale)
    plugin = MixedPrecision("16-mixed", "cpu", scaler)
    return {"precision": None, "log_every_n_steps": 1, "plugins": [plugin]}


class Bare(pl.LightningModule):
    """The same training without anything that looks at gradients."""

    def __init__(self, net):
        super().__init__()
        self.net = copy.deepcopy(net)

    def training_step(self, batch, batch_idx):
        x, y = batch
        return half_mse(self.net(x.to(self.net.Wih)), y.to(self.net.Wih))

    def configure_optimizers(self):
        return SGD(self.parameters(), lr=LR)


@pytest.mark.parametrize("clip", [{}, VALUE, {"gradient_clip_val": 1e-2}])
def test_training_goes_on_where_a_scaler_skips_steps(clip):
    options, log = mixed(2.0**127), Log()
    model, data, monitor = small(), wave(4.0), Monitor()
    bare = Bare(model.net)
    trainer(**mixed(2.0**127), **clip).fit(bare, data.train_dataloader())
    before = copy.deepcopy(weights_of(model))
    fit(model, data, callbacks=[monitor], logger=log, **options, **clip)
    assert options["plugins"][0].scaler.get_scale() < 2.0**127  # it did overflow
    torch.testing.assert_close(weights_of(model), weights_of(bare), **BITS)
    assert not torch.equal(weights_of(model)[1], before[1])
    rows = [row for _, row in log.rows if "gradient/norm" in row]
    assert rows
    assert all(0 < row["gradient/norm"] <= row["gradient/norm_max"] < 10 for row in rows)


@pytest.mark.parametrize(("clip", "algorithm"), [(0, None), (0.4, "value"), (1.0, "norm")])
@pytest.mark.parametrize("accumulated", [1, 2])
def test_gradients_are_measured_as_they_are_without_a_scaler(clip, algorithm, accumulated):
    limits = {"gradient_clip_val": clip, "gradient_clip_algorithm": algorithm}
    limits["accumulate_grad_batches"] = accumulated
    found = []
    for options in (mixed(2.0**16), {"precision": "32-true", "log_every_n_steps": 1}):
        model, log = small(), Log()
        torch.manual_seed(1)
        model.net.reset_parameters()
        fit(model, wave(), callbacks=[Monitor()], logger=log, **options, **limits)
        rows = [row for _, row in log.rows if "gradient/norm" in row]
        found.append([{n: v for n, v in row.items() if "gradient" in n} for row in rows])
        found[-1].append({"last": model.gradient_norm})
    for scaled, plain in zip(*found, strict=True):
        assert scaled == pytest.approx(plain, rel=1e-5)


# Predicting


@pytest.mark.parametrize("precision", ["64-true", "32-true"])
@pytest.mark.parametrize("source", ["datamodule", "pairs", "windows", "tensors"])
def test_trainer_predicts_in_the_series_units(source, precision, monkeypatch):
    monkeypatch.setattr("sinrnn.data.datamodule.EVAL_BATCH", 7)  # 16 windows: uneven
    model, data = small(standardise=True), wave(2.0, 0.5)
    made = fit(model, data, precision=precision)
    x, y = data.windows["test"][:]
    own = {
        "pairs": DataLoader(TensorDataset(x, y), batch_size=7),
        "windows": DataLoader(TensorDataset(x), batch_size=7),
        "tensors": DataLoader(x, batch_size=7),
    }
    found = torch.cat(made.predict(model, own.get(source, data)))
    expected = predict(model, data.windows["test"])
    assert found.shape == (16,)
    torch.testing.assert_close(found.double(), expected, rtol=1e-6, atol=1e-6)
    if source == "datamodule":
        torch.testing.assert_close(found, expected, **BITS)
        assert half_mse(found, y[:, 0]) < 1


def test_trainer_predicts_several_outputs_and_several_loaders():
    model, x = small(input_size=2, output_size=2), torch.randn(9, 4, 2)
    loader = DataLoader(x, batch_size=5)
    for found in trainer().predict(model, [loader, loader]):
        close(torch.cat(found), model(x).detach())
