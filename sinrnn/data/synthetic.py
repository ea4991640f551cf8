"""Series computed by a formula, of any length, with optional noise."""

import math
from abc import abstractmethod
from collections import deque
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sinrnn.data.series import Series


class Generated(Series):
    """A series computed by a formula, with optional noise; it continues beyond its last sample.

    A subclass only needs `_formula`, which maps steps i = 0, 1, 2, ... to samples, both float64,
    (points,). The first samples do not depend on how many are computed.

    Args:
        points: Number of samples, N.
        noise: Standard deviation of Gaussian noise added to every sample.
        seed: Seed of the noise.

    Raises:
        ValueError: points is below 1, noise is below 0 or not finite, or seed is below 0.

    Example:
        >>> class Ramp(Generated):
        ...     def _formula(self, i):
        ...         return i / 10
        >>> Ramp(points=3, noise=0.01).values()
        tensor([0.0013, 0.0987, 0.2064], dtype=torch.float64)
        >>> Ramp(points=3, noise=0.01).noise_free(4)
        tensor([0.0000, 0.1000, 0.2000, 0.3000], dtype=torch.float64)
    """

    def __init__(self, points: int = 1000, noise: float = 0.0, seed: int = 0) -> None:
        if points < 1:
            raise ValueError(f"points must be at least 1, got {points}")
        if not 0 <= noise < math.inf:
            raise ValueError(f"noise must be a finite number, at least 0, got {noise}")
        if seed < 0:
            raise ValueError(f"seed must be at least 0, got {seed}")
        self.points, self.noise, self.seed = points, noise, seed

    @abstractmethod
    def _formula(self, i: Tensor) -> Tensor:
        """Return the samples at steps i = 0, 1, 2, ..., float64, (points,)."""

    def values(self) -> Tensor:
        """Return all samples, float64, (points,)."""
        return self.continued(self.points)

    def continued(self, points: int) -> Tensor:
        """Return the first `points` samples, float64, also beyond the series' end."""
        normal = np.random.default_rng(self.seed).standard_normal(points)
        return self.noise_free(points) + self.noise * torch.from_numpy(normal)

    def noise_free(self, points: int) -> Tensor:
        """Return the samples of `continued` without noise, float64, (points,)."""
        return self._formula(torch.arange(points, dtype=torch.float64, device="cpu"))


class Sine(Generated):
    """sin(x / divisor) on the grid x_i = i * stop / points, i = 0..points-1.

    The notebook's grid has 1000 points up to 10 pi: five periods of 200 points each. With its
    divisor of 20, it is a quarter of one period.

    Args:
        points: Number of samples, N.
        stop: End of the grid in radians, excluded.
        divisor: Stretches the wave; the period is 2 pi * divisor * points / stop samples.
        **common: noise and seed of `Generated`.

    Raises:
        ValueError: stop or divisor is 0 or not finite; or as `Generated`.

    Example:
        >>> Sine(points=8, stop=2 * torch.pi).values()[:3]
        tensor([0.0000, 0.7071, 1.0000], dtype=torch.float64)
    """

    def __init__(
        self, points: int = 1000, stop: float = 10 * math.pi, divisor: float = 1.0, **common: Any
    ) -> None:
        super().__init__(points, **common)
        for name, value in {"stop": stop, "divisor": divisor}.items():
            if not math.isfinite(value) or value == 0:
                raise ValueError(f"{name} must be a finite number other than 0, got {value}")
        self.stop, self.divisor = stop, divisor

    def _formula(self, i: Tensor) -> Tensor:
        x = i * (self.stop / self.points)
        return torch.sin(x / self.divisor)


class Damped(Generated):
    """exp(-i / decay) sin(2 pi i / period).

    Args:
        period: Samples in a period, above 2.
        decay: Samples in which the amplitude falls to 1/e.
        **common: points, noise and seed of `Generated`.

    Raises:
        ValueError: A number of samples is too small or not finite; or as `Generated`.

    Example:
        >>> wave = Damped(period=4, decay=100).values()
        >>> wave[101] / wave[1]
        tensor(0.3679, dtype=torch.float64)
    """

    def __init__(self, *, period: float = 50.0, decay: float = 400.0, **common: Any) -> None:
        super().__init__(**common)
        self.period, self.decay = _above(2, "period", period), _above(0, "decay", decay)

    def _formula(self, i: Tensor) -> Tensor:
        return torch.exp(-i / self.decay) * torch.sin(2 * math.pi * i / self.period)


class SumOfSines(Generated):
    """sum_k amplitudes_k sin(2 pi i / periods_k).

    Args:
        periods: Samples in a period of each sine, above 2.
        amplitudes: Amplitude of each sine.
        **common: points, noise and seed of `Generated`.

    Raises:
        ValueError: The lists are empty or of different lengths, a period is 2 samples or less, or
            a number is not finite; or as `Generated`.

    Example:
        >>> SumOfSines(periods=(4.0, 12.0), amplitudes=(1.0, 0.5)).values()[:4]
        tensor([ 0.0000,  1.2500,  0.4330, -0.5000], dtype=torch.float64)
    """

    def __init__(
        self,
        *,
        periods: tuple[float, ...] = (50.0, 31.0),
        amplitudes: tuple[float, ...] = (1.0, 0.5),
        **common: Any,
    ) -> None:
        super().__init__(**common)
        if not 0 < len(periods) == len(amplitudes):
            raise ValueError(
                "periods and amplitudes must be lists of the same length, at least 1, "
                f"got {len(periods)} and {len(amplitudes)}"
            )
        if not all(map(math.isfinite, amplitudes)):
            raise ValueError(f"amplitudes must be finite numbers, got {list(amplitudes)}")
        self.periods = [_above(2, "periods", period) for period in periods]
        self.amplitudes = amplitudes

    def _formula(self, i: Tensor) -> Tensor:
        total = torch.zeros_like(i)
        for period, amplitude in zip(self.periods, self.amplitudes, strict=True):
            total += amplitude * torch.sin(2 * math.pi * i / period)
        return total


