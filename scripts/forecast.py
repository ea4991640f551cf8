"""Go on where a series ends: python scripts/forecast.py RUN --steps 50."""

from sinrnn.cli.forecast import main

if __name__ == "__main__":
    raise SystemExit(main())
