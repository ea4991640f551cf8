"""Curves on the disk: metrics.csv and TensorBoard's events, without gap or doubled point."""

import csv
import hashlib
import io
import os
import warnings
from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger
from lightning.pytorch.loggers.csv_logs import ExperimentWriter

from sinrnn.filesystem import sync_folder, write
from sinrnn.run_folder import METRICS


def loggers(
    folder: Path, step: int | None = None, logged: dict[str, Any] | None = None
) -> list[Logger]:
    """What a run logs to.

    Args:
        folder: The run's.
        step: Where it goes on from; what was logged beyond is forgotten. None forgets everything.
        logged: What the checkpoint there says of the rows of metrics.csv.

    Raises:
        ValueError: Rows of metrics.csv are missing or changed.
    """
    where = folder.parent.parent, folder.parent.name, folder.name
    before = list(folder.glob("events.out.tfevents.*"))
    # Flushed so often that a page opened during training moves.
    events = TensorBoardLogger(
        *where,
        default_hp_metric=False,
        flush_secs=2,
        purge_step=None if not before else 0 if step is None else step + 1,
    )
    table = CSVLogger(*where)
    table._experiment = Table(folder, step, logged)
    return [events, table]


def table_of(trainer: Trainer) -> "Table | None":
    """The table that a run logs to, in the process that does."""
    found = (each.experiment for each in trainer.loggers if isinstance(each, CSVLogger))
    return next((table for table in found if isinstance(table, Table)), None)


def begin(logger: TensorBoardLogger) -> None:
    """Open the file of events: the last that TensorBoard reads, and one that may fail.

    Where it cannot be written, training warns once and goes on without it.
    """
    file = logger.experiment._get_file_writer().event_writer
    file.flush()
    _come_last(file)
    writer = file._async_writer
    forgiving = _Forgiving(writer._writer)
    writer._writer = writer._worker._record_writer = forgiving


def _come_last(file: Any) -> None:
    """Give a file of events a name after all others', in whose order TensorBoard reads them.

    A name holds the second in which the file was made, and clocks may be set back.
    """
    path = Path(file._file_name)
    others = [other for other in path.parent.glob("events.out.tfevents.*") if other != path]
    seconds = [int(part) for other in others if (part := other.name.split(".")[3]).isdecimal()]
    _, _, _, now, rest = path.name.split(".", 4)
    second = max([int(now), *(each + 1 for each in seconds)])
    path = path.rename(path.with_name(f"events.out.tfevents.{second:010}.{rest}"))
    file._file_name, file._general_file_writer.filename = str(path), os.fsencode(path)


class _Forgiving:
    def __init__(self, writer: Any) -> None:
        self.writer, self.broken = writer, False

    def _try(self, name: str, *args: Any) -> None:
        if self.broken:
            return
        try:
            getattr(self.writer, name)(*args)
        except OSError as error:
            self.broken = True
            warnings.warn(
                f"TensorBoard's events cannot be written ({error.strerror or error}); "
                "training goes on without them",
                stacklevel=2,
            )

    def write(self, data: bytes) -> None:
        self._try("write", data)

    def flush(self) -> None:
        self._try("flush")

    def close(self) -> None:
        self._try("close")


class Table(ExperimentWriter):
    """metrics.csv, which a crash never leaves half rewritten, and of which no row gets lost.

    Args:
        folder: The run's.
        step: As in `loggers`.
        logged: As in `loggers`.

    Raises:
        ValueError: Rows are missing or changed.
    """

    def __init__(self, folder: Path, step: int | None, logged: dict[str, Any] | None) -> None:
        super().__init__(str(folder))
        self.rows, self.digest = 0, hashlib.sha256()
        path = folder / METRICS
        if step is None:
            path.unlink(missing_ok=True)
        elif path.exists():
            self._go_on(path, step, logged or self.state())

    def _go_on(self, path: Path, step: int, logged: dict[str, Any]) -> None:
        text = path.read_text(errors="replace")
        whole = text[: text.rfind("\n") + 1]  # without a row that a crash has cut
        try:
            rows = list(csv.DictReader(whole.splitlines()))
        except csv.Error:  # a cell without end
            rows = []
        told = logged.get("rows") if isinstance(logged, dict) else None
        count = told if isinstance(told, int) and told >= 0 else 0
        for row in rows[:count]:
            self._note(row)
        if self.state() != logged:
            differs = f"it has {len(rows)} rows and had {count}"
            if len(rows) >= count:
                differs = f"its first {count} rows differ"
            raise ValueError(
                f"{path} is not as the checkpoint left it: {differs}: restore it, or remove it to "
                "go on without the earlier curve"
            )
        more = [row for row in rows[count:] if _is_within(row, step)]
        for row in more:
            self._note(row)
        if self.rows:
            self.metrics_keys = list(rows[0])
            self._replace(rows[:count] + more)
        else:
            path.unlink()

    def state(self) -> dict[str, Any]:
        """How many rows were logged, and a SHA-256 of them."""
        return {"rows": self.rows, "sha256": self.digest.hexdigest()}

    def _note(self, row: dict[str, Any]) -> None:
        """Count a row, logged or read: its cells, whatever other columns the table has."""
        cells = sorted(f"{name}={value}" for name, value in row.items() if value not in (None, ""))
        self.digest.update(f"{cells}".encode())
        self.rows += 1

    def log_metrics(self, metrics_dict: dict[str, float], step: int | None = None) -> None:
        """Take a row."""
        super().log_metrics(metrics_dict, step)
        self._note(self.metrics[-1])

    def sync(self) -> None:
        """Wait until what was saved is on the disk.

        Raises:
            OSError: It cannot be written there.
        """
        path = Path(self.metrics_file_path)
        if not path.exists():
            return
        try:
            with path.open("rb+") as file:
                os.fsync(file.fileno())
            sync_folder(path.parent)
        except OSError as error:
            raise OSError(
                f"{path} could not be saved ({error.strerror}); what was there is as it was"
            ) from error

    def _check_log_dir_exists(self) -> None:
        """Delete nothing: after a crash the old rows would be lost."""

    def _rewrite_with_new_header(self, fieldnames: list[str]) -> None:
        with Path(self.metrics_file_path).open(newline="") as file:
            rows = list(csv.DictReader(file))
        self._replace(rows)

    def _replace(self, rows: list[dict[str, str]]) -> None:
        text = io.StringIO()
        writer = csv.DictWriter(text, fieldnames=self.metrics_keys)
        writer.writeheader()
        writer.writerows(rows)
        write(self.metrics_file_path, text.getvalue().encode())


def _is_within(row: dict[str, str], step: int) -> bool:
    """Whether a row is of these steps; one that is no row of ours is of none."""
    try:
        return None not in row and int(row["step"]) <= step
    except (KeyError, TypeError, ValueError):
        return False
