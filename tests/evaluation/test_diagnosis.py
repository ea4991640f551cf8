"""Faults made on purpose and found; each sentence where it is true, and where it must be silent."""

import math
import re
from dataclasses import replace
from functools import partial

import lightning.pytorch as pl
import pytest
import torch
from cases import predictor
from lightning.pytorch.loggers import CSVLogger
from ramp import Given, data
from torch.optim import LBFGS, SGD

from sinrnn import Predictor, Sine, SinRNN
from sinrnn.callbacks.monitor import Monitor
from sinrnn.cli.train import TrainCLI, quiet
from sinrnn.evaluation.diagnosis.checks import Check, diagnose, format_diagnosis, problems
from sinrnn.evaluation.diagnosis.words import option, worded
from sinrnn.evaluation.evaluate import evaluate, predictions
from sinrnn.evaluation.report import times
from sinrnn.evaluation.results import History, Need, Results, Rollout, Settings
from sinrnn.filesystem import CONFIGS
from sinrnn.nn.functional import half_mse
from sinrnn.nn.trace import Trace
from sinrnn.training.forecaster import Forecaster

ALWAYS = ["saturation", "constant output", "baselines"]
QUARTER = {"train": (0.0, 0.251), "val": (0.375, 0.626), "test": (0.75, 1.0)}  # the notebook's


def wave(period, points, late=0.0):
    return torch.sin(2 * math.pi * torch.arange(points, dtype=torch.float64) / period - late)


def examined(net, series, **options):
    """Results of a network as it is."""
    cut = data(series, **options)
    made = net if isinstance(net, Predictor) else predictor(net, cut.window, cut.horizon)
    return evaluate(made, cut, predictions(made, cut))


def trained(folder, model, cut, **options):
    """Results of a training run."""
    quiet()
    options |= {"accelerator": "cpu", "precision": "64-true", "enable_checkpointing": False}
    options |= {"enable_progress_bar": False, "enable_model_summary": False}
    trainer = pl.Trainer(logger=CSVLogger(folder, "", ""), callbacks=[Monitor()], **options)
    trainer.fit(model, cut)
    made, history = model.predictor.copy(), History.read(folder / "metrics.csv")
    settings = Settings(clip=trainer.gradient_clip_val)
    return evaluate(made, cut, predictions(made, cut), history, settings)


def one_unit(gain, Whh=0.0, Wih=1e-6):
    """H = 1 and, with inputs this small, linear: it predicts gain (x[T] + Whh x[T-1] + ...)."""
    net = SinRNN(hidden_size=1)
    for weight, value in ((net.Wih, Wih), (net.Whh, Whh), (net.Who, gain / Wih)):
        torch.nn.init.constant_(weight, value)
    return net


def fitted(series, **options):
    """An almost linear network with the readout solved for a series."""
    net = SinRNN(hidden_size=20, init="linear")
    net.fit_readout(*data(series, **options).windows["train"][:])
    return net


def check(results, name):
    return next(check for check in diagnose(results, command_line=True) if check.name == name)


def problem(results, name):
    """The sentence of one check, be it a fault or not; empty where it finds nothing."""
    checks = diagnose(results, command_line=True)
    return next((check.problem + check.note for check in checks if check.name == name), "")


# Faults made on purpose


def test_saturation_is_of_the_notebooks_weights_or_of_large_inputs():
    net, large = SinRNN(init="notebook"), Given(100 * wave(200, 1000))
    radius = (torch.linalg.matrix_power(net.Whh.detach(), 20).trace() ** (1 / 20)).item()
    assert radius == pytest.approx(25, rel=0.1)
    assert problem(examined(net, Sine()), "saturation") == (
        "100% of the hidden units are saturated (|h| > 0.99) and pass almost no gradient; "
        f"Whh has spectral radius {radius:.3g}: start with --model.init orthogonal."
    )
    net = SinRNN(init="torch")
    found = problem(examined(net, large), "saturation")
    assert re.match(r"\d\d% of the hidden units .* spectral radius 0\.\d+: standardise ", found)
    assert found.endswith("standardise the series (--model.standardise true).")
    inner = Predictor(net, window=4, standardise=True)
    inner.calibrate(data(large).windows["train"])
    for healthy in (examined(inner, large), examined(SinRNN(), Sine())):
        assert not problem(healthy, "saturation")


def test_gradient_vanishes_explodes_or_flows_as_whh_says():
    noise = Given(torch.randn(300, generator=torch.Generator().manual_seed(2)))
    small, large, near_one = (
        problem(examined(one_unit(2.0, Whh), noise, window=8), "gradient flow")
        for Whh in (0.1, 3.0, 0.9)
    )
    assert "vanishes: only 3 of 8 steps receive gradient" in small  # 1, 0.1, just below 0.01
    assert small.endswith(" earlier steps. Use a shorter window (--data.window 3).")
    assert "|dLoss/dh[t]| becomes 2,200 times larger" in large  # 3 ** 7
    assert "lower the learning rate (--model.optimizer.lr), or clip it (--trainer.grad" in large
    assert not near_one


@pytest.mark.parametrize(("bptt_steps", "ill"), [(1, True), (6, False)])
def test_truncated_gradient_is_compared_with_the_full_one(bptt_steps, ill):
    net, grads = SinRNN(hidden_size=5, bptt_steps=bptt_steps), []
    results = examined(net, Sine(), window=8)
    x, y = data(Sine(), window=8).windows["train"][:]
    for net.bptt_steps in (bptt_steps, None):
        found = torch.autograd.grad(half_mse(net(x), y), (net.Wih, net.Whh))
        grads.append(torch.cat([part.flatten() for part in found]))
    cosine = (grads[0] @ grads[1] / grads[0].norm() / grads[1].norm()).item()
    assert check(results, "gradient flow").fact.endswith(f"is {cosine:.2f}")
    assert problem(results, "gradient flow") == ill * (
        f"Truncation to {bptt_steps} of 8 steps changes the direction of the gradient: its cosine "
        f"with the full gradient is {cosine:.2f}. Raise --model.bptt_steps."
    )


