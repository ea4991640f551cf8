"""Which column of a file is the series, and what is said where that cannot be known."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Column = str | int | None
Values = NDArray[Any]

TIME = {"t", "time", "date", "year", "index"}  # names of columns that are not the series


def chosen(path: Path, names: list[str], column: Column) -> int | None:
    """Index of the column that is asked for, or of the only one; None where that is open."""
    if column is None:
        return 0 if len(names) == 1 else None
    found = [j for j, name in enumerate(names) if str(column) in (name, str(j))]
    if len(found) != 1:
        count = f"{len(found)} columns" if found else "no column"
        raise undecided(path, f"{count} {column!r}", names)
    return found[0]


def beside_time(
    path: Path, names: list[str], numeric: list[int], column: Callable[[int], Values]
) -> int:
    """Index of the one column of numbers beside time, which its name tells, or even steps."""
    time = {j for j in numeric if names[j].lower() in TIME}
    if len(numeric) == 2 and numeric[0] == 0 and 0 not in time:
        with suppress(ValueError):  # a column with gaps is not time
            steps = np.diff(column(0))
            if len(steps) > 1 and steps.min() > 0 and np.ptp(steps) <= 1e-6 * steps.mean():
                time.add(0)
    series = [j for j in numeric if j not in time]
    if len(series) != 1:
        raise undecided(path, f"{len(names)} columns", names)
    return series[0]


def undecided(path: Path, found: str, names: list[str]) -> ValueError:
    """What is said where the file has no such column, or more than one."""
    all_of_them = [str(j) if name == str(j) else f"{j} ({name})" for j, name in enumerate(names)]
    listed = ", ".join(all_of_them[:20] + ["..."] * (len(names) > 20))
    return ValueError(f"{path} has {found}: choose column {listed}")


def too_large(path: Path, megabytes: str) -> ValueError:
    """What is said where a compressed file unpacks to more than it may."""
    return ValueError(
        f"{path} unpacks to {megabytes} MB: if that is right, raise max_megabytes "
        "(--data.series.max_megabytes)"
    )


def unreadable(path: Path, kind: str, error: BaseException) -> ValueError:
    """What is said where the file is not of the kind that its ending says."""
    said = " ".join(str(error).split())
    return ValueError(f"{path} cannot be read {kind}, write it again: {said}")
