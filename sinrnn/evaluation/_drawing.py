"""What all pictures share: size, colours, names, and what becomes of curves off the scale."""

from collections.abc import Mapping
from itertools import cycle
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from sinrnn.evaluation._layout import Margins
from sinrnn.evaluation.picture import Picture

# Apart in lightness, so that they differ in grey print and for those who see no red or no green.
TRUTH, SECOND, NETWORK, GREY = "#222222", "#0a4682", "#d86600", "#a9b4c2"
DASHED: dict[str, Any] = {"color": TRUTH, "ls": "--", "lw": 1}
STYLES = ("--", "-.", ":", (0, (8, 2)), (0, (4, 1, 1, 1, 1, 1)))
EDGE: dict[str, Any] = {"clip_on": False, "in_layout": False}  # else marks there take room
DRAWN = 5000  # stretches of a curve: a picture has 1,350 pixels from left to right
MARKS = 20  # of a curve, or at the edge: those of more points would merge


def blank(rows: int, columns: int, height: float, **kwargs: Any) -> tuple[Picture, Any]:
    """A figure and its axes, row by row."""
    figure = Picture(figsize=(9, height), dpi=150, layout=Margins())
    axes = figure.subplots(rows, columns, squeeze=False, **kwargs).ravel()
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(alpha=0.25)
    return figure, axes


def thinned(values: np.ndarray) -> np.ndarray:
    """Indices of what a picture can show of a long curve: the extremes of its stretches."""
    size = len(values) // DRAWN
    if size <= 2:
        return np.arange(len(values))
    rows = values[: len(values) // size * size].reshape(-1, size)
    starts, rest = np.arange(len(rows)) * size, np.arange(rows.size, len(values))
    return np.unique(np.concatenate([starts + rows.argmin(1), starts + rows.argmax(1), rest]))


def caption(axis: Axes, x: str, y: str, title: str = "", **legend: Any) -> None:
    """What stands around and beside the curves; a legend "outside ..." is the figure's."""
    axis.set(xlabel=x, ylabel=y)
    axis.set_title(title, fontsize=11, y=1.0)  # with y, as else its place would be looked for
    outside = str(legend.get("loc", "")).startswith("outside")
    of = axis.get_figure() if outside else axis
    assert of is not None  # axes of `blank`
    of.legend(*axis.get_legend_handles_labels(), fontsize=9, frameon=not outside, **legend)


def draw_levels(
    axis: Axes, levels: Mapping[str, float], lowest: float = 0.0, highest: float = np.inf
) -> None:
    """A line for each level, and a mark at the edges for those that would squeeze the rest."""
    said = {label: f"{label}: {value:.1e}" for label, value in levels.items()}
    seen = [label for label, value in levels.items() if lowest <= value <= highest]
    for style, label in zip(cycle(STYLES), seen, strict=False):
        axis.axhline(levels[label], ls=style, color=TRUTH, lw=1, label=said[label])
    for mark, edge, where in (("^", 1, "above"), ("v", 0, "below")):
        there = {label: (value > highest) == (edge == 1) for label, value in levels.items()}
        if out := [said[label] for label in levels if label not in seen and there[label]]:
            label = "\n".join([f"{where} the axis:", *out])
            axis.plot(
                [0.5], [edge], mark, color=TRUTH, label=label, transform=axis.transAxes, **EDGE
            )


def scale(axis: Axes, shown: np.ndarray, more: np.ndarray) -> None:
    """Let one curve set the y-axis, and another where it lies no more than two ranges outside.

    Args:
        axis: Whose limits are set.
        shown: What must be in the picture, and not squeezed.
        more: What may leave it.
    """
    low, high = np.min(shown), np.max(shown)
    room = max(high - low, 1e-12, 1e-9 * abs(high))
    near = more[(more >= low - 2 * room) & (more <= high + 2 * room)]
    ends = [low, high, *([near.min(), near.max()] if len(near) else [])]
    axis.set_ylim(min(ends) - 0.1 * room, max(ends) + 0.1 * room)


def mark_off_scale(axis: Axes, line: Line2D) -> None:
    """Show at the edge of the axes where a curve lies outside, and say so beside its name.

    Args:
        axis: With its limits set.
        line: One of its curves.
    """
    x, y = np.asarray(line.get_xdata()), np.asarray(line.get_ydata(), dtype=float)
    low, high = axis.get_ylim()
    outside = ~((y >= low) & (y <= high))  # what is no number included
    if not outside.any():
        return
    for mark, edge, there in (("v", low, y < low), ("^", high, outside & ~(y < low))):
        every = max(np.count_nonzero(there) // MARKS, 1)
        at = x[there][::every]
        axis.plot(at, np.full(len(at), edge), mark, color=line.get_color(), ms=5, **EDGE)
    axis.set_ylim(low, high)
    finite = y[outside & np.isfinite(y)]
    words = [f"{end:.2g}" for end in (finite.min(), finite.max())] if len(finite) else []
    said = [" to ".join(dict.fromkeys(words))] if words else []
    said += ["not finite"] if len(finite) < np.count_nonzero(outside) else []
    line.set_label(f"{line.get_label()} (off scale: {', '.join(said)})")
