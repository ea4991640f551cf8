"""Less memory for `last_output`: keep every n-th state, and compute the others once more.

T states in memory become T/n + n, least at n = sqrt(T); the price is a second forward pass.
Source: Chen, Xu, Zhang and Guestrin (2016), "Training deep nets with sublinear memory cost",
arXiv:1604.06174. torch.utils.checkpoint around chunks of `tanh_rnn` gives the same bits in 1.2 to
2.4 times the time.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from sinrnn.nn import _reference, bptt
from sinrnn.nn._reference import Grads
from sinrnn.nn._workspace import give, take


class _Recomputed(Function):
    """Keeps the state before each chunk of n steps; backward computes one chunk at a time.

    The output is to the bit that of all states kept, its gradient up to rounding.
    """

    @staticmethod
    def forward(ctx: Any, depth: int | None, keep_every: int, *inputs: Any) -> Tensor:
        x, h0, Wih, Whh, bh, Who, bo = inputs
        cut = 0 if depth is None else max(x.shape[1] - depth, 0)
        steps, last, kept = x.transpose(0, 1), h0, []
        if cut:
            last, steps = bptt._skip(steps[:cut], h0, Wih, Whh, bh), steps[cut:]
        for chunk in steps.split(keep_every):
            kept.append(last)
            last = bptt._skip(chunk, last, Wih, Whh, bh)
        assert last is not None
        ctx.save_for_backward(*inputs)
        ctx.depth, ctx.keep_every, ctx.cut, ctx.kept, ctx.last = depth, keep_every, cut, kept, last
        return bptt._project(last, Who, bo)

    @staticmethod
    def backward(ctx: Any, grad_y: Tensor) -> Grads:
        inputs = x, _, Wih, Whh, bh, Who, _ = ctx.saved_tensors
        if _reference.autocast(x):
            with torch.autocast(x.device.type, enabled=False):
                return _Recomputed.backward(ctx, grad_y)
        if torch.is_grad_enabled() or _reference.preferred(grad_y):
            return (
                None,
                None,
                *_reference.gradient(_reference.last_output, inputs, ctx.depth, grad_y),
            )
        needs, cut = ctx.needs_input_grad[2:], ctx.cut
        grad_Who = torch.mm(grad_y.t(), ctx.last) if needs[5] else None
        grad_bo = grad_y.sum(0) if needs[6] else None
        grad_x = torch.zeros_like(x) if needs[0] else None
        sums: list[Tensor | None] = [None, None, None]  # of Wih, Whh, bh, over the chunks
        grad_h = torch.mm(grad_y, Who)
        starts = range(cut, x.shape[1], ctx.keep_every)
        for start, before in zip(reversed(starts), reversed(ctx.kept), strict=True):
            part = x[:, start : start + ctx.keep_every]
            steps_x = part.transpose(0, 1).flatten(0, 1)
            h = take(part.shape[1], len(x), len(Whh), x)
            bptt._project(steps_x, Wih, bh, h.flat)
            bptt._advance(h.steps, before, bptt._transposed(Whh, x.shape[1]))
            grad_a = take(part.shape[1], len(x), len(Whh), x)
            bptt._pull_back(grad_a, h, (grad_h,), Whh)
            # dLoss/dh of the state before this chunk is (9), as if it were h[0].
            wanted = (needs[0], True, *needs[2:])
            part_x, before_h, *found = bptt._collect(
                wanted, grad_a, h, before, part, steps_x, Wih, Whh
            )
            give(h)
            give(grad_a)
            assert before_h is not None
            grad_h = before_h
            if grad_x is not None and part_x is not None:
                grad_x[:, start : start + ctx.keep_every] = part_x
            sums = [
                new if total is None or new is None else total.add_(new)
                for total, new in zip(sums, found, strict=True)
            ]
        grad_h0 = None
        if needs[1]:
            grad_h0 = torch.zeros_like(grad_h) if cut else grad_h
        return (None, None, grad_x, grad_h0, *sums, grad_Who, grad_bo)
