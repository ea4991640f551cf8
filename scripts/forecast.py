"""Forecast a series: python scripts/forecast.py RUN --steps 50."""

from sinrnn.cli.start import start

if __name__ == "__main__":
    raise SystemExit(start("forecast"))