@pytest.mark.parametrize("algorithm", ["norm", "value"])
def test_clipping_always_never_and_sometimes(tmp_path, algorithm):
    cut = data(Given(wave(20, 100)), batch_size=4)
    model = Forecaster(hidden_size=5, optimizer=partial(SGD, lr=0.0))
    norms, largest = [], []
    for index in cut.train_dataloader().sampler:
        x, y = cut.windows["train"][index]
        found = torch.autograd.grad(half_mse(model.net(x), y), model.net.parameters())
        norms.append(torch.cat([part.flatten() for part in found]).norm())
        largest.append(max(part.abs().max() for part in found))
    norms, sizes = torch.stack(norms), torch.stack(norms if algorithm == "norm" else largest)
    said = []
    for clip in (sizes.min() / 2, sizes.max() * 20, 1.01 * sizes.median()):
        options = {"gradient_clip_val": clip.item(), "gradient_clip_algorithm": algorithm}
        results = trained(tmp_path / f"{clip}", model, cut, max_epochs=1, **options)
        share = (sizes > clip).double().mean()
        clipped = f"{share:.0%} of the steps clipped" if share else "never clipped"
        assert check(results, "clipping").fact.endswith(f"{clipped} at {clip:g}")
        said.append(problem(results, "clipping"))
    always, never, sometimes = said
    assert not never
    assert f"100% of the steps were clipped (median gradient norm {norms.mean():.2g}" in always
    assert "Raise --trainer.gradient_clip_val, or fix" in always
    assert not sometimes


def test_constant_output_is_the_mean_that_saturated_units_learn(tmp_path):
    cut = data(Sine(divisor=20.0), batch_size=0, **QUARTER)
    said = []
    for init, lr in (("notebook", 0.02), ("orthogonal", 0.2)):
        model = Forecaster(init=init, optimizer=partial(SGD, lr=lr))
        results = trained(tmp_path / init, model, cut, max_epochs=30)
        said.append(problem(results, "constant output"))
    assert "The output is constant: the training loss is 0.99 times half the variance of" in said[0]
    assert said[0].endswith("First fix the problem of the scale, the hidden units or the gradient.")
    assert not said[1]


def test_network_without_even_the_mean_is_asked_to_train_more():
    zero = examined(one_unit(0.0), Given(wave(20, 120) + 2))
    y = wave(20, 120)[4:72]
    ratio = ((y + 2).square().mean() / y.var(correction=0)).item()
    assert problem(zero, "constant output") == (
        "The output is constant, but not the mean of the targets: the training loss is "
        f"{ratio:.2g} times half their variance. First fix the problem of the scale, the hidden "
        "units or the gradient."
    )
    dead = problem(zero, "gradient flow")
    assert dead == "No gradient reaches the hidden states: the readout Who is zero."


def test_readout_that_stays_zero_beside_a_linear_part_is_no_fault():
    noise = Given(torch.randn(300, generator=torch.Generator().manual_seed(2)).cumsum(0))
    made = Predictor(SinRNN(hidden_size=3), window=4, linear=True)
    made.calibrate(data(noise).windows["train"])
    assert check(examined(made, noise), "gradient flow") == (
        "gradient flow",
        "the readout is zero: the forecast is that of the linear part",
        "",
        "",
    )


def test_copy_of_a_random_walk_is_told_and_is_no_fault():
    found = check(examined(one_unit(1.0), Given(torch.randn(600).cumsum(0))), "baselines")
    assert found.fact.endswith("; predictions lag the series by 1 step")
    assert not found.problem
    able = check(examined(fitted(Sine()), Sine()), "baselines")
    assert not able.problem
    assert able.fact.endswith("; autoregression AR(4) is exact; seasonal naive (200) is exact")


def test_baseline_that_is_better_is_named_with_its_loss():
    split, period = Sine().values()[600:], 200
    assert examined(one_unit(0.8), Sine()).settings.period == period
    found = problem(examined(one_unit(0.8), Sine()), "baselines")
    x = split[:200]
    ours = half_mse(0.8 * x[3:-1], x[4:]).item()
    theirs = half_mse(2 * x[3:-1] - x[2:-2], x[4:]).item()
    assert found.startswith(
        f"Linear extrapolation is {times(ours / theirs)} better on the validation split "
        f"(half_mse {theirs:.2e} against {ours:.2e}) and "
    )


@pytest.mark.parametrize(("noise", "ill"), [(0.3, True), (0.0, False)])
def test_overfitting_is_of_few_noisy_points(tmp_path, noise, ill):
    cut = data(Given(wave(20, 100) + noise * torch.randn(100)), window=8, batch_size=0)
    model = Forecaster(hidden_size=30, optimizer=partial(LBFGS, line_search_fn="strong_wolfe"))
    results = trained(tmp_path, model, cut, max_epochs=15)
    val, train = results.history.losses["val"], results.history.losses["train"]
    best = val.index(min(val))
    found = check(results, "overfitting")
    assert found.fact == f"lowest validation loss after epoch {best} of 15"
    assert found.problem == ill * (
        f"The network overfits: the validation loss was lowest after epoch {best} "
        f"({val[best]:.2e}) and rose to {val[-1]:.2e}, while the training loss fell from "
        f"{train[best]:.2e} to {train[-1]:.2e}. Keep the weights of the best epoch (--keep best), "
        "use fewer hidden units, or train on more data."
    )


