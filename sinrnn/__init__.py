"""A small tanh recurrent network for PyTorch with an exact, hand-derived gradient.

Importing this package imports nothing else. Every name is loaded on first use, so that a name that
needs only torch does not wait for Lightning or matplotlib.
"""

import importlib
from typing import TYPE_CHECKING

from sinrnn._version import __version__

if TYPE_CHECKING:
    from sinrnn.data.arrays import ArraySeries
    from sinrnn.data.datamodule import WindowDataModule
    from sinrnn.data.series import FileSeries, Series
    from sinrnn.data.synthetic import (
        Chirp,
        Damped,
        Generated,
        MackeyGlass,
        Sine,
        Square,
        SumOfSines,
    )
    from sinrnn.data.windows import Windows
    from sinrnn.fitting import fit
    from sinrnn.forecasting.forecast import Forecast
    from sinrnn.forecasting.predictor import Predictor
    from sinrnn.listing import runs
    from sinrnn.nn.functional import tanh_rnn
    from sinrnn.nn.rnn import SinRNN
    from sinrnn.nn.trace import Trace, trace
    from sinrnn.run import Run
    from sinrnn.training.forecaster import Forecaster

__all__ = [
    "ArraySeries",
    "Chirp",
    "Damped",
    "FileSeries",
    "Forecast",
    "Forecaster",
    "Generated",
    "MackeyGlass",
    "Predictor",
    "Run",
    "Series",
    "SinRNN",
    "Sine",
    "Square",
    "SumOfSines",
    "Trace",
    "WindowDataModule",
    "Windows",
    "__version__",
    "fit",
    "runs",
    "tanh_rnn",
    "trace",
]

_LAZY = {
    "ArraySeries": "data.arrays",
    "Chirp": "data.synthetic",
    "Damped": "data.synthetic",
    "FileSeries": "data.series",
    "Forecast": "forecasting.forecast",
    "Forecaster": "training.forecaster",
    "Generated": "data.synthetic",
    "MackeyGlass": "data.synthetic",
    "Predictor": "forecasting.predictor",
    "Run": "run",
    "Series": "data.series",
    "SinRNN": "nn.rnn",
    "Sine": "data.synthetic",
    "Square": "data.synthetic",
    "SumOfSines": "data.synthetic",
    "Trace": "nn.trace",
    "WindowDataModule": "data.datamodule",
    "Windows": "data.windows",
    "fit": "fitting",
    "runs": "listing",
    "tanh_rnn": "nn.functional",
    "trace": "nn.trace",
}

if not TYPE_CHECKING:  # type checkers would accept any misspelt name

    def __getattr__(name: str) -> object:
        """Import the module behind a lazily loaded public name."""
        if name not in _LAZY:
            raise AttributeError(f"module 'sinrnn' has no attribute {name!r}")
        return getattr(importlib.import_module(f"sinrnn.{_LAZY[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
