"""The strongest period of a series, from its autocorrelation."""

import torch
from torch import Tensor

CYCLES = 3  # cycles in the series, at least
MOST = 2**20  # points used, the last ones
LEAST = 0.3  # autocorrelation at the period, at least; and 4 standard deviations of white noise's
RISE = 0.2  # autocorrelation above its minimum at shorter lags: a slow decay has no period
NEAR = 1.3  # factor of 1 - r within which a shorter period is preferred to its multiple
ROUNDED = 0.02  # added to that, for periods that are not a whole number of steps


@torch.no_grad()
def strongest_period(values: Tensor) -> int | None:
    """Return the lag of the highest autocorrelation peak; of multiples, the shortest.

    The autocorrelation is that of the series without its linear trend, or of its differences, in
    which a drifting level does not hide the period: the one with the higher peak.

    Args:
        values: Consecutive samples, (points,).

    Returns:
        The period in steps; None if there is none, or the series has fewer than three cycles.
    """
    x = values[-MOST:].double().cpu()
    if len(x) < 2 * CYCLES + 1 or not x.isfinite().all():
        return None
    peaks = [peak for peak in (_peak(_detrended(x)), _peak(_detrended(x.diff()))) if peak]
    # Of two equally high ones, the shorter period.
    return max(peaks, key=lambda peak: (round(peak[0], 1), -peak[1]))[1] if peaks else None


def _detrended(x: Tensor) -> Tensor:
    t = torch.linspace(-1, 1, len(x), dtype=x.dtype, device=x.device)
    around = x - x.mean()
    return around - t * (t @ around) / (t @ t)


def _peak(x: Tensor) -> tuple[float, int] | None:
    """Return the autocorrelation at the period, and the period; None if there is none."""
    n, longest = len(x), len(x) // CYCLES
    power = x.square().cumsum(0)
    if not power[-1] > 1e-20 * n * max(1.0, x.abs().max().item()) ** 2:
        return None
    # r[k] is the correlation of x[:n-k] with x[k:], each normalised by its own norm.
    size = 1 << (2 * n - 1).bit_length()
    shared = torch.fft.irfft(torch.fft.rfft(x, size).abs().square(), size)[: longest + 2]
    lags = torch.arange(longest + 2, device=x.device)
    before = torch.cat([power.new_zeros(1), power])
    r = shared / ((power[n - 1 - lags]) * (power[-1] - before[lags])).clamp_min(1e-300).sqrt()
    lowest = r[1:].cummin(0).values
    inner = r[2:-1]
    peaks = (inner >= r[1:-2]) & (inner > r[3:])
    peaks &= (inner > max(LEAST, 4 / n**0.5)) & (inner - lowest[:-2] > RISE)
    candidates = peaks.nonzero()[:, 0] + 2
    if len(candidates) == 0:
        return None
    near = 1 - r[candidates] <= NEAR * (1 - r[candidates].max()) + ROUNDED
    first = int(candidates[near][0])
    # With noise, the first candidate may lie on the slope of the peak: take the maximum near it.
    at = first + int(r[first : min(first + first // 2, longest) + 1].argmax())
    return r[at].item(), at
