"""The data module: splits of a series, cut into windows and served in batches."""

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

import lightning.pytorch as pl
import torch
from torch import Tensor

from sinrnn._numbers import plain
from sinrnn.data.samplers import Order, StreamBatchSampler, WindowBatchSampler
from sinrnn.data.series import Series
from sinrnn.data.splits import Splits
from sinrnn.data.synthetic import Sine
from sinrnn.data.windows import EVAL_BATCH, Windows, check_steps

if TYPE_CHECKING:
    from sinrnn.data.arrays import SeriesLike
else:
    SeriesLike = Series  # what a config can name


class Pair:
    """Windows and targets, whose dtype Lightning's precision plugins leave alone.

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
        """The same on another device."""
        return Pair((self.x.to(device), self.y.to(device)))


class Batches:
    """Batches of windows, of which several are gathered by one operation.

    A DataLoader takes longer to hand out one than a small network to learn it.

    Args:
        windows: What they are of.
        sampler: The order; Lightning tells it the epoch.
    """

    batch_sampler = None  # Lightning asks for both

    def __init__(self, windows: Windows, sampler: Order) -> None:
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


class WindowDataModule(Splits, pl.LightningDataModule):
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
        batch_size: Windows per step; 0 takes all of them at once.
        shuffle: Whether training windows come in a new order each epoch.
        steps: Values after each training window that are to be predicted in closed loop, K; 1 is
            the next value alone.
        num_streams: Above 0, training windows come in time order and without overlap, on that many
            streams side by side, for model.stateful; batch_size and shuffle then say nothing.
        seed: Fixes, with the epoch, the order of the training windows.

    Attributes:
        windows: After `setup`, the `Windows` of "train", "val" and "test".
        given_window: The argument `window`; where it is None, `window` is 0 until it is known.

    Raises:
        ValueError: A size is below 1, or splits leave [0, 1], overlap or are out of order.

    Example:
        >>> data = WindowDataModule(Sine(points=100), window=4)
        >>> data.setup()
        >>> {name: len(windows) for name, windows in data.windows.items()}
        {'train': 56, 'val': 16, 'test': 16}
    """

    def __init__(
        self,
        series: SeriesLike = Sine(),  # noqa: B008, nothing changes it
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
        found = super()._made(name, values, steps)
        if name == "train":
            self.learnt = super()._made(name, found.values, self.steps)
            self._order()  # refuses streams that are too short
        return found

    def train_dataloader(self) -> Batches:
        """Batches of training windows in the epoch's order; resumed within it, those to come."""
        self._check_window()
        order = self._order()
        if self.trainer is not None:
            order.rank, order.num_replicas = self.trainer.global_rank, self.trainer.world_size
            order.first = self._done
        return Batches(self.learnt, order)

    def _check_window(self) -> None:
        if not self.window:
            raise ValueError("window is None, and no model has said which: give it, or use_window")

    def _done(self) -> int:
        """Batches of the epoch that have been trained on, where one is under way.

        Right no sooner than at the epoch's first batch: a checkpoint may be of an epoch whose
        batches are all done, and only then does Lightning know that the next epoch has begun.
        """
        if self.trainer is None or not self.trainer.training:
            return 0
        return self.trainer.fit_loop.epoch_loop.batch_progress.current.ready

    def _order(self) -> Order:
        count = len(self.learnt)
        if self.num_streams:
            return StreamBatchSampler(count, self.window, self.num_streams)
        size = self.batch_size or self._fit_share("train", count, count)
        overfit = getattr(self.trainer, "overfit_batches", 0) > 0  # repeats the first batches
        shuffle = self.shuffle and size < count and not overfit
        return WindowBatchSampler(count, size, self.seed, shuffle)

    def _fit_share(self, stage: str, count: int, size: int) -> int:
        """Windows per batch: fewer than `size` where a trainer's share of the batches were none."""
        share = getattr(self.trainer, f"limit_{stage}_batches", None)
        if isinstance(share, float) and int(-(-count // size) * share) < 1:
            return max(1, int(count * share))
        return size

    def val_dataloader(self) -> list[Batches]:
        """Validation windows, then the training windows: both losses, with the same weights."""
        return [self._in_order("val", "val"), self._in_order("train", "val")]

    def test_dataloader(self) -> Batches:
        """Test windows in time order."""
        return self._in_order("test", "test")

    def predict_dataloader(self) -> Batches:
        """Test windows in time order, as `test_dataloader` gives them."""
        return self._in_order("test", "predict")

    def _in_order(self, name: str, stage: str) -> Batches:
        self._check_window()
        windows = self.windows[name]
        size = self._fit_share(stage, len(windows), windows.at_most(EVAL_BATCH))
        order = WindowBatchSampler(len(windows), size, shuffle=False)
        return Batches(windows, order)


def windows_of(trainer: pl.Trainer) -> WindowDataModule | None:
    """The data module, where the trainer was given one of ours."""
    data = getattr(trainer, "datamodule", None)
    return data if isinstance(data, WindowDataModule) else None
