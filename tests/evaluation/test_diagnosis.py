"""Illnesses made on purpose and found; each threshold of the doctor's from both sides."""

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
from sinrnn.evaluation.evaluate import evaluate, predictions
from sinrnn.evaluation.report import times
from sinrnn.evaluation.results import History, Results, Rollout
from sinrnn.filesystem import CONFIGS
from sinrnn.nn.functional import half_mse
from sinrnn.nn.trace import Trace
from sinrnn.training.forecaster import Forecaster

ALWAYS = ["saturation", "constant output", "last value"]
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
    return evaluate(made, cut, predictions(made, cut), history, trainer.gradient_clip_val)


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
    return next(check for check in diagnose(results) if check.name == name)


def problem(results, name):
    """The sentence of one check; empty where it finds nothing."""
    return check(results, name).problem


# Illnesses made on purpose


def test_saturation_is_of_the_notebooks_weights_or_of_large_inputs():
    net, large = SinRNN(init="notebook"), Given(100 * wave(200, 1000))
    radius = (torch.linalg.matrix_power(net.Whh.detach(), 20).trace() ** (1 / 20)).item()
    assert radius == pytest.approx(25, rel=0.1)
    assert problem(examined(net, Sine()), "saturation") == (
        "100% of the hidden units are beyond |h| > 0.99, where tanh passes no gradient; "
        f"Whh has spectral radius {radius:.3g}: start with --model.init orthogonal."
    )
    net = SinRNN(init="torch")
    found = problem(examined(net, large), "saturation")
    assert re.match(r"\d\d% of the hidden units .* spectral radius 0\.\d+: standardise ", found)
    assert "(--model.standardise true) or start with --model.init linear" in found
    inner = Predictor(net, window=4, standardise=True)
    inner.calibrate(data(large).windows["train"])
    for healthy in (examined(inner, large), examined(SinRNN(), Sine())):
        assert not problem(healthy, "saturation")


def test_gradient_vanishes_explodes_or_flows_as_whh_says():
    small, large, near_one = (
        problem(examined(one_unit(1.0, Whh), Sine(), window=8), "gradient flow")
        for Whh in (0.1, 3.0, 0.9)
    )
    assert "vanishes: only 3 of 8 steps carry any" in small  # 1, 0.1, just below 0.01
    assert small.endswith(" earlier ones. Read a shorter window (--data.window).")
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
        f"Truncated to {bptt_steps} of 8 steps, the gradient has a cosine of {cosine:.2f} with the "
        "full one: it points elsewhere. Raise --model.bptt_steps."
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
        assert f"{share:.0%} of the steps clipped at {clip:g}" in check(results, "clipping").fact
        said.append(problem(results, "clipping"))
    always, never, sometimes = said
    assert f"active in 100% of the steps (gradient norm {norms.mean():.2g} in the median" in always
    assert "Raise --trainer.gradient_clip_val, or cure" in always
    assert f"no step came to the clip value of {sizes.max() * 20:g} (largest" in never
    assert f"largest gradient norm {norms.max():.2g})" in never
    assert "leave it out, or lower --trainer.gradient_clip_val." in never
    assert not sometimes


def test_constant_output_is_the_mean_that_saturated_units_learn(tmp_path):
    cut = data(Sine(divisor=20.0), batch_size=0, **QUARTER)
    said = []
    for init, lr in (("notebook", 0.02), ("orthogonal", 0.2)):
        model = Forecaster(init=init, optimizer=partial(SGD, lr=lr))
        results = trained(tmp_path / init, model, cut, max_epochs=30)
        said.append(problem(results, "constant output"))
    half = cut.windows["train"].targets.var(correction=0).item() / 2
    assert f" and {half:.2e}): the output is constant, and only the mean was learnt." in said[0]
    assert said[0].endswith("Cure what is said of its hidden units and its gradient first.")
    assert not said[1]


def test_network_without_even_the_mean_is_asked_to_train_more():
    zero = examined(one_unit(0.0), Given(wave(20, 120) + 2))
    y = wave(20, 120)[4:72]
    ratio = ((y + 2).square().mean() / y.var(correction=0)).item()
    assert problem(zero, "constant output") == (
        f"The output is constant, and not even the mean was learnt: the training loss is "
        f"{ratio:.2g} times half the variance of the targets. Cure what is said of its hidden "
        "units and its gradient first."
    )
    dead = problem(zero, "gradient flow")
    assert dead == "No gradient reaches the hidden states: the readout Who is zero."


