"""Units, window and linear part of a forecast, chosen by their error on the validation split."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor

from sinrnn.data.period import strongest_period
from sinrnn.data.windows import Windows
from sinrnn.forecasting.units import FITTED, Units, seasonal_coefficients

# Windows to try: a year of months or eleven of sunspots, the same and one more, two years and one.
WINDOWS = (11, 13, 25)
LONGEST = 1000  # more samples in a window would only take time
COMPARED = 5  # windows that a split needs at least
CLOSE = 1.01  # times the least error: within that, the simplest is taken
CLEARLY = 0.85  # times the least error of a fit: what repeating values must come to, to be taken


@dataclass(frozen=True)
class UnitsChoice:
    """What was chosen for a series, and why.

    Attributes:
        units: Fitted to the training split, with the linear part.
        window: Samples that the network reads.
        period: The strongest period of the training split in steps, or None.
        linear: What the linear part is: "ridge", "persistence" or "seasonal naive".
        error: Root mean squared error of the linear forecast on the validation split.
        plain: The same of a ridge regression in the series' own units, with the shortest window.
        tried: Combinations that were compared.
    """

    units: Units
    window: int
    period: int | None
    linear: str
    error: float
    plain: float
    tried: int

    def __str__(self) -> str:
        names = [name for name in ("log", "relative") if getattr(self.units, name)]
        period = f", a period of {self.period} and one" if self.period == self.window - 1 else ""
        start = "" if self.linear == "ridge" else f", start {self.linear}"
        gain = f"{self.error / self.plain:.2f} times that of plain values" if self.plain else "0"
        return (
            f"{' and '.join(names) or 'as they are'}, window {self.window}{period}{start}: "
            f"a linear forecast's validation error is {gain}, the simplest within 1% of the "
            f"least of {self.tried}"
        )


@torch.no_grad()
def choose_units(
    values: Tensor,
    edges: dict[str, tuple[int, int]],
    horizon: int = 1,
    window: int | None = None,
) -> UnitsChoice:
    """The units, window and linear part with the least error on the validation split.

    Of those within 1 % of the least, the first is taken: without logarithms before with them,
    relative before as they are, as level and trend pass, then the shortest window.

    Each is fitted to the training split; validation windows may begin before their split.

    Args:
        values: The series, (points,).
        edges: First index of each split, "train", "val" and "test", and the first after it.
        horizon: Steps from a window's end to what is predicted.
        window: The window, where that is given.

    Raises:
        ValueError: A split is too short, or the training split is constant.
    """
    train = values[slice(*edges["train"])]
    period = strongest_period(train)
    lengths = {name: last - first for name, (first, last) in edges.items()}
    windows = [window] if window is not None else _windows(lengths, horizon, period)
    # A forecast in logarithms could not go on over a value that has none.
    logs = (False, True) if bool((values > 0).all()) else (False,)
    found: list[tuple[float, int, str, Units, int]] = []
    for log, relative, length in product(logs, (True, False), windows):
        first, last = max(edges["val"][0] - length, 0), edges["val"][1]
        x, y = Windows(values[first:last], length, horizon).sample(FITTED)
        for name, units in _fitted(Windows(train, length, horizon), log, relative, period):
            made = units.decode(x.new_zeros(len(x), 1), x)
            error = (made - y.double()).square().mean().sqrt().item()
            found.append((error, len(found), name, units, length))
    plain = next(one[0] for one in found if not (one[3].log or one[3].relative))
    fits = min(one[0] for one in found if one[2] == "ridge")
    found = [one for one in found if one[2] == "ridge" or one[0] <= CLEARLY * fits]
    least = min(found)[0]
    error, _, name, units, length = next(one for one in found if one[0] <= CLOSE * least)
    return UnitsChoice(units, length, period, name, error, plain, len(found))


def _fitted(
    windows: Windows, log: bool, relative: bool, period: int | None
) -> Iterator[tuple[str, Units]]:
    """Units with each linear part that is possible in them."""
    units = Units(True, log, relative, True, windows.values.device)
    units._fit(windows, period)
    yield "ridge", units
    if not relative:
        return
    yield "persistence", units.repeating(torch.zeros(windows.window))
    seasonal = seasonal_coefficients(windows.window, period, windows.horizon)
    if seasonal is not None:
        yield "seasonal naive", units.repeating(seasonal)


def _windows(lengths: dict[str, int], horizon: int, period: int | None) -> list[int]:
    """Those that leave enough windows in each split, or what a very short series has room for."""
    most = min(lengths["val"], lengths["test"]) - horizon - COMPARED + 1
    most = min(most, lengths["train"] // 2 - horizon, LONGEST)
    candidates = sorted({*WINDOWS, *([period + 1] if period else [])})
    return [length for length in candidates if length <= most] or [max(most, 1)]
