"""Local files: found or refused in one sentence, written whole or not at all."""

import os
from contextlib import suppress
from pathlib import Path


def local(path: str | Path) -> Path:
    """The path, where a file is to be read from it.

    Raises:
        ValueError: It is a URL.
        OSError: There is no such file, or it is a folder.
    """
    if "://" in str(path):
        raise ValueError(f"{path} is a URL, and only local files are read: download it first")
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder: name a file in it")
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist")
    return path


def write(path: str | Path, content: bytes) -> None:
    """Put bytes into a file, so that after a crash at any instant it has these or its old ones.

    Raises:
        OSError: The disk is full, or the folder cannot be written; the old file is as it was.
    """
    path = Path(path)
    part = path.with_name(path.name + ".part")
    try:
        with part.open("w+b") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            file.seek(0)
            if file.read() != content:
                raise OSError(f"{part}: what was read back is not what was written")
        part.replace(path)
    except OSError as error:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        reason = error.strerror or error
        raise OSError(
            f"{path} could not be saved ({reason}); what was there is as it was"
        ) from error
    if os.name == "nt":
        return  # there a folder cannot be opened
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
