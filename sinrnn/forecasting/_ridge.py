"""Least squares that a few windows cannot lead astray."""

import torch
from torch import Tensor

# Penalties that are tried, as parts of the mean squared singular value; 0 is plain least squares.
PENALTIES = (0.0, *(10.0**power for power in range(-8, 5)))


def ridge(x: Tensor, y: Tensor, prior: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Coefficients and intercept of a ridge regression whose penalty the data choose.

    A large penalty leaves the prior's coefficients. The penalty is the one with the least
    leave-one-out error, which a singular value decomposition of the centred columns gives for all
    penalties at once:

        r[i] / (1 - H[i, i]),    H = U diag(s^2 / (s^2 + penalty)) U' + 1 / N

    Columns that vary as little as rounding does get no weight.

    Args:
        x: Columns, (N, K), float64.
        y: What they explain, (N,).
        prior: Coefficients to shrink to, (K,).

    Returns:
        Coefficients (K,), intercept () and the mean squared leave-one-out error ().

    Source:
        Hastie, Tibshirani, Friedman (2009), "The Elements of Statistical Learning", 3.4.1, 7.10.
    """
    y = y - x @ prior
    middle, level = x.mean(0), y.mean()
    u, s, vt = torch.linalg.svd(x - middle, full_matrices=False)
    kept = s > 1e-13 * max(len(x), 1) * s.max()
    u, s, vt = u[:, kept], s[kept], vt[kept]
    if not len(s):
        return prior, level, (y - level).square().mean()
    target = y - level
    b, errors, shrunk = u.T @ target, [], []
    for penalty in PENALTIES:
        share = s.square() / (s.square() + penalty * s.square().mean())
        left = 1 - u.square() @ share - 1 / len(x)
        error = ((target - u @ (share * b)) / left).square().mean()
        errors.append(error if left.min() > 1e-9 else error.new_tensor(torch.inf))
        shrunk.append(vt.T @ (share / s * b))
    error, best = torch.stack(errors).min(0)
    found = shrunk[int(best)]
    return prior + found, level - middle @ found, error
