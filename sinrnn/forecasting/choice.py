"""Automatic choice of units, window and linear part by the validation error."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor

from sinrnn.data.period import strongest_period
from sinrnn.data.windows import Windows
from sinrnn.forecasting.units import FITTED, Units, seasonal_coefficients

# Windows to try; those of 13 and 25 hold the same month of the last year and of the last two.
WINDOWS = (11, 13, 25)
LONGEST = 1000  # samples of a window, at most; longer ones take time and gain nothing
COMPARED = 5  # windows that a split needs at least
CLOSE = 1.01  # times the least error: of the choices within it, the simplest is taken
CLEARLY = 0.85  # times the least error of a ridge regression: repeated values must reach this


@dataclass(frozen=True)
class UnitsChoice:
    """The units and window chosen for a series, and the reason.

    Attributes:
        units: Fitted to the training split, with the linear part.
        window: Samples that the network reads.
        period: The strongest period of the training split in steps, or None.
        linear: The linear part: "ridge", "persistence" or "seasonal naive".
        error: Root mean squared error of the linear forecast on the validation split.
        plain: The same for a ridge regression in the series' own units with the shortest window.
        tried: Number of combinations that were compared.
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
        period = f" (period {self.period} + 1)" if self.period == self.window - 1 else ""
        start = "" if self.linear == "ridge" else f", starting as {self.linear}"
        error = f"{self.error / self.plain:.2f} of that on plain values" if self.plain else "0"
        return (
            f"{' and '.join(names) or 'plain'}, window {self.window}{period}{start}: validation "
            f"error of a linear forecast {error}; simplest of {self.tried} choices within 1% of "
            "the best"
        )


@torch.no_grad()
def choose_units(
    values: Tensor,
    edges: dict[str, tuple[int, int]],
    horizon: int = 1,
    window: int | None = None,
) -> UnitsChoice:
    """Choose the units, window and linear part with the least error on the validation split.

    Each combination is fitted to the training split. Of those within 1 % of the least error, the
    simplest is taken: no logarithms before logarithms, relative before plain values, then the
    shortest window. Validation windows may start before the split, their targets lie within it.

    Args:
        values: The series, (points,).
        edges: Start and end index of each split, "train", "val" and "test"; ends are excluded.
        horizon: Steps from a window's end to its target.
        window: The window, if it is not to be chosen.

    Raises:
        ValueError: A split is too short, or the training split is constant.
    """
    train = values[slice(*edges["train"])]
    period = strongest_period(train)
    lengths = {name: last - first for name, (first, last) in edges.items()}
    windows = [window] if window is not None else _windows(lengths, horizon, period)
    # Logarithms need positive values.
    logs = (False, True) if bool((values > 0).all()) else (False,)
    found: list[tuple[float, int, str, Units, int]] = []
    for log, relative, length in product(logs, (True, False), windows):
        first, last = max(edges["val"][0] - length, 0), edges["val"][1]
        x, y = Windows(values[first:last], length, horizon).sample(FITTED)
        for name, units in _fitted(Windows(train, length, horizon), log, relative, period):
            prediction = units.decode(x.new_zeros(len(x), 1), x)  # the linear part's
            error = (prediction - y.double()).square().mean().sqrt().item()
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
    """Yield fitted units with each linear part that fits them."""
    units = Units(True, log, relative, True, windows.values.device)
    units.fit_units(windows, period)
    yield "ridge", units
    if not relative:
        return
    yield "persistence", units.repeating(torch.zeros(windows.window))
    seasonal = seasonal_coefficients(windows.window, period, windows.horizon)
    if seasonal is not None:
        yield "seasonal naive", units.repeating(seasonal)


def _windows(lengths: dict[str, int], horizon: int, period: int | None) -> list[int]:
    """Return the windows that leave enough windows in each split, or the longest possible one."""
    most = min(lengths["val"], lengths["test"]) - horizon - COMPARED + 1
    most = min(most, lengths["train"] // 2 - horizon, LONGEST)
    candidates = sorted({*WINDOWS, *([period + 1] if period else [])})
    return [length for length in candidates if length <= most] or [max(most, 1)]
