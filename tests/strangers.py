"""A small run in this process, whose files the tests of strangers' files then spoil."""

import hashlib
from pathlib import Path

import pytest
import torch
import yaml

from sinrnn.callbacks import final_report
from sinrnn.cli import train as cli
from sinrnn.training.checkpoint_io import MARK, pack, read

SMALL = """
name: small
data: {series: {class_path: sinrnn.Sine, init_args: {points: 120}}, batch_size: 32}
model: {hidden_size: 5, optimizer: {class_path: torch.optim.Adam, init_args: {lr: 0.01}}}
trainer: {max_epochs: 1, accelerator: cpu, enable_progress_bar: false}
"""
RUN = Path("runs/small/version_0")


def work_in(folder, patch):
    """Go to a folder where the programs draw no pictures, and leave the tests' threads alone."""
    patch.chdir(folder)
    patch.setattr(torch, "set_num_threads", lambda threads: None)
    patch.setattr(final_report, "pictures", lambda *args: {})  # most of a run's time


def small_run(folder):
    """Train in a folder, which then holds small.yaml too; gives the run's own folder."""
    (folder / "small.yaml").write_text(SMALL)
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)  # as in a process of its own
    with pytest.MonkeyPatch.context() as patch:
        work_in(folder, patch)
        assert cli.main(["--config", "small.yaml"]) == 0
    torch.set_default_dtype(before)
    return folder / RUN


def changed(text, key, value):
    """A config with one value in place of another."""
    config = inner = yaml.safe_load(text)
    *above, last = key.split(".")
    for name in above:
        inner = inner.setdefault(name, {})
    inner[last] = value
    return yaml.safe_dump(config)


def seal(content):
    """Bytes with a checksum that fits, as `pack` puts it there."""
    return content + MARK + hashlib.sha256(content).digest()


def forge(folder, change):
    """Let a function change what a run's last checkpoint holds; gives the checkpoint's path."""
    path = folder / "checkpoints" / "last.ckpt"
    content = read(path)
    change(content)
    path.write_bytes(pack(content))
    return path


def contents(folder):
    """All that is in a folder, with the bytes of files."""
    return {path: path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}
