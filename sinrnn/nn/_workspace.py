"""A pool of buffers and their views.

For a small network, allocating memory and creating views takes longer than the arithmetic. A block
has one user at a time and never leaves the package: callers always get fresh memory.
"""

from collections.abc import Sequence
from itertools import count

import numpy as np
import torch
from torch import Tensor

KEPT = 2**26  # bytes of all idle blocks, at most: 64 MB

EACH = 3  # idle blocks of one shape: states of the last and of this step, gradients
SHAPES = 16  # different shapes in the pool, at most
VIEW = 800  # bytes of both views of a step: with many small steps, they take most of the memory

Key = tuple[int, int, int, torch.dtype]


class Block:
    """T steps of (B, N) numbers, time first, and the views that the recurrence needs.

    Attributes:
        block: (T, B, N).
        steps: T views (B, N).
        arrays: The same views as NumPy arrays, or T times None; see `as_arrays`.
        flat: All steps, (T B, N).
        flat_t: Its transpose.
        early: All steps but the last, ((T-1) B, N).
        late_t: All steps but the first, transposed, (N, (T-1) B).
        one: The number 1, ().
        spare: Scratch memory of one step, (B, N).
        home: The list that it returns to; None if it is not reused.
    """

    __slots__ = (
        *("arrays", "block", "early", "flat", "flat_t", "home", "late_t", "one", "spare", "steps"),
    )

    def __init__(self, block: Tensor, home: "Home | None" = None) -> None:
        batch = block.shape[1]
        self.block = block
        self.steps, self.arrays = block.unbind(0), as_arrays(block)
        self.flat = block.flatten(0, 1)
        self.flat_t = self.flat.t()
        self.early = self.flat[: len(self.flat) - batch]
        self.late_t = self.flat_t[:, batch:]
        self.one = block.new_ones(())
        self.spare = torch.empty_like(self.steps[0])
        self.home = home


def as_arrays(block: Tensor) -> Sequence[np.ndarray | None]:
    """Return the T steps of a tensor (T, B, N) as NumPy arrays that share its memory.

    Where NumPy cannot work on them, because of their dtype, device or class, they are None.
    """
    if type(block) is Tensor and block.is_cpu and block.dtype in (torch.float32, torch.float64):
        return list(block.numpy())
    return (None,) * len(block)


class Home(list[Block]):
    """The idle blocks of one shape.

    Attributes:
        room: Number of blocks that it may hold.
        size: Bytes of that many blocks.
        used: When a block was last taken; larger is later.
    """

    __slots__ = ("room", "size", "used")

    def __init__(self, size: int) -> None:
        super().__init__()
        self.room = min(EACH, KEPT // size)
        self.size = self.room * size
        self.used = next(_clock)


_idle: dict[Key, Home] = {}
_clock = count()


def acquire(T: int, B: int, N: int, like: Tensor) -> Block:
    """Return a block of T steps (B, N) with `like`'s dtype and device; its values are undefined."""
    # Subclasses such as fake tensors may have no memory; CUDA has a caching allocator of its own.
    if type(like) is not Tensor or not like.is_cpu:
        return Block(like.new_empty(T, B, N))
    key = (T, B, N, like.dtype)
    home = _idle.get(key)
    if home:
        home.used = next(_clock)
        try:
            return home.pop()
        except IndexError:  # another thread was faster
            pass
    block = like.new_empty(T, B, N)
    if block.is_inference():  # autograd cannot save inference tensors: do not reuse them
        return Block(block)
    return Block(block, _open(key, block) if home is None else home)


def _open(key: Key, block: Tensor) -> Home:
    """Add a list for blocks of this shape; drop the least recently used ones to make room."""
    home = Home(block.nbytes + block[0].nbytes + len(block) * VIEW)
    if home.room == 0:
        return home
    others = sorted(_idle.copy().items(), key=lambda item: item[1].used)
    size = home.size + sum(other.size for _, other in others)
    for oldest, other in others:
        if size <= KEPT and len(_idle) < SHAPES:
            break
        _idle.pop(oldest, None)
        size -= other.size
        other.room = 0  # its blocks in use shall not return to it
        other.clear()
    return _idle.setdefault(key, home)


def release(block: Block) -> None:
    """Return a block to the pool; it must not be used any more."""
    home = block.home
    if home is not None and len(home) < home.room:
        home.append(block)


class Lease:
    """Holds a block and releases it when the lease is deleted.

    Args:
        block: The block.
    """

    __slots__ = ("block",)

    def __init__(self, block: Block) -> None:
        self.block = block

    def __del__(self) -> None:
        release(self.block)
