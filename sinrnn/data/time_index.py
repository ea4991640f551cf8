"""Times of samples: detection of their step, and the times beyond a series' end."""

from dataclasses import dataclass, replace
from datetime import UTC
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

Times = Any  # an NDArray[Any]; NumPy's types do not cover arithmetic with times

DAY = np.timedelta64(1, "D").astype("timedelta64[us]")
TIME_FIELD = "time"  # in a structured array of times and values; the zone follows
JITTER = 0.1  # of a step: deviation within which steps count as even
# Time zones with daylight saving time, one for each rule.
ZONES = (
    *("Europe/Berlin", "America/New_York", "Europe/London", "Europe/Athens", "Australia/Sydney"),
    *("Pacific/Auckland", "America/Santiago"),
)


@dataclass(frozen=True)
class Step:
    """The step between one time and the next.

    Args:
        size: The difference of numbers, or the number of microseconds, weekdays or months.
        unit: "" for numbers; "us", "weekday" or "month".
        day: For months, "1" to "31", "last", "first weekday" or "last weekday".
        leap: Whether there is a 29 February.
    """

    size: Any
    unit: str = ""
    day: str = "1"
    leap: bool = True

    @property
    def length(self) -> Any:
        """The difference of two consecutive times, for numbers and microseconds."""
        return np.timedelta64(self.size, "us") if self.unit else self.size

    def __str__(self) -> str:
        if not self.unit:
            return f"{self.size:.6g}"
        if self.unit != "us":
            years, months = divmod(int(self.size), 12)
            count, unit = (years, "year") if not months else (int(self.size), self.unit)
            return f"{count} {unit}{'s' * (count != 1)}" if self.unit == "month" else "1 weekday"
        return duration(self.size)


def duration(microseconds: Any) -> str:
    """Return a duration in words."""
    seconds = int(microseconds) / 1e6
    for unit, size in {"day": 86400, "hour": 3600, "minute": 60}.items():
        if seconds >= size and (seconds % size == 0 or seconds > 100 * size):
            return f"{seconds / size:.6g} {unit}{'s' * (seconds != size)}"
    return f"{seconds:.6g} s"


@dataclass(frozen=True)
class TimeIndex:
    """The times of a series' samples, and the times after them.

    Args:
        values: Rising times, (points,): numbers, or datetime64[us]; in UTC if zone is a name.
        step: The step between them; None if it is not regular.
        zone: "" for times without a zone, an offset like "+01:00", or a name like "Europe/Berlin"
            for times with daylight saving.

    Example:
        >>> days = np.array(["2024-01-30", "2024-01-31"], dtype="datetime64[us]")
        >>> index = TimeIndex(days, Step(86_400_000_000, "us"))
        >>> index.text(index.after(2))
        ['2024-02-01', '2024-02-02']
    """

    values: Times
    step: Step | None
    zone: str = ""

    def __len__(self) -> int:
        return len(self.values)

    def after(self, count: int) -> Times | None:
        """Return the next times, (count,); None if the step is not regular."""
        return None if self.step is None else continued(self.values[-1], self.step, count)

    def text(self, times: Times) -> list[str]:
        """Format times: 2024, 2024-01-31, 2024-01-31 13:00:00+01:00."""
        if times.dtype.kind != "M":
            return [f"{time:.12g}" if times.dtype.kind == "f" else str(time) for time in times]
        if self.zone[:1] not in ("", "+", "-"):
            zone = ZoneInfo(self.zone)
            return [str(time.replace(tzinfo=UTC).astimezone(zone)) for time in times.tolist()]
        days = not (self.values.astype("datetime64[D]") != self.values).any() and not self.zone
        if days:
            return [str(day) for day in times.astype("datetime64[D]")]
        whole = not (times.astype("datetime64[s]") != times).any()
        found = np.datetime_as_string(times, unit="s" if whole else "us")
        return [time.replace("T", " ") + self.zone for time in found.tolist()]


def indexed(times: Times, zone: str) -> TimeIndex:
    """Return the index of rising times; its step is known although some may be missing."""
    step, count = steps(times) if len(times) > 1 else (None, None)
    return TimeIndex(times, None if count is None else step, zone)


