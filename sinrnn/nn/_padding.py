"""Sequences of different lengths in one padded batch.

The state stays constant after a sequence's end. The values of the padding, NaN included, affect
neither outputs nor gradients.
"""

import torch
from torch import Tensor

from sinrnn.nn import _reference
from sinrnn.nn._validation import check
from sinrnn.nn.functional import tanh_rnn


def states(
    x: Tensor,
    h0: Tensor | None,
    Wih: Tensor,
    Whh: Tensor,
    bh: Tensor | None,
    lengths: Tensor,
    *,
    bptt_steps: int | None = None,
    last_only: bool = False,
) -> Tensor:
    """Compute the states of `functional.tanh_rnn`, constant from each sequence's end on.

    `lengths` (B,) are the steps of each sequence, 1 to T: h[t] = h[lengths] for t > lengths.
    `bptt_steps` counts from each sequence's end. `last_only` returns only h[T], (B, 1, H).

    Raises:
        TypeError: As in `functional.tanh_rnn`; or lengths is not a tensor of integers.
        ValueError: As in `functional.tanh_rnn`; or lengths is not (B,), or not within 1 to T.
    """
    check(x, h0, Wih, Whh, bh, bptt_steps)
    _check(lengths, x)
    T = x.shape[1]
    t, last = torch.arange(T, device=x.device), lengths.to(x.device).long()[:, None] - 1
    x = x.masked_fill((t > last)[..., None], 0)
    asked = t[-1:] if last_only else t
    if bptt_steps is None or bptt_steps >= T:
        return _pick(tanh_rnn(x, h0, Wih, Whh, bh), asked.minimum(last))
    # The gradient reaches the steps `first` to `last` of each sequence: run these again, with
    # gradient, from the state before them.
    first = (last - bptt_steps + 1).clamp(min=0)
    early = tanh_rnn(x, h0, Wih, Whh, bh).detach()
    h0 = torch.zeros_like(early[:, 0]) if h0 is None else h0
    before = torch.where(first > 0, _pick(early, (first - 1).clamp(min=0))[:, 0], h0)
    late = tanh_rnn(_pick(x, (first + t[:bptt_steps]).clamp(max=T - 1)), before, Wih, Whh, bh)
    late = _pick(late, (asked.minimum(last) - first).clamp(min=0))
    return torch.where((asked >= first)[..., None], late, early[:, asked])


def _pick(steps: Tensor, index: Tensor) -> Tensor:
    """Return the steps (B, K, N) of (B, T, N) that index (B, K) names."""
    return steps.gather(1, index[..., None].expand(-1, -1, steps.shape[2]))


def _check(lengths: Tensor, x: Tensor) -> None:
    if (
        not isinstance(lengths, Tensor)
        or lengths.is_floating_point()
        or lengths.dtype == torch.bool
    ):
        kind = lengths.dtype if isinstance(lengths, Tensor) else type(lengths).__name__
        raise TypeError(f"lengths must be a tensor of integers, got {kind}")
    B, T = x.shape[:2]
    if lengths.shape != (B,):
        raise ValueError(
            f"lengths must be {(B,)} to fit x {tuple(x.shape)}, got {tuple(lengths.shape)}"
        )
    if _reference.preferred():  # tracing and transforms forbid reading values
        return
    wrong = lengths[(lengths < 1) | (lengths > T)]
    if len(wrong):
        raise ValueError(f"lengths must be from 1 to {T}, the steps of x, got {wrong[0].item()}")
