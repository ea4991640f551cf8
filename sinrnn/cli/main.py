"""The command sinrnn: trains, or with the word runs first, lists runs."""

import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Do what the arguments say; returns the exit status."""
    args = list(sys.argv[1:] if argv is None else argv)
    if args[:1] == ["runs"]:
        from sinrnn.cli.runs import main as list_runs

        return list_runs(args[1:])
    from sinrnn.cli.train import main as train  # Lightning, which it imports, is slow to come

    return train(args)
