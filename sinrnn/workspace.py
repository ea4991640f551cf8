"""Buffers and their views, made once and used again.

At the sizes of a small network, allocating memory and making views of it costs more than the
arithmetic. A block is lent to one user at a time and never leaves the package: what callers get
is always fresh memory.
"""

import torch
from torch import Tensor

# Larger blocks are not kept: there, making one costs nothing beside using it.
LARGEST = 2**18  # numbers
MOST = 64  # idle blocks

Key = tuple[int, int, int, torch.dtype, torch.device]


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
    """

    __slots__ = ("block", "early", "flat", "flat_t", "late_t", "one", "spare", "steps")

    def __init__(self, block: Tensor) -> None:
        batch = block.shape[1]
        self.block = block
        self.steps = block.unbind(0)
        self.flat = block.flatten(0, 1)
        self.flat_t = self.flat.t()
        self.early = self.flat[: len(self.flat) - batch]
        self.late_t = self.flat_t[:, batch:]
        self.one = block.new_ones(())
        self.spare = torch.empty_like(self.steps[0])


_idle: dict[Key, list[Block]] = {}


def take(T: int, B: int, N: int, like: Tensor) -> Block:
    """A block of T steps of (B, N) numbers of `like`'s type and device; their values are stale."""
    idle = _idle.get((T, B, N, like.dtype, like.device))
    if idle:
        try:
            return idle.pop()
        except IndexError:  # another thread was faster
            pass
    return Block(like.new_empty(T, B, N))


def give(block: Block) -> None:
    """Take a block back; nobody may use it any more."""
    data = block.block
    # Tensors of tracing or inference modes must not get into ordinary use.
    if data.numel() > LARGEST or type(data) is not Tensor or data.is_inference():
        return
    if sum(map(len, _idle.values())) >= MOST:
        _idle.clear()
    _idle.setdefault((*data.shape, data.dtype, data.device), []).append(block)


class Lease:
    """A block that goes back when the last reference to its lease does.

    Args:
        block: What was taken.
    """

    __slots__ = ("block",)

    def __init__(self, block: Block) -> None:
        self.block = block

    def __del__(self) -> None:
        give(self.block)
