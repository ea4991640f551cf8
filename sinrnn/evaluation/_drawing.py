"""Size, colours, captions and off-scale marks of all figures."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from sinrnn.evaluation._layout import Margins
from sinrnn.evaluation.picture import Picture

# They differ in lightness, so that they can be told apart in grey print and by the colour-blind.
TRUTH, SECOND, NETWORK, GREY = "#222222", "#0a4682", "#d86600", "#a9b4c2"
DASHED: dict[str, Any] = {"color": TRUTH, "ls": "--", "lw": 1}
STYLES = ("--", "-.", ":", (0, (8, 2)), (0, (4, 1, 1, 1, 1, 1)))
DRAWN = 1350  # segments of a curve, one for each pixel of a figure: more take time and memory
MARKS = 20  # of a curve, or at the edge; more would overlap


def blank(rows: int, columns: int, height: float, **kwargs: Any) -> tuple[Picture, Any]:
    """Return a figure and its axes, row by row."""
    figure = Picture(figsize=(9, height), dpi=150, layout=Margins())
    axes = figure.subplots(rows, columns, squeeze=False, **kwargs).ravel()
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(alpha=0.25)
        # A tick takes 1 ms. `prune` leaves out those at and beyond either end of an axis.
        axis.locator_params(nbins=6, steps=[1, 2, 5, 10], prune="both")
    return figure, axes


def thinned(values: np.ndarray) -> np.ndarray:
    """Return the indices to draw of a long curve: the extremes of each segment."""
    size = len(values) // DRAWN
    if size <= 2:
        return np.arange(len(values))
    rows = values[: len(values) // size * size].reshape(-1, size)
    starts, rest = np.arange(len(rows)) * size, np.arange(rows.size, len(values))
    return np.unique(np.concatenate([starts + rows.argmin(1), starts + rows.argmax(1), rest]))


def caption(axis: Axes, x: str, y: str, title: str = "", **legend: Any) -> None:
    """Set labels, title and legend; a legend "outside ..." belongs to the figure."""
    axis.set(xlabel=x, ylabel=y)
    axis.set_title(title, fontsize=11, y=1.0)  # with y, matplotlib does not search for its place
    outside = str(legend.get("loc", "")).startswith("outside")
    of = axis.get_figure() if outside else axis
    assert of is not None  # axes of `blank`
    of.legend(*axis.get_legend_handles_labels(), fontsize=9, frameon=not outside, **legend)


def draw_levels(
    axis: Axes, levels: Mapping[str, float], lowest: float = 0.0, highest: float = np.inf
) -> None:
    """Draw a line for each level, and a mark at the edge for levels out of range."""
    text = {label: f"{label}: {value:.1e}" for label, value in levels.items()}
    inside = [label for label, value in levels.items() if lowest <= value <= highest]
    for style, label in zip(cycle(STYLES), inside, strict=False):
        axis.axhline(levels[label], ls=style, color=TRUTH, lw=1, label=text[label])
    for mark, edge, where in (("^", 1, "above"), ("v", 0, "below")):
        there = {label: (value > highest) == (edge == 1) for label, value in levels.items()}
        if out := [text[label] for label in levels if label not in inside and there[label]]:
            label = "\n".join([f"{where} the axis:", *out])
            look: dict[str, Any] = {"transform": axis.transAxes, "clip_on": False}
            axis.plot([0.5], [edge], mark, color=TRUTH, label=label, **look)


def scale(axis: Axes, shown: Sequence[np.ndarray], more: np.ndarray) -> None:
    """Set the y-axis from some curves, and from another within two ranges of them.

    Args:
        axis: The axes.
        shown: The values of each curve that is shown completely.
        more: The values of the other curve; it is not copied, as it may be long.
    """
    low, high = min(map(np.min, shown)), max(map(np.max, shown))
    room = max(high - low, 1e-12, 1e-9 * abs(high))
    near = (more >= low - 2 * room) & (more <= high + 2 * room)
    bottom, top = more.min(where=near, initial=low), more.max(where=near, initial=high)
    axis.set_ylim(bottom - 0.1 * room, top + 0.1 * room)


def mark_off_scale(axis: Axes, line: Line2D) -> None:
    """Mark at the edge of the axes where a curve lies outside, and add its range to the legend.

    Args:
        axis: Axes whose limits are set.
        line: One of its curves.
    """
    x, y = np.asarray(line.get_xdata()), np.asarray(line.get_ydata(), dtype=float)
    low, high = axis.get_ylim()
    outside = ~((y >= low) & (y <= high))  # including nan
    if not outside.any():
        return
    for mark, edge, there in (("v", low, y < low), ("^", high, outside & ~(y < low))):
        every = max(np.count_nonzero(there) // MARKS, 1)
        at = x[there][::every]
        axis.plot(at, np.full(len(at), edge), mark, color=line.get_color(), ms=5, clip_on=False)
    axis.set_ylim(low, high)
    finite = y[outside & np.isfinite(y)]
    ends = [f"{end:.2g}" for end in (finite.min(), finite.max())] if len(finite) else []
    notes = [" to ".join(dict.fromkeys(ends))] if ends else []
    notes += ["not finite"] if len(finite) < np.count_nonzero(outside) else []
    line.set_label(f"{line.get_label()} (off scale: {', '.join(notes)})")
