"""Say what is wrong with a finished run, and what to try: python scripts/diagnose.py RUN."""

from sinrnn.cli.start import start

if __name__ == "__main__":
    raise SystemExit(start("diagnose"))
