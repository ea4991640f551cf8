"""The callback that makes training visible in TensorBoard."""

import re
from math import isfinite
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from torch.optim import Optimizer
from torch.utils.tensorboard import SummaryWriter

from sinrnn.callbacks import tensorboard
from sinrnn.callbacks._time_budget import TimeBudget
from sinrnn.data.datamodule import WindowDataModule, windows_of
from sinrnn.evaluation import baselines
from sinrnn.evaluation.evaluate import evaluate, excerpt, predictions, subsample
from sinrnn.evaluation.figures import pictures
from sinrnn.evaluation.metrics import gradient_flow, saturated, spectral_radius
from sinrnn.evaluation.picture import png
from sinrnn.evaluation.results import ROUNDING, Results
from sinrnn.filesystem import shown
from sinrnn.forecasting.predictor import Predictor
from sinrnn.nn.functional import half_mse
from sinrnn.nn.trace import trace
from sinrnn.run_folder import CONFIG
from sinrnn.training import options
from sinrnn.training.forecaster import Forecaster
from sinrnn.training.loggers import Events

FITTED = 20_000  # windows that baselines are fitted to and measured on: plenty for so few weights
PICTURED = 2_000  # windows: more would be a black bar
WATCHED = ("rollout", "predictions_val")  # while training goes on; few, so that each has a history
WATCHED_DPI = 100  # 900 pixels: as many as TensorBoard has room for where a picture is clicked


