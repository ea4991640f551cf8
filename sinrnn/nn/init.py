"""How the weights of a SinRNN start: one function each, chosen by name."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from sinrnn.nn.rnn import SinRNN


def orthogonal(net: "SinRNN") -> None:
    """Whh orthogonal, so that it neither shrinks nor grows a state; the rest as `uniform`.

    Biases are zero. Source: Saxe, McClelland and Ganguli (2014), arXiv:1312.6120.
    """
    uniform(net)
    # QR has no half-precision form.
    exact = torch.promote_types(net.Whh.dtype, torch.float32)
    net.Whh.copy_(nn.init.orthogonal_(torch.empty_like(net.Whh, dtype=exact)))
    for bias in (net.bh, net.bo):
        if bias is not None:
            bias.zero_()


def uniform(net: "SinRNN") -> None:
    """All weights and biases uniform in +-1/sqrt(H), as torch.nn.RNN and its readout do."""
    bound = net.hidden_size**-0.5
    for parameter in net.parameters():
        parameter.uniform_(-bound, bound)


def linear(net: "SinRNN") -> None:
    """As `orthogonal`, with Wih a hundredth: states stay so small that the cell is nearly linear.

    A linear recurrence continues a sine beyond the values that it was fitted on.
    """
    orthogonal(net)
    net.Wih.normal_(0, 0.01)


def notebook(net: "SinRNN") -> None:
    """All weights uniform in [0, 0.99), biases zero: what the notebook did.

    Whh then has a spectral radius near H/2 and every hidden unit saturates.
    """
    for parameter in net.parameters():
        parameter.uniform_(0, 0.99)
    for bias in (net.bh, net.bo):
        if bias is not None:
            bias.zero_()


INITS: dict[str, Callable[["SinRNN"], None]] = {
    "orthogonal": orthogonal,
    "linear": linear,
    "torch": uniform,
    "notebook": notebook,
}
