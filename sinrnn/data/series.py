"""Where the numbers come from: a series is one value per time step, in time order."""

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
    """A one-dimensional series: one of your own needs `values` alone.

    Example:
        >>> class Ramp(Series):
        ...     def values(self):
        ...         return torch.arange(6.0)
        >>> Windows(Ramp().values(), window=3).targets
        tensor([3., 4., 5.])

    Attributes:
        index: When the samples were taken; None where that is not known.
        notes: What a user should know of the samples, in sentences.
        names: What the values and the times are called, on the axes of pictures.
    """

    index: "TimeIndex | None" = None
    notes: Sequence[str] = ()
    names: tuple[str, str] = ("value", "time")

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

    The file is read when its values are first asked for. No row is left out, filled in or moved
    without a word: what is not clear is refused with its row and the option that says, and `notes`
    tells what was done. Floats of a .npy file above 1 GB are mapped, not loaded; such a file must
    not change while it is in use, and training stops where it does.

    Args:
        path: The file, as seen from the folder the process was started in. Where there is none,
            configs/sunspots.csv is the one that comes with sinrnn.
        column: Name of the column, or its index from 0. Not needed where there is only one, or
            one beside a column of time.
        time: Name or index of the column of time; null looks for it, and "none" reads no times.
        where: Rows to read of series that stand below each other, like symbol=A.
        gaps: What to do where a time is missing, or a value: "refuse"; "fill" interpolates
            linearly; "ignore" takes the rows as they stand.
        header: Of text, whether the first row holds names; null finds out, or asks.
        decimal: Of text, the mark before decimals; null finds out, or asks.
        thousands: Of text, the mark between thousands; null finds out, or asks.
        separator: Of text, what stands between cells; null finds out, or asks.
        skip_rows: Of text, rows above the names or values; null finds comments and a title.
        encoding: Of text; null is UTF-8, or UTF-16 where the file is marked so.
        max_megabytes: What a compressed file may unpack to.

    Raises:
        ValueError: An option cannot be; when read, the file is not one number for each step.
        OSError: When read, there is no such file, or it may not be read.

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
        self._read: readers.Read | None = None
        self._mapped: tuple[int, ...] | None = None

    def values(self) -> Tensor:
        """All samples, (points,), float32 or float64 as the file has them: a copy, unless mapped.

        Raises:
            ValueError: The file is not one finite number for each step.
            OSError: There is no such file, or it may not be read.
        """
        values = self._found().values
        return values.clone() if self._mapped is None else values

    @property
    def index(self) -> "TimeIndex | None":  # type: ignore[override]  # known when the file is read
        """The samples' times, where the file has a column of them; reads the file."""
        return self._found().index

    @property
    def notes(self) -> Sequence[str]:  # type: ignore[override]
        """What was done to the rows, and what is suspicious, in sentences; reads the file."""
        return self._found().notes

    @property
    def names(self) -> tuple[str, str]:  # type: ignore[override]
        """The names of the columns, where they have any; reads the file."""
        value, time = self._found().names
        return value or "value", time or "time"

    def _found(self) -> readers.Read:
        if self._read is None:
            stamp = self._stamp()
            options = {f.name: getattr(self, f.name) for f in fields(Options)}
            self._read = readers.read(self.path, **options)
            if readers.mapped(self._path()):
                self._mapped = stamp
        return self._read

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
