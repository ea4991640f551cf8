"""The transform between the units of a series and those of a network."""

import copy

import torch
from torch import Tensor

from sinrnn._numbers import plain
from sinrnn._private import KeepsDtype
from sinrnn.data.windows import Windows
from sinrnn.forecasting._ridge import ridge

LARGEST = 1e15  # the squares of 1e8 such values sum to less than 3e38, the largest float32
UNITS = ("standardise", "log", "relative", "linear")
FITTED = 20_000  # windows to fit units and linear part to: plenty for so few parameters


class Units(KeepsDtype):
    """The transform between a series and a network, computed in float64.

    `Predictor` documents its equations, options and attributes. It is the base class of
    `Predictor`, so that its buffers have no prefix in the state_dict.
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
        """Whether the network works in the series' units, without a transform."""
        return not any(getattr(self, name) for name in UNITS)

    @property
    def units(self) -> str:
        """The names of the options that are set."""
        return ", ".join(name for name in UNITS if getattr(self, name))

    def fit_units(self, windows: Windows, period: int | None) -> None:
        """Fit the transform to training windows; see `Predictor.calibrate`.

        Args:
            windows: Windows of the training split.
            period: The split's period in steps, or None; a prior of the linear part.

        Raises:
            ValueError: The split is constant, or has values that cannot be transformed.
        """
        self.mean.zero_()
        self.scale.fill_(1.0)
        # Without these, `transform` neither subtracts a linear part nor clamps.
        self.coefficients, self.reach = self.coefficients[:0], self.reach[:0]
        x, y = (part.double() for part in windows.sample(FITTED))
        v = windows.values.double()
        if self.relative:
            v = self._units(torch.cat([x[..., 0], y[:, :1]], 1), self._last(x[..., 0]))
        elif self.log:
            v = self._units(v, None)
        if self.standardise:
            mean = 0.0 if self.relative else v.mean().item()
            scale = (v - mean).square().mean().sqrt().item()
            if v.min() == v.max():
                raise ValueError("standardise: the train split is constant, its deviation is 0")
            if scale < 1 / LARGEST**2:
                raise ValueError(
                    f"standardise: the train split's deviation is {scale:.3g}, too small for "
                    "float32: give the series in a smaller unit"
                )
            self.mean.fill_(mean)
            self.scale.fill_(scale)
        z, target = self.transform(x, y[:, :1])
        if self.relative:
            self.reach = torch.stack(z.double().aminmax())
        if self.linear:
            seasonal = seasonal_coefficients(z.shape[1], period, windows.horizon)
            priors = [torch.zeros(z.shape[1])] + ([] if seasonal is None else [seasonal])
            self.coefficients, self.intercept = ridge(
                z[..., 0], target[:, 0], torch.stack(priors).to(z)
            )

    def copy_units(self, units: "Units") -> None:
        """Copy the options and buffers of other units."""
        for name in UNITS:
            setattr(self, name, getattr(units, name))
        for name, number in units.named_buffers():
            setattr(self, name, number.to(self.mean, copy=True))

    def repeating(self, coefficients: Tensor) -> "Units":
        """Return a copy with another linear part and no intercept.

        Args:
            coefficients: Its coefficients, (T,); if `relative`, zeros repeat the last value.
        """
        units = copy.deepcopy(self)
        units.coefficients = coefficients.to(self.coefficients)
        units.intercept = torch.zeros_like(self.intercept)
        return units

    def _last(self, x: Tensor) -> Tensor | None:
        """Return the last values of windows (N, T), (N, 1), which `relative` subtracts."""
        if not self.relative:
            return None
        last = x[:, -1:].double()
        return last.log() if self.log else last

    def _units(self, values: Tensor, last: Tensor | None) -> Tensor:
        """Transform values (N, K) to the network's units, float64."""
        v = values.double()
        if self.log:
            if not (v > 0).all():
                raise ValueError(f"log needs values above 0, got {v.min().item():.4g}")
            v = v.log()
        if last is not None:
            v = v - last
        return (v - self.mean) / self.scale if self.standardise else v

    def _read(self, x: Tensor, last: Tensor | None) -> Tensor:
        """Transform windows (N, T), clamped to the range of the training windows."""
        z = self._units(x, last)
        return z.clamp(*self.reach) if len(self.reach) else z

    def transform(self, x: Tensor, y: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Transform windows and their targets from the series' units to the network's.

        Args:
            x: Windows (N, T, 1).
            y: Targets (N, K); None is none.

        Returns:
            Windows (N, T, 1) and targets (N, K) without the linear part's prediction; float64, or
            unchanged if `in_own_units`.
        """
        y = x[:, :0, 0] if y is None else y
        if self.in_own_units:
            return x, y
        last = self._last(x[..., 0])
        z, target = self._read(x[..., 0], last), self._units(y, last)
        if self.linear and len(self.coefficients):
            target = target - self._linear(z)[:, None]
        return z[..., None], target

    def decode(self, output: Tensor, x: Tensor) -> Tensor:
        """Transform the network's outputs (N, K) for windows (N, T, 1) to the series' units.

        Args:
            output: The network's outputs, (N, K).
            x: The windows (N, T, 1), in the series' units.

        Returns:
            The predictions (N, K), float64.
        """
        y = output.double()
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

    def error(self, prediction: Tensor, truth: Tensor) -> Tensor:
        """Return |prediction - truth|, of logarithms if `log`: the scale of intervals.

        Args:
            prediction: Predictions, in the series' units.
            truth: The values predicted, in the series' units.
        """
        p, y = (v.double().log() if self.log else v.double() for v in (prediction, truth))
        return (p - y).abs()

    def interval(self, prediction: Tensor, radius: Tensor) -> tuple[Tensor, Tensor]:
        """Return the two values whose `error` is the radius; if `log`, both are above 0."""
        if self.log:
            return prediction / radius.exp(), prediction * radius.exp()
        return prediction - radius, prediction + radius

    def _linear(self, z: Tensor) -> Tensor:
        return z @ self.coefficients + self.intercept


def seasonal_coefficients(window: int, period: int | None, horizon: int) -> Tensor | None:
    """Return coefficients (T,) that pick the value one period before the target.

    Args:
        window: Samples in a window, T.
        period: The period in steps, or None.
        horizon: Steps from a window's end to the target.

    Returns:
        The coefficients; None if there is no period, or that value is not in the window.
    """
    at = window - 1 + horizon - (period or 0)
    if not period or not 0 <= at < window:
        return None
    found = torch.zeros(window)
    found[at] = 1.0
    return found
