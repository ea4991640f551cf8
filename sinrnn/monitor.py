"""Callbacks that make training visible: one line in the terminal, and TensorBoard."""

import re
import sys
import time
import warnings
from collections.abc import Iterable, Iterator
from math import log10
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.pytorch.callbacks import ProgressBar
from lightning.pytorch.loggers import TensorBoardLogger
from tensorboard.compat.proto.summary_pb2 import Summary
from torch import Tensor
from torch.optim import Optimizer
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from sinrnn import baselines
from sinrnn.examine import examine, excerpt, few, pictures, predictions, saturated, spectral_radius
from sinrnn.forecaster import Forecaster, windows_of
from sinrnn.plots import png
from sinrnn.report import ROUNDING, Results
from sinrnn.rnn import SinRNN
from sinrnn.tracing import trace
from sinrnn.windows import WindowDataModule

FITTED = 20_000  # windows that baselines are fitted to and measured on: plenty for so few weights
SEEN = 100  # windows that the gradient flow is taken over
PICTURED = 2_000  # windows: more would be a black bar
GRAPHED = 4  # steps of the window in the graph: the rest looks the same
FLOWS = 16  # steps of the window whose gradient flow is a curve of its own


class Progress(ProgressBar):
    """One line for the whole of training: epoch, steps, time left, both losses."""

    def __init__(self) -> None:
        super().__init__()
        self.bar: tqdm[object] | None = None

    def disable(self) -> None:
        """Show nothing; Lightning calls this on all processes but the first."""
        self.is_disabled = True

    def enable(self) -> None:
        """Show the bar."""
        self.is_disabled = False

    is_disabled = False

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Open the bar."""
        steps = trainer.max_epochs * trainer.num_training_batches if trainer.max_epochs else 0
        self.bar = tqdm(
            total=steps if 0 < steps < float("inf") else None,
            initial=trainer.fit_loop.epoch_loop.batch_progress.total.completed,
            unit="step",
            disable=self.is_disabled,
            dynamic_ncols=True,
            file=sys.stdout,
            mininterval=0.1 if sys.stdout.isatty() else 10,  # seconds; a log keeps every line
        )

    def on_train_batch_end(self, *args: object, **kwargs: object) -> None:
        """One step done."""
        if self.bar is not None:
            self.bar.update()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Show the epoch's losses."""
        if self.bar is not None and trainer.state.fn == "fit":
            losses = {
                name.removeprefix("half_mse/"): f"{value:.2e}"
                for name, value in trainer.callback_metrics.items()
                if name.startswith("half_mse/")
            }
            epoch = f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}"
            self.bar.set_description(epoch, refresh=False)
            self.bar.set_postfix(losses, refresh=False)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Close the bar."""
        if self.bar is not None:
            self.bar.close()


class Allowance:
    """A share of the time since it was made, which a part of the work may take.

    Args:
        share: Of the time that has passed.
        first: Seconds that the work is taken to need before it has been done once.
    """

    def __init__(self, share: float, first: float) -> None:
        self.share, self.needed = share, first
        self.started, self.spent = time.perf_counter(), 0.0

    def __enter__(self) -> None:
        self.entered = time.perf_counter()

    def __exit__(self, *args: object) -> None:
        self.needed = time.perf_counter() - self.entered
        self.spent += self.needed

    def allows(self) -> bool:
        """Whether the work may be done once more."""
        passed = time.perf_counter() - self.started
        return self.spent + self.needed <= self.share * passed


class Monitor(pl.Callback):
    """Shows in TensorBoard how a network learns, and why it does not.

    Gradient norms and the learning rate go to every logger; the rest to TensorBoard alone, at
    each validation: scalars and histograms as long as they take no more than 4 % of the time, and
    one picture after the other as long as they take no more than 2 %.

    Args:
        gradients: Gradient norm before clipping, mean and largest since the last validation, and
            the share of entries and of steps that were clipped; with L-BFGS, of each evaluation.
        health: Spectral radius of Whh, and the share of saturated hidden units.
        flow: |dLoss/dh[t]| for up to 16 steps t of the window.
        histograms: Of each weight and of its gradient as the last step used it, clipped.
        pictures: Windows, predictions, residuals, gradient flow and rollout.
        hparams: The run's row in HPARAMS, with its validation loss.
        texts: The config and, at the end, the closing table.
        graph: The network's operations, at the end.
    """

    def __init__(
        self,
        gradients: bool = True,
        health: bool = True,
        flow: bool = True,
        histograms: bool = True,
        pictures: bool = True,
        hparams: bool = True,
        texts: bool = True,
        graph: bool = True,
    ) -> None:
        self.gradients, self.health, self.flow = gradients, health, flow
        self.histograms, self.pictures = histograms, pictures
        self.hparams, self.texts, self.graph = hparams, texts, graph
        self.norms: list[float] = []
        self.clipped: list[float] = []
        self.rivals: dict[str, float] = {}
        self.listed = False
        self.drawn, self.detailed, self.validated = 0, -1, -1
        self.rate = 0.0

    def state_dict(self) -> dict[str, Any]:
        """What has been gathered since the last validation."""
        return {"norms": self.norms, "clipped": self.clipped}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from it."""
        self.norms, self.clipped = state_dict["norms"], state_dict["clipped"]

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Say what is trained, and what it must beat."""
        self.details, self.drawing = Allowance(0.04, 0.0), Allowance(0.02, 0.2)
        self.every = trainer.log_every_n_steps  # type: ignore[attr-defined]
        loggers, data = list(_tensorboards(trainer)), windows_of(trainer)
        if loggers and data is not None:
            self.rivals = rivals(data)
            # Nobody can have a skill beside an exact baseline, whose loss is rounding.
            targets = data.windows["val"].sample(FITTED)[1]
            self.rounding = ROUNDING * targets.double().var(correction=0).item()
        for logger in loggers:
            if data is not None:
                logger.experiment.add_custom_scalars(layout(self.rivals))
            config = Path(logger.log_dir) / "config.yaml"
            if self.texts and config.exists():
                text = f"```yaml\n{config.read_text()}\n```"
                logger.experiment.add_text("config", text, trainer.global_step)

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: Optimizer
    ) -> None:
        """Measure the gradient before it is clipped."""
        self.rate = float(optimizer.param_groups[0]["lr"])  # schedulers step before validation
        if not self.gradients or not isinstance(pl_module, Forecaster):
            return
        norm = pl_module.norm
        self.norms.append(norm)
        clip = trainer.gradient_clip_val
        if clip and clip > 0:
            if trainer.gradient_clip_algorithm == "value":
                grads = [p.grad for p in pl_module.net.parameters() if p.grad is not None]
                beyond = sum(int((grad.abs() > clip).sum()) for grad in grads)
                self.clipped.append(beyond / sum(grad.numel() for grad in grads))
            else:
                self.clipped.append(float(norm > clip))

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Where an epoch is long, show that it moves: the batch's loss."""
        if outputs and self.every and (batch_idx + 1) % self.every == 0:
            # Lightning has divided it for the accumulation, and the network has units of its own.
            whole = trainer.accumulate_grad_batches * float(getattr(pl_module, "scale", 1.0)) ** 2
            loss = whole * outputs["loss"].item()
            for logger in _tensorboards(trainer):
                logger.experiment.add_scalar("half_mse/batch", loss, trainer.global_step)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write what only TensorBoard can show."""
        loss = trainer.callback_metrics.get("half_mse/val")
        if trainer.state.fn != "fit" or trainer.sanity_checking or loss is None:
            return
        if not isinstance(pl_module, Forecaster):
            return
        pl_module.row |= self._since_last()
        step, data = trainer.global_step, windows_of(trainer)
        self.validated = step
        for logger in _tensorboards(trainer):
            writer = logger.experiment
            if self.hparams and not self.listed:
                logger.log_hyperparams(hyperparameters(trainer, pl_module), {"hp/val": loss}, step)
            if self.details.allows():
                with self.details:
                    self._losses(writer, trainer, step)
                    self._detail(writer, pl_module, trainer)
                    writer.flush()
            if self.pictures and data is not None and self.drawing.allows():
                with self.drawing:
                    self._picture(writer, pl_module, data, step)
        self.listed = True

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Show the last weights, whether or not they came when they were allowed."""
        for logger in _tensorboards(trainer):
            step = trainer.global_step
            if isinstance(pl_module, Forecaster) and self.detailed != step:
                if self.validated == step:
                    self._losses(logger.experiment, trainer, step)
                self._detail(logger.experiment, pl_module, trainer)

    def _losses(self, writer: SummaryWriter, trainer: pl.Trainer, step: int) -> None:
        """What the losses must beat, by how much they do, and all of them on a log scale."""
        losses = {
            name: loss.item()
            for name, loss in trainer.callback_metrics.items()
            if name in ("half_mse/train", "half_mse/val")
        }
        if self.hparams and self.listed:
            writer.add_scalar("hp/val", losses["half_mse/val"], step)
        for name, rival in self.rivals.items():
            writer.add_scalar(f"baseline/{name}", rival, step)
            if rival > self.rounding:
                skill = baselines.skill(losses["half_mse/val"], rival)
                writer.add_scalar(f"skill/{name}", skill, step)
                losses[f"half_mse/{name}"] = rival
        for name, loss in losses.items():
            if loss > 0:
                writer.add_scalar(f"log10_{name}", log10(loss), step)

    def _since_last(self) -> dict[str, float]:
        """What the steps since the last validation were like."""
        row = {"learning_rate": self.rate}
        if self.norms:
            row |= {"gradient/norm": _mean(self.norms), "gradient/norm_max": max(self.norms)}
        if self.clipped:
            row["gradient/clipped"] = _mean(self.clipped)
            row["gradient/clipped_steps"] = _mean([float(share > 0) for share in self.clipped])
        self.norms, self.clipped = [], []
        return row

    def _detail(self, writer: SummaryWriter, module: Forecaster, trainer: pl.Trainer) -> None:
        net, data = module.net, windows_of(trainer)
        step = self.detailed = trainer.global_step
        if self.health:
            writer.add_scalar("weights/spectral_radius_Whh", spectral_radius(net.Whh), step)
        if data is not None and (self.health or self.flow):
            x, y = (module.inner(part) for part in few(data.windows["train"], net, SEEN))
            seen = trace(net, x, y)
            if self.health:
                writer.add_scalar("states/saturated", saturated(seen.h[:, -1]), step)
            if self.flow:
                steps, flow = x.shape[1], seen.flow.tolist()
                for t in torch.linspace(1, steps, min(steps, FLOWS)).round().int().tolist():
                    name = f"gradient_flow/t_{t:0{len(str(steps))}d}"
                    writer.add_scalar(name, flow[t - 1], step)
        if self.histograms:
            for name, weight in net.named_parameters():
                _add_histogram(writer, f"weights/{name}", weight, step)
                if weight.grad is not None:
                    _add_histogram(writer, f"gradients/{name}", weight.grad, step)

    def _picture(
        self, writer: SummaryWriter, module: Forecaster, data: WindowDataModule, step: int
    ) -> None:
        """Draw the next picture."""
        part, net = excerpt(data, PICTURED), module.network().cpu()
        predicted = predictions(net, part, ("train", "val"))
        found = list(pictures(part, predicted, examine(net, part, predicted)).items())
        name, draw = found[self.drawn % len(found)]
        self.drawn += 1
        _add_picture(writer, name, png(draw()), step)

    def finish(
        self,
        trainer: pl.Trainer,
        net: SinRNN,
        results: Results,
        files: dict[str, bytes],
        text: str,
    ) -> None:
        """Show what came out of a run.

        Args:
            trainer: Whose training ended.
            net: The network that is kept, in the series' units.
            results: What it is worth.
            files: Pictures, as PNG, by name.
            text: The closing table.
        """
        step = trainer.global_step
        for logger in _tensorboards(trainer):
            writer = logger.experiment
            if self.hparams and self.listed:
                writer.add_scalar("hp/val", results.half_mse["network"]["val"], step)
            if self.texts:
                writer.add_text("report", f"```text\n{text}\n```", step)
            if self.pictures:
                for name, picture in files.items():
                    _add_picture(writer, name, picture, step)
            if self.graph:
                steps = min(net.window or GRAPHED, GRAPHED)
                with warnings.catch_warnings():
                    # TensorBoard's graphs come from torch.jit.trace, which is deprecated, and says
                    # that it takes sizes for constants; to a picture that does no harm.
                    warnings.simplefilter("ignore")
                    writer.add_graph(net, torch.zeros(1, steps, net.input_size).to(net.Wih))
            writer.flush()


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
            "|dLoss/dh[t]| by step t of the window": ["gradient_flow/.*"],
        },
    }
    return {
        group: {title: ["Multiline", tags] for title, tags in titles.items()}
        for group, titles in charts.items()
    }


