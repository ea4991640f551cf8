"""A SinRNN as an ONNX file, for programs that have no torch.

The graph is one native RNN node, which ONNX Runtime runs as a loop of its own, and one Gemm:
x and h0 in, the last output and the last state out. Both the batch and the time axis are free, so
the same file reads windows and, with one step at a time and h_n handed back as h0, a stream.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from sinrnn import export
from sinrnn.durable import check_other, check_target, write
from sinrnn.messages import Parser, program, refuse, say

if TYPE_CHECKING:
    import onnx

    from sinrnn.rnn import SinRNN

OPSET, IR = 17, 10  # read by ONNX Runtime 1.18 and all later ones


def model(net: "SinRNN") -> "onnx.ModelProto":
    """The network as a graph: x (batch, time, D), h0 (batch, H) -> y (batch, O), h_n (batch, H).

    y is the last output and h_n the last state; h0 has to be given, zeros to begin with. All is
    float32, whatever the network is, as ONNX Runtime's RNN knows no other type. `window`,
    `horizon`, `scaling` (folded into the weights already) and `carries` are JSON in the metadata,
    under "sinrnn".

    Args:
        net: The network, in the units that the graph is to read and give.

    Raises:
        ImportError: onnx is not installed.
        ValueError: A weight is not finite in float32.
    """
    try:
        from onnx import helper
    except ImportError as error:
        raise ImportError("ONNX files need onnx: pip install onnx") from error

    from sinrnn import __version__

    made = helper.make_model(
        _graph(_weights(net)),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR,
        producer_name="sinrnn",
        producer_version=__version__,
    )
    about = {name: getattr(net, name) for name in ("window", "horizon", "scaling", "carries")}
    helper.set_model_props(made, {"sinrnn": json.dumps(about)})
    return made


def _graph(weights: dict[str, Tensor]) -> "onnx.GraphProto":
    """Nodes and weights between what is read and what is given."""
    from onnx import TensorProto, helper, numpy_helper

    (_, H, D), (O, _) = weights["W"].shape, weights["Who"].shape  # noqa: E741 - the design's names

    def value(name: str, shape: list[str | int], text: str) -> "onnx.ValueInfoProto":
        said = f"{text}, ({', '.join(map(str, shape))})"
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape, said)

    units = "in the series' own units"
    read = [
        value("x", ["batch", "time", D], f"Samples, {units}"),
        value("h0", ["batch", H], "State before the first sample; zeros to begin with"),
    ]
    given = [
        value("y", ["batch", O], f"Output after the last sample, {units}"),
        value("h_n", ["batch", H], "State after the last sample: h0 of what comes next"),
    ]
    stored = weights | {"axis": torch.zeros(1, dtype=torch.int64)}
    arrays = [numpy_helper.from_array(tensor.numpy(), name) for name, tensor in stored.items()]
    return helper.make_graph(_nodes(weights), "sinrnn", read, given, arrays)


def _nodes(weights: dict[str, Tensor]) -> "list[onnx.NodeProto]":
    """h0 and x, time first as the RNN node takes them; its last state; the readout."""
    from onnx.helper import make_node

    H = weights["R"].shape[1]
    cell = ["steps", "W", "R", "B" if "B" in weights else "", "", "first"]
    readout = ["h_n", "Who", "bo"] if "bo" in weights else ["h_n", "Who"]
    return [
        # layout=1, batch first, would save this, but ONNX Runtime does not support it.
        make_node("Transpose", ["x"], ["steps"], perm=[1, 0, 2]),
        make_node("Unsqueeze", ["h0", "axis"], ["first"]),
        make_node("RNN", cell, ["", "last"], hidden_size=H, activations=["Tanh"]),
        make_node("Squeeze", ["last", "axis"], ["h_n"]),
        make_node("Gemm", readout, ["y"], transB=1),
    ]


def _weights(net: "SinRNN") -> dict[str, Tensor]:
    """The weights in float32, named and shaped as the nodes take them."""
    ours = {name: getattr(net, name) for name in ("Wih", "Whh", "bh", "Who", "bo")}
    found = {name: weight.detach().cpu() for name, weight in ours.items() if weight is not None}
    single = {name: weight.float() for name, weight in found.items()}
    for name, weight in single.items():
        if not (finite := weight.isfinite()).all():
            bad = found[name][~finite][0].item()
            raise ValueError(f"{name} must be finite in float32, got {bad}")
    weights = {"W": single.pop("Wih")[None], "R": single.pop("Whh")[None]}
    if "bh" in single:
        bh = single.pop("bh")
        weights["B"] = torch.cat([bh, torch.zeros_like(bh)])[None]  # a node adds two biases
    return weights | single


def save(net: "SinRNN", path: str | Path) -> None:
    """Write a network to one ONNX file, in place of what was there, whole or not at all.

    A network that has a window and does not carry its state was taught to start each window from
    zeros: give it whole windows, (batch, window, D), as `SinRNN.rollout` does.

    Args:
        net: The network; see `model`.
        path: The file, `.onnx` by custom.

    Raises:
        ImportError: onnx is not installed.
        ValueError: A weight is not finite in float32.
        OSError: The file cannot be written; what was there is as it was.

    Example:
        One sample at a time, without torch:

        >>> import numpy as np, onnxruntime
        >>> from sinrnn import SinRNN, onnx
        >>> onnx.save(SinRNN(hidden_size=50), "wave.onnx")
        >>> session = onnxruntime.InferenceSession("wave.onnx")
        >>> h = np.zeros((1, 50), np.float32)
        >>> for sample in np.sin(np.arange(100, dtype=np.float32)):
        ...     y, h = session.run(None, {"x": sample.reshape(1, 1, 1), "h0": h})
    """
    made = model(net)
    from onnx import checker

    checker.check_model(made, full_check=True)
    write(path, made.SerializeToString())


@program
def main(argv: Sequence[str] | None = None) -> int:
    """Export as the arguments say, and say what was written; returns the exit status."""
    parser = Parser(description="Write a trained network for other programs.")
    parser.add_argument("model", help="A run's folder, or a model.safetensors.")
    parser.add_argument(
        "--onnx", type=Path, help="ONNX file to write; by default model.onnx beside the model."
    )
    args = parser.parse_args(argv)
    try:
        say(_written(args))
    except (ImportError, ValueError, OSError) as error:
        return refuse(error)
    return 0


def _written(args: argparse.Namespace) -> str:
    """Write the file; returns what is to be said of it."""
    from sinrnn.rnn import SinRNN

    source = export.model_file(args.model)
    path: Path = args.onnx or source.parent / "model.onnx"
    net = SinRNN.load(source)
    check_other("--onnx", path, source, "the model")
    check_target("--onnx", path, ".onnx")
    save(net, path)
    D, H, O = net.input_size, net.hidden_size, net.output_size  # noqa: E741
    kind = str(net.Wih.dtype).removeprefix("torch.")
    rounded = "" if kind == "float32" else f" (the {kind} weights are rounded to float32)"
    return (
        f"{path}: {path.stat().st_size / 1000:.1f} kB, reads x (batch, time, {D}) and "
        f"h0 (batch, {H}), gives y (batch, {O}) and h_n (batch, {H}){rounded}"
    )
