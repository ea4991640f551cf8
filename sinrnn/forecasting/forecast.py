"""A forecast: a trained network goes on where a series ends."""

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
    """Predictions of what follows a series, with intervals.

    Args:
        start: Index in the series of the first prediction.
        read: The last values of the series, which the network has read, (T,).
        prediction: In the series' units, (steps,).
        lower: Lower ends of the intervals that hold 90 % of what comes, (steps,); nan where none is
            known: further ahead than they were measured.
        upper: Upper ends, likewise.
        coverage: Share of the test split's samples that such intervals held, (steps,); nan where
            that is not known.
        cautions: A sentence for each reason not to believe it.
        past: When the samples of the series were taken; None where that is not known.

    Example:
        >>> import torch
        >>> nan = float("nan")
        >>> lower, upper = torch.tensor([0.5, nan]), torch.tensor([1.5, nan])
        >>> made = Forecast(60, torch.zeros(4), torch.tensor([1.0, 2.0]), lower, upper)
        >>> made.to_csv("forecast.csv")
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
        """Times of the predictions, (steps,); None where the series has none in even steps."""
        return None if self.past is None else self.past.after(len(self.prediction))

    @property
    def held(self) -> float | None:
        """Share of the test split's samples that the intervals held, over the steps that have them.

        None where that is not known.
        """
        known = torch.zeros(0) if self.coverage is None else self.coverage[self.lower.isfinite()]
        return known.mean().item() if len(known) and known.isfinite().all() else None

    def to_pandas(self) -> "pd.DataFrame":
        """A table of one row a step: time, or else index, and prediction, lower, upper."""
        import pandas as pd

        step = {"index": self.index} if self.time is None else {"time": self._pandas_time()}
        numbers = {name: getattr(self, name).numpy() for name in COLUMNS}
        return pd.DataFrame(step | numbers)

    def _pandas_time(self) -> Any:
        """The times as pandas has them, with their zone."""
        import pandas as pd

        time, zone = self.time, self.past.zone if self.past else ""
        if not zone:
            return time
        from_utc = zone[0] not in "+-"
        return pd.DatetimeIndex(time).tz_localize("UTC" if from_utc else zone).tz_convert(zone)

    def to_csv(self, path: str | Path) -> None:
        """Write one line a step: index, time where it is known, prediction, lower, upper.

        The last two are empty where they are not known.

        Args:
            path: The file; what was there is replaced.

        Raises:
            OSError: The file cannot be written; what was there is as it was.
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


def stretched(known: Tensor, made: Tensor) -> Tensor:
    """Numbers by step, (K,), for predictions (steps,); nan where none is known, or it is inf."""
    found = torch.full_like(made, math.nan)
    found[: len(known)] = known[: len(made)].where(known[: len(made)].isfinite(), math.nan)
    return found
