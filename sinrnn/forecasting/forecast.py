"""A forecast: a trained network goes on where a series ends."""

import csv
import io
import math
from dataclasses import dataclass

from torch import Tensor


@dataclass
class Forecast:
    """What comes after a series, as far as a network can tell.

    Attributes:
        start: Index in the series of the first prediction.
        read: The last values of the series, which the network has read, (T,).
        prediction: In the series' units, (steps,).
        radius: Half-widths of the intervals that hold 90 % of what comes, (steps,); nan where none
            is known: further ahead than they were measured.
    """

    start: int
    read: Tensor
    prediction: Tensor
    radius: Tensor

    def csv(self) -> str:
        """One line a step: index, prediction, lower, upper; the last two empty if not known."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["index", "prediction", "lower", "upper"])
        pairs = zip(self.prediction.tolist(), self.radius.tolist(), strict=True)
        for index, (y, radius) in enumerate(pairs, self.start):
            ends = ("", "") if math.isnan(radius) else (y - radius, y + radius)
            writer.writerow([index, y, *ends])
        return text.getvalue()
