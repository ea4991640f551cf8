"""The lines of a text file that hold its table, and the separator of its cells."""

import gzip
import re
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sinrnn.data._cells import kind
from sinrnn.data._columns import OPTION, Options, too_large, unreadable

HEAD = 60  # lines from which the separator is detected
ONE_COMMA = re.compile(r"\s*[+-]?\d*,\d+(e[+-]?\d+)?\s*", re.IGNORECASE)


@dataclass
class Lines:
    """Lines of a file, without comments and skipped rows.

    Args:
        lines: The lines.
        numbers: Their line numbers in the file, from 1.
        separator: The separator of cells.
    """

    lines: list[str]
    numbers: Sequence[int]
    separator: str


def read(path: Path, options: Options) -> Lines:
    """Read the lines of a text file.

    Raises:
        ValueError: The file is not text, empty, or ambiguous.
    """
    text = _decoded(path, options)
    lines = text.split("\n")
    while lines and not lines[-1].strip(" "):
        lines.pop()
    first, separator = options.skip_rows or 0, options.separator
    if options.skip_rows is None and lines:
        excel = re.fullmatch(r'"?sep=([ -~\t])"?', lines[0])
        first, separator = (1, separator or excel[1]) if excel else (0, separator)
    numbers: Sequence[int] = range(first + 1, len(lines) + 1)
    lines = lines[first:]
    if "#" in text:
        kept = [i for i, line in enumerate(lines) if not line.startswith("#")]
        lines, numbers = [lines[i] for i in kept], [numbers[i] for i in kept]
    blank = next((i for i, line in enumerate(lines) if line.strip()), len(lines))
    lines, numbers = lines[blank:], numbers[blank:]
    if not lines:
        raise ValueError(f"{path} is empty")
    separator = separator or _separator(path, lines[:HEAD], numbers, options)
    while len(lines) > 1 and not lines[-1].strip(f" {separator}"):
        lines.pop()  # empty rows, as spreadsheets write them
    if separator == " ":
        lines = [" ".join(line.split()) for line in lines]
    return Lines(lines, numbers, separator)


def _separator(path: Path, head: list[str], numbers: Sequence[int], options: Options) -> str:
    """Return the one of tab, ; , | and space that splits all lines into equally many cells."""
    body = head[-20:]
    commas = [i for i, line in enumerate(head) if "," in line]
    unclear = all(ONE_COMMA.fullmatch(head[i]) for i in commas)
    one = options.decimal != "," and options.column in (None, 0, "0")  # else two columns
    if one and commas and unclear and len(commas) >= len(head) - 1:
        raise ValueError(
            f"{path}, row {numbers[commas[0]]}: {head[commas[0]].strip()!r} may be two columns or "
            f"have a decimal comma: set {OPTION}separator , or {OPTION}decimal ,"
        )
    unquoted = [re.sub(r'"[^"]*"', "", line) for line in body]
    shares = {}
    for mark in "\t;,|"[: 2 if options.decimal == "," else 4]:
        count, share = Counter(line.count(mark) for line in unquoted).most_common(1)[0]
        if count:
            shares[mark] = share
    alike = [mark for mark, share in shares.items() if share == len(unquoted)]
    # If ; or a tab separates, a comma is a decimal mark.
    ends = [re.sub(r'"[^"]*"', "", head[0]), unquoted[-1]]
    cells = [cell for m in alike[:1] for line in ends for cell in line.split(m) if "," in cell]
    texts = [cell for cell in cells if kind(cell) != "number"]
    if alike[1:2] == [";"] or (len(alike) > 1 and texts):
        raise ValueError(
            f"{path}, row {numbers[0]}: {alike[0]!r} or {alike[1]!r} may separate columns: set "
            f"{OPTION}separator"
        )
    if not shares:
        words = [line.split() for line in unquoted[1:] or unquoted]
        numeric = all(kind(word) == "number" for line in words for word in line)
        counts = {*map(len, words)}
        if numeric and len(counts) == 1 and counts != {1}:
            return " "
        return ";" if options.decimal == "," else ","
    return alike[0] if alike else max(shares, key=lambda mark: shares[mark])


def _decoded(path: Path, options: Options) -> str:
    r"""Return the text of a file, with \n as newline.

    Raises:
        ValueError: The encoding is wrong, or the file unpacks to more than max_megabytes.
    """
    packed = path.suffix.lower() == ".gz"
    most = options.max_megabytes * 10**6
    try:
        with gzip.open(path) if packed else path.open("rb") as file:
            data = file.read(most + 1 if packed else -1)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise unreadable(path, "as gzip", error) from error
    if packed and len(data) > most:
        raise too_large(path, f"more than {options.max_megabytes}")
    marked = data[:2] in (b"\xff\xfe", b"\xfe\xff")  # the byte order mark of UTF-16
    try:
        text = data.decode(options.encoding or ("utf-16" if marked else "utf-8-sig"))
    except (UnicodeError, LookupError) as error:
        cure = f"give its encoding, often cp1252, with {OPTION}encoding"
        raise ValueError(
            f"{path} cannot be read as {options.encoding or 'UTF-8'} text ({error}): {cure}"
        ) from error
    return text.replace("\r\n", "\n").replace("\r", "\n")
