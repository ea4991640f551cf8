"""Buffers and their views, made once and used again.

At the sizes of a small network, allocating memory and making views of it costs more than the
arithmetic. A block is lent to one user at a time and never leaves the package: what callers get
is always fresh memory.
"""

from itertools import count

import torch
from torch import Tensor

KEPT = 2**26  # bytes that all idle blocks may hold together: 64 MB, small beside the process

EACH = 3  # idle blocks of one shape: states of the last and of this step, gradients
SHAPES = 16  # shapes that blocks are kept of
VIEW = 640  # bytes of one view: of many steps of few numbers, views are most of a block

Key = tuple[int, int, int, torch.dtype]


class Block:
    """T steps of (B, N) numbers, time first, and the views that the recurrence needs.

    Attributes:
        block: (T, B, N).
        steps: T views (B, N).
        flat: (T B, N).
        flat_t: Its transpose.
        early: All steps but the last, ((T-1) B, N).
        late_t: All steps but the first, transposed, (N, (T-1) B).
        one: The number 1.
        spare: Room for one more step.
        home: Where it waits while nobody uses it.
    """

    __slots__ = ("block", "early", "flat", "flat_t", "home", "late_t", "one", "spare", "steps")

    def __init__(self, block: Tensor, home: "Home | None" = None) -> None:
        batch = block.shape[1]
        self.block = block
        self.steps = block.unbind(0)
        self.flat = block.flatten(0, 1)
        self.flat_t = self.flat.t()
        self.early = self.flat[: len(self.flat) - batch]
        self.late_t = self.flat_t[:, batch:]
        self.one = block.new_ones(())
        self.spare = torch.empty_like(self.steps[0])
        self.home = home


class Home(list[Block]):
    """The idle blocks of one shape.

    Attributes:
        room: How many may wait here.
        size: Bytes of as many.
        used: When the last one left; a larger number is later.
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
    """A block of T steps of (B, N) numbers of `like`'s type and device; their values are stale."""
    # A subclass may be no memory at all, as a fake tensor; CUDA has such a store of its own.
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
    if block.is_inference():  # such a tensor must not get into ordinary use
        return Block(block)
    return Block(block, _open(key, block) if home is None else home)


def _open(key: Key, block: Tensor) -> Home:
    """A home for blocks like this one; those that were used least recently make room for it."""
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
        other.room = 0  # for those of its blocks that are lent
        other.clear()
    return _idle.setdefault(key, home)


def release(block: Block) -> None:
    """Take a block back; nobody may use it any more."""
    home = block.home
    if home is not None and len(home) < home.room:
        home.append(block)


class Lease:
    """A block that goes back when the last reference to its lease does.

    Args:
        block: What was taken.
    """

    __slots__ = ("block",)

    def __init__(self, block: Block) -> None:
        self.block = block

    def __del__(self) -> None:
        release(self.block)
