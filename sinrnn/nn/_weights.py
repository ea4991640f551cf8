"""The weights of a SinRNN: drawn, set, fitted, converted and stored. `rnn` computes with them."""

import copy
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from sinrnn._numbers import plain
from sinrnn._private import own_parameters
from sinrnn.nn import _interop, functional
from sinrnn.nn.init import INITS, NAMES, Weights


class CellWeights(nn.Module):
    """Base class of `rnn.SinRNN`, which creates and documents the weights."""

    input_size: int
    hidden_size: int
    output_size: int
    bptt_steps: int | None
    init: str
    Wih: nn.Parameter
    Whh: nn.Parameter
    Who: nn.Parameter
    bh: nn.Parameter | None
    bo: nn.Parameter | None

    def extra_repr(self) -> str:
        """The sizes and settings that repr shows."""
        return (
            f"{self.input_size}, {self.hidden_size}, {self.output_size}, "
            f"bias={self.bh is not None}, bptt_steps={self.bptt_steps}, init={self.init!r}"
        )

    def reset_parameters(self) -> None:
        """Draw the weights again, by `init`; biases start at zero except with "torch".

        Example:
            >>> net = SinRNN(hidden_size=3)
            >>> net.reset_parameters()
            >>> torch.allclose(net.Whh @ net.Whh.T, torch.eye(3), atol=1e-6)
            True
        """
        if self.Wih.is_meta:
            return  # nothing to draw, and torch would import sympy to find that out
        with torch.no_grad():
            Wih, Whh, Who, bh, bo = (w if w is None else torch.empty_like(w) for w in self._named())
            drawn = Weights(Wih, Whh, Who, bh, bo)  # type: ignore[arg-type]
            INITS[self.init](drawn)
            for name, weight in drawn.named().items():
                if weight is not None:
                    self._set(name, weight, exact=False)

    def _weights(self) -> tuple[Any, Any, Any, Any, Any]:
        """Return Wih, Whh, bh, Who and bo."""
        own = own_parameters(self)
        try:
            return own["Wih"], own["Whh"], own["bh"], own["Who"], own["bo"]
        except KeyError:  # one is parametrized, or was replaced by a tensor
            return self.Wih, self.Whh, self.bh, self.Who, self.bo

    def _named(self) -> Weights:
        return Weights(self.Wih, self.Whh, self.Who, self.bh, self.bo)

    def _set(self, name: str, value: Tensor, *, exact: bool = True) -> None:
        """Set a weight, through its parametrization if it has one.

        Raises:
            ValueError: It cannot have that value; it keeps the old one.
        """
        own = own_parameters(self).get(name)
        if own is not None:
            own.copy_(value)
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

    @torch.no_grad()
    def fit_readout(self, x: Tensor, y: Tensor, rcond: float = 1e-10) -> None:
        """Fit the readout Who (and bo) by least squares.

        The readout is linear in the last states H of the windows, so no gradient is needed:
        Who = argmin ||H Who' - y||², by singular value decomposition in float64. Directions in
        which the states hardly vary get no weight: they fit noise and make rollouts unstable.

        Args:
            x: Windows (N, T, D).
            y: Targets (N, O).
            rcond: Singular values below rcond times the largest are treated as zero; at least the
                weights' machine epsilon. On a sine in float64, values below 1e-10 fit the windows
                to 1e-13 but let one rollout in six diverge.

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
        # With the identity as readout, the last output is the last state.
        identity = torch.eye(self.hidden_size, dtype=self.Wih.dtype, device=self.Wih.device)
        h = functional.last_output(x, None, self.Wih, self.Whh, self.bh, identity)
        states = h.double().cpu()
        if self.bo is not None:
            states = torch.cat([states, torch.ones_like(states[:, :1])], 1)
        rcond = max(torch.finfo(h.dtype).eps, rcond)
        fit = torch.linalg.lstsq(states, y.double().cpu(), rcond=rcond, driver="gelsd")
        bo = fit.solution[-1] if self.bo is not None else None
        self.set_readout(fit.solution[: self.hidden_size].t(), bo)

    @torch.no_grad()
    def set_readout(self, Who: Tensor, bo: Tensor | None = None) -> None:
        """Set the readout, through its parametrization if it has one.

        Args:
            Who: Readout weights (O, H).
            bo: Readout bias (O); None is zeros if the network has biases.

        Raises:
            ValueError: A parametrization cannot take these values; the readout keeps the old ones.

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
        """Convert a torch.nn.RNN and the nn.Linear that reads its states.

        Args:
            rnn: One layer, one direction, tanh. Its two biases become one, their sum.
            head: The readout; None returns the states themselves (Who is the identity).

        Raises:
            TypeError: rnn is not a recurrent module of torch, or head is not an nn.Linear.
            ValueError: rnn has options that SinRNN does not support; or head reads another size.

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
        """Convert to torch modules that compute the same function.

        Returns:
            An nn.RNN with batch_first=True, and the nn.Linear that reads its states, with copies of
            the weights.

        Example:
            >>> rnn, head = SinRNN(2, 8, 3, bias=True).to_torch()
            >>> rnn, head
            (RNN(2, 8, batch_first=True), Linear(in_features=8, out_features=3, bias=True))
        """
        return _interop.to_torch(self._named())

    def save(self, path: str | Path) -> None:
        """Write one safetensors file: the effective weights, sizes, bptt_steps and init.

        Args:
            path: The file; an existing one is replaced.

        Raises:
            OSError: The file cannot be written; an existing one is unchanged.

        Example:
            >>> SinRNN(hidden_size=8).save("net.safetensors")
            >>> SinRNN.load("net.safetensors")
            SinRNN(1, 8, 1, bias=False, bptt_steps=None, init='orthogonal')
        """
        _interop.save(*self.content(), path)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Load a file of `save`, on the CPU. No code from the file is run.

        Args:
            path: The file.

        Raises:
            FileNotFoundError: There is no such file.
            ValueError: The file is not a SinRNN's, was changed, or has another format; it is a
                Predictor's that transforms units; or the path is a URL or a folder.

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
                f"it is a Predictor's, which transforms units ({about['units']}): "
                "use Predictor.load"
            )
        weights = {name: tensors[name] for name in NAMES if name in tensors}
        return cls.made(weights, about)

    def content(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return the content of a file of this network; `made` is the inverse.

        Returns:
            The effective weights by name, and the plain values bptt_steps and init.

        Example:
            >>> weights, about = SinRNN(hidden_size=3).content()
            >>> list(weights), about
            (['Wih', 'Whh', 'Who'], {'bptt_steps': None, 'init': 'orthogonal'})
        """
        weights = {n: w.detach() for n, w in self._named().named().items() if w is not None}
        return weights, {"bptt_steps": plain(self.bptt_steps), "init": self.init}

    @classmethod
    def made(cls, weights: dict[str, Tensor], about: dict[str, Any]) -> Self:
        """Make a network that holds the given tensors; the inverse of `content`.

        Args:
            weights: The weights by name.
            about: The values of bptt_steps and init.

        Raises:
            ValueError: The weights do not fit each other.

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
            device="meta",  # draws no weights, as they would be replaced at once
        )
        net.load_state_dict(weights, assign=True)
        return net.to(weights["Wih"])
