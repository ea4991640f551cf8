"""Silence messages of Lightning that no user can act on."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch

LOGGERS = ("lightning.pytorch", "lightning.fabric")
NOISE = [
    ".*IProgress not found.*",  # in a notebook without widgets the progress bar is text
    ".*does not have many workers.*",  # gathering windows is faster than sending them
    ".*log_every_n_steps.*",  # losses are logged at validations, not at steps
    ".*Experiment logs directory .* exists and is not empty.*",  # the run's own folder
    ".*GPU available but not used.*",  # the config chose the CPU
    ".*your dataloader is not resumable.*",  # the order of its batches is
    ".*isinstance.treespec, LeafSpec.*",  # Lightning 2.6.6 with torch 2.13
]


def quiet() -> None:
    """Silence these messages for the rest of the process."""
    for name in LOGGERS:
        logging.getLogger(name).setLevel(logging.WARNING)
    for message in NOISE:
        warnings.filterwarnings("ignore", message)


@contextmanager
def quietly(threads: int | None) -> Iterator[None]:
    """Silence these messages and set torch's number of threads in a context; None keeps it."""
    before, levels = torch.get_num_threads(), [logging.getLogger(name).level for name in LOGGERS]
    torch.set_num_threads(before if threads is None else threads)
    try:
        with warnings.catch_warnings():
            quiet()
            yield
    finally:
        torch.set_num_threads(before)
        for name, level in zip(LOGGERS, levels, strict=True):
            logging.getLogger(name).setLevel(level)
