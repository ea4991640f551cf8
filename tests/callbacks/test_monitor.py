"""Monitor: what TensorBoard and metrics.csv show, against the run that they show."""

import copy
import csv
import itertools
import math
import random
import re
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import fitting
import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from cases import BITS
from fitting import LR, Wave, inner
from lightning.pytorch.demos.boring_classes import BoringModel
from lightning.pytorch.loggers import CSVLogger
from matplotlib.figure import Figure
from ramp import Given
from strangers import work_in
from tensorboard.backend.event_processing import event_accumulator
from tensorboard.plugins.custom_scalar.layout_pb2 import Layout
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
from torch.optim import SGD
from torch.optim.lr_scheduler import StepLR
from torch.utils.tensorboard import SummaryWriter

from sinrnn import Sine
from sinrnn.callbacks import _time_budget, final_report, monitor
from sinrnn.callbacks._time_budget import TimeBudget
from sinrnn.callbacks.monitor import Monitor
from sinrnn.callbacks.progress_bar import Progress
from sinrnn.callbacks.tensorboard import add_histogram, config_text
from sinrnn.cli import train as cli
from sinrnn.data.windows import predict
from sinrnn.evaluation.metrics import gradient_flow
from sinrnn.nn.trace import trace
from sinrnn.training.forecaster import Forecaster
from sinrnn.training.loggers import Events

ENDS = [4, 8, 12]  # three epochs of four batches: of 16, 16, 16 and 8 windows
RIVALS = ("persistence", "linear_extrapolation", "autoregression_AR_4")
SHORT = {"rtol": 1e-6, "atol": 1e-6}  # TensorBoard keeps scalars as float32
NORM = {"gradient_clip_val": 0.9, "gradient_clip_algorithm": "norm"}
VALUE = {"gradient_clip_val": 0.4, "gradient_clip_algorithm": "value"}
OFF = {"gradient_clip_val": -1.0}, {"gradient_clip_val": 0.0}
allows = TimeBudget.allows


@pytest.fixture(autouse=True)
def _time_for_everything(monkeypatch):
    """What is shown shall not depend on how long it takes; NOISE is left out."""
    monkeypatch.setattr(TimeBudget, "allows", lambda self: True)
    cli.quiet()


# Every network without biases foretells it.
SILENCE = Given(torch.zeros(100, dtype=torch.float64))


def series(**options):
    return Wave(3.0, **options)


class Witness(pl.Callback):
    """Keeps the weights and the last gradient of every validation."""

    def __init__(self):
        self.seen = []

    def on_before_optimizer_step(self, trainer, pl_module, optimizer):
        self.grads = {name: w.grad.clone() for name, w in pl_module.net.named_parameters()}

    def on_validation_epoch_end(self, trainer, pl_module):
        pl_module.log("another", 1.0)

    def on_validation_end(self, trainer, pl_module):
        self.seen.append((copy.deepcopy(pl_module.net), self.grads))


class Stranger(BoringModel):
    """A module that is none of ours, with a loss of that name."""

    def on_validation_epoch_end(self):
        self.log("half_mse/val", torch.ones(()))


def windows(given=None, **options):
    return fitting.windows(given or series(), **options)


def small(**options):
    return fitting.small(**({"standardise": True} | options))


def board(folder):
    return Events(folder, "", "", default_hp_metric=False)


def trainer(folder, *callbacks, **options):
    """With both loggers; everything is shown but pictures, where no monitor is given."""
    given = {"log_every_n_steps": 0, "logger": [board(folder), CSVLogger(folder, "", "")]}
    shown = callbacks or [Monitor(pictures=False)]
    return fitting.trainer(callbacks=list(shown), **(given | options))


def fit(folder, model, data, *callbacks, **options):
    """Train; returns what is shown."""
    trainer(folder, *callbacks, **options).fit(model, data)
    return shown(folder)


