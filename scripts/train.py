"""Train a sine network, or whatever --config says: python scripts/train.py --help."""

from sinrnn.cli.start import start

if __name__ == "__main__":
    raise SystemExit(start("train"))
