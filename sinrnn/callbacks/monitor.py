"""The callback that logs training to TensorBoard."""

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

FITTED = 20_000  # windows for the fit of the baselines, which have few coefficients
PICTURED = 2_000  # windows in a figure; more would be a solid bar
WATCHED = ("rollout", "predictions_val")  # during training; few, so that each is drawn often
WATCHED_DPI = 100  # 900 pixels wide, the size of a selected image in TensorBoard


class Monitor(pl.Callback):
    """Logs training, with measurements that show why a network does not learn, to TensorBoard.

    Gradient norms and the learning rate go to every logger, everything else to TensorBoard. The
    details of the network and the figures are logged at validations, within time budgets of 2 %
    each of the training time.

    Args:
        gradients: Gradient norm before clipping, mean and maximum since the last validation, and
            the share of entries and of steps that were clipped; with L-BFGS, of each evaluation.
        health: Spectral radius of Whh, and the share of saturated hidden units.
        flow: |dLoss/dh[t]| / |dLoss/dh[T]|, the median over windows, for up to 16 steps t.
        histograms: Histograms of the weights, and of their gradients after clipping.
        pictures: Rollout and predictions during training, and all figures at its end.
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
        """Return the measurements since the last validation."""
        return {"norms": self.norms, "clipped": self.clipped}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the measurements since the last validation."""
        self.norms, self.clipped = state_dict["norms"], state_dict["clipped"]

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log the config and the losses of the baselines, and lay out the charts."""
        self.details, self.drawing = TimeBudget(0.02, 0.0), TimeBudget(0.02, 0.2)
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
        """Log the loss of the batch every `log_every_n_steps` steps, for long epochs."""
        done = trainer.fit_loop.batch_idx + 1  # a step may have taken several batches
        if outputs and self.every and done % self.every == 0:
            # Undo Lightning's division for the accumulation, and the scaling of the series.
            whole = trainer.accumulate_grad_batches * _scale(pl_module) ** 2
            loss = whole * outputs["loss"].item()
            for logger in tensorboard.loggers(trainer):
                logger.experiment.add_scalar("half_mse/batch", loss, trainer.global_step)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log hyperparameters, details and figures within their time budgets."""
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
        """Log the details of the last weights, regardless of the time budget."""
        for logger in tensorboard.loggers(trainer):
            if isinstance(pl_module, Forecaster) and self.detailed != trainer.global_step:
                self._detail(logger.experiment, pl_module, trainer)

    def row(self) -> dict[str, float]:
        """Return the measurements since the last validation as a row of metrics.csv; reset them."""
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
            x, y = subsample(data.windows["train"], module.predictor)  # the windows of the report
            traced = trace(net, x, y)
            if self.health:
                writer.add_scalar("states/saturated", saturated(traced.h[:, -1]), step)
            if self.flow:
                tensorboard.add_flow(writer, gradient_flow(traced)[1], step)
        if self.histograms:
            tensorboard.add_histograms(writer, net, step)

    def _picture(
        self, writer: SummaryWriter, module: Forecaster, data: WindowDataModule, step: int
    ) -> None:
        """Log the next figure."""
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
        """Log the results of a run.

        Args:
            trainer: The trainer, after training.
            predictor: The saved predictor.
            results: Its results.
            pngs: The figures by name, as PNG.
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
    """Return half_mse of each baseline on the validation split, by a name for TensorBoard.

    Baselines that are exact up to rounding are left out, since a skill against them is undefined.
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
    """Return the size of the loss's unit in units of the series."""
    return module.predictor.scale.item() if isinstance(module, Forecaster) else 1.0