def shown(folder):
    """All that a run shows: TensorBoard's events, tags and curves, and metrics.csv by column."""
    everything = dict.fromkeys(event_accumulator.DEFAULT_SIZE_GUIDANCE, 0)
    events = event_accumulator.EventAccumulator(str(folder), everything).Reload()
    found = events.Tags()
    tags = {"graph"} if found["graph"] else set()
    for kind in ("scalars", "images", "histograms"):
        tags |= set(found[kind])
    steps, curves, columns = {}, {}, {}
    for tag in found["scalars"]:
        steps[tag] = [event.step for event in events.Scalars(tag)]
        curves[tag] = [event.value for event in events.Scalars(tag)]
    if (folder / "metrics.csv").exists():
        with (folder / "metrics.csv").open() as file:
            header, *rows = csv.reader(file)
        columns = dict(zip(header, map(list, zip(*rows, strict=True)), strict=True))
    tags |= set(events.summary_metadata)
    return SimpleNamespace(events=events, tags=tags, steps=steps, curves=curves, columns=columns)


def numbers(run, name):
    """A column of metrics.csv from the first validation on."""
    return np.array([float(cell) for cell in run.columns[name][1:]])


def by_hand(model, data, **clip):
    """Losses, gradient norms and shares clipped, by step."""
    return fitting.by_hand(model.net, data, *clip.values(), standardise=True)[1]


# In every logger


@pytest.mark.parametrize("every", [4, 2])
@pytest.mark.parametrize("clip", [{}, *OFF, NORM, {"gradient_clip_val": 0.9}, VALUE])
def test_gradients_are_those_before_clipping_since_the_last_validation(tmp_path, clip, every):
    model, data = small(), windows()
    _, norms, shares = (row.reshape(-1, every) for row in by_hand(model, data, **clip))
    expected = {"norm": norms.mean(1), "norm_max": norms.max(1)}
    if clip.get("gradient_clip_val", 0) > 0:
        expected |= {"clipped": shares.mean(1), "clipped_steps": (shares > 0).mean(1)}
        assert 0 < (shares > 0).mean() < 1
    run = fit(tmp_path, model, data, val_check_interval=every, **clip)
    assert {name for name in run.columns if "grad" in name} == {f"gradient/{n}" for n in expected}
    for name, values in expected.items():
        np.testing.assert_allclose(numbers(run, f"gradient/{name}"), values, rtol=1e-9)


@pytest.mark.parametrize("gradients", [False, True])
def test_learning_rate_is_that_of_the_steps_shown(tmp_path, gradients):
    model = small(scheduler=partial(StepLR, step_size=1, gamma=0.1))
    run = fit(tmp_path, model, windows(), Monitor(pictures=False, gradients=gradients))
    assert numbers(run, "learning_rate") == pytest.approx([LR, LR / 10, LR / 100])
    assert hparams(run)["lr"] == LR


@pytest.mark.parametrize("sanity", [0, 1])
def test_each_validation_is_one_row_and_every_curve_has_its_step(tmp_path, sanity):
    run = fit(tmp_path, small(), windows(), num_sanity_val_steps=sanity, **VALUE)
    assert run.columns.pop("step") == ["0", *map(str, ENDS)]
    assert run.columns["epoch"] == ["", "0", "1", "2"]
    before = {"half_mse/train", "half_mse/val"}
    assert {name for name, column in run.columns.items() if column[0]} == before
    for name in run.columns.keys() - {"epoch"}:
        curve = name.replace("gradient/", "optimizer/gradient_")
        curve = curve.replace("learning_rate", "optimizer/learning_rate")
        np.testing.assert_allclose(run.curves[curve][-3:], numbers(run, name), **SHORT)
    for name, steps in run.steps.items():
        assert steps == ([0, *ENDS] if "half_mse/" in name else ENDS), name
    assert run.curves["val half_mse"] == run.curves["half_mse/val"][1:]


