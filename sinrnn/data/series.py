"""Where the numbers come from: a series is one value per time step, in time order."""

import hashlib
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sinrnn.data import readers


class Series(ABC):
    """A one-dimensional series: one of your own needs `values` alone.

    Example:
        >>> class Ramp(Series):
        ...     def values(self):
        ...         return torch.arange(6.0)
        >>> Windows(Ramp().values(), window=3).targets
        tensor([3., 4., 5.])
    """

    @abstractmethod
    def values(self) -> Tensor:
        """All samples in time order, (points,)."""

    def continued(self, points: int) -> Tensor:
        """The first `points` samples, beyond the series' end where it is known how it goes on.

        Args:
            points: Samples asked for.

        Returns:
            The samples, (points,), or as many as there are.
        """
        return self.values()[:points]

    def noise_free(self, points: int) -> Tensor:
        """What `continued` gives, without the noise where that is known.

        Args:
            points: Samples asked for.

        Returns:
            The samples, (points,), or as many as there are.
        """
        return self.continued(points)


class FileSeries(Series):
    r"""One column of a local file: .csv, .tsv or .txt (also .gz), .npy, or .parquet.

    The file is read when its values are first asked for. A row that cannot be read is refused, for
    to leave it out would shift time. Arrays of floats in a .npy file are mapped, not loaded.

    Args:
        path: The file, as seen from the folder the process was started in. Where there is none,
            configs/sunspots.csv is the one that comes with sinrnn.
        column: Name of the column, or its index from 0. Not needed where there is only one, or
            one beside a column of time.

    Raises:
        ValueError: The path is empty; when read, the file is not one number for each step.
        OSError: When read, there is no such file, or it may not be read.

    Example:
        >>> from pathlib import Path
        >>> _ = Path("tide.csv").write_text("hour,metres\n0,1.5\n1,2.25\n")
        >>> FileSeries("tide.csv", column="metres").values()
        tensor([1.5000, 2.2500], dtype=torch.float64)
    """

    def __init__(self, path: str | Path, column: str | int | None = None) -> None:
        if not str(path):
            raise ValueError("path must name a file, got ''")
        self.path, self.column = path, column
        self._values: Tensor | None = None

    def values(self) -> Tensor:
        """All samples, (points,), float32 or float64 as the file has them.

        Raises:
            ValueError: The file is not one finite number for each step.
            OSError: There is no such file, or it may not be read.
        """
        if self._values is None:
            self._values = readers.read(self.path, self.column)
        return self._values


def digest(values: Tensor) -> dict[str, Any]:
    """What tells one series from another: points, dtype, and SHA-256 of the values' bytes.

    Args:
        values: The series, (points,); one that maps a file is read in parts.
    """
    found = hashlib.sha256()
    for part in values.detach().split(readers.CHUNK):
        found.update(part.cpu().contiguous().view(torch.uint8).numpy().data)
    dtype = str(values.dtype).removeprefix("torch.")
    return {"points": len(values), "dtype": dtype, "sha256": found.hexdigest()}