class Chirp(Generated):
    """sin(2 pi (f i + (g - f) i^2 / 2N)): the frequency changes linearly from f to g in N points.

    Args:
        first: Period at the start, 1 / f, in samples, above 2.
        last: Period after N points, 1 / g, in samples, above 2.
        **common: points, noise and seed of `Generated`.

    Raises:
        ValueError: A period is 2 samples or less, or not finite; or as `Generated`.

    Example:
        >>> up = Chirp(first=100, last=20).values() > 0
        >>> starts = (up[1:] & ~up[:-1]).nonzero().flatten()
        >>> starts.diff()[[0, -1]]  # the first period and the last, in samples
        tensor([85, 20])
    """

    def __init__(self, *, first: float = 100.0, last: float = 20.0, **common: Any) -> None:
        super().__init__(**common)
        self.first, self.last = _above(2, "first", first), _above(2, "last", last)

    def _formula(self, i: Tensor) -> Tensor:
        f, g = 1 / self.first, 1 / self.last
        return torch.sin(2 * math.pi * (f * i + (g - f) * i**2 / (2 * self.points)))


class Square(Generated):
    """1 if i mod period < period / 2, else -1.

    Args:
        period: Samples in a period, above 2.
        **common: points, noise and seed of `Generated`.

    Raises:
        ValueError: The period is 2 samples or less, or not finite; or as `Generated`.

    Example:
        >>> Square(period=5).values()[:6]
        tensor([ 1.,  1.,  1., -1., -1.,  1.], dtype=torch.float64)
    """

    def __init__(self, *, period: float = 50.0, **common: Any) -> None:
        super().__init__(**common)
        self.period = _above(2, "period", period)

    def _formula(self, i: Tensor) -> Tensor:
        return torch.where(i % self.period < self.period / 2, 1.0, -1.0).to(i)


class MackeyGlass(Generated):
    """dx/dt = beta d / (1 + d^n) - gamma x with d = x(t - tau), one sample per unit of time.

    It is chaotic for tau = 17, so that no forecast stays accurate. The first 500 samples, which
    depend on the constant history of 1.2, are dropped.

    Args:
        tau: Delay, in samples.
        beta: Growth per sample, above 0, at most 1.
        gamma: Decay per sample, above 0, at most 1.
        n: Steepness of the fall of growth around d = 1; above 0, at most 50.
        **common: points, noise and seed of `Generated`.

    Raises:
        ValueError: A number is not in its range; or as `Generated`.

    Source:
        Mackey and Glass (1977), "Oscillation and chaos in physiological control systems",
        Science 197.

    Example:
        >>> MackeyGlass(tau=17).values()[:4]
        tensor([1.0635, 1.0109, 0.9606, 0.9135], dtype=torch.float64)
    """

    def __init__(
        self,
        *,
        tau: int = 17,
        beta: float = 0.2,
        gamma: float = 0.1,
        n: float = 10.0,
        **common: Any,
    ) -> None:
        super().__init__(**common)
        if tau < 1:
            raise ValueError(f"tau must be at least 1 sample, got {tau}")
        for name, value, most in (("beta", beta, 1), ("gamma", gamma, 1), ("n", n, 50)):
            if not 0 < value <= most:
                raise ValueError(f"{name} must be above 0 and at most {most}, got {value}")
        self.tau, self.beta, self.gamma, self.n = tau, beta, gamma, n

    def _formula(self, i: Tensor) -> Tensor:
        # Runge-Kutta of order 4. Halfway between steps, d is a cubic through the ends and slopes of
        # a step, which keeps the order. With 4 steps per sample, the first 500 samples are accurate
        # to 1e-6.
        dropped, m = 500, 4
        h, found = 1 / m, []
        x, halfway = deque([1.2] * (self.tau * m + 1)), deque([1.2] * (self.tau * m))
        for step in range((dropped + len(i)) * m):
            now = x[-1]
            if step % m == 0:
                found.append(now)
            g0, g1, g2 = (self.beta * d / (1 + d**self.n) for d in (x[0], halfway[0], x[1]))
            k1 = g0 - self.gamma * now
            k2 = g1 - self.gamma * (now + h / 2 * k1)
            k3 = g1 - self.gamma * (now + h / 2 * k2)
            k4 = g2 - self.gamma * (now + h * k3)
            x.append(now + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4))
            halfway.append(now + h / 24 * (5 * k1 + 4 * k2 + 4 * k3 - k4))
            x.popleft(), halfway.popleft()
        return torch.tensor(found[dropped:], dtype=torch.float64, device="cpu")


def _above(least: float, name: str, samples: float) -> float:
    """Check a number of samples. A sine of period 2 is 0 everywhere, a shorter one is aliased."""
    if not least < samples < math.inf:
        raise ValueError(f"{name} must be a finite number of samples above {least}, got {samples}")
    return samples