@pytest.mark.parametrize(("every", "accumulated"), [(0, 1), (1, 1), (2, 1), (1, 2)])
def test_batch_losses_show_that_a_long_epoch_moves(tmp_path, every, accumulated):
    model, data = small(), windows()
    losses, _, _ = by_hand(model, data)
    options = {"log_every_n_steps": every, "accumulate_grad_batches": accumulated}
    run = fit(tmp_path, model, data, **options)
    found = run.curves.get("half_mse/batch", [])
    if accumulated > 1:  # the first batch before any step, and whole
        assert found[0] == pytest.approx(losses[0], rel=1e-6)
        return
    steps = list(range(every, 13, every)) if every else []
    assert run.steps.get("half_mse/batch", []) == steps
    np.testing.assert_allclose(found, [losses[step - 1] for step in steps], **SHORT)


# What the losses must beat


@pytest.mark.parametrize("fitted", [20_000, 12])
@pytest.mark.parametrize("given", [series(), series(val=1e-14), Sine(100)])
def test_losses_stand_beside_the_baselines_that_numpy_makes(tmp_path, monkeypatch, given, fitted):
    monkeypatch.setattr(monitor, "FITTED", fitted)
    data = windows(given, horizon=2)
    splits = [data.windows[name].sample(fitted) for name in ("train", "val")]
    (x, y), (v, w) = ((x[..., 0].numpy(), y[:, 0].numpy()) for x, y in splits)
    solved = np.linalg.lstsq(np.c_[x, np.ones(len(x))], y)[0]
    made = (v[:, -1], 3 * v[:, -1] - 2 * v[:, -2], np.c_[v, np.ones(len(v))] @ solved)
    run = fit(tmp_path, small(), data)
    losses = {
        name: np.array([float(cell) for cell in run.columns[f"half_mse/{name}"]])
        for name in ("train", "val")
    }
    logs, skills = {name: np.log10(loss) for name, loss in losses.items()}, {}
    for name, prediction in zip(RIVALS, made, strict=True):
        loss = ((prediction - w) ** 2).mean() / 2
        if loss > 1e-26 * w.var():  # below it, it is exact
            logs[f"val_{name}"] = 4 * [np.log10(loss)]
            skills[name] = 1 - losses["val"][1:] / loss  # before training it would squeeze the rest
    assert len(skills) == (2 if isinstance(given, Sine) else 3)
    for kind, expected in {"skill/": skills, "log10_half_mse/": logs}.items():
        found = {name.removeprefix(kind) for name in run.curves if name.startswith(kind)}
        assert found == set(expected)
        for name, values in expected.items():
            np.testing.assert_allclose(run.curves[kind + name], values, **SHORT)


def test_losses_are_not_shown_at_steps_without_a_validation(tmp_path):
    run = fit(tmp_path, small(), windows(), check_val_every_n_epoch=2)
    assert run.steps["log10_half_mse/val"] == [0, 8]
    assert run.steps["skill/persistence"] == [8]


# The network in detail


@pytest.mark.parametrize(("window", "count"), [(4, 4), (12, 12), (25, 16)])
def test_health_and_flow_are_those_of_the_weights_at_the_time(tmp_path, window, count):
    witness, data = Witness(), windows(series(points=200), window=window, batch_size=0)
    model = small(init="notebook", bptt_steps=2)
    run = fit(tmp_path, model, data, witness, Monitor(pictures=False))
    flows = sorted(name for name in run.curves if name.startswith("states/gradient_flow"))
    steps = np.linspace(1, window, count).round().astype(int)
    assert [int(name.removeprefix("states/gradient_flow_t_")) for name in flows] == list(steps)
    assert "log10_another" not in run.curves
    x, y = inner(data.windows["train"].view(slice(None)), data)
    for i, (net, _) in enumerate(witness.seen):
        radius = np.abs(np.linalg.eigvals(net.Whh.detach().numpy())).max()
        saturated = (net.unroll(x)[0][:, -1].abs() > 0.99).double().mean().item()
        assert 0 < saturated < 1
        assert run.curves["weights/spectral_radius_Whh"][i] == pytest.approx(radius, rel=1e-6)
        assert run.curves["states/saturated"][i] == pytest.approx(saturated, rel=1e-6)
        found = [run.curves[name][i] for name in flows]
        expected = gradient_flow(trace(net, x, y))[1]  # as picture and diagnosis have it
        np.testing.assert_allclose(found, expected[steps - 1], rtol=1e-6)


