"""Print the diagnosis of a finished run: python scripts/diagnose.py RUN."""

from sinrnn.cli.start import start

if __name__ == "__main__":
    raise SystemExit(start("diagnose"))
