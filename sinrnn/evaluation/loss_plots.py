"""Pictures of loss curves: of one run, of runs with several seeds, of many random starts."""

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

MARKED = 50  # epochs: the marks of more would merge
NEAR = 3, 100  # factors: a level as far from the losses as they span is drawn, within these bounds


def loss_curves(
    history: "History",
    beside: Mapping[str, float],
    readout_epoch: int | None = None,
    planned: int | None = None,
) -> Picture:
    """half_mse by epoch on a log scale, and validation losses to compare with as lines.

    Args:
        history: Of the run.
        beside: half_mse on the validation split of each baseline, and of the noise alone.
        readout_epoch: Where the readout was solved, if it was.
        planned: Epochs asked for, if they are known.
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
        label = f"val lowest: {found:.1e} after epoch {at:g}"
        axis.plot(at, found, "o", color=TRUTH, ms=11, mfc="none", label=label)
    first, lowest, highest = _range(
        [np.array(losses) for losses in history.losses.values()], beside
    )
    levels = {f"{name}, val": loss for name, loss in beside.items()}
    draw_levels(axis, levels, lowest, highest)
    if readout_epoch is not None and readout_epoch < max(epochs):
        label = f"readout solved after epoch {readout_epoch}"
        axis.axvline(readout_epoch, color=GREY, lw=1, label=label)
    if first is not None:
        axis.set_ylim(*first)
        for line in drawn:
            mark_off_scale(axis, line)
    # Where another validation was due, something ended the run: early stopping, max_steps, Ctrl-C.
    due = epochs[-1] + (epochs[-1] - epochs[-2]) if len(epochs) > 1 else math.inf
    early = f"ended after epoch {epochs[-1]:g} of {planned}" if due <= (planned or 0) else ""
    caption(axis, "epochs done", "half_mse", early, loc="outside lower center", ncols=3)
    return figure


def _range(
    losses: Sequence[np.ndarray], beside: Mapping[str, float]
) -> tuple[tuple[float, float] | None, float, float]:
    """What is to be seen of losses by epoch, and of levels beside them.

    Returns:
        Limits for the y-axis where the losses before training would take more than half of it, or
        else None; the lowest and the highest level that do not squeeze the losses.
    """
    before = max(values[0] for values in losses)
    rest = np.concatenate([values[1:] for values in losses])
    rest = rest[np.isfinite(rest) & (rest > 0)]
    if len(losses[0]) >= 4 and len(rest):
        low, high = _near(rest)
        shown = np.array([*rest, *(level for level in beside.values() if low <= level <= high)])
        factor = max(shown.max() / shown.min(), 2.0)
        if before > factor * shown.max():
            return (shown.min() / factor**0.1, shown.max() * factor**0.1), low, high
    every = np.concatenate(losses)
    return None, *_near(every[np.isfinite(every) & (every > 0)])


def _near(losses: np.ndarray) -> tuple[float, float]:
    """The lowest and the highest level that do not squeeze losses."""
    if not len(losses):
        return 0.0, math.inf
    low, high = losses.min(), losses.max()
    factor = min(max(high / low, NEAR[0]), NEAR[1])
    return low / factor, high * factor


def seeds(histories: Sequence["History"], baselines: Mapping[str, float]) -> Picture:
    """half_mse by epoch of runs with several seeds, and the baselines' validation loss as lines.

    Args:
        histories: Of each run.
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
    caption(axis, "epochs done", "half_mse", f"{len(histories)} seeds")
    return figure


def many_starts(
    epochs: Sequence[float],
    curves: Mapping[str, Tensor],
    saturated: Tensor,
    levels: Mapping[str, float],
) -> Figure:
    """Loss curves of many random starts, and below them how saturated the hidden layer is.

    Args:
        epochs: Epochs done at each point, E of them.
        curves: half_mse by split, (E, S): one column for each start.
        saturated: Share of hidden units with |h| > 0.99, (E, S).
        levels: Losses to compare with, by name; drawn as lines.
    """
    figure, (above, below) = blank(2, 1, 6, sharex=True, height_ratios=[3, 1.2])
    for color, (name, values) in zip((SECOND, NETWORK), curves.items(), strict=True):
        above.semilogy(epochs, values.numpy(), color=color, lw=0.5, alpha=0.4)
        above.plot([], [], color=color, label=name)
    draw_levels(above, levels)
    caption(above, "", "half_mse", f"{saturated.shape[1]} random starts", ncols=2)
    below.plot(epochs, 100 * saturated.numpy(), color=TRUTH, lw=0.5, alpha=0.4)
    below.set(xlabel="epochs done", ylabel="saturated units, %", ylim=(-5, 105))
    return figure