def test_histograms_are_of_every_weight_and_its_last_gradient(tmp_path):
    witness = Witness()
    run = fit(tmp_path, small(bias=True), windows(), witness, Monitor(pictures=False))
    found = set(run.events.Tags()["histograms"])
    names = ("Wih", "Whh", "Who", "bh", "bo")
    assert found == {f"weights/{name}{of}" for of in ("", "_gradient") for name in names}
    for tag in found:
        _, name, of = re.split("[/_]", f"{tag}_")[:3]
        events = run.events.Histograms(tag)
        assert [event.step for event in events] == ENDS
        for event, (net, grads) in zip(events, witness.seen, strict=True):
            v = (grads if of else net.state_dict())[name].numpy().ravel()
            h, (counts, edges) = event.histogram_value, np.histogram(v, 30)
            expected = (v.min(), v.max(), v.size, v.sum(), (v**2).sum())
            assert (h.min, h.max, h.num, h.sum, h.sum_squares) == pytest.approx(expected)
            assert (h.bucket, h.bucket_limit) == (list(counts), pytest.approx(edges[1:]))


EQUAL = [([0.0, 0.0], 1), ([1e8, 1e8 + 1e-6], 1), ([1e-300, 2e-300], 1), ([1e16], 2e7)]
APART = [([1.0, 1 + 1e-6], 1e-6), ([-1e-200, 1e-200], 2e-200), ([-1e200, 1e200], 2e200)]
INFINITE = [([1.0, math.nan], None), ([1.0, math.inf], None)]


@pytest.mark.parametrize(("values", "width"), [*EQUAL, *APART, *INFINITE])
def test_histograms_have_room_for_all_that_is_finite(tmp_path, values, width):
    with SummaryWriter(tmp_path) as writer:
        add_histogram(writer, "weights/w", torch.tensor(values), 7)
    assert shown(tmp_path).tags == (set() if width is None else {"weights/w"})
    if width is not None:
        h = shown(tmp_path).events.Histograms("weights/w")[0].histogram_value
        assert (sum(h.bucket), h.min, h.max) == (len(values), min(values), max(values))
        found = (h.bucket_limit[-1] - h.bucket_limit[0]) * 30 / 29
        assert found == pytest.approx(width, rel=1e-5)


# A run's parts, its texts and its end

PARTS = {
    "gradients": {
        f"optimizer/gradient_{n}" for n in ("norm", "norm_max", "clipped", "clipped_steps")
    },
    "health": {"weights/spectral_radius_Whh", "states/saturated"},
    "flow": {f"states/gradient_flow_t_{t}" for t in (1, 2, 3, 4)},
    "histograms": {f"weights/{n}{of}" for of in ("", "_gradient") for n in ("Wih", "Whh", "Who")},
    "pictures": {"pictures/rollout", "pictures/after"},
    "hparams": {"val half_mse", "_hparams_/experiment"}
    | {f"_hparams_/session_{when}_info" for when in ("start", "end")},
    "texts": {"run_config/text_summary", "report/text_summary"},
    "graph": {"graph"},
}
ALWAYS = {"half_mse/val", "half_mse/train", "half_mse/batch", "custom_scalars__config__"}
ALWAYS |= {"log10_half_mse/train", "log10_half_mse/val", "optimizer/learning_rate"}
for _name in RIVALS[:2]:
    ALWAYS |= {f"log10_half_mse/val_{_name}", f"skill/{_name}"}
