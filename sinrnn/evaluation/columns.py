"""Tables of text for the terminal and for notebooks."""

import html
from collections.abc import Sequence

from sinrnn.filesystem import escaped


def text(rows: Sequence[Sequence[str]]) -> str:
    """Return rows as aligned text; the first row is the head, above a rule."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    return "\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:]])


def as_html(rows: Sequence[Sequence[str]]) -> str:
    """Return rows as an HTML table; the first row is the head."""
    head, *body = (
        "".join(f"<{tag}>{html.escape(escaped(cell))}</{tag}>" for cell in row)
        for tag, row in [("th", rows[0]), *(("td", row) for row in rows[1:])]
    )
    lines = "".join(f"<tr>{row}</tr>" for row in body)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table>"
