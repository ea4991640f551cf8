"""Export of a Predictor to ONNX, for programs without torch.

The graph is a native RNN node, which ONNX Runtime runs in its own loop, and a Gemm. Its inputs are
x and h0, its outputs the last output and the last state. The batch and time axes are dynamic: the
same file reads windows and, one step at a time with h_n fed back as h0, a stream.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from sinrnn._version import __version__
from sinrnn.filesystem import write
from sinrnn.forecasting.predictor import Predictor
from sinrnn.nn.rnn import SinRNN

if TYPE_CHECKING:
    import onnx

OPSET, IR = 17, 10  # read by ONNX Runtime 1.18 and all later ones


def model(predictor: Predictor | SinRNN) -> "onnx.ModelProto":
    """Return the graph: x (batch, time, D), h0 (batch, H) -> y (batch, O), h_n (batch, H).

    y is the last output and h_n the last state. h0 is required; it is zeros at the start. All
    tensors are float32, the only type that ONNX Runtime's RNN supports. The metadata entry "sinrnn"
    holds `window`, `horizon`, `stateful`, `mean` and `scale` as JSON; the weights already contain
    the last two.

    Args:
        predictor: The network to export; a `SinRNN` is exported without a transform of units.

    Raises:
        ImportError: onnx is not installed.
        ValueError: A weight is not finite in float32; or the predictor has log, relative or linear,
            which the graph does not support.
    """
    if isinstance(predictor, SinRNN):
        predictor = Predictor(predictor, window=None)
    if units := [name for name in ("log", "relative", "linear") if getattr(predictor, name)]:
        raise ValueError(f"ONNX export does not support {' and '.join(units)}: train without")
    try:
        from onnx import helper
    except ImportError as error:
        raise ImportError("ONNX files need onnx: pip install onnx") from error

    made = helper.make_model(
        _graph(_weights(predictor)),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR,
        producer_name="sinrnn",
        producer_version=__version__,
    )
    about = {name: getattr(predictor, name) for name in ("window", "horizon", "stateful")}
    about |= {"mean": predictor.mean.item(), "scale": predictor.scale.item()}
    helper.set_model_props(made, {"sinrnn": json.dumps(about)})
    return made


def _graph(weights: dict[str, Tensor]) -> "onnx.GraphProto":
    """Return the graph of inputs, outputs, nodes and weights."""
    from onnx import TensorProto, helper, numpy_helper

    (_, H, D), (O, _) = weights["W"].shape, weights["Who"].shape  # noqa: E741 - the design's names

    def value(name: str, shape: list[str | int], text: str) -> "onnx.ValueInfoProto":
        text = f"{text}, ({', '.join(map(str, shape))})"
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape, text)

    units = "in the series' own units"
    inputs = [
        value("x", ["batch", "time", D], f"Samples, {units}"),
        value("h0", ["batch", H], "State before the first sample; zeros at the start"),
    ]
    outputs = [
        value("y", ["batch", O], f"Output after the last sample, {units}"),
        value("h_n", ["batch", H], "State after the last sample: the h0 of the next call"),
    ]
    stored = weights | {"axis": torch.zeros(1, dtype=torch.int64, device="cpu")}
    arrays = [numpy_helper.from_array(tensor.numpy(), name) for name, tensor in stored.items()]
    return helper.make_graph(_nodes(weights), "sinrnn", inputs, outputs, arrays)


def _nodes(weights: dict[str, Tensor]) -> "list[onnx.NodeProto]":
    """Return the nodes: x and h0 with time first, the RNN, its last state, the readout."""
    from onnx.helper import make_node

    H = weights["R"].shape[1]
    cell = ["steps", "W", "R", "B" if "B" in weights else "", "", "first"]
    readout = ["h_n", "Who", "bo"] if "bo" in weights else ["h_n", "Who"]
    return [
        # layout=1 (batch first) would need no Transpose, but ONNX Runtime does not support it.
        make_node("Transpose", ["x"], ["steps"], perm=[1, 0, 2]),
        make_node("Unsqueeze", ["h0", "axis"], ["first"]),
        make_node("RNN", cell, ["", "last"], hidden_size=H, activations=["Tanh"]),
        make_node("Squeeze", ["last", "axis"], ["h_n"]),
        make_node("Gemm", readout, ["y"], transB=1),
    ]


def _weights(predictor: Predictor) -> dict[str, Tensor]:
    """Return the weights in float32 as the nodes need them, with mean and scale folded in."""
    found = {n: weight.cpu().double() for n, weight in predictor.net.content()[0].items()}
    if predictor.standardise:
        mean, scale = predictor.mean.cpu(), predictor.scale.cpu()
        zero = {"bh": torch.zeros_like(found["Whh"][0]), "bo": torch.zeros_like(found["Who"][:, 0])}
        found = zero | found
        found["Wih"] = found["Wih"] / scale
        found["bh"] = found["bh"] - found["Wih"].sum(1) * mean
        found["Who"], found["bo"] = found["Who"] * scale, found["bo"] * scale + mean
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


def save(predictor: Predictor | SinRNN, path: str | Path) -> None:
    """Write a network to one ONNX file.

    A predictor with a window that is not stateful was trained to start each window from zeros: give
    it whole windows, (batch, window, D).

    Args:
        predictor: See `model`.
        path: The file, usually .onnx; an existing one is replaced.

    Raises:
        ImportError: onnx is not installed.
        ValueError: As `model`.
        OSError: The file cannot be written; an existing one is unchanged.

    Example:
        One sample at a time, without torch:

        >>> import numpy as np, onnxruntime
        >>> from sinrnn import SinRNN
        >>> from sinrnn.forecasting import onnx
        >>> onnx.save(SinRNN(hidden_size=50), "wave.onnx")
        >>> session = onnxruntime.InferenceSession("wave.onnx")
        >>> h = np.zeros((1, 50), np.float32)
        >>> for sample in np.sin(np.arange(100, dtype=np.float32)):
        ...     y, h = session.run(None, {"x": sample.reshape(1, 1, 1), "h0": h})
    """
    made = model(predictor)
    from onnx import checker

    checker.check_model(made, full_check=True)
    write(path, made.SerializeToString())
