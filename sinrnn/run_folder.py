"""A run's folder: its file names, and creating, locking and removing it."""

import os
import re
import shutil
from contextlib import suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

from sinrnn import _suggest
from sinrnn._suggest import meant
from sinrnn.filesystem import local, refuse_links

# Files and folders in a run's folder.
CONFIG, MODEL, METRICS, REPORT = "config.yaml", "model.safetensors", "metrics.csv", "report.md"
BEST, LAST, FIGURES = "checkpoints/best.ckpt", "checkpoints/last.ckpt", "figures"
RESULTS = "results.json"  # the numbers of the report
SERIES = "series.npy"  # a series that was given as values in Python
SEEDS = "figures/seeds.png"  # loss curves of several seeds, in the folder of the first
LISTED = 5  # runs that a message names


def model_file(path: str | Path) -> Path:
    """Return the file of a trained network: the one in a run's folder, or the path itself.

    Raises:
        ValueError: The path is a URL.
        OSError: There is no such file or folder, or the folder holds a link.
    """
    if not Path(path).is_dir():
        return local(path)
    refuse_links(Path(path))
    found = Path(path) / MODEL
    if not found.exists() and not (Path(path) / CONFIG).exists():
        raise FileNotFoundError(no_run(Path(path)))
    return found


def versions(parent: Path) -> list[Path]:
    """Return the folders version_0, version_1, ... that hold a run, the oldest first."""
    found = {
        int(path.name.removeprefix("version_")): path
        for path in parent.glob("version_*")
        if re.fullmatch(r"version_\d+", path.name) and (path / CONFIG).is_file()
    }
    return [found[number] for number in sorted(found)]


def no_run(path: Path) -> str:
    """Return the error for a path that is not a run's folder: the runs in it, or a similar path."""
    if path.is_file():
        return f"{path} is a file: name the folder of a run"
    found = versions(path)
    if not found and path.is_dir():
        found = [run for each in sorted(path.iterdir()) if each.is_dir() for run in versions(each)]
    if not found:
        near = "" if path.exists() else meant(_suggest.file(path))
        return f"{path} is not a run's folder: no {CONFIG} in it{near}"
    listed = ", ".join(f"{run}" for run in found[:LISTED])
    more = f", ... {found[-1]}" if len(found) > LISTED else ""
    return f"{path} is not a run's folder, it holds runs: name one of {listed}{more}"


def clear(folder: Path, lock: int) -> None:
    """Remove a run's folder if it is still the locked one."""
    if is_held(folder, lock):
        shutil.rmtree(folder, ignore_errors=True)


def remove_empty(folder: Path) -> None:
    """Remove a run's folder and its two parents if they are empty."""
    for made in (folder, folder.parent, folder.parent.parent):
        with suppress(OSError):
            made.rmdir()


def folder_name(name: str) -> str:
    """Return the name of a run; raise a ValueError if it is not a plain folder name."""
    fits = name == name.strip() and name.isprintable() and len(name.encode()) <= 200
    if name in ("", ".", "..") or not fits or re.search(r"[/\\:]", name):
        raise ValueError(
            f"name must be a folder name without / and at most 200 bytes long, got {name[:40]!r}"
        )
    return name


def refuse_vanished(folder: Path, lock: int) -> None:
    """Raise a FileNotFoundError if the locked folder was removed or replaced."""
    if not is_held(folder, lock):
        raise FileNotFoundError(f"{folder} was removed or replaced: start again")


def is_held(folder: Path, lock: int) -> bool:
    """Return whether a folder is the one that the lock holds; for -1, whether it exists."""
    try:
        found = folder.stat()
    except OSError:
        return False
    return lock < 0 or os.path.samestat(found, os.fstat(lock))


def claim(folder: Path) -> int:
    """Lock a folder for the life of the process; return the lock, or -1 on Windows.

    Raises:
        ValueError: Another process is training there.
        FileNotFoundError: The folder was removed.
    """
    refuse_vanished(folder, -1)
    if fcntl is None:
        return -1
    held = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(held)
        raise ValueError(f"{folder}: another process is training there") from error
    return held


def claim_folder(parent: Path) -> Path:
    """Create the first free folder version_0, version_1, ...; two processes never get the same.

    Raises:
        OSError: The folder cannot be created.
    """
    try:
        parent.mkdir(parents=True, exist_ok=True)
        version = 0
        while True:
            folder = parent / f"version_{version}"
            with suppress(FileExistsError):
                folder.mkdir()
                return folder
            version += 1
    except OSError as error:
        raise OSError(
            f"cannot create a folder in {parent} ({error.strerror}): start in a writable folder"
        ) from error
