"""The series of a table: its rows in time order, and notes about them."""

import numpy as np

from sinrnn.data import _order
from sinrnn.data._columns import OPTION, PARTS, Options, Table, Values, find, series_of, times_of
from sinrnn.data._suspects import suspects
from sinrnn.data.time_index import TimeIndex

# Values, their times, notes, names of the columns of values and of times.
SeriesData = tuple[Values, TimeIndex | None, list[str], tuple[str, str]]
Rows = range | Values  # indices in the file; a range takes no memory
FORMATS = {8: "%Y%m%d", 6: "%Y%m"}  # of times like 20240131, by number of digits


def series(table: Table, options: Options) -> SeriesData:
    """Return the values of a table's series, their times, notes, and names.

    Raises:
        ValueError: The table is not one number for each step, or is ambiguous.
    """
    time = times_of(table, options)
    k = series_of(table, time, options.column)
    values = table.numeric(k)
    names = _name(table, k), _name(table, time[0]) if time else ""
    rows: Rows = range(len(values))  # of the values
    if options.where is not None:
        rows = _where(table, options.where)
        values = values[rows]
    kept, notes = _between_missing(table, k, values, rows, options)
    values, rows = values[kept], rows[kept]
    notes += suspects(values, lambda i: table.at(rows[i]).rpartition(", ")[2])
    if not time or not len(rows):
        found, filled = _order.fill(values)
        return found, None, table.notes + notes + filled, names
    times, zone = _times(table, time, rows)
    texts = _order.Rows(
        at=lambda i: table.at(rows[i]),
        time=lambda i: table.cells(time[0])[rows[i]].strip(),
        several=lambda i: _several(table, [k, *time], rows, i),
        gaps=f"interpolate with {OPTION}gaps fill, or ignore them with {OPTION}gaps ignore",
    )
    try:
        found, index, done = _order.regularise(times, zone, values, options.gaps, texts)
    except _order.TooManyError as error:
        raise ValueError(f"{table.path}: {error}") from error
    return found, index, table.notes + notes + done, names


def _name(table: Table, column: int) -> str:
    """A column's name; "" where it has none but its index."""
    name = table.names[column].strip()
    return "" if name == str(column) else name


def _where(table: Table, where: str) -> Values:
    """Return the rows of one of several stacked series.

    Raises:
        ValueError: There are none.
    """
    column, equals, value = where.partition("=")
    if not equals:
        raise ValueError(f"where must be like symbol=A, got {where!r}")
    j = find(table.path, table.names, column.strip(), "where")
    cells = [cell.strip() for cell in table.cells(j)]
    rows = np.flatnonzero(np.array(cells) == value.strip())
    if not len(rows):
        found = list(dict.fromkeys(cells))
        some = ", ".join(found[:10] + ["..."] * (len(found) > 10))
        raise ValueError(f"{table.path}: no row has {where}, column {table.label(j)} holds {some}")
    return rows


def _between_missing(
    table: Table, k: int, values: Values, rows: Rows, options: Options
) -> tuple[slice, list[str]]:
    """Return which rows to keep, those from the first value to the last, and notes.

    Raises:
        ValueError: A value is missing, and `gaps` is not "fill".
    """
    missing = np.isnan(values)
    if not missing.any():
        return slice(None), []
    row = rows[missing.argmax()]
    if options.gaps != "fill" or missing.all():
        raise ValueError(
            f"{table.at(row)}, column {table.label(k)}: the value is missing, got "
            f"{table.cells(k)[row][:40]!r} ({int(missing.sum()):,} in all): fill it in, or "
            f"interpolate with {OPTION}gaps fill"
        )
    known = np.flatnonzero(~missing)
    first, last = int(known[0]), int(known[-1]) + 1
    skipped = len(rows) - (last - first)
    notes = [f"rows without a value at the ends: {skipped:,} skipped"] if skipped else []
    return slice(first, last), notes


def _times(table: Table, time: list[int], rows: Rows) -> tuple[Values, str]:
    """Return the rows' times and their zone.

    Raises:
        ValueError: A cell holds no time, or is ambiguous.
    """
    taken = slice(rows.start, rows.stop) if isinstance(rows, range) else rows
    if all(table.kind(j) == "number" for j in time):
        readings = [(_of_numbers(table, time)[taken], "")]
    else:
        readings = [(times[taken], zone) for times, zone in table.times(time)]
    first = readings[0][0] if readings else np.full(len(rows), np.nan)
    if (wrong := np.isnan(first)).any():
        row = rows[wrong.argmax()]
        raise ValueError(
            f"{table.at(row)}, column {table.label(time[0])}: must be a time like those above or "
            f"2000-12-31, got {table.cells(time[0])[row][:40]!r}: correct it, or remove the row"
        )
    found = _order.clearest(readings)
    if found is None:
        cell = table.cells(time[0])[rows[0]]
        raise ValueError(
            f"{table.at(rows[0])}, column {table.label(time[0])}: {cell!r} may start with the day "
            "or the month: write times as 2000-12-31"
        )
    return found


def _of_numbers(table: Table, time: list[int]) -> Values:
    """Convert numbers to times: columns of year, month, ...; 20240131; or the plain numbers."""
    found = [table.numeric(j) for j in time]
    names = [table.names[j].strip().lower() for j in time]
    if len(time) > 1:
        import pandas as pd

        parts = {part: found[names.index(part)] for part in PARTS if part in names}
        given = pd.DataFrame({"day": np.ones(len(found[0]))} | parts)
        times: Values = pd.to_datetime(given, errors="coerce").to_numpy().astype("datetime64[us]")
        return times
    (numbers,) = found
    whole = np.isfinite(numbers).all() and not (numbers % 1).any() and abs(numbers).max() < 2**53
    if whole and names[0] in ("date", "ds", "time") and len(numbers):
        digits = {len(str(int(x))) for x in (numbers.min(), numbers.max())}
        if len(digits) == 1 and (form := FORMATS.get(digits.pop())):
            import pandas as pd

            text = pd.Series(numbers.astype(np.int64)).astype(str)
            times = pd.to_datetime(text, format=form, errors="coerce").to_numpy()
            if not np.isnat(times).any():
                return times.astype("datetime64[us]")
    return numbers.astype(np.int64) if whole else numbers


def _several(table: Table, taken: list[int], rows: Rows, row: int) -> str:
    """Return the advice for a row whose time does not follow the one before."""
    for j in range(len(table.names)):
        if j in taken or table.kind(j) not in ("text", "number"):
            continue
        cells = table.cells(j)
        here, before = cells[rows[row]].strip(), cells[rows[row - 1]].strip()
        if here != before and len(set(cells)) <= max(2, len(cells) // 2):
            return (
                "if the file mixes several series, choose one, for example with "
                f"{OPTION}where {table.names[j]}={before}"
            )
    return f"sort the rows, one for each time, or ignore the times with {OPTION}time none"
