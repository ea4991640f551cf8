"""A small tanh recurrent network for PyTorch with an exact, hand-derived gradient.

Importing this package imports torch and nothing heavier; the names that need Lightning or
matplotlib are loaded when they are first used.
"""

import importlib
from typing import TYPE_CHECKING

from sinrnn._version import __version__
from sinrnn.nn.functional import tanh_rnn
from sinrnn.nn.rnn import SinRNN
from sinrnn.nn.trace import Trace, trace

if TYPE_CHECKING:
    from sinrnn.data.series import (
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
    from sinrnn.data.windows import WindowDataModule, Windows
    from sinrnn.training.forecaster import Forecaster

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
        """Import the module behind a lazily loaded public name, the lightest first."""
        for home in (
            ("data.series", "data.windows", "training.forecaster") if name in __all__ else ()
        ):
            module = importlib.import_module(f"sinrnn.{home}")
            if name in vars(module):
                return getattr(module, name)
        raise AttributeError(f"module 'sinrnn' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
