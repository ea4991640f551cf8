"""Scalars, histograms, images, charts and hyperparameters for TensorBoard."""

import re
import warnings
from collections.abc import Iterator
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams

from sinrnn.data.datamodule import windows_of
from sinrnn.forecasting.predictor import Predictor
from sinrnn.nn.rnn import SinRNN
from sinrnn.training.forecaster import Forecaster

FLOWS = 16  # steps of the window with a curve of the gradient flow
GRAPHED = 4  # steps of the window in the graph; all steps look the same
METRIC = "val half_mse"  # of HPARAMS; at the end, that of the saved weights
FIRST = ("hidden_size", "lr", "optimizer", "window")  # columns of HPARAMS


def loggers(trainer: pl.Trainer) -> Iterator[TensorBoardLogger]:
    """Yield the TensorBoard loggers; none in processes other than the first."""
    if trainer.is_global_zero:
        yield from (found for found in trainer.loggers if isinstance(found, TensorBoardLogger))


def layout(norms: bool, clips: bool, flow: bool) -> dict[str, dict[str, list[object]]]:
    """Return the charts of TensorBoard's Custom Scalars, each with a pattern of curve names.

    Patterns are the same for every run, since TensorBoard duplicates a chart that differs.

    Args:
        norms: Whether gradient norms are logged.
        clips: Whether the share of clipped gradients is logged.
        flow: Whether the gradient flow is logged.
    """
    loss = {
        "log10 of half_mse, with the baselines on val": "log10_half_mse/",
        "skill on val": "skill/",
    }
    gradient = {
        "norm before clipping": ("optimizer/gradient_norm", norms),
        "share clipped: entries, steps": ("optimizer/gradient_clipped", clips),
        "|dLoss/dh[t]| / |dLoss/dh[T]|, median window": ("states/gradient_flow", flow),
    }
    charts = {
        "loss": loss,
        "gradient": {title: pattern for title, (pattern, there) in gradient.items() if there},
    }
    return {
        group: {title: ["Multiline", [f"{pattern}.*"]] for title, pattern in titles.items()}
        for group, titles in charts.items()
    }


def hyperparameters(trainer: pl.Trainer, module: Forecaster) -> dict[str, Any]:
    """Return the hyperparameters of a run as plain values."""
    optimizer, data = trainer.optimizers[0], windows_of(trainer)
    found = dict(module.hparams) | {
        "optimizer": type(optimizer).__name__,
        "lr": optimizer.defaults["lr"],
        "max_epochs": trainer.max_epochs,
        "gradient_clip_val": trainer.gradient_clip_val,
    }
    if data is not None:
        found |= {"series": type(data.series).__name__} | {
            name: getattr(data, name) for name in ("window", "horizon", "batch_size", "seed")
        }
    words = {None: "none", True: "true", False: "false"}
    return {
        name: words[value] if value is None or isinstance(value, bool) else value
        for name, value in found.items()
    }


def add_hparams(writer: SummaryWriter, params: dict[str, Any], step: int) -> None:
    """Add the run's row to HPARAMS; its metric is the last value of the curve `METRIC`.

    TensorBoard shows the columns that differ between runs first, and takes which these are from the
    summary.
    """
    experiment, *session = hparams(params, {METRIC: 0.0})
    about = experiment.value[0].metadata.plugin_data
    content = HParamsPluginData.FromString(about.content)
    for column in content.experiment.hparam_infos:
        column.differs = column.name in FIRST
    about.content = content.SerializeToString()
    for summary in (experiment, *session):
        write(writer, summary, step)


def config_text(config: str) -> str:
    """Return a config for TEXT, without the Trainer's many arguments that are not set."""
    unset = re.compile(r"^  \w+: null\n", re.MULTILINE)
    trainer = re.compile(r"^trainer:\n(?:  .*\n)*", re.MULTILINE)
    return f"```yaml\n{trainer.sub(lambda section: unset.sub('', section[0]), config)}\n```"


def write(writer: SummaryWriter, summary: Summary, step: int) -> None:
    """Write a summary."""
    file: Any = writer.file_writer
    file.add_summary(summary, step)


def add_picture(writer: SummaryWriter, name: str, picture: bytes, step: int) -> None:
    """Add a PNG file."""
    image = Summary.Image(encoded_image_string=picture)
    write(writer, Summary(value=[Summary.Value(tag=f"pictures/{name}", image=image)]), step)


def add_flow(writer: SummaryWriter, flow: Tensor, step: int) -> None:
    """Add the gradient flow of up to `FLOWS` steps t of the window, where it is finite."""
    steps = len(flow)
    for t in np.linspace(1, steps, min(steps, FLOWS)).round().astype(int).tolist():
        if flow[t - 1].isfinite():
            name = f"states/gradient_flow_t_{t:0{len(str(steps))}d}"
            writer.add_scalar(name, flow[t - 1].item(), step)


def add_histograms(writer: SummaryWriter, net: SinRNN, step: int) -> None:
    """Add a histogram of each weight and of its gradient."""
    for name, weight in net.named_parameters():
        add_histogram(writer, f"weights/{name}", weight, step)
        if weight.grad is not None:
            add_histogram(writer, f"weights/{name}_gradient", weight.grad, step)


def add_histogram(writer: SummaryWriter, tag: str, values: Tensor, step: int) -> None:
    """Add a histogram of 30 bins in a tenth of the time of `SummaryWriter.add_histogram`."""
    v = values.detach().double().flatten().cpu().numpy()
    if np.isfinite(v).all():
        low, high = float(v.min()), float(v.max())
        # Equal numbers leave no room for bins between them.
        narrow = high - low < max(1e-9 * max(abs(low), abs(high)), 1e-290)
        room = max(0.5, 1e-9 * abs(high)) if narrow else 0.0
        counts, edges = np.histogram(v, 30, (low - room, high + room))
        limits, found = edges[1:].tolist(), counts.tolist()
        with np.errstate(over="ignore"):  # the squares of large numbers may be infinite
            total, squares = float(v.sum()), float(v @ v)
        writer.add_histogram_raw(tag, low, high, len(v), total, squares, limits, found, step)


def add_graph(writer: SummaryWriter, predictor: Predictor) -> None:
    """Add the graph of a few steps of the network."""
    net, steps = predictor.net, min(predictor.window or GRAPHED, GRAPHED)
    with warnings.catch_warnings():
        # torch.jit.trace is deprecated, and warns that it takes sizes as constants, which a graph
        # allows.
        warnings.simplefilter("ignore")
        x = torch.zeros(1, steps, net.input_size, device=net.Wih.device).to(net.Wih)
        # `add_graph` would run the network twice more to check a trace that it made itself.
        writer.add_graph(torch.jit.trace(net, x, check_trace=False), x)