def test_extrapolation_is_ill_where_the_network_cannot():
    series = Sine(divisor=20.0)
    found = problem(examined(one_unit(0.9), series, **QUARTER), "extrapolation")
    assert "100% of the test targets lie outside the training range (0 to 0.383), and " in found
    assert "(--model.relative true), or choose splits with similar ranges (--data.train, " in found
    able = check(examined(fitted(series, **QUARTER), series, **QUARTER), "extrapolation")
    assert able.fact.startswith("100% of the validation targets and 100% of the test targets out")
    assert not able.problem
    assert not problem(examined(one_unit(0.9), Sine()), "extrapolation")


def test_rollout_that_grows():
    series = wave(60, 600)
    truth, last = series[484:], series[483]
    growing = last * 1.1 ** torch.arange(1.0, 117)
    far = (growing - truth.mean()).abs() >= 10 * truth.std(correction=0)
    found = problem(examined(one_unit(1.1), Given(series)), "rollout")
    assert f"grows: at step {far.int().argmax() + 1} it is 10 standard deviations off" in found


@pytest.mark.parametrize(("error", "side"), [(0.05, "ahead"), (-0.05, "behind"), (0.0, None)])
def test_rollout_of_a_wrong_frequency_drifts_in_phase(error, side):
    learnt, asked = Given(wave(20 / (1 + error), 1020)), Given(wave(20, 1020))
    found = problem(examined(fitted(learnt), asked), "rollout")  # ten periods of it
    said = re.search(
        r"after ([\d.]+) periods it is ([\d.]+) periods (\w+), ([\d.]+) per per", found
    )
    assert bool(said) is bool(error)
    if said:
        assert said[3] == side
        assert 7 < float(said[1]) <= 10
        assert float(said[2]) == pytest.approx(0.05 * float(said[1]), rel=0.03)
        assert float(said[4]) == pytest.approx(0.05, rel=0.03)


def test_default_recipe_is_healthy_and_every_check_is_named(tmp_path):
    cli = TrainCLI(["--config", str(CONFIGS / "sine.yaml")])
    cli.datamodule.setup()
    results = trained(tmp_path, cli.model, cli.datamodule, max_epochs=12)
    checks = diagnose(results)
    assert [check.name for check in checks] == [
        *("scale", "saturation", "gradient flow", "clipping", "constant output", "extrapolation"),
        *("baselines", "overfitting", "rollout"),
    ]
    assert all(re.search(r"\d", check.fact) for check in checks)
    assert problems(results) == []
    assert format_diagnosis(checks).endswith("\n\nNo problems found.")


# Each sentence where it is true, and where it must be silent


def row(loss):
    return dict.fromkeys(("train", "val", "test"), loss)


def losses(train=1e-3, val=1e-3, theirs=1.0, *, test=None, **others):
    """half_mse beside a half variance of 1; AR is the autoregression's, and so on."""
    names = {"AR": "autoregression AR(4)", "line": "linear extrapolation", "season": SEASON}
    ours = {"train": train, "val": val, "test": val if test is None else test}
    beside = {names[name]: row(loss) for name, loss in others.items()}
    return {"half_mse": {"network": ours, "persistence": row(theirs)} | beside}


SEASON = "seasonal naive (12)"
BEATEN = losses(0.2, 0.2, AR=0.1)


def good(changes):
    """Results with which nothing is wrong, but for these changes."""
    bare = Results(**losses(), variance=row(2.0), saturated=0.1, spectral_radius=0.9)
    return replace(bare, **{"train_range": (-1.0, 2.0)} | changes)


def under(**settings):
    """Settings of a run; all of its splits have room for windows of 50."""
    return {"settings": Settings(**{"window": 4, "longest": 50} | settings)}


def traced(*flow, x=None, h=None, **options):
    """A gradient of these sizes, step by step, or a list of them for each window."""
    grad = torch.atleast_2d(torch.tensor(flow))
    x = torch.ones_like(grad) if x is None else torch.tensor([x])
    h = torch.zeros(len(grad), grad.shape[1] + 1) if h is None else torch.tensor([h])
    both = grad[..., None].repeat(1, 1, 2)  # of two units
    return {"trace": Trace(torch.tensor(0.0), x[..., None], h[..., None], both, both)} | under(
        **options
    )


def clipped(*shares, clip=1.0, norm_max=(0.5, 0.1, 0.1)):
    history = History(norm=[0.3, 0.1, 0.1], norm_max=list(norm_max), clipped_steps=list(shares))
    return {"history": history} | under(clip=clip)


def curves(val, train):
    return {"history": History(list(range(len(val))), {"train": train, "val": val})}


def outside(val, test):
    return {"outside": {"val": val, "test": test}}


def loop(made, truth):
    return {"rollout": Rollout(4, truth[:4], made, truth)}


def sines(amplitude=1.0, error=0.0, offset=0.0, points=400, late=0.0, period=40):
    """Around 5, for a truth need not be around 0."""
    made = amplitude * wave(period / (1 + error), points, late)
    return loop(made + offset + 5, wave(period, points) + 5)


def ending(factor, first=300):
    """Right, but of another amplitude from a step on; too fast to have a phase."""
    truth = wave(3, 400)
    return loop(torch.cat([truth[:first], factor * truth[first:]]), truth)


