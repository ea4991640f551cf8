"""The strongest period of a series, from its autocorrelation."""

import torch
from torch import Tensor

CYCLES = 3  # that a series must show
MOST = 2**20  # points that are looked at, the last: more would only take time
LEAST = 0.3  # autocorrelation; and 4 standard deviations of white noise's
RISE = 0.2  # over the lowest before it: a slow decay has no period
NEAR = 1.3  # times the distance from 1: a multiple must be clearly better than the period itself
ROUNDED = 0.02  # and so much for periods that are no whole number of steps


@torch.no_grad()
def strongest_period(values: Tensor) -> int | None:
    """The lag at which a series is most like itself, of its periods and their multiples the first.

    It is a peak of the autocorrelation of the series less its line, or of its differences, in which
    a level that wanders hides no period: whichever is higher.

    Args:
        values: Consecutive samples, (points,).

    Returns:
        The period in steps; None where there is none, or fewer than three cycles of it.
    """
    x = values[-MOST:].double().cpu()
    if len(x) < 2 * CYCLES + 1 or not x.isfinite().all():
        return None
    found = [peak for peak in (_peak(_less_line(x)), _peak(_less_line(x.diff()))) if peak]
    # Of two that are as high, the shorter.
    return max(found, key=lambda peak: (round(peak[0], 1), -peak[1]))[1] if found else None


def _less_line(x: Tensor) -> Tensor:
    t = torch.linspace(-1, 1, len(x), dtype=x.dtype, device=x.device)
    around = x - x.mean()
    return around - t * (t @ around) / (t @ t)


def _peak(x: Tensor) -> tuple[float, int] | None:
    """The autocorrelation at the period and the period, where there is one."""
    n, longest = len(x), len(x) // CYCLES
    power = x.square().cumsum(0)
    if not power[-1] > 1e-20 * n * max(1.0, x.abs().max().item()) ** 2:
        return None
    # r[k] is the correlation of x[:n-k] with x[k:], each by its own size.
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
    # Noise makes peaks on the slope of a peak.
    at = first + int(r[first : min(first + first // 2, longest) + 1].argmax())
    return r[at].item(), at
