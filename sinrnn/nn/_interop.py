"""Conversion of a SinRNN: to and from a safetensors file, and torch's own modules."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from sinrnn.filesystem import local, write
from sinrnn.nn.init import Weights

N = TypeVar("N")
FORMAT = 3


def save(tensors: dict[str, Tensor], about: dict[str, Any], path: str | Path) -> None:
    """Write tensors, and plain values as JSON in the metadata, with a checksum of both."""
    from safetensors.torch import save as to_bytes

    about = {"format": FORMAT} | about
    # safetensors accepts neither strided tensors nor tensors that share memory: copy them.
    dense = torch.contiguous_format
    tensors = {name: t.detach().cpu().clone(memory_format=dense) for name, t in tensors.items()}
    about["sha256"] = checksum(tensors, about)
    write(path, to_bytes(tensors, metadata={"sinrnn": json.dumps(about)}))


def checksum(tensors: dict[str, Tensor], about: dict[str, Any]) -> str:
    """Return the SHA-256 of a file's whole content; safetensors itself has no checksum."""
    found = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        found.update(f"\n{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        found.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


def load(path: str | Path, made: Callable[[dict[str, Tensor], dict[str, Any]], N], name: str) -> N:
    """Read a file of `save` and return what `made` makes of its tensors and plain values.

    `name` is the class, for messages; errors are those of `SinRNN.load`.
    """
    from safetensors import SafetensorError

    try:
        path = local(path)
    except IsADirectoryError as error:
        raise ValueError(error) from error
    kinds = (OSError, SafetensorError, KeyError, TypeError, ValueError, OverflowError, RuntimeError)
    try:
        return made(*_content(path))
    except kinds as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{path} is not a {name} file: {reason}") from error


def _content(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors and plain values of a file, after checking that `save` wrote them."""
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        about = json.loads((file.metadata() or {})["sinrnn"])
        # The header's length sets the alignment of the file's tensors, on which the last bits of
        # products depend. Copies are aligned as all of torch's memory.
        tensors = {name: file.get_tensor(name).clone() for name in file.keys()}
    if about["format"] != FORMAT:
        raise ValueError(
            f"its format is {about['format']}, this sinrnn reads {FORMAT}: train it again, or use "
            "the version that wrote it"
        )
    if "sha256" not in about:
        raise ValueError("its checksum is missing")
    if about.pop("sha256") != checksum(tensors, about):
        raise ValueError("its checksum does not match")
    steps = about["bptt_steps"]
    if steps is not None and not (isinstance(steps, int) and steps >= 1):
        raise ValueError(f"its bptt_steps is {steps!r}")
    for name, tensor in tensors.items():
        known = not tensor.isnan().any() if name == "radius" else tensor.isfinite().all()
        if not (tensor.is_floating_point() and known):
            raise ValueError(f"its {name} must be finite floating-point numbers")
    return tensors, about


def from_torch(rnn: nn.RNN, head: nn.Linear | None) -> dict[str, Tensor]:
    """Return the weights of `SinRNN.from_torch` by name."""
    if not isinstance(rnn, nn.RNNBase):
        raise TypeError(f"rnn must be a torch.nn.RNN, got {type(rnn).__name__}")
    if head is not None and not isinstance(head, nn.Linear):
        raise TypeError(f"head must be a torch.nn.Linear or None, got {type(head).__name__}")
    unsupported = {
        rnn.mode: rnn.mode in ("LSTM", "GRU"),
        f"nonlinearity={rnn.mode[4:].lower()!r}": rnn.mode == "RNN_RELU",
        f"num_layers={rnn.num_layers}": rnn.num_layers != 1,
        f"bidirectional={rnn.bidirectional}": rnn.bidirectional,
        f"proj_size={rnn.proj_size}": rnn.proj_size != 0,
    }
    if found := [name for name, given in unsupported.items() if given]:
        raise ValueError(f"SinRNN is one tanh layer in one direction, got {', '.join(found)}")
    H, theirs = rnn.hidden_size, dict(rnn.named_parameters())
    if head is not None and head.in_features != H:
        raise ValueError(f"head must read the {H} hidden units, got {head.in_features}")
    Wih, Whh = theirs["weight_ih_l0"].detach(), theirs["weight_hh_l0"].detach()
    ours = {
        "Wih": Wih,
        "Whh": Whh,
        "Who": torch.eye(H, device=Whh.device).to(Whh) if head is None else head.weight,
    }
    head_bias = None if head is None else head.bias
    if rnn.bias or head_bias is not None:
        ours |= {"bh": torch.zeros_like(Whh[0]), "bo": torch.zeros_like(ours["Who"][:, 0])}
    if rnn.bias:
        ours["bh"] = theirs["bias_ih_l0"] + theirs["bias_hh_l0"]
    if head_bias is not None:
        ours["bo"] = head_bias
    return {name: weight.detach() for name, weight in ours.items()}


def to_torch(weights: Weights) -> tuple[nn.RNN, nn.Linear]:
    """Return the modules of `SinRNN.to_torch`."""
    Wih, Whh, Who, bh, bo = weights
    (H, D), bias = Wih.shape, bh is not None
    like: Any = {"bias": bias, "device": Wih.device, "dtype": Wih.dtype}
    rnn = nn.RNN(D, H, batch_first=True, **like)
    head = nn.Linear(H, len(Who), **like)
    with torch.no_grad():
        theirs = dict(rnn.named_parameters())
        theirs["weight_ih_l0"].copy_(Wih)
        theirs["weight_hh_l0"].copy_(Whh)
        head.weight.copy_(Who)
        if bh is not None and bo is not None:
            theirs["bias_ih_l0"].copy_(bh)
            theirs["bias_hh_l0"].zero_()
            head.bias.copy_(bo)
    return rnn, head
