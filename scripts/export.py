"""Export a trained network to ONNX: python scripts/export.py RUN --onnx FILE."""

from sinrnn.cli.start import start

if __name__ == "__main__":
    raise SystemExit(start("export"))
