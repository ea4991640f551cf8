"""Say what is wrong with a finished run, and what to try: python scripts/diagnose.py RUN."""

from sinrnn.cli.diagnose import main

if __name__ == "__main__":
    raise SystemExit(main())
