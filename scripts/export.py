"""A trained network for other programs: python scripts/export.py RUN --onnx FILE."""

from sinrnn.cli.start import start

if __name__ == "__main__":
    raise SystemExit(start("export"))
