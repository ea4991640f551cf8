"""The commands: import a program, run it, and end the process, without garbage collection.

Imports make a million objects that live as long as the process. The garbage collector looks at them
again and again while they are made, and once more at exit: a quarter of a short training's time.
"""

import gc
import sys
from collections.abc import Callable
from functools import partial
from importlib import import_module

from sinrnn._status import status


def start(program: str) -> int:
    """Run a program of `sinrnn.cli` with the process's arguments; returns the exit status."""
    gc.disable()
    status("loading")
    main: Callable[[], int] = import_module(f"sinrnn.cli.{program}").main
    if program == "main" and sys.argv[1:2] != ["runs"]:
        import_module("sinrnn.cli.train")  # which it imports when it runs
    status()
    gc.freeze()
    gc.enable()
    try:
        return main()
    finally:
        gc.freeze()  # what is left is freed with the process


main, diagnose = partial(start, "main"), partial(start, "diagnose")
export, forecast = partial(start, "export"), partial(start, "forecast")
