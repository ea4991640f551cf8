"""The command sinrnn: it trains, or lists runs with `sinrnn runs`."""

import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Train or list runs, and return the exit status."""
    args = list(sys.argv[1:] if argv is None else argv)
    if args[:1] == ["runs"]:
        from sinrnn.cli.runs import main as list_runs

        return list_runs(args[1:])
    from sinrnn.cli.train import main as train  # Lightning is slow to import

    return train(args)
