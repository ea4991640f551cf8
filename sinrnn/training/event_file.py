"""Event files of TensorBoard, whose own writer computes checksums in Python."""

import struct
import warnings
from contextlib import suppress
from pathlib import Path

from google_crc32c import value as crc32c
from tensorboard.compat.proto.event_pb2 import Event


class EventFile:
    """An unbuffered replacement of TensorBoard's EventFileWriter.

    If the file cannot be written, it warns once and drops all further events.

    Args:
        path: The event file to append to.
    """

    def __init__(self, path: Path) -> None:
        self.folder, self.file = path.parent, path.open("ab")

    def get_logdir(self) -> str:
        """Return the folder of the file."""
        return str(self.folder)

    def add_event(self, event: Event) -> None:
        """Write an event."""
        if self.file.closed:
            return
        try:
            self.file.write(record(event.SerializeToString()))
            self.file.flush()
        except OSError as error:
            with suppress(OSError):  # closing tries to write the buffer again
                self.close()
            warnings.warn(
                f"TensorBoard's events cannot be written ({error.strerror or error}); "
                "training continues without them",
                stacklevel=2,
            )

    def flush(self) -> None:
        """Do nothing: every event is written at once."""

    def close(self) -> None:
        """Close the file."""
        self.file.close()


def record(content: bytes) -> bytes:
    """Return a record of an event file: length and content, each with its masked checksum."""
    size = struct.pack("<Q", len(content))
    return b"".join([size, _masked_crc(size), content, _masked_crc(content)])


def _masked_crc(content: bytes) -> bytes:
    crc = crc32c(content)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)
