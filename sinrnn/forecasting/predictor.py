"""Predictor: a SinRNN with the window, horizon and units that turn its outputs into forecasts."""

from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from sinrnn._numbers import plain
from sinrnn.data.arrays import SeriesLike, as_series
from sinrnn.data.period import strongest_period
from sinrnn.data.windows import Windows, check_dense, check_series
from sinrnn.forecasting._state import NUMBERS, check_numbers, check_plain, check_when_loaded
from sinrnn.forecasting.caution import cautions, check_like
from sinrnn.forecasting.forecast import Forecast, by_step
from sinrnn.forecasting.intervals import rollout_interval
from sinrnn.forecasting.units import UNITS, Units
from sinrnn.nn import _interop
from sinrnn.nn.rnn import SinRNN


class Predictor(Units):
    """A network with the window that it reads, the horizon that it predicts, and a unit transform.

    It reads windows in the series' units and returns the value `horizon` steps after each. For a
    window x[1..T], it computes in float64, except for the network,

        v = log(x)                 if `log`
        v = v - v[T]               if `relative`: level and trend pass through
        z = (v - mean) / scale     if `standardise`; mean is 0 if `relative`
        z = clamp(z, reach)        if `relative`: limits the effect of outliers
        z[T+horizon] = net(z) (+ coefficients z + intercept, if `linear`)

    and transforms z[T+horizon] back. The state_dict holds everything that a prediction needs.

    Args:
        net: The network; D = O = 1 if any unit option is set.
        window: Samples read, T; None takes the data's when training starts.
        horizon: Steps from a window's end to the value predicted.
        standardise: Whether the network works in units of the training split's deviation.
        log: Whether it works on logarithms; the series must be positive.
        relative: Whether it works on differences from a window's last value.
        linear: Whether a least-squares autoregression on the same window is added.
        stateful: Whether `rollout` carries the state instead of reading a window for each step.

    Attributes:
        mean, scale: Parameters of `standardise`, float64, ().
        coefficients, intercept: Parameters of the linear part, float64, (T,) or empty, and ().
        reach: Least and greatest z of the training windows, (2,) or empty.
        radius: Half-widths of 90 % intervals by step, in units of `error` and before scaling by
            `recent_error`, float64, (K,), inf if not known.
        typical_error: Root mean squared one-step error on the training split, (), 0 if not known.
        coverage: Share of the test split's samples within the intervals, by step, (K,) or empty.
        learnt, seen: Range of the training split and of the whole series, (2,) or empty.
        tested: half_mse on the test split of the network and of `baseline`, the name of the best.
        calibrated: Whether `calibrate` was called.

    Raises:
        TypeError: net is not a SinRNN.
        ValueError: window or horizon is below 1; or options contradict each other.

    Example:
        >>> from sinrnn import Predictor
        >>> pressure = 1013 + torch.sin(torch.arange(60, dtype=torch.float64) * 0.2)
        >>> windows = Windows(pressure, window=4)
        >>> predictor = Predictor(SinRNN(), window=4, standardise=True, linear=True)
        >>> predictor.calibrate(windows)
        >>> x, y = windows[:]
        >>> torch.allclose(predictor(x), y[:, 0])  # a sine is linear in its last two samples
        True
    """

    radius: Tensor
    typical_error: Tensor
    coverage: Tensor
    learnt: Tensor
    seen: Tensor
    tested: Tensor
    baseline: str | None

    def __init__(
        self,
        net: SinRNN,
        *,
        window: int | None,
        horizon: int = 1,
        standardise: bool = False,
        log: bool = False,
        relative: bool = False,
        linear: bool = False,
        stateful: bool = False,
    ) -> None:
        if not isinstance(net, SinRNN):
            raise TypeError(f"net must be a SinRNN, got {type(net).__name__}")
        window, horizon, stateful = plain((window, horizon, stateful))
        super().__init__(standardise, log, relative, linear, net.Wih.device)
        for name, steps in {"window": window, "horizon": horizon}.items():
            if steps is not None and steps < 1:
                raise ValueError(f"{name} must be at least 1 step, got {steps}")
        self.net, self.window, self.horizon, self.stateful = net, window, horizon, stateful
        self.calibrated, self.baseline = False, None
        if not self.in_own_units and (net.input_size, net.output_size) != (1, 1):
            raise ValueError(
                f"units ({self.units}) are those of one series: input_size and output_size must be "
                f"1, got {net.input_size} and {net.output_size}"
            )
        self._check_stateful()
        self.register_buffer("typical_error", torch.zeros_like(self.mean))
        for name in ("radius", "coverage", "learnt", "seen", "tested"):
            self.register_buffer(name, self.coefficients.clone())
        check_when_loaded(self)

    def _check_stateful(self) -> None:
        if self.stateful and (self.relative or self.linear):
            raise ValueError(
                f"{'relative' if self.relative else 'linear'} needs windows, which a stateful "
                "predictor does not read: leave one of the two out"
            )

    def extra_repr(self) -> str:
        """The window, horizon and units that repr shows."""
        return f"window={self.window}, horizon={self.horizon}, units={self.units or 'own'}"

    def get_extra_state(self) -> dict[str, Any]:
        """Return the plain values for the state_dict."""
        names = ("window", "horizon", "stateful", "calibrated", "baseline", *UNITS)
        return {name: getattr(self, name) for name in names}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Set the values of `get_extra_state`.

        Raises:
            ValueError: A name, type or range is wrong.
        """
        check_plain(state, self.get_extra_state())
        for name, value in state.items():
            setattr(self, name, value)

    def adopt(self, window: int, horizon: int, stateful: bool) -> None:
        """Take window, horizon and stateful from the data; raise a ValueError if they differ."""
        if self.window is None:
            self.window, self.horizon, self.stateful = window, horizon, stateful
            self._check_stateful()
        if (self.window, self.horizon) != (window, horizon):
            raise ValueError(
                f"the model has window {self.window} and horizon {self.horizon}, the data has "
                f"window {window} and horizon {horizon}: set the data's to the model's"
            )

    @torch.no_grad()
    def calibrate(self, windows: Windows, units: Units | None = None) -> None:
        """Fit units and linear part to training windows; if `linear`, set the readout to zero.

        Args:
            windows: Windows of the training split only.
            units: Fitted units to copy; None fits this predictor's.

        Raises:
            ValueError: The split is constant, or has values that cannot be transformed.
        """
        if units is None:
            self.fit_units(windows, strongest_period(windows.values) if self.linear else None)
        else:
            self.copy_units(units)
        self.learnt = torch.stack(windows.values.aminmax()).to(self.mean)
        self.seen = self.learnt.clone()
        if self.linear:
            self.net.set_readout(torch.zeros_like(self.net.Who), None)
        self.calibrated = True

    def encode(self, x: Tensor, y: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return windows and targets of `transform` in the network's dtype, on its device."""
        z, target = self.transform(x, y)
        return z.to(self.net.Wih), target.to(self.net.Wih)

    def forward(self, windows: Tensor) -> Tensor:
        """Predict the value `horizon` steps after each window.

        Args:
            windows: Windows (N, T) or (N, T, D), in the series' units.

        Returns:
            The predictions (N,), or (N, O) if O > 1; in the windows' dtype.

        Raises:
            ValueError: T is not `window`.
        """
        check_dense(windows, "windows")
        x = windows[..., None] if windows.dim() == 2 else windows
        if self.window is not None and x.shape[1] != self.window:
            raise ValueError(f"windows must be of {self.window} samples, got {tuple(x.shape)}")
        y = self.decode(self.net(self.encode(x)[0]), x)
        y = y.to(x.dtype if x.is_floating_point() else torch.float64)
        return y[:, 0] if y.shape[1] == 1 else y

    def rollout(self, values: Tensor, steps: int) -> Tensor:
        """Predict in closed loop: each prediction becomes the next sample.

        Args:
            values: At least `window` values before the predictions, (points,) or (N, points).
            steps: Number of predictions.

        Returns:
            The predictions (steps,) or (N, steps), float64, in the series' units.

        Raises:
            ValueError: horizon is not 1, steps is below 1, or there are too few values.
        """
        check_dense(values, "values")
        x = values[None] if values.dim() == 1 else values
        if self.horizon != 1:
            raise ValueError(f"a rollout needs a network of horizon 1, got {self.horizon}")
        if steps < 1:
            raise ValueError(f"steps must be at least 1, got {steps}")
        window = self.window or x.shape[1]
        if x.shape[1] < window:
            raise ValueError(f"the network reads {window} points, the series has {x.shape[1]}")
        if self.in_own_units or self.stateful:
            z = self.encode(x[..., None])[0]
            y = self.net.rollout(z, steps, window=None if self.stateful else window)[..., 0]
            y = self.decode(y, x[..., None])
        else:
            known = torch.cat([x[:, -window:].double(), x.new_zeros(len(x), steps).double()], 1)
            for step in range(window, window + steps):
                known[:, step] = self(known[:, step - window : step])
            y = known[:, window:]
        return y[0] if values.dim() == 1 else y

    @torch.no_grad()
    def forecast(self, series: SeriesLike, steps: int) -> Forecast:
        """Predict the values after a series in closed loop, with intervals.

        Args:
            series: The series, or its values (points,).
            steps: Number of predictions.

        Raises:
            ValueError: As `rollout`; or the values lie far from those of training.
        """
        values = (series := as_series(series)).values()
        check_series(values)
        window = self.window or len(values)
        read = values[-window:].to(torch.float64, copy=True)
        check_like(self, read)
        y = self.rollout(values if len(values) < window else read, steps)
        ends, coverage = rollout_interval(self, values, y), by_step(self.coverage, y)
        return Forecast(len(values), read, y, *ends, coverage, cautions(self, read), series.index)

    def copy(self) -> Self:
        """Return a copy on the CPU, without hooks and parametrizations."""
        return self._made(*self.content())

    def save(self, path: str | Path) -> None:
        """Write one safetensors file that holds the whole predictor.

        Args:
            path: The file; an existing one is replaced.

        Raises:
            OSError: The file cannot be written; an existing one is unchanged.

        Example:
            >>> from sinrnn import Predictor
            >>> Predictor(SinRNN(hidden_size=8), window=4).save("wave.safetensors")
            >>> Predictor.load("wave.safetensors").window
            4
        """
        _interop.save(*self.content(), path)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Load a file of `save`, bit-identical, on the CPU. No code from the file is run.

        Args:
            path: The file.

        Raises:
            FileNotFoundError: There is no such file.
            ValueError: The file is not a Predictor's or was changed; or path is a URL or a folder.
        """
        return _interop.load(path, cls._made, cls.__name__)

    def content(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return the content of a file of this predictor: tensors and plain values."""
        tensors, about = self.net.content()
        tensors |= dict(self.named_buffers(recurse=False))
        copies = {name: tensor.detach().cpu().clone() for name, tensor in tensors.items()}
        return copies, about | {"units": self.units, "predictor": self.get_extra_state()}

    @classmethod
    def _made(cls, tensors: dict[str, Tensor], about: dict[str, Any]) -> Self:
        if "predictor" not in about:  # a file of `SinRNN.save`
            return cls(SinRNN.made(tensors, about), window=None)
        buffers = {name: tensors.pop(name) for name in NUMBERS}
        predictor = cls(SinRNN.made(tensors, about), window=None)
        predictor.set_extra_state(about["predictor"])
        for name, buffer in buffers.items():
            setattr(predictor, name, buffer)
        check_numbers(predictor)
        return predictor
