"""Go on where a series ends: a table, and a picture of it."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from sinrnn.cli.arguments import TRUST
from sinrnn.cli.messages import Parser, program, refuse, say
from sinrnn.data.series import FileSeries, Series
from sinrnn.filesystem import check_other, check_target, refuse_links, write
from sinrnn.forecasting.predictor import Predictor
from sinrnn.run_folder import CONFIG, model_file

HEADER = {None: None, "true": True, "false": False}
MOST_STEPS = 1_000_000  # a minute or more of computing, and a table of 50 MB


@program
def main(argv: Sequence[str] | None = None) -> int:
    """Forecast as the arguments say, write it, and say where; returns the exit status."""
    parser = Parser(
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
        "--header", choices=("true", "false"), help="Whether its first row holds names."
    )
    parser.add_argument(
        "--output",
        type=Path,
        help="CSV to write, with a picture beside it; by default forecast.csv beside the model.",
    )
    parser.add_argument("--trust", action="append", default=[], metavar="MODULE", help=TRUST)
    args = parser.parse_args(argv)
    try:
        say(_written(args))
    except (ValueError, TypeError, OSError) as error:
        return refuse(error)
    return 0


def _written(args: argparse.Namespace) -> str:
    """Write table and picture; returns what is to be said of them."""
    model = model_file(args.model)
    table = args.output or model.parent / "forecast.csv"
    check_target("--output", table, ".csv")
    if not 1 <= args.steps <= MOST_STEPS:
        limit = "at least 1" if args.steps < 1 else f"at most {MOST_STEPS:,}"
        raise ValueError(f"--steps must be {limit}, got {args.steps}")
    predictor = Predictor.load(model)
    series = _series(args, model.parent, predictor)
    if isinstance(series, FileSeries):
        check_other("--output", table, series.path, "the input")
    values = series.values()
    made = predictor.forecast(values, args.steps)

    from sinrnn.evaluation import picture, plots  # matplotlib is slow to come

    before = values[-max(3 * len(made.read), args.steps) :].double()
    image = table.with_suffix(".png")
    drawn = picture.png(plots.forecast(before, made))
    made.to_csv(table)
    write(image, drawn)
    known = int(made.radius.isfinite().sum())
    intervals = "for all of them" if known == args.steps else f"for the first {known}"
    return (
        f"forecast   {args.steps:,} steps from sample {made.start} on, "
        f"after reading the last {len(made.read)}\n"
        f"intervals  {f'90%, {intervals}' if known else 'none: the model has none'}\n"
        f"table      {table}\npicture    {image}"
    )


def _series(args: argparse.Namespace, folder: Path, predictor: Predictor) -> Series:
    """The series that the arguments name, or else that of the run in the model's folder."""
    if args.input is not None:
        return FileSeries(args.input, args.column, HEADER[args.header])
    if args.column is not None or args.header is not None:
        option = "--column" if args.column is not None else "--header"
        raise ValueError(f"{option} is for a file: name it with --input")
    if not (folder / CONFIG).is_file():
        raise ValueError(
            f"{args.model} lies in no run's folder: name the file of the series with --input"
        )
    refuse_links(folder)
    from sinrnn.config import files, stored  # Lightning is slow to import

    return stored.data(folder, files.read(folder), predictor, args.trust).series
