"""The logger of metrics.csv, which survives crashes and resumes without lost or repeated rows."""

import csv
import hashlib
import io
import os
from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor

from sinrnn.filesystem import sync_folder, write
from sinrnn.run_folder import METRICS


class ResumableCSVLogger(Logger):
    """Logs to metrics.csv in a run's folder.

    Args:
        folder: The run's folder.
        step: The step to resume from. Later rows are removed. None removes all rows.
        logged: The `state` of this logger that the checkpoint of that step holds.

    Raises:
        ValueError: Rows that the checkpoint counts are missing or changed.
    """

    def __init__(
        self, folder: Path, step: int | None = None, logged: dict[str, Any] | None = None
    ) -> None:
        super().__init__()
        self.folder, self.path = folder, folder / METRICS
        self.columns: list[str] = []
        self.unsaved: list[dict[str, Any]] = []
        self.rows, self.digest = 0, hashlib.sha256()
        folder.mkdir(parents=True, exist_ok=True)
        if step is None:
            self.path.unlink(missing_ok=True)
        elif self.path.exists():
            self._resume(step, logged or self.state())

    @property
    def name(self) -> str:
        """The run's name."""
        return self.folder.parent.name

    @property
    def version(self) -> str:
        """The run's version."""
        return self.folder.name

    @property
    def log_dir(self) -> str:
        """The run's folder."""
        return str(self.folder)

    def _resume(self, step: int, logged: dict[str, Any]) -> None:
        text = self.path.read_text(errors="replace")
        complete = text[: text.rfind("\n") + 1]  # a crash may have cut the last row
        try:
            rows = list(csv.DictReader(complete.splitlines()))
        except csv.Error:  # an unterminated cell
            rows = []
        stored = logged.get("rows") if isinstance(logged, dict) else None
        count = stored if isinstance(stored, int) and stored >= 0 else 0
        for row in rows[:count]:
            self._count(row)
        if self.state() != logged:
            differs = f"it has {len(rows)} rows instead of {count}"
            if len(rows) >= count:
                differs = f"its first {count} rows differ"
            raise ValueError(
                f"{self.path} has changed since the checkpoint was saved: {differs}: restore it, "
                "or remove it to resume without the earlier rows"
            )
        more = [row for row in rows[count:] if _is_within(row, step)]
        for row in more:
            self._count(row)
        if self.rows:
            self.columns = list(rows[0])
            self._replace(rows[:count] + more)
        else:
            self.path.unlink()

    def state(self) -> dict[str, Any]:
        """Return the number of logged rows and their SHA-256."""
        return {"rows": self.rows, "sha256": self.digest.hexdigest()}

    def _count(self, row: dict[str, Any]) -> None:
        """Count a row and add it to the digest, which ignores empty cells and column order."""
        cells = sorted(f"{name}={value}" for name, value in row.items() if value not in (None, ""))
        self.digest.update(f"{cells}".encode())
        self.rows += 1

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Add a row, which `save` writes."""
        row = {name: v.item() if isinstance(v, Tensor) else v for name, v in metrics.items()}
        row["step"] = len(self.unsaved) if step is None else step
        self.unsaved.append(row)
        self._count(row)

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing: TensorBoard's logger writes the hyperparameters."""

    @rank_zero_only
    def save(self) -> None:
        """Append the new rows. If they have a new column, rewrite the file."""
        if not self.unsaved:
            return
        new = set().union(*self.unsaved) - set(self.columns)
        self.columns = sorted([*self.columns, *new])
        exists = self.path.is_file()
        if new and exists:
            with self.path.open(newline="") as file:
                rows = list(csv.DictReader(file))
            self._replace(rows)
        with self.path.open("a", newline="") as file:
            writer = csv.DictWriter(file, self.columns)
            if not exists:
                writer.writeheader()
            writer.writerows(self.unsaved)
        self.unsaved = []

    def sync(self) -> None:
        """Flush the file to disk.

        Raises:
            OSError: The disk is full or fails.
        """
        if not self.path.exists():
            return
        try:
            with self.path.open("rb+") as file:
                os.fsync(file.fileno())
            sync_folder(self.folder)
        except OSError as error:
            raise OSError(
                f"{self.path} could not be saved ({error.strerror}); its old content is unchanged"
            ) from error

    def _replace(self, rows: list[dict[str, str]]) -> None:
        text = io.StringIO()
        writer = csv.DictWriter(text, self.columns)
        writer.writeheader()
        writer.writerows(rows)
        write(self.path, text.getvalue().encode())


def find_csv_logger(trainer: Trainer) -> ResumableCSVLogger | None:
    """Return the trainer's `ResumableCSVLogger`, or None in processes of other ranks."""
    found = (logger for logger in trainer.loggers if isinstance(logger, ResumableCSVLogger))
    return next(found, None)


def _is_within(row: dict[str, str], step: int) -> bool:
    """Return whether a row has a step number, and one up to `step`."""
    try:
        return None not in row and int(row["step"]) <= step
    except (KeyError, TypeError, ValueError):
        return False
