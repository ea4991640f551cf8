"""Initialisations of a SinRNN's weights: one function each, chosen by name."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

NAMES = ("Wih", "Whh", "Who", "bh", "bo")


class Weights(NamedTuple):
    """The weights to fill, in the order in which they are drawn; biases may be None."""

    Wih: Tensor
    Whh: Tensor
    Who: Tensor
    bh: Tensor | None
    bo: Tensor | None

    def named(self) -> dict[str, Tensor | None]:
        """Return all weights by name."""
        return dict(zip(NAMES, self, strict=True))

    def present(self) -> list[Tensor]:
        """Return the weights that are not None."""
        return [weight for weight in self if weight is not None]


def orthogonal(weights: Weights) -> None:
    """Draw Whh orthogonal, so that it neither shrinks nor grows a state; Wih and Who uniform.

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
    """Draw all weights and biases uniform in +-1/sqrt(H), as torch.nn.RNN and nn.Linear do."""
    bound = len(weights.Whh) ** -0.5
    for weight in weights.present():
        weight.uniform_(-bound, bound)


def linear(weights: Weights) -> None:
    """Draw as `orthogonal`, but Wih with deviation 0.01, so that the cell is nearly linear.

    A linear recurrence continues a sine beyond the values that it was fitted on.
    """
    orthogonal(weights)
    weights.Wih.normal_(0, 0.01)


def notebook(weights: Weights) -> None:
    """Draw all weights uniform in [0, 0.99), as the notebook did; biases are zero.

    The spectral radius of Whh is near H/2, and every hidden unit saturates.
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
