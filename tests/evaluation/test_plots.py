"""The figures carry the numbers given: they are read back from the axes."""

import itertools
import struct
from dataclasses import replace

import numpy as np
import pytest
import torch
from cases import assert_close
from matplotlib.colors import to_rgb

from sinrnn import SinRNN
from sinrnn.data.time_index import Step, TimeIndex
from sinrnn.evaluation import _drawing, loss_plots, plots, residual_plots
from sinrnn.evaluation.backtest import Backtest, BacktestReport
from sinrnn.evaluation.metrics import gradient_flow
from sinrnn.evaluation.picture import png
from sinrnn.evaluation.report import backtest_facts
from sinrnn.evaluation.results import History, Rollout
from sinrnn.forecasting.forecast import Forecast
from sinrnn.nn.trace import Trace, trace

INF, NAN = float("inf"), float("nan")
EPOCHS = [0.0, 1.0, 2.0, 4.0]
CURVES = {"train": [1.0, 1e-1, 1e-2, 1e-3], "val": [2.0, 3e-1, 2e-2, 4e-3]}
HISTORY = History(EPOCHS, CURVES)
BASELINES = {"persistence": 1.2e-2, "linear extrapolation": 1.1e-5, "autoregression AR(4)": 9e-6}


def lines(axis):
    """The points of each line, by label."""
    return {line.get_label(): np.asarray(line.get_xydata()).tolist() for line in axis.lines}


def points(x, y):
    return [[float(a), float(b)] for a, b in zip(x, y, strict=True)]


def legend(of):
    """The texts of an axis' legend, or of a figure's only one."""
    (found,) = getattr(of, "legends", None) or [of.get_legend()]
    return [text.get_text() for text in found.get_texts()]


def marks(axis):
    """Where the triangles at the edges stand: steps, height, and which way they point."""
    drawn = [line for line in axis.lines if line.get_marker() in ("^", "v")]
    return [(at.get_marker(), *at.get_xydata().T.tolist()) for at in drawn if len(at.get_xydata())]


def names(*axes):
    """What stands below and left of each axis."""
    return [(axis.get_xlabel(), axis.get_ylabel()) for axis in axes]


SAMPLE = "sample of the series"


def closed():
    truth = torch.tensor([0.0, 1.0, 0.5, -1.0])
    prediction = torch.tensor([0.0, 1.25, 0.5, 40.0])
    return Rollout(7, torch.tensor([0.25, 0.75]), prediction, truth)


def sampled(**counts):
    """Windows of two samples by split, all numbers different."""
    number = itertools.count()
    return {
        name: [
            (10 * i, torch.tensor([next(number), next(number)]), next(number), next(number))
            for i in range(count)
        ]
        for name, count in counts.items()
    }


def loss_figure():
    return loss_plots.loss_curves(HISTORY, BASELINES, 2)


def prediction_figure(horizon=1):
    target, prediction = torch.tensor([1.0, 2.0, 4.0]), torch.tensor([1.5, 2.0, 3.0])
    return plots.predictions("val", 604, horizon, target, prediction)


def window_figure():
    return plots.sample_windows(sampled(train=2, val=2), 3)


# Loss curves


def test_loss_curves_carry_both_losses_and_baselines_and_name_those_far_below_them_once():
    figure = loss_figure()
    (axis,) = figure.axes
    found = lines(axis)
    for name, values in CURVES.items():
        assert found[name] == points(EPOCHS, values)
    assert (axis.get_xscale(), axis.get_yscale()) == ("linear", "log")
    assert names(axis) == [("epoch", "half_mse")]
    # The lowest loss is 1e-3: 1.1e-5 is within a factor of 100 of it, 9e-6 is not.
    drawn = {"persistence, val: 1.2e-02": 1.2e-2, "linear extrapolation, val: 1.1e-05": 1.1e-5}
    for label, value in drawn.items():
        assert [y for _, y in found[label]] == [value, value]
    best = "lowest val: 4.0e-03 after epoch 4"
    assert found[best] == [[4, 4e-3]]
    below = "below the axis:\nautoregression AR(4), val: 9.0e-06"
    assert [line.get_marker() for line in axis.lines if line.get_label() == below] == ["v"]
    solved = "readout solved after epoch 2"
    assert legend(figure) == [*CURVES, best, *drawn, below, solved]
    curves = [line for line in axis.lines if line.get_linestyle() != "None"]
    assert len({(line.get_color(), line.get_linestyle()) for line in curves}) == 2 + 2 + 1


