"""Values that may not be measurements: codes for missing values, and totals."""

from collections.abc import Callable

import numpy as np

from sinrnn.data._columns import Values

FAR = 3  # a code is farther from all other values than this times their range


def suspects(values: Values, at: Callable[[int], str]) -> list[str]:
    """Return warnings about suspicious values.

    Args:
        values: The values, (rows,); nan if one is missing.
        at: Returns a row's place in the file.
    """
    notes = []
    missing = np.isnan(values)
    known = values[~missing] if missing.any() else values
    for extreme in (known.min(), known.max()) if len(known) > 4 else ():
        others = known != extreme
        count = len(known) - np.count_nonzero(others)
        low = known.min(where=others, initial=np.inf)
        high = known.max(where=others, initial=-np.inf)
        away = low - extreme if extreme < low else extreme - high
        if 2 <= count < len(known) - count and away > FAR * (high - low) > 0:
            row = int((values == extreme).argmax())
            notes.append(
                f"{extreme:g} occurs in {count} rows, first in {at(row)}, far from all other "
                "values: if it marks missing values, clear those cells"
            )
    total, last = known[:-1].sum(), known[-1] if len(known) else 0
    if (
        len(known) > 4
        and last
        and abs(total - last) <= 1e-9 * abs(last)
        and abs(last) > max(abs(known[:-1]))
    ):
        notes.append(
            f"the last row is the sum of all others ({last:g}): if it is a total, remove it"
        )
    return notes
