"""Where the numbers come from: a series is one value per time step, in time order."""

import math

import torch
from torch import Tensor


class Series:
    """A one-dimensional series."""

    def values(self) -> Tensor:
        """All samples in time order, (points,)."""
        raise NotImplementedError

    def continued(self, points: int) -> Tensor:
        """The first `points` samples, beyond the series' end where it is known how it goes on.

        Args:
            points: Samples asked for.

        Returns:
            The samples, (points,), or as many as there are.
        """
        return self.values()[:points]


class Sine(Series):
    """sin(x / divisor) on the grid x_i = i * stop / points, i = 0..points-1.

    The notebook's grid is 1000 points up to 10 pi: five whole periods of 200 points each. Its
    divisor of 20 leaves a quarter of a period of them all.

    Args:
        points: Samples, N.
        stop: Where the grid ends, in radians, not included.
        divisor: Stretches the wave; the period is 2 pi * divisor * points / stop samples.
    """

    def __init__(
        self, points: int = 1000, stop: float = 10 * math.pi, divisor: float = 1.0
    ) -> None:
        if points < 1:
            raise ValueError(f"points must be at least 1, got {points}")
        for name, value in {"stop": stop, "divisor": divisor}.items():
            if not math.isfinite(value) or value == 0:
                raise ValueError(f"{name} must be a finite number other than 0, got {value}")
        self.points, self.stop, self.divisor = points, stop, divisor

    def values(self) -> Tensor:
        """All samples, float64, (points,)."""
        return self.continued(self.points)

    def continued(self, points: int) -> Tensor:
        """The first `points` samples of the endless sine, float64, (points,)."""
        x = torch.arange(points, dtype=torch.float64) * (self.stop / self.points)
        return torch.sin(x / self.divisor)
