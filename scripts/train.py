"""Train a sine network, or whatever --config says: python scripts/train.py --help."""

from sinrnn.cli.train import main

if __name__ == "__main__":
    raise SystemExit(main())
