"""Ctrl-C and SIGTERM: stop after the current step, or at once when asked twice."""

import os
import signal
import sys
import threading
from types import FrameType, TracebackType
from typing import Any, Self

import lightning.pytorch as pl

from sinrnn.filesystem import shown

ASKED = (signal.SIGINT, signal.SIGTERM)


class Interrupted(Exception):
    """Training has stopped because of a signal, and everything is saved.

    Args:
        number: The signal's; a process that it ends has the exit status 128 + number.
    """

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.number = number


class Signals:
    """While entered, notes the first SIGINT or SIGTERM; a second SIGINT ends the process at once.

    Outside the main thread, where Python takes no handlers, it leaves signals alone.

    Args:
        again: What to say then, on standard error.
    """

    def __init__(self, again: str = "") -> None:
        self.again, self.number = again, 0
        self.before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self.before = {number: signal.getsignal(number) for number in ASKED}
        self.arm()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def arm(self) -> None:
        """Take the signals (again: Lightning takes SIGTERM for itself, and then exits with 0)."""
        for number in self.before:
            signal.signal(number, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.number and number == signal.SIGINT:
            # Not an exception, which would unwind through half a step: files are whole as they are.
            os.write(sys.stderr.fileno(), shown(f"\n{self.again}\n").encode())
            os._exit(128 + number)
        self.number = self.number or number

    def stop(self, trainer: pl.Trainer) -> bool:
        """Whether to stop; all processes of a run get the same answer."""
        asked = self.number != 0
        if trainer.world_size > 1:
            asked = trainer.strategy.reduce_boolean_decision(asked, all=False)
            self.number = self.number or (signal.SIGTERM if asked else 0)
        return asked