def test_last_value_is_copied_in_a_random_walk():
    found = problem(examined(one_unit(1.0), Given(torch.randn(600).cumsum(0))), "last value")
    copies = r"It copies the last value: its skill against persistence is 0\.00, and its "
    assert re.match(rf"{copies}predictions fit the series best 1 step late\. Of a", found)
    assert found.endswith("Of a random walk there is nothing more to learn.")
    able = check(examined(fitted(Sine()), Sine()), "last value")
    assert not able.problem
    assert re.search("; predictions fit the series best 0 steps late$", able.fact)


def test_last_value_is_better_than_a_network_that_falls_short():
    split = Sine().values()[600:800]
    ours, theirs = (half_mse(g * split[3:-1], split[4:]).item() for g in (0.8, 1.0))
    assert problem(examined(one_unit(0.8), Sine()), "last value") == (
        f"Repeating the last value is {times(ours / theirs)} better on the validation split "
        f"(half_mse {theirs:.2e} against {ours:.2e})."  # the gradient is to be cured first
    )


@pytest.mark.parametrize(("noise", "ill"), [(0.3, True), (0.0, False)])
def test_overfitting_is_of_few_noisy_points(tmp_path, noise, ill):
    cut = data(Given(wave(20, 100) + noise * torch.randn(100)), window=8, batch_size=0)
    model = Forecaster(hidden_size=30, optimizer=partial(LBFGS, line_search_fn="strong_wolfe"))
    results = trained(tmp_path, model, cut, max_epochs=15)
    val, train = results.history.losses["val"], results.history.losses["train"]
    best = val.index(min(val))
    found = check(results, "overfitting")
    assert found.fact == f"validation loss lowest after epoch {best} of 15"
    assert found.problem == ill * (
        f"It overfits: the validation loss was lowest after epoch {best} ({val[best]:.2e}) and "
        f"has risen to {val[-1]:.2e}, while the training loss fell from {train[best]:.2e} to "
        f"{train[-1]:.2e}. Stop there (lightning.pytorch.callbacks.EarlyStopping), take fewer "
        "hidden units, or give it more data."
    )


def test_extrapolation_is_ill_where_the_network_cannot():
    series = Sine(divisor=20.0)
    found = problem(examined(one_unit(0.9), series, **QUARTER), "extrapolation")
    assert "100% of the validation targets lie outside the training range (0 to 0.383)" in found
    assert "(--data.train, --data.val) so that they look alike, or start with --model.init" in found
    able = check(examined(fitted(series, **QUARTER), series, **QUARTER), "extrapolation")
    assert able.fact == "100% of the validation targets outside the training range"
    assert not able.problem
    assert not problem(examined(one_unit(0.9), Sine()), "extrapolation")


def test_rollout_that_dies_and_one_that_grows():
    series = wave(60, 600)
    truth, last = series[484:], series[483]
    dying, growing = (last * g ** torch.arange(1.0, 117) for g in (0.98, 1.1))
    amplitude = dying[87:].std(correction=0) / truth[87:].std(correction=0)
    found = problem(examined(one_unit(0.98), Given(series)), "rollout")
    assert f"dies: in its last quarter it has {amplitude:.0%} of the series' ampl" in found
    assert "or to solve the readout at the end (--model.readout_epoch)" in found
    far = (growing - truth.mean()).abs() >= 10 * truth.std(correction=0)
    found = problem(examined(one_unit(1.1), Given(series)), "rollout")
    assert f"grows: at step {far.int().argmax() + 1} it is 10 standard deviations" in found


@pytest.mark.parametrize(("error", "side"), [(0.05, "ahead"), (-0.05, "behind"), (0.0, None)])
def test_rollout_of_a_wrong_frequency_drifts_in_phase(error, side):
    learnt, asked = Given(wave(20 / (1 + error), 1020)), Given(wave(20, 1020))
    found = problem(examined(fitted(learnt), asked), "rollout")  # ten periods of it
    said = re.search(r"after ([\d.]+) periods it is ([\d.]+) periods (\w+), ([\d.]+) a per", found)
    assert bool(said) is bool(error)
    if said:
        assert said[3] == side
        assert 7 < float(said[1]) <= 10
        assert float(said[2]) == pytest.approx(0.05 * float(said[1]), rel=0.03)
        assert float(said[4]) == pytest.approx(0.05, rel=0.03)


