"""Event files of TensorBoard, with a fast checksum."""

import struct
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import CRC_TABLE, crc32c

PARTS = 512  # of an event, a power of two
TABLE = np.array(CRC_TABLE, np.uint32)
BITS = np.arange(32, dtype=np.uint32)


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
    return b"".join([size, _masked(crc32c(size)), content, _masked(checksum(content))])


def _masked(crc: int) -> bytes:
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def checksum(content: bytes) -> int:
    """Compute the CRC-32C of an event, of a picture in a tenth of the time of TensorBoard's loop.

    The register of a CRC is linear in its start and in the bytes read. The registers of `PARTS`
    parts are computed together, each from a start of zero. Then neighbours are joined: the register
    of the first, moved on by as many zeros as the second has bytes, xor that of the second.
    """
    if len(content) < 2 * PARTS:
        return crc32c(content)  # type: ignore[no-any-return]
    steps = -(-len(content) // PARTS)
    read = np.zeros((PARTS + 32, steps), np.uint8)
    first = PARTS * steps - len(content)  # leading zeros leave a register of zero as it is
    read.ravel()[first : PARTS * steps] = np.frombuffer(content, np.uint8)
    read.ravel()[first : first + 4] ^= 0xFF  # as a start of all ones does
    register = np.zeros(PARTS + 32, np.uint32)
    register[PARTS:] = 1 << BITS  # each bit, moved on by `steps` zeros
    for byte in np.ascontiguousarray(read.T):
        register = TABLE[(register ^ byte) & 0xFF] ^ (register >> 8)
    register, moved = register[:PARTS], register[PARTS:]
    while len(register) > 1:
        register = _move(register[::2], moved) ^ register[1::2]
        moved = _move(moved, moved)
    return int(register[0]) ^ 0xFFFFFFFF


def _move(register: NDArray[Any], moved: NDArray[Any]) -> NDArray[Any]:
    """Move registers on by as many zeros as `moved`, which holds where each bit goes."""
    found: NDArray[Any] = np.bitwise_xor.reduce((register[:, None] >> BITS & 1) * moved, axis=1)
    return found
