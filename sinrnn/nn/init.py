"""How the weights of a SinRNN start: one function each, chosen by name."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

NAMES = ("Wih", "Whh", "Who", "bh", "bo")


class Weights(NamedTuple):
    """What is filled, in the order in which it is drawn; a network without biases has None."""

    Wih: Tensor
    Whh: Tensor
    Who: Tensor
    bh: Tensor | None
    bo: Tensor | None

    def named(self) -> dict[str, Tensor | None]:
        """All of them by name."""
        return dict(zip(NAMES, self, strict=True))

    def present(self) -> list[Tensor]:
        """Those that are there."""
        return [weight for weight in self if weight is not None]


def orthogonal(weights: Weights) -> None:
    """Whh orthogonal, so that it neither shrinks nor grows a state; the rest as `uniform`.

    Biases are zero. Source: Saxe, McClelland and Ganguli (2014), arXiv:1312.6120.
    """
    uniform(weights)
    # QR has no half-precision form.
    exact = torch.promote_types(weights.Whh.dtype, torch.float32)
    weights.Whh.copy_(nn.init.orthogonal_(torch.empty_like(weights.Whh, dtype=exact)))
    for bias in (weights.bh, weights.bo):
        if bias is not None:
            bias.zero_()


def uniform(weights: Weights) -> None:
    """All weights and biases uniform in +-1/sqrt(H), as torch.nn.RNN and its readout do."""
    bound = len(weights.Whh) ** -0.5
    for weight in weights.present():
        weight.uniform_(-bound, bound)


def linear(weights: Weights) -> None:
    """As `orthogonal`, with Wih a hundredth: states stay so small that the cell is nearly linear.

    A linear recurrence continues a sine beyond the values that it was fitted on.
    """
    orthogonal(weights)
    weights.Wih.normal_(0, 0.01)


def notebook(weights: Weights) -> None:
    """All weights uniform in [0, 0.99), biases zero: what the notebook did.

    Whh then has a spectral radius near H/2 and every hidden unit saturates.
    """
    for weight in weights.present():
        weight.uniform_(0, 0.99)
    for bias in (weights.bh, weights.bo):
        if bias is not None:
            bias.zero_()


INITS: dict[str, Callable[[Weights], None]] = {
    "orthogonal": orthogonal,
    "linear": linear,
    "torch": uniform,
    "notebook": notebook,
}