DEVIATION = 0.5**0.5
FADES = traced(0.0, 0.0, 1.0)
FLAT = loop(wave(3, 400), torch.cat([wave(3, 300), torch.zeros(100)]))
RISEN, FALLING = [1.0, 0.1, 0.1, 0.1202], [1.0, 0.5, 0.5, 0.4]
STILL = {"history": History([0.0, 1, 2, 3], {"train": FALLING, "val": [1.0, 0.6, 0.5, 0.4]})}
LEVEL = {"train_range": (1e6, 1e6 + 5)}
TABLE = [
    # What it reads
    (
        "scale",
        LEVEL,
        "inputs are near 1e+06 and vary by only 5: the hidden units barely respond",
    ),
    (
        "scale",
        LEVEL,
        "resolves 2 digits of it. Remove the level: --model.standardise true or --model",
    ),
    ("scale", LEVEL | under(stateful=True), "Remove the level: --model.standardise true."),
    ("scale", LEVEL | under(standardise=True), ""),
    ("scale", LEVEL | under(relative=True), ""),
    ("scale", {"train_range": (-100.0, -99.0)}, "vary by only 1:"),
    ("scale", {"train_range": (99.0, 99.99)}, "vary by only 0.99"),
    ("scale", {"train_range": (90.0, 91.0)}, ""),
    ("scale", {"train_range": (5.0, 5.0)}, ""),
    ("scale", {"train_range": (1e6, 1.1e6)} | under(log=True), "near 13.86 and vary by only"),
    ("scale", {"train_range": (1e3, 1e6)} | under(log=True), ""),
    # Hidden units, where there is something to explain
    ("saturation", BEATEN | {"saturated": 0.5}, ""),
    ("saturation", BEATEN | {"saturated": 0.51}, "51% of the hidden"),
    ("saturation", {"saturated": 0.9}, ""),
    ("saturation", BEATEN | {"saturated": 0.9} | outside(0.9, 0.9), "standardise the series"),
    ("saturation", BEATEN | {"saturated": 0.9} | outside(0.9, 0.9) | under(standardise=True), ""),
    (
        "saturation",
        BEATEN | {"saturated": 0.9, "spectral_radius": 25.0} | outside(0.9, 0.9),
        "radius 25: start with",
    ),
    ("saturation", BEATEN | LEVEL | {"saturated": 0.9}, ""),  # its scale is to be cured first
    (
        "saturation",
        BEATEN | {"saturated": 0.6, "spectral_radius": 2.0},
        "radius 2: standardise the",
    ),
    (
        "saturation",
        BEATEN | {"saturated": 0.6, "spectral_radius": 2.1},
        "2.1: start with --model.in",
    ),
    (
        "saturation",
        BEATEN | {"saturated": 0.6} | under(standardise=True, init="orthogonal", lr=0.5),
        "radius 0.9: lower the learning rate (--model.optimizer.lr, now 0.5).",
    ),
    (
        "saturation",
        BEATEN | {"saturated": 0.6} | under(relative=True),
        "0.9: start with --model.in",
    ),
    # The gradient, likewise
    ("gradient flow", BEATEN | traced(1e-9, 1e-9, 0.0011, 1.0), ""),
    ("gradient flow", BEATEN | traced(1e-9, 1e-9, 0.0009, 1.0), "only 1 of 4 steps"),
    ("gradient flow", traced(1e-9, 1e-9, 0.0009, 1.0), ""),
    ("gradient flow", BEATEN | FADES, "only 1 of 3 steps"),
    ("gradient flow", BEATEN | traced(0.0, 0.0, 1.0, init="torch"), "Start with --model.init orth"),
    ("gradient flow", BEATEN | FADES | {"saturated": 0.9}, "learns little from the earlier steps."),
    ("gradient flow", BEATEN | traced(0.0, 0.0, 1.0, linear=True), ""),
    # A period that is longer than what it learns from asks for no shorter window.
    ("gradient flow", BEATEN | traced(0.0, 0.0, 1.0, init="orthogonal", period=12), ""),
    (
        "gradient flow",
        BEATEN | traced(*3 * [0.0], *3 * [1.0], *6 * [0.0], 1.0, init="orthogonal", period=3),
        "Use a shorter window (--data.window 4).",
    ),
    ("gradient flow", BEATEN | traced(1e-35, 1e-35, 1e-25), "only 1 of 3 steps"),  # squares vanish
    ("gradient flow", BEATEN | traced(100.0, 1.0, 1.0, 1.0), ""),
    ("gradient flow", BEATEN | traced(101.0, 1.0, 1.0, 1.0), "explodes"),
    ("gradient flow", traced(101.0, 1.0, 1.0, 1.0), ""),
    ("gradient flow", BEATEN | traced(1.0, 150.0, 2.0, 1.0), "becomes 150 times larger"),
    ("gradient flow", BEATEN | traced(101.0, 1.0), "orthogonal, or clip it (--trainer.gradient_cl"),
    ("gradient flow", BEATEN | traced(101.0, 1.0, clip=1.0), "start with --model.init orthogonal."),
    ("gradient flow", BEATEN | traced(1e-9, 0.0, 0.0, 1e-5, 1e-8), "becomes 1,000 times"),
    # Each window beside its own last step, and of all windows the median.
    (
        "gradient flow",
        BEATEN | traced([9.0, 9.0, 9.0], [1e-6, 1e-6, 1.0], [1e-7, 1e-7, 1.0]),
        "vanishes",
    ),
    ("gradient flow", BEATEN | traced([9e9, 9.0], [1.0, 1.0], [1.0, 1.0]), ""),
    ("gradient flow", BEATEN | traced([0.0, 0.0], [1.0, 1.0]), ""),
    ("gradient flow", traced(0.0, 0.0, 0.0, 0.0), ""),
    ("gradient flow", BEATEN | traced(1.0, 1.0, x=[0.0, 1.0], h=[1.0, 0.0, 0.0], bptt_steps=1), ""),
    (
        "gradient flow",
        BEATEN | traced(1.0, 1.0, x=[0.1, 1.0], h=[1.2, 0.0, 0.0], bptt_steps=1),
        "gradient is 0.68. Raise",
    ),
    ("gradient flow", BEATEN | traced(200.0, 1.0, h=[1.0, 0.0, 0.0], bptt_steps=1), "explodes"),
    # Clipping that is never active is no fault.
    ("clipping", BEATEN | clipped(0.0, 0.0, 0.0), ""),
    ("clipping", BEATEN | clipped(1.0, 1.0, 0.82), ""),
    (
        "clipping",
        BEATEN | clipped(1.0, 1.0, 0.88),
        "96% of the steps were clipped (median gradient norm 0.1, clip",
    ),
    ("clipping", BEATEN | clipped(1.0, 0.9), "95% of the steps were clipped"),
    ("clipping", clipped(1.0, 0.9), ""),
    ("clipping", BEATEN | clipped(1.0, 1.0, clip=0.0), ""),
    # The mean of the training targets
    ("constant output", losses(train=0.9, AR=0.1), ""),
    ("constant output", losses(train=0.91, AR=0.1), "is constant: the training loss is 0.91 times"),
    ("constant output", losses(train=1.09, AR=0.1), "is constant: the training loss is 1.09 times"),
    ("constant output", losses(train=1.11), "is 1.1 times half their variance"),
    ("constant output", losses(train=0.95, AR=0.9), ""),  # noise, of which nobody knows more
    ("constant output", losses(train=0.95, AR=0.1) | {"flatness": 0.5}, ""),
    (
        "constant output",
        losses(train=1.2) | {"flatness": 0.5},
        "1.2 times half the variance of the t",
    ),
    (
        "constant output",
        losses(train=1.2) | {"flatness": 0.5},
        "predicting their mean would be better.",
    ),
    ("constant output", losses(1.2) | {"saturated": 0.5}, "Raise the learning rate (--model.optim"),
    ("constant output", losses(1.2) | {"saturated": 0.6}, "First fix the problem of the scale"),
    ("constant output", losses(1.2) | LEVEL, "First fix the problem of the scale"),
    ("constant output", losses(1.2) | under(lr=0.1, epochs=9), "lr, now 0.1) or the number of ep"),
    (
        "constant output",
        losses(1.2) | STILL | under(lr=0.1, epochs=9),
        "(--model.optimizer.lr, now",
    ),
    ("constant output", losses(0.0) | {"variance": row(0.0)}, ""),
    # Baselines, on the validation and on the test split
    ("baselines", losses(val=1.0005), ""),  # rounding
    ("baselines", losses(val=1.05), "The network is no better than persistence on the validation"),
    ("baselines", losses(val=0.9, test=1.05), "no better than persistence on the test split (half"),
    (
        "baselines",
        losses(val=1.2, test=0.9),
        "against 1.20e+00), but the network is better on the test split.",
    ),
    (
        "baselines",
        losses(val=1.06),
        "Persistence is 1.1 times better on the validation split (half",
    ),
    ("baselines", losses(val=1.06), "e+00) and 1.1 times better on the test split (half_mse 1.00e"),
    ("baselines", losses(val=0.5, test=1.5), "Persistence is 1.5 times better on the test split"),
    ("baselines", losses(AR=1e-4), "Autoregression AR(4) is 10 times better on the validation"),
    ("baselines", losses(season=1e-4), "Seasonal naive (12) is 10 times better"),
    ("baselines", losses(season=1e-27), ""),  # exact, beside which nobody has a skill
    ("baselines", losses(0.2, 0.2, 0.3) | {"lag": 8}, ""),  # it copies nothing
    ("baselines", losses(val=0.98) | {"lag": 1}, ""),
    ("baselines", losses(AR=1e-4), "Start from that autoregression (--model.linear true)."),
    (
        "baselines",
        losses(AR=1e-4) | under(loss="every"),
        "(--model.linear true --model.loss last).",
    ),
    ("baselines", losses(AR=1e-4) | under(linear=True), "Use autoregression AR(4) instead, or "),
    ("baselines", losses(AR=1e-4) | under(stateful=True), "Use autoregression AR(4) instead, or"),
    (
        "baselines",
        losses(AR=1e-4) | under(linear=True) | STILL,
        "Train longer (--trainer.max_epoch",
    ),
    ("baselines", losses(val=1.5), "Predict differences from each window's last value ("),
    ("baselines", losses(line=1e-4), "Predict differences from each window's last value ("),
    ("baselines", losses(val=1.5) | under(relative=True), "Use persistence instead, or train on"),
    (
        "baselines",
        losses(season=1e-4) | under(period=12),
        "Read a whole period of 12 steps (--data",
    ),
    (
        "baselines",
        losses(season=1e-4) | under(period=12, window=13),
        "Use seasonal naive ",
    ),
    (
        "baselines",
        losses(AR=1e-4, season=2.0) | under(period=12, linear=True),
        "Use auto",
    ),
    ("baselines", losses(season=1e-4) | under(period=50), "Use seasonal naive (12) instead, or"),
    ("baselines", losses(1.2, 1.2, AR=0.1), "against 1.20e+00)."),  # the mean is to be learnt first
    ("baselines", losses(val=math.nan), "Persistence is better on the validation split (half_mse"),
    ("baselines", losses(theirs=0.0), ""),
    ("overfitting", curves(RISEN, FALLING), "lowest after epoch 1 (1.00e-01) and rose to 1"),
    ("overfitting", curves(RISEN, FALLING) | under(keep="last"), "best epoch (--keep best)"),
    ("overfitting", curves(RISEN, FALLING) | under(keep="best"), ""),
    ("overfitting", curves([1.0, 0.1, 0.1, 0.1198], FALLING), ""),
    ("overfitting", curves(RISEN, [1.0, 0.5, 0.5, 0.44]), "fell from 5.00e-01 to 4.40e-01"),
    ("overfitting", curves(RISEN, [1.0, 0.5, 0.5, 0.46]), ""),
    ("overfitting", curves([1.0, 1e-9, 1.9e-4], [1.0, 0.5, 0.1]), ""),
    ("overfitting", curves([1.0, 1e-9, 2.1e-4], [1.0, 0.5, 0.1]), "overfits"),
    ("overfitting", curves(RISEN, FALLING) | losses(train=1.2), ""),
    ("extrapolation", BEATEN | outside(0.2, 0.2), ""),
    ("extrapolation", BEATEN | outside(0.21, 0.1), "21% of the validation targets lie outside the"),
    ("extrapolation", BEATEN | outside(0.9, 0.5), "50% of the test targets lie outside the tr"),
    (
        "extrapolation",
        BEATEN | outside(0.9, 0.5),
        "through (--model.relative true), or choose splits",
    ),
    ("extrapolation", outside(0.9, 0.9), ""),  # and it can
    ("extrapolation", losses(test=2.0) | outside(0.9, 0.1), ""),
    ("extrapolation", BEATEN | outside(0.9, 0.9) | under(relative=True), ""),
    ("extrapolation", BEATEN | outside(0.9, 0.9) | under(stateful=True), "extrapolate. Choose spl"),
    ("intervals", {"coverage": 0.8}, ""),
    (
        "intervals",
        {"coverage": 0.79},
        "too narrow: they cover 79% of the test split instead of 90%",
    ),
    ("rollout", sines(offset=0.29 * DEVIATION), ""),
    ("rollout", sines(offset=0.31 * DEVIATION), "has an RMSE of 0.31 standard deviations"),
    ("rollout", sines(amplitude=7.0), "grows: its last quarter has 7 times the series'"),
    ("rollout", sines(amplitude=-7.2), "grows: at step 10 it is 10 standard deviations"),
    ("rollout", ending(0.28), "fades: its last quarter has 28% of the series' amplitude"),
    ("rollout", ending(0.0, first=318), "has an RMSE of"),
    ("rollout", ending(0.32), "has an RMSE of 0.34 standard deviations"),
    ("rollout", ending(1.95), "has an RMSE of 0.47 standard deviations"),
    ("rollout", ending(2.06), "grows: its last quarter has 2.1 times the series' amplitude"),
    ("rollout", FLAT, "has an RMSE of"),
    ("rollout", sines(error=0.0051, late=-0.4, points=800), "has an RMSE of"),
    ("rollout", sines(error=0.0062, late=-0.4, points=800), "periods ahead, 0.006 per period"),
    ("rollout", sines(error=-0.0062, late=0.4, points=800), "periods behind, 0.006 per period"),
    ("rollout", loop(torch.ones(100), torch.zeros(100)), ""),
    # What is noisy one step ahead, or a random walk, is foretold by nobody: its mean is best.
    ("rollout", losses(val=0.01) | ending(0.28), ""),
    ("rollout", losses(val=1e-3, theirs=9e-3) | ending(0.28), ""),
    ("rollout", losses(val=0.01) | ending(2.06), "grows"),
    ("rollout", ending(0.28), "Train with input noise (--model.input_noise 0.07)."),
    ("rollout", ending(0.28) | under(standardise=True), "(--model.input_noise 0.05)."),
    ("rollout", ending(0.28) | under(input_noise=0.1), "Try another seed (--seed_everything)."),
    ("rollout", ending(0.28) | under(updates="window"), "Try another seed (--seed_everything)."),
]


