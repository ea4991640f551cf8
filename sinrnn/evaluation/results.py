"""The measurements of a run: losses, history, rollout and settings."""

import csv
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self

import torch
from torch import Tensor

from sinrnn.evaluation import baselines
from sinrnn.evaluation.backtest import BacktestReport
from sinrnn.filesystem import local
from sinrnn.forecasting.predictor import Predictor
from sinrnn.nn.functional import half_mse
from sinrnn.nn.trace import Trace

if TYPE_CHECKING:
    from pandas import DataFrame

# Squared rounding error of a long sum in float64, relative to the variance.
ROUNDING = 1e-26
COMPARED = 2**18  # windows at a time: which limits the memory of the baselines


@dataclass
class Rollout:
    """A closed loop, in which each prediction is the next input, and the truth.

    Attributes:
        start: Index of the first prediction in the series.
        warm_up: The window before it, (T,).
        prediction: Predictions (steps,).
        truth: The series (steps,).
    """

    start: int
    warm_up: Tensor
    prediction: Tensor
    truth: Tensor

    @property
    def rmse(self) -> float:
        """Root mean squared error over all steps, in the units of the series."""
        return (self.prediction - self.truth).square().mean().sqrt().item()


@dataclass
class History:
    """The history of a run in metrics.csv, with one value per validation.

    Attributes:
        epochs: Number of completed epochs. 0 is before training.
        losses: half_mse of the "train" and "val" splits.
        norm: Mean gradient norm before clipping over the steps since the last value. This list and
            the following have no value for epoch 0.
        norm_max: Maximum of these norms.
        clipped_steps: Share of these steps in which the gradient was clipped. Empty without
            clipping.
    """

    epochs: list[float] = field(default_factory=list)
    losses: dict[str, list[float]] = field(default_factory=lambda: {"train": [], "val": []})
    norm: list[float] = field(default_factory=list)
    norm_max: list[float] = field(default_factory=list)
    clipped_steps: list[float] = field(default_factory=list)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read the history from a metrics.csv. It is empty if the file does not exist.

        Raises:
            ValueError: A line is incomplete, or has text in place of a number.
            OSError: The path is not a file, or cannot be read.
        """
        history = cls()
        if not path.exists():
            return history
        with local(path).open() as file:
            rows = csv.DictReader(file)
            for row in rows:
                try:
                    history._add(row)
                except (KeyError, TypeError, ValueError, csv.Error) as error:
                    reason = f"no {error}" if isinstance(error, KeyError) else error
                    raise ValueError(f"{path}, line {rows.line_num}: {reason}") from error
        return history

    def to_pandas(self) -> "DataFrame":
        """Return the history as a DataFrame with one row per validation.

        Returns:
            Columns epoch, train and val, and those of norm, norm_max and clipped_steps that have
            values, which are nan before training.
        """
        from pandas import DataFrame  # slow to import

        gradient = {name: getattr(self, name) for name in ("norm", "norm_max", "clipped_steps")}
        before = {name: [math.nan] * (len(self.epochs) - len(v)) for name, v in gradient.items()}
        known = {name: before[name] + values for name, values in gradient.items() if values}
        return DataFrame({"epoch": self.epochs} | self.losses | known)

    def _add(self, row: dict[str, str]) -> None:
        if None in row or None in row.values():
            raise ValueError("it must have as many cells as the header")
        if not row["half_mse/val"]:
            return
        self.epochs.append(float(row["epoch"]) + 1 if row.get("epoch") else 0.0)
        for name, values in self.losses.items():
            values.append(float(row[f"half_mse/{name}"]))
        for name in ("norm", "norm_max", "clipped_steps"):
            if row.get(f"gradient/{name}"):
                getattr(self, name).append(float(row[f"gradient/{name}"]))


class Need(NamedTuple):
    """The number of epochs that an option needs to take effect.

    Attributes:
        value: The value of the option.
        epochs: The number of epochs.
        option: Whether it is an option of scripts/train.py.
        waits: Whether it stops training after these epochs without improvement.
    """

    value: int
    epochs: int
    option: bool = True
    waits: bool = False


@dataclass(frozen=True)
class Settings:
    """The settings of a run on which advice depends. None is not known.

    Attributes that are not listed are arguments of `Predictor` and `Forecaster`.

    Attributes:
        longest: The longest window that fits into every split.
        period: Strongest period of the training split in steps, or None.
        lr: Learning rate of the optimizer.
        epochs: The trainer's max_epochs.
        clip: The trainer's gradient_clip_val, or None.
        keep: The weights that are kept: "best" or "last".
        needs: The options that count epochs, by dotted name.
        unused: The options that have no effect, with the missing option each needs.
    """

    window: int = 1
    longest: int = 0
    period: int | None = None
    init: str | None = None
    bptt_steps: int | None = None
    standardise: bool = False
    log: bool = False
    relative: bool = False
    linear: bool = False
    stateful: bool = False
    lr: float | None = None
    epochs: int | None = None
    clip: float | None = None
    keep: str | None = None
    updates: str = "batch"
    loss: str = "last"
    input_noise: float = 0.0
    needs: dict[str, Need] = field(default_factory=dict)
    unused: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Results:
    """All measurements of a run, for the report and the diagnosis.

    Attributes:
        half_mse: Loss by forecaster ("network" and each baseline), then by split.
        variance: Variance of the targets by split.
        saturated: Share of hidden units with |h| > 0.99 at the end of the validation windows.
        spectral_radius: Largest absolute eigenvalue of Whh.
        trace: The trace of a batch of training windows.
        settings: The settings of the run.
        flatness: Standard deviation of the training predictions over that of their targets.
        lag: Steps by which the validation predictions lag behind their targets; see `metrics.lag`.
        outside: Share of the targets outside the training range, of "val" and "test".
        train_range: Minimum and maximum of the training split.
        history: The losses by epoch.
        rollout: The closed loop, or None if the horizon is not 1 or no samples are left.
        coverage: Share of the test split's samples within the intervals, or None.
        backtest_report: The backtest, or None.
        seconds: Duration of the training.
        epochs: Number of epochs, including those before a resume. None if it is not known.
        ended: Why training ended before its last epoch, or "".
        where: Further lines of the report by name: the run's folder, the TensorBoard command.
    """

    half_mse: dict[str, dict[str, float]]
    variance: dict[str, float]
    saturated: float
    spectral_radius: float
    trace: Trace | None = None
    settings: Settings = Settings()
    flatness: float | None = None
    lag: int | None = None
    outside: dict[str, float] = field(default_factory=dict)
    train_range: tuple[float, float] = (0.0, 0.0)
    history: History | None = None
    rollout: Rollout | None = None
    coverage: float | None = None
    backtest_report: BacktestReport | None = None
    seconds: float = 0.0
    epochs: int | None = None
    ended: str = ""
    where: dict[str, str] = field(default_factory=dict)

    def exact(self, name: str, split: str) -> bool:
        """Return whether a forecaster has only rounding errors on a split."""
        return self.half_mse[name][split] <= ROUNDING * self.variance[split]

    def best_baseline(self, split: str) -> tuple[str, float] | None:
        """Return the baseline with the lowest loss on a split, and that loss, or None.

        Baselines that are exact up to rounding are left out, such as an autoregression on a sine:
        no skill is defined against them.
        """
        names = [name for name, row in self.half_mse.items() if name != "network" and split in row]
        losses = [(self.half_mse[n][split], n) for n in names if not self.exact(n, split)]
        return min(losses)[::-1] if losses else None


def losses(
    predictions: Mapping[str, Tensor],
    windows: Mapping[str, tuple[Tensor, Tensor]],
    horizon: int,
    more: Mapping[str, Mapping[str, Callable[[int, int], Tensor]]] | None = None,
) -> dict[str, dict[str, float]]:
    """Return half_mse of the network and of each baseline on each split.

    Args:
        predictions: Predictions (N,) of the network by split.
        windows: Windows (N, T) and targets (N,) by split. Baselines are fitted to "train".
        horizon: Steps from a window's end to its target.
        more: Other baselines, by name, then by split. Each returns its predictions for the windows
            from one index up to another.
    """
    more = more or {}
    fitted = baselines.baselines(*windows["train"], horizon)
    found: dict[str, dict[str, float]] = {name: {} for name in ("network", *fitted, *more)}
    for split, (x, y) in windows.items():
        for row in found.values():
            row[split] = 0.0
        for first in range(0, len(y), COMPARED):
            part = slice(first, min(first + COMPARED, len(y)))
            by_name = {"network": predictions[split][part]}
            by_name |= {name: baseline(x[part]) for name, baseline in fitted.items()}
            by_name |= {
                name: by_split[split](part.start, part.stop) for name, by_split in more.items()
            }
            for name, prediction in by_name.items():
                loss = half_mse(prediction.double(), y[part].double()).item()
                found[name][split] += loss * (len(prediction) / len(y))
    return found


@torch.no_grad()
def rollout(
    predictor: Predictor,
    values: Tensor,
    start: int,
    window: int,
    most: int,
    truth: Tensor | None = None,
) -> Rollout | None:
    """Predict in closed loop after the window at `start`, for up to `most` steps.

    Args:
        predictor: The predictor.
        values: The series (points,).
        start: Index of the first sample of the window.
        window: Number of samples in the window.
        most: Maximum number of predictions. There are fewer if the truth ends earlier.
        truth: The series without noise (points,), to compare with. None is values.

    Returns:
        The rollout, or None if the horizon is not 1 or the truth ends with the window.
    """
    first = start + window
    truth = (values if truth is None else truth)[first : first + most].double()
    net = predictor.net
    if predictor.horizon != 1 or net.input_size != net.output_size or len(truth) == 0:
        return None
    warm_up = values[start:first]
    prediction = predictor.rollout(warm_up, len(truth)).cpu()
    return Rollout(first, warm_up.double(), prediction, truth)
