"""A time budget for optional work."""

import time


class TimeBudget:
    """Limits a piece of work to a share of the time since the budget was created.

    Args:
        share: The share of the elapsed time.
        first: Expected seconds of the work, until it has been measured.
    """

    def __init__(self, share: float, first: float) -> None:
        self.share, self.needed = share, first
        self.started, self.spent = time.perf_counter(), 0.0

    def __enter__(self) -> None:
        self.entered = time.perf_counter()

    def __exit__(self, *args: object) -> None:
        self.needed = time.perf_counter() - self.entered
        self.spent += self.needed

    def allows(self) -> bool:
        """Return whether the budget allows the work once more."""
        passed = time.perf_counter() - self.started
        return self.spent + self.needed <= self.share * passed
