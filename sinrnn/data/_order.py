"""Rows in the order of their times: reversed if the newest comes first, gaps refused or filled."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sinrnn.data.time_index import (
    DAY,
    Step,
    TimeIndex,
    continued,
    daylight_saving,
    duration,
    indexed,
    steps,
)

Values = NDArray[Any]
MOST_FILLED = 10  # values after filling, for each value before, at most


class TooManyError(ValueError):
    """Almost all values would be interpolated."""


@dataclass
class Rows:
    """Texts for messages about rows; a row is given by its index.

    Args:
        at: Returns a row's place in the file.
        time: Returns a row's time as written there.
        several: Returns the advice for a row that may belong to another series.
        gaps: The advice for gaps.
    """

    at: Callable[[int], str]
    time: Callable[[int], str]
    several: Callable[[int], str]
    gaps: str


def is_regular(times: Values) -> bool:
    """Return whether times rise, or fall, in even steps."""
    times = times[::-1] if len(times) and times[-1] < times[0] else times
    if len(times) < 2 or (times[1:] <= times[:-1]).any():
        return False
    _, count = steps(times)
    return count is not None and bool((count == 1).all())


def clearest(readings: list[tuple[Values, str]]) -> tuple[Values, str] | None:
    """Return the right one of several readings of a column of times; None if it is ambiguous.

    Args:
        readings: As `_dates.parse` returns them, the first without a missing time.
    """
    whole = [reading for reading in readings if not np.isnan(reading[0]).any()]
    regular = [reading for reading in whole if is_regular(reading[0])]
    (times, zone), *others = whole
    if zone and others:  # days are regular in local time, hours in UTC
        days = len(times) > 1 and abs(np.median(np.diff(times).astype(int))) > 0.9 * DAY.astype(int)
        return others[0] if days and is_regular(others[0][0]) else (times, zone)
    if all((times == other).all() for other, _ in others):
        return times, zone
    return regular[0] if len(regular) == 1 else None


def regularise(
    times: Values, zone: str, values: Values, gaps: str, rows: Rows
) -> tuple[Values, TimeIndex, list[str]]:
    """Put values in the order of their times, and treat gaps.

    Args:
        times: The rows' times, (rows,), as in `TimeIndex`.
        zone: Their zone, as in `TimeIndex`.
        values: The rows' values, (rows,); nan for missing ones to fill.
        gaps: "refuse", "fill" or "ignore".
        rows: Texts for messages.

    Returns:
        The values, their times, and sentences on what was done.

    Raises:
        ValueError: Times occur twice or go back; or there are gaps, and `gaps` is "refuse".
    """
    order, notes = np.arange(len(times)), []
    if (times[1:] < times[:-1]).sum() > (times[1:] > times[:-1]).sum():
        times, values, order = times[::-1].copy(), values[::-1].copy(), order[::-1]
        notes.append("the newest row comes first: the order is reversed")
    if times.dtype.kind == "M" and not zone and not is_regular(times):
        if found := daylight_saving(times):
            times, zone = found
            notes.append(f"times follow daylight saving time as in {zone}")
    _refuse_disorder(times, order, rows)
    if len(times) < 2:
        return values, TimeIndex(times, None, zone), notes
    step, count = steps(times)
    if not step.leap:
        notes.append("no row is of a 29 February: years have 365 days")
    wrong = count != 1 if count is not None else abs(np.diff(times) / step.length - 1) > 0.1
    if not wrong.any() and not np.isnan(values).any():
        return values, TimeIndex(times, step, zone), notes
    gap = ""
    if wrong.any():
        gap = _first_gap(times, step, count, wrong, order, rows)
        first = int(wrong.argmax()) + 1
        if gaps == "refuse":
            raise ValueError(f"{rows.at(order[first])}: {gap}: {rows.gaps}")
        if gaps == "ignore":
            notes.append(f"gaps are ignored: {gap}")
            return values, indexed(times, zone), notes
        gap = f": {gap}"
    times, values, filled = _filled(times, step, count, values)
    notes.append(f"values interpolated: {filled:,} of {len(values):,}{gap}")
    return values, TimeIndex(times, step, zone), notes


def _refuse_disorder(times: Values, order: Values, rows: Rows) -> None:
    wrong = times[1:] <= times[:-1]
    if not wrong.any():
        return
    # Two consecutive rows in the file's order.
    row, before = int(wrong.argmax()) + 1, int(wrong.argmax())
    if len(order) > 1 and order[0] > order[1]:
        later = len(times) - 1 - int(wrong[::-1].argmax())
        row, before = later - 1, later
    here, there = rows.time(order[row]), rows.time(order[before])
    fault = f"the time goes from {there} to {here}"
    if times[row] == times[before]:
        fault = f"the time {here} occurs twice"
    raise ValueError(f"{rows.at(order[row])}: {fault}: {rows.several(order[row])}")


def _first_gap(
    times: Values, step: Step, count: Values | None, wrong: Values, order: Values, rows: Rows
) -> str:
    """Describe the first gap, and count all."""
    first, places = int(wrong.argmax()), int(wrong.sum())
    gap = times[first + 1] - times[first]
    between = duration(gap.astype(int)) if times.dtype.kind == "M" else f"{gap:.6g}"
    here, there = rows.time(order[first + 1]), rows.time(order[first])
    text = f"{here} comes {between} after {there}, but the step is {step}"
    if count is None:
        uneven = "the only uneven step" if places == 1 else f"the first of {places:,} uneven steps"
        return f"{text}, {uneven}"
    missing = int((count - 1).sum())
    gaps = "the only gap" if places == 1 else f"the first of {places:,} gaps"
    return f"{text}, {gaps} ({missing:,} missing in all)"


def _filled(
    times: Values, step: Step, count: Values | None, values: Values
) -> tuple[Values, Values, int]:
    """Return times in even steps, their values, and the number of interpolated ones."""
    since, found = times - times[0], ~np.isnan(values)
    total = int(since[-1] / step.length if count is None else count.sum()) + 1
    if total > MOST_FILLED * len(times):
        raise TooManyError(
            f"filling the gaps would turn {len(times):,} values into {total:,}: ignore the gaps, "
            "or use a part of the series"
        )
    if count is None:
        even = times[0] + np.arange(total) * step.length
        at, now = since.astype(np.float64), (even - times[0]).astype(np.float64)
    else:
        even = np.concatenate([times[:1], continued(times[0], step, total - 1)])
        at, now = np.concatenate([[0], np.cumsum(count)]), np.arange(total)
    known = int(np.isin(now, at[found]).sum())
    filled = np.interp(now, at[found], values[found]).astype(values.dtype)
    return even, filled, total - known


def fill(values: Values) -> tuple[Values, list[str]]:
    """Interpolate missing values linearly, for a series without times; return them with notes.

    Args:
        values: The values, (points,); the first and the last are not missing.
    """
    found = ~np.isnan(values)
    missing = len(values) - np.count_nonzero(found)
    if not missing:
        return values, []
    at = np.arange(len(values))
    filled = np.interp(at, at[found], values[found]).astype(values.dtype)
    return filled, [f"values interpolated: {missing:,} of {len(values):,}"]