@pytest.mark.parametrize(("name", "changes", "sentence"), TABLE)
def test_sentence_stands_where_it_is_true_alone(name, changes, sentence):
    found = problem(good(changes), name)
    assert sentence in found
    assert bool(sentence) is bool(found)


ON, AND = "on the validation split against", "on the test split against"
FACTS = [
    ("scale", {}, "network inputs from -1 to 2"),
    (
        "gradient flow",
        traced(0.25, 0.5, 1.0, bptt_steps=3),
        "|dLoss/dh[1]| is 0.25 of |dLoss/dh[T]|",
    ),
    ("clipping", clipped(), "median gradient norm 0.1, maximum 0.5; no clipping"),
    ("clipping", clipped(0.0, 0.0), "maximum 0.5; never clipped at 1"),
    ("clipping", clipped(0.0, 0.5), "maximum 0.5; 25% of the steps clipped at 1"),
    (
        "gradient flow",
        traced(0.25, 1.0, bptt_steps=2),
        "|dLoss/dh[T]|; bptt_steps 2 truncates nothing",
    ),
    (
        "baselines",
        losses(val=1001.4, test=1002.0),
        f"skill -1.0e+03 {ON} persistence; skill -1.0e+03 {AND} persistence",
    ),
    (
        "baselines",
        losses(val=0.25, AR=0.5, season=1e-27) | {"lag": 1},
        f"skill 0.50 {ON} autoregression AR(4); skill 0.50 {AND} autoregression AR(4); "
        f"{SEASON} is exact; predictions lag the series by 1 step",
    ),
    ("overfitting", STILL | under(keep="best"), "after epoch 3 of 3; these weights were kept"),
    ("extrapolation", outside(0.5, 0.1), "50% of the validation targets and 10% of the test targ"),
    ("intervals", {"coverage": 0.37}, "90% nominal, 37% coverage on the test split"),
    (
        "rollout",
        sines(period=8, points=20),
        "RMSE 0 over 20 steps; standard deviation of the series 0.7",
    ),
]


