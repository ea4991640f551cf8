"""What was measured of a run: losses, curves, a rollout."""

import csv
import math
from collections.abc import Mapping
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

# Squared error of float64 arithmetic on numbers of order 1, with room for a long sum.
ROUNDING = 1e-26


@dataclass
class Rollout:
    """A closed loop beside the truth: `steps` predictions, each fed back as the next input.

    Attributes:
        start: Index in the series of the first prediction.
        warm_up: The window that was read first, (T,).
        prediction: (steps,).
        truth: (steps,).
    """

    start: int
    warm_up: Tensor
    prediction: Tensor
    truth: Tensor

    @property
    def rmse(self) -> float:
        """Root of the mean squared error over all steps, in the series' units."""
        return (self.prediction - self.truth).square().mean().sqrt().item()


@dataclass
class History:
    """What metrics.csv tells of a run, a value for each time that it was validated.

    Attributes:
        epochs: Epochs done; 0 is before training.
        losses: half_mse of the "train" and "val" splits.
        norm: Gradient norm before clipping, the mean over the steps since the last value; it and
            the following are one shorter than epochs, as nothing has been learnt before training.
        norm_max: The largest of those norms.
        clipped_steps: Share of those steps in which something was clipped; empty without a clip.
    """

    epochs: list[float] = field(default_factory=list)
    losses: dict[str, list[float]] = field(default_factory=lambda: {"train": [], "val": []})
    norm: list[float] = field(default_factory=list)
    norm_max: list[float] = field(default_factory=list)
    clipped_steps: list[float] = field(default_factory=list)

    @classmethod
    def read(cls, path: Path) -> Self:
        """The history in a run's metrics.csv; empty where there is no such file.

        Raises:
            ValueError: A line is not whole, or has text where a number belongs.
            OSError: It is no file, or may not be read.
        """
        found = cls()
        if not path.exists():
            return found
        with local(path).open() as file:
            rows = csv.DictReader(file)
            for row in rows:
                try:
                    found._add(row)
                except (KeyError, TypeError, ValueError, csv.Error) as error:
                    reason = f"no {error}" if isinstance(error, KeyError) else error
                    raise ValueError(f"{path}, line {rows.line_num}: {reason}") from error
        return found

    def to_pandas(self) -> "DataFrame":
        """A row for each validation: epoch, train, val, and what is known of the gradient.

        Returns:
            A DataFrame; norm, norm_max and clipped_steps are nan before training.
        """
        from pandas import DataFrame  # slow to import

        gradient = {name: getattr(self, name) for name in ("norm", "norm_max", "clipped_steps")}
        before = {name: [math.nan] * (len(self.epochs) - len(v)) for name, v in gradient.items()}
        known = {name: before[name] + values for name, values in gradient.items() if values}
        return DataFrame({"epoch": self.epochs} | self.losses | known)

    def _add(self, row: dict[str, str]) -> None:
        if None in row or None in row.values():
            raise ValueError("another number of cells than names")
        if not row["half_mse/val"]:
            return
        self.epochs.append(float(row["epoch"]) + 1 if row.get("epoch") else 0.0)
        for name, values in self.losses.items():
            values.append(float(row[f"half_mse/{name}"]))
        for name in ("norm", "norm_max", "clipped_steps"):
            if row.get(f"gradient/{name}"):
                getattr(self, name).append(float(row[f"gradient/{name}"]))


class Need(NamedTuple):
    """The epochs that an option needs until all has happened that it asks for.

    Attributes:
        value: The option's.
        epochs: Of training.
        option: Whether its name is that of an option of scripts/train.py.
        waits: Whether it ends training then, if nothing better comes.
    """

    value: int
    epochs: int
    option: bool = True
    waits: bool = False