def test_loss_curves_are_not_squeezed_by_baselines_far_below_them():
    more = {f"baseline {i}": 0.1 * (i + 1) for i in range(4)} | {"persistence": 1e-30}
    figure = loss_plots.loss_curves(HISTORY, BASELINES | more)
    (axis,) = figure.axes
    (below,) = (label for label in legend(figure) if "below" in label)
    assert below.splitlines()[1:] == [
        "persistence, val: 1.0e-30",
        "autoregression AR(4), val: 9.0e-06",
    ]
    bottom, top = axis.get_ylim()
    assert 1e-6 < bottom < 1.1e-5
    assert 2 < top < 20
    levels = [line for line in axis.lines if ", val: " in line.get_label().partition("\n")[0]]
    assert len({str(line._dash_pattern) for line in levels}) == len(levels) == 5


@pytest.mark.parametrize(("epoch", "where"), [(0, [0]), (2, [2]), (None, []), (4, []), (9, [])])
def test_loss_curves_mark_where_the_readout_was_solved(epoch, where):
    figure = loss_plots.loss_curves(HISTORY, BASELINES, epoch)
    found = lines(figure.axes[0]).values()
    upright = [x for ((x, a), (_, b)) in (v for v in found if len(v) == 2) if a < b]
    assert upright == where
    said = [label for label in legend(figure) if "readout" in label]
    assert said == [f"readout solved after epoch {epoch}"] * len(where)


def test_loss_curves_mark_the_lowest_validation_loss_wherever_it_is():
    run = History([0.0, 2.0, 4.0, 6.0], {"train": [4, 3, 2, 1], "val": [3, NAN, 1.5, 2]})
    figure = loss_plots.loss_curves(run, {})
    assert lines(figure.axes[0])["lowest val: 1.5e+00 after epoch 4"] == [[4, 1.5]]
    run.losses["val"] = [NAN, INF, INF, INF]
    assert legend(loss_plots.loss_curves(run, {})) == ["train", "val"]


@pytest.mark.parametrize(
    ("planned", "title"),
    [
        (None, ""),
        (-1, ""),
        (6, ""),
        (7, ""),  # validated every 2 epochs: there was no other one to come
        (8, "ended after epoch 6 of 8"),
    ],
)
def test_loss_curves_say_that_a_run_ended_before_its_time(planned, title):
    run = History([0.0, 2.0, 4.0, 6.0], {"train": [4, 3, 2, 1], "val": [3, 2, 1.5, 2]})
    (axis,) = loss_plots.loss_curves(run, {}, planned=planned).axes
    assert axis.get_title() == title
    (axis,) = loss_plots.loss_curves(History([0.0], {"train": [1], "val": [1]}), {}, 3, 9).axes
    assert axis.get_title() == ""


@pytest.mark.parametrize(
    ("first", "level", "off"),
    [
        (3.9, 1.0, False),  # the rest spans a factor of 2, and so does what is above it
        (4.1, 1.0, True),
        (4.1, 0.9, False),  # a level counts as what is to be seen
        (15.9, 4.0, False),
        (16.1, 4.0, True),
    ],
)
def test_losses_before_training_do_not_squeeze_the_rest(first, level, off):
    run = History([0.0, 1.0, 2.0, 3.0], {"train": [first, 2, 1.5, 1], "val": [first, 2, 1.5, 1]})
    figure = loss_plots.loss_curves(run, {"mean": level})
    (axis,) = figure.axes
    low, high = axis.get_ylim()
    assert low < min(level, 1) < max(level, 2) < high
    assert (first <= high) != off
    said = f" (off scale: {first:.2g})" * off
    assert legend(figure)[:2] == [f"train{said}", f"val{said}"]
    assert marks(axis) == [("^", [0], [high])] * 2 * off


@pytest.mark.parametrize(
    ("losses", "levels", "above", "below"),
    [
        ([1.0, 2.0, 1.5, 1.2], {"a": 5.9, "b": 6.1, "c": 0.34, "d": 0.32}, ["b"], ["d"]),
        ([1.0, 2.0, 1.5, 0.2], {"a": 19.0, "b": 21.0, "c": 0.021, "d": 0.019}, ["b"], ["d"]),
        ([1.0, 1e-4, 1e-4, 1e-4], {"a": 2.9e-4, "b": 3.1e-4, "c": 3e-5}, ["b"], ["c"]),  # 1 is off
    ],
)
def test_levels_far_from_the_losses_are_named_at_the_edge(losses, levels, above, below):
    run = History([*map(float, range(len(losses)))], {"train": losses, "val": losses})
    figure = loss_plots.loss_curves(run, levels)
    (axis,) = figure.axes
    said = {
        label.split(" ")[0]: [line[0] for line in label.splitlines()[1:]]
        for label in legend(figure)
        if "the axis:" in label
    }
    assert said == {w: n for w, n in (("above", above), ("below", below)) if n}
    low, high = axis.get_ylim()
    drawn = [level for name, level in levels.items() if name not in (*above, *below)]
    assert all(low < level < high for level in drawn)


