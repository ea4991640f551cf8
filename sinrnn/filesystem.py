"""Local files: shipped configs, checks of paths, atomic writes, and safe text for terminals."""

import os
import textwrap
from contextlib import suppress
from pathlib import Path

from sinrnn import _suggest
from sinrnn._suggest import closest, meant

WIDTH = 79  # columns of what is printed
PACKAGE = Path(__file__).parent
# The configs are inside the package in a wheel, and next to it in a checkout.
CONFIGS = next(p for p in (PACKAGE / "configs", PACKAGE.parent / "configs") if p.is_dir())


def shipped(path: str) -> str:
    """Return the path; if it is configs/NAME and does not exist, that of sinrnn's own config."""
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
    """Raise a ValueError if a path is a URL."""
    if "://" in text or "::" in text:  # fsspec chains file systems with ::
        raise ValueError(f"{text} is a URL, and only local files are read: download it first")


def local(path: str | Path) -> Path:
    """Return the path of an existing local file.

    Raises:
        ValueError: The path is a URL.
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
    """Check that a run's folder holds only files and folders, at any depth.

    Writing through a link changes a file elsewhere, and reading a pipe may never end. The folder's
    own path may contain links, and it need not exist.

    Raises:
        OSError: The folder holds a link, a pipe or a device.
    """
    waiting = [folder] if folder.is_dir() else []
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                path = Path(entry.path)
                if entry.is_symlink():
                    raise OSError(
                        f"{path} is a link to {path.readlink()}: a run's folder must not contain "
                        "links, replace it by the file or remove it"
                    )
                if entry.is_dir():
                    waiting.append(path)
                elif not entry.is_file():
                    raise _irregular(path)


def _irregular(path: Path) -> OSError:
    return OSError(f"{path} is not a regular file: put a file in its place")


def check_target(option: str, path: Path, ending: str) -> None:
    """Check that a file of a format can be written to a path.

    Raises:
        ValueError: The path has another ending.
        OSError: The path is a folder, or its folder does not exist.
    """
    if path.is_dir():
        raise IsADirectoryError(f"{option} {path} is a folder: name a file in it")
    if path.suffix.lower() != ending:
        raise ValueError(f"{option} must end in {ending}, got {path}")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{option} {path}: there is no folder {path.parent}")


def check_other(option: str, path: Path, source: str | Path, what: str) -> None:
    """Raise a ValueError if a path to write is the file that `what` is read from."""
    if path.resolve() == Path(source).resolve():
        raise ValueError(f"{option} {path} would replace {what}: give it another name")


def write(path: str | Path, content: bytes) -> None:
    """Write a file atomically: after a crash it holds either the new content or the old.

    Raises:
        OSError: The disk is full, the folder is not writable, or the file is a link; the old
            content is unchanged.
    """
    path = Path(path)
    if path.is_symlink():
        raise OSError(f"{path} is a link to {path.readlink()}: remove it, or name the file itself")
    part = path.with_name(path.name + ".part")
    try:
        part.unlink(missing_ok=True)
        with part.open("x+b") as file:  # "x" never follows a link of this name
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            file.seek(0)
            if file.read() != content:
                raise OSError(f"{part}: the bytes read back differ from those written")
        part.replace(path)
    except OSError as error:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        reason = error.strerror or error
        raise OSError(
            f"{path} could not be saved ({reason}); its old content is unchanged"
        ) from error
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries to the disk.

    Raises:
        OSError: The disk cannot be written.
    """
    if os.name == "nt":
        return  # Windows cannot open folders
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
    r"""Escape text that is not printable, such as control sequences in file names: \x1b."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def shown(text: str) -> str:
    """Escape every line of a text, and keep its newlines."""
    return "\n".join(map(escaped, text.split("\n")))
