"""Curves on the disk: metrics.csv and TensorBoard's events, without gap or doubled point."""

import csv
import io
import time
import warnings
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger
from lightning.pytorch.loggers.csv_logs import ExperimentWriter

from sinrnn.filesystem import write


def loggers(folder: Path, step: int | None = None) -> list[Logger]:
    """What a run logs to.

    Args:
        folder: The run's.
        step: Where it goes on from; what was logged beyond is forgotten. None forgets everything.
    """
    where = folder.parent.parent, folder.parent.name, folder.name
    before = [path.name for path in folder.glob("events.out.tfevents.*")]
    _await_turn(before)
    # Flushed so often that a page opened during training moves.
    events = TensorBoardLogger(
        *where,
        default_hp_metric=False,
        flush_secs=2,
        purge_step=None if not before else 0 if step is None else step + 1,
    )
    table = CSVLogger(*where)
    table._experiment = _Table(folder, step)
    return [events, table]


def _await_turn(names: list[str]) -> None:
    """Wait until a new file of events comes last in the order that TensorBoard reads them in.

    That is the order of their names: the second in which each was made, and then the process's
    number, which says nothing.
    """
    now = time.time()
    if any(name.startswith(f"events.out.tfevents.{int(now):010}.") for name in names):
        time.sleep(1 - now % 1)


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
        super().__init__(str(folder))
        path = folder / "metrics.csv"
        text = path.read_text() if path.exists() else ""
        whole = text[: text.rfind("\n") + 1]  # without a row that a crash has cut
        rows = csv.DictReader(whole.splitlines())
        kept = [row for row in rows if step is not None and int(row["step"]) <= step]
        if kept:
            self.metrics_keys = list(kept[0])
            self._replace(kept)
        else:
            path.unlink(missing_ok=True)

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
