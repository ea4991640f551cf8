"""The loggers of a run: metrics.csv and TensorBoard's events, without gap or doubled point."""

import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger, TensorBoardLogger
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.summary.writer.record_writer import RecordWriter

from sinrnn.training.csv_logger import ResumableCSVLogger

EVENTS = "events.out.tfevents.*"


def make_loggers(
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
    purged = 0 if step is None else step + 1
    events = TensorBoardLogger(
        folder.parent.parent,
        folder.parent.name,
        folder.name,
        default_hp_metric=False,
        purge_step=purged if any(folder.glob(EVENTS)) else None,
    )
    return [events, ResumableCSVLogger(folder, step, logged)]


def open_events(logger: TensorBoardLogger) -> None:
    """Open the file of events: the last that TensorBoard reads, and one that may fail.

    TensorBoard reads files in the order of their names. A name holds the second in which the file
    was made, and clocks may be set back: a second after all others' takes its place.
    """
    folder = Path(logger.log_dir)
    others = set(folder.glob(EVENTS))
    writer: Any = logger.experiment.file_writer
    writer.event_writer.close()
    (path,) = set(folder.glob(EVENTS)) - others
    seconds = [int(part) for other in others if (part := other.name.split(".")[3]).isdecimal()]
    _, _, _, now, rest = path.name.split(".", 4)
    second = max([int(now), *(each + 1 for each in seconds)])
    path = path.rename(path.with_name(f"events.out.tfevents.{second:010}.{rest}"))
    writer.event_writer = EventFile(path)


class EventFile:
    """TensorBoard's EventFileWriter, but what it is given is in the file at once.

    Where the file cannot be written, it warns once, and training goes on without it.

    Args:
        path: A file of events to go on with.
    """

    def __init__(self, path: Path) -> None:
        self.folder, self.records = path.parent, RecordWriter(path.open("ab"))

    def get_logdir(self) -> str:
        """The file's folder."""
        return str(self.folder)

    def add_event(self, event: Event) -> None:
        """Write an event."""
        if self.records.closed:
            return
        try:
            self.records.write(event.SerializeToString())
            self.records.flush()
        except OSError as error:
            with suppress(OSError):  # it tries again to write what it holds
                self.close()
            warnings.warn(
                f"TensorBoard's events cannot be written ({error.strerror or error}); "
                "training goes on without them",
                stacklevel=2,
            )

    def flush(self) -> None:
        """Nothing: all is written."""

    def close(self) -> None:
        """Close the file."""
        self.records.close()
