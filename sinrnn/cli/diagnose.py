"""Print the diagnosis of a finished run."""

from collections.abc import Sequence
from pathlib import Path

from sinrnn.cli.arguments import TRUST
from sinrnn.cli.messages import Parser, program, refuse, say
from sinrnn.run import Run


@program
def main(argv: Sequence[str] | None = None) -> int:
    """Print the diagnosis of a run and return the exit status."""
    parser = Parser(
        description="Print the diagnosis of a finished run: measurements, problems and suggestions."
    )
    parser.add_argument("run", type=Path, help="Folder of the run.")
    parser.add_argument("--trust", action="append", default=[], metavar="MODULE", help=TRUST)
    args = parser.parse_args(argv)
    try:
        say(f"{Run(args.run, trust=args.trust).diagnose(command_line=True)}")
    except (ValueError, TypeError, OSError) as error:
        return refuse(error)
    return 0