HIDDEN = {"custom_scalars__config__", "_hparams_", "graph", "run_config", "report"}
SMALL = """
name: small
data: {series: {class_path: sinrnn.Sine, init_args: {points: 100}}, batch_size: 16}
model: {hidden_size: 5, optimizer: {class_path: torch.optim.SGD, init_args: {lr: 0.1}}}
trainer: {max_epochs: 2, accelerator: cpu, gradient_clip_val: 1.0, log_every_n_steps: 2}
"""


@pytest.fixture
def command(tmp_path, monkeypatch):
    """Run the small config with further arguments and two quick pictures: gives its folder."""
    work_in(tmp_path, monkeypatch)
    monkeypatch.setattr(final_report, "pictures", lambda *args: {"after": partial(Figure, (1, 2))})
    monkeypatch.setattr(monitor, "pictures", lambda *args: {"rollout": partial(Figure, (2, 1))})
    (tmp_path / "small.yaml").write_text(SMALL)

    def call(*args):
        assert cli.main(["--config", "small.yaml", *args]) == 0
        return Path("runs/small/version_0")

    return call


def test_losses_come_first_where_names_are_sorted():
    groups = sorted({tag.partition("/")[0] for tag in ALWAYS.union(*PARTS.values())} - HIDDEN)
    assert groups[:2] == ["half_mse", "log10_half_mse"]
    assert sorted(PARTS["texts"])[0].startswith("report/")


@pytest.mark.parametrize("part", [None, *PARTS])
def test_each_part_can_be_left_out_and_the_others_stay(command, part):
    folder = command(*([f"--monitor.{part}", "false"] if part else []))
    rest = (own for name, own in PARTS.items() if name != part)
    assert shown(folder).tags == ALWAYS.union(*rest)


@pytest.mark.parametrize(("window", "steps", "bits"), [(7, 4, 64), (2, 2, 32)])
def test_end_of_a_run_is_shown_as_it_is_kept(command, window, steps, bits):
    torch.set_default_dtype(torch.float32)  # as in a process of its own
    options = ("--data.window", f"{window}", "--trainer.precision", f"{bits}-true")
    folder = command("--keep", "last", *options)
    run = shown(folder)
    texts = [run.events.Tensors(f"{name}/text_summary") for name in ("run_config", "report")]
    assert [event.step for (event,) in texts] == [0, 8]
    config, report = (event.tensor_proto.string_val[0].decode() for (event,) in texts)
    assert config == config_text((folder / "config.yaml").read_text())
    picture = "\n![after](figures/after.png)\n"
    assert f"# {folder}\n\n{report}\n{picture}" == (folder / "report.md").read_text()
    during, after = (run.events.Images(f"pictures/{name}") for name in ("rollout", "after"))
    assert [event.step for event in (*during, *after)] == [4, 8, 8]
    assert after[0].encoded_image_string == (folder / "figures" / "after.png").read_bytes()
    assert during[0].encoded_image_string.startswith(b"\x89PNG")
    val = numbers(run, "half_mse/val")
    assert run.steps["val half_mse"] == [4, 8, 8]
    assert run.curves["val half_mse"] == pytest.approx([*val, val[-1]], rel=1e-5)
    nodes = [node.attr["_output_shapes"].list.shape for node in run.events.Graph().node]
    sizes = [[dim.size for dim in shape.dim] for shapes in nodes for shape in shapes]
    assert [1, steps, 1] in sizes  # four steps of the window, for the rest looks the same


def test_end_of_a_run_has_no_loss_to_show_where_nothing_was_validated(command):
    found = shown(command("--trainer.limit_val_batches", "0")).tags
    assert found & PARTS["hparams"] == set()
    assert found > PARTS["texts"] | PARTS["graph"]


def test_config_is_shown_without_what_the_trainer_was_not_given():
    config = "name: a\ntrainer:\n  max_time: null\n  callbacks:\n  - b\n  max_steps: -1\n"
    shown = "name: a\ntrainer:\n  callbacks:\n  - b\n  max_steps: -1\n"
    model = "model:\n  bptt_steps: null\n  scheduler: null\n"
    assert config_text(config + model) == f"```yaml\n{shown}{model}\n```"


