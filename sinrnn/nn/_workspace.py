"""Buffers and their views, made once and used again.

At the sizes of a small network, allocating memory and making views of it costs more than the
arithmetic. A block is lent to one user at a time and never leaves the package: what callers get
is always fresh memory.
"""

import torch
from torch import Tensor

LARGEST = 2**22  # numbers in a block that is kept: 16 MB of float32

EACH = 3  # idle blocks of one shape: states of the last and of this step, gradients
SHAPES = 16  # shapes that blocks are kept of

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

    def __init__(self, block: Tensor, home: "list[Block] | None" = None) -> None:
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


_idle: dict[Key, list[Block]] = {}


def acquire(T: int, B: int, N: int, like: Tensor) -> Block:
    """A block of T steps of (B, N) numbers of `like`'s type and device; their values are stale."""
    if not like.is_cpu:  # CUDA has such a store of its own
        return Block(like.new_empty(T, B, N))
    key = (T, B, N, like.dtype)
    home = _idle.get(key)
    if home:
        try:
            return home.pop()
        except IndexError:  # another thread was faster
            pass
    block = like.new_empty(T, B, N)
    # Tensors of tracing or inference modes must not get into ordinary use.
    if block.numel() > LARGEST or type(block) is not Tensor or block.is_inference():
        return Block(block)
    if len(_idle) >= SHAPES:
        _idle.clear()
    return Block(block, _idle.setdefault(key, []))


def release(block: Block) -> None:
    """Take a block back; nobody may use it any more."""
    home = block.home
    if home is not None and len(home) < EACH:
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
