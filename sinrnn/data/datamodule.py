"""WindowDataModule: splits of a series, cut into windows and served in batches."""

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

import lightning.pytorch as pl
import torch
from torch import Tensor

from sinrnn._numbers import plain
from sinrnn.data.samplers import BaseBatchSampler, StreamBatchSampler, WindowBatchSampler
from sinrnn.data.series import Series
from sinrnn.data.splits import Splits
from sinrnn.data.synthetic import Sine
from sinrnn.data.windows import EVAL_BATCH, Windows, check_steps

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
            if len(indices) == 1:
                yield Pair(self.dataset[index])
                continue
            parts = [len(index) for index in indices]
            x, y = self.dataset[torch.cat(indices)]
            yield from map(Pair, zip(x.split(parts), y.split(parts), strict=True))


class WindowDataModule(Splits, pl.LightningDataModule):
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
        super().__init__(series, window, horizon, train, val, test)
        steps, num_streams, batch_size = plain((steps, num_streams, batch_size))
        shuffle, seed = plain((shuffle, seed))
        check_steps(1, 1, steps)
        if num_streams < 0:
            raise ValueError(f"num_streams must be at least 1, or 0 for none, got {num_streams}")
        if batch_size < 0:
            raise ValueError(f"batch_size must be at least 1, or 0 for all, got {batch_size}")
        if seed < 0:
            raise ValueError(f"seed must be at least 0, got {seed}")
        self.steps, self.num_streams = steps, num_streams
        self.batch_size, self.shuffle = batch_size, shuffle
        self.seed = seed

    def _made(self, name: str, values: Tensor, steps: int = 1) -> Windows:
        made = super()._made(name, values, steps)
        if name == "train":
            self.train_windows = super()._made(name, made.values, self.steps)
            self._sampler()  # refuses streams that are too short
        return made

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