def hparams(run):
    """What HPARAMS lists of a run."""
    content = run.events.PluginTagToContent("hparams")["_hparams_/session_start_info"]
    found = HParamsPluginData.FromString(content).session_start_info.hparams
    return {name: getattr(value, value.WhichOneof("kind")) for name, value in found.items()}


def test_hparams_tell_one_run_from_another_and_begin_with_what_matters(tmp_path):
    run = fit(tmp_path, small(), windows(), **NORM)
    content = run.events.PluginTagToContent("hparams")["_hparams_/experiment"]
    experiment = HParamsPluginData.FromString(content).experiment
    assert [metric.name.tag for metric in experiment.metric_infos] == ["val half_mse"]
    columns = sorted((not column.differs, column.name) for column in experiment.hparam_infos)
    first = ["hidden_size", "lr", "optimizer", "window"]  # as TensorBoard sorts them
    assert [name for _, name in columns][:5] == [*first, "batch_size"]
    model = {"input_size": 1, "hidden_size": 5, "output_size": 1, "init": "orthogonal"}
    model |= {"bptt_steps": "none", "readout_epoch": "none", "readout_rcond": 1e-10}
    model |= dict.fromkeys(("bias", "log", "relative", "linear", "stateful"), "false")
    model |= {"standardise": "true", "updates": "batch", "loss": "last", "input_noise": 0.0}
    model |= {"units": "given"}
    data = {"series": "Wave", "window": 4, "horizon": 1, "batch_size": 16}
    rest = {"optimizer": "SGD", "lr": LR, "max_epochs": 3, "gradient_clip_val": 0.9, "seed": 5}
    assert hparams(run) == model | data | rest
    assert len(columns) == len(model | data | rest)


def charts(run):
    """The names of the curves that each chart of Custom Scalars takes, by its title."""
    (event,) = run.events.Tensors("custom_scalars__config__")
    groups = Layout.FromString(event.tensor_proto.string_val[0]).category
    found = {chart.title: chart.multiline.tag for group in groups for chart in group.chart}
    return {
        title: sorted(name for name in run.curves if re.match(pattern, name))
        for title, (pattern,) in found.items()
    }


def test_charts_show_the_losses_beside_what_they_must_beat_and_none_is_empty(tmp_path):
    found = charts(fit(tmp_path / "clipped", small(), windows(), **NORM))
    both, beside = ["train", "val"], sorted(f"val_{name}" for name in RIVALS)
    loss = found.pop("log10 of half_mse, with the baselines on val")
    assert loss == [f"log10_half_mse/{name}" for name in both + beside]
    assert list(found) == [
        "skill on val",
        "norm before clipping",
        "share clipped: entries, steps",
        "|dLoss/dh[t]| / |dLoss/dh[T]|, median window",
    ]
    assert [len(names) for names in found.values()] == [3, 2, 2, 4]
    without = fit(tmp_path / "not", small(), windows(), Monitor(flow=False, pictures=False))
    assert [*charts(without)][1:] == ["skill on val", "norm before clipping"]


def test_runs_with_different_windows_share_their_charts(tmp_path):
    runs = [
        fit(tmp_path / f"{window}", small(), windows(window=window), **NORM).events
        for window in (4, 7)
    ]
    one, other = (run.Tensors("custom_scalars__config__")[0].tensor_proto for run in runs)
    assert one == other  # TensorBoard shows what differs twice


# The monitor's own time


def test_allowance_is_a_share_of_the_time_at_the_last_cost(monkeypatch):
    now = SimpleNamespace(time=100.0)
    monkeypatch.setattr(_time_budget, "time", SimpleNamespace(perf_counter=lambda: now.time))
    monkeypatch.setattr(TimeBudget, "allows", allows)
    share, found = TimeBudget(0.25, 2.0), []
    # Allowed from 2 / 0.25 s on; then from (3 + 3) / 0.25; at once; and not yet (7 + 3) / 0.25.
    for passed, cost in ((7.5, 0), (0.5, 3), (12.5, 0), (0.5, 1), (0, 3), (11.5, 0), (0.5, 1)):
        now.time += passed
        found.append(share.allows())
        if cost:
            with share:
                now.time += cost
    assert found == [False, True, False, True, True, False, True]


