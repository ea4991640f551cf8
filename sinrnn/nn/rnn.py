"""SinRNN, the cell with its readout, as an nn.Module."""

import copy
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor, nn
from torch.nn.functional import linear
from torch.nn.utils.parametrize import is_parametrized

from sinrnn.nn import _interop, _padding, _reference, functional
from sinrnn.nn._validation import check
from sinrnn.nn.init import INITS, NAMES, Weights


class SinRNN(nn.Module):
    """A tanh recurrent network: h[t] = tanh(Wih x[t] + Whh h[t-1] + bh), y[t] = Who h[t] + bo.

    Called, it is many-to-one: it reads a window and gives the last output. `unroll` gives every
    cell's state and output, `step` takes one sample at a time, `rollout` feeds predictions back.

    Args:
        input_size: Inputs per step, D.
        hidden_size: Hidden units, H.
        output_size: Outputs per step, O.
        bias: Whether the cell has bh and the readout bo.
        bptt_steps: Steps that the gradient reaches back (truncated backpropagation through time);
            None is all of the window.
        init: How the weights start: "orthogonal" (Whh orthogonal, which neither shrinks nor grows
            a state; the rest as torch), "linear" (Wih so small that the cell is nearly linear),
            "torch" (uniform in +-1/sqrt(hidden_size)), "notebook" (uniform in [0, 0.99): it
            saturates every unit, and is here to show that).
        device: Where the weights live.
        dtype: The floating-point type of the weights.

    Attributes:
        Wih: Input weights (H, D).
        Whh: Recurrent weights (H, H).
        Who: Readout weights (O, H).
        bh: Bias of the cell (H), or None.
        bo: Bias of the readout (O), or None.

    Raises:
        ValueError: A size or bptt_steps is below 1, init is unknown, or dtype is not a
            floating-point type.

    Example:
        >>> wave = torch.sin(torch.arange(13) * 0.2)
        >>> x, y = wave.unfold(0, 4, 1)[:9, :, None], wave[4:, None]  # 9 windows, what follows each
        >>> net = SinRNN(input_size=1, hidden_size=32)
        >>> loss = (net(x) - y).square().mean() / 2
        >>> loss.backward()
        >>> net.Whh.grad.shape
        torch.Size([32, 32])
    """

    bh: nn.Parameter | None
    bo: nn.Parameter | None

    def __init__(
        self,
        input_size: int = 1,
        hidden_size: int = 50,
        output_size: int = 1,
        *,
        bias: bool = False,
        bptt_steps: int | None = None,
        init: str = "orthogonal",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        sizes = {"input_size": input_size, "hidden_size": hidden_size, "output_size": output_size}
        for name, size in sizes.items():
            if size < 1:
                raise ValueError(f"{name} must be at least 1, got {size}")
        if bptt_steps is not None and bptt_steps < 1:
            raise ValueError(f"bptt_steps must be at least 1 step or None, got {bptt_steps}")
        if dtype is not None and not dtype.is_floating_point:
            raise ValueError(f"dtype must be a floating-point type, got {dtype}")
        if init not in INITS:
            raise ValueError(f"init must be one of {', '.join(INITS)}, got {init!r}")
        self.input_size, self.hidden_size, self.output_size = input_size, hidden_size, output_size
        self.bptt_steps, self.init = bptt_steps, init

        def empty(*shape: int) -> nn.Parameter:
            return nn.Parameter(torch.empty(*shape, device=device, dtype=dtype))

        self.Wih = empty(hidden_size, input_size)
        self.Whh = empty(hidden_size, hidden_size)
        self.Who = empty(output_size, hidden_size)
        self.register_parameter("bh", empty(hidden_size) if bias else None)
        self.register_parameter("bo", empty(output_size) if bias else None)
        self.reset_parameters()

    if TYPE_CHECKING:  # nn.Module's takes anything and gives Any

        def __call__(  # noqa: D102 - see forward
            self, x: Tensor, h0: Tensor | None = None, *, lengths: Tensor | None = None
        ) -> Tensor: ...

    def extra_repr(self) -> str:
        """The sizes and settings that repr shows."""
        return (
            f"{self.input_size}, {self.hidden_size}, {self.output_size}, "
            f"bias={self.bh is not None}, bptt_steps={self.bptt_steps}, init={self.init!r}"
        )

    def reset_parameters(self) -> None:
        """Draw the weights anew, as `init` says; biases start at zero except with "torch".

        Example:
            >>> net = SinRNN(hidden_size=3)
            >>> net.reset_parameters()
            >>> torch.allclose(net.Whh @ net.Whh.T, torch.eye(3), atol=1e-6)
            True
        """
        with torch.no_grad():
            Wih, Whh, Who, bh, bo = (w if w is None else torch.empty_like(w) for w in self._named())
            drawn = Weights(Wih, Whh, Who, bh, bo)  # type: ignore[arg-type]
            INITS[self.init](drawn)
            for name, weight in drawn.named().items():
                if weight is not None:
                    self._set(name, weight, exact=False)

    def forward(
        self, x: Tensor, h0: Tensor | None = None, *, lengths: Tensor | None = None
    ) -> Tensor:
        """The last output, y[T].

        Args:
            x: Windows (B, T, D), or one window (T, D).
            h0: State before the first input, (B, H) or (H,); None is zeros.
            lengths: Steps of each window that count, (B,), from 1 to T; what x holds after them
                is padding, and reaches nothing. None is all.

        Returns:
            (B, O), or (O,) for one window; y[lengths] where lengths are given.

        Raises:
            TypeError: x or h0 is not a tensor of floating-point numbers, or lengths not one of
                integers.
            ValueError: Shapes or dtypes do not fit; the message names both. Or lengths are not
                within 1 to T.

        Example:
            >>> net, x = SinRNN(), torch.randn(2, 7, 1)
            >>> y = net(x, lengths=torch.tensor([7, 3]))
            >>> torch.allclose(y[1], net(x[1, :3]), atol=1e-6)
            True
        """
        if _reference.autocast(x):
            return _reference.uncast(self.forward, self.Whh, x, h0, lengths=lengths)
        x, h0, one = self._batched(x, h0)
        inputs = (x, h0, *self._weights())
        if lengths is not None:
            Who, bo = inputs[5:]
            h = _padding.states(*inputs[:5], lengths, bptt_steps=self.bptt_steps, last_only=True)
            y = linear(h[:, 0], Who, bo)
        else:
            y = functional.last_output(*inputs, bptt_steps=self.bptt_steps)
        return y[0] if one else y

    def unroll(
        self,
        x: Tensor,
        h0: Tensor | None = None,
        *,
        lengths: Tensor | None = None,
        ahead: int = 0,
    ) -> tuple[Tensor, Tensor]:
        """Every cell's state and output, and those of more cells that read the outputs instead.

        In closed loop x[t+1] = y[t], so that a[t+1] = (Whh + Wih Who) h[t] + (bh + Wih bo): the
        same recurrence with another Whh and without inputs, and with the same gradient, which
        `bptt_steps` does not cut short there.

        Args:
            x: Windows (B, T, D), or one window (T, D).
            h0: State before the first input, (B, H) or (H,); None is zeros.
            lengths: As in `forward`. After a window's own end, state and output stay as they are
                there, so that h[:, -1] is the state of each that goes on.
            ahead: Steps in closed loop after x; needs D == O.

        Returns:
            The states h[1..T+ahead], (B, T + ahead, H), and the outputs y[1..T+ahead],
            (B, T + ahead, O); without B for one window.

        Raises:
            TypeError: As in `forward`.
            ValueError: As in `forward`; or ahead is below 0, or not 0 where D is not O.

        Example:
            >>> net, x = SinRNN(hidden_size=32), torch.randn(2, 7, 1)
            >>> h, y = net.unroll(x)
            >>> h.shape, y.shape
            (torch.Size([2, 7, 32]), torch.Size([2, 7, 1]))
            >>> torch.allclose(y[:, -1], net(x), atol=1e-6)
            True
        """
        if _reference.autocast(x):
            return _reference.uncast(self.unroll, self.Whh, x, h0, lengths=lengths, ahead=ahead)
        if ahead < 0:
            raise ValueError(f"ahead must be at least 0 steps, got {ahead}")
        if ahead:
            self._check_loop()
        x, h0, one = self._batched(x, h0)
        Wih, Whh, bh, Who, bo = self._weights()
        if lengths is None:
            h = functional.tanh_rnn(x, h0, Wih, Whh, bh, bptt_steps=self.bptt_steps)
        else:
            h = _padding.states(x, h0, Wih, Whh, bh, lengths, bptt_steps=self.bptt_steps)
        if ahead:
            bias = bh if bo is None else Wih @ bo if bh is None else bh + Wih @ bo
            nothing = x.new_zeros(x.shape[0], ahead, self.input_size)
            further = functional.tanh_rnn(nothing, h[:, -1], Wih, Whh + Wih @ Who, bias)
            h = torch.cat([h, further], 1)
        y = linear(h, Who, bo)
        return (h[0], y[0]) if one else (h, y)

    def step(self, x: Tensor, h: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Take one sample: the streaming form of `unroll`.

        Args:
            x: One sample of each series, (B, D).
            h: State so far (B, H); None is zeros.

        Returns:
            The new state (B, H) and the output (B, O).

        Raises:
            TypeError: As in `forward`.
            ValueError: As in `forward`.

        Example:
            >>> net, h = SinRNN(), None
            >>> for sample in torch.randn(5, 1, 1):
            ...     h, y = net.step(sample, h)
            >>> h.shape, y.shape
            (torch.Size([1, 50]), torch.Size([1, 1]))
        """
        if _reference.autocast(x):
            return _reference.uncast(self.step, self.Whh, x, h)
        Wih, Whh, bh, Who, bo = self._weights()
        check(x, h, Wih, Whh, bh, self.bptt_steps, Who, bo, steps=False)
        a = linear(x, Wih, bh)
        h = torch.tanh(a if h is None else torch.addmm(a, h, Whh.t()))
        return h, linear(h, Who, bo)

    def rollout(
        self, x: Tensor, steps: int, h0: Tensor | None = None, *, window: int | None = None
    ) -> Tensor:
        """Predict in closed loop: each prediction becomes the next input.

        Args:
            x: What came before, (B, T, D) or (T, D).
            steps: Predictions to make.
            h0: State before the first input, (B, H) or (H,); None is zeros.
            window: Read afresh, from h0, the last `window` samples for each prediction, its own
                among them. None reads x once and carries the state on, as `step` does.

        Returns:
            The predictions (B, steps, O), or (steps, O).

        Raises:
            TypeError: As in `forward`.
            ValueError: As in `forward`; output_size is not input_size; steps or window is below 1;
                x is shorter than the window.

        Example:
            >>> net, x = SinRNN(), torch.sin(torch.arange(50) * 0.2)[None, :, None]
            >>> y = net.rollout(x, steps=100)
            >>> y.shape
            torch.Size([1, 100, 1])
        """
        if _reference.autocast(x):
            again = partial(self.rollout, window=window)
            return _reference.uncast(lambda x, h0: again(x, steps, h0), self.Whh, x, h0)
        self._check_loop()
        for name, count in {"steps": steps, "window": window}.items():
            if count is not None and count < 1:
                raise ValueError(f"{name} must be at least 1, got {count}")
        x, h0, one = self._batched(x, h0)
        if window is None:
            y = self.unroll(x, h0, ahead=steps - 1)[1][:, -steps:]
        else:
            y = self._slide(x, steps, h0, window)
        return y[0] if one else y

    def _check_loop(self) -> None:
        if self.output_size != self.input_size:
            raise ValueError(
                f"a rollout feeds outputs back as inputs: output_size must be {self.input_size} "
                f"as input_size, got {self.output_size}"
            )

    def _slide(self, x: Tensor, steps: int, h0: Tensor | None, window: int) -> Tensor:
        check(x, h0, self.Wih, self.Whh, self.bh, self.bptt_steps)
        if x.shape[1] < window:
            raise ValueError(f"x must have at least {window} steps, got {x.shape[1]}")
        known = list(x[:, -window:].unbind(1))
        for _ in range(steps):
            known.append(self(torch.stack(known[-window:], 1), h0))
        return torch.stack(known[window:], 1)

    def _weights(self) -> tuple[Any, Any, Any, Any, Any]:
        """Wih, Whh, bh, Who, bo."""
        own = self._parameters  # the attributes themselves cost a twentieth of a call at T = 4
        try:
            return own["Wih"], own["Whh"], own["bh"], own["Who"], own["bo"]
        except KeyError:  # one is parametrized, or was replaced by a tensor
            return self.Wih, self.Whh, self.bh, self.Who, self.bo

    def _named(self) -> Weights:
        return Weights(self.Wih, self.Whh, self.Who, self.bh, self.bo)

    def _set(self, name: str, value: Tensor, *, exact: bool = True) -> None:
        """Give a weight a value, through its parametrization where it has one.

        Raises:
            ValueError: It cannot have that value; it is as it was.
        """
        if self._parameters.get(name) is not None:
            self._parameters[name].copy_(value)  # type: ignore[union-attr]
            return
        before = copy.deepcopy(self.state_dict())
        reason = "it is computed from other tensors, as torch.nn.utils.prune does"
        if is_parametrized(self, name):
            try:
                setattr(self, name, value)
                if not exact or torch.allclose(getattr(self, name), value, rtol=1e-4, atol=1e-6):
                    return
                reason = "its parametrization gives another"
            except (NotImplementedError, RuntimeError, ValueError) as error:
                reason = " ".join(str(error).split())
            self.load_state_dict(before)
        raise ValueError(f"{name} cannot be set: {reason}; remove that first")

    def _batched(self, x: Tensor, h0: Tensor | None) -> tuple[Tensor, Tensor | None, bool]:
        """X and h0 with a batch dimension, and whether it was added."""
        if not isinstance(x, Tensor) or x.dim() != 2:
            return x, h0, False
        return x[None], None if h0 is None else h0[None], True

    @torch.no_grad()
    def fit_readout(self, x: Tensor, y: Tensor, rcond: float = 1e-10) -> None:
        """Solve Who (and bo) by least squares: the best readout of the states that x leads to.

        The readout is linear, so no gradient is needed: Who = argmin ||H Who' - y||² over the
        last states H of all windows, by singular values, in float64. Directions in which the
        states hardly vary get no weight: they fit noise, and make a rollout unstable.

        Args:
            x: Windows (N, T, D).
            y: Targets (N, O).
            rcond: Singular values below this part of the largest count as zero; at least the
                rounding of the weights' dtype. Measured on the sine in float64: below 1e-10 the
                windows are fitted to 1e-13, and one rollout in six diverges.

        Raises:
            ValueError: As in `forward`; or y is not (N, O).

        Source:
            Jaeger (2001), "The echo state approach to analysing and training recurrent neural
            networks", GMD Report 148, section 3.

        Example:
            >>> wave = torch.sin(torch.arange(200) * 0.2)
            >>> x, y = wave.unfold(0, 4, 1)[:196, :, None], wave[4:, None]
            >>> net = SinRNN(init="linear")
            >>> net.fit_readout(x, y)
            >>> (net(x) - y).abs().max().item() < 1e-3
            True
        """
        if y.shape != (len(x), self.output_size):
            raise ValueError(
                f"y must be {(len(x), self.output_size)} to fit x {tuple(x.shape)}, "
                f"got {tuple(y.shape)}"
            )
        every = torch.eye(self.hidden_size).to(self.Wih)  # a readout that gives the states
        h = functional.last_output(x, None, self.Wih, self.Whh, self.bh, every)
        states = h.double().cpu()
        if self.bo is not None:
            states = torch.cat([states, torch.ones_like(states[:, :1])], 1)
        least = max(torch.finfo(h.dtype).eps, rcond)
        found = torch.linalg.lstsq(states, y.double().cpu(), rcond=least, driver="gelsd")
        bo = found.solution[-1] if self.bo is not None else None
        self.set_readout(found.solution[: self.hidden_size].t(), bo)

    @torch.no_grad()
    def set_readout(self, Who: Tensor, bo: Tensor | None = None) -> None:
        """Set the readout, also where it is parametrized.

        Args:
            Who: (O, H).
            bo: (O), or None: zeros where the network has biases.

        Raises:
            ValueError: A parametrization cannot give these; the readout is as it was.

        Example:
            >>> net = SinRNN(hidden_size=3)
            >>> net.set_readout(torch.zeros(1, 3))
            >>> net(torch.randn(2, 7, 1)).flatten()
            tensor([0., 0.], grad_fn=<ViewBackward0>)
        """
        self._set("Who", Who.to(self.Who))
        if self.bo is not None:
            self._set("bo", torch.zeros_like(self.bo) if bo is None else bo.to(self.bo))

    @classmethod
    def from_torch(cls, rnn: nn.RNN, head: nn.Linear | None = None) -> Self:
        """The same function as a torch.nn.RNN and the nn.Linear that reads its states.

        Args:
            rnn: One layer, one direction, tanh. Its two biases become one, their sum.
            head: The readout; None gives the states themselves (Who is the identity).

        Raises:
            TypeError: rnn is no recurrent module of torch, or head no nn.Linear.
            ValueError: The network has what SinRNN has not, by name; or head reads another size.

        Example:
            >>> rnn, head = torch.nn.RNN(2, 8, batch_first=True), torch.nn.Linear(8, 3)
            >>> net, x = SinRNN.from_torch(rnn, head), torch.randn(4, 7, 2)
            >>> torch.allclose(net(x), head(rnn(x)[0][:, -1]), atol=1e-6)
            True
        """
        weights = _interop.from_torch(rnn, head)
        (H, D), O = weights["Wih"].shape, len(weights["Who"])  # noqa: E741 - the design's names
        like = weights["Whh"]
        net = cls(D, H, O, bias="bh" in weights, device=like.device, dtype=like.dtype)
        with torch.no_grad():
            for name, weight in weights.items():
                getattr(net, name).copy_(weight)
        return net

    def to_torch(self) -> tuple[nn.RNN, nn.Linear]:
        """The same function as torch modules.

        Returns:
            An nn.RNN with batch_first=True, and the nn.Linear that reads its states: copies.

        Example:
            >>> rnn, head = SinRNN(2, 8, 3, bias=True).to_torch()
            >>> rnn, head
            (RNN(2, 8, batch_first=True), Linear(in_features=8, out_features=3, bias=True))
        """
        return _interop.to_torch(self._named())

    def save(self, path: str | Path) -> None:
        """Write one safetensors file: the weights as they act, sizes, bptt_steps, init.

        Args:
            path: The file; what was there is replaced.

        Raises:
            OSError: The file cannot be written; what was there is as it was.

        Example:
            >>> SinRNN(hidden_size=8).save("net.safetensors")
            >>> SinRNN.load("net.safetensors")
            SinRNN(1, 8, 1, bias=False, bptt_steps=None, init='orthogonal')
        """
        _interop.save(*self.content(), path)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """The network that `save` wrote, on the CPU; runs no code from the file.

        Args:
            path: The file.

        Raises:
            FileNotFoundError: There is no such file.
            ValueError: The file is not a SinRNN's, was changed since, or is of another format; it
                is a Predictor's in other units than the cell's; or the path is a URL or a folder.

        Example:
            >>> SinRNN().save("net.safetensors")
            >>> SinRNN.load("net.safetensors").Whh.shape
            torch.Size([50, 50])
        """
        return _interop.load(path, cls._loaded, cls.__name__)

    @classmethod
    def _loaded(cls, tensors: dict[str, Tensor], about: dict[str, Any]) -> Self:
        if about.get("units"):
            raise ValueError(
                f"it is a Predictor's, in units of its own ({about['units']}): "
                "Predictor.load reads it"
            )
        weights = {name: tensors[name] for name in NAMES if name in tensors}
        return cls.made(weights, about)

    def content(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """What a file of this network holds: tensors, and plain values; see `made`.

        Returns:
            The weights as they act, by name, and bptt_steps and init.

        Example:
            >>> weights, about = SinRNN(hidden_size=3).content()
            >>> list(weights), about
            (['Wih', 'Whh', 'Who'], {'bptt_steps': None, 'init': 'orthogonal'})
        """
        weights = {n: w.detach() for n, w in self._named().named().items() if w is not None}
        return weights, {"bptt_steps": self.bptt_steps, "init": self.init}

    @classmethod
    def made(cls, weights: dict[str, Tensor], about: dict[str, Any]) -> Self:
        """A network of the given weights, which it takes as they are; see `content`.

        Args:
            weights: By name.
            about: bptt_steps and init.

        Raises:
            ValueError: They do not fit each other.

        Example:
            >>> net, x = SinRNN(hidden_size=3), torch.randn(2, 7, 1)
            >>> torch.equal(SinRNN.made(*net.content())(x), net(x))
            True
        """
        H, D = weights["Wih"].shape
        net = cls(
            D,
            H,
            len(weights["Who"]),
            bias="bh" in weights,
            bptt_steps=about["bptt_steps"],
            init=about["init"],
            dtype=weights["Wih"].dtype,
            device="meta",  # no weights are drawn that these would replace at once
        )
        net.load_state_dict(weights, assign=True)
        return net.to(weights["Wih"])
