"""Measures of predictions and of a network, one function each."""

import math

import torch
from torch import Tensor

from sinrnn.data.windows import Windows
from sinrnn.nn.trace import Trace

CARRIES = 1e-3  # of the last step's gradient: a step with less is hardly learnt from


def skill(mse: float, mse_baseline: float) -> float:
    """1 - mse / mse_baseline: 1 is perfect, 0 as good as the baseline, below 0 worse.

    Any pair of losses that share a factor will do, half_mse too.
    """
    if mse_baseline == 0:
        return 0.0 if mse == 0 else -float("inf")
    return 1 - mse / mse_baseline


def conformal(errors: Tensor, coverage: float = 0.9, independent: Tensor | None = None) -> Tensor:
    """Half-widths of intervals that hold `coverage` of what comes, by horizon (K,).

    Split conformal prediction: of N errors on data that the network has not learnt from, the
    (N + 1) coverage-th smallest, interpolated between the two beside it. It holds where those
    errors are like the ones to come; infinite where N is too small to say. Where fewer of them
    are independent, n, it is the N (1 + 1 / n) coverage-th, at most the largest.

    Args:
        errors: |prediction - truth|, (N, K).
        coverage: Between 0 and 1.
        independent: n by horizon, (K,); None is N.

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
    """How far a forecast (n,) runs ahead of the truth (n,) at its end, after how many periods.

    The truth's strongest frequency is demodulated in windows of two periods from both; the angle
    between them, unwrapped, is the phase. None where there is no wave, or too little of it.
    """
    truth, ours = (v.double() - v.double().mean() for v in (truth, prediction))
    n = len(truth)
    if n < 8 or truth.max() == truth.min():
        return None
    strength = torch.fft.rfft(
        truth * torch.hann_window(n, periodic=False, device=truth.device).to(truth)
    ).abs()
    peak = int(strength[1:-1].argmax()) + 1
    # Between two bins the frequency follows from their ratio, which for a Hann window is exact.
    side = peak + (1 if strength[peak + 1] > strength[peak - 1] or peak == 1 else -1)
    ratio = (strength[side] / strength[peak]).item()
    period = n / (peak + (side - peak) * (2 * ratio - 1) / (1 + ratio))
    # Over two periods a Hann window sees neither the mean nor the carrier's mirror image.
    size, step = round(2 * period), max(round(period / 4), 1)
    starts = range(0, n - size + 1, step)
    if period < 4 or len(starts) < 2:
        return None
    carrier = torch.exp(-2j * torch.pi * torch.arange(n, device=truth.device).to(truth) / period)
    hann = torch.hann_window(size, device=truth.device).to(carrier)
    made, wanted = ((v * carrier).unfold(0, size, step) @ hann for v in (ours, truth))
    # Where there is no wave there is no phase.
    if (made.abs() < 0.2 * wanted.abs().mean()).any() or (wanted == 0).any():
        return None
    turned = (made * wanted.conj()).angle().diff()
    turned = torch.remainder(turned + torch.pi, 2 * torch.pi) - torch.pi
    return turned.sum().item() / (2 * torch.pi), (starts[-1] - starts[0]) / period


def saturated(h: Tensor) -> float:
    """Share of the states h, of any shape, with |h| > 0.99."""
    return float((h.abs() > 0.99).double().mean())


def spectral_radius(Whh: Tensor) -> float:
    """The largest absolute value of an eigenvalue of Whh (H, H); nan where it is not finite."""
    if not Whh.isfinite().all():  # LAPACK may end the process
        return float("nan")
    return float(torch.linalg.eigvals(Whh.detach().double()).abs().max())


def gradient_flow(trace: Trace) -> Tensor:
    """|dLoss/dh[t]| over that of the same window's last step: 10 %, median and 90 % of the windows.

    Each window is compared with itself, so that a few with large errors do not speak for all.

    Args:
        trace: Of a batch of windows.

    Returns:
        The three by step, (3, T), each that of a window; nan where no last step has a gradient.
    """
    size: Tensor = trace.grad_h.double().norm(dim=2)
    size = size[size[:, -1] > 0]
    if len(size) == 0:
        return size.new_full((3, size.shape[1]), math.nan)
    ordered: Tensor = (size / size[:, -1:]).sort(0).values
    return ordered[[int(part * (len(ordered) - 1)) for part in (0.1, 0.5, 0.9)]]


def lag(windows: Windows, predicted: Tensor) -> int:
    """Steps by which predictions (N,) are late, up to the first sample of the windows.

    It is the one for which they fit the series clearly best: 0 for its target, `horizon` for the
    last value that was read.
    """
    values, made = windows.values.double(), predicted.double()
    read = range(windows.horizon, windows.horizon + windows.window)
    errors = {
        late: (made - values[len(values) - len(made) - late : len(values) - late]).square().mean()
        for late in (0, *read)
    }
    found: int = min(errors, key=lambda late: float(errors[late]))
    return found if errors[found] < 0.8 * errors[0] else 0