@pytest.mark.parametrize("allowed", [0, 2])
def test_monitor_keeps_to_its_shares_and_yet_shows_the_end(tmp_path, monkeypatch, allowed):
    asked = []

    def once(self):
        asked.append((self.share, self.needed, self.spent))
        return len(asked) <= allowed

    monkeypatch.setattr(TimeBudget, "allows", once)
    monkeypatch.setattr(monitor, "pictures", lambda *args: {"rollout": Figure})
    run = fit(tmp_path, small(), windows(), Monitor())
    assert asked[:2] == [(0.02, 0.0, 0.0), (0.02, 0.2, 0.0)]
    assert [share for share, _, _ in asked] == [0.02, 0.02] * 3
    assert all(needed == spent > 0 for _, needed, spent in asked[2:]) is bool(allowed)
    assert run.steps["states/saturated"] == [4, 12][-1 - allowed :]
    assert run.steps["log10_half_mse/val"] == [0, *ENDS]  # losses wait for nothing
    assert run.steps["val half_mse"] == run.steps["skill/persistence"] == ENDS


# Pictures during training

DRAWN = ["rollout", "predictions_val"]


def points(figure):
    """All lines of a picture, in place of the picture, which takes longer."""
    lines = [line.get_xydata() for axis in figure.axes for line in axis.lines]
    return b"".join(np.ascontiguousarray(line).tobytes() for line in lines)


