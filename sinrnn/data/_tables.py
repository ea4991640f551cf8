"""The series of a table: which rows, in which order, and what is suspicious about them."""

import numpy as np

from sinrnn.data import _order
from sinrnn.data._columns import OPTION, PARTS, Options, Table, Values, find, series_of, times_of
from sinrnn.data._suspects import suspects
from sinrnn.data.time_index import TimeIndex

Found = tuple[Values, TimeIndex | None, list[str], tuple[str, str]]
MARKS = {8: "%Y%m%d", 6: "%Y%m"}  # 20240131, by the digits


def series(table: Table, options: Options) -> Found:
    """The values of a table's series, their times, what is to be said of them, and their names.

    Raises:
        ValueError: They are not one number for each step, or it is open which they are.
    """
    time = times_of(table, options)
    k = series_of(table, time, options.column)
    values = table.numeric(k)
    names = _name(table, k), _name(table, time[0]) if time else ""
    rows = np.arange(len(values))
    if options.where is not None:
        rows = _where(table, options.where)
    rows, notes = _between_missing(table, k, values, rows, options)
    notes += suspects(values[rows], lambda i: table.at(rows[i]).rpartition(", ")[2])
    if not time or not len(rows):
        found, filled = _order.fill(values[rows])
        return found, None, table.notes + notes + filled, names
    times, zone = _times(table, time, rows)
    said = _order.Rows(
        at=lambda i: table.at(rows[i]),
        time=lambda i: table.cells(time[0])[rows[i]].strip(),
        several=lambda i: _several(table, [k, *time], rows, i),
        gaps=f"interpolate with {OPTION}gaps fill, or take the rows as they stand with "
        f"{OPTION}gaps ignore",
    )
    try:
        found, index, done = _order.settle(times, zone, values[rows], options.gaps, said)
    except _order.TooManyError as error:
        raise ValueError(f"{table.path}: {error}") from error
    return found, index, table.notes + notes + done, names


def _name(table: Table, column: int) -> str:
    """A column's name; "" where it has none but its index."""
    name = table.names[column].strip()
    return "" if name == str(column) else name


def _where(table: Table, where: str) -> Values:
    """The rows of one series of several.

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
    table: Table, k: int, values: Values, rows: Values, options: Options
) -> tuple[Values, list[str]]:
    """Rows from the first value to the last, where missing ones are to be filled.

    Raises:
        ValueError: A value is missing, and nothing is to be filled.
    """
    missing = np.isnan(values[rows])
    if not missing.any():
        return rows, []
    row = rows[missing.argmax()]
    if options.gaps != "fill" or missing.all():
        raise ValueError(
            f"{table.at(row)}, column {table.label(k)}: fill in the missing value, got "
            f"{table.cells(k)[row][:40]!r} ({int(missing.sum()):,} in all); or interpolate with "
            f"{OPTION}gaps fill"
        )
    known = np.flatnonzero(~missing)
    kept = rows[known[0] : known[-1] + 1]
    if len(kept) == len(rows):
        return rows, []
    return kept, [f"rows without a value at the ends: {len(rows) - len(kept):,} left out"]


def _times(table: Table, time: list[int], rows: Values) -> tuple[Values, str]:
    """When each row was, and the zone of it.

    Raises:
        ValueError: A cell holds no time, or may be two.
    """
    if all(table.kind(j) == "number" for j in time):
        readings = [(_of_numbers(table, time)[rows], "")]
    else:
        readings = [(times[rows], zone) for times, zone in table.times(time)]
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
            f"{table.at(rows[0])}, column {table.label(time[0])}: {cell!r} may begin with the day "
            "or the month: write times as 2000-12-31"
        )
    return found


def _of_numbers(table: Table, time: list[int]) -> Values:
    """Times that are numbers: years, months, days, ... side by side; 20240131; or as they are."""
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
        if len(digits) == 1 and (mark := MARKS.get(digits.pop())):
            import pandas as pd

            text = pd.Series(numbers.astype(np.int64)).astype(str)
            times = pd.to_datetime(text, format=mark, errors="coerce").to_numpy()
            if not np.isnat(times).any():
                return times.astype("datetime64[us]")
    return numbers.astype(np.int64) if whole else numbers


def _several(table: Table, taken: list[int], rows: Values, row: int) -> str:
    """What to do where a time does not follow the one before."""
    for j in range(len(table.names)):
        if j in taken or table.kind(j) not in ("text", "number"):
            continue
        cells = table.cells(j)
        here, before = cells[rows[row]].strip(), cells[rows[row - 1]].strip()
        if here != before and len(set(cells)) <= max(2, len(cells) // 2):
            return (
                f"where several series are mixed, choose one, as by "
                f"{OPTION}where {table.names[j]}={before}"
            )
    return f"put the rows in order, one for each time, or read no times with {OPTION}time none"
