"""Metrics of predictions and of a network, one function each."""

import math

import torch
from torch import Tensor

from sinrnn.data.windows import Windows
from sinrnn.nn.trace import Trace

NEGLIGIBLE = 1e-3  # relative to the last step's gradient; below it, a step hardly contributes


def skill(mse: float, mse_baseline: float) -> float:
    """Return the skill score 1 - mse / mse_baseline.

    1 is perfect, 0 is as good as the baseline, below 0 is worse. Both losses may have a common
    factor, as half_mse has.
    """
    if mse_baseline == 0:
        return 0.0 if mse == 0 else -float("inf")
    return 1 - mse / mse_baseline


def conformal(errors: Tensor, coverage: float = 0.9, independent: Tensor | None = None) -> Tensor:
    """Return the half-widths (K,) of intervals that contain a share `coverage` of future values.

    Split conformal prediction: the half-width is the (N + 1) coverage-th smallest of N errors on
    data that was not used for training, interpolated between its two neighbours. It is valid if
    future errors are distributed like these, and infinite if N is too small. If only n errors are
    independent, it is the N (1 + 1 / n) coverage-th smallest, at most the largest.

    Args:
        errors: |prediction - truth|, (N, K).
        coverage: Share of values within the intervals, between 0 and 1.
        independent: Number of independent errors by horizon, n (K,). None is N.

    Source:
        Vovk, Gammerman, Shafer (2005), "Algorithmic Learning in a Random World"; Lei et al. (2018),
        "Distribution-free predictive inference for regression", JASA 113(523).
    """
    count = len(errors)
    if (count + 1) * coverage > count:
        return torch.full_like(errors[0], math.inf)
    n = torch.full_like(errors[0], count) if independent is None else independent.clamp_max(count)
    place = (coverage * (count + count / n)).clamp(1, count)
    ordered = errors.nan_to_num(math.inf, math.inf).sort(0).values
    low, high = (ordered.gather(0, at.long()[None] - 1)[0] for at in (place.floor(), place.ceil()))
    return torch.where(high.isinf(), high, low + (place - place.floor()) * (high - low))


def phase_drift(prediction: Tensor, truth: Tensor) -> tuple[float, float] | None:
    """Return by how many periods a forecast (n,) is ahead of the truth (n,) at its end.

    Both are demodulated at the strongest frequency of the truth, in windows of two periods. The
    unwrapped angle between them is the phase.

    Returns:
        The drift and the number of periods that it took, both in periods. None if the series is not
        periodic or too short.
    """
    truth, ours = (v.double() - v.double().mean() for v in (truth, prediction))
    n = len(truth)
    if n < 8 or truth.max() == truth.min():
        return None
    strength = torch.fft.rfft(
        truth * torch.hann_window(n, periodic=False, device=truth.device).to(truth)
    ).abs()
    peak = int(strength[1:-1].argmax()) + 1
    # The ratio of neighbouring bins gives the frequency between them, exactly for a Hann window.
    side = peak + (1 if strength[peak + 1] > strength[peak - 1] or peak == 1 else -1)
    ratio = (strength[side] / strength[peak]).item()
    period = n / (peak + (side - peak) * (2 * ratio - 1) / (1 + ratio))
    # Over two periods a Hann window rejects both the mean and the mirror image of the carrier.
    size, step = round(2 * period), max(round(period / 4), 1)
    starts = range(0, n - size + 1, step)
    if period < 4 or len(starts) < 2:
        return None
    carrier = torch.exp(-2j * torch.pi * torch.arange(n, device=truth.device).to(truth) / period)
    hann = torch.hann_window(size, device=truth.device).to(carrier)
    ours, true = ((v * carrier).unfold(0, size, step) @ hann for v in (ours, truth))
    # The phase of a wave without amplitude is undefined.
    if (ours.abs() < 0.2 * true.abs().mean()).any() or (true == 0).any():
        return None
    turned = (ours * true.conj()).angle().diff()
    turned = torch.remainder(turned + torch.pi, 2 * torch.pi) - torch.pi
    return turned.sum().item() / (2 * torch.pi), (starts[-1] - starts[0]) / period


def saturated(h: Tensor) -> float:
    """Return the share of the states h, of any shape, with |h| > 0.99."""
    return float((h.abs() > 0.99).double().mean())


def spectral_radius(Whh: Tensor) -> float:
    """Return the largest absolute eigenvalue of Whh (H, H), or nan if Whh is not finite."""
    if not Whh.isfinite().all():  # LAPACK could abort the process
        return float("nan")
    return float(torch.linalg.eigvals(Whh.detach().double()).abs().max())


def gradient_flow(trace: Trace) -> Tensor:
    """Return |dLoss/dh[t]| relative to the last step of the same window, by step.

    Each window is normalised by itself, so that a few windows with large errors do not dominate.

    Args:
        trace: The trace of a batch of windows.

    Returns:
        The 10 % quantile, the median and the 90 % quantile over the windows, (3, T). They are nan
        if no window has a gradient at its last step.
    """
    size: Tensor = trace.grad_h.double().norm(dim=2)
    size = size[size[:, -1] > 0]
    if len(size) == 0:
        return size.new_full((3, size.shape[1]), math.nan)
    ordered: Tensor = (size / size[:, -1:]).sort(0).values
    return ordered[[int(part * (len(ordered) - 1)) for part in (0.1, 0.5, 0.9)]]


def lag(windows: Windows, predicted: Tensor) -> int:
    """Return the number of steps by which predictions (N,) lag behind their targets.

    It is the shift at which they fit the series clearly best. 0 is the target. `horizon` is the
    last value of the window, which a network that only copies it predicts.
    """
    values, made = windows.values.double(), predicted.double()
    shifts = (0, *range(windows.horizon, windows.horizon + windows.window))
    errors = {
        shift: (made - values[len(values) - len(made) - shift : len(values) - shift])
        .square()
        .mean()
        for shift in shifts
    }
    best: int = min(errors, key=lambda shift: float(errors[shift]))
    return best if errors[best] < 0.8 * errors[0] else 0