@pytest.mark.parametrize(("name", "changes", "fact"), FACTS)
def test_fact_is_in_numbers(name, changes, fact):
    assert fact in check(good(changes), name).fact


@pytest.mark.parametrize(
    ("few", "enough", "name"),
    [
        ({}, FADES, "gradient flow"),
        ({"history": History()}, clipped(), "clipping"),
        (curves([1.0, 0.5], [1.0, 0.5]), curves(FALLING[:3], FALLING[:3]), "overfitting"),
        ({}, outside(0.0, 0.0), "extrapolation"),
        ({}, {"coverage": 0.9}, "intervals"),
        (sines(points=19), sines(points=20), "rollout"),
        (under(standardise=True), under(), "scale"),
    ],
)
def test_check_is_left_out_where_results_lack_what_it_needs(few, enough, name):
    before, after = ([check.name for check in diagnose(good(each))] for each in (few, enough))
    assert name not in before
    assert sorted(after) == sorted({*ALWAYS, "scale", name})


def test_training_may_be_examined_before_the_test_split_is_looked_at():
    results = good(losses(val=2.0))
    for name in results.half_mse:
        del results.half_mse[name]["test"]
    assert "test" not in problem(results, "baselines")


NOTED = {
    "drift": ("rollout", sines(error=0.0062, late=-0.4, points=800)),
    "offset": ("rollout", sines(offset=0.31 * DEVIATION)),
    "close": ("baselines", losses(val=1.2, test=0.9)),
    "level": ("baselines", losses(val=1.05)),
}
WRONG = {
    "fades": ("rollout", ending(0.28)),
    "grows": ("rollout", sines(amplitude=7.0)),
    "not close": ("baselines", losses(val=1.3, test=0.9)),
    "lost twice": ("baselines", losses(val=1.2)),
}


