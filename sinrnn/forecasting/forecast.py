"""The result of a forecast: predictions with intervals and times, as a table or CSV file."""

import csv
import io
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from sinrnn.data.time_index import TimeIndex
from sinrnn.filesystem import write

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("prediction", "lower", "upper")


@dataclass
class Forecast:
    """Predictions beyond the end of a series, with 90 % prediction intervals.

    Args:
        start: Index in the series of the first prediction.
        read: The last values of the series, which the network has read, (T,).
        prediction: In the series' units, (steps,).
        lower: Lower ends of the intervals, (steps,); nan further ahead than they were measured.
        upper: Upper ends of the intervals, (steps,); nan likewise.
        coverage: Share of the test split's samples within such intervals, (steps,); nan if not
            known.
        cautions: A sentence for each reason to doubt the forecast.
        past: The times of the series' samples; None if they are not known.

    Example:
        >>> import torch
        >>> nan = float("nan")
        >>> lower, upper = torch.tensor([0.5, nan]), torch.tensor([1.5, nan])
        >>> forecast = Forecast(60, torch.zeros(4), torch.tensor([1.0, 2.0]), lower, upper)
        >>> forecast.to_csv("forecast.csv")
    """

    start: int
    read: Tensor
    prediction: Tensor
    lower: Tensor
    upper: Tensor
    coverage: Tensor | None = None
    cautions: tuple[str, ...] = ()
    past: TimeIndex | None = None

    @property
    def index(self) -> range:
        """Indices in the series of the predictions."""
        return range(self.start, self.start + len(self.prediction))

    @property
    def time(self) -> NDArray[Any] | None:
        """Times of the predictions, (steps,); None if the series has no times in even steps."""
        return None if self.past is None else self.past.after(len(self.prediction))

    @property
    def held(self) -> float | None:
        """Mean coverage over the steps that have intervals; None if it is not known."""
        known = torch.zeros(0) if self.coverage is None else self.coverage[self.lower.isfinite()]
        return known.mean().item() if len(known) and known.isfinite().all() else None

    def to_pandas(self) -> "pd.DataFrame":
        """Return a table with one row per step: time (or index), prediction, lower, upper."""
        import pandas as pd

        step = {"index": self.index} if self.time is None else {"time": self._pandas_time()}
        numbers = {name: getattr(self, name).numpy() for name in COLUMNS}
        return pd.DataFrame(step | numbers)

    def _pandas_time(self) -> Any:
        """Return the times as pandas objects, with their zone."""
        import pandas as pd

        time, zone = self.time, self.past.zone if self.past else ""
        if not zone:
            return time
        from_utc = zone[0] not in "+-"
        return pd.DatetimeIndex(time).tz_localize("UTC" if from_utc else zone).tz_convert(zone)

    def to_csv(self, path: str | Path) -> None:
        """Write one line per step: index, time if known, prediction, lower, upper.

        Cells of lower and upper that are not known are empty.

        Args:
            path: The file; an existing one is replaced.

        Raises:
            OSError: The file cannot be written; an existing one is unchanged.
        """
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        columns = {name: getattr(self, name).tolist() for name in COLUMNS}
        if self.past is not None and self.time is not None:
            columns = {"time": self.past.text(self.time)} | columns
        writer.writerow(["index", *columns])
        for index, *cells in zip(self.index, *columns.values(), strict=True):
            writer.writerow([index, *("" if cell != cell else cell for cell in cells)])  # nan
        write(path, text.getvalue().encode())


def by_step(known: Tensor, prediction: Tensor) -> Tensor:
    """Fit numbers by step, (K,), to the length of predictions (steps,); nan if inf or unknown."""
    found = torch.full_like(prediction, math.nan)
    known = known[: len(prediction)]
    found[: len(known)] = known.where(known.isfinite(), math.nan)
    return found
