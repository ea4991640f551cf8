"""WindowDataModule: splits of a series, cut into windows and served in batches."""

import math
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

import lightning.pytorch as pl
import torch
from torch import Tensor

from sinrnn._numbers import plain
from sinrnn.data.arrays import as_series
from sinrnn.data.samplers import BaseBatchSampler, StreamBatchSampler, WindowBatchSampler
from sinrnn.data.series import Series
from sinrnn.data.synthetic import Sine
from sinrnn.data.windows import EVAL_BATCH, Windows, check_series, check_steps

if TYPE_CHECKING:
    from sinrnn.data.arrays import SeriesLike
else:
    SeriesLike = Series  # the type that configs are parsed with


class Pair:
    """Windows and targets, in a class whose dtype Lightning's precision plugins do not convert.

    Args:
        pair: Windows (B, T, 1) and targets (B, K).
    """

    __slots__ = ("x", "y")

    def __init__(self, pair: Any) -> None:
        self.x, self.y = pair

    def __iter__(self) -> Iterator[Tensor]:
        yield self.x
        yield self.y

    def to(self, device: torch.device) -> "Pair":
        """Return the pair on another device."""
        return Pair((self.x.to(device), self.y.to(device)))


class Batches:
    """A loader that gathers several batches of windows by one indexing operation.

    A DataLoader takes longer for a batch than a small network takes to learn from it.

    Args:
        windows: The windows.
        sampler: Their order; Lightning sets its epoch.
    """

    batch_sampler = None  # Lightning reads both attributes

    def __init__(self, windows: Windows, sampler: BaseBatchSampler) -> None:
        self.dataset, self.sampler = windows, sampler

    def __len__(self) -> int:
        return len(self.sampler)

    def __iter__(self) -> Iterator[Pair]:
        order, most = iter(self.sampler), self.dataset.at_most(EVAL_BATCH)
        for index in order:
            indices = [index, *islice(order, max(0, most // max(1, len(index)) - 1))]
            parts = [len(index) for index in indices]
            x, y = self.dataset[torch.cat(indices)]
            yield from map(Pair, zip(x.split(parts), y.split(parts), strict=True))


class WindowDataModule(pl.LightningDataModule):
    """Windows of one series for training, validation and test, split in time order.

    The series is split before windows are made, so that no window crosses the edge of a split and
    no target of one split is an input of another.

    Args:
        series: The series; in Python also its values, see `ArraySeries`.
        window: Samples that the network reads, T; None takes the model's, or lets it choose.
        horizon: Steps from a window's end to its target.
        train: Split for training, as fractions of the series.
        val: Split for validation, which selects the best weights.
        test: Split for the final test.
        batch_size: Windows per step; 0 takes all windows at once.
        shuffle: Whether training windows are shuffled each epoch.
        steps: Targets of each training window, which are predicted in closed loop, K.
        num_streams: Number of parallel streams for model.stateful: above 0, training windows are
            consecutive, in time order and without overlap, and batch_size and shuffle are ignored.
        seed: Seed of the order of training windows.

    Attributes:
        windows: After `setup`, the `Windows` of "train", "val" and "test".
        given_window: The argument `window`. If it is None, `window` is 0 until it is chosen.

    Raises:
        ValueError: A size is below 1; or splits are not within [0, 1], overlap or are out of order.

    Example:
        >>> data = WindowDataModule(Sine(points=100), window=4)
        >>> data.setup()
        >>> {name: len(windows) for name, windows in data.windows.items()}
        {'train': 56, 'val': 16, 'test': 16}
    """

    def __init__(
        self,
        series: SeriesLike = Sine(),  # noqa: B008 - it is never modified
        window: int | None = 4,
        horizon: int = 1,
        train: tuple[float, float] = (0.0, 0.6),
        val: tuple[float, float] = (0.6, 0.8),
        test: tuple[float, float] = (0.8, 1.0),
        batch_size: int = 32,
        shuffle: bool = True,
        steps: int = 1,
        num_streams: int = 0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        window, horizon, steps, num_streams = plain((window, horizon, steps, num_streams))
        batch_size, shuffle, seed = plain((batch_size, shuffle, seed))
        check_steps(1 if window is None else window, horizon, steps)
        if num_streams < 0:
            raise ValueError(f"num_streams must be at least 1, or 0 for none, got {num_streams}")
        if batch_size < 0:
            raise ValueError(f"batch_size must be at least 1, or 0 for all, got {batch_size}")
        if seed < 0:
            raise ValueError(f"seed must be at least 0, got {seed}")
        self.series = as_series(series)
        self.given_window, self.window, self.horizon = window, window or 0, horizon
        self.steps, self.num_streams = steps, num_streams
        self.splits = plain({"train": train, "val": val, "test": test})
        _check_splits(self.splits)
        self.batch_size, self.shuffle = batch_size, shuffle
        self.seed = seed
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
        self.values = self.series.values()
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
                self.windows[name] = Windows(self.values[first:last], window, self.horizon)
                if name == "train":
                    self.train_windows = Windows(
                        self.windows[name].values, window, self.horizon, self.steps
                    )
                    self._sampler()  # refuses streams that are too short
                largest = max(abs(end.item()) for end in self.windows[name].values.aminmax())
                if not math.isfinite(largest):
                    raise ValueError(f"its values must be finite, got {largest}: check the series")
            except ValueError as error:
                raise ValueError(f"the {name} split {list(split)}: {error}") from error
        for windows in (*self.windows.values(), self.train_windows):
            windows.check = self.series.check_unchanged

    def edges(self, name: str) -> tuple[int, int]:
        """Return the start and end index of a split in the series; call `setup` first.

        Args:
            name: "train", "val" or "test".

        Returns:
            The first index, and the first one after the split.
        """
        first, last = (round(fraction * len(self.values)) for fraction in self.splits[name])
        return first, last

    def train_dataloader(self) -> Batches:
        """Return the batches of training windows; after a resume, the remaining ones."""
        self._check_window()
        sampler = self._sampler()
        if self.trainer is not None:
            sampler.rank, sampler.num_replicas = self.trainer.global_rank, self.trainer.world_size
            sampler.first = self._done
        return Batches(self.train_windows, sampler)

    def _check_window(self) -> None:
        if not self.window:
            raise ValueError("window is None and no model has set it: set it, or call use_window")

    def _done(self) -> int:
        """Return the number of the epoch's batches that were trained on before.

        It is correct only from the epoch's first batch on: after a checkpoint of a finished epoch,
        Lightning resets its count only then.
        """
        if self.trainer is None or not self.trainer.training:
            return 0
        return self.trainer.fit_loop.epoch_loop.batch_progress.current.ready

    def _sampler(self) -> BaseBatchSampler:
        count = len(self.train_windows)
        if self.num_streams:
            return StreamBatchSampler(count, self.window, self.num_streams)
        size = self.batch_size or self._fit_share("train", count, count)
        overfit = getattr(self.trainer, "overfit_batches", 0) > 0  # the same batches each epoch
        shuffle = self.shuffle and size < count and not overfit
        return WindowBatchSampler(count, size, self.seed, shuffle)

    def _fit_share(self, stage: str, count: int, size: int) -> int:
        """Return `size`, or less if a fraction in limit_*_batches would leave no batch."""
        share = getattr(self.trainer, f"limit_{stage}_batches", None)
        if isinstance(share, float) and int(-(-count // size) * share) < 1:
            return max(1, int(count * share))
        return size

    def val_dataloader(self) -> list[Batches]:
        """Return loaders of validation and training windows: both losses have the same weights."""
        return [self._in_order("val", "val"), self._in_order("train", "val")]

    def test_dataloader(self) -> Batches:
        """Return the test windows in time order."""
        return self._in_order("test", "test")

    def predict_dataloader(self) -> Batches:
        """Return the test windows in time order, as `test_dataloader`."""
        return self._in_order("test", "predict")

    def _in_order(self, name: str, stage: str) -> Batches:
        self._check_window()
        windows = self.windows[name]
        size = self._fit_share(stage, len(windows), windows.at_most(EVAL_BATCH))
        sampler = WindowBatchSampler(len(windows), size, shuffle=False)
        return Batches(windows, sampler)


def windows_of(trainer: pl.Trainer) -> WindowDataModule | None:
    """Return the trainer's data module if it is a WindowDataModule, else None."""
    data = getattr(trainer, "datamodule", None)
    return data if isinstance(data, WindowDataModule) else None


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
