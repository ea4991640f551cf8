"""A transform of units: a series' numbers as those that a network works with, and back."""

import copy

import torch
from torch import Tensor

from sinrnn._numbers import plain
from sinrnn._private import KeepsDtype
from sinrnn.data.windows import Windows
from sinrnn.forecasting._ridge import ridge

LARGEST = 1e15  # squares of so large values sum to less than 3e38 over 1e8 windows, in float32
UNITS = ("standardise", "log", "relative", "linear")
FITTED = 20_000  # windows that units and linear part are fitted to: plenty for so few numbers


class Units(KeepsDtype):
    """The transform between a series and a network, with its numbers in float64.

    A `Predictor` is a Units, so that the numbers' names in its state_dict have no prefix; its
    docstring has the equations, options and attributes.
    """

    mean: Tensor
    scale: Tensor
    coefficients: Tensor
    intercept: Tensor
    reach: Tensor

    def __init__(
        self, standardise: bool, log: bool, relative: bool, linear: bool, device: torch.device
    ) -> None:
        super().__init__()
        options = plain((standardise, log, relative, linear))
        self.standardise, self.log, self.relative, self.linear = options
        for name in ("mean", "scale", "intercept"):
            self.register_buffer(name, torch.zeros((), dtype=torch.float64, device=device))
        empty = torch.zeros(0, dtype=torch.float64, device=device)
        self.register_buffer("coefficients", empty)
        self.register_buffer("reach", empty.clone())
        self.scale += 1

    @property
    def in_own_units(self) -> bool:
        """Whether the network itself reads and gives the series' units."""
        return not any(getattr(self, name) for name in UNITS)

    @property
    def units(self) -> str:
        """The options that are set, by name."""
        return ", ".join(name for name in UNITS if getattr(self, name))

    def _fit(self, windows: Windows, period: int | None) -> None:
        """See `Predictor.calibrate`; the period is that of the training split, for `linear`."""
        self.mean.zero_()
        self.scale.fill_(1.0)
        # Targets have their linear part in them still, and nothing is out of reach.
        self.coefficients, self.reach = self.coefficients[:0], self.reach[:0]
        x, y = (part.double() for part in windows.sample(FITTED))
        seen = windows.values.double()
        if self.relative:
            seen = self._units(torch.cat([x[..., 0], y[:, :1]], 1), self._last(x[..., 0]))
        elif self.log:
            seen = self._units(seen, None)
        if self.standardise:
            mean = 0.0 if self.relative else seen.mean().item()
            scale = (seen - mean).square().mean().sqrt().item()
            if seen.min() == seen.max():
                raise ValueError("standardise: the train split is constant, its deviation is 0")
            if scale < 1 / LARGEST**2:
                raise ValueError(
                    f"standardise: the train split's deviation is {scale:.3g}, too small for "
                    "float32: give the series in a smaller unit"
                )
            self.mean.fill_(mean)
            self.scale.fill_(scale)
        z, target = self.encode(x, y[:, :1])
        if self.relative:
            self.reach = torch.stack(z.double().aminmax())
        if self.linear:
            seasonal = seasonal_coefficients(z.shape[1], period, windows.horizon)
            priors = [torch.zeros(z.shape[1])] + ([] if seasonal is None else [seasonal])
            self.coefficients, self.intercept = ridge(
                z[..., 0], target[:, 0], torch.stack(priors).to(z)
            )

    def _take(self, units: "Units") -> None:
        """Become like other units, numbers and all."""
        for name in UNITS:
            setattr(self, name, getattr(units, name))
        for name, number in units.named_buffers():
            setattr(self, name, number.to(self.mean, copy=True))

    def repeating(self, coefficients: Tensor) -> "Units":
        """A copy with another linear part, without an intercept.

        Args:
            coefficients: (T,); with `relative`, zeros repeat the last value.
        """
        made = copy.deepcopy(self)
        made.coefficients = coefficients.to(self.coefficients)
        made.intercept = torch.zeros_like(self.intercept)
        return made

    def _last(self, x: Tensor) -> Tensor | None:
        """What `relative` takes off: the last values of windows (N, T), (N, 1)."""
        if not self.relative:
            return None
        last = x[:, -1:].double()
        return last.log() if self.log else last

    def _units(self, values: Tensor, last: Tensor | None) -> Tensor:
        """Values (N, K) as numbers that the network works with, float64."""
        v = values.double()
        if self.log:
            if not (v > 0).all():
                raise ValueError(f"log needs values above 0, got {v.min().item():.4g}")
            v = v.log()
        if last is not None:
            v = v - last
        return (v - self.mean) / self.scale if self.standardise else v

    def _read(self, x: Tensor, last: Tensor | None) -> Tensor:
        """Windows (N, T) as they are read, no farther away than those of the training split."""
        z = self._units(x, last)
        return z.clamp(*self.reach) if len(self.reach) else z

    def encode(self, x: Tensor, y: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Windows and what follows them, as the numbers that the network reads and is to give.

        Args:
            x: Windows (N, T, 1), in the series' units.
            y: Values after them, (N, K); None is none.

        Returns:
            Windows (N, T, 1) and targets (N, K), less the linear part once that is fitted; float64,
            or as given where the network works in the series' units.
        """
        y = x[:, :0, 0] if y is None else y
        if self.in_own_units:
            return x, y
        last = self._last(x[..., 0])
        z, target = self._read(x[..., 0], last), self._units(y, last)
        if self.linear and len(self.coefficients):
            target = target - self._linear(z)[:, None]
        return z[..., None], target

    def decode(self, made: Tensor, x: Tensor) -> Tensor:
        """What the network gives for windows (N, T, 1), (N, K), in the series' units, float64."""
        y = made.double()
        if self.in_own_units:
            return y
        last = self._last(x[..., 0])
        if self.linear:
            y = y + self._linear(self._read(x[..., 0], last))[:, None]
        if self.standardise:
            y = self.mean + self.scale * y
        if last is not None:
            y = y + last
        return y.exp() if self.log else y

    def error(self, made: Tensor, came: Tensor) -> Tensor:
        """What intervals are made of: |made - came|, where `log` that of their logarithms.

        Args:
            made: Predictions, in the series' units.
            came: What came, likewise.
        """
        ours, theirs = (v.double().log() if self.log else v.double() for v in (made, came))
        return (ours - theirs).abs()

    def interval(self, made: Tensor, radius: Tensor) -> tuple[Tensor, Tensor]:
        """The values around predictions whose `error` is the radius: where `log`, both above 0."""
        if self.log:
            return made / radius.exp(), made * radius.exp()
        return made - radius, made + radius

    def _linear(self, z: Tensor) -> Tensor:
        return z @ self.coefficients + self.intercept


def seasonal_coefficients(window: int, period: int | None, horizon: int) -> Tensor | None:
    """Coefficients (T,) that give the value a period before the target, if it is in the window.

    Args:
        window: T.
        period: In steps; None is none.
        horizon: Steps from a window's end to the target.
    """
    at = window - 1 + horizon - (period or 0)
    if not period or not 0 <= at < window:
        return None
    found = torch.zeros(window)
    found[at] = 1.0
    return found
