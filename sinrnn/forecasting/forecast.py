"""A forecast: a trained network goes on where a series ends."""

import csv
import io
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from sinrnn.nn.rnn import SinRNN

FAR = 10  # deviations of the training split: nothing is learnt of what lies beyond


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


@torch.no_grad()
def forecast(net: SinRNN, values: Tensor, steps: int) -> Forecast:
    """Read the end of a series, then go on in closed loop.

    Args:
        net: In the series' units, as `SinRNN.load` gives it.
        values: The series (points,).
        steps: Predictions to make.

    Raises:
        ValueError: The network predicts further than the next value, reads or gives more than one
            series, or needs more values than there are; or the values are not like those that it
            has learnt from.
    """
    window = net.window or len(values)
    if net.input_size != 1:
        raise ValueError(f"a forecast needs a network that reads 1 series, got {net.input_size}")
    if len(values) < window:
        raise ValueError(f"the network reads {window} points, the series has {len(values)}")
    read = values[-window:].double()
    mean, scale = net.scaling
    middle = read.median().item()
    if net.scaling != (0.0, 1.0) and abs(middle - mean) > FAR * scale:
        raise ValueError(
            f"the network has learnt from values around {mean:.4g} with deviation {scale:.4g}, "
            f"the last {window} of this series lie around {middle:.4g}: "
            "is it another series, column or unit?"
        )
    made = net.rollout(read[:, None].to(net.Wih), steps)[:, 0].double()
    radius = torch.full_like(made, math.nan)
    if net.radius is not None:
        known = net.radius[:steps].to(radius)
        radius[: len(known)] = known.where(known.isfinite(), math.nan)
    return Forecast(len(values), read, made, radius)
