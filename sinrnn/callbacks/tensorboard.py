"""What TensorBoard shows, in the forms that it takes."""

import warnings
from collections.abc import Iterable, Iterator
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from tensorboard.compat.proto.summary_pb2 import Summary
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from sinrnn.data.datamodule import windows_of
from sinrnn.forecasting.predictor import Predictor
from sinrnn.nn.rnn import SinRNN
from sinrnn.training.forecaster import Forecaster

FLOWS = 16  # steps of the window whose gradient flow is a curve of its own
GRAPHED = 4  # steps of the window in the graph: the rest looks the same


def loggers(trainer: pl.Trainer) -> Iterator[TensorBoardLogger]:
    """The loggers that write for TensorBoard; none but in the first process."""
    if trainer.is_global_zero:
        yield from (found for found in trainer.loggers if isinstance(found, TensorBoardLogger))


def layout(names: Iterable[str]) -> dict[str, dict[str, list[object]]]:
    """The charts of TensorBoard's Custom Scalars that show several curves together."""
    curves = ["half_mse/train", "half_mse/val"]
    charts = {
        "loss": {
            "log10 of half_mse, and of what it must beat": ["log10_half_mse/.*"],
            "half_mse, and what it must beat": [*curves, *(f"baseline/{name}" for name in names)],
            "skill": ["skill/.*"],
        },
        "gradient": {
            "norm before clipping": ["gradient/norm", "gradient/norm_max"],
            "share clipped, of entries and of steps": [
                "gradient/clipped",
                "gradient/clipped_steps",
            ],
            "|dLoss/dh[t]| over the last step's, the median window": ["gradient_flow/.*"],
        },
    }
    return {
        group: {title: ["Multiline", tags] for title, tags in titles.items()}
        for group, titles in charts.items()
    }


def hyperparameters(trainer: pl.Trainer, module: Forecaster) -> dict[str, Any]:
    """What tells one run from another, as plain values."""
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


def add_picture(writer: SummaryWriter, name: str, picture: bytes, step: int) -> None:
    """The bytes of a PNG file, as they are."""
    image = Summary.Image(encoded_image_string=picture)
    summary = Summary(value=[Summary.Value(tag=f"figures/{name}", image=image)])
    file: Any = writer.file_writer
    file.add_summary(summary, step)


def add_flow(writer: SummaryWriter, flow: Tensor, step: int) -> None:
    """A curve for each of some steps t of the window; none where no gradient flows."""
    steps = len(flow)
    for t in np.linspace(1, steps, min(steps, FLOWS)).round().astype(int).tolist():
        if flow[t - 1].isfinite():
            name = f"gradient_flow/t_{t:0{len(str(steps))}d}"
            writer.add_scalar(name, flow[t - 1].item(), step)


def add_histograms(writer: SummaryWriter, net: SinRNN, step: int) -> None:
    """Of each weight, and of its gradient where it has one."""
    for name, weight in net.named_parameters():
        add_histogram(writer, f"weights/{name}", weight, step)
        if weight.grad is not None:
            add_histogram(writer, f"gradients/{name}", weight.grad, step)


def add_histogram(writer: SummaryWriter, tag: str, values: Tensor, step: int) -> None:
    """In 30 bins, at a tenth of the cost of `add_histogram`."""
    v = values.detach().double().flatten().cpu().numpy()
    if np.isfinite(v).all():
        low, high = float(v.min()), float(v.max())
        # Numbers that are all the same leave no room for bins between them.
        narrow = high - low < max(1e-9 * max(abs(low), abs(high)), 1e-290)
        room = max(0.5, 1e-9 * abs(high)) if narrow else 0.0
        counts, edges = np.histogram(v, 30, (low - room, high + room))
        limits, found = edges[1:].tolist(), counts.tolist()
        with np.errstate(over="ignore"):  # the squares of large numbers may be infinite
            total, squares = float(v.sum()), float(v @ v)
        writer.add_histogram_raw(tag, low, high, len(v), total, squares, limits, found, step)


def add_graph(writer: SummaryWriter, predictor: Predictor) -> None:
    """The operations of a few steps of the network."""
    net, steps = predictor.net, min(predictor.window or GRAPHED, GRAPHED)
    with warnings.catch_warnings():
        # TensorBoard's graphs come from torch.jit.trace, which is deprecated, and says that it
        # takes sizes for constants; to a picture that does no harm.
        warnings.simplefilter("ignore")
        writer.add_graph(
            net, torch.zeros(1, steps, net.input_size, device=net.Wih.device).to(net.Wih)
        )
