"""A share of the time for work that can wait."""

import time


class TimeBudget:
    """A share of the time since it was made, which a part of the work may take.

    Args:
        share: Of the time that has passed.
        first: Seconds that the work is taken to need before it has been done once.
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
        """Whether the work may be done once more."""
        passed = time.perf_counter() - self.started
        return self.spent + self.needed <= self.share * passed
