"""The command sinrnn: trains, or with the word runs first, lists runs."""

import sys
from collections.abc import Sequence

from sinrnn.cli import runs, train


def main(argv: Sequence[str] | None = None) -> int:
    """Do what the arguments say; returns the exit status."""
    args = list(sys.argv[1:] if argv is None else argv)
    return runs.main(args[1:]) if args[:1] == ["runs"] else train.main(args)
