"""Rows in the order of their times: turned round, refused, or filled where some are missing."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sinrnn.data.time_index import (
    DAY,
    Step,
    TimeIndex,
    by_the_clock,
    going_on,
    indexed,
    span,
    steps,
)

Values = NDArray[Any]
MOST_FILLED = 10  # values for each one that there is


class TooManyError(ValueError):
    """To fill the gaps would make a series of hardly anything else."""


@dataclass
class Rows:
    """What is said of a row, by its index, and what to do about it.

    Args:
        at: Gives where a row stands.
        time: Gives its time as it stands there.
        several: Gives what to do where it may be of another series.
        gaps: What to do about gaps.
    """

    at: Callable[[int], str]
    time: Callable[[int], str]
    several: Callable[[int], str]
    gaps: str


def is_regular(times: Values) -> bool:
    """Whether times rise, or fall, in even steps."""
    times = times[::-1] if len(times) and times[-1] < times[0] else times
    if len(times) < 2 or (times[1:] <= times[:-1]).any():
        return False
    _, count = steps(times)
    return count is not None and bool((count == 1).all())


def clearest(readings: list[tuple[Values, str]]) -> tuple[Values, str] | None:
    """The reading of a column of times that is right; None where that is open.

    Args:
        readings: As `_dates.parse` gives them, the first without a missing time.
    """
    whole = [reading for reading in readings if not np.isnan(reading[0]).any()]
    regular = [reading for reading in whole if is_regular(reading[0])]
    (times, zone), *others = whole
    if zone and others:  # days are those on the wall, hours are UTC's
        days = len(times) > 1 and abs(np.median(np.diff(times).astype(int))) > 0.9 * DAY.astype(int)
        return others[0] if days and is_regular(others[0][0]) else (times, zone)
    if all((times == other).all() for other, _ in others):
        return times, zone
    return regular[0] if len(regular) == 1 else None


def settle(
    times: Values, zone: str, values: Values, gaps: str, rows: Rows
) -> tuple[Values, TimeIndex, list[str]]:
    """Put values in the order of their times.

    Args:
        times: When each row was, (rows,), as `TimeIndex` has them.
        zone: As `TimeIndex` has it.
        values: The rows' values, (rows,); nan where one is missing and is to be filled.
        gaps: "refuse", "fill" or "ignore".
        rows: What is said of a row.

    Returns:
        The values, their times, and what was done, in sentences.

    Raises:
        ValueError: Times come twice or go back; or there are gaps, which are to be refused.
    """
    order, notes = np.arange(len(times)), []
    if (times[1:] < times[:-1]).sum() > (times[1:] > times[:-1]).sum():
        times, values, order = times[::-1].copy(), values[::-1].copy(), order[::-1]
        notes.append("the newest row comes first: the series is turned round")
    local = times.dtype.kind == "M" and not zone and not is_regular(times) and by_the_clock(times)
    if local:
        times, zone = local
        notes.append(f"clocks are changed for daylight saving as in {zone}")
    _refuse_disorder(times, order, rows)
    if len(times) < 2:
        return values, TimeIndex(times, None, zone), notes
    step, count = steps(times)
    if not step.leap:
        notes.append("no year has a 29 February: years of 365 days")
    wrong = count != 1 if count is not None else abs(np.diff(times) / step.length - 1) > 0.1
    if not wrong.any() and not np.isnan(values).any():
        return values, TimeIndex(times, step, zone), notes
    told = ""
    if wrong.any():
        told = _told(times, step, count, wrong, order, rows)
        first = int(wrong.argmax()) + 1
        if gaps == "refuse":
            raise ValueError(f"{rows.at(order[first])}: {told}: {rows.gaps}")
        if gaps == "ignore":
            notes.append(f"gaps are ignored: {told}")
            return values, indexed(times, zone), notes
        told = f": {told}"
    times, values, filled = _filled(times, step, count, values)
    notes.append(f"values interpolated: {filled:,} of {len(values):,}{told}")
    return values, TimeIndex(times, step, zone), notes


def _refuse_disorder(times: Values, order: Values, rows: Rows) -> None:
    wrong = times[1:] <= times[:-1]
    if not wrong.any():
        return
    # The rows as the file has them, one after the other.
    row, before = int(wrong.argmax()) + 1, int(wrong.argmax())
    if len(order) > 1 and order[0] > order[1]:
        later = len(times) - 1 - int(wrong[::-1].argmax())
        row, before = later - 1, later
    here, there = rows.time(order[row]), rows.time(order[before])
    told = f"the time goes from {there} to {here}"
    if times[row] == times[before]:
        told = f"the time {here} comes again"
    raise ValueError(f"{rows.at(order[row])}: {told}: {rows.several(order[row])}")


def _told(
    times: Values, step: Step, count: Values | None, wrong: Values, order: Values, rows: Rows
) -> str:
    """What the first gap is, and how many there are."""
    first, places = int(wrong.argmax()), int(wrong.sum())
    gap = times[first + 1] - times[first]
    between = span(gap.astype(int)) if times.dtype.kind == "M" else f"{gap:.6g}"
    here, there = rows.time(order[first + 1]), rows.time(order[first])
    told = f"{here} comes {between} after {there}, where the step is {step}"
    if count is None:
        uneven = "the only uneven step" if places == 1 else f"the first of {places:,} uneven steps"
        return f"{told}, {uneven}"
    missing = int((count - 1).sum())
    gaps = "the only gap" if places == 1 else f"the first of {places:,} gaps"
    return f"{told}, {gaps} ({missing:,} missing in all)"


def _filled(
    times: Values, step: Step, count: Values | None, values: Values
) -> tuple[Values, Values, int]:
    """Times in even steps, their values, and how many of them are interpolated linearly."""
    since, found = times - times[0], ~np.isnan(values)
    total = int(since[-1] / step.length if count is None else count.sum()) + 1
    if total > MOST_FILLED * len(times):
        raise TooManyError(
            f"to fill the gaps makes {total:,} values of {len(times):,}: ignore the gaps, or take "
            "a part of the series"
        )
    if count is None:
        even = times[0] + np.arange(total) * step.length
        at, now = since.astype(np.float64), (even - times[0]).astype(np.float64)
    else:
        even = np.concatenate([times[:1], going_on(times[0], step, total - 1)])
        at, now = np.concatenate([[0], np.cumsum(count)]), np.arange(total)
    known = int(np.isin(now, at[found]).sum())
    filled = np.interp(now, at[found], values[found]).astype(values.dtype)
    return even, filled, total - known


def fill(values: Values) -> tuple[Values, list[str]]:
    """Values without times, and those that are missing interpolated linearly.

    Args:
        values: (points,), the first and the last not missing.
    """
    found, at = ~np.isnan(values), np.arange(len(values))
    missing = len(values) - int(found.sum())
    if not missing:
        return values, []
    filled = np.interp(at, at[found], values[found]).astype(values.dtype)
    return filled, [f"values interpolated: {missing:,} of {len(values):,}"]
