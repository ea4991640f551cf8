"""The readout by least squares: it is linear, so no gradient is needed."""

import torch
from torch import Tensor


def solve(h: Tensor, y: Tensor, cutoff: float, *, bias: bool) -> tuple[Tensor, Tensor]:
    """Who and bo of least ||h Who' + bo - y||², by singular values, in float64.

    Directions in which the states hardly vary get no weight: they fit noise, and make a rollout
    unstable.

    Args:
        h: States (N, H).
        y: Targets (N, O).
        cutoff: Singular values below this part of the largest count as zero; at least the rounding
            of h's dtype.
        bias: Whether there is a bo; else it is zero.

    Returns:
        Who (O, H) and bo (O), float64, on the CPU.
    """
    states = h.double().cpu()
    if bias:
        states = torch.cat([states, torch.ones_like(states[:, :1])], 1)
    least = max(torch.finfo(h.dtype).eps, cutoff)
    found = torch.linalg.lstsq(states, y.double().cpu(), rcond=least, driver="gelsd")
    weights = found.solution.t()
    H = h.shape[1]
    return weights[:, :H], weights[:, H:].sum(1)  # of no column, the sum is zero
