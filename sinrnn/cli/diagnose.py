"""What is wrong with a finished run, and what to try."""

from collections.abc import Sequence
from pathlib import Path

from sinrnn.cli.arguments import TRUST
from sinrnn.cli.messages import Parser, program, refuse, say
from sinrnn.evaluation.diagnosis.checks import diagnose, format_diagnosis
from sinrnn.evaluation.results import History, Results
from sinrnn.filesystem import refuse_links
from sinrnn.forecasting.predictor import Predictor


@program
def main(argv: Sequence[str] | None = None) -> int:
    """Examine a run's folder and print what was measured; returns the exit status."""
    parser = Parser(description="What is wrong with a finished run, and what to try.")
    parser.add_argument("run", type=Path, help="The run's folder.")
    parser.add_argument("--trust", action="append", default=[], metavar="MODULE", help=TRUST)
    args = parser.parse_args(argv)
    try:
        say(format_diagnosis(diagnose(_examined(args.run, args.trust))))
    except (ValueError, TypeError, OSError) as error:
        return refuse(error)
    return 0


def _examined(folder: Path, trusted: Sequence[str]) -> Results:
    """The results of the run in a folder."""
    from sinrnn.cli import stored  # Lightning is slow to come
    from sinrnn.evaluation.evaluate import evaluate, predictions

    refuse_links(folder)
    predictor, config = Predictor.load(folder / "model.safetensors"), stored.read(folder)
    data = stored.data(folder, config, predictor, trusted)
    data.setup()
    history = History.read(folder / "metrics.csv")
    predicted = predictions(predictor, data)
    return evaluate(predictor, data, predicted, history, stored.clip(folder, config))
