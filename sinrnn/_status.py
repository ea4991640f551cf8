"""A status word in the terminal, shown while nothing else is printed."""

import sys

WIDTH = 14  # columns of the longest word


def status(word: str = "") -> None:
    """Show a word in the last line of the terminal; "" clears it."""
    if sys.stderr.isatty():
        shown = f"{word} ..." if word else ""
        sys.stderr.write(f"\r{shown:{WIDTH}}" + "\r" * (not word))
        sys.stderr.flush()
