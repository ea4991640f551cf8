"""Local files: shipped, found or refused in one sentence; written whole or not at all."""

import os
import textwrap
from contextlib import suppress
from pathlib import Path

from sinrnn import _suggest
from sinrnn._suggest import closest, meant

WIDTH = 79  # columns of what is printed
PACKAGE = Path(__file__).parent
# In a wheel the configs lie inside the package, in a checkout beside it.
CONFIGS = next(p for p in (PACKAGE / "configs", PACKAGE.parent / "configs") if p.is_dir())


def shipped(path: str) -> str:
    """The path, or where there is no file configs/NAME, that of the one that comes with sinrnn."""
    folder, _, name = path.rpartition("/")
    own = CONFIGS / name
    return str(own) if folder == "configs" and not Path(path).exists() and own.is_file() else path


def config_file(option: str, path: str) -> str:
    """The path of a config, `shipped` or the user's own.

    Raises:
        FileNotFoundError: There is no such file.
    """
    found = shipped(path)
    if path.strip() and "://" not in path and not Path(found).exists():
        names = {each.stem: f"configs/{each.name}" for each in CONFIGS.glob("*.yaml")}
        near = _suggest.file(Path(path)) or names.get(closest(Path(path).stem, names), "")
        raise FileNotFoundError(f"{option} {path}: there is no such file{meant(near)}")
    return found


def refuse_url(text: str) -> None:
    """Refuse what is not on this machine.

    Raises:
        ValueError: It is a URL.
    """
    if "://" in text or "::" in text:  # fsspec chains file systems by the latter
        raise ValueError(f"{text} is a URL, and only local files are read: download it first")


def local(path: str | Path) -> Path:
    """The path, where a file is to be read from it.

    Raises:
        ValueError: It is a URL.
        OSError: There is no such file, or it is a folder, a pipe or a device.
    """
    refuse_url(str(path))
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder: name a file in it")
    if not path.exists():
        near = _suggest.file(path)
        if not near and path.parent == Path("configs"):
            near = closest(path.name, [each.name for each in CONFIGS.iterdir()])
            near = f"configs/{near}" if near else ""
        raise FileNotFoundError(f"{path} does not exist{meant(near)}")
    if not path.is_file():
        raise _irregular(path)
    return path


def refuse_links(folder: Path) -> None:
    """Refuse a run's folder that holds more than files and folders, at any depth.

    What is written through a link lands elsewhere, and a pipe is never read to its end. The
    folder's own path may go through links; where there is no folder, nothing is refused.

    Raises:
        OSError: It holds a link, a pipe or a device.
    """
    waiting = [folder] if folder.is_dir() else []
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                path = Path(entry.path)
                if entry.is_symlink():
                    raise OSError(
                        f"{path} is a link to {path.readlink()}: a run's folder must hold its "
                        "files themselves, put the file there or remove the link"
                    )
                if entry.is_dir():
                    waiting.append(path)
                elif not entry.is_file():
                    raise _irregular(path)


def _irregular(path: Path) -> OSError:
    return OSError(f"{path} is not a regular file: put a file in its place")


def check_target(option: str, path: Path, ending: str) -> None:
    """Refuse a path where no file of that kind can be written.

    Raises:
        ValueError: It has another ending.
        OSError: It is a folder, or lies in none.
    """
    if path.is_dir():
        raise IsADirectoryError(f"{option} {path} is a folder: name a file in it")
    if path.suffix.lower() != ending:
        raise ValueError(f"{option} must end in {ending}, got {path}")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{option} {path}: there is no folder {path.parent}")


def check_other(option: str, path: Path, source: str | Path, what: str) -> None:
    """Refuse to write where `what` is read from.

    Raises:
        ValueError: Both are the same file.
    """
    if path.resolve() == Path(source).resolve():
        raise ValueError(f"{option} {path} would replace {what}: give it another name")


def write(path: str | Path, content: bytes) -> None:
    """Put bytes into a file, so that after a crash at any instant it has these or its old ones.

    Raises:
        OSError: The disk is full, the folder cannot be written, or the file is a link; what was
            there is as it was.
    """
    path = Path(path)
    if path.is_symlink():
        raise OSError(f"{path} is a link to {path.readlink()}: remove it, or name the file itself")
    part = path.with_name(path.name + ".part")
    try:
        part.unlink(missing_ok=True)
        with part.open("x+b") as file:  # a new file, never one that a link of this name points to
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
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Wait until what a folder lists is on the disk.

    Raises:
        OSError: It cannot be written there.
    """
    if os.name == "nt":
        return  # there a folder cannot be opened
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def filled(text: str, hang: str = "  ", width: int = WIDTH) -> str:
    """A line as lines that a terminal of 80 columns holds, broken between words.

    Args:
        text: The line.
        hang: What stands before each line but the first.
        width: The most columns of a line; a longer word stays whole.
    """
    return "\n".join(
        textwrap.wrap(
            text,
            width,
            subsequent_indent=hang,
            break_long_words=False,
            break_on_hyphens=False,
            drop_whitespace=True,
        )
    )


def escaped(text: str) -> str:
    r"""Text from a file or a file's name, as a terminal may have it: ESC becomes \x1b."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def shown(text: str) -> str:
    """The same of every line of our own text."""
    return "\n".join(map(escaped, text.split("\n")))