# Predictions and the closed loop


@pytest.mark.parametrize(("horizon", "ahead"), [(1, "one step ahead"), (3, "3 steps ahead")])
def test_predictions_carry_both_lines_and_their_difference(horizon, ahead):
    above, below = prediction_figure(horizon).axes
    assert lines(above) == {
        "target": points([604, 605, 606], [1, 2, 4]),
        "prediction": points([604, 605, 606], [1.5, 2, 3]),
    }
    assert list(lines(below).values()) == [points([604, 605, 606], [0.5, 0, -1])]
    assert legend(above.figure) == ["target", "prediction"]
    assert names(above, below) == [("", "value"), (SAMPLE, "prediction - target")]
    assert above.get_title() == f"val windows, {ahead}: half_mse 2.08e-01"  # (1/4 + 1) / 6


def test_rollout_carries_truth_loop_warm_up_and_error():
    above, below = plots.rollout(closed()).axes
    labels = ["truth", f"{LOOP} (off scale: 40)", "initial window"]
    truth, loop, warm_up = (lines(above)[label] for label in labels)
    assert legend(above.figure) == labels
    assert truth == points([7, 8, 9, 10], [0, 1, 0.5, -1])
    assert loop == points([7, 8, 9, 10], [0, 1.25, 0.5, 40])
    assert warm_up == points([5, 6], [0.25, 0.75])
    # On a log scale an exact prediction has no place: it is drawn at 1e-16.
    assert list(lines(below).values()) == [points([7, 8, 9, 10], [1e-16, 0.25, 1e-16, 41])]
    assert below.get_yscale() == "log"
    assert names(above, below) == [("", "value"), (SAMPLE, "|error|")]
    assert above.get_title() == f"4 closed-loop steps, RMSE {closed().rmse:.1e}"


def test_rollout_has_room_for_the_window_that_was_read():
    closed_loop = closed()
    closed_loop.warm_up[0] = 50.0
    above, _ = plots.rollout(closed_loop).axes
    assert above.get_ylim()[1] > 50


# What leaves the axes

LOOP = "rollout: own predictions fed back"


@pytest.mark.parametrize(
    ("made", "below", "above", "said"),
    [
        ([0, 1.25, 0.5, -1], [], [], ""),
        ([-4.9, 4.9, 0, 0], [], [], ""),  # two ranges outside of -1..1: still to be seen
        ([0, 1.25, 0.5, 40], [], [10], " (off scale: 40)"),
        ([-60, 1.25, 41, 40.2], [7], [9, 10], " (off scale: -60 to 41)"),
        ([9.9, 9.91, 9.92, 9.93], [], [7, 8, 9, 10], " (off scale: 9.9)"),
        ([0, 40, INF, NAN], [], [8, 9, 10], " (off scale: 40, not finite)"),
        ([0, 0, NAN, -INF], [10], [9], " (off scale: not finite)"),
    ],
)
def test_a_curve_is_in_the_picture_or_at_its_edge_and_named(made, below, above, said):
    closed_loop = closed()
    closed_loop.prediction = torch.tensor(made, dtype=torch.float64)
    axis, _ = plots.rollout(closed_loop).axes
    low, high = axis.get_ylim()
    expected = [("v", below, [low] * len(below)), ("^", above, [high] * len(above))]
    assert marks(axis) == [mark for mark in expected if mark[1]]
    assert legend(axis.figure)[1] == LOOP + said
    within = [y for x, y in zip(range(7, 11), made, strict=True) if x not in below + above]
    assert all(low <= y <= high for y in within)
    # What explodes does not squeeze the truth, which has a fifth of the picture or more.
    assert low < -1 < 1 < high
    assert high - low < 5 * 2 * 1.1