class Monitor(pl.Callback):
    """Shows in TensorBoard how a network learns, and why it does not.

    Gradient norms and the learning rate go to every logger; the rest to TensorBoard alone, at
    each validation: details of the network as long as they take no more than 4 % of the time, and
    pictures as long as they take no more than 2 %.

    Args:
        gradients: Gradient norm before clipping, mean and largest since the last validation, and
            the share of entries and of steps that were clipped; with L-BFGS, of each evaluation.
        health: Spectral radius of Whh, and the share of saturated hidden units.
        flow: |dLoss/dh[t]| over that of the last step, the median of the windows, for up to 16
            steps t.
        histograms: Of each weight and of its gradient as the last step used it, clipped.
        pictures: Rollout and predictions during training; at its end, all pictures.
        hparams: The run's row in HPARAMS, with its validation loss.
        texts: The closing table, at the end, and the config.
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
        self.drawn, self.detailed, self.rate = 0, -1, 0.0
        self.listed = False

    def state_dict(self) -> dict[str, Any]:
        """What has been gathered since the last validation."""
        return {"norms": self.norms, "clipped": self.clipped}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from it."""
        self.norms, self.clipped = state_dict["norms"], state_dict["clipped"]

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Say what is trained, and what it must beat."""
        self.details, self.drawing = TimeBudget(0.04, 0.0), TimeBudget(0.02, 0.2)
        self.every = trainer.log_every_n_steps  # type: ignore[attr-defined]
        loggers, data = list(tensorboard.loggers(trainer)), windows_of(trainer)
        baselines = baseline_losses(data) if loggers and data is not None else {}
        clips = options.clip(trainer) is not None
        for logger in loggers:
            if isinstance(logger, Events):
                logger.baselines = baselines
            if data is not None:
                charts = tensorboard.layout(self.gradients, self.gradients and clips, self.flow)
                logger.experiment.add_custom_scalars(charts)
            config = Path(logger.log_dir) / CONFIG
            if self.texts and config.exists():
                text = tensorboard.config_text(shown(config.read_text("utf-8")))
                logger.experiment.add_text("run_config", text, trainer.global_step)

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: Optimizer
    ) -> None:
        """Measure the gradient before it is clipped."""
        self.rate = float(optimizer.param_groups[0]["lr"])  # schedulers step before validation
        if not self.gradients or not isinstance(pl_module, Forecaster):
            return
        norm = pl_module.gradient_norm
        if not isfinite(norm):  # a GradScaler skips the step
            return
        self.norms.append(norm)
        clip = options.clip(trainer)
        if clip is not None:
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
        done = trainer.fit_loop.batch_idx + 1  # a step may have taken several batches
        if outputs and self.every and done % self.every == 0:
            # Lightning has divided it for the accumulation, and the network has units of its own.
            whole = trainer.accumulate_grad_batches * _scale(pl_module) ** 2
            loss = whole * outputs["loss"].item()
            for logger in tensorboard.loggers(trainer):
                logger.experiment.add_scalar("half_mse/batch", loss, trainer.global_step)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write what only TensorBoard can show."""
        loss = trainer.callback_metrics.get("half_mse/val")
        if trainer.state.fn != "fit" or trainer.sanity_checking or loss is None:
            return
        if not isinstance(pl_module, Forecaster):
            return
        step, data = trainer.global_step, windows_of(trainer)
        for logger in tensorboard.loggers(trainer):
            writer = logger.experiment
            if self.hparams and not self.listed:
                tensorboard.add_hparams(
                    writer, tensorboard.hyperparameters(trainer, pl_module), step
                )
            if self.hparams:
                writer.add_scalar(tensorboard.METRIC, loss.item(), step)
            if self.details.allows():
                with self.details:
                    self._detail(writer, pl_module, trainer)
                    writer.flush()
            if self.pictures and data is not None and self.drawing.allows():
                with self.drawing:
                    self._picture(writer, pl_module, data, step)
        self.listed = True

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Show the last weights, whether or not they came when they were allowed."""
        for logger in tensorboard.loggers(trainer):
            if isinstance(pl_module, Forecaster) and self.detailed != trainer.global_step:
                self._detail(logger.experiment, pl_module, trainer)

    def row(self) -> dict[str, float]:
        """What the steps since the last validation were like, for the epoch's row."""
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
            x, y = subsample(data.windows["train"], module.predictor)  # those of the report
            seen = trace(net, x, y)
            if self.health:
                writer.add_scalar("states/saturated", saturated(seen.h[:, -1]), step)
            if self.flow:
                tensorboard.add_flow(writer, gradient_flow(seen)[1], step)
        if self.histograms:
            tensorboard.add_histograms(writer, net, step)

    def _picture(
        self, writer: SummaryWriter, module: Forecaster, data: WindowDataModule, step: int
    ) -> None:
        """Draw the next picture."""
        part, predictor = excerpt(data, PICTURED), module.predictor.copy()
        predicted = predictions(predictor, part, ("train", "val"))
        found = pictures(part, predicted, evaluate(predictor, part, predicted))
        names = [name for name in WATCHED if name in found]
        name = names[self.drawn % len(names)]
        self.drawn += 1
        figure = found[name]()
        figure.set_dpi(WATCHED_DPI)
        tensorboard.add_picture(writer, name, png(figure), step)

    def finish(
        self,
        trainer: pl.Trainer,
        predictor: Predictor,
        results: Results,
        pngs: dict[str, bytes],
        text: str,
    ) -> None:
        """Show what came out of a run.

        Args:
            trainer: Whose training ended.
            predictor: What is kept.
            results: What it is worth.
            pngs: Pictures by name.
            text: The closing table.
        """
        step = trainer.global_step
        for logger in tensorboard.loggers(trainer):
            writer = logger.experiment
            if self.hparams and self.listed:
                writer.add_scalar(tensorboard.METRIC, results.half_mse["network"]["val"], step)
            if self.texts:
                writer.add_text("report", f"```text\n{text}\n```", step)
            if self.pictures:
                for name, picture in pngs.items():
                    tensorboard.add_picture(writer, name, picture, step)
            if self.graph:
                tensorboard.add_graph(writer, predictor)
            writer.flush()


def baseline_losses(data: WindowDataModule) -> dict[str, float]:
    """half_mse of each baseline on the validation split, by a name that TensorBoard takes.

    Without those that are exact up to rounding: nothing has a skill against them.
    """
    (x, y), (val_x, val_y) = (data.windows[name].sample(FITTED) for name in ("train", "val"))
    x, y, val_x, val_y = x[..., 0], y[:, 0], val_x[..., 0], val_y[:, 0].double()
    found = {
        re.sub(r"\W+", "_", name).strip("_"): half_mse(forecast(val_x).double(), val_y).item()
        for name, forecast in baselines.baselines(x, y, data.horizon).items()
    }
    rounding = ROUNDING * val_y.var(correction=0).item()
    return {name: loss for name, loss in found.items() if loss > rounding}


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def _scale(module: pl.LightningModule) -> float:
    """What one of the units that the loss is in is in the series' own."""
    return module.predictor.scale.item() if isinstance(module, Forecaster) else 1.0
