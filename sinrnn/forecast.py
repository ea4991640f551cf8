"""A forecast: a trained network goes on where a series ends."""

import argparse
import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from sinrnn.arguments import TRUST
from sinrnn.durable import check_other, check_target, refuse_links, write
from sinrnn.export import model_file
from sinrnn.messages import refuse
from sinrnn.rnn import SinRNN
from sinrnn.series import FileSeries, Series

FAR = 10  # deviations of the training span: nothing is learnt of what lies beyond


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


def main(argv: Sequence[str] | None = None) -> int:
    """Forecast as the arguments say, write it, and say where; returns the exit status."""
    parser = argparse.ArgumentParser(
        description="Go on where a series ends, in its own units, with intervals that hold 90 %."
    )
    parser.add_argument("model", help="A run's folder, or a model.safetensors.")
    parser.add_argument("--steps", type=int, required=True, help="Predictions to make.")
    parser.add_argument(
        "--input",
        help="File whose end is read: .csv, .tsv, .txt, .npy, .parquet; "
        "by default the series of the run.",
    )
    parser.add_argument("--column", help="Column of that file, by name or index from 0.")
    parser.add_argument(
        "--output",
        type=Path,
        help="CSV to write, with a picture beside it; by default forecast.csv beside the model.",
    )
    parser.add_argument("--trust", action="append", default=[], metavar="MODULE", help=TRUST)
    args = parser.parse_args(argv)
    try:
        print(_written(args))  # noqa: T201
    except (ValueError, TypeError, OSError) as error:
        return refuse(error)
    return 0


def _written(args: argparse.Namespace) -> str:
    """Write table and picture; returns what is to be said of them."""
    model = model_file(args.model)
    table = args.output or model.parent / "forecast.csv"
    check_target("--output", table, ".csv")
    if args.steps < 1:
        raise ValueError(f"--steps must be at least 1, got {args.steps}")
    net = SinRNN.load(model)
    series = _series(args, model.parent, net)
    if isinstance(series, FileSeries):
        check_other("--output", table, series.path, "the input")
    values = series.values()
    made = forecast(net, values, args.steps)

    from sinrnn import plots  # matplotlib is slow to come

    before = values[-max(3 * len(made.read), args.steps) :].double()
    picture = table.with_suffix(".png")
    drawn = plots.png(plots.forecast(before, made))
    write(table, made.csv().encode())
    write(picture, drawn)
    known = int(made.radius.isfinite().sum())
    intervals = "for all of them" if known == args.steps else f"for the first {known}"
    return (
        f"forecast   {args.steps:,} steps from sample {made.start} on, "
        f"after reading the last {len(made.read)}\n"
        f"intervals  {f'90%, {intervals}' if known else 'none: the model has none'}\n"
        f"table      {table}\npicture    {picture}"
    )


def _series(args: argparse.Namespace, folder: Path, net: SinRNN) -> Series:
    """The series that the arguments name, or else that of the run in the model's folder."""
    if args.input is not None:
        return FileSeries(args.input, args.column)
    if args.column is not None:
        raise ValueError("--column is for a file: name it with --input")
    if not (folder / "config.yaml").is_file():
        raise ValueError(
            f"{args.model} lies in no run's folder: name the file of the series with --input"
        )
    refuse_links(folder)
    from sinrnn.cli import configured  # Lightning is slow to come

    series: Series = configured(folder, net, args.trust).datamodule.series
    return series
