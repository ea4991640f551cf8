"""python -m sinrnn: what the command sinrnn does."""

from sinrnn.cli.start import main

if __name__ == "__main__":
    raise SystemExit(main())
