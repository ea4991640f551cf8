"""Figures of loss curves: one run, several seeds, many random starts."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from sinrnn.evaluation._drawing import (
    GREY,
    NETWORK,
    SECOND,
    TRUTH,
    blank,
    caption,
    draw_levels,
    mark_off_scale,
)
from sinrnn.evaluation.picture import Picture

if TYPE_CHECKING:
    from sinrnn.evaluation.results import History

MARKED = 50  # epochs with markers; more would overlap
NEAR = 3, 100  # bounds of the factor by which a drawn level may lie outside the losses


def loss_curves(
    history: "History",
    levels: Mapping[str, float],
    readout_epoch: int | None = None,
    planned: int | None = None,
) -> Picture:
    """Draw half_mse by epoch on a log scale, and validation losses to compare with as lines.

    Args:
        history: The history of the run.
        levels: half_mse on the validation split of each baseline and of the noise.
        readout_epoch: Epoch at whose start the readout was solved, or None.
        planned: The planned number of epochs, or None if it is not known.
    """
    figure, (axis,) = blank(1, 1, 5)
    epochs, drawn = history.epochs, []
    mark = "." if len(epochs) <= MARKED else ""
    for color, width, (name, values) in zip(
        (SECOND, NETWORK), (3.5, 1.5), history.losses.items(), strict=True
    ):
        look: dict[str, Any] = {"color": color, "lw": width, "ms": 4 + width, "marker": mark}
        drawn += axis.semilogy(epochs, values, label=name, **look)
    val = history.losses["val"]
    if known := [loss for loss in val if math.isfinite(loss)]:
        at, found = epochs[val.index(min(known))], min(known)
        label = f"lowest val: {found:.1e} after epoch {at:g}"
        axis.plot(at, found, "o", color=TRUTH, ms=11, mfc="none", label=label)
    first, lowest, highest = _range(
        [np.array(losses) for losses in history.losses.values()], levels
    )
    named = {f"{name}, val": loss for name, loss in levels.items()}
    draw_levels(axis, named, lowest, highest)
    if readout_epoch is not None and readout_epoch < max(epochs):
        label = f"readout solved after epoch {readout_epoch}"
        axis.axvline(readout_epoch, color=GREY, lw=1, label=label)
    if first is not None:
        axis.set_ylim(*first)
        for line in drawn:
            mark_off_scale(axis, line)
    # If another validation was due, early stopping, max_steps or Ctrl-C ended the run.
    due = epochs[-1] + (epochs[-1] - epochs[-2]) if len(epochs) > 1 else math.inf
    early = f"ended after epoch {epochs[-1]:g} of {planned}" if due <= (planned or 0) else ""
    caption(axis, "epoch", "half_mse", early, loc="outside lower center", ncols=3)
    return figure


def _range(
    losses: Sequence[np.ndarray], levels: Mapping[str, float]
) -> tuple[tuple[float, float] | None, float, float]:
    """Return the range of the y-axis, and of the levels to draw.

    Returns:
        Limits of the y-axis if the losses before training would take more than half of it, else
        None; the lowest and the highest level that leave the losses enough room.
    """
    before = max(values[0] for values in losses)
    rest = np.concatenate([values[1:] for values in losses])
    rest = rest[np.isfinite(rest) & (rest > 0)]
    if len(losses[0]) >= 4 and len(rest):
        low, high = _near(rest)
        shown = np.array([*rest, *(level for level in levels.values() if low <= level <= high)])
        factor = max(shown.max() / shown.min(), 2.0)
        if before > factor * shown.max():
            return (shown.min() / factor**0.1, shown.max() * factor**0.1), low, high
    every = np.concatenate(losses)
    return None, *_near(every[np.isfinite(every) & (every > 0)])


def _near(losses: np.ndarray) -> tuple[float, float]:
    """Return the lowest and the highest level that leave the losses enough room."""
    if not len(losses):
        return 0.0, math.inf
    low, high = losses.min(), losses.max()
    factor = min(max(high / low, NEAR[0]), NEAR[1])
    return low / factor, high * factor


def seeds(histories: Sequence["History"], baselines: Mapping[str, float]) -> Picture:
    """Draw half_mse by epoch of runs with several seeds, and the baselines' losses as lines.

    Args:
        histories: The history of each run.
        baselines: half_mse of each baseline on the validation split.
    """
    figure, (axis,) = blank(1, 1, 5)
    for color, name, width in ((SECOND, "train", 2.5), (NETWORK, "val", 1.2)):
        for i, history in enumerate(histories):
            label = name if i == 0 else None
            values = history.losses[name]
            axis.semilogy(history.epochs, values, color=color, lw=width, alpha=0.6, label=label)
    drawn = np.array([loss for h in histories for row in h.losses.values() for loss in row])
    near = _near(drawn[np.isfinite(drawn) & (drawn > 0)])
    draw_levels(axis, {f"{name}, val": value for name, value in baselines.items()}, *near)
    caption(axis, "epoch", "half_mse", f"{len(histories)} seeds")
    return figure


def many_starts(
    epochs: Sequence[float],
    curves: Mapping[str, Tensor],
    saturated: Tensor,
    levels: Mapping[str, float],
) -> Figure:
    """Draw loss curves of many random starts, and the share of saturated hidden units below.

    Args:
        epochs: The completed epochs at each point, (E,).
        curves: half_mse by split, (E, S): one column for each start.
        saturated: Share of hidden units with |h| > 0.99, (E, S).
        levels: Losses to compare with by name, drawn as lines.
    """
    figure, (above, below) = blank(2, 1, 6, sharex=True, height_ratios=[3, 1.2])
    for color, (name, values) in zip((SECOND, NETWORK), curves.items(), strict=True):
        above.semilogy(epochs, values.numpy(), color=color, lw=0.5, alpha=0.4)
        above.plot([], [], color=color, label=name)
    draw_levels(above, levels)
    caption(above, "", "half_mse", f"{saturated.shape[1]} random starts", ncols=2)
    below.plot(epochs, 100 * saturated.numpy(), color=TRUTH, lw=0.5, alpha=0.4)
    below.set(xlabel="epoch", ylabel="saturated units, %", ylim=(-5, 105))
    return figure
