"""The runs in a folder, as a table."""

import shlex
from collections.abc import Sequence

from sinrnn.cli.arguments import command
from sinrnn.cli.messages import Parser, program, refuse, say
from sinrnn.listing import runs


@program
def main(argv: Sequence[str] | None = None) -> int:
    """Print a line for each run in a folder; returns the exit status."""
    parser = Parser(
        prog=shlex.join([*command(), "runs"]),
        description="List runs: losses, seconds of training, and the settings that differ.",
    )
    parser.add_argument("folder", nargs="?", default="runs", help="runs, by default, or runs/NAME.")
    args = parser.parse_args(argv)
    try:
        say(f"{runs(args.folder)}")
    except OSError as error:
        return refuse(error)
    return 0
