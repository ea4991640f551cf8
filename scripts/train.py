"""Train a network, by default on a sine: python scripts/train.py --help."""

from sinrnn.cli.start import start

if __name__ == "__main__":
    raise SystemExit(start("train"))
