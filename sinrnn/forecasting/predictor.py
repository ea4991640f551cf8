"""Predictor: a SinRNN, and what makes its numbers a forecast of a series."""

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
from sinrnn.forecasting.forecast import Forecast, stretched
from sinrnn.forecasting.intervals import around
from sinrnn.forecasting.units import UNITS, Units
from sinrnn.nn import _interop
from sinrnn.nn.rnn import SinRNN


class Predictor(Units):
    """A network in the units of its series, with the window it reads and the horizon it predicts.

    It reads windows in the series' own units and dtype and gives the value `horizon` steps after
    each. In between, for a window x[1..T],

        v = log(x)                 where `log`
        v = v - v[T]               where `relative`: level and trend pass through
        z = (v - mean) / scale     where `standardise`; mean is 0 where `relative`
        z = clamp(z, reach)        where `relative`: one wild value moves no forecast far
        z[T+horizon] = net(z) (+ coefficients z + intercept, where `linear`)

    and back, in float64 but for the network. The state_dict holds all that a prediction needs.

    Args:
        net: The network; D = O = 1 for all but a prediction in its own units.
        window: Samples read, T; None takes the data's when fitting starts.
        horizon: Steps from a window's end to what is predicted.
        standardise: Whether the network works in units of the training split's deviation.
        log: Whether it works on logarithms; the series must be positive.
        relative: Whether it works on differences from a window's last value.
        linear: Whether a least-squares autoregression on the same window is added.
        stateful: Whether `rollout` carries the state on, instead of reading each window afresh.

    Attributes:
        mean: What `standardise` takes off, float64, ().
        scale: What it divides by, float64, ().
        coefficients: Of the linear part, float64, (T,), or empty.
        reach: Least and greatest z of the training windows, (2,), or empty.
        intercept: Of the linear part, float64, ().
        radius: Half-widths of the intervals around a rollout that hold 90 % of what comes, by step,
            float64, (K,), inf where not known, in units of `error`; see `recent_error`.
        typical_error: Root mean squared one-step error on the training split, (), 0 if not known.
        coverage: Share of the test split's samples that those held, by step, (K,) or empty.
        learnt, seen: Least and greatest value of the training split, of all, (2,) or empty.
        tested: half_mse on the test split, its own and the best `baseline`'s, (2,) or empty.
        calibrated: Whether `calibrate` was called.

    Raises:
        TypeError: net is not a SinRNN.
        ValueError: window or horizon is below 1; or options exclude each other.

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
                f"units ({self.units}) are of one series: input_size and output_size must be 1, "
                f"got {net.input_size} and {net.output_size}"
            )
        self._check_stateful()
        self.register_buffer("typical_error", torch.zeros_like(self.mean))
        for name in ("radius", "coverage", "learnt", "seen", "tested"):
            self.register_buffer(name, self.coefficients.clone())
        check_when_loaded(self)

    def _check_stateful(self) -> None:
        if self.stateful and (self.relative or self.linear):
            raise ValueError(
                f"{'relative' if self.relative else 'linear'} is for windows that are read afresh, "
                "and a stateful predictor reads none"
            )

    def extra_repr(self) -> str:
        """Window, horizon and units that repr shows."""
        return f"window={self.window}, horizon={self.horizon}, units={self.units or 'own'}"

    def get_extra_state(self) -> dict[str, Any]:
        """The plain values, for the state_dict."""
        names = ("window", "horizon", "stateful", "calibrated", "baseline", *UNITS)
        return {name: getattr(self, name) for name in names}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Take them up.

        Raises:
            ValueError: They make no sense.
        """
        check_plain(state, self.get_extra_state())
        for name, value in state.items():
            setattr(self, name, value)

    def adopt(self, window: int, horizon: int, stateful: bool) -> None:
        """Take from the data what the windows are like, or raise a ValueError if that differs."""
        if self.window is None:
            self.window, self.horizon, self.stateful = window, horizon, stateful
            self._check_stateful()
        if (self.window, self.horizon) != (window, horizon):
            raise ValueError(
                f"the model reads windows of {self.window} and predicts {self.horizon} ahead, the "
                f"data has windows of {window} and horizon {horizon}: give it data of its own kind"
            )

    @torch.no_grad()
    def calibrate(self, windows: Windows, units: Units | None = None) -> None:
        """Fit units and linear part to windows of the training split; the readout starts at zero.

        Args:
            windows: Of the training split alone.
            units: Those that were chosen for it, fitted; None fits this predictor's.

        Raises:
            ValueError: The split is constant, or has values that cannot be used.
        """
        if units is None:
            self._fit(windows, strongest_period(windows.values) if self.linear else None)
        else:
            self._take(units)
        self.learnt = torch.stack(windows.values.aminmax()).to(self.mean)
        self.seen = self.learnt.clone()
        if self.linear:
            self.net.set_readout(torch.zeros_like(self.net.Who), None)
        self.calibrated = True

    def forward(self, windows: Tensor) -> Tensor:
        """The value `horizon` steps after each window.

        Args:
            windows: (N, T) or (N, T, D), in the series' units.

        Returns:
            The predictions, (N,), or (N, O) of more outputs than one; in the windows' dtype.

        Raises:
            ValueError: T is not `window`.
        """
        check_dense(windows, "windows")
        x = windows[..., None] if windows.dim() == 2 else windows
        if self.window is not None and x.shape[1] != self.window:
            raise ValueError(f"windows must be of {self.window} samples, got {tuple(x.shape)}")
        made = self.net(self.encode(x)[0].to(self.net.Wih))
        found = self.decode(made, x).to(x.dtype if x.is_floating_point() else torch.float64)
        return found[:, 0] if found.shape[1] == 1 else found

    def rollout(self, values: Tensor, steps: int) -> Tensor:
        """Predict in closed loop: each prediction becomes the next sample.

        Args:
            values: What came before, (points,) or (N, points), at least `window` of them.
            steps: Predictions to make.

        Returns:
            The predictions, (steps,) or (N, steps), float64, in the series' units.

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
            z = self.encode(x[..., None])[0].to(self.net.Wih)
            made = self.net.rollout(z, steps, window=None if self.stateful else window)[..., 0]
            made = self.decode(made, x[..., None])
        else:
            known = torch.cat([x[:, -window:].double(), x.new_zeros(len(x), steps).double()], 1)
            for step in range(window, window + steps):
                known[:, step] = self(known[:, step - window : step])
            made = known[:, window:]
        return made[0] if values.dim() == 1 else made

    @torch.no_grad()
    def forecast(self, series: SeriesLike, steps: int) -> Forecast:
        """Read the end of a series, then go on in closed loop.

        Args:
            series: The series, or its values (points,).
            steps: Predictions to make.

        Raises:
            ValueError: As `rollout`; or the values are not like those that were learnt from.
        """
        values = (series := as_series(series)).values()
        check_series(values)
        window = self.window or len(values)
        read = values[-window:].to(torch.float64, copy=True)
        check_like(self, read)
        made = self.rollout(values if len(values) < window else read, steps)
        ends, held = around(self, values, made), stretched(self.coverage, made)
        return Forecast(len(values), read, made, *ends, held, cautions(self, read), series.index)

    def copy(self) -> Self:
        """A predictor of the same values, without hooks and parametrizations; on the CPU."""
        return self._made(*self.content())

    def save(self, path: str | Path) -> None:
        """Write one safetensors file that holds everything.

        Args:
            path: The file; what was there is replaced.

        Raises:
            OSError: The file cannot be written; what was there is as it was.

        Example:
            >>> from sinrnn import Predictor
            >>> Predictor(SinRNN(hidden_size=8), window=4).save("wave.safetensors")
            >>> Predictor.load("wave.safetensors").window
            4
        """
        _interop.save(*self.content(), path)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """The predictor that `save` wrote, on the CPU, to the same bits; runs no code of the file.

        Args:
            path: The file.

        Raises:
            FileNotFoundError: There is no such file.
            ValueError: The file is no Predictor's, or was changed; the path is a URL or a folder.
        """
        return _interop.load(path, cls._made, cls.__name__)

    def content(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """What a file holds: tensors, and plain values."""
        tensors, about = self.net.content()
        numbers = dict(self.named_buffers(recurse=False))
        return (
            {name: tensor.detach().cpu().clone() for name, tensor in (tensors | numbers).items()},
            about | {"units": self.units, "predictor": self.get_extra_state()},
        )

    @classmethod
    def _made(cls, tensors: dict[str, Tensor], about: dict[str, Any]) -> Self:
        if "predictor" not in about:  # a SinRNN's
            return cls(SinRNN.made(tensors, about), window=None)
        found = {name: tensors.pop(name) for name in NUMBERS}
        made = cls(SinRNN.made(tensors, about), window=None)
        made.set_extra_state(about["predictor"])
        for name, number in found.items():
            setattr(made, name, number)
        check_numbers(made)
        return made