def test_rollout_that_is_just_off():
    results = examined(fitted(Given(wave(30, 300))), Given(wave(40, 300)))  # of 1.4 periods
    ratio = results.rollout.rmse / results.rollout.truth.std(correction=0).item()
    assert f"is off by {ratio:.2g} standard deviations" in problem(results, "rollout")


def test_default_recipe_is_healthy_and_every_check_is_named(tmp_path):
    cli = TrainCLI(["--config", str(CONFIGS / "sine.yaml")])
    cli.datamodule.setup()
    results = trained(tmp_path, cli.model, cli.datamodule, max_epochs=12)
    checks = diagnose(results)
    names = ["saturation", "gradient flow", "clipping", "constant output", "last value"]
    assert [check.name for check in checks] == [*names, "overfitting", "extrapolation", "rollout"]
    assert all(re.search(r"\d", check.fact) for check in checks)
    assert problems(results) == []
    assert format_diagnosis(checks).endswith("\n\nNothing is wrong with this run.")


# Each threshold from both sides


def losses(train=1e-3, val=1e-3, theirs=1.0):
    """half_mse beside a half variance of 1."""
    both = {"network": {"train": train, "val": val}, "persistence": {"val": theirs}}
    return {"half_mse": both}


def good(changes):
    """Results with which nothing is wrong, but for these changes."""
    variance = {"train": 2.0, "val": 2.0}
    bare = Results(**losses(), variance=variance, saturated=0.1, spectral_radius=0.9)
    return replace(bare, train_range=(-1.0, 2.0), **changes)


def traced(*flow, x=None, h=None, **options):
    """A gradient of these sizes, step by step, or a list of them for each window."""
    grad = torch.atleast_2d(torch.tensor(flow))
    x = torch.ones_like(grad) if x is None else torch.tensor([x])
    h = torch.zeros(len(grad), grad.shape[1] + 1) if h is None else torch.tensor([h])
    both = grad[..., None].repeat(1, 1, 2)  # of two units
    return {"trace": Trace(torch.tensor(0.0), x[..., None], h[..., None], both, both)} | options


def clipped(*shares, clip=1.0, norm_max=(0.5, 0.1, 0.1)):
    history = History(norm=[0.3, 0.1, 0.1], norm_max=list(norm_max), clipped_steps=list(shares))
    return {"history": history, "clip": clip}