def test_a_backtest_names_the_network_that_is_off_scale():
    found = backtest_report(error=20)
    left, _ = plots.backtest(found).axes
    assert legend(left)[1] == "network (off scale: 10 to 20)"
    assert marks(left) == [("^", [1, 2], [left.get_ylim()[1]] * 2)]
    left, _ = plots.backtest(backtest_report(error=4)).axes  # 2 and 4, three times 1.4: to be seen
    assert legend(left)[1] == "network"
    assert left.get_ylim()[1] > 4


# Forecasts from many origins, and one from the end


def backtest_report(error=1.0, spread=0.75):
    """Two forecasts of 1, 2: errors of 0.5 and 1, of sqrt 1 and sqrt 2 by persistence."""
    truth = torch.tensor([[1.0, 2.0]] * 2)
    made = truth + error * torch.tensor([[0.5, 1.0], [-0.5, -1.0]])
    test = Backtest(torch.tensor([7, 9]), made, truth, torch.tensor([0.0, 2.0]))
    return BacktestReport(test, torch.ones(2), torch.tensor([0.75, 0.5]), 0.4, spread)


def test_backtest_carries_errors_and_coverage_by_steps_ahead():
    left, right = plots.backtest(backtest_report()).axes
    found, level = lines(left), "standard deviation, train"
    assert_close(torch.tensor(found["network"]), torch.tensor([[1, 0.5], [2, 1]]))
    assert_close(torch.tensor(found["persistence"]), torch.tensor([[1, 1], [2, 2**0.5]]))
    assert [y for _, y in found[level]] == [0.75, 0.75]
    assert legend(left) == ["persistence", "network", level]
    assert lines(right)["measured"] == points([1, 2], [75, 50])
    assert [y for _, y in lines(right)["nominal"]] == [90, 90]
    assert legend(right) == ["measured", "nominal"]
    assert right.get_ylim() == (0, 109)
    assert left.get_title() == "RMSE 0.5 at 1 step, 1 at 2"
    origins = "steps ahead, from 2 origins in the test split"
    assert names(left, right) == [(origins, "RMSE"), ("steps ahead", "coverage, %")]
    # The closing table says the same.
    assert right.get_title() == "coverage of the intervals: 62% on the test split"
    assert "62% coverage on the test split" in backtest_facts(backtest_report())["intervals"]
    unknown = replace(backtest_report(), radius=torch.tensor([1.0, INF]))
    assert plots.backtest(unknown).axes[1].get_title() == "coverage of the intervals: not known"


@pytest.mark.parametrize(
    ("error", "spread", "scale", "top"),
    [
        (1, 0.75, "linear", 1.4 * 2**0.5),
        (1, 3, "linear", 4.2),
        (1, 14, "linear", 19.6),
        (1, 16, "log", 32),  # 0.5 is below a thirtieth of it
        (0.01, 0.75, "log", 2 * 2**0.5),
        (0, 0.75, "linear", 1.4 * 2**0.5),  # on a log scale, there is no place for none
    ],
)
def test_backtest_is_on_a_log_scale_where_the_network_is_30_times_better(error, spread, scale, top):
    left, _ = plots.backtest(backtest_report(error, spread)).axes
    assert left.get_yscale() == scale
    low, high = left.get_ylim()
    assert high == pytest.approx(top)
    assert low == 0 if scale == "linear" else 0 < low < 0.5 * error


@pytest.mark.parametrize("far", [1e9, np.inf, np.nan])
@pytest.mark.parametrize("error", [1.0, 0.01])
def test_backtest_keeps_its_scale_when_the_network_diverges(far, error):
    found = backtest_report(error)
    found.test.prediction[1, 1] = far
    figure = plots.backtest(found)
    assert figure.axes[0].get_ylim()[1] < 3
    assert png(figure)


BEFORE = torch.tensor([0.0, 1.0, 0.5, -1.0, 0.25, 0.75])


def ahead(*radius, **more):
    """A forecast after 20 points, of which the last two were read."""
    made, radius = torch.tensor([1.0, 2.0, 4.0]), torch.tensor(radius)
    return Forecast(20, BEFORE[-2:], made, made - radius, made + radius, **more)