def rivals(data: WindowDataModule) -> dict[str, float]:
    """half_mse of each baseline on the validation span, by a name that TensorBoard takes."""
    (x, y), (val_x, val_y) = (data.windows[name].sample(FITTED) for name in ("train", "val"))
    made = baselines.baselines(x[..., 0], y[:, 0], data.horizon)
    return {
        re.sub(r"\W+", "_", name).strip("_"): baselines.half_mse(
            forecast(val_x[..., 0]).double(), val_y[:, 0].double()
        ).item()
        for name, forecast in made.items()
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
            name: getattr(data, name)
            for name in ("window", "horizon", "batch_size", "standardise", "seed")
        }
    words = {None: "none", True: "true", False: "false"}
    return {
        name: words[value] if value is None or isinstance(value, bool) else value
        for name, value in found.items()
    }


def _tensorboards(trainer: pl.Trainer) -> Iterator[TensorBoardLogger]:
    """The loggers that write for TensorBoard; none but in the first process."""
    if trainer.is_global_zero:
        yield from (found for found in trainer.loggers if isinstance(found, TensorBoardLogger))


def _add_picture(writer: SummaryWriter, name: str, picture: bytes, step: int) -> None:
    image = Summary.Image(encoded_image_string=picture)
    summary = Summary(value=[Summary.Value(tag=f"figures/{name}", image=image)])
    writer._get_file_writer().add_summary(summary, step)


def _add_histogram(writer: SummaryWriter, tag: str, values: Tensor, step: int) -> None:
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


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
