"""Units, window and start that `units: auto` chooses, through training and all that it leaves."""

import copy
import pickle
import re
from functools import partial
from pathlib import Path

import programs
import pytest
import torch
import yaml
from cases import BITS, refuses
from fitting import EXPECTED, fit, trainer
from ramp import Given
from torch.optim import Adam

import sinrnn
from sinrnn import Forecaster, Predictor, Run, WindowDataModule
from sinrnn.evaluation.evaluate import predictions
from sinrnn.evaluation.linear_fallback import keep_if_better
from sinrnn.forecasting.choice import choose_units
from sinrnn.training import setup

pytestmark = EXPECTED
ADAM = partial(Adam, lr=0.01)


def growing(points=120, period=14):
    """Positive, with seasons that grow with it: logarithms, and a window of a period and one."""
    i = torch.arange(points)
    season = 0.4 * torch.sin(2 * torch.pi * i / period) + 0.3 * torch.randn(period)[i % period]
    return torch.exp(3 + i / 60 + season + 0.05 * torch.randn(points))


def auto(**options):
    return Forecaster(hidden_size=5, bias=True, units="auto", **{"optimizer": ADAM} | options)


def module(values, **options):
    return WindowDataModule(Given(values), **{"window": None} | options)


def choice(data):
    edges = {name: data.edges(name) for name in data.splits}
    return choose_units(data.values, edges, data.horizon)


def made(tmp_path, **options):
    """A trained model, its data, and a checkpoint."""
    model, data = auto(**options), module(growing())
    done = fit(model, data)
    done.save_checkpoint(tmp_path / "a.ckpt")
    return model, data, tmp_path / "a.ckpt"


WAYS = {
    "checkpoint": lambda model, path: Forecaster.load_from_checkpoint(path).predictor,
    "pickle": lambda model, path: pickle.loads(pickle.dumps(model.predictor)),
    "deepcopy": lambda model, path: copy.deepcopy(model).predictor,
    "file": lambda model, path: model.predictor.save(path) or Predictor.load(path),
}


def test_what_is_chosen_is_trained_and_kept_however_it_is_sent(tmp_path):
    model, data, path = made(tmp_path)
    found, wanted = model.predictor, choice(data)
    assert model.choice == str(wanted)
    assert (found.log, found.standardise, found.linear) == (True, True, True)
    assert found.relative == wanted.units.relative
    assert found.window == data.window == wanted.window == 15
    units = dict(wanted.units.named_buffers())
    torch.testing.assert_close({n: getattr(found, n) for n in units}, units, **BITS)
    assert found.net.Who.any()
    x, _ = data.windows["test"][:]
    sent = {way: send(model, path)(x) for way, send in WAYS.items()}
    torch.testing.assert_close(sent, dict.fromkeys(WAYS, found(x)), **BITS)


def test_other_data_without_a_window_are_tested_with_the_predictors(tmp_path):
    model, _, path = made(tmp_path)
    before = copy.deepcopy(model.predictor.state_dict())
    for each in (model, Forecaster.load_from_checkpoint(path)):
        other = module(torch.rand(90) + 1)  # for which a shorter window would be chosen
        loss = trainer().test(each, other, verbose=False)[0]["half_mse/test"]
        assert other.window == 15
        missed = predictions(each.predictor, other)["test"] - other.windows["test"].targets
        assert loss == pytest.approx(missed.square().mean().item() / 2)
        after = each.predictor.state_dict()
        extra = before["_extra_state"], after["_extra_state"]
        assert extra[0] == extra[1]
        for name in ("scale", "coefficients", "intercept"):
            torch.testing.assert_close(after[name], before[name], **BITS)


def test_model_that_is_trained_on_keeps_what_was_chosen(tmp_path):
    model, _, _ = made(tmp_path)
    scale = model.predictor.scale.clone()
    fit(model, other := module(torch.rand(90) + 1))
    assert other.window == 15
    torch.testing.assert_close(model.predictor.scale, scale, **BITS)


def test_plain_trainer_resumes_to_the_same_bits(tmp_path):
    values = growing()
    torch.manual_seed(0)
    whole = auto()
    done = trainer(max_epochs=2)
    done.fit(whole, module(values))
    done.save_checkpoint(tmp_path / "a.ckpt")
    torch.manual_seed(0)
    fit(whole := auto(), module(values), max_epochs=4)
    resumed = auto()
    trainer(max_epochs=4).fit(resumed, module(values), ckpt_path=tmp_path / "a.ckpt")
    torch.testing.assert_close(
        dict(resumed.predictor.named_buffers()) | dict(resumed.net.named_parameters()),
        dict(whole.predictor.named_buffers()) | dict(whole.net.named_parameters()),
        **BITS,
    )


def test_window_that_is_given_is_kept():
    model, data = auto(), module(growing(), window=20)
    fit(model, data)
    assert model.predictor.window == data.window == 20


def test_contradictions_are_refused_in_one_sentence(refused):
    message = "data.window is missing: set it, or train with model.units auto"
    with refuses(ValueError, message):
        fit(Forecaster(hidden_size=5), module(growing()))
    assert refused("--data.window", "null") == message
    with refuses(ValueError, message):  # nothing is chosen before training
        trainer().test(auto(), module(growing()), verbose=False)
    message = "units: auto chooses log and relative itself: leave them out, or set units to given"
    for name in ("log", "relative"):
        with refuses(ValueError, message):
            auto(**{name: True})
    assert refused("--config", "configs/series.yaml", "--model.log", "true").endswith(message)
    message = "train split is constant, its deviation is 0"
    with pytest.raises(ValueError, match=message):
        fit(auto(), module(torch.cat([torch.ones(80), growing(40)])))