@pytest.mark.parametrize("case", NOTED | WRONG)
def test_what_is_no_fault_is_an_observation(case):
    name, changes = (NOTED | WRONG)[case]
    found = check(good(changes), name)
    assert (bool(found.problem), bool(found.note)) == (case in WRONG, case in NOTED)


# What was asked for and never happened


def asked(done, epochs=None, keep="best", history=None, unused=None, **needs):
    """A run of so many epochs, whose options need some."""
    names = {"readout": "model.readout_epoch", "T_max": "model.scheduler.T_max"}
    names |= {"every": "trainer.check_val_every_n_epoch", "patience": "EarlyStopping's patience"}
    settings = Settings(
        epochs=epochs,
        keep=keep,
        needs={names[name]: need for name, need in needs.items()},
        unused=unused or {},
    )
    return good({"settings": settings, "epochs": done, "history": history})


def test_readout_that_was_never_solved_is_told_with_its_cures():
    said = "The readout was never solved: --model.readout_epoch 11 needs 12 epochs, but training "
    for epochs, cure in (
        (
            3,
            "Train longer (--trainer.max_epochs 12), or solve it earlier (--model.readout_epoch 2)",
        ),
        (50, "Solve it earlier (--model.readout_epoch 2)"),  # something else has ended it
    ):
        found = problem(asked(3, epochs, readout=Need(11, 12)), "epochs")
        assert found == f"{said}ended after 3. {cure}."
    assert not problem(asked(12, 12, readout=Need(11, 12)), "epochs")


def test_baseline_that_wins_as_the_readout_was_never_solved_has_no_other_cure():
    results = asked(3, 3, readout=Need(11, 12))
    results = replace(results, half_mse=losses(val=1.5)["half_mse"])
    assert problem(results, "baselines").endswith("against 1.50e+00).")


@pytest.mark.parametrize(
    ("keep", "kept"), [("best", ", so the last weights were kept as the best"), ("last", "")]
)
def test_run_without_validation_is_told(keep, kept):
    before = History(epochs=[0.0], losses={"train": [1.0], "val": [1.0]})
    found = problem(asked(3, keep=keep, history=before, every=Need(5, 5)), "epochs")
    cure = "Validate more often (--trainer.check_val_every_n_epoch 1)."
    assert found == f"No epoch was validated{kept}. {cure}"
    found = problem(asked(3, keep=keep, history=before), "epochs")
    assert found == f"No epoch was validated{kept}."
    assert not problem(asked(3, keep=keep, history=History()), "epochs")  # no metrics.csv
    assert not problem(asked(0, keep=keep, history=before), "epochs")
    after = History(epochs=[0.0, 5.0], losses={"train": [1.0, 1.0], "val": [1.0, 1.0]})
    assert not problem(asked(7, keep=keep, history=after, every=Need(5, 5)), "epochs")


def test_option_that_training_was_too_short_for_is_an_observation():
    patience = Need(30, 31, option=False, waits=True)
    found = check(asked(12, 12, T_max=Need(40, 40), patience=patience), "epochs")
    assert (found.problem, found.note.split("\n")) == (
        "",
        [
            "--model.scheduler.T_max 40 needs 40 epochs, but training ended after 12.",
            "EarlyStopping's patience 30 needs 31 epochs, but training ended after 12.",
        ],
    )
    assert not check(asked(12, 50, patience=patience), "epochs").note  # something else has ended it
    unused = {"model.readout_rcond": "model.readout_epoch"}
    said = "--model.readout_rcond has no effect without --model.readout_epoch."
    assert check(asked(1, unused=unused), "epochs").note == said


# Words


def test_times_in_words():
    words = {1.26: "1.3", 99.6: "100", 12_345.0: "12,000", 9.4e8: "940,000,000", 1e9: "1e+09"}
    for factor, word in words.items():
        assert times(factor) == f"{word} times"


