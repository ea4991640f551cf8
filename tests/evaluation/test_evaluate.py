"""What a network is worth on its data, by hand, and the pictures that show it."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from cases import H, assert_close, predictor
from matplotlib.figure import Figure
from ramp import Given, data, same

from sinrnn import Sine, SinRNN
from sinrnn.data.windows import Windows
from sinrnn.evaluation import baselines, evaluate, figures, results
from sinrnn.evaluation.diagnosis.checks import diagnose
from sinrnn.evaluation.metrics import gradient_flow, spectral_radius
from sinrnn.evaluation.results import History, Settings
from sinrnn.nn.trace import trace

WINDOW, POINTS = 4, 90
# Splits of different lengths, apart from each other and from the end.
EDGES = {"train": (0, 45), "val": (50, 70), "test": (72, 88)}
SPLITS = list(EDGES)
PREDICTIONS = "predictions_val predictions_train predictions_test"
PICTURES = f"windows losses {PREDICTIONS} residuals gradient_flow rollout"
HISTORY = History([0.0, 1.0, 2.0], {"train": [3.0, 2.0, 1.0], "val": [4.0, 3.0, 2.0]})


def made(horizon=1, splits=SPLITS):
    """An untrained network that saturates in part, its data and its predictions."""
    fractions = {name: (a / POINTS, b / POINTS) for name, (a, b) in EDGES.items()}
    noise = torch.randn(POINTS, generator=torch.Generator().manual_seed(1))
    cut = data(Given(noise), window=WINDOW, horizon=horizon, **fractions)
    net = SinRNN(hidden_size=H, bias=True, bptt_steps=3, init="torch")
    torch.nn.init.normal_(net.Wih, std=2.0)
    whole = predictor(net, WINDOW, horizon)
    return whole, cut, evaluate.predictions(whole, cut, splits)


# A part of the data, and all of it


@pytest.mark.parametrize(
    ("most", "states", "count"),
    [
        (5, 10**6, 5),
        (10**6, 10**6, 300 - WINDOW),
        (1000, 7 * WINDOW * H, 7),
        (1000, 7 * WINDOW * H - 1, 6),
        (1000, 1, 1),
    ],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_few_are_no_more_than_are_wanted_or_fit(monkeypatch, most, states, count, dtype):
    monkeypatch.setattr(evaluate, "MAX_STATES", states)
    windows = Windows(torch.randn(300), WINDOW)
    found = evaluate.subsample(windows, predictor(SinRNN(hidden_size=H, dtype=dtype)), most)
    same(found, tuple(part.to(dtype) for part in windows.sample(count)))


def test_few_are_a_thousand_from_the_first_window_to_the_last():
    whole = predictor(SinRNN(hidden_size=H))
    x, y = evaluate.subsample(Windows(torch.arange(2000.0), WINDOW), whole)
    assert len(x) == len(y) == evaluate.MAX_WINDOWS == 1000
    assert (x[0, 0], y[-1]) == (0, 1999)


@pytest.mark.parametrize("horizon", [1, 3])
def test_excerpt_is_the_first_windows_of_each_split(horizon):
    _, cut, _ = made(horizon)
    before = {name: windows[:] for name, windows in cut.windows.items()}
    part = evaluate.excerpt(cut, 14)
    assert list(part.windows) == SPLITS
    for name, (x, y) in before.items():
        same(part.windows[name][:], (x[:14], y[:14]))
        same(cut.windows[name][:], (x, y))
        assert part.edges(name) == EDGES[name]


def test_predictions_are_the_outputs_for_all_windows_of_the_splits():
    net, cut, _ = made()
    found = evaluate.predictions(net, cut)
    assert list(found) == SPLITS
    assert list(evaluate.predictions(net, cut, ("val", "train"))) == ["val", "train"]
    for name in SPLITS:
        assert_close(found[name], net(cut.windows[name][:][0]).detach())


# The results


def test_examine_measures_the_losses_and_the_network():
    net, cut, predicted = made(horizon=3)
    results = evaluate.evaluate(net, cut, predicted)
    for name in SPLITS:
        x, y = (part.squeeze().numpy() for part in cut.windows[name][:])
        errors = {
            "network": predicted[name].numpy() - y,
            "persistence": x[:, -1] - y,
            "linear extrapolation": x[:, -1] + 3 * (x[:, -1] - x[:, -2]) - y,
        }
        for row, error in errors.items():
            expected = (error**2).mean() / 2
            assert results.half_mse[row][name] == pytest.approx(expected, rel=1e-12)
        assert results.variance[name] == pytest.approx(y.var(), rel=1e-12)
    h = net.net.unroll(cut.windows["val"][:][0])[0][:, -1]
    assert 0 < results.saturated < 1
    assert results.saturated == (h.abs() > 0.99).sum() / h.numel()
    assert results.spectral_radius == spectral_radius(net.net.Whh)
    same(vars(results.trace), vars(trace(net.net, *cut.windows["train"][:])))
    predicted["val"] = cut.windows["val"][:][0][:, -2, 0]
    assert evaluate.evaluate(net, cut, predicted).lag == 4


def test_examine_passes_on_how_it_was_trained():
    net, cut, predicted = made(splits=SPLITS[:2])
    for given in ((HISTORY, Settings(clip=0.5, lr=2.0)), (None, None)):
        results = evaluate.evaluate(net, cut, predicted, *given)
        # The validation split has 16 windows.
        settings = replace(given[1] or Settings(), window=WINDOW, longest=WINDOW + 15)
        settings = replace(settings, init="torch", bptt_steps=3)
        assert (results.history, results.settings) == (given[0], settings)
    assert list(results.variance) == list(results.half_mse["network"]) == SPLITS[:2]


def test_examine_counts_the_targets_outside_the_training_range():
    net, cut, predicted = made()
    train, val = cut.windows["train"].values, cut.windows["val"].values
    train[:] = torch.linspace(-1, 1, len(train))  # its first value is no target, but was seen
    val[:] = 0.5
    val[0] = 7.0  # read, but no target
    val[5:10] = torch.tensor([-1.0, 1.0, -1.01, 1.01, 2.0])
    results = evaluate.evaluate(net, cut, predicted)
    assert results.outside["val"] == 3 / 16
    assert results.train_range == (-1.0, 1.0)


@pytest.mark.parametrize("splits", [SPLITS, SPLITS[:2]])
@pytest.mark.parametrize("most", [1000, 9])
def test_rollout_starts_at_the_last_span_that_was_predicted(monkeypatch, splits, most):
    monkeypatch.setattr(evaluate, "ROLLOUT_STEPS", most)
    net, cut, predicted = made(splits=splits)
    found = evaluate.evaluate(net, cut, predicted).rollout
    first = EDGES[splits[-1]][0] + WINDOW
    assert found.start == first
    same(found.warm_up, cut.values[first - WINDOW : first])
    # During training, the test split is not looked at.
    end = len(cut.values) if "test" in splits else EDGES[splits[-1]][1]
    same(found.truth, cut.values[first : min(first + most, end)])
    # Its first step is the prediction for the split's first window.
    assert_close(found.prediction[0], predicted[splits[-1]][0])


def test_rollout_goes_on_beyond_the_end_of_a_series_that_is_known_there():
    cut = data(Sine(), window=WINDOW)  # of 1000 points
    net = predictor(SinRNN(hidden_size=H), cut.window)
    found = evaluate.evaluate(net, cut, evaluate.predictions(net, cut)).rollout
    assert len(found.truth) == 1000


# The pictures


def drawn(horizon=1, run=HISTORY, readout_epoch=None):
    """All pictures, and what they show."""
    net, cut, predicted = made(horizon)
    results = evaluate.evaluate(net, cut, predicted, run)
    return figures.pictures(cut, predicted, results, readout_epoch), cut, predicted, results


def lines(axis):
    return {line.get_label(): line.get_xydata().tolist() for line in axis.lines}


@pytest.mark.parametrize("horizon", [1, 3])
@pytest.mark.parametrize("run", [HISTORY, History(), None])
def test_pictures_are_all_that_there_is_something_to_draw_of(horizon, run):
    found, cut, predicted, results = drawn(horizon, run)
    there = {"losses": run is HISTORY, "rollout": horizon == 1}
    assert list(found) == [name for name in PICTURES.split() if there.get(name, True)]
    assert all(isinstance(draw(), Figure) for draw in found.values())
    without = figures.pictures(cut, predicted, replace(results, trace=None))
    assert set(found) - set(without) == {"gradient_flow"}


def test_picture_of_losses_has_the_curves_the_rivals_and_the_readout():
    found, _, _, results = drawn(readout_epoch=1)
    (axis,) = found["losses"]().axes
    labels = "\n".join(lines(axis)).splitlines()
    rivals = [f"{name}, val: {row['val']:.1e}" for name, row in results.half_mse.items()][1:]
    assert sorted(label for label in labels if ", val:" in label) == sorted(rivals)
    assert lines(axis)["val"] == [[0, 4], [1, 3], [2, 2]]
    assert "readout solved after epoch 1" in labels


def test_picture_of_losses_has_the_noise_where_it_is_known():
    cut = data(Sine(points=400, stop=40.0, noise=0.5), window=WINDOW)
    net = predictor(SinRNN(hidden_size=H), cut.window)
    predicted = evaluate.predictions(net, cut)
    history = replace(HISTORY, losses={"train": [3.0, 2.0, 0.2], "val": [4.0, 3.0, 0.3]})
    results = evaluate.evaluate(net, cut, predicted, history)
    first, end = cut.edges("val")
    at = slice(first + WINDOW, end)
    floor = (cut.series.values()[at] - cut.series.noise_free(400)[at]).square().mean().item() / 2
    assert 0.08 < floor < 0.17
    (axis,) = figures.pictures(cut, predicted, results)["losses"]().axes
    assert lines(axis)[f"noise floor, val: {floor:.1e}"] == [[0, floor], [1, floor]]


@pytest.mark.parametrize("horizon", [1, 3])
def test_pictures_of_predictions_and_windows_stand_where_they_are_in_the_series(horizon):
    found, cut, predicted, results = drawn(horizon)
    axes = found["windows"]().axes
    for name, row in (("train", axes[:4]), ("val", axes[4:]), ("test", ())):
        axis = found[f"predictions_{name}"]().axes[0]
        at = range(EDGES[name][0] + WINDOW + horizon - 1, EDGES[name][1])
        shown = {label.partition(" (off")[0]: drawn for label, drawn in lines(axis).items()}
        assert {label: shown[label] for label in ("target", "prediction")} == {
            "target": [[t, cut.values[t]] for t in at],
            "prediction": [[t, y] for t, y in zip(at, predicted[name], strict=True)],
        }
        loss = results.half_mse["network"][name]
        ahead = ("one step", "3 steps")[horizon > 1]
        assert axis.get_title() == f"{name} windows, {ahead} ahead: half_mse {loss:.2e}"
        # (i + 1/2) times the golden section, i = 0..3, without whole numbers, sorted
        for axis, part in zip(row, (0.163119, 0.309017, 0.545085, 0.927051), strict=False):
            i = int(part * len(predicted[name]))
            first, target = EDGES[name][0] + i, at[i]
            assert lines(axis) == {
                "window": [[t, cut.values[t]] for t in range(first, first + WINDOW)],
                "target": [[target, cut.values[target]]],
                "prediction": [[target, predicted[name][i]]],
            }


def test_pictures_name_the_values_as_the_series_does():
    _, cut, predicted, results = drawn()
    cut.series.names = ("Temp", "day")
    found = figures.pictures(cut, predicted, results)
    axes = [found[picture]().axes[0] for picture in ("predictions_test", "rollout", "windows")]
    assert [axis.get_ylabel() for axis in axes] == ["Temp", "Temp", "train: Temp"]


def test_picture_of_windows_shows_each_of_fewer_than_four_once():
    _, cut, predicted, results = drawn()
    made = {name: values[:3] for name, values in predicted.items()}
    axes = figures.pictures(evaluate.excerpt(cut, 3), made, results)["windows"]().axes
    assert [lines(axis)["window"][0][0] for axis in axes] == [0, 1, 2, 50, 51, 52]


def test_other_pictures_show_the_results():
    found, cut, predicted, results = drawn()
    left, _ = found["residuals"]().axes
    for bars, name in zip(left.patches, ("train", "val"), strict=True):
        errors = (predicted[name] - cut.windows[name].targets).numpy()
        share, edges, _ = bars.get_data()
        expected = 100 * np.histogram(errors.clip(edges[0], edges[-1]), edges)[0] / len(errors)
        np.testing.assert_allclose(share, expected)
    left, right = found["gradient_flow"]().axes
    flow = left.lines[0].get_ydata()
    assert flow.tolist() == gradient_flow(results.trace)[1].tolist()
    (said,) = (check.fact for check in diagnose(results) if check.name == "gradient flow")
    assert said.startswith(
        f"{left.get_title()}; |dLoss/dh[1]| is {left.lines[0].get_ydata()[0]:.2g}"
    )
    assert [text.get_text() for text in right.get_legend().get_texts()] == [
        "bptt_steps in training: 3"
    ]
    title = found["rollout"]().axes[0].get_title()
    assert title.startswith(f"{len(results.rollout.truth)} closed-loop steps")


def test_losses_of_a_long_split_are_those_of_its_parts_together(monkeypatch):
    sizes = []

    def watched(windows):
        sizes.append(len(windows))
        return windows[:, -1]

    monkeypatch.setattr(baselines, "persistence", watched)
    x, y = torch.randn(100, 6).double(), torch.randn(100).double()
    made = {"train": torch.randn(100).double()}
    naive = {"naive": {"train": lambda first, last: y[first:last] + 1}}
    whole = results.losses(made, {"train": (x, y)}, 1, naive)
    monkeypatch.setattr(results, "COMPARED", 32)
    parts = results.losses(made, {"train": (x, y)}, 1, naive)
    assert sizes == [100, 32, 32, 32, 4]
    assert whole["naive"]["train"] == pytest.approx(0.5)
    for name, row in whole.items():
        assert parts[name] == pytest.approx(row, rel=1e-12)
