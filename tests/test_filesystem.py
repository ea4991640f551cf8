"""Files are the new ones or the old ones, whatever fails while they are written."""

import errno
import os
from pathlib import Path

import programs
import pytest
from cases import refuses

from sinrnn.filesystem import local, refuse_links, write


@pytest.fixture
def old(tmp_path):
    """A file that was saved before."""
    write(tmp_path / "file", b"old")
    return tmp_path / "file"


def alone(path, content):
    """Whether a file holds this, and nothing lies beside it."""
    return path.read_bytes() == content and list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("crashed", [False, True])
@pytest.mark.parametrize("content", [b"", b"new", b"much longer than before" * 10_000])
def test_write_puts_the_new_in_place_of_the_old_and_of_what_a_crash_has_left(old, content, crashed):
    if crashed:
        old.with_name("file.part").write_bytes(b"half of something longer")
    write(str(old), content)
    assert alone(old, content)


def test_write_reaches_the_disk_before_and_after_the_file_gets_its_name(old, monkeypatch):
    fsync, seen = os.fsync, []

    def watch(number):
        fsync(number)
        seen.append((os.fstat(number).st_ino, old.read_bytes()))

    monkeypatch.setattr(os, "fsync", watch)
    write(old, b"new")
    assert seen == [(old.stat().st_ino, b"old"), (old.parent.stat().st_ino, b"new")]


def fail(*args):
    raise OSError(errno.ENOSPC, "No space left on device")


def tear(number):
    os.ftruncate(number, 2)


@pytest.mark.parametrize(
    ("owner", "name", "instead", "reason"),
    [
        (os, "fsync", fail, "No space left on device"),
        (Path, "replace", fail, "No space left on device"),
        (os, "fsync", tear, "{}.part: the bytes read back differ from those written"),
    ],
)
def test_write_that_fails_leaves_the_old(old, monkeypatch, owner, name, instead, reason):
    monkeypatch.setattr(owner, name, instead)
    with pytest.raises(OSError, match="saved") as caught:
        write(old, b"new")
    reason = reason.format(old)
    assert str(caught.value) == f"{old} could not be saved ({reason}); its old content is unchanged"
    assert alone(old, b"old")


def test_write_into_no_folder_says_so(tmp_path):
    path = tmp_path / "nowhere" / "file"
    with pytest.raises(OSError, match=r"could not be saved \(No such file or directory\)"):
        write(path, b"new")


LIMITED = """
import resource, sys
from sinrnn.filesystem import write
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    write(sys.argv[1], b"x" * 1_000_000)
except OSError as error:
    print(error)
"""


@pytest.mark.process
@pytest.mark.skipif(os.name == "nt", reason="Windows has no limits of that kind")
def test_write_of_more_than_fits_leaves_the_old(old):
    done = programs.run("-c", LIMITED, old)
    said = f"{old} could not be saved (File too large); its old content is unchanged\n"
    assert (done.returncode, done.stdout, done.stderr) == (0, said, "")
    assert alone(old, b"old")


# Links and what is no file

links = pytest.mark.skipif(os.name == "nt", reason="Windows makes links for administrators alone")


@links
def test_write_through_a_link_is_refused(old, tmp_path):
    link = tmp_path / "folder" / "link"
    link.parent.mkdir()
    link.symlink_to(old)
    with refuses(OSError, f"{link} is a link to {old}: remove it, or name the file itself"):
        write(link, b"new")
    assert old.read_bytes() == b"old"
    assert list(link.parent.iterdir()) == [link]


@links
def test_write_does_not_follow_a_link_in_place_of_its_temporary_file(old, tmp_path):
    target = tmp_path / "folder" / "file"
    target.parent.mkdir()
    target.with_name("file.part").symlink_to(old)
    write(target, b"new")
    assert old.read_bytes() == b"old"
    assert alone(target, b"new")
    assert not target.is_symlink()


@pytest.fixture
def run(tmp_path):
    """A run's folder, which is reached through a link."""
    (tmp_path / "disk" / "run" / "figures").mkdir(parents=True)
    (tmp_path / "disk" / "run" / "report.md").write_text("fine")
    (tmp_path / "runs").symlink_to(tmp_path / "disk", target_is_directory=True)
    return tmp_path / "runs" / "run"


@links
def test_folder_without_links_is_taken_wherever_it_lies(run, tmp_path):
    refuse_links(run)
    refuse_links(tmp_path / "nowhere")  # which whoever reads it will say


@links
@pytest.mark.parametrize(
    "name", ["report.md.part", "figures/losses.png", "figures/more", ".hidden"]
)
@pytest.mark.parametrize("goal", ["..", "/etc/passwd", "nowhere", "figures"])
def test_link_in_a_folder_is_refused_with_where_it_points(run, name, goal):
    (run / name).symlink_to(goal)
    said = (
        f"{run / name} is a link to {goal}: a run's folder must not contain links, replace "
        "it by the file or remove it"
    )
    with refuses(OSError, said):
        refuse_links(run)


@pytest.mark.skipif(os.name == "nt", reason="there are no pipes and devices in Windows' folders")
def test_pipe_and_device_are_refused(run):
    pipe = run / "metrics.csv"
    os.mkfifo(pipe)
    zero = "/dev/zero"
    for refusing, path, named in (
        (local, pipe, pipe),
        (refuse_links, run, pipe),
        (local, zero, zero),
    ):
        with refuses(OSError, f"{named} is not a regular file: put a file in its place"):
            refusing(path)
