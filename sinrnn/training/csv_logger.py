"""metrics.csv, which a crash never leaves half rewritten, and of which no row gets lost."""

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
        folder: The run's.
        step: Where it goes on from; what was logged beyond is forgotten. None forgets everything.
        logged: What the checkpoint there says of the rows, as `state` gave it.

    Raises:
        ValueError: Rows are missing or changed.
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
            self._go_on(step, logged or self.state())

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

    def _go_on(self, step: int, logged: dict[str, Any]) -> None:
        text = self.path.read_text(errors="replace")
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
                f"{self.path} is not as the checkpoint left it: {differs}: restore it, or remove "
                "it to go on without the earlier curve"
            )
        more = [row for row in rows[count:] if _is_within(row, step)]
        for row in more:
            self._note(row)
        if self.rows:
            self.columns = list(rows[0])
            self._replace(rows[:count] + more)
        else:
            self.path.unlink()

    def state(self) -> dict[str, Any]:
        """How many rows were logged, and a SHA-256 of them."""
        return {"rows": self.rows, "sha256": self.digest.hexdigest()}

    def _note(self, row: dict[str, Any]) -> None:
        """Count a row, logged or read: its cells, whatever other columns the table has."""
        cells = sorted(f"{name}={value}" for name, value in row.items() if value not in (None, ""))
        self.digest.update(f"{cells}".encode())
        self.rows += 1

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Take a row."""
        row = {name: v.item() if isinstance(v, Tensor) else v for name, v in metrics.items()}
        row["step"] = len(self.unsaved) if step is None else step
        self.unsaved.append(row)
        self._note(row)

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Nothing: TensorBoard's logger writes them."""

    @rank_zero_only
    def save(self) -> None:
        """Write the rows taken, and all others again where there is a new column."""
        if not self.unsaved:
            return
        new = set().union(*self.unsaved) - set(self.columns)
        self.columns = sorted([*self.columns, *new])
        there = self.path.is_file()
        if new and there:
            with self.path.open(newline="") as file:
                rows = list(csv.DictReader(file))
            self._replace(rows)
        with self.path.open("a", newline="") as file:
            writer = csv.DictWriter(file, self.columns)
            if not there:
                writer.writeheader()
            writer.writerows(self.unsaved)
        self.unsaved = []

    def sync(self) -> None:
        """Wait until what was saved is on the disk.

        Raises:
            OSError: It cannot be written there.
        """
        if not self.path.exists():
            return
        try:
            with self.path.open("rb+") as file:
                os.fsync(file.fileno())
            sync_folder(self.folder)
        except OSError as error:
            raise OSError(
                f"{self.path} could not be saved ({error.strerror}); what was there is as it was"
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
    """Whether a row is of these steps; one that is no row of ours is of none."""
    try:
        return None not in row and int(row["step"]) <= step
    except (KeyError, TypeError, ValueError):
        return False
