"""Callbacks that make training visible."""

import csv
import io
import sys
import time
from pathlib import Path

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import ProgressBar
from lightning.pytorch.loggers import TensorBoardLogger
from matplotlib.figure import Figure
from torch import Tensor
from tqdm import tqdm

from sinrnn import plots, report
from sinrnn.forecaster import Forecaster, predict
from sinrnn.rnn import SinRNN
from sinrnn.windows import WindowDataModule

ROLLOUT_STEPS = 1000


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
            initial=trainer.fit_loop.epoch_loop.total_batch_idx + 1,
            unit="step",
            disable=self.is_disabled,
            dynamic_ncols=True,
            file=sys.stdout,
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
            self.bar.set_description(f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}")
            self.bar.set_postfix(losses)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Close the bar."""
        if self.bar is not None:
            self.bar.close()


class Closing(pl.Callback):
    """At the end of training, turns its weights into a model file, pictures and a report.

    Args:
        folder: The run's folder.
        keep: Which weights: "best" on the validation span, or the "last".
    """

    def __init__(self, folder: Path, keep: str = "best") -> None:
        self.folder, self.keep = folder, keep
        self.text = ""

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock."""
        self.started = time.perf_counter()

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write model.safetensors, figures/ and report.md."""
        seconds = time.perf_counter() - self.started
        data = trainer.datamodule  # type: ignore[attr-defined]
        if not trainer.is_global_zero or not isinstance(pl_module, Forecaster):
            return
        for logger in trainer.loggers:
            logger.save()
        # Empty, where nothing was validated: then the last weights are all there is.
        best = trainer.checkpoint_callback.best_model_path  # type: ignore[union-attr]
        if best and self.keep == "best":
            pl_module.load_state_dict(torch.load(best, weights_only=True)["state_dict"])
        pl_module.network().save(self.folder / "model.safetensors")
        # What is reported is what was saved.
        net = SinRNN.load(self.folder / "model.safetensors")
        predicted = {name: predict(net, windows) for name, windows in data.windows.items()}
        results = evaluate(net, data, predicted)
        results.seconds = seconds
        results.where = {
            "run": f"{self.folder}",
            "TensorBoard": f"tensorboard --logdir {self.folder.parent}",
        }
        self.text = report.closing(results)
        (self.folder / "report.md").write_text(f"# {self.folder}\n\n```text\n{self.text}\n```\n")
        figures = draw(data, predicted, results, self._curves(), pl_module.readout_epoch)
        self._keep(figures, trainer)

    def _curves(self) -> tuple[list[float], dict[str, list[float]]]:
        """Epochs done and both losses, from metrics.csv."""
        epochs: list[float] = []
        curves: dict[str, list[float]] = {"train": [], "val": []}
        log = self.folder / "metrics.csv"
        with log.open() if log.exists() else io.StringIO() as file:
            for row in csv.DictReader(file):
                if row.get("half_mse/val"):
                    epochs.append(float(row["epoch"]) + 1 if row.get("epoch") else 0.0)
                    for name, values in curves.items():
                        values.append(float(row[f"half_mse/{name}"]))
        return epochs, curves

    def _keep(self, figures: dict[str, Figure], trainer: pl.Trainer) -> None:
        """Each picture as PNG in the folder and as image in TensorBoard."""
        (self.folder / "figures").mkdir(exist_ok=True)
        for name, figure in figures.items():
            figure.savefig(self.folder / "figures" / f"{name}.png")
            for logger in trainer.loggers:
                if isinstance(logger, TensorBoardLogger):
                    logger.experiment.add_figure(f"figures/{name}", figure, trainer.global_step)


@torch.no_grad()
def evaluate(net: SinRNN, data: WindowDataModule, predicted: dict[str, Tensor]) -> report.Results:
    """Losses over all spans, saturation and the closed loop of a network.

    Args:
        net: In the series' units.
        data: Set up.
        predicted: The network's predictions by span, (N,).
    """
    every = slice(None)
    windows = {
        name: (x[..., 0], y[:, 0]) for name, w in data.windows.items() for x, y in [w[every]]
    }
    h, _ = net.unroll(data.windows["val"].sample(1000)[0].to(net.Wih))
    start, _ = data.edges("test")
    values = data.series.continued(start + data.window + ROLLOUT_STEPS)
    return report.Results(
        half_mse=report.losses(predicted, windows, data.horizon),
        variance={name: y.double().var(correction=0).item() for name, (_, y) in windows.items()},
        saturated=(h[:, -1].abs() > 0.99).double().mean().item(),
        rollout=report.closed_loop(net, values, start, data.window, ROLLOUT_STEPS),
    )


def draw(
    data: WindowDataModule,
    predicted: dict[str, Tensor],
    results: report.Results,
    curves: tuple[list[float], dict[str, list[float]]],
    readout_epoch: int | None,
) -> dict[str, Figure]:
    """All pictures of a finished run, by name."""
    rivals = {name: row["val"] for name, row in results.half_mse.items() if name != "network"}
    figures = {"windows": plots.sample_windows(_samples(data, predicted), data.horizon)}
    if curves[0]:
        figures["losses"] = plots.loss_curves(*curves, rivals, readout_epoch)
    for name in ("val", "train"):
        first = data.edges(name)[0] + data.window + data.horizon - 1
        target = data.windows[name].targets.double()
        figures[f"predictions_{name}"] = plots.predictions(
            name, first, data.horizon, target, predicted[name]
        )
    if results.rollout is not None:
        figures["rollout"] = plots.rollout(results.rollout)
    return figures


def _samples(
    data: WindowDataModule, predicted: dict[str, Tensor], count: int = 4
) -> dict[str, list[tuple[int, Tensor, float, float]]]:
    """A few windows of both spans: index of the first sample, window, target, prediction."""
    samples = {}
    for name in ("train", "val"):
        windows = data.windows[name]
        # Golden-section places: spread, but never in step with a period of the series.
        parts = torch.arange(min(count, len(windows)), dtype=torch.float64)
        places = ((parts + 0.5) * (5**0.5 - 1) / 2) % 1
        chosen = (places.sort().values * len(windows)).long()
        x, y = windows[chosen]
        samples[name] = [
            (data.edges(name)[0] + int(i), x[row, :, 0], y[row].item(), predicted[name][i].item())
            for row, i in enumerate(chosen)
        ]
    return samples