def continued(last: Any, step: Step, count: int) -> Times:
    """Return the times that follow one, (count,)."""
    ahead = np.arange(1, count + 1)
    if not step.unit:
        return last + ahead * step.size
    if step.unit == "weekday":
        days: Times = np.busday_offset(last.astype("datetime64[D]"), ahead, roll="backward")
        return days + (last - last.astype("datetime64[D]"))
    if step.unit == "month":
        return _in_months(last, ahead * step.size, step.day)
    if step.leap:
        return last + ahead * np.timedelta64(step.size, "us")
    per_day = max(1, DAY.astype(int) // step.size)
    more = (count // (365 * per_day) + 2) * per_day  # one day a year: more than the leap days
    found = last + np.arange(1, count + more + 1) * np.timedelta64(step.size, "us")
    return found[~_leap_days(found)][:count]


def _in_months(time: Any, months: Times, day: str) -> Times:
    clock = time - time.astype("datetime64[D]")
    month = time.astype("datetime64[M]") + months
    first = month.astype("datetime64[D]")
    last = (month + 1).astype("datetime64[D]") - 1
    if day == "last":
        found = last
    elif day == "first weekday":
        found = np.busday_offset(first, 0, roll="forward")
    elif day == "last weekday":
        found = np.busday_offset(last, 0, roll="backward")
    else:
        found = np.minimum(first + (int(day) - 1), last)
    return found.astype("datetime64[us]") + clock


def _leap_days(times: Times) -> NDArray[np.bool_]:
    """Return which times are on a 29 February."""
    days, months = times.astype("datetime64[D]"), times.astype("datetime64[M]")
    second = months.astype(int) % 12 == 1
    found: NDArray[np.bool_] = second & ((days - months.astype("datetime64[D]")).astype(int) == 28)
    return found


def steps(times: Times) -> tuple[Step, Times | None]:
    """Return the step of rising times, and the number of steps from each to the next.

    Args:
        times: At least 2 rising times, (points,).

    Returns:
        The step, and whole numbers (points - 1,), or None if times lie between the steps.
    """
    gaps = np.diff(times)
    size = np.sort(gaps)[(len(gaps) - 1) // 2]  # the lower median
    if times.dtype.kind != "M":
        return Step(size), _whole(gaps / size)
    if size >= 28 * DAY and (found := _months(times)) is not None:
        return found
    if size == DAY and (found := _weekdays(times)) is not None:
        return found
    step, count = Step(int(size.astype(int)), "us"), _whole(gaps / size)
    if count is not None and (count > 1).any() and not _leap_days(times).any():
        without = count - np.diff(_leap_days_before(times)) * int(DAY / size)
        if (without == 1).all():
            return replace(step, leap=False), without
    return step, count


def _whole(ratio: Times) -> Times | None:
    count = np.rint(ratio).astype(np.int64)
    return count if (count >= 1).all() and (abs(ratio - count) < JITTER).all() else None


def _leap_days_before(times: Times) -> Times:
    """Return the number of 29 Februaries before each time."""
    months = times.astype("datetime64[M]").astype(int) + 12 * 1970
    year = (months - 2) // 12  # the last year whose February is over
    found: Times = year // 4 - year // 100 + year // 400
    return found


def _months(times: Times) -> tuple[Step, Times] | None:
    month = times.astype("datetime64[M]")
    day = (times.astype("datetime64[D]") - month.astype("datetime64[D]")).astype(int) + 1
    between = np.diff(month.astype(int))
    size = int(np.sort(between)[(len(between) - 1) // 2])
    if size < 1 or (between % size).any() or (between < 1).any():
        return None
    kinds = ["last", str(day.max()), "first weekday", "last weekday"]
    for kind in kinds if (day >= 28).all() else [kinds[1], *kinds]:
        if (_in_months(times[0], month - month[0], kind) == times).all():
            return Step(size, "month", kind), between // size
    return None


def _weekdays(times: Times) -> tuple[Step, Times] | None:
    """Return steps of weekdays if the times skip weekends, else None."""
    days = times.astype("datetime64[D]")
    if not np.is_busday(days).all() or (np.diff(times) % DAY).astype(int).any():
        return None
    count: Times = np.busday_count(days[:-1], days[1:])
    weekends = (count == 1) & (np.diff(days).astype(int) == 3)
    return (Step(1, "weekday"), count) if weekends.any() else None


def daylight_saving(times: Times) -> tuple[Times, str] | None:
    """Return local times in UTC and their zone if they are regular with daylight saving time."""
    import pandas as pd

    for zone in ZONES:
        try:
            utc = pd.DatetimeIndex(times).tz_localize(zone, ambiguous="infer").tz_convert(None)
        except (ValueError, KeyError):  # a skipped hour, or a zone that this system does not know
            continue
        found: Times = utc.to_numpy().astype("datetime64[us]")
        gaps = np.diff(found)
        if len(gaps) and (gaps == gaps[0]).all() and gaps[0].astype(int) > 0:
            return found, zone
    return None
