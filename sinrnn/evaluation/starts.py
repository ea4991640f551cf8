"""Pictures of many runs that differ in how they start: their loss curves in one."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from matplotlib.figure import Figure
from torch import Tensor

from sinrnn.evaluation._drawing import NETWORK, SECOND, TRUTH, blank, caption, draw_levels
from sinrnn.evaluation.picture import Picture

if TYPE_CHECKING:
    from sinrnn.evaluation.results import History


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
    drawn = [loss for h in histories for losses in h.losses.values() for loss in losses]
    lowest = min(drawn, default=0.0)
    draw_levels(axis, {f"{name}, val": value for name, value in baselines.items()}, lowest / 100)
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
