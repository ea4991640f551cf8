"""A forecast: a trained network goes on where a series ends."""

import csv
import io
import math
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from sinrnn.filesystem import write


@dataclass
class Forecast:
    """Predictions of what follows a series, with intervals.

    Args:
        start: Index in the series of the first prediction.
        read: The last values of the series, which the network has read, (T,).
        prediction: In the series' units, (steps,).
        radius: Half-widths of the intervals that hold 90 % of what comes, (steps,); nan where none
            is known: further ahead than they were measured.

    Example:
        >>> import torch
        >>> nan = float("nan")
        >>> made = Forecast(60, torch.zeros(4), torch.tensor([1.0, 2.0]), torch.tensor([0.5, nan]))
        >>> made.lower
        tensor([0.5000,    nan])
        >>> made.to_csv("forecast.csv")
    """

    start: int
    read: Tensor
    prediction: Tensor
    radius: Tensor

    @property
    def index(self) -> range:
        """Indices in the series of the predictions."""
        return range(self.start, self.start + len(self.prediction))

    @property
    def lower(self) -> Tensor:
        """Lower ends of the intervals, (steps,); nan where none is known."""
        return self.prediction - self.radius

    @property
    def upper(self) -> Tensor:
        """Upper ends of the intervals, (steps,); nan where none is known."""
        return self.prediction + self.radius

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