def curves(val, train):
    return {"history": History(list(range(len(val))), {"train": train, "val": val})}


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
THRESHOLDS = [
    ("saturation", {"saturated": 0.5}, ""),
    ("saturation", {"saturated": 0.51}, "51% of the hidden"),
    ("saturation", {"saturated": 0.6, "spectral_radius": 2.0}, "radius 2: standardise the"),
    ("saturation", {"saturated": 0.6, "spectral_radius": 2.1}, "2.1: start with --model.init orth"),
    ("gradient flow", traced(1e-9, 1e-9, 0.0011, 1.0), ""),
    ("gradient flow", traced(1e-9, 1e-9, 0.0009, 1.0), "only 1 of 4 steps"),
    ("gradient flow", FADES, "only 1 of 3 steps"),
    ("gradient flow", traced(1e-35, 1e-35, 1e-25), "only 1 of 3 steps"),  # squares underflow
    ("gradient flow", traced(100.0, 1.0, 1.0, 1.0), ""),
    ("gradient flow", traced(101.0, 1.0, 1.0, 1.0), "explodes"),
    ("gradient flow", traced(1.0, 150.0, 2.0, 1.0), "becomes 150 times larger"),
    ("gradient flow", traced(1e-9, 0.0, 0.0, 1e-5, 1e-8), "becomes 1,000 times"),
    # Each window beside its own last step, and of all windows the median.
    ("gradient flow", traced([9.0, 9.0, 9.0], [1e-6, 1e-6, 1.0], [1e-7, 1e-7, 1.0]), "vanishes"),
    ("gradient flow", traced([9e9, 9.0], [1.0, 1.0], [1.0, 1.0]), ""),
    ("gradient flow", traced([0.0, 0.0], [1.0, 1.0]), ""),
    ("gradient flow", traced(0.0, 0.0, 0.0, 0.0), ""),
    ("gradient flow", traced(1.0, 1.0, x=[0.0, 1.0], h=[1.0, 0.0, 0.0], bptt_steps=1), ""),
    (
        "gradient flow",
        traced(1.0, 1.0, x=[0.1, 1.0], h=[1.2, 0.0, 0.0], bptt_steps=1),
        "of 0.68 with",
    ),
    ("gradient flow", traced(200.0, 1.0, h=[1.0, 0.0, 0.0], bptt_steps=1), "explodes"),
    ("clipping", clipped(0.0, 0.01, 0.0), ""),
    (
        "clipping",
        clipped(0.0, 0.0, clip=9.0),
        "clip value of 9 (largest gradient norm 0.5). It guards against",
    ),
    ("clipping", clipped(1.0, 1.0, 0.82), ""),
    ("clipping", clipped(1.0, 1.0, 0.88), "in 96% of the steps (gradient norm 0.1 in the median"),
    ("clipping", clipped(1.0, 0.9), "active in 95% of the steps"),
    ("clipping", clipped(1.0, 1.0, clip=0.0), ""),
    ("constant output", losses(train=0.9), ""),
    ("constant output", losses(train=0.91), "equals half the variance"),
    ("constant output", losses(train=1.09), "equals half the variance"),
    ("constant output", losses(train=1.1), "is 1.1 times half the variance"),
    ("constant output", losses(1.0) | {"saturated": 0.5}, "Raise the learning rate"),
    ("constant output", losses(1.0) | {"saturated": 0.6}, "Cure what is said of its hidden units"),
    ("constant output", losses(0.0) | {"variance": {"train": 0.0}}, ""),
    ("last value", losses(val=0.94), ""),
    ("last value", losses(val=0.96), "is 0.04. Train longer"),
    ("last value", losses(val=1.04), "is -0.04. Train longer"),
    ("last value", losses(val=1.2), "Repeating the last value is 1.2 times better"),
    ("last value", losses(val=1.06) | {"lag": 2}, "1.1 times better on the validation"),
    ("last value", losses(val=0.69) | {"lag": 2}, ""),
    ("last value", losses(val=0.71) | {"lag": 2}, "is 0.29, and its predictions fit"),
    ("last value", losses(val=0.71) | {"lag": 0}, ""),
    ("last value", losses(val=0.71), ""),
    ("last value", losses(1.0, 0.98) | {"lag": 2}, "is 0.02. Of a random walk"),
    ("last value", losses(1.0, 1.5), "better on the validation split (half_mse 1.00e+00 against"),
    ("last value", losses(theirs=0.0), ""),
    ("overfitting", curves(RISEN, FALLING), "lowest after epoch 1 (1.00e-01) and has risen to 1"),
    ("overfitting", curves([1.0, 0.1, 0.1, 0.1198], FALLING), ""),
    ("overfitting", curves(RISEN, [1.0, 0.5, 0.5, 0.44]), "fell from 5.00e-01 to 4.40e-01"),
    ("overfitting", curves(RISEN, [1.0, 0.5, 0.5, 0.46]), ""),
    ("overfitting", curves([1.0, 1e-9, 1.9e-4], [1.0, 0.5, 0.1]), ""),
    ("overfitting", curves([1.0, 1e-9, 2.1e-4], [1.0, 0.5, 0.1]), "overfits"),
    ("overfitting", curves(RISEN, FALLING) | losses(train=1.0), ""),
    ("extrapolation", losses(val=0.9) | {"outside": 0.2}, ""),
    ("extrapolation", losses(val=0.9) | {"outside": 0.21}, "21% of the validation targ"),
    ("extrapolation", losses(val=0.49) | {"outside": 0.9}, ""),
    ("extrapolation", losses(val=0.5) | {"outside": 0.9}, "range (-1 to 2): the valid"),
    ("rollout", sines(offset=0.29 * DEVIATION), ""),
    ("rollout", sines(offset=0.31 * DEVIATION), "is off by 0.31 standard deviations"),
    ("rollout", sines(amplitude=7.0), "grows: in its last quarter it has 7 times the series'"),
    ("rollout", sines(amplitude=-7.2), "grows: at step 10 it is 10 standard deviations"),
    ("rollout", ending(0.28), "dies: in its last quarter it has 28% of the series' amplitude"),
    ("rollout", ending(0.0, first=318), "is off by"),
    ("rollout", ending(0.32), "is off by 0.34 standard deviations"),
    ("rollout", ending(1.95), "is off by 0.47 standard deviations"),
    ("rollout", ending(2.06), "grows: in its last quarter it has 2.1 times the series' amplitude"),
    ("rollout", FLAT, "is off by"),
    ("rollout", sines(error=0.0051, late=-0.4, points=800), "is off by"),
    ("rollout", sines(error=0.0062, late=-0.4, points=800), "periods ahead, 0.006 a period"),
    ("rollout", sines(error=-0.0062, late=0.4, points=800), "periods behind, 0.006 a period"),
    ("rollout", loop(torch.ones(100), torch.zeros(100)), ""),
]