@dataclass(frozen=True)
class Settings:
    """What a run was set to, as far as advice depends on it; None where that is not known.

    What is not named here is as the arguments of `Predictor` and `Forecaster` of that name.

    Attributes:
        longest: The longest window that every split has room for.
        period: Strongest period of the training split, in steps, or None.
        lr: Learning rate of the optimizer.
        epochs: The trainer's max_epochs.
        clip: Where gradients were clipped, or None.
        keep: The weights that were kept: "best" or "last".
        needs: Options that count epochs, by dotted name.
        unused: Options that have no effect, and the option that each lacks.
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
    """Everything that the closing table says, and that the diagnosis looks at.

    Attributes:
        half_mse: Loss by forecaster ("network" and each baseline), then by split.
        variance: Of the targets of each split.
        saturated: Share of hidden units with |h| > 0.99 after the validation windows.
        spectral_radius: Of Whh, its largest eigenvalue's absolute value.
        trace: Of a batch of training windows.
        settings: What the run was set to.
        flatness: Deviation of the training predictions over that of their targets.
        lag: Steps by which the validation predictions fit the series best when they are taken as
            late: 0 is what is wanted, the horizon is a copy of the last value.
        outside: Share of the targets outside the training range, of "val" and "test".
        train_range: Least and greatest value of the training split.
        history: The run's curves.
        rollout: The closed loop, or None where there can be none.
        coverage: Share of the test split's samples that the intervals hold, or None.
        backtest_report: Forecasts from many origins, or None.
        seconds: Of training.
        epochs: Of training, those of before a resume among them; None where it is not known.
        ended: Why training ended before its last epoch, if it did.
        where: What else the closing lists, by name: the run's folder, the TensorBoard command.
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
        """Whether a forecaster makes no error on a split but that of rounding."""
        return self.half_mse[name][split] <= ROUNDING * self.variance[split]

    def best_baseline(self, split: str) -> tuple[str, float] | None:
        """The baseline with the lowest loss on a split, and that loss.

        One that is exact up to rounding, as an autoregression is on a sine, is left out: beside it
        nothing has a skill. None where no other is left.
        """
        names = [name for name, row in self.half_mse.items() if name != "network" and split in row]
        found = [(self.half_mse[n][split], n) for n in names if not self.exact(n, split)]
        return min(found)[::-1] if found else None


def losses(
    predictions: Mapping[str, Tensor],
    windows: Mapping[str, tuple[Tensor, Tensor]],
    horizon: int,
    more: Mapping[str, Mapping[str, Tensor]] | None = None,
) -> dict[str, dict[str, float]]:
    """half_mse of the network and of each baseline, fitted on "train", over each split.

    Args:
        predictions: The network's, by split, (N,).
        windows: Windows (N, T) and targets (N,), by split.
        horizon: Steps from a window's end to its target.
        more: Predictions of other baselines, by name, then by split.
    """
    more = more or {}
    beside = baselines.baselines(*windows["train"], horizon)
    found: dict[str, dict[str, float]] = {name: {} for name in ("network", *beside, *more)}
    for split, (x, y) in windows.items():
        made = {"network": predictions[split]} | {name: r(x) for name, r in beside.items()}
        made |= {name: by_split[split] for name, by_split in more.items()}
        for name, prediction in made.items():
            found[name][split] = half_mse(prediction.double(), y.double()).item()
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
    """Let the network read the window at `start`, then run on for up to `most` steps.

    Args:
        predictor: With horizon 1.
        values: The series (points,), as far as it is known.
        start: Index of the first sample read.
        window: Samples read.
        most: Predictions to make where the truth is known that far.
        truth: What they are compared with, like values; None is values.

    Returns:
        The rollout, or None where there is no truth to compare with or horizon is not 1.
    """
    first = start + window
    truth = (values if truth is None else truth)[first : first + most].double()
    net = predictor.net
    if predictor.horizon != 1 or net.input_size != net.output_size or len(truth) == 0:
        return None
    warm_up = values[start:first]
    made = predictor.rollout(warm_up, len(truth)).cpu()
    return Rollout(first, warm_up.double(), made, truth)
