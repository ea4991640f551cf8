"""A small run in this process, whose files the tests of strangers' files then spoil."""

import pytest
import torch

from sinrnn.callbacks import final_report
from sinrnn.cli import train as cli

SMALL = """
name: small
data: {series: {class_path: sinrnn.Sine, init_args: {points: 120}}, batch_size: 32}
model: {hidden_size: 5, optimizer: {class_path: torch.optim.Adam, init_args: {lr: 0.01}}}
trainer: {max_epochs: 1, accelerator: cpu, enable_progress_bar: false}
"""


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
    return folder / "runs" / "small" / "version_0"