def test_pictures_come_one_after_the_other(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(monitor, "png", lambda figure: drawn.append(figure.axes[0].lines) or b"")
    monkeypatch.setattr(monitor, "PICTURED", 10)
    model, data = Forecaster(hidden_size=5, optimizer=partial(SGD, lr=0.0)), windows()
    events = fit(tmp_path, model, data, Monitor()).events
    tags = {event.step: tag for tag in events.Tags()["images"] for event in events.Images(tag)}
    assert [tags[step] for step in sorted(tags)] == [f"pictures/{n}" for n in (*DRAWN, DRAWN[0])]
    target, prediction = (line.get_ydata() for line in drawn[DRAWN.index("predictions_val")][:2])
    np.testing.assert_allclose(target, data.windows["val"].targets[:10], rtol=1e-12)
    expected = predict(model, data.windows["val"])[:10]
    np.testing.assert_allclose(prediction, expected, rtol=1e-12)
    first = min(line.get_xdata().min() for line in drawn[DRAWN.index("rollout")])
    assert first == 60  # where the validation split starts


@pytest.mark.parametrize("name", DRAWN)
def test_pictures_never_look_at_the_test_split(tmp_path, monkeypatch, name):
    monkeypatch.setattr(monitor, "png", points)
    seen = []
    for folder, test in ((tmp_path / "one", 0.0), (tmp_path / "other", 1.0)):
        torch.manual_seed(1)
        own = Monitor()
        own.drawn = DRAWN.index(name)
        run = fit(folder, small(), windows(series(test=test)), own, max_epochs=1)
        seen += [event.encoded_image_string for event in run.events.Images(f"pictures/{name}")]
    assert seen[0] == seen[1]


# What it leaves alone


@pytest.mark.parametrize("updates", ["batch", "window"])
def test_training_is_the_same_to_the_bit_with_a_monitor_and_without(tmp_path, updates):
    ends = []
    for name, callback in (("with", Monitor()), ("without", pl.Callback())):
        torch.manual_seed(1)
        np.random.seed(1)  # noqa: NPY002 - code may draw from the global generator
        random.seed(1)
        model = small(updates=updates)
        fit(tmp_path / name, model, windows(), callback, log_every_n_steps=1)
        drawn = torch.tensor([np.random.random(), random.random()])  # noqa: NPY002
        ends.append((model.state_dict(), torch.get_rng_state(), drawn))
    torch.testing.assert_close(*ends, **BITS)


KINDS = {tag.split("/")[0] for tag in ALWAYS.union(*PARTS.values())}
KINDS -= {"pictures", "run_config", "report", "graph"}
DATA = {"skill", "custom_scalars__config__"}
STEPS = {"optimizer", "val half_mse", "_hparams_", "skill"}
LOST = {
    "no data module": DATA | {"states"},
    "another module": KINDS - {"half_mse", "log10_half_mse"},
    "no validation": STEPS,
    "no epoch": KINDS - {"weights", "states"},
    "no gradient of Whh": set(),
    "no loss": {"skill", "log10_half_mse"},
}


@pytest.mark.parametrize("case", LOST)
def test_what_is_not_there_is_not_shown(tmp_path, case):
    silent = case == "no loss"
    data = windows(SILENCE) if silent else windows()
    given = {"model": small(standardise=not silent), "datamodule": data}
    given["model"].net.Whh.requires_grad_(case != "no gradient of Whh")
    if case == "no data module":
        del given["datamodule"]
        given["model"].predictor.calibrate(data.windows["train"])
        given |= {"train_dataloaders": data.train_dataloader()}
        given |= {"val_dataloaders": data.val_dataloader()}
    elif case == "another module":
        given = {"model": Stranger()}
    limits = {"no validation": {"limit_val_batches": 0}, "no epoch": {"max_epochs": 0}}
    own = Monitor(pictures=case == "no data module")
    trainer(tmp_path, own, log_every_n_steps=1, **limits.get(case, {})).fit(**given)
    assert {tag.split("/")[0] for tag in shown(tmp_path).tags} == KINDS - LOST[case]


def test_validation_alone_shows_what_lightning_does(tmp_path):
    trainer(tmp_path).validate(small(), windows(), verbose=False)
    names = {f"{of}half_mse/{name}" for of in ("", "log10_") for name in ("train", "val")}
    assert shown(tmp_path).tags == names


def test_other_processes_show_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(pl.Trainer, "is_global_zero", False)
    run = fit(tmp_path, small(), windows(), log_every_n_steps=1)
    rows = {"half_mse", "log10_half_mse", "optimizer"}  # of the loggers, which know their process
    assert {tag.partition("/")[0] for tag in run.tags} == rows


def test_any_loggers_show_what_they_can(tmp_path):
    table, one, two = (tmp_path / name for name in ("table", "one", "two"))
    trainer(tmp_path, logger=[]).fit(small(), windows())
    assert not list(tmp_path.iterdir())
    for loggers in ([CSVLogger(table, "", "")], [board(one), board(two)]):
        trainer(tmp_path, logger=loggers).fit(small(), windows())
    assert {path.name for path in table.iterdir()} == {"metrics.csv", "hparams.yaml"}
    assert len(numbers(shown(table), "gradient/norm")) == 3
    assert shown(one).tags == shown(two).tags >= PARTS["hparams"] | PARTS["flow"]


# The terminal


@pytest.mark.parametrize(("terminal", "tenths"), [(True, [0, 3, 6, 10, 10]), (False, [0, 10])])
def test_progress_moves_in_a_terminal_and_leaves_few_lines_in_a_log(
    tmp_path, monkeypatch, capsys, terminal, tenths
):
    seconds = itertools.count(1e9)  # one each time that the bar looks
    monkeypatch.setattr("tqdm.std.time", lambda: next(seconds))
    monkeypatch.setattr("sys.stdout.isatty", lambda: terminal)
    fit(tmp_path, small(), windows(), Progress(), enable_progress_bar=True)
    lines = capsys.readouterr().out.strip().split("\r")
    assert [line.count("█") for line in lines] == tenths
    assert re.fullmatch(r"epoch 3/3, val=\S+e-\d\d, train=\S+e-\d\d \|█{10}\| .*", lines[-1])
