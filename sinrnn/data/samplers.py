"""The order of windows: which of them each batch of an epoch holds."""

from abc import abstractmethod
from collections.abc import Callable, Iterator
from itertools import islice

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DistributedSampler, SequentialSampler

GROUP = 2**20  # indices that are shuffled together, 8 MB; a longer series takes several groups


class Order(SequentialSampler, DistributedSampler[Tensor]):
    """Indices of the windows of each batch of an epoch.

    Lightning replaces a sampler that is not distributed where there are several processes, and one
    that is not sequential with overfit_batches, by one that knows no batches. This one takes part
    of each batch where torch's distributed one takes some of the windows, and needs no process
    group. A data module does not shuffle with overfit_batches.

    Attributes:
        first: Asked at the first batch of the next iteration, which of them it is; the iteration
            after that has them all again.
        rank: Of several processes, which of them this is.
        num_replicas: How many share each batch: this one takes each n-th window of it.
    """

    first: Callable[[], int] | None = None
    rank, num_replicas, epoch = 0, 1, 0

    def __iter__(self) -> Iterator[Tensor]:  # type: ignore[override]
        first, self.first = self.first, None
        for batch in islice(self.batches(), first() if first else 0, None):
            yield batch[self.rank :: self.num_replicas]

    @abstractmethod
    def batches(self) -> Iterator[Tensor]:
        """Those of a whole epoch; nothing is done before the first is asked for."""


class WindowBatchSampler(Order):
    """Indices of each batch, shuffled as a pure function of (seed, epoch).

    Args:
        count: Windows to order.
        batch_size: Windows per batch; the last batch may be smaller.
        seed: With the epoch, fixes the order.
        shuffle: False keeps the order of time.
    """

    def __init__(self, count: int, batch_size: int, seed: int = 0, shuffle: bool = True) -> None:
        self.count, self.batch_size, self.seed, self.shuffle = count, batch_size, seed, shuffle

    def __len__(self) -> int:
        return -(-self.count // self.batch_size)

    def batches(self) -> Iterator[Tensor]:
        """Those of the epoch; a generator, for Lightning sets the epoch after it has called."""
        left = torch.empty(0, dtype=torch.long, device="cpu")
        for order in self._groups():
            order = torch.cat([left, order])
            full = len(order) - len(order) % self.batch_size
            if full:  # split makes one empty part of nothing
                yield from order[:full].split(self.batch_size)
            left = order[full:]
        if len(left):
            yield left

    def _groups(self) -> Iterator[Tensor]:
        """All indices, a group at a time; shuffled, a group is each n-th of the whole series."""
        if not self.shuffle:
            for start in range(0, self.count, GROUP):
                yield torch.arange(start, min(start + GROUP, self.count), device="cpu")
            return
        rng = np.random.default_rng((self.seed, self.epoch))
        groups = -(-self.count // GROUP)
        for first in rng.permutation(groups):
            members = torch.arange(int(first), self.count, groups, device="cpu")
            yield members[rng.permutation(len(members))]


class StreamBatchSampler(Order):
    """Indices of windows that follow each other without overlap, in several streams side by side.

    The series is cut into streams of equal length. Row b of each batch is the next window of stream
    b, so that the state which a network has after one batch is the state before the next.

    Args:
        count: Windows of the split, one for each place it can start at.
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
        """One window of each stream, in time order."""
        starts = torch.arange(self.num_streams, device="cpu") * self.length
        for batch in range(len(self)):
            yield starts + batch * self.window
