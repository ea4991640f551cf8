"""Ridge regression whose penalty is chosen by leave-one-out error."""

import torch
from torch import Tensor

# Penalties to try, relative to the mean squared singular value; 0 is ordinary least squares.
PENALTIES = (0.0, *(10.0**power for power in range(-8, 5)))


def ridge(x: Tensor, y: Tensor, priors: Tensor) -> tuple[Tensor, Tensor]:
    """Fit a ridge regression that shrinks to one of several priors.

    Penalty and prior are those with the least leave-one-out error. One singular value decomposition
    of the centred columns gives these errors for all of them, from the residuals r:

        r[i] / (1 - H[i, i]),    H = U diag(s^2 / (s^2 + penalty)) U' + 1 / N

    Directions that vary no more than by rounding get no weight.

    Args:
        x: Columns, (N, K), float64.
        y: Targets, (N,).
        priors: Coefficients to shrink to, (P, K).

    Returns:
        Coefficients (K,) and intercept ().

    Source:
        Hastie, Tibshirani, Friedman (2009), "The Elements of Statistical Learning", 3.4.1, 7.10.
    """
    mean = x.mean(0)
    residual = y[:, None] - x @ priors.T  # (N, P)
    level = residual.mean(0)
    target = residual - level
    u, s, vt = torch.linalg.svd(x - mean, full_matrices=False)
    kept = s > 1e-13 * len(x) * s.max()
    u, s, vt = u[:, kept], s[kept], vt[kept]
    b, leverage = u.T @ target, u.square()
    best = (torch.inf, priors[0], level[0])
    for penalty in PENALTIES if len(s) else PENALTIES[:1]:
        shrinkage = s.square() / (s.square() + penalty * s.square().mean())
        free = 1 - leverage @ shrinkage - 1 / len(x)
        if not free.min() > 1e-9:  # as many unknowns as windows
            continue
        errors = ((target - u @ (shrinkage[:, None] * b)) / free[:, None]).square().mean(0)
        error, p = errors.min(0)
        if error < best[0]:
            found = priors[p] + vt.T @ (shrinkage / s * b[:, p])
            best = (error.item(), found, level[p] - mean @ (found - priors[p]))
    return best[1:]
