"""Where the numbers come from: a series is one value per time step, in time order."""

import hashlib
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sinrnn._numbers import plain
from sinrnn.data import readers
from sinrnn.filesystem import shipped


class Series(ABC):
    """A one-dimensional series: one of your own needs `values` alone.

    Example:
        >>> class Ramp(Series):
        ...     def values(self):
        ...         return torch.arange(6.0)
        >>> Windows(Ramp().values(), window=3).targets
        tensor([3., 4., 5.])
    """

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, plain(value))  # what a series is made with goes into a config

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

    def check_unchanged(self) -> None:  # noqa: B027 - most series cannot change
        """Raise where the values that were given may no longer be there; called while training."""

    def noise_free(self, points: int) -> Tensor:
        """What `continued` gives, (points,) or less, without the noise where that is known."""
        return self.continued(points)


class FileSeries(Series):
    r"""One column of a local file: .csv, .tsv or .txt (also .gz), .npy, or .parquet.

    The file is read when its values are first asked for. A row that cannot be read is refused, for
    to leave it out would shift time. Floats of a .npy file above 1 GB are mapped, not loaded; such
    a file must not change while it is in use, and training stops where it does.

    Args:
        path: The file, as seen from the folder the process was started in. Where there is none,
            configs/sunspots.csv is the one that comes with sinrnn.
        column: Name of the column, or its index from 0. Not needed where there is only one, or
            one beside a column of time.
        header: Of text, whether the first row holds names; null finds out, and asks where the row
            is 0, 1, 2, ..., which pandas writes for columns without names.
        max_megabytes: What a compressed file may unpack to.

    Raises:
        ValueError: The path is empty, max_megabytes is below 1; when read, the file is not one
            number for each step.
        OSError: When read, there is no such file, or it may not be read.

    Example:
        >>> from pathlib import Path
        >>> _ = Path("tide.csv").write_text("hour,metres\n0,1.5\n1,2.25\n")
        >>> FileSeries("tide.csv", column="metres").values()
        tensor([1.5000, 2.2500], dtype=torch.float64)
    """

    def __init__(
        self,
        path: str | Path,
        column: str | int | None = None,
        header: bool | None = None,
        max_megabytes: int = readers.UNPACKED,
    ) -> None:
        if not str(path):
            raise ValueError("path must name a file, got ''")
        if max_megabytes < 1:
            raise ValueError(f"max_megabytes must be at least 1, got {max_megabytes}")
        self.path, self.column, self.header = path, column, header
        self.max_megabytes = max_megabytes
        self._values: Tensor | None = None
        self._mapped: tuple[int, ...] | None = None

    def values(self) -> Tensor:
        """All samples, (points,), float32 or float64 as the file has them: a copy, unless mapped.

        Raises:
            ValueError: The file is not one finite number for each step.
            OSError: There is no such file, or it may not be read.
        """
        if self._values is None:
            stamp = self._stamp()
            self._values = readers.read(
                self.path,
                self.column,
                header=self.header,
                max_megabytes=self.max_megabytes,
            )
            if readers.mapped(self._path()):
                self._mapped = stamp
        return self._values.clone() if self._mapped is None else self._values

    def check_unchanged(self) -> None:
        """Raise where a file that is mapped is no longer what it was when it was read.

        Raises:
            ValueError: Its size, time or place on the disk differs.
        """
        if self._mapped is not None and self._stamp() != self._mapped:
            raise ValueError(
                f"{self.path} has changed while it was in use: leave it alone until training ends, "
                "and start a new run"
            )

    def _path(self) -> Path:
        return Path(shipped(str(self.path)))

    def _stamp(self) -> tuple[int, ...] | None:
        """Size, time and place of the file; None where there is none."""
        try:
            found = self._path().stat()
        except OSError:
            return None
        return found.st_size, found.st_mtime_ns, found.st_ino


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
