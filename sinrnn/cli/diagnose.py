"""What is wrong with a finished run, and what to try."""

from collections.abc import Sequence
from pathlib import Path

from sinrnn.cli.arguments import TRUST
from sinrnn.cli.messages import Parser, program, refuse, say
from sinrnn.run import Run


@program
def main(argv: Sequence[str] | None = None) -> int:
    """Examine a run's folder and print what was measured; returns the exit status."""
    parser = Parser(description="What is wrong with a finished run, and what to try.")
    parser.add_argument("run", type=Path, help="The run's folder.")
    parser.add_argument("--trust", action="append", default=[], metavar="MODULE", help=TRUST)
    args = parser.parse_args(argv)
    try:
        say(f"{Run(args.run, trust=args.trust).diagnose(command_line=True)}")
    except (ValueError, TypeError, OSError) as error:
        return refuse(error)
    return 0
