"""A SinRNN in other forms: a safetensors file, and torch's own modules."""

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from sinrnn.durable import local, refuse_links, write

if TYPE_CHECKING:
    from sinrnn.rnn import SinRNN

FORMAT = 2


def save(net: "SinRNN", path: str | Path) -> None:
    """`SinRNN.save`: tensors as they are, the rest as JSON in the metadata, a checksum of all."""
    from safetensors.torch import save as to_bytes

    about = {
        "format": FORMAT,
        "window": net.window,
        "horizon": net.horizon,
        "depth": net.depth,
        "init": net.init,
        "scaling": net.scaling,
        "carries": net.carries,
    }
    tensors = {name: weight.detach().cpu() for name, weight in net.state_dict().items()}
    if net.radius is not None:
        tensors["radius"] = net.radius.cpu().contiguous()
    about["sha256"] = checksum(tensors, about)
    write(path, to_bytes(tensors, metadata={"sinrnn": json.dumps(about)}))


def checksum(tensors: dict[str, Tensor], about: dict[str, Any]) -> str:
    """SHA-256 of all that a file says; safetensors itself would not notice a changed weight."""
    found = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        found.update(f"\n{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        found.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


def load(cls: type["SinRNN"], path: str | Path) -> "SinRNN":
    """`SinRNN.load`."""
    from safetensors import SafetensorError

    try:
        path = local(path)
    except IsADirectoryError as error:
        raise ValueError(error) from error
    kinds = (OSError, SafetensorError, KeyError, TypeError, ValueError, OverflowError, RuntimeError)
    try:
        return _network(cls, *_content(path))
    except kinds as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{path} is not a SinRNN file: {reason}") from error


def _content(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What the file holds, if it is as `save` left it: tensors, and what is said about them."""
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        about = json.loads((file.metadata() or {})["sinrnn"])
        # A copy is aligned as torch's memory is; the file's header may leave it anywhere, and the
        # last bits of products depend on that.
        tensors = {name: file.get_tensor(name).clone() for name in file.keys()}
    if about["format"] != FORMAT:
        raise ValueError(f"its format is {about['format']}, this sinrnn reads {FORMAT}")
    if "sha256" not in about:
        raise ValueError("its checksum is missing")
    if about.pop("sha256") != checksum(tensors, about):
        raise ValueError("its checksum does not fit")
    for name in ("window", "horizon", "depth"):
        value, needed = about[name], name == "horizon"
        if (value is not None or needed) and not (isinstance(value, int) and value >= 1):
            raise ValueError(f"its {name} is {value!r}")
    mean, scale = about["scaling"]
    about["scaling"] = (float(mean), float(scale))
    if not about["scaling"][1] > 0:
        raise ValueError(f"its scale is {scale!r}")
    return tensors, about


def _network(cls: type["SinRNN"], tensors: dict[str, Tensor], about: dict[str, Any]) -> "SinRNN":
    radius = tensors.pop("radius", None)
    H, D = tensors["Wih"].shape
    net = cls(
        D,
        H,
        len(tensors["Who"]),
        bias="bh" in tensors,
        depth=about["depth"],
        init=about["init"],
        dtype=tensors["Wih"].dtype,
        device="meta",  # no weights are drawn that the file's would replace at once
    )
    net.load_state_dict(tensors, assign=True)
    net.to(tensors["Wih"])
    net.window, net.horizon, net.scaling = about["window"], about["horizon"], about["scaling"]
    net.radius, net.carries = radius, bool(about["carries"])
    return net


def model_file(path: str | Path) -> Path:
    """The file that `save` wrote: that of a run's folder, or the path itself.

    Raises:
        ValueError: It is a URL.
        OSError: There is no such file or folder, or the folder holds a link.
    """
    path = Path(path)
    if not path.is_dir():
        return local(path)
    refuse_links(path)
    return path / "model.safetensors"


def from_torch(cls: type["SinRNN"], rnn: nn.RNN, head: nn.Linear | None) -> "SinRNN":
    """`SinRNN.from_torch`."""
    if not isinstance(rnn, nn.RNNBase):
        raise TypeError(f"rnn must be a torch.nn.RNN, got {type(rnn).__name__}")
    if head is not None and not isinstance(head, nn.Linear):
        raise TypeError(f"head must be a torch.nn.Linear or None, got {type(head).__name__}")
    unlike = {
        rnn.mode: rnn.mode in ("LSTM", "GRU"),
        f"nonlinearity={rnn.mode[4:].lower()!r}": rnn.mode == "RNN_RELU",
        f"num_layers={rnn.num_layers}": rnn.num_layers != 1,
        f"bidirectional={rnn.bidirectional}": rnn.bidirectional,
        f"proj_size={rnn.proj_size}": rnn.proj_size != 0,
    }
    if found := [name for name, differs in unlike.items() if differs]:
        raise ValueError(f"SinRNN is one tanh layer in one direction, got {', '.join(found)}")
    H, theirs = rnn.hidden_size, dict(rnn.named_parameters())
    if head is not None and head.in_features != H:
        raise ValueError(f"head must read the {H} hidden units, got {head.in_features}")
    head_bias = None if head is None else head.bias
    net = cls(
        rnn.input_size,
        H,
        H if head is None else head.out_features,
        bias=rnn.bias or head_bias is not None,
        device=theirs["weight_hh_l0"].device,
        dtype=theirs["weight_hh_l0"].dtype,
    )
    with torch.no_grad():
        net.Wih.copy_(theirs["weight_ih_l0"])
        net.Whh.copy_(theirs["weight_hh_l0"])
        net.Who.copy_(torch.eye(H) if head is None else head.weight)
        for bias in (net.bh, net.bo):
            if bias is not None:
                bias.zero_()
        if net.bh is not None and rnn.bias:
            net.bh.copy_(theirs["bias_ih_l0"] + theirs["bias_hh_l0"])
        if net.bo is not None and head_bias is not None:
            net.bo.copy_(head_bias)
    return net


def to_torch(net: "SinRNN") -> tuple[nn.RNN, nn.Linear]:
    """`SinRNN.to_torch`."""
    bias = net.bh is not None
    rnn = nn.RNN(net.input_size, net.hidden_size, bias=bias, batch_first=True).to(net.Wih)
    head = nn.Linear(net.hidden_size, net.output_size, bias=bias).to(net.Wih)
    with torch.no_grad():
        theirs = dict(rnn.named_parameters())
        theirs["weight_ih_l0"].copy_(net.Wih)
        theirs["weight_hh_l0"].copy_(net.Whh)
        head.weight.copy_(net.Who)
        if net.bh is not None and net.bo is not None:
            theirs["bias_ih_l0"].copy_(net.bh)
            theirs["bias_hh_l0"].zero_()
            head.bias.copy_(net.bo)
    return rnn, head