def test_forecast_carries_the_series_what_was_read_what_comes_and_intervals_if_known():
    figure = plots.forecast(BEFORE, ahead(0.5, 0.25, np.nan))
    (axis,) = figure.axes
    assert lines(axis) == {
        "series": points(range(14, 20), BEFORE),
        "read": points([18, 19], [0.25, 0.75]),
        "forecast": points([19, 20, 21, 22], [0.75, 1, 2, 4]),  # no gap after the last sample
    }
    (band,) = axis.collections
    edge = {(x, y) for path in band.get_paths() for x, y in path.vertices}
    assert edge == {(19, 0.75), (20, 0.5), (20, 1.5), (21, 1.75), (21, 2.25)}
    ends = "interval: 90 % nominal, measured up to step 2"
    assert legend(figure) == ["series", "read", ends, "forecast"]
    assert names(axis) == [(SAMPLE, "value")]
    held = ahead(0.5, 0.25, np.nan, coverage=torch.tensor([0.5, 0.25, np.nan]))
    said = "interval: 90 % nominal, 38 % coverage on the test split, measured up to step 2"
    assert legend(plots.forecast(BEFORE, held))[2] == said
    everywhere = ahead(0.5, 0.25, 0.5)
    assert legend(plots.forecast(BEFORE, everywhere))[2] == "interval: 90 % nominal"
    without = plots.forecast(BEFORE, ahead(np.nan, np.nan, np.nan))
    assert not without.axes[0].collections
    assert legend(without) == ["series", "read", "forecast"]


def test_forecast_has_an_axis_of_time_where_the_series_has_times():
    days = np.datetime64("2024-01-01", "us") + np.arange(20) * np.timedelta64(1, "D")
    made = ahead(0.5, 0.25, np.nan)
    made.past = TimeIndex(days, Step(86_400_000_000, "us"))
    (axis,) = plots.forecast(BEFORE, made).axes
    past, read, following = (line.get_xdata() for line in axis.lines)
    assert (past == days[14:]).all()
    assert (read == days[18:]).all()
    assert following.astype("datetime64[D]").astype(str).tolist()[::3] == [
        "2024-01-20",
        "2024-01-23",
    ]
    assert names(axis) == [("time", "value")]
    (axis,) = plots.forecast(BEFORE, made, ("Sales", "Month")).axes
    assert names(axis) == [("Month", "Sales")]
    made.past = TimeIndex(days, None)
    (axis,) = plots.forecast(BEFORE, made).axes
    assert names(axis) == [(SAMPLE, "value")]


# Sample windows


@pytest.mark.parametrize("counts", [(2, 2), (3, 1), (1, 2)])
@pytest.mark.parametrize("horizon", [1, 3])
def test_sample_windows_put_the_target_horizon_steps_after_the_window(horizon, counts):
    samples = sampled(train=counts[0], val=counts[1])
    figure, columns = plots.sample_windows(samples, horizon), max(counts)
    marks = ["window", "target", "prediction"]
    for axes, (name, windows) in zip(
        (figure.axes[:columns], figure.axes[columns:]), samples.items(), strict=True
    ):
        for axis, (first, x, target, prediction) in zip(axes, windows, strict=False):
            at = first + 1 + horizon
            expected = ([first, first + 1], x), ([at], [target]), ([at], [prediction])
            assert lines(axis) == dict(zip(marks, (points(*p) for p in expected), strict=True))
            assert axis.get_xticks().tolist() == [first, at]
        assert not any(axis.lines for axis in axes[len(windows) :])
        assert axes[0].get_ylabel() == f"{name}: value"
        assert [axis.get_xlabel() for axis in axes] == [SAMPLE * (name == "val")] * columns
    assert legend(figure) == marks


# Many starts


def starts_figure():
    """Three epochs of two starts."""
    curves = {
        "train": torch.tensor([[300.0, 200.0], [2.0, 1.0], [0.02, 0.01]]),
        "val": torch.tensor([[310.0, 210.0], [3.0, 4.0], [0.03, 0.04]]),
    }
    saturated = torch.tensor([[0.25, 0.5], [0.75, 1.0], [0.0, 0.125]])
    return loss_plots.many_starts([0, 1, 3], curves, saturated, {"mean": 0.5, "persistence": 6e-7})


