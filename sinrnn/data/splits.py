"""A series cut into splits, and each split into windows."""

import math
from typing import TYPE_CHECKING

from torch import Tensor

from sinrnn._numbers import plain
from sinrnn.data.arrays import as_series
from sinrnn.data.series import Series
from sinrnn.data.synthetic import Sine
from sinrnn.data.windows import Windows, check_series, check_steps

if TYPE_CHECKING:
    from sinrnn.data.arrays import SeriesLike
else:
    SeriesLike = Series  # the type that configs are parsed with


class Splits:
    """A series, its splits and their windows: a `WindowDataModule` without Lightning and batches.

    `WindowDataModule` documents the arguments, the attributes and the errors.
    """

    def __init__(
        self,
        series: SeriesLike = Sine(),  # noqa: B008 - it is never modified
        window: int | None = 4,
        horizon: int = 1,
        train: tuple[float, float] = (0.0, 0.6),
        val: tuple[float, float] = (0.6, 0.8),
        test: tuple[float, float] = (0.8, 1.0),
    ) -> None:
        super().__init__()
        window, horizon = plain((window, horizon))
        check_steps(1 if window is None else window, horizon, 1)
        self.series = as_series(series)
        self.given_window, self.window, self.horizon = window, window or 0, horizon
        self.splits = plain({"train": train, "val": val, "test": test})
        _check_splits(self.splits)
        self.windows: dict[str, Windows] = {}

    def setup(self, stage: str | None = None) -> None:
        """Read the series and make the `windows` of each split.

        If `window` is None, `use_window` makes them, which a Forecaster calls.

        Args:
            stage: Lightning's stage; ignored.

        Raises:
            TypeError: The series is not a dense tensor of real numbers.
            ValueError: The series is not (points,); or a split is too short for one window, or not
                finite.
        """
        self.values = self.series.view()
        check_series(self.values)
        self.window, self.windows = 0, {}
        if self.given_window is not None:
            self.use_window(self.given_window)

    def use_window(self, window: int) -> None:
        """Make the windows of each split; call `setup` first.

        Args:
            window: Samples in a window, T.

        Raises:
            ValueError: A split is too short for one window, or not finite.
        """
        self.window = window
        for name, split in self.splits.items():
            first, last = self.edges(name)
            try:
                self.windows[name] = self._made(name, self.values[first:last])
                largest = max(abs(end.item()) for end in self.windows[name].values.aminmax())
                if not math.isfinite(largest):
                    raise ValueError(f"its values must be finite, got {largest}: check the series")
            except ValueError as error:
                raise ValueError(f"the {name} split {list(split)}: {error}") from error

    def _made(self, name: str, values: Tensor, steps: int = 1) -> Windows:
        """Return the windows of a split, each with `steps` targets."""
        made = Windows(values, self.window, self.horizon, steps)
        made.check = self.series.check_unchanged
        return made

    def edges(self, name: str) -> tuple[int, int]:
        """Return the start and end index of a split in the series; call `setup` first.

        Args:
            name: "train", "val" or "test".

        Returns:
            The first index, and the first one after the split.
        """
        first, last = (round(fraction * len(self.values)) for fraction in self.splits[name])
        return first, last


def _check_splits(splits: dict[str, tuple[float, float]]) -> None:
    before, end = "", 0.0
    for name, (first, last) in splits.items():
        if not 0 <= first < last <= 1:
            raise ValueError(f"{name} must be [a, b] with 0 <= a < b <= 1, got {[first, last]}")
        if before and first < end:
            raise ValueError(
                f"{name} {[first, last]} must start at or after the end of {before}, {end}"
            )
        before, end = name, last
