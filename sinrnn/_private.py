"""Private names of torch, Lightning and TensorBoard: each stands here, with why it is needed."""

from typing import Any, Self

from torch import nn


class KeepsDtype(nn.Module):
    """A module whose own buffers move with it and keep their dtype.

    `.to(dtype)`, `.half()` and Lightning's bf16-true all go through `_apply`, and torch has no
    public way to leave a buffer out.
    """

    def _apply(self, fn: Any, recurse: bool = True) -> Self:
        before = dict(self.named_buffers(recurse=False))
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        for name, number in before.items():
            moved = getattr(self, name)
            if moved.dtype != number.dtype:
                setattr(self, name, number.to(moved.device))
        return self