def test_many_starts_carry_every_start_and_what_to_compare_with_and_tell_them_apart():
    above, below = starts_figure().axes
    assert [d for line in above.lines if len(d := line.get_xydata().tolist()) == 3] == [
        points([0, 1, 3], row)
        for row in ([300, 2, 0.02], [200, 1, 0.01], [310, 3, 0.03], [210, 4, 0.04])
    ]
    levels = {"mean: 5.0e-01": 0.5, "persistence: 6.0e-07": 6e-7}
    found = lines(above)
    for label, value in levels.items():
        assert [y for _, y in found[label]] == [value, value]
    assert legend(above) == ["train", "val", *levels]
    assert above.get_title() == "2 random starts"
    assert above.get_yscale() == "log"
    assert [line.get_xydata().tolist() for line in below.lines] == [
        points([0, 1, 3], [25, 75, 0]),
        points([0, 1, 3], [50, 100, 12.5]),
    ]
    assert names(above, below) == [("", "half_mse"), ("epoch", "saturated units, %")]
    named = {line.get_label(): line.get_color() for line in above.lines}
    drawn = [line.get_color() for line in above.lines if len(line.get_xdata()) == 3]
    assert drawn == [named["train"]] * 2 + [named["val"]] * 2
    assert named["train"] != named["val"]
    styles = [line.get_linestyle() for line in above.lines if ":" in line.get_label()]
    assert len(set(styles)) == len(styles) == 2


def test_seeds_carry_the_curves_of_every_run():
    losses = [([3.0, 2.0], [4.0, 5.0]), ([0.3, 0.2, 0.1], [0.4, 0.5, 0.6])]
    runs = [History([*range(len(a))], {"train": a, "val": b}) for a, b in losses]
    (axis,) = loss_plots.seeds(runs, {"persistence": 0.7}).axes
    drawn = [line for line in axis.lines if "persistence" not in line.get_label()]
    assert [line.get_xydata().tolist() for line in drawn] == [
        points(range(len(row)), row)
        for row in (losses[0][0], losses[1][0], losses[0][1], losses[1][1])
    ]
    colors = [line.get_color() for line in drawn]
    assert colors[0] == colors[1] != colors[2] == colors[3]
    assert legend(axis) == ["train", "val", "persistence, val: 7.0e-01"]
    assert (axis.get_title(), axis.get_yscale()) == ("2 seeds", "log")
    assert names(axis) == [("epoch", "half_mse")]


# What predictions leave over


def left_over():
    """Residuals with a pattern, of splits of different lengths, one of them shorter than 41."""
    return {
        "train": torch.sin(torch.arange(60.0)) + torch.randn(60) + 3,
        "val": 1e-9 * torch.randn(25),
    }


def band(axis):
    (white,) = axis.patches
    return [white.get_y(), white.get_y() + white.get_height()]


def test_residuals_put_every_window_into_the_histogram_and_tell_the_splits_apart():
    errors = left_over()
    left, right = residual_plots.residuals(errors).axes
    edges = np.histogram_bin_edges(torch.cat([*errors.values()]), 40)  # the same for both
    for bars, values in zip(left.patches, errors.values(), strict=True):
        share, found, _ = bars.get_data()
        expected = 100 * np.histogram(values, edges)[0] / len(values)
        np.testing.assert_allclose(share, expected)
        np.testing.assert_allclose(found, edges)
        assert sum(share) == pytest.approx(100)
    assert legend(left) == ["train", "val"]
    assert names(left, right) == [
        ("prediction - target", "windows in the bin, %"),
        ("lag, samples", "autocorrelation"),
    ]
    one, other = left.patches  # of filled bars over filled bars nobody knows whose they are
    assert (one.get_fill(), other.get_fill()) == (True, False)
    colors = [one.get_facecolor()[:3], other.get_edgecolor()[:3]]
    assert colors == [to_rgb(line.get_color()) for line in right.lines]
    assert len(set(colors)) == 2


def test_a_few_large_residuals_do_not_squeeze_the_others():
    errors = torch.randn(1000)
    errors[:2] = torch.tensor([-90.0, 400.0])
    left, _ = residual_plots.residuals({"train": errors, "val": torch.randn(50)}).axes
    assert left.get_xlabel() == "prediction - target (outer bins: all beyond)"
    share, edges, _ = left.patches[0].get_data()
    assert -8 < edges[0] < -4 < 4 < edges[-1] < 8
    assert sum(share) == pytest.approx(100)
    assert min(share[0], share[-1]) == pytest.approx(0.1)


def test_residuals_have_the_autocorrelation_of_numpy():
    errors = left_over()
    _, right = residual_plots.residuals(errors).axes
    for name, lags in {"train": 41, "val": 25}.items():
        around = errors[name].numpy() - errors[name].numpy().mean()
        expected = np.correlate(around, around, "full")[len(around) - 1 :][:lags]
        drawn = np.array(lines(right)[name])
        assert drawn[:, 0].tolist() == list(range(1, lags))  # at lag 0 it is always 1
        np.testing.assert_allclose(drawn[:, 1], expected[1:] / (around**2).sum(), atol=1e-12)
    # The band of the split with the fewest windows is the wider one.
    np.testing.assert_allclose(band(right), [-1.96 / 5, 1.96 / 5])
    assert legend(right) == ["train", "val", "white noise, 95 %"]
    bottom, top = right.get_ylim()
    assert bottom < -1 < 1 < top


