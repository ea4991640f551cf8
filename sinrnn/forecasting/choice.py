"""Units and window of a series, chosen by how well a linear forecast does in them."""

from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor

from sinrnn.data.period import strongest_period
from sinrnn.data.windows import Windows
from sinrnn.forecasting.units import FITTED, Units

# Windows to try: a year of months or eleven of sunspots, the same and one more, two years and one.
WINDOWS = (11, 13, 25)
LONGEST = 1000  # more samples in a window would only take time
COMPARED = 5  # validation windows that a choice needs at least


@dataclass(frozen=True)
class UnitsChoice:
    """What was chosen for a series, and why.

    Attributes:
        log: Whether the network works on logarithms.
        relative: Whether it works on differences from a window's last value.
        window: Samples that it reads.
        period: The strongest period of the training split in steps, or None.
        error: Root mean squared error of the linear forecast on the validation split.
        plain: The same in the series' own units, with the shortest window.
        tried: Combinations that were compared.
    """

    log: bool
    relative: bool
    window: int
    period: int | None
    error: float
    plain: float
    tried: int

    def __str__(self) -> str:
        names = [name for name in ("log", "relative") if getattr(self, name)] or ["as they are"]
        period = f", a period of {self.period} and one" if self.period == self.window - 1 else ""
        gain = f"{self.error / self.plain:.2f} times that of plain values" if self.plain else "0"
        return (
            f"{' and '.join(names)}, window {self.window}{period}: a linear forecast's validation "
            f"error is {gain}, the least of {self.tried} combinations"
        )


@torch.no_grad()
def choose_units(
    splits: dict[str, Tensor], horizon: int = 1, window: int | None = None
) -> UnitsChoice:
    """The units and the window in which a linear forecast has the least validation error.

    Args:
        splits: Values of "train", "val" and "test", (points,) each; of the test split, whether
            they are above 0 and how many there are.
        horizon: Steps from a window's end to what is predicted.
        window: The window, where that is given.

    Raises:
        ValueError: A split is too short, or the training split is constant.
    """
    train, val = splits["train"], splits["val"]
    period = strongest_period(train)
    windows = [window] if window is not None else _windows(splits, horizon, period)
    positive = all(bool((values > 0).all()) for values in splits.values())
    logs = (False, True) if positive else (False,)
    found = {}
    for log, relative, length in product(logs, (False, True), windows):
        units = Units(True, log, relative, True, train.device)
        units._fit(Windows(train, length, horizon))
        x, y = Windows(val[max(windows) - length :], length, horizon).sample(FITTED)
        made = units.decode(x.new_zeros(len(x), 1), x)
        error = (made - y.double()).square().mean().sqrt().item()
        found[log, relative, length] = error
    log, relative, length = min(found, key=found.__getitem__)
    plain = found[False, False, windows[0]]
    return UnitsChoice(
        log, relative, length, period, found[log, relative, length], plain, len(found)
    )


def _windows(splits: dict[str, Tensor], horizon: int, period: int | None) -> list[int]:
    """Those that leave enough windows in each split, or what a very short series has room for."""
    most = min(len(splits[name]) for name in ("val", "test")) - horizon - COMPARED + 1
    most = min(most, len(splits["train"]) // 2 - horizon, LONGEST)
    candidates = sorted({*WINDOWS, *([period + 1] if period else [])})
    return [length for length in candidates if length <= most] or [max(most, 1)]
