"""Values that may be no measurements: a code for a missing one, and a total."""

from collections.abc import Callable

import numpy as np

from sinrnn.data._columns import Values

FAR = 3  # times the range of all others


def suspects(values: Values, at: Callable[[int], str]) -> list[str]:
    """Warnings of a series' values, by row.

    Args:
        values: (rows,); nan where one is missing.
        at: Gives where a row stands.
    """
    notes = []
    known = values[~np.isnan(values)]
    for extreme in (known.min(), known.max()) if len(known) > 4 else ():
        others = known[known != extreme]
        count, spread = len(known) - len(others), np.ptp(others) if len(others) else 0
        away = abs(others - extreme).min() if len(others) else 0
        if 2 <= count < len(others) and away > FAR * spread > 0:
            row = int((values == extreme).argmax())
            notes.append(
                f"{extreme:g} stands in {count} rows, from {at(row)} on, and far from all others: "
                "if it means that there is no value, clear those cells"
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