@pytest.mark.parametrize("count", [1, 2, 30])
def test_residuals_that_never_change_have_no_autocorrelation(count):
    left, right = residual_plots.residuals({"train": torch.full((count,), 0.5)}).axes
    assert lines(right)["train"] == points(range(1, count), [0] * (count - 1))
    assert sum(left.patches[0].get_data().values) == pytest.approx(100)
    assert left.get_title() == "RMSE: train 5.0e-01"
    np.testing.assert_allclose(band(right)[1], 1.96 / count**0.5)


# The gradient, step by step


def traced(steps=7, dtype=torch.float64):
    net = SinRNN(2, 5, 3, dtype=dtype)
    return trace(net, torch.randn(6, steps, 2, dtype=dtype), torch.randn(6, 3, dtype=dtype))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_gradient_flow_carries_the_flow_its_band_and_the_cosines(dtype):
    found = traced(dtype=dtype)
    left, right = plots.gradient_flow(found).axes
    (flow,), (cosine,) = left.lines, right.lines
    low, median, high = gradient_flow(found)
    assert flow.get_xydata().tolist() == points(range(1, 8), median)
    drawn = {(x, y) for path in left.collections[0].get_paths() for x, y in path.vertices}
    assert drawn == set(map(tuple, points(range(1, 8), low) + points(range(1, 8), high)))
    assert legend(left) == ["median window", "10 to 90 %"]
    assert left.get_title() == "7 of 7 steps receive gradient"
    assert cosine.get_xydata().tolist() == points(range(1, 8), map(found.cosine, range(1, 8)))
    assert cosine.get_ydata()[-1] == pytest.approx(1, abs=1e-12)
    assert left.get_yscale() == "log"
    assert names(left, right) == [
        ("step t of the window", "|dLoss/dh[t]| / |dLoss/dh[T]|"),
        ("bptt_steps k, steps that the gradient reaches back", "cosine with the full gradient"),
    ]


def test_gradient_flow_of_a_long_window_has_forty_cosines_from_the_first_to_the_last():
    left, right = plots.gradient_flow(traced(100)).axes
    depths = right.lines[0].get_xdata()
    assert len(left.lines[0].get_xdata()) == 100
    assert (len(depths), depths[0], depths[-1]) == (40, 1, 100)
    assert np.abs(depths - np.linspace(1, 100, 40)).max() <= 0.5
    assert right.lines[0].get_ydata()[-1] == pytest.approx(1, abs=1e-12)


def test_gradient_flow_leaves_out_steps_without_any():
    found = traced()
    found.grad_h[:, :2] = found.grad_a[:, :2] = 0
    left, right = plots.gradient_flow(found).axes
    drawn = [x for line in left.lines for x, y in line.get_xydata() if np.isfinite(y)]
    assert drawn == list(range(3, 8))
    assert left.get_xlim() == right.get_xlim()  # their places are to be seen
    assert left.get_title() == "5 of 7 steps receive gradient"


def test_gradient_flow_says_that_there_is_none():
    found = traced()
    found.grad_h[:] = found.grad_a[:] = 0
    figure = plots.gradient_flow(found)
    (axis,) = figure.axes
    assert not axis.axison
    assert axis.get_title() == "no gradient"  # in the words of the diagnosis
    assert [text.get_text() for text in axis.texts] == [
        "dLoss/dh[t] is 0 at every step of every window"
    ]
    assert png(figure)


@pytest.mark.parametrize(("bptt_steps", "at"), [(None, []), (3, [3]), (7, [7]), (8, [])])
def test_gradient_flow_marks_a_depth_within_the_window(bptt_steps, at):
    _, right = plots.gradient_flow(traced(), bptt_steps).axes
    assert [line.get_xdata()[0] for line in right.lines[1:]] == at
    assert (legend(right) if at else right.get_legend()) == (
        [f"bptt_steps in training: {bptt_steps}"] if at else None
    )


def test_gradient_flow_of_a_single_step():
    found = traced(1)
    left, right = plots.gradient_flow(found, 1).axes
    assert left.lines[0].get_xydata().tolist() == [[1, 1]]
    assert right.lines[0].get_xydata().tolist() == [[1, pytest.approx(1, abs=1e-12)]]


