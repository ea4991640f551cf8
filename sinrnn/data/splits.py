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
    SeriesLike = Series  # what a config can name


class Splits:
    """Windows of one series for training, validation and test, in time order.

    The splits are cut first and windows are made within each, so no window reaches over an edge
    and no target of one split is an input of another.

    Args:
        series: The series; in Python also its values, see `ArraySeries`.
        window: Samples that the network reads, T; None is what the model was trained with, or
            chooses.
        horizon: Steps from a window's end to the value to predict.
        train: Split to learn from, as fractions of the series.
        val: Split that chooses the best weights.
        test: Split that is looked at once, at the end.

    Attributes:
        windows: After `setup`, the `Windows` of "train", "val" and "test".
        given_window: The argument `window`; where it is None, `window` is 0 until it is known.

    Raises:
        ValueError: A size is below 1, or splits leave [0, 1], overlap or are out of order.
    """

    def __init__(
        self,
        series: SeriesLike = Sine(),  # noqa: B008, nothing changes it
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
        """Cut the splits and make their windows; `windows` then holds them by name.

        Where `window` is None, the windows are made by `use_window`, which a Forecaster calls.

        Args:
            stage: As Lightning calls it; all splits are made whatever it is.

        Raises:
            TypeError: The series is not a dense tensor of real numbers.
            ValueError: It is not (points,); or a split is too short for one window, or not finite.
        """
        self.values = self.series.values()
        check_series(self.values)
        self.window, self.windows = 0, {}
        if self.given_window is not None:
            self.use_window(self.given_window)

    def use_window(self, window: int) -> None:
        """Make windows of a length; `setup` has been called.

        Args:
            window: Samples in a window.

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
        """The windows of a split, with so many targets each."""
        made = Windows(values, self.window, self.horizon, steps)
        made.check = self.series.check_unchanged
        return made

    def edges(self, name: str) -> tuple[int, int]:
        """First point of a split, and the first after it, as indices into the series.

        Args:
            name: "train", "val" or "test"; `setup` has been called.

        Returns:
            Both indices, in samples.
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
