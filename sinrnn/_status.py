"""A word on what is going on, in a terminal, while nothing else is printed."""

import sys

WIDTH = 12  # columns that a word takes, and gives back


def status(word: str = "") -> None:
    """Show a word in the last line of the terminal, in place of the one before; "" clears it."""
    if sys.stderr.isatty():
        shown = f"{word} ..." if word else ""
        sys.stderr.write(f"\r{shown:{WIDTH}}" + "\r" * (not word))
        sys.stderr.flush()
