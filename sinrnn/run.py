"""A run: trained by `fit`, opened by `Run`."""

import base64
import html
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from sinrnn import run_folder
from sinrnn._numbers import plain
from sinrnn.data.arrays import SeriesLike
from sinrnn.data.series import Series
from sinrnn.evaluation.diagnosis.checks import Diagnosis, diagnose
from sinrnn.evaluation.results import History, Results
from sinrnn.filesystem import refuse_links, shown
from sinrnn.forecasting.forecast import Forecast
from sinrnn.forecasting.predictor import Predictor

if TYPE_CHECKING:
    from sinrnn.callbacks.monitor import Monitor
    from sinrnn.data.datamodule import WindowDataModule
    from sinrnn.evaluation.figures import Figures
    from sinrnn.training.forecaster import Forecaster


class Run:
    """A training run's folder, opened again: its files are read when they are asked for.

    Args:
        folder: The run's folder, as `fit` or scripts/train.py made it.
        trust: Modules of your own that its config may name; they are imported, and run.

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
            raise FileNotFoundError(f"{folder} is not a run's folder: no {run_folder.CONFIG} in it")

    @cached_property
    def config(self) -> dict[str, Any]:
        """The configuration, as plain values."""
        from sinrnn.config import stored  # jsonargparse is slow to import

        return stored.read(self.folder)

    @cached_property
    def predictor(self) -> Predictor:
        """The trained predictor; before training has ended, that of the checkpoint to keep.

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
        """The data that it was trained on, set up.

        Raises:
            ValueError: The config does not say, or the data no longer fit the predictor.
        """
        self._data.setup()
        return self._data

    @cached_property
    def _data(self) -> "WindowDataModule":
        from sinrnn.config import stored

        return stored.data(self.folder, self.config, self.predictor, self.trust)

    @property
    def series(self) -> Series:
        """The series that it was trained on.

        Raises:
            ValueError: The config does not say.
        """
        return self._data.series

    @cached_property
    def history(self) -> History:
        """Losses and gradient norms by epoch, of metrics.csv."""
        return History.read(self.folder / run_folder.METRICS)

    @cached_property
    def _predicted(self) -> dict[str, Tensor]:
        from sinrnn.evaluation.evaluate import predictions

        return predictions(self.predictor, self.data)

    @cached_property
    def _evaluated(self) -> Results:
        """The results but for the backtest, which takes the longest."""
        from sinrnn.config import stored
        from sinrnn.evaluation.evaluate import evaluate

        settings = stored.settings(self.folder, self.config)
        return evaluate(self.predictor, self.data, self._predicted, self.history, settings)

    @cached_property
    def results(self) -> Results:
        """What the predictor is worth on its data: losses by split, closed loop, backtest."""
        from sinrnn.evaluation.backtest import evaluate_backtest

        found = evaluate_backtest(self.predictor.copy().double(), self.data)
        return replace(self._evaluated, backtest_report=found)

    @property
    def report(self) -> str:
        """The text that training ended with: losses, baselines, closed loop, intervals.

        Raises:
            FileNotFoundError: Training has not ended yet.
        """
        path = self.folder / run_folder.REPORT
        if not path.is_file():
            raise FileNotFoundError(f"{path} does not exist: training has not ended")
        return path.read_text("utf-8").partition("```text\n")[2].rpartition("\n```")[0]

    @cached_property
    def figures(self) -> "Figures":
        """The run's pictures by name, each a matplotlib Figure that is drawn when asked for."""
        from sinrnn.evaluation.figures import Figures, pictures

        results, epoch = self.results, self.config.get("model", {}).get("readout_epoch")
        return Figures(pictures(self.data, self._predicted, results, epoch))

    def diagnose(self, command_line: bool = False) -> Diagnosis:
        """What was measured of the training, what is wrong, and what to try.

        Args:
            command_line: Whether advice names options of scripts/train.py, or else Python's
                arguments.
        """
        return diagnose(self._evaluated, command_line)

    def forecast(self, steps: int, series: SeriesLike | None = None) -> Forecast:
        """Predict what follows a series, in closed loop.

        Args:
            steps: Predictions to make.
            series: The series, or its values (points,); None is the one that was trained on.

        Raises:
            ValueError: As `Predictor.forecast`.
        """
        return self.predictor.forecast(self.series if series is None else series, steps)

    def __repr__(self) -> str:
        path = self.folder / run_folder.REPORT
        about = f"Run({str(self.folder)!r})"
        return f"{about}\n\n{self.report}" if path.is_file() else about

    def _repr_html_(self) -> str:
        # Notebooks give <pre> the font of their text, in which columns do not line up.
        text = f'<pre style="font-family: monospace">{html.escape(repr(self))}</pre>'
        picture = self.folder / run_folder.FIGURES / "rollout.png"
        if not picture.is_file():
            return text
        png = base64.b64encode(picture.read_bytes()).decode()
        return f'{text}<img src="data:image/png;base64,{png}" alt="rollout">'


