"""Times in text: detection of their format and time zone, and conversion to datetime64."""

import re
from contextlib import suppress
from datetime import datetime
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

DATES = (
    *("%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%Y%m%d", "%Y-%m", "%Y/%m", "%Y %b", "%Y-%b", "%Y %B"),
    *("%d.%m.%Y", "%d.%m.%y", "%m.%Y"),
    *("%d/%m/%Y", "%m/%d/%Y", "%d/%m/%y", "%m/%d/%y", "%d-%m-%Y", "%m-%d-%Y", "%m/%Y", "%m-%Y"),
    *("%b %d %Y", "%d %b %Y", "%d-%b-%Y", "%d-%b-%y", "%b %Y", "%b-%Y", "%b-%y", "%b %y"),
    *("%B %d %Y", "%d %B %Y", "%B %Y", "%B-%Y", "%a %b %d %Y", "%A %B %d %Y", "%Y-%b-%d"),
)
CLOCKS = {  # by number of colons
    0: ("",),
    1: (" %H:%M", " %I:%M %p"),
    2: (" %H:%M:%S", " %H:%M:%S.%f", " %I:%M:%S %p"),
}
LONGEST = 40  # characters of a time, at most
QUARTER = re.compile(r"(\d{4})[- ]?Q([1-4])|Q([1-4])[- ](\d{4})", re.IGNORECASE)
WEEK = re.compile(r"(\d{4})-?W(\d{2})")
OFFSET = re.compile(r"\s*(Z|UTC|[+-]\d{2}:?(?:\d{2})?)$")
CLOCK = re.compile(r"\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?( ?[AP]M)?", re.IGNORECASE)

Times = NDArray[Any]  # (rows,), datetime64[us]; NaT if a cell holds no time


def is_time(cell: str) -> bool:
    """Return whether a cell holds a time of a known format."""
    return _is_iso(cell.strip()) or bool(_formats(cell))


def _is_iso(cell: str) -> bool:
    if not re.match(r"\d{4}-\d", cell):
        return bool(QUARTER.fullmatch(cell) or WEEK.fullmatch(cell))
    with suppress(ValueError):
        return bool(datetime.fromisoformat(cell))
    return False


@lru_cache(maxsize=4096)
def _formats(cell: str) -> tuple[str, ...]:
    """Return the formats that fit a cell."""
    found = list[str]()
    cell = _spaced(cell)
    if len(cell) > LONGEST or not re.search(r"\d", cell):
        return ()
    for form in (date + clock for date in DATES for clock in CLOCKS.get(cell.count(":"), ())):
        with suppress(ValueError):
            datetime.strptime(cell, form)
            found.append(form)
    return tuple(found)


def _spaced(cell: str) -> str:
    """Replace commas, a T before the clock and double spaces by one space."""
    return " ".join(re.sub(r"(\d)T(\d)", r"\1 \2", cell).replace(",", " ").split())


def parse(cells: Any) -> list[tuple[Times, str]]:
    """Return the possible readings of a column of times, the likeliest first, with their zones.

    A zone is "" for none, or an offset like "+01:00". If offsets change, as with daylight saving
    time, the first reading is in UTC and the second in local time. Dates like 1/2/2000 have two
    readings, unless a day above 12 shows which number is the month. If no format fits, the readings
    hold NaT.
    """
    import pandas as pd

    text = cells if isinstance(cells, pd.Series) else pd.Series(cells, dtype=object)
    head = next((cell for cell in text if cell.strip()), "")
    if head != head.strip():
        text, head = text.str.strip(), head.strip()
    if QUARTER.fullmatch(head) or WEEK.fullmatch(head):
        return [(_of_parts(text), "")]
    if re.match(r"\d{4}-\d\d", head):
        offsets = text.str.extract(OFFSET.pattern)[0] if OFFSET.search(head[10:]) else None
        wall = text if offsets is None else text.str.replace(OFFSET, "", regex=True)
        found = _us(pd.to_datetime(wall, format="ISO8601", errors="coerce"))
        if offsets is None or offsets.isna().any():
            return [(found, "")]
        zones = {_zone(offset) for offset in offsets.unique()}
        if len(zones) == 1:
            return [(found, zones.pop())]
        return [(_us(pd.to_datetime(text, format="ISO8601", utc=True)), "+00:00"), (found, "")]
    text = text.map(_spaced)
    readings = [_us(pd.to_datetime(text, format=f, errors="coerce")) for f in _formats(head)]
    readings.sort(key=lambda times: int(np.isnat(times).sum()))  # stable
    return [(times, "") for times in readings]


def of_pandas(times: Any) -> list[tuple[Times, str]]:
    """Return the readings of a pandas Series of times: in UTC, and in local time."""
    if times.dt.tz is None:
        return [(_us(times), "")]
    wall = _us(times.dt.tz_localize(None))
    return [(_us(times), _name(times.dt.tz)), (wall, "")]


def _name(zone: Any) -> str:
    """Return the zone as `TimeIndex` has it: its name, or "+00:00" for UTC."""
    name = str(zone)
    return "+00:00" if name == "UTC" else name


def _zone(offset: str) -> str:
    if offset in ("Z", "UTC"):
        return "+00:00"
    return f"{offset[:3]}:{offset[-2:] if offset[3:] else '00'}"


def _us(times: Any) -> Times:
    """Convert pandas times to datetime64[us], in UTC if they have a zone."""
    found = times if times.dt.tz is None else times.dt.tz_convert(None)
    array: Times = found.to_numpy().astype("datetime64[us]")
    return array


def _of_parts(text: Any) -> Times:
    """Convert quarters to their first day, and weeks to their Monday."""
    found = np.full(len(text), np.datetime64("NaT"), dtype="datetime64[us]")
    for row, cell in enumerate(text):
        if quarter := QUARTER.fullmatch(cell):
            a, b, c, d = quarter.groups()
            found[row] = np.datetime64(f"{a or d}-{3 * int(b or c) - 2:02}-01")
        elif week := WEEK.fullmatch(cell):
            with suppress(ValueError):
                found[row] = datetime.fromisocalendar(int(week[1]), int(week[2]), 1)
    return found
