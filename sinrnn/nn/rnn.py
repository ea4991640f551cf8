"""SinRNN, the cell and its readout as an nn.Module."""

from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from sinrnn._numbers import plain
from sinrnn.nn import _padding, _reference, functional
from sinrnn.nn._validation import check, check_dense
from sinrnn.nn._weights import CellWeights
from sinrnn.nn.init import INITS


class SinRNN(CellWeights):
    """A tanh recurrent network: h[t] = tanh(Wih x[t] + Whh h[t-1] + bh), y[t] = Who h[t] + bo.

    `forward` is many-to-one: it reads a window and returns the last output. `unroll` returns the
    state and output of every step, `step` takes one sample at a time, and `rollout` feeds
    predictions back as inputs.

    Args:
        input_size: Inputs per step, D.
        hidden_size: Hidden units, H.
        output_size: Outputs per step, O.
        bias: Whether the cell has bh and the readout bo.
        bptt_steps: Number of steps that the gradient reaches back (truncated backpropagation
            through time); None is the whole window.
        init: Initialisation of the weights: "orthogonal" (Whh orthogonal, so that it neither
            shrinks nor grows a state; the rest as "torch"), "linear" (Wih so small that the cell is
            nearly linear), "torch" (uniform in +-1/sqrt(hidden_size)) or "notebook" (uniform in
            [0, 0.99), which saturates every unit).
        device: Device of the weights.
        dtype: Floating-point type of the weights.

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
        input_size, hidden_size, output_size, bias, bptt_steps = plain(
            (input_size, hidden_size, output_size, bias, bptt_steps)
        )
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

    if TYPE_CHECKING:  # nn.Module.__call__ takes anything and returns Any

        def __call__(  # noqa: D102 - see forward
            self, x: Tensor, h0: Tensor | None = None, *, lengths: Tensor | None = None
        ) -> Tensor: ...

    def forward(
        self, x: Tensor, h0: Tensor | None = None, *, lengths: Tensor | None = None
    ) -> Tensor:
        """Return the last output, y[T].

        Args:
            x: Windows (B, T, D), or one window (T, D).
            h0: State before the first input, (B, H) or (H,); None is zeros.
            lengths: Steps of each window, (B,), from 1 to T. Later steps of x are padding and
                affect neither outputs nor gradients. None is T for all.

        Returns:
            The output (B, O), or (O,) for one window; y[lengths] if lengths are given.

        Raises:
            TypeError: x or h0 is not a tensor of floating-point numbers, or lengths is not a tensor
                of integers.
            ValueError: Shapes or dtypes do not fit, or lengths are not within 1 to T.

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
        """Return the states and outputs of all steps, and of `ahead` more steps in closed loop.

        In closed loop x[t+1] = y[t], so that a[t+1] = (Whh + Wih Who) h[t] + (bh + Wih bo): the
        same recurrence with another Whh and no inputs. `bptt_steps` does not truncate the gradient
        of these steps.

        Args:
            x: Windows (B, T, D), or one window (T, D).
            h0: State before the first input, (B, H) or (H,); None is zeros.
            lengths: As in `forward`. State and output stay constant after a window's end, so that
                h[:, -1] is the last state of each.
            ahead: Steps in closed loop after x; needs D == O.

        Returns:
            The states h[1..T+ahead], (B, T + ahead, H), and the outputs y[1..T+ahead],
            (B, T + ahead, O); without B for one window.

        Raises:
            TypeError: As in `forward`.
            ValueError: As in `forward`; or ahead is below 0, or above 0 although D is not O.

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
            zeros = x.new_zeros(x.shape[0], ahead, self.input_size)
            closed_loop = functional.tanh_rnn(zeros, h[:, -1], Wih, Whh + Wih @ Who, bias)
            h = torch.cat([h, closed_loop], 1)
        y = linear(h, Who, bo)
        return (h[0], y[0]) if one else (h, y)

    def step(self, x: Tensor, h: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Take one step: the streaming form of `unroll`.

        Args:
            x: One sample of each series, (B, D).
            h: The previous state (B, H); None is zeros.

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
            x: The samples before the first prediction, (B, T, D) or (T, D).
            steps: Number of predictions.
            h0: State before the first input, (B, H) or (H,); None is zeros.
            window: For each prediction, start from h0 and read the last `window` samples,
                predictions included. None reads x once and carries the state, as `step` does.

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
            rollout = partial(self.rollout, window=window)
            return _reference.uncast(lambda x, h0: rollout(x, steps, h0), self.Whh, x, h0)
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
                "a rollout feeds outputs back as inputs: output_size must equal input_size, "
                f"{self.input_size}, got {self.output_size}"
            )

    def _slide(self, x: Tensor, steps: int, h0: Tensor | None, window: int) -> Tensor:
        check(x, h0, self.Wih, self.Whh, self.bh, self.bptt_steps)
        if x.shape[1] < window:
            raise ValueError(f"x must have at least {window} steps, got {x.shape[1]}")
        known = list(x[:, -window:].unbind(1))
        for _ in range(steps):
            known.append(self(torch.stack(known[-window:], 1), h0))
        return torch.stack(known[window:], 1)

    def _batched(self, x: Tensor, h0: Tensor | None) -> tuple[Tensor, Tensor | None, bool]:
        """Return x and h0 with a batch dimension, and whether it was added."""
        if not isinstance(x, Tensor) or x.dim() != 2:
            return x, h0, False
        check_dense("x", x)
        return x[None], None if h0 is None else h0[None], True
