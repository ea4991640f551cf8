"""Curves on the disk: metrics.csv and TensorBoard's events, without gap or doubled point."""

import csv
import io
import warnings
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger
from lightning.pytorch.loggers.csv_logs import ExperimentWriter

from sinrnn.checkpoint import write


def loggers(folder: Path, step: int | None = None) -> list[Logger]:
    """What a run logs to.

    Args:
        folder: The run's.
        step: Where it goes on from; what was logged beyond is forgotten. None forgets everything.
    """
    where = folder.parent.parent, folder.parent.name, folder.name
    # Flushed so often that a page opened during training moves.
    events = TensorBoardLogger(
        *where,
        default_hp_metric=False,
        flush_secs=2,
        purge_step=None if not any(folder.glob("events.*")) else 0 if step is None else step + 1,
    )
    table = CSVLogger(*where)
    table._experiment = _Table(folder, step)
    return [events, table]


def forgive(logger: TensorBoardLogger) -> None:
    """Let training go on where the events cannot be written: warn once, and write no more."""
    writer = logger.experiment._get_file_writer().event_writer._async_writer
    forgiving = _Forgiving(writer._writer)
    writer._writer = writer._worker._record_writer = forgiving


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


class _Table(ExperimentWriter):
    """metrics.csv, which a crash never leaves half rewritten."""

    def __init__(self, folder: Path, step: int | None) -> None:
        path = folder / "metrics.csv"
        rows = list(csv.reader(path.read_text().splitlines())) if path.exists() else []
        super().__init__(str(folder))  # which deletes it
        head = rows[0] if rows else []
        # A row that a crash has cut is shorter than the head, or belongs to a step to come.
        whole = [dict(zip(head, row, strict=True)) for row in rows[1:] if len(row) == len(head)]
        kept = [row for row in whole if step is not None and int(row["step"]) <= step]
        if kept:
            self.metrics_keys = head
            self._replace(kept)

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
