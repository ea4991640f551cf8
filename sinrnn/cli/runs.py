"""The runs in a folder, as a table."""

from collections.abc import Sequence

from sinrnn.cli.arguments import usage_name
from sinrnn.cli.messages import Parser, program, refuse, say
from sinrnn.listing import runs


@program
def main(argv: Sequence[str] | None = None) -> int:
    """Print a line for each run in a folder and return the exit status."""
    parser = Parser(
        prog=f"{usage_name()} runs",
        description="List runs: losses, seconds of training, and the settings that differ.",
    )
    parser.add_argument(
        "folder",
        nargs="?",
        default="runs",
        help="Folder of the runs, runs/NAME for one name (default: runs).",
    )
    args = parser.parse_args(argv)
    try:
        say(f"{runs(args.folder)}")
    except OSError as error:
        return refuse(error)
    return 0
