"""`Run`: a training run's folder, opened from Python."""

import base64
import html
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from torch import Tensor

from sinrnn import run_folder
from sinrnn.config import files
from sinrnn.data.arrays import SeriesLike
from sinrnn.data.series import Series
from sinrnn.evaluation.diagnosis.checks import Diagnosis, diagnose
from sinrnn.evaluation.results import History, Results
from sinrnn.evaluation.summary import Summary
from sinrnn.filesystem import refuse_links
from sinrnn.forecasting.forecast import Forecast
from sinrnn.forecasting.predictor import Predictor

if TYPE_CHECKING:
    from sinrnn.data.datamodule import WindowDataModule
    from sinrnn.data.splits import Splits
    from sinrnn.evaluation.figures import Figures


class Run:
    """A training run's folder, as `fit` and scripts/train.py write it; files are read on access.

    Args:
        folder: The run's folder.
        trust: Modules of your own that its config may name; they are imported and executed.

    Raises:
        FileNotFoundError: The folder holds no config.yaml.
        OSError: The folder holds a link, a pipe or a device.

    Example:
        >>> from sinrnn import Forecaster, Run, WindowDataModule, fit
        >>> model, data = Forecaster(hidden_size=8), WindowDataModule()
        >>> run = fit(model, data, max_epochs=2, figures=False, enable_progress_bar=False)
        >>> Run(run.folder).forecast(5).prediction.shape
        torch.Size([5])
    """

    def __init__(self, folder: str | Path, *, trust: Sequence[str] = ()) -> None:
        self.folder, self.trust = Path(folder), trust
        refuse_links(self.folder)
        if not (self.folder / run_folder.CONFIG).is_file():
            raise FileNotFoundError(run_folder.no_run(self.folder))

    @classmethod
    def latest(cls, folder: str | Path, *, trust: Sequence[str] = ()) -> Self:
        """Open the newest run of a name.

        Args:
            folder: The folder of its versions, such as runs/sine.
            trust: As for the class.

        Raises:
            FileNotFoundError: The folder holds no run.
        """
        versions = run_folder.versions(Path(folder))
        if not versions:
            raise FileNotFoundError(
                f"{folder} holds no run: name the folder that has version_0, version_1, ..."
            )
        return cls(versions[-1], trust=trust)

    @cached_property
    def config(self) -> dict[str, Any]:
        """The configuration, as plain values."""
        return files.read(self.folder)

    @cached_property
    def predictor(self) -> Predictor:
        """The trained predictor; before training has ended, that of the best or last checkpoint.

        Raises:
            FileNotFoundError: Nothing is saved yet.
        """
        path = self.folder / run_folder.MODEL
        best, last = self.folder / run_folder.BEST, self.folder / run_folder.LAST
        if path.exists() or not last.exists():
            return Predictor.load(path)
        from sinrnn.training.forecaster import Forecaster  # Lightning is slow to import

        keeps_best = self.config.get("keep") == "best" and best.exists()
        return Forecaster.load_from_checkpoint(best if keeps_best else last).predictor

    @cached_property
    def data(self) -> "WindowDataModule":
        """The run's data module, set up.

        Raises:
            ValueError: The config does not hold it, or the data no longer fit the predictor.
        """
        from sinrnn.config import restore

        found = restore.restore_data(self.folder, self.config, self.predictor, self.trust)
        found.setup()
        return found

    @cached_property
    def _splits(self) -> "Splits":
        """The same without Lightning, and not set up."""
        from sinrnn.config import restore  # jsonargparse is slow to import

        return restore.restore_splits(self.folder, self.config, self.predictor, self.trust)

    @cached_property
    def _windows(self) -> "Splits":
        self._splits.setup()
        return self._splits

    @property
    def series(self) -> Series:
        """The series that the run was trained on.

        Raises:
            ValueError: The config does not hold it.
        """
        return self._splits.series

    @cached_property
    def history(self) -> History:
        """Losses and gradient norms by epoch, from metrics.csv."""
        return History.read(self.folder / run_folder.METRICS)

    @cached_property
    def _predicted(self) -> dict[str, Tensor]:
        from sinrnn.evaluation.evaluate import predictions

        return predictions(self.predictor, self._windows)

    @cached_property
    def _evaluated(self) -> Results:
        """The results without the backtest, which takes the longest."""
        from sinrnn.config import restore
        from sinrnn.evaluation.evaluate import evaluate

        settings = restore.restore_settings(self.folder, self.config)
        found = evaluate(self.predictor, self._windows, self._predicted, self.history, settings)
        path = self.folder / run_folder.RESULTS  # an unfinished run may still reach its options
        return replace(found, epochs=Summary.read(path).epochs if path.is_file() else None)

    @cached_property
    def results(self) -> Results:
        """The predictor's evaluation on its data: losses by split, rollout, backtest."""
        from sinrnn.evaluation.backtest import evaluate_backtest

        found = evaluate_backtest(self.predictor.copy().double(), self._windows)
        return replace(self._evaluated, backtest_report=found)

    @property
    def report(self) -> str:
        """The report of training: losses, baselines, rollout, intervals.

        Raises:
            FileNotFoundError: Training has not ended yet.
        """
        path = self.folder / run_folder.REPORT
        if not path.is_file():
            raise FileNotFoundError(f"{path} does not exist: training has not ended")
        return path.read_text("utf-8").partition("```text\n")[2].rpartition("\n```")[0]

    @cached_property
    def figures(self) -> "Figures":
        """The run's pictures by name; each is a matplotlib Figure, drawn on access."""
        from sinrnn.evaluation.figures import Figures, pictures

        results, epoch = self.results, self.config.get("model", {}).get("readout_epoch")
        return Figures(pictures(self._windows, self._predicted, results, epoch))

    def diagnose(self, command_line: bool = False) -> Diagnosis:
        """Return what was measured, the problems found, and what to try.

        Args:
            command_line: Whether advice names options of scripts/train.py instead of Python's
                arguments.
        """
        return diagnose(self._evaluated, command_line)

    def forecast(self, steps: int, series: SeriesLike | None = None) -> Forecast:
        """Predict the values after a series in closed loop, with intervals.

        Args:
            steps: Number of predictions.
            series: The series, or its values (points,); None is the run's own.

        Raises:
            ValueError: As `Predictor.forecast`.
        """
        return self.predictor.forecast(self.series if series is None else series, steps)

    def resume(self, *, max_epochs: int | None = None, **trainer: Any) -> Self:
        """Continue training from the last checkpoint, as `scripts/train.py --resume`.

        It needs only the folder, also in another process. Ctrl-C stops and saves.

        Args:
            max_epochs: Total number of epochs; None is the config's.
            **trainer: Other arguments of Lightning's Trainer that may change: enable_progress_bar,
                max_steps, max_time, gradient_clip_val.

        Returns:
            This run; its files are read again.

        Raises:
            ValueError: The run used code that a config cannot hold, use
                `fit(model, data, resume=run)`; an argument may not change; or the series changed.
            FloatingPointError: The loss or its gradient is no longer finite.
        """
        from sinrnn.job import resume  # Lightning is slow to import

        given = {} if max_epochs is None else {"max_epochs": max_epochs}
        resume(self.folder, given | trainer, self.trust)
        known = {"folder": self.folder, "trust": self.trust}
        vars(self).clear()
        vars(self).update(known)
        return self

    def __repr__(self) -> str:
        path = self.folder / run_folder.REPORT
        about = f"Run({str(self.folder)!r})"
        return f"{about}\n\n{self.report}" if path.is_file() else about

    def _repr_html_(self) -> str:
        # Notebooks set <pre> in a proportional font, in which columns do not line up.
        text = f'<pre style="font-family: monospace">{html.escape(repr(self))}</pre>'
        picture = self.folder / run_folder.FIGURES / "rollout.png"
        if not picture.is_file():
            return text
        png = base64.b64encode(picture.read_bytes()).decode()
        return f'{text}<img src="data:image/png;base64,{png}" alt="rollout">'
