"""Export a trained network to ONNX."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from sinrnn.cli.messages import Parser, program, refuse, say
from sinrnn.filesystem import check_other, check_target, filled
from sinrnn.forecasting import onnx
from sinrnn.forecasting.predictor import Predictor
from sinrnn.run_folder import model_file


@program
def main(argv: Sequence[str] | None = None) -> int:
    """Export the network, print what was written, and return the exit status."""
    parser = Parser(description="Export a trained network to ONNX.")
    parser.add_argument("model", help="Folder of a run, or a model.safetensors.")
    parser.add_argument(
        "--onnx", type=Path, help="ONNX file to write (default: model.onnx next to the model)."
    )
    args = parser.parse_args(argv)
    try:
        say(_written(args))
    except (ImportError, ValueError, OSError) as error:
        return refuse(error)
    return 0


def _written(args: argparse.Namespace) -> str:
    """Write the file and return a sentence about it."""
    source = model_file(args.model)
    path: Path = args.onnx or source.parent / "model.onnx"
    predictor = Predictor.load(source)
    net = predictor.net
    check_other("--onnx", path, source, "the model")
    check_target("--onnx", path, ".onnx")
    onnx.save(predictor, path)
    D, H, O = net.input_size, net.hidden_size, net.output_size  # noqa: E741
    kind = str(net.Wih.dtype).removeprefix("torch.")
    rounded = "" if kind == "float32" else f" ({kind} weights are rounded to float32)"
    return filled(
        f"{path}: {path.stat().st_size / 1000:.1f} kB, inputs x (batch, time, {D}) and "
        f"h0 (batch, {H}), outputs y (batch, {O}) and h_n (batch, {H}){rounded}"
    )
