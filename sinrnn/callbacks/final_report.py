"""The end of a run: its weights become a model file, pictures and a report."""

import time
from dataclasses import replace
from pathlib import Path

import lightning.pytorch as pl

from sinrnn import run_folder
from sinrnn.callbacks.monitor import Monitor
from sinrnn.evaluation import report
from sinrnn.evaluation.backtest import evaluate_backtest
from sinrnn.evaluation.diagnosis import checks
from sinrnn.evaluation.evaluate import evaluate, predictions
from sinrnn.evaluation.figures import pictures
from sinrnn.evaluation.picture import png
from sinrnn.evaluation.results import History
from sinrnn.evaluation.summary import Summary
from sinrnn.filesystem import escaped, write
from sinrnn.forecasting.predictor import Predictor
from sinrnn.training import checkpoint_io
from sinrnn.training.forecaster import Forecaster


class FinalReport(pl.Callback):
    """At the end of training, turns its weights into a model file, pictures and a report.

    Args:
        folder: The run's folder.
        monitor: Shows the same in TensorBoard.
        keep: Which weights: "best" on the validation split, or the "last".
        figures: Whether pictures are drawn.
    """

    def __init__(
        self, folder: Path, monitor: Monitor, keep: str = "best", figures: bool = True
    ) -> None:
        self.folder, self.monitor, self.keep, self.figures = folder, monitor, keep, figures
        self.tensorboard = f"tensorboard --logdir {folder.parent}"
        self.text = ""

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock."""
        self.started = time.perf_counter()

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write model.safetensors, results.json, report.md and figures/."""
        seconds = time.perf_counter() - self.started
        data = trainer.datamodule  # type: ignore[attr-defined]
        if not trainer.is_global_zero or not isinstance(pl_module, Forecaster):
            return
        for logger in trainer.loggers:
            logger.save()
        # Where nothing was validated, the last weights are all there is.
        best = self.folder / run_folder.BEST
        if best.exists() and self.keep == "best":
            pl_module.load_state_dict(checkpoint_io.read(best)["state_dict"])
        predictor = pl_module.predictor.copy()
        found = evaluate_backtest(predictor.copy().double(), data)
        if found is not None:
            predictor.radius = found.radius.double()
        predictor.save(self.folder / run_folder.MODEL)
        # What is reported is what was saved.
        predictor = Predictor.load(self.folder / run_folder.MODEL)
        predicted = predictions(predictor, data)
        history = History.read(self.folder / run_folder.METRICS)
        results = replace(
            evaluate(predictor, data, predicted, history, trainer.gradient_clip_val),
            backtest_report=found,
            seconds=seconds,
            where={"run": f"{self.folder}", "TensorBoard": self.tensorboard},
        )
        self.text = report.closing(results, checks.problems(results))
        write(self.folder / run_folder.RESULTS, Summary.of(results).content())
        about = f"# {escaped(f'{self.folder}')}\n\n```text\n{self.text}\n```\n"
        write(self.folder / run_folder.REPORT, about.encode())
        files = {}
        if self.figures:
            folder = self.folder / run_folder.FIGURES
            folder.mkdir(exist_ok=True)
            for name, draw in pictures(data, predicted, results, pl_module.readout_epoch).items():
                files[name] = png(draw())
                write(folder / f"{name}.png", files[name])
        self.monitor.finish(trainer, predictor, results, files, self.text)
