"""The installed commands: import a program, run it and end the process.

Imports create a million objects that live as long as the process. Garbage collection during the
imports and at exit would take a quarter of the time of a short training, so it is off there.
"""

import gc
import sys
from collections.abc import Callable
from functools import partial
from importlib import import_module

from sinrnn._status import status


def start(program: str) -> int:
    """Run a program of `sinrnn.cli` with the process's arguments and return the exit status."""
    gc.disable()
    status("loading")
    main: Callable[[], int] = import_module(f"sinrnn.cli.{program}").main
    if program == "main" and sys.argv[1:2] != ["runs"]:
        import_module("sinrnn.cli.train")  # `main` imports it later
    status()
    gc.freeze()
    gc.enable()
    gc.set_threshold(10_000)  # instead of 700: figures are many objects, which live for a moment
    try:
        return main()
    finally:
        gc.freeze()  # the end of the process frees all objects


main, diagnose = partial(start, "main"), partial(start, "diagnose")
export, forecast = partial(start, "export"), partial(start, "forecast")
