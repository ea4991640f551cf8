"""Forecast a series: write a table and a picture."""

import argparse
import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args, get_origin

from sinrnn.cli.arguments import TRUST
from sinrnn.cli.messages import Parser, program, refuse, say
from sinrnn.data.series import FileSeries, Series
from sinrnn.evaluation.metrics import skill
from sinrnn.evaluation.report import number
from sinrnn.filesystem import check_other, check_target, filled, refuse_links, write
from sinrnn.forecasting.forecast import Forecast
from sinrnn.forecasting.predictor import Predictor
from sinrnn.run_folder import CONFIG, model_file

# The options of a file, with their annotations.
READING = {
    name: parameter.annotation
    for name, parameter in inspect.signature(FileSeries).parameters.items()
    if name != "path"
}
MOST_STEPS = 1_000_000  # more than a minute, and a table of 50 MB


@program
def main(argv: Sequence[str] | None = None) -> int:
    """Write the forecast, print a summary, and return the exit status."""
    parser = Parser(
        description="Forecast a series in its own units, with 90 % prediction intervals."
    )
    parser.add_argument("model", help="Folder of a run, or a model.safetensors.")
    parser.add_argument("--steps", type=int, required=True, help="Number of predictions.")
    parser.add_argument(
        "--input",
        help="File of the series: .csv, .tsv, .txt, .npy, .parquet (default: the series of the "
        "run).",
    )
    for name, annotation in READING.items():
        literals = [
            str(each)
            for kind in (annotation, *get_args(annotation))
            if get_origin(kind) is Literal
            for each in get_args(kind)
        ]
        parser.add_argument(
            f"--{name}",
            type=int if annotation in (int, int | None) else str,
            choices=["true", "false"] if annotation == bool | None else literals or None,
            help=f"Option of the file, as --data.series.{name} of train.py.",
        )
    parser.add_argument(
        "--output",
        type=Path,
        help="CSV to write, and a PNG of the same name (default: forecast.csv next to the model).",
    )
    parser.add_argument("--trust", action="append", default=[], metavar="MODULE", help=TRUST)
    args = parser.parse_args(argv)
    try:
        say(_written(args))
    except (ValueError, TypeError, OSError) as error:
        return refuse(error)
    return 0


def _written(args: argparse.Namespace) -> str:
    """Write table and picture, and return a summary."""
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
    made = predictor.forecast(series, args.steps)

    from sinrnn.evaluation import picture, plots  # matplotlib is slow to import

    before = values[-max(3 * len(made.read), args.steps) :].double()
    image = table.with_suffix(".png")
    drawn = picture.png(plots.forecast(before, made, series.names))
    made.to_csv(table)
    write(image, drawn)
    facts = [
        f"forecast   {args.steps:,} steps from sample {made.start} on; "
        f"the network reads the last {len(made.read)}",
        f"intervals  {_intervals(made)}",
        f"tested     {_tested(predictor)}",
    ]
    notes = [filled(f"note: {note}") for note in series.notes]
    files = [f"table      {table}", f"picture    {image}"]
    cautions = [f"warning    {caution}" for caution in made.cautions]
    facts, cautions = ([filled(line, " " * 11) for line in lines] for lines in (facts, cautions))
    return "\n".join([*notes, *facts, *files, *cautions])


def _intervals(made: Forecast) -> str:
    steps, known = len(made.prediction), int(made.lower.isfinite().sum())
    if not known:
        return "none in the model file"
    held = "" if made.held is None else f", {made.held:.0%} coverage on the test split"
    return f"90% nominal{held}, for {'all' if known == steps else f'the first {known}'} steps"


def _tested(predictor: Predictor) -> str:
    if not len(predictor.tested):
        return "no result in the model file"
    ours, theirs = predictor.tested.tolist()
    return (
        f"half_mse {ours:.2e} on the test split, skill {number(skill(ours, theirs))} against the "
        f"best baseline, {predictor.baseline}"
    )


def _series(args: argparse.Namespace, folder: Path, predictor: Predictor) -> Series:
    """Return the series of --input, or that of the run in the model's folder."""
    given = {name: getattr(args, name) for name in READING if getattr(args, name) is not None}
    if args.input is not None:
        if "header" in given:
            given["header"] = given["header"] == "true"
        series = FileSeries(args.input, **given)
        try:
            series.values()
        except ValueError as error:
            raise ValueError(str(error).replace("--data.series.", "--")) from error
        return series
    for name in given:
        raise ValueError(f"--{name} needs a file: name it with --input")
    if not (folder / CONFIG).is_file():
        raise ValueError(
            f"{args.model} is not in the folder of a run: name the file of the series with --input"
        )
    refuse_links(folder)
    from sinrnn.config import files, restore  # jsonargparse is slow to import

    return restore.restore_splits(folder, files.read(folder), predictor, args.trust).series
