"""The callback that writes the model file, the figures and the report of a run."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from math import isfinite
from pathlib import Path

import lightning.pytorch as pl
import torch

from sinrnn import run_folder
from sinrnn._status import status
from sinrnn.callbacks.ending import why_ended
from sinrnn.callbacks.monitor import Monitor
from sinrnn.data.datamodule import WindowDataModule
from sinrnn.evaluation import report
from sinrnn.evaluation.backtest import BacktestReport, evaluate_backtest
from sinrnn.evaluation.diagnosis import checks
from sinrnn.evaluation.evaluate import evaluate, predictions
from sinrnn.evaluation.figures import pictures
from sinrnn.evaluation.linear_fallback import keep_if_better
from sinrnn.evaluation.picture import drawn, save
from sinrnn.evaluation.results import History, Settings
from sinrnn.evaluation.summary import Summary
from sinrnn.filesystem import escaped, write
from sinrnn.forecasting.predictor import Predictor
from sinrnn.training import checkpoint_io
from sinrnn.training.forecaster import Forecaster


class FinalReport(pl.Callback):
    """Writes the model file, the figures and the report at the end of training.

    Args:
        folder: The run's folder.
        monitor: The callback that adds them to TensorBoard.
        keep: The weights to keep: "best" on the validation split, or "last".
        figures: Whether to draw figures.
        command_line: Whether suggestions name options of scripts/train.py; else arguments in
            Python.
        settings: The settings of the run.

    Attributes:
        show: Called with the closing text before the figures are drawn, which takes a second.
        finished: Whether training has finished before, so that results.json has its duration.
    """

    show: Callable[[str], None] | None = None
    finished = False

    def __init__(
        self,
        folder: Path,
        monitor: Monitor,
        keep: str = "best",
        figures: bool = True,
        command_line: bool = True,
        settings: Settings | None = None,
    ) -> None:
        self.folder, self.monitor, self.keep, self.figures = folder, monitor, keep, figures
        self.command_line, self.settings = command_line, settings
        self.tensorboard = f"tensorboard --logdir {folder.parent}"
        self.text = ""

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock."""
        self.started = time.perf_counter()

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write model.safetensors, results.json, report.md and figures/."""
        seconds = time.perf_counter() - self.started
        if self.finished:
            seconds = Summary.read(self.folder / run_folder.RESULTS).seconds
        data = trainer.datamodule  # type: ignore[attr-defined]
        if not trainer.is_global_zero or not isinstance(pl_module, Forecaster):
            return
        status("evaluating")
        for logger in trainer.loggers:
            logger.save()
        predictor, found, left_out = self._saved(pl_module, data)
        predicted = predictions(predictor, data)
        history = History.read(self.folder / run_folder.METRICS)
        results = replace(
            evaluate(predictor, data, predicted, history, self.settings),
            backtest_report=found,
            seconds=seconds,
            epochs=None if trainer.fast_dev_run else trainer.current_epoch,  # type: ignore[attr-defined]
            ended=why_ended(trainer, self.settings.epochs if self.settings else None),
            where={
                **({"units": pl_module.choice} if pl_module.choice else {}),
                **({"network": left_out} if left_out else {}),
                "run": f"{self.folder}",
                "TensorBoard": self.tensorboard,
            },
        )
        against, ours = results.best_baseline("test"), results.half_mse["network"]["test"]
        if against and isfinite(ours):
            predictor.baseline = against[0]
            predictor.tested = torch.tensor([ours, against[1]], dtype=torch.float64, device="cpu")
            predictor.save(self.folder / run_folder.MODEL)
        findings = checks.findings(checks.diagnose(results, self.command_line))
        self.text = report.closing(results, *findings)
        write(self.folder / run_folder.RESULTS, Summary.of(results).content())
        arguments = (data, predicted, results, pl_module.readout_epoch)
        draws = pictures(*arguments) if self.figures else {}
        about = f"# {escaped(f'{self.folder}')}\n\n```text\n{self.text}\n```\n"
        about += "".join(f"\n![{name}]({run_folder.FIGURES}/{name}.png)\n" for name in draws)
        write(self.folder / run_folder.REPORT, about.encode())
        status()
        if self.show is not None:
            status()  # the text replaces it
            self.show(self.text)
        files = {}
        if self.figures:
            status("drawing")
            folder = self.folder / run_folder.FIGURES
            folder.mkdir(exist_ok=True)
            with ThreadPoolExecutor(1) as pool:  # saves a figure while the next is drawn
                saved = {
                    name: pool.submit(save, drawn(draw()), folder / f"{name}.png")
                    for name, draw in draws.items()
                }
            files = {name: each.result() for name, each in saved.items()}
        self.monitor.finish(trainer, predictor, results, files, self.text)
        status()

    def _saved(
        self, model: Forecaster, data: WindowDataModule
    ) -> tuple[Predictor, BacktestReport | None, str]:
        """Return the saved predictor, its backtest, and why it has no network, if so."""
        # Without a validation there are only the last weights.
        best = self.folder / run_folder.BEST
        if best.exists() and self.keep == "best":
            model.load_state_dict(checkpoint_io.read(best)["state_dict"])
        predictor, left_out = model.predictor.copy(), ""
        if self.keep == "best":
            predictor, left_out = keep_if_better(predictor, data.windows["val"])
        found = evaluate_backtest(predictor.copy().double(), data)
        if found is not None:
            predictor.radius, predictor.coverage = found.radius.double(), found.coverage
            predictor.typical_error.fill_(found.typical_error)
        predictor.seen = torch.stack(data.values.aminmax()).double()
        predictor.save(self.folder / run_folder.MODEL)
        return Predictor.load(self.folder / run_folder.MODEL), found, left_out
