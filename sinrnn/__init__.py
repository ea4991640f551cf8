"""A small tanh recurrent network for PyTorch with an exact, hand-derived gradient.

Importing this package imports torch and nothing heavier; the names that need Lightning or
matplotlib are loaded when they are first used.
"""

import importlib
from typing import TYPE_CHECKING

from sinrnn.bptt import tanh_rnn
from sinrnn.rnn import SinRNN
from sinrnn.tracing import Trace, trace

if TYPE_CHECKING:
    from sinrnn.forecaster import Forecaster
    from sinrnn.series import (
        Chirp,
        Damped,
        FileSeries,
        Generated,
        MackeyGlass,
        Series,
        Sine,
        Square,
        SumOfSines,
    )
    from sinrnn.windows import WindowDataModule, Windows

__version__ = "0.1.0"

_LAZY = {
    "Chirp": "sinrnn.series",
    "Damped": "sinrnn.series",
    "FileSeries": "sinrnn.series",
    "Forecaster": "sinrnn.forecaster",
    "Generated": "sinrnn.series",
    "MackeyGlass": "sinrnn.series",
    "Series": "sinrnn.series",
    "Sine": "sinrnn.series",
    "Square": "sinrnn.series",
    "SumOfSines": "sinrnn.series",
    "WindowDataModule": "sinrnn.windows",
    "Windows": "sinrnn.windows",
}

__all__ = [
    "Chirp",
    "Damped",
    "FileSeries",
    "Forecaster",
    "Generated",
    "MackeyGlass",
    "Series",
    "SinRNN",
    "Sine",
    "Square",
    "SumOfSines",
    "Trace",
    "WindowDataModule",
    "Windows",
    "__version__",
    "tanh_rnn",
    "trace",
]


if not TYPE_CHECKING:  # else every misspelt name would have a type

    def __getattr__(name: str) -> object:
        """Import the module behind a lazily loaded public name."""
        if name not in _LAZY:
            raise AttributeError(f"module 'sinrnn' has no attribute {name!r}")
        return getattr(importlib.import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