def test_gradient_flow_shows_a_truncation_that_turns_the_gradient_round():
    grad = torch.tensor([[[3.0], [-1.0], [0.0]]])
    against = Trace(torch.zeros(()), torch.ones(1, 3, 1), torch.zeros(1, 4, 1), grad, grad)
    assert [against.cosine(2), against.cosine(3)] == pytest.approx([-1, 1])
    for found, low in ((against, -1.05), (traced(), -0.05)):
        _, right = plots.gradient_flow(found).axes
        np.testing.assert_allclose(right.get_ylim(), (low, 1.05))


def test_gradient_flow_counts_in_whole_steps():
    for axis in plots.gradient_flow(traced(2)).axes:
        assert all(tick == round(tick) for tick in axis.get_xticks())


# What all pictures share


def lightness(color, protanope):
    """L* of CIELAB as people see it, or as those who see no red (Vienot, Brettel, Mollon 1999)."""
    c = np.array(to_rgb(color))
    rgb = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
    if protanope:
        yellow = 0.11238 * rgb[0] + 0.88762 * rgb[1]
        rgb = np.array([yellow, yellow, rgb[2] + 0.00401 * (rgb[0] - rgb[1])])
    return 116 * np.cbrt(rgb @ [0.2126, 0.7152, 0.0722]) - 16


@pytest.mark.parametrize("protanope", [False, True])
def test_colors_differ_in_lightness(protanope):
    names = ("TRUTH", "SECOND", "NETWORK", "GREY")
    seen = [lightness(getattr(_drawing, name), protanope) for name in names]
    assert np.diff(seen).min() > 15
    assert seen[-1] < 75  # and from white


@pytest.mark.parametrize(("steps", "mark"), [(20, "o"), (21, "None")])
def test_marks_that_would_merge_are_left_out(steps, mark):
    window = (0, torch.arange(float(steps)), 1.0, 2.0)
    (axis,) = plots.sample_windows({"train": [window]}, 1).axes
    flow, cosines = plots.gradient_flow(traced(steps)).axes
    assert {axis.lines[0].get_marker() for axis in (axis, flow, cosines)} == {mark}


# Files


def still():
    """A backtest of what never moves."""
    found = backtest_report(error=0, spread=0.0)
    found.test.truth[:] = found.test.prediction[:] = found.test.last[:, None]
    return found


def left(*errors):
    return residual_plots.residuals({"train": torch.tensor(errors)})


FIGURES = {
    "losses": (loss_figure, 5),
    "predictions": (prediction_figure, 5),
    "windows": (window_figure, 5.2),
    "starts": (starts_figure, 6),
    "rollout": (lambda: plots.rollout(closed()), 5),
    "residuals": (lambda: residual_plots.residuals(left_over()), 3.6),
    "residuals of rounding": (lambda: left(0.5, 0.5 + 2**-53, 0.5 + 2**-52), 3.6),
    "residuals, nan": (lambda: left(*[np.nan] * 3), 3.6),
    "residuals, inf": (lambda: left(1.0, np.inf, 2.0), 3.6),
    "flow": (lambda: plots.gradient_flow(traced(), 3), 3.6),
    "backtest": (lambda: plots.backtest(backtest_report()), 3.8),
    "backtest of what stands still": (lambda: plots.backtest(still()), 3.8),
    "forecast": (lambda: plots.forecast(BEFORE, ahead(0.5, 0.25, np.nan)), 4),
}


@pytest.mark.parametrize("name", FIGURES)
def test_png_is_the_picture_as_a_file(name):
    draw, height = FIGURES[name]
    made = png(draw())
    assert made.startswith(b"\x89PNG\r\n\x1a\n")
    assert made.endswith(b"IEND\xaeB`\x82")
    assert struct.unpack(">II", made[16:24]) == (9 * 150, round(height * 150))
    assert len(made) > 5000


def test_a_long_curve_keeps_its_extremes():
    values = np.sin(np.arange(60_001.0))
    values[31_234], values[-1] = 7.0, -5.0
    kept = _drawing.thinned(values)
    assert len(kept) < 2.1 * _drawing.DRAWN
    assert {31_234, 60_000} <= set(kept.tolist())
    assert (np.diff(kept) > 0).all()
    assert _drawing.thinned(values[:4000]).tolist() == [*range(4000)]  # few are drawn as they are
