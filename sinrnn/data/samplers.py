"""The order of windows: the indices of each batch of an epoch."""

from abc import abstractmethod
from collections.abc import Callable, Iterator
from itertools import islice

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DistributedSampler, SequentialSampler

GROUP = 2**20  # indices that are shuffled together, 8 MB; a longer series has several groups


class BaseBatchSampler(SequentialSampler, DistributedSampler[Tensor]):
    """Base class of batch samplers, which yield the window indices of each batch.

    Its bases keep Lightning from replacing it by a sampler of single windows: Lightning replaces
    samplers that are not distributed if there are several processes, and those that are not
    sequential with overfit_batches. Each process takes a part of every batch.

    Attributes:
        first: Returns the index of the next iteration's first batch; it is called once, when that
            batch is due, and later iterations start at 0.
        rank: Index of this process.
        num_replicas: Number of processes n; each takes every n-th window of a batch.
    """

    first: Callable[[], int] | None = None
    rank, num_replicas, epoch = 0, 1, 0

    def __iter__(self) -> Iterator[Tensor]:  # type: ignore[override]
        first, self.first = self.first, None
        for batch in islice(self.batches(), first() if first else 0, None):
            yield batch[self.rank :: self.num_replicas]

    @abstractmethod
    def batches(self) -> Iterator[Tensor]:
        """Yield the batches of a whole epoch."""


class WindowBatchSampler(BaseBatchSampler):
    """Batches of windows, shuffled as a pure function of (seed, epoch).

    Args:
        count: Number of windows.
        batch_size: Windows per batch; the last batch may be smaller.
        seed: Seed of the order.
        shuffle: False keeps the time order.
    """

    def __init__(self, count: int, batch_size: int, seed: int = 0, shuffle: bool = True) -> None:
        self.count, self.batch_size, self.seed, self.shuffle = count, batch_size, seed, shuffle

    def __len__(self) -> int:
        return -(-self.count // self.batch_size)

    def batches(self) -> Iterator[Tensor]:
        """Yield the batches of the epoch; lazily, as Lightning sets the epoch after the call."""
        left = torch.empty(0, dtype=torch.long, device="cpu")
        for order in self._groups():
            order = torch.cat([left, order])
            full = len(order) - len(order) % self.batch_size
            if full:  # split would yield one empty batch
                yield from order[:full].split(self.batch_size)
            left = order[full:]
        if len(left):
            yield left

    def _groups(self) -> Iterator[Tensor]:
        """Yield all indices in groups; if shuffled, each of the n groups has every n-th index."""
        if not self.shuffle:
            for start in range(0, self.count, GROUP):
                yield torch.arange(start, min(start + GROUP, self.count), device="cpu")
            return
        rng = np.random.default_rng((self.seed, self.epoch))
        groups = -(-self.count // GROUP)
        for first in rng.permutation(groups):
            members = torch.arange(int(first), self.count, groups, device="cpu")
            yield members[rng.permutation(len(members))]


class StreamBatchSampler(BaseBatchSampler):
    """Batches of consecutive windows without overlap, in several parallel streams.

    The series is cut into streams of equal length. Row b of each batch is the next window of stream
    b, so that the network's state after one batch is its state before the next.

    Args:
        count: Number of windows of the split, with overlap.
        window: Samples per window, T.
        num_streams: Windows per batch.

    Raises:
        ValueError: A stream is shorter than a window.
    """

    def __init__(self, count: int, window: int, num_streams: int) -> None:
        points = count + window - 1
        self.window, self.num_streams = window, num_streams
        self.length = points // num_streams
        if len(self) == 0:
            raise ValueError(
                f"num_streams must be at most {points // window} for windows of {window}, "
                f"got {num_streams}"
            )

    def __len__(self) -> int:
        return self.length // self.window

    def batches(self) -> Iterator[Tensor]:
        """Yield one window of each stream, in time order."""
        starts = torch.arange(self.num_streams, device="cpu") * self.length
        for batch in range(len(self)):
            yield starts + batch * self.window
