"""Least squares that a few windows cannot lead astray."""

import torch
from torch import Tensor

# Penalties that are tried, as parts of the mean squared singular value; 0 is plain least squares.
PENALTIES = (0.0, *(10.0**power for power in range(-8, 5)))


def ridge(x: Tensor, y: Tensor, priors: Tensor) -> tuple[Tensor, Tensor]:
    """Coefficients and intercept of a ridge regression whose penalty and prior the data choose.

    A large penalty leaves a prior's coefficients. Penalty and prior are those with the least
    leave-one-out error, which a singular value decomposition of the centred columns gives for all
    of them at once:

        r[i] / (1 - H[i, i]),    H = U diag(s^2 / (s^2 + penalty)) U' + 1 / N

    Columns that vary as little as rounding does get no weight.

    Args:
        x: Columns, (N, K), float64.
        y: What they explain, (N,).
        priors: Coefficients to shrink to, (P, K).

    Returns:
        Coefficients (K,) and intercept ().

    Source:
        Hastie, Tibshirani, Friedman (2009), "The Elements of Statistical Learning", 3.4.1, 7.10.
    """
    middle = x.mean(0)
    left = y[:, None] - x @ priors.T  # (N, P)
    level = left.mean(0)
    target = left - level
    u, s, vt = torch.linalg.svd(x - middle, full_matrices=False)
    kept = s > 1e-13 * len(x) * s.max()
    u, s, vt = u[:, kept], s[kept], vt[kept]
    b, leverage = u.T @ target, u.square()
    best = (torch.inf, priors[0], level[0])
    for penalty in PENALTIES if len(s) else PENALTIES[:1]:
        share = s.square() / (s.square() + penalty * s.square().mean())
        free = 1 - leverage @ share - 1 / len(x)
        if not free.min() > 1e-9:  # as many unknowns as windows
            continue
        errors = ((target - u @ (share[:, None] * b)) / free[:, None]).square().mean(0)
        error, p = errors.min(0)
        if error < best[0]:
            found = priors[p] + vt.T @ (share / s * b[:, p])
            best = (error.item(), found, level[p] - middle @ (found - priors[p]))
    return best[1:]
