"""Ctrl-C and SIGTERM: stop after the current step. A second Ctrl-C stops at once."""

import os
import signal
import sys
import threading
from types import FrameType, TracebackType
from typing import Any, Self

import lightning.pytorch as pl

from sinrnn.filesystem import shown

HANDLED = (signal.SIGINT, signal.SIGTERM)


class Interrupted(Exception):
    """Training has stopped because of a signal, after saving a checkpoint.

    Args:
        number: The number of the signal. The exit status of the process is 128 + number.
    """

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.number = number


class Signals:
    """Context that records the first SIGINT or SIGTERM. A second SIGINT ends the process at once.

    Outside the main thread it records nothing, because Python allows no handlers there.

    Args:
        again: The text that a second SIGINT prints on standard error.

    Attributes:
        number: The number of the recorded signal, or 0.
    """

    def __init__(self, again: str = "") -> None:
        self.again, self.number = again, 0
        self.previous: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self.previous = {number: signal.getsignal(number) for number in HANDLED}
        self.arm()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self.previous.items():
            signal.signal(number, handler)

    def arm(self) -> None:
        """Install the handlers. Call it again after Lightning has installed its own for SIGTERM."""
        for number in self.previous:
            signal.signal(number, self._record)

    def _record(self, number: int, frame: FrameType | None) -> None:
        if self.number and number == signal.SIGINT:
            # An exception would unwind through half a step. Every file is complete at any time.
            os.write(sys.stderr.fileno(), shown(f"\n{self.again}\n").encode())
            os._exit(128 + number)
        self.number = self.number or number

    def stop(self, trainer: pl.Trainer) -> bool:
        """Return whether any process of the run has received a signal."""
        received = self.number != 0
        if trainer.world_size > 1:
            received = trainer.strategy.reduce_boolean_decision(received, all=False)
            self.number = self.number or (signal.SIGTERM if received else 0)
        return received