def fit(
    model: "Forecaster",
    data: "WindowDataModule",
    *,
    name: str = "run",
    folder: str | Path = "runs",
    resume: str | Path | Run | None = None,
    keep: str = "best",
    figures: bool = True,
    monitor: "Monitor | None" = None,
    threads: int | None = 1,
    seed: int | None = None,
    **trainer: Any,
) -> Run:
    """Train a model in a folder of its own, as scripts/train.py does.

    Ctrl-C stops after the current step and saves; the run can then be resumed.

    Args:
        model: What is trained; it keeps what it has learnt.
        data: What it learns from.
        name: The run's folder is the first free `folder`/`name`/version_0, version_1, ...
        folder: Where runs go.
        resume: A run to resume, or its folder, with the model and data that it was started with.
        keep: Weights to save and report: those that are "best" on the validation split, or "last".
        figures: Whether figures/ is drawn at the end.
        monitor: What shows training in TensorBoard; None shows everything.
        threads: CPU threads of torch during training; None leaves them as they are.
        seed: Seeds all random numbers, draws the weights anew and fixes the order of the windows;
            None leaves weights and order as they are.
        **trainer: Arguments of Lightning's Trainer: max_epochs, gradient_clip_val, callbacks, ...

    Returns:
        The run; after Ctrl-C its checkpoint is in its folder, and no report.

    Raises:
        TypeError: model is not a Forecaster, data not a WindowDataModule, or an argument unknown.
        ValueError: Options contradict each other or the data; or what is resumed was another run.
        FloatingPointError: The loss or its gradient is no longer finite.

    Example:
        >>> from sinrnn import Forecaster, WindowDataModule, fit
        >>> model, data = Forecaster(hidden_size=8, linear=True), WindowDataModule()
        >>> run = fit(model, data, max_epochs=2, figures=False, enable_progress_bar=False)
        >>> run.results.half_mse["network"]["test"] < 1e-6
        True
    """
    import lightning.pytorch as pl  # Lightning and jsonargparse are slow to import

    from sinrnn.callbacks.monitor import Monitor
    from sinrnn.config.describe import TRAINER, describe
    from sinrnn.data.datamodule import WindowDataModule
    from sinrnn.job import prepare
    from sinrnn.training.forecaster import Forecaster
    from sinrnn.training.quiet import quietly
    from sinrnn.training.signals import Interrupted

    for what, given, cls in (("model", model, Forecaster), ("data", data, WindowDataModule)):
        if not isinstance(given, cls):
            raise TypeError(f"{what} must be a {cls.__name__}, got {type(given).__name__}")
    resumed = resume.folder if isinstance(resume, Run) else Path(resume) if resume else None
    monitor = monitor or Monitor()
    trainer, threads, seed = plain((TRAINER | trainer, threads, seed))
    with quietly(threads):
        if seed is not None:
            pl.seed_everything(seed, verbose=False)
            model.net.reset_parameters()
            data.seed = seed
        options = {"name": name, "threads": torch.get_num_threads(), "keep": keep}
        options |= {"figures": figures, "resume": None, "seed_everything": data.seed}
        job = prepare(
            model,
            data,
            lambda folder: describe(model, data, monitor, trainer, folder, **options),
            trainer=trainer,
            monitor=monitor,
            parent=Path(folder) / run_folder.folder_name(name),
            resume=resumed,
            keep=keep,
            figures=figures,
            command=lambda folder: f"fit(model, data, resume={str(folder)!r})",
            command_line=False,
        )
        if job.trainer.is_global_zero:
            for note in data.series.notes:
                print(shown(f"note: {note}"))  # noqa: T201
        try:
            job.train()
        except Interrupted as stopped:
            if job.trainer.is_global_zero:
                print(shown(f"{stopped}, and saved; go on with: {job.resume}"))  # noqa: T201
        finally:
            job.leave()
    return Run(job.folder)
