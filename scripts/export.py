"""A trained network for other programs: python scripts/export.py RUN --onnx FILE."""

from sinrnn.cli.export import main

if __name__ == "__main__":
    raise SystemExit(main())
