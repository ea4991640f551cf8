"""A forecast: a trained network goes on where a series ends."""

import csv
import io
import math
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from sinrnn.filesystem import write


@dataclass
class Forecast:
    """Predictions of what follows a series, with intervals.

    Args:
        start: Index in the series of the first prediction.
        read: The last values of the series, which the network has read, (T,).
        prediction: In the series' units, (steps,).
        lower: Lower ends of the intervals that hold 90 % of what comes, (steps,); nan where none is
            known: further ahead than they were measured.
        upper: Upper ends, likewise.
        coverage: Share of the test split's samples that such intervals held, (steps,); nan where
            that is not known.
        cautions: A sentence for each reason not to believe it.

    Example:
        >>> import torch
        >>> nan = float("nan")
        >>> lower, upper = torch.tensor([0.5, nan]), torch.tensor([1.5, nan])
        >>> made = Forecast(60, torch.zeros(4), torch.tensor([1.0, 2.0]), lower, upper)
        >>> made.to_csv("forecast.csv")
    """

    start: int
    read: Tensor
    prediction: Tensor
    lower: Tensor
    upper: Tensor
    coverage: Tensor | None = None
    cautions: tuple[str, ...] = ()

    @property
    def index(self) -> range:
        """Indices in the series of the predictions."""
        return range(self.start, self.start + len(self.prediction))

    @property
    def held(self) -> float | None:
        """Share of the test split's samples that the intervals held, over the steps that have them.

        None where that is not known.
        """
        known = torch.zeros(0) if self.coverage is None else self.coverage[self.lower.isfinite()]
        return known.mean().item() if len(known) and known.isfinite().all() else None

    def to_csv(self, path: str | Path) -> None:
        """Write one line a step: index, prediction, lower, upper; the last two empty if not known.

        Args:
            path: The file; what was there is replaced.

        Raises:
            OSError: The file cannot be written; what was there is as it was.
        """
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["index", "prediction", "lower", "upper"])
        columns = (self.prediction.tolist(), self.lower.tolist(), self.upper.tolist())
        for index, y, *ends in zip(self.index, *columns, strict=True):
            writer.writerow([index, y, *("" if math.isnan(end) else end for end in ends)])
        write(path, text.getvalue().encode())


def stretched(known: Tensor, made: Tensor) -> Tensor:
    """Numbers by step, (K,), for predictions (steps,); nan where none is known, or it is inf."""
    found = torch.full_like(made, math.nan)
    found[: len(known)] = known[: len(made)].where(known[: len(made)].isfinite(), math.nan)
    return found