# A run


KILLED = """
import itertools, os, signal, sys
from types import SimpleNamespace
from lightning.pytorch import Callback
from sinrnn.callbacks import checkpoint
from sinrnn.cli.train import main

# Time flies, and so each epoch is saved.
checkpoint.time = SimpleNamespace(monotonic=itertools.count(step=2).__next__)


class Kill(Callback):
    def on_train_batch_end(self, trainer, *args):
        if trainer.global_step == int(sys.argv[1]):
            os.kill(os.getpid(), signal.SIGKILL)


main(sys.argv[2:], [Kill()])
"""
SHORT = ["--trainer.max_epochs=4", "--trainer.enable_progress_bar=false", "--figures=false"]


def run(train, values, *args):
    """The arguments of a run with series.yaml on values in a file, and what trains it."""
    torch.set_default_dtype(torch.float32)  # as in a process of its own
    Path("a.csv").write_text("\n".join(["x", *map(repr, values.tolist())]))
    given = ["--config", "configs/series.yaml", "--data.series.path", "a.csv", *SHORT, *args]
    return given, lambda: (train(*given), Run("runs/series/version_0"))[1]


def said(run, name, place=0):
    """What the report says on a line that begins so, and on the lines that go on with it."""
    found = re.findall(rf"(?m)^{name} +(.*(?:\n +.*)*)$", run.report)[place]
    return re.sub(r"\n +", " ", found)


@pytest.mark.process
def test_run_that_is_killed_and_resumed_has_the_same_bits(train, monkeypatch):
    given, whole = run(train, growing(), "--data.batch_size=16")
    whole, resume = whole(), given
    killed = whole.folder.with_name("version_1")
    for step in (1, 9):  # before anything is saved, and later
        assert programs.run("-c", KILLED, step, *resume).returncode == -9
        assert (killed / "checkpoints" / "last.ckpt").exists() == (step > 1)
        resume = ["--resume", str(killed)]
    monkeypatch.setattr(setup, "choose_units", None)  # nothing is chosen again
    assert train(*resume)[0] == 0
    assert (killed / "metrics.csv").read_bytes() == (whole.folder / "metrics.csv").read_bytes()
    one, two = (each.predictor for each in (whole, Run(killed)))
    assert one.get_extra_state() == two.get_extra_state()
    torch.testing.assert_close(dict(two.named_buffers()), dict(one.named_buffers()), **BITS)
    torch.testing.assert_close(dict(two.net.state_dict()), dict(one.net.state_dict()), **BITS)
    reports = [
        [line for line in each.report.splitlines() if not line.startswith(("run ", "training "))]
        for each in (whole, Run(killed))
    ]
    assert reports[0] == reports[1]


def test_run_made_in_python_opens_and_resumes_to_the_same_bits(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.set_default_dtype(torch.float32)  # as in a process of its own
    values, quiet = growing(), {"accelerator": "cpu", "enable_progress_bar": False}

    def made(epochs):
        data = WindowDataModule(values.tolist(), window=None)
        return sinrnn.fit(auto(), data, seed=0, max_epochs=epochs, figures=False, **quiet)

    whole, part = made(4), made(2)
    opened = Run(part.folder)
    assert opened.config["data"]["window"] is None
    assert opened.config["model"]["units"] == "auto"
    assert opened.data.window == opened.predictor.window == 15
    one, two = (each.forecast(5) for each in (part, opened))
    for name in ("prediction", "lower", "upper"):
        torch.testing.assert_close(getattr(two, name), getattr(one, name), **BITS)
    monkeypatch.setattr(setup, "choose_units", None)  # nothing is chosen again
    opened.resume(max_epochs=4)
    one, two = (dict(each.predictor.named_buffers()) for each in (whole, opened))
    torch.testing.assert_close(two, one, **BITS)
    assert said(opened, "units") == said(whole, "units")


@pytest.mark.parametrize("window", [None, 20])
def test_run_says_what_was_typed_and_what_was_chosen(train, window):
    values = growing()
    found = run(train, values, *([f"--data.window={window}"] if window else []))[1]()
    config = yaml.safe_load((found.folder / "config.yaml").read_text())
    assert config["data"]["window"] == window
    assert config["model"]["units"] == "auto"
    assert config["model"]["log"] is config["model"]["relative"] is False
    chosen = choose_units(
        values, {name: found.data.edges(name) for name in found.data.splits}, window=window
    )
    assert said(found, "units") == str(chosen)
    assert found.predictor.window == chosen.window == found.data.window == (window or 15)
    last = Forecaster.load_from_checkpoint(found.folder / "checkpoints" / "last.ckpt")
    assert last.predictor.window == found.predictor.window


@pytest.mark.parametrize(("points", "reason"), [(120, "13 val"), (300, "on the val")])
def test_network_that_gains_nothing_is_left_out_of_what_is_saved_and_reported(
    train, points, reason
):
    found = run(train, torch.randn(points).cumsum(0) + 99, "--trainer.max_epochs=30")[1]()
    best = Forecaster.load_from_checkpoint(found.folder / "checkpoints" / "best.ckpt").predictor
    wanted, why = keep_if_better(best, found.data.windows["val"])
    assert why.startswith(f"left out: {reason}")
    assert said(found, "network", -1) == why
    assert not found.predictor.net.Who.any()
    assert f"{found.results.half_mse['network']['test']:.2e}" in found.report
    for name, split in found.data.windows.items():
        x, y = split[:]
        torch.testing.assert_close(found.predictor(x), wanted(x), **BITS)
        loss = (found.predictor(x) - y[:, 0]).square().mean().item() / 2
        assert found.results.half_mse["network"][name] == pytest.approx(loss)
