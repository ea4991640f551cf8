"""Sliding windows over a series."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.nn import Module
from torch.utils.data import Dataset

from sinrnn._numbers import plain

Batch = tuple[Tensor, Tensor]
EVAL_BATCH = 4096  # windows in a batch of evaluation: large enough for a small overhead
GATHERED = 2**24  # samples in a batch, at most: 128 MB of float64


class Windows(Dataset[Batch]):
    """All windows of a series, with the value `horizon` steps after each.

    A slice or a tensor of indices returns windows (B, T, 1) and targets (B, K); an integer returns
    one window (T, 1) and its targets (K,). Iteration yields all windows in time order, in batches.
    Results are copies, gathered by one indexing operation; the windows themselves take no memory.

    Args:
        values: Consecutive samples, (N,).
        window: Samples per window, T.
        horizon: Steps from a window's end to its first target.
        steps: Consecutive targets per window, K.

    Attributes:
        check: Called before windows are read; a data module sets its series' `check_unchanged`.

    Raises:
        TypeError: values is not a dense tensor of real numbers.
        ValueError: values is not (N,), window, horizon or steps is below 1, or values are too few
            for one window and its targets.

    Example:
        >>> windows = Windows(torch.arange(6.0), window=3, horizon=2)
        >>> x, y = windows[:]
        >>> x[..., 0]
        tensor([[0., 1., 2.],
                [1., 2., 3.]])
        >>> y[:, 0]
        tensor([4., 5.])
    """

    def __init__(self, values: Tensor, window: int, horizon: int = 1, steps: int = 1) -> None:
        window, horizon, steps = plain((window, horizon, steps))
        check_series(values)
        check_steps(window, horizon, steps)
        needed = window + horizon + steps - 1
        if needed > len(values):
            more = (
                f", horizon {horizon} and {steps} steps" if steps > 1 else f" and horizon {horizon}"
            )
            raise ValueError(f"window {window}{more} need {needed} points, got {len(values)}")
        self.values, self.window, self.horizon, self.steps = values, window, horizon, steps
        self._rows = values.unfold(0, needed, 1)
        self.check: Callable[[], None] = _no_check

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: Tensor | slice | int) -> Batch:
        """Return copies of the windows and targets of `index`."""
        x, y = self.view(index)
        if isinstance(index, Tensor) and index.dim():  # indexing has copied them
            return x, y
        return x.clone(), y.clone()

    def view(self, index: Tensor | slice | int) -> Batch:
        """Return windows and targets that must not be changed: they may share the series' memory.

        Args:
            index: As in indexing.
        """
        self.check()
        rows = self._rows[index]
        return rows[..., : self.window].unsqueeze(-1), rows[..., -self.steps :]

    def __iter__(self) -> Iterator[Batch]:
        """Yield all windows in time order, in batches."""
        return map(self.__getitem__, self.parts())

    def parts(self) -> Iterator[slice]:
        """Yield the index of each batch of an iteration."""
        size = self.at_most(EVAL_BATCH)
        return (slice(start, start + size) for start in range(0, len(self), size))

    def at_most(self, most: int) -> int:
        """Return `most`, or the number of windows that fit into 128 MB of float64 if it is less."""
        return max(1, min(most, GATHERED // self.window))

    @property
    def targets(self) -> Tensor:
        """The first target of every window, (N,)."""
        return self._rows[:, -self.steps].clone()

    def sample(self, most: int) -> Batch:
        """Return at most `most` windows and targets, evenly spread.

        Args:
            most: Number of windows, limited by `at_most`.

        Returns:
            The windows (B, T, 1) and their targets (B, K).
        """
        count = min(self.at_most(most), len(self))
        spread = torch.linspace(
            0, len(self) - 1, count, dtype=torch.float64, device=self.values.device
        )
        return self[spread.round().long()]


@torch.no_grad()
def predict(net: Module, windows: Windows) -> Tensor:
    """Return the network's prediction for every window, (N,), float64.

    Args:
        net: Maps windows (B, T, 1) to predictions (B,), in the series' units.
        windows: The windows.
    """
    device = next(net.parameters()).device
    made = torch.empty(len(windows), dtype=torch.float64, device="cpu")
    for part in windows.parts():
        made[part] = net(windows.view(part)[0].to(device)).double().cpu()
    return made


def _no_check() -> None:
    """Check nothing; unlike a lambda, it can be pickled for a DataLoader's workers."""


def check_steps(window: int, horizon: int, steps: int) -> None:
    """Raise a ValueError if a number of steps is below 1."""
    for name, value in {"window": window, "horizon": horizon, "steps": steps}.items():
        if value < 1:
            raise ValueError(f"{name} must be at least 1 step, got {value}")


def check_series(values: Tensor) -> None:
    """Check that values are one number for each step.

    Raises:
        TypeError: values is not a dense tensor of real numbers.
        ValueError: values is not (points,).
    """
    check_dense(values, "a series")
    if values.dim() != 1:
        raise ValueError(
            f"a series must be (points,), one number for each step, got {tuple(values.shape)}: "
            "choose one column"
        )


def check_dense(values: Tensor, what: str) -> None:
    """Raise a TypeError if values is not a dense tensor of real numbers.

    Args:
        values: The argument to check.
        what: Its name in the message.
    """
    if not isinstance(values, Tensor):
        kind = type(values).__name__
        raise TypeError(f"{what} must be a tensor, got {kind}: use torch.as_tensor")
    if values.is_nested or values.layout is not torch.strided or values.is_complex():
        kind = "a nested one" if values.is_nested else f"{values.layout} of {values.dtype}"
        raise TypeError(f"{what} must be a dense tensor of real numbers, got {kind}")
