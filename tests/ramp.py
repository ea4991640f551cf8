"""Series of known values, and data modules of them.

Ramp's values are their own indices, so that a window says where it came from.
"""

import torch
from cases import BITS

from sinrnn.data.datamodule import WindowDataModule
from sinrnn.data.series import Series


class Given(Series):
    """A series of the values given."""

    def __init__(self, values):
        self.given = values

    def values(self):
        return self.given


class Ramp(Given):
    """0, 1, 2, ..."""

    def __init__(self, points):
        super().__init__(torch.arange(points, dtype=torch.float64))


def data(series, **options):
    """A data module that is set up."""
    made = WindowDataModule(series, **options)
    made.setup()
    return made


def same(actual, expected):
    torch.testing.assert_close(actual, expected, **BITS)
