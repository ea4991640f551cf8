"""Series, the base class: one value per time step, in time order; and FileSeries."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from sinrnn._numbers import plain
from sinrnn.data import readers
from sinrnn.data._columns import Options
from sinrnn.filesystem import shipped

if TYPE_CHECKING:
    from sinrnn.data.time_index import TimeIndex


class Series(ABC):
    """A one-dimensional series. A subclass only needs `values`.

    Example:
        >>> class Ramp(Series):
        ...     def values(self):
        ...         return torch.arange(6.0)
        >>> Windows(Ramp().values(), window=3).targets
        tensor([3., 4., 5.])

    Attributes:
        index: The samples' times; None if they are not known.
        notes: Sentences on how the samples were read.
        names: Of the values and of the times, for the axes of pictures.
    """

    index: "TimeIndex | None" = None
    notes: Sequence[str] = ()
    names: tuple[str, str] = ("value", "time")

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, plain(value))  # a config stores the arguments

    @abstractmethod
    def values(self) -> Tensor:
        """Return all samples in time order, (points,)."""

    def view(self) -> Tensor:
        """Return the samples without a copy; they must not be changed."""
        return self.values()

    def continued(self, points: int) -> Tensor:
        """Return the first `points` samples, beyond the series' end if they are known.

        Args:
            points: Number of samples.

        Returns:
            The samples, (points,), or as many as are known; they must not be changed.
        """
        return self.view()[:points]

    def check_unchanged(self) -> None:  # noqa: B027 - most series cannot change
        """Raise an error if the values may have changed; called during training."""

    def noise_free(self, points: int) -> Tensor:
        """Return the samples of `continued` without noise, if it is known."""
        return self.continued(points)


class FileSeries(Series):
    r"""One column of a local file: .csv, .tsv or .txt (also .gz), .npy, or .parquet.

    The file is read when its values are first needed. No row is skipped, filled in or moved without
    a sentence in `notes`. Ambiguous content is an error that names the row and the option to set.
    Floats of a .npy file above 1 GB are memory-mapped; training stops if such a file changes.

    Args:
        path: The file, relative to the working directory. configs/sunspots.csv is the file that
            comes with sinrnn, if no file has this path.
        column: Name of the column, or its index from 0; not needed if the file has only one column
            of numbers besides its times.
        time: Name or index of the column of times; null detects it, "none" ignores times.
        where: The rows of one of several stacked series, for example symbol=A.
        gaps: Treatment of missing times or values: "refuse" is an error, "fill" interpolates
            linearly, "ignore" keeps the rows without regard to missing times.
        header: Text files: whether the first row holds names; null detects it.
        decimal: Text files: the decimal mark; null detects it.
        thousands: Text files: the thousands mark; null detects it.
        separator: Text files: the separator of cells; null detects it.
        skip_rows: Text files: rows to skip above names or values; null detects comments and titles.
        encoding: Text files: the encoding; null is UTF-8, or UTF-16 with a byte order mark.
        max_megabytes: Size that a compressed file may unpack to.

    Raises:
        ValueError: An option is invalid; when read, the file is not one number for each step.
        OSError: When read, the file does not exist or cannot be read.

    Example:
        >>> from pathlib import Path
        >>> _ = Path("tide.csv").write_text("hour,metres\n0,1.5\n1,2.25\n2,2.5\n")
        >>> FileSeries("tide.csv", column="metres").values()
        tensor([1.5000, 2.2500, 2.5000], dtype=torch.float64)
    """

    def __init__(
        self,
        path: str | Path,
        column: str | int | None = None,
        time: str | int | None = None,
        where: str | None = None,
        gaps: Literal["refuse", "fill", "ignore"] = "refuse",
        header: bool | None = None,
        decimal: Literal[".", ","] | None = None,
        thousands: str | None = None,
        separator: str | None = None,
        skip_rows: int | None = None,
        encoding: str | None = None,
        max_megabytes: int = 200,
    ) -> None:
        if not str(path):
            raise ValueError("path must name a file, got ''")
        if max_megabytes < 1:
            raise ValueError(f"max_megabytes must be at least 1, got {max_megabytes}")
        if gaps not in ("refuse", "fill", "ignore"):
            raise ValueError(f"gaps must be refuse, fill or ignore, got {gaps!r}")
        if skip_rows is not None and skip_rows < 0:
            raise ValueError(f"skip_rows must be at least 0, got {skip_rows}")
        for name, mark in {"separator": separator, "thousands": thousands}.items():
            if mark is not None and (len(mark) != 1 or mark in '"\r\n'):
                raise ValueError(f"{name} must be one character, got {mark!r}")
        if separator is not None and not separator.isascii():
            raise ValueError(f"separator must be an ASCII character, got {separator!r}")
        if decimal not in (None, ".", ","):
            raise ValueError(f"decimal must be . or , got {decimal!r}")
        if decimal is not None and decimal == thousands:
            raise ValueError(f"decimal and thousands must differ, got {decimal!r} for both")
        self.path, self.column, self.time, self.where, self.gaps = path, column, time, where, gaps
        self.header, self.decimal, self.thousands = header, decimal, thousands
        self.separator, self.skip_rows, self.encoding = separator, skip_rows, encoding
        self.max_megabytes = max_megabytes
        self._content: readers.FileContent | None = None
        self._mapped: tuple[int, ...] | None = None

    def values(self) -> Tensor:
        """Return all samples, (points,), float32 or float64; a copy, unless memory-mapped.

        Raises:
            ValueError: The file is not one finite number for each step.
            OSError: The file does not exist or cannot be read.
        """
        values = self.view()
        return values.clone() if self._mapped is None else values

    def view(self) -> Tensor:
        """Return the samples without a copy, with the errors of `values`."""
        return self._read().values

    @property
    def index(self) -> "TimeIndex | None":  # type: ignore[override]  # known when the file is read
        """The samples' times, or None; reads the file."""
        return self._read().index

    @property
    def notes(self) -> Sequence[str]:  # type: ignore[override]
        """Sentences on what was done to the rows and on suspicious values; reads the file."""
        return self._read().notes

    @property
    def names(self) -> tuple[str, str]:  # type: ignore[override]
        """The names of the file's columns, or "value" and "time" without; reads the file."""
        value, time = self._read().names
        return value or "value", time or "time"

    def _read(self) -> readers.FileContent:
        if self._content is None:
            stamp = self._stamp()
            options = {f.name: getattr(self, f.name) for f in fields(Options)}
            self._content = readers.read(self.path, **options)
            if readers.mapped(self._path()):
                self._mapped = stamp
        return self._content

    def check_unchanged(self) -> None:
        """Raise an error if a memory-mapped file has changed since it was read.

        Raises:
            ValueError: Its size, modification time or inode differs.
        """
        if self._mapped is not None and self._stamp() != self._mapped:
            raise ValueError(
                f"{self.path} has changed during training: start a new run, and do not modify the "
                "file until it ends"
            )

    def _path(self) -> Path:
        return Path(shipped(str(self.path)))

    def _stamp(self) -> tuple[int, ...] | None:
        """Return the file's size, modification time and inode; None if it does not exist."""
        try:
            found = self._path().stat()
        except OSError:
            return None
        return found.st_size, found.st_mtime_ns, found.st_ino


def digest(values: Tensor) -> dict[str, Any]:
    """Return what identifies a series: points, dtype, and the SHA-256 of its bytes.

    Args:
        values: The series, (points,); it is read in parts, as it may be memory-mapped.
    """
    found = hashlib.sha256()
    for part in values.detach().split(readers.CHUNK):
        found.update(part.cpu().contiguous().view(torch.uint8).numpy().data)
    dtype = str(values.dtype).removeprefix("torch.")
    return {"points": len(values), "dtype": dtype, "sha256": found.hexdigest()}