@pytest.mark.parametrize(
    ("name", "value", "typed", "called"),
    [
        ("data.window", 13, "--data.window 13", "WindowDataModule(window=13)"),
        ("data.val", None, "--data.val", "WindowDataModule(val=...)"),
        ("model.relative", "true", "--model.relative true", "Forecaster(relative=True)"),
        ("model.init", "torch", "--model.init torch", 'Forecaster(init="torch")'),
        ("model.optimizer.lr", None, "--model.optimizer.lr", "Forecaster(optimizer=partial(..., "),
        ("trainer.max_epochs", 9, "--trainer.max_epochs 9", "fit(max_epochs=9)"),
        (
            "model.scheduler.T_max",
            9,
            "--model.scheduler.T_max 9",
            "Forecaster(scheduler=partial(..., T",
        ),
        ("keep", "best", "--keep best", 'fit(keep="best")'),
        ("seed_everything", None, "--seed_everything", "fit(seed=...)"),
    ],
)
def test_option_in_the_words_of_the_command_line_and_of_python(name, value, typed, called):
    assert worded(f"Try ({option(name, value)}).", command_line=True) == f"Try ({typed})."
    assert worded(f"Try ({option(name, value)}).", command_line=False).startswith(f"Try ({called}")


def test_two_arguments_of_one_class_are_one_call():
    both = f"{option('model.linear', 'true')} {option('model.loss', 'last')}"
    assert worded(both, command_line=False) == 'Forecaster(linear=True, loss="last")'


def test_diagnosis_word_for_word():
    well, ill = Check("heat", "37 degrees"), Check("a cough", "9 an hour", "It coughs. Rest.")
    assert format_diagnosis([well]) == "  heat  37 degrees\n\nNo problems found."
    seen = Check("pulse", "60 a minute", note="It is calm.\nIt is even.")
    assert format_diagnosis([seen]) == (
        "  pulse  60 a minute\n\nObservations:\n- It is calm.\n- It is even.\n\nNo problems found."
    )
    assert format_diagnosis([well, ill, ill]) == (
        "  heat     37 degrees\n! a cough  9 an hour\n! a cough  9 an hour\n\n"
        "Problems and suggestions:\n- It coughs. Rest.\n- It coughs. Rest."
    )


# What would mislead


SLOW = torch.arange(1000.0) * math.pi / 2 / 875
QUARTER_LEFT = torch.arange(400) > 317
MISLEADING = {
    "offset": (sines(offset=1.1), "drifts in phase"),
    "large offset": (sines(offset=3.0), "drifts in phase"),
    "larger offset": (sines(offset=11.0), "grows"),
    "exponential": (loop(torch.exp(torch.arange(400.0) * 0.0045) - 1, wave(40, 400)), "drifts in"),
    "zero": (loop(wave(40, 400).where(~QUARTER_LEFT, 0.0), wave(40, 400)), "drifts in phase"),
    "flat end of a slow wave": (
        losses(val=1e-5) | loop(torch.sin(SLOW + 0.8), torch.sin(SLOW)),
        "grows",
    ),
    "no number": (loop(wave(40, 400).where(~QUARTER_LEFT, math.nan), wave(40, 400)), "in phase"),
    "infinite": (loop(wave(40, 400).where(~QUARTER_LEFT, math.inf), wave(40, 400)), "in phase"),
}


@pytest.mark.parametrize("case", MISLEADING)
def test_rollout_that_is_ill_is_not_called_what_it_is_not(case):
    changes, word = MISLEADING[case]
    found = problem(good(changes), "rollout")
    assert found
    assert word not in found


def test_copying_a_fast_wave_is_not_called_constant():
    found = problem(examined(one_unit(1.0), Given(wave(6, 600))), "constant output")
    assert "constant" not in found


def words(results):
    return " ".join(problems(results, command_line=True))


def test_advice_does_not_contradict_itself():
    found = words(examined(one_unit(1000.0, 3.0), Given(wave(200, 1000)), window=8))
    assert not ("lower the learning rate" in found and "Raise the learning rate" in found)
    ill = losses(0.2, 0.2, season=0.1) | traced(0.0, 0.0, 1.0, init="orthogonal", period=12)
    assert "--data.window 13" in words(good(ill))
    assert "shorter window" not in words(good(ill))
    found = words(good(LEVEL | losses(2.0, 2.0, AR=0.1)))
    assert "Remove the level" in found
    assert "learning rate" not in found


EVERYTHING = {"standardise": True, "relative": True, "linear": True, "clip": 1.0, "keep": "best"}
EVERYTHING |= {"window": 13, "period": 12, "input_noise": 0.1, "init": "orthogonal"}


def test_what_is_set_already_is_not_advised():
    ill = losses(0.2, 0.2, AR=0.1, season=0.1) | curves(RISEN, FALLING) | outside(0.9, 0.9)
    ill |= {"saturated": 0.9} | sines(amplitude=7.0)
    for trace in (traced(0.0, 0.0, 1.0), traced(101.0, 1.0)):
        found = words(good(ill | trace | under(**EVERYTHING)))
        for name in (*EVERYTHING, "gradient_clip_val"):
            assert f".{name}" not in found, name


def test_one_step_is_singular_and_nan_is_no_number_of_times():
    assert "1 steps" not in check(good({"lag": 1}), "baselines").fact
    assert "nan times" not in words(good(losses(train=math.nan, val=math.nan)))


def test_flat_series_that_is_missed_is_ill():
    flat = losses(9.0, 9.0, 0.0) | {"variance": row(0.0)}
    assert problems(good(flat))
