"""What is wrong with a finished run, from its folder."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from sinrnn import doctor
from sinrnn.arguments import TRUST
from sinrnn.cli import configured
from sinrnn.examine import examine, predictions
from sinrnn.messages import refuse
from sinrnn.report import History
from sinrnn.rnn import SinRNN


def main(argv: Sequence[str] | None = None) -> int:
    """Examine a run's folder and print what was measured; returns the exit status."""
    parser = argparse.ArgumentParser(
        description="What is wrong with a finished run, and what to try."
    )
    parser.add_argument("run", type=Path, help="The run's folder.")
    parser.add_argument("--trust", action="append", default=[], metavar="MODULE", help=TRUST)
    args = parser.parse_args(argv)
    folder: Path = args.run
    try:
        net = SinRNN.load(folder / "model.safetensors")
        cli = configured(folder, net, args.trust)
        data = cli.datamodule
        data.setup()
        history = History.read(folder / "metrics.csv")
        clip = cli.config.trainer.gradient_clip_val
        results = examine(net, data, predictions(net, data), history, clip)
    except (ValueError, TypeError, OSError) as error:
        return refuse(error)
    print(doctor.letter(doctor.diagnose(results)))  # noqa: T201
    return 0
