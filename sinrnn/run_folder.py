"""A run's own folder: made and held by one process, and removed where nothing came of it."""

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

# What lies in a run's folder.
CONFIG, MODEL, METRICS, REPORT = "config.yaml", "model.safetensors", "metrics.csv", "report.md"
BEST, LAST, FIGURES = "checkpoints/best.ckpt", "checkpoints/last.ckpt", "figures"
RESULTS = "results.json"  # the figures of its report
SERIES = "series.npy"  # of values that were given in Python
LISTED = 5  # runs in a message
SEEDS = "figures/seeds.png"  # loss curves of all runs, in the first run of several seeds


def model_file(path: str | Path) -> Path:
    """The file of a trained network: that of a run's folder, or the path itself.

    Raises:
        ValueError: It is a URL.
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
    """The folders version_0, version_1, ... in one that hold a run, the oldest first."""
    found = {
        int(path.name.removeprefix("version_")): path
        for path in parent.glob("version_*")
        if re.fullmatch(r"version_\d+", path.name) and (path / CONFIG).is_file()
    }
    return [found[number] for number in sorted(found)]


def no_run(path: Path) -> str:
    """A sentence of a path that is no run's folder: the runs in it, or what was probably meant."""
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
    """Remove what is in a run's folder, if it is still the one that is held."""
    if is_held(folder, lock):
        shutil.rmtree(folder, ignore_errors=True)


def remove_empty(folder: Path) -> None:
    """Take a run's folder away again, and those above, where nobody else's runs are in them."""
    for made in (folder, folder.parent, folder.parent.parent):
        with suppress(OSError):
            made.rmdir()


def folder_name(name: str) -> str:
    """The name, if it is that of a folder in runs/ and of none elsewhere.

    Raises:
        ValueError: It is not.
    """
    fits = name == name.strip() and name.isprintable() and len(name.encode()) <= 200
    if name in ("", ".", "..") or not fits or re.search(r"[/\\:]", name):
        raise ValueError(
            f"name must be that of a folder within runs, without / and at most 200 bytes long, "
            f"got {name[:40]!r}"
        )
    return name


def refuse_vanished(folder: Path, lock: int) -> None:
    """Raise where a folder is gone, or is not the one that is held.

    Raises:
        FileNotFoundError: It was removed or replaced.
    """
    if not is_held(folder, lock):
        raise FileNotFoundError(f"{folder} has vanished, or is another folder by now: start again")


def is_held(folder: Path, lock: int) -> bool:
    """Whether a folder is still the one that a lock holds; of -1, whether it is there."""
    try:
        found = folder.stat()
    except OSError:
        return False
    return lock < 0 or os.path.samestat(found, os.fstat(lock))


def claim(folder: Path) -> int:
    """Hold a folder as long as the process lives; gives what holds it, or -1 on Windows.

    Raises:
        ValueError: Another process trains there.
        FileNotFoundError: It was removed.
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
    """Make the first free folder version_0, version_1, ...; two runs never get the same.

    Raises:
        OSError: No folder can be made there.
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
            f"no folder can be made in {parent} ({error.strerror}): start where there can be one"
        ) from error