@pytest.mark.parametrize(("name", "changes", "sentence"), THRESHOLDS)
def test_sentence_stands_on_one_side_of_its_threshold(name, changes, sentence):
    found = problem(good(changes), name)
    assert sentence in found
    assert bool(sentence) is bool(found)


AGAINST = "skill against persistence"
FACTS = [
    ("gradient flow", traced(0.25, 0.5, 1.0, bptt_steps=3), "|dLoss/dh[1]| is 0.25 of the last"),
    ("clipping", clipped(), "norm 0.1 in the median, 0.5 at most; nothing is clipped"),
    ("last value", losses(val=1000.4), f"{AGAINST} -999.40 on the validation split"),
    ("last value", losses(val=1001.0), f"{AGAINST} -1.0e+03 on the validation split"),
    ("rollout", sines(period=8, points=20), "RMSE 0 over 20 steps; standard deviation 0.7"),
]


@pytest.mark.parametrize(("name", "changes", "fact"), FACTS)
def test_fact_is_in_numbers(name, changes, fact):
    assert check(good(changes), name).fact.endswith(fact)


@pytest.mark.parametrize(
    ("few", "enough", "name"),
    [
        ({}, FADES, "gradient flow"),
        ({"history": History()}, clipped(), "clipping"),
        (curves([1.0, 0.5], [1.0, 0.5]), curves(FALLING[:3], FALLING[:3]), "overfitting"),
        ({"outside": None}, {"outside": 0.0}, "extrapolation"),
        (sines(points=19), sines(points=20), "rollout"),
    ],
)
def test_check_is_left_out_where_results_lack_what_it_needs(few, enough, name):
    assert [check.name for check in diagnose(good(few))] == ALWAYS
    assert sorted(check.name for check in diagnose(good(enough))) == sorted([*ALWAYS, name])


# Words


def test_times_in_words():
    words = {1.26: "1.3", 99.6: "100", 12_345.0: "12,000", 9.4e8: "940,000,000", 1e9: "1e+09"}
    for factor, word in words.items():
        assert times(factor) == f"{word} times"


def test_letter_word_for_word():
    well, ill = Check("heat", "37 degrees"), Check("a cough", "9 an hour", "It coughs. Rest.")
    assert format_diagnosis([well]) == "  heat  37 degrees\n\nNothing is wrong with this run."
    assert format_diagnosis([well, ill, ill]) == (
        "  heat     37 degrees\n! a cough  9 an hour\n! a cough  9 an hour\n\n"
        "What is wrong, and what to try:\n- It coughs. Rest.\n- It coughs. Rest."
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
    "flat end of a slow wave": (loop(torch.sin(SLOW + 0.8), torch.sin(SLOW)), "grows"),
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


def test_never_active_by_value_does_not_quote_a_norm_above_the_clip():
    found = problem(good(clipped(0.0, 0.0, clip=1.0, norm_max=(5.0, 3.0))), "clipping")
    assert "never active" in found
    assert "norm 5" not in found


def test_advice_does_not_contradict_itself():
    found = " ".join(problems(examined(one_unit(1000.0, 3.0), Given(wave(200, 1000)), window=8)))
    assert not ("lower the learning rate" in found and "Raise the learning rate" in found)
    found = " ".join(problems(examined(one_unit(0.9), Given(wave(200, 1000)))))
    assert not ("shorter window" in found and "longer window" in found)


def test_one_step_is_singular_and_nan_is_no_number_of_times():
    assert "1 steps" not in check(good(losses(val=0.71) | {"lag": 1}), "last value").problem
    assert "nan times" not in " ".join(problems(good(losses(train=math.nan, val=math.nan))))


def test_flat_series_that_is_missed_is_ill():
    flat = losses(9.0, 9.0, 0.0) | {"variance": {"train": 0.0, "val": 0.0}}
    assert problems(good(flat))
