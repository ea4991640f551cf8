"""Layout of the axes in a figure, and tick labels of log scales.

Matplotlib's constrained layout measures every text of a figure, which takes as long as drawing it.
This layout measures only the longest tick label of each axis, and computes the rest from font
sizes.
"""

from typing import Any

from matplotlib.axes import Axes
from matplotlib.axis import Axis, XAxis
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.layout_engine import PlaceHolderLayoutEngine
from matplotlib.textpath import text_to_path
from matplotlib.ticker import LogFormatterSciNotation, NullLocator

# In points.
EDGE = 4  # around a figure
GAP = 12.0  # between axes
TICK = 7  # a tick, and the gap to its label
LABEL = 4  # between tick labels and the axis label
TITLE = 6  # below a title
LINE = 1.2  # of the font size: a line of text

SUPERSCRIPTS = str.maketrans("0123456789-+.", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺·")


class PlainLogFormatter(LogFormatterSciNotation):
    """Formats powers of ten as plain text, 10⁻³, which draws ten times as fast as TeX."""

    def __call__(self, x: float, pos: Any = None) -> str:
        """Return the label of a tick."""
        text = super().__call__(x, pos)
        text = (
            text.replace(r"\mathdefault", "")
            .replace(r"\times", "\N{MULTIPLICATION SIGN}")
            .strip("${}")
        )
        base, _, power = text.partition("^{")
        return base.replace("-", "\N{MINUS SIGN}") + power.translate(SUPERSCRIPTS)


class Margins(PlaceHolderLayoutEngine):
    """Gives the axes of a grid all the room that labels, titles and legends leave."""

    def __init__(self) -> None:
        super().__init__(adjust_compatible=True, colorbar_gridspec=False)

    def execute(self, fig: Figure) -> None:
        """Place the axes, and their labels next to the tick labels."""
        width, height = 72 * fig.get_size_inches()
        axes = [axis for axis in fig.axes if axis.get_subplotspec() is not None and axis.axison]
        if not axes:
            return
        grid = axes[0].get_gridspec()
        assert grid is not None
        lefts, bottoms, tops = [0.0] * grid.ncols, [0.0] * grid.nrows, [0.0] * grid.nrows
        ticks: dict[Axes, tuple[float, float]] = {}
        for axis in axes:
            _write_powers_plainly(axis)
            row, column = _place(axis)
            across, down = ticks[axis] = _tick_labels(axis.yaxis), _tick_labels(axis.xaxis)
            lefts[column] = max(lefts[column], across + _label(axis.yaxis))
            bottoms[row] = max(bottoms[row], down + _label(axis.xaxis))
            tops[row] = max(tops[row], _above(axis))
        above, below = _legends(fig)
        between, margin = max(lefts[1:], default=0.0), GAP
        stacked = max(map(sum, zip(bottoms, tops[1:], strict=False)), default=0.0) + GAP
        left, bottom, top = lefts[0] + EDGE, bottoms[-1] + EDGE + below, height - EDGE - tops[0]
        for _ in range(4):  # repeated if a text is wider than its axes, which then become narrower
            right = width - EDGE - margin
            fig.subplots_adjust(
                **{"left": left / width, "right": right / width},
                **{"bottom": bottom / height, "top": (top - above) / height},
                wspace=_share(right - left, grid.ncols, between + margin),
                hspace=_share(top - above - bottom, grid.nrows, stacked),
            )
            over = max(_widest(axis) - axis.get_position().width * width for axis in axes) / 2
            if over <= margin:
                break
            margin = over
        widest = [max(ticks[a][0] for a in axes if _place(a)[1] == c) for c in range(grid.ncols)]
        for axis in axes:
            box, down = axis.get_position(), ticks[axis][1]
            across = widest[_place(axis)[1]]
            axis.yaxis.set_label_coords(-(across + LABEL) / (box.width * width), 0.5)
            axis.xaxis.set_label_coords(0.5, -(down + LABEL) / (box.height * height))


def _write_powers_plainly(axes: Axes) -> None:
    for axis in (axes.xaxis, axes.yaxis):
        if type(axis.get_major_formatter()) is LogFormatterSciNotation:
            axis.set_major_formatter(PlainLogFormatter())
            axis.set_minor_formatter(PlainLogFormatter(labelOnlyBase=False))
            low, high = sorted(axis.get_view_interval())
            if high > 100 * low:  # decades are labelled, ticks between them only take time
                axis.set_minor_locator(NullLocator())


def _place(axis: Axes) -> tuple[int, int]:
    """Return row and column of axes in their grid."""
    spec = axis.get_subplotspec()
    assert spec is not None
    return spec.rowspan.start, spec.colspan.start


def _share(room: float, count: int, gap: float) -> float:
    """Return the gap between axes relative to their mean size, as matplotlib expects it."""
    return gap / max((room - (count - 1) * gap) / count, 1.0)


def _tick_labels(axis: Axis) -> float:
    """Return the width of the ticks and labels of a y-axis, or the height of those of an x-axis."""
    params = axis.get_tick_params()
    if not params.get("labelleft", True) or not params.get("labelbottom", True):
        return TICK
    size = FontProperties(size=params.get("labelsize", 10.0))
    if isinstance(axis, XAxis):
        return TICK + LINE * size.get_size_in_points()
    texts = [
        *axis.get_major_formatter().format_ticks(list(axis.get_majorticklocs())),
        *axis.get_minor_formatter().format_ticks(list(axis.get_minorticklocs())),
    ]
    longest = max(texts, key=len, default="")
    width, _, _ = text_to_path.get_text_width_height_descent(longest, size, ismath=False)
    return TICK + width


def _label(axis: Axis) -> float:
    """Return the height of an axis label with the gap before it."""
    label = axis.label
    lines = label.get_text().count("\n") + 1
    return LABEL + LINE * lines * float(label.get_fontsize()) if label.get_text() else 0.0


def _above(axis: Axes) -> float:
    """Return the height of the title, or of the factor of the tick labels, above axes."""
    title, factor = axis.title, axis.yaxis.get_major_formatter().get_offset()
    lines = title.get_text().count("\n") + 1 if title.get_text() else 0
    titled = lines and TITLE + LINE * lines * float(title.get_fontsize())
    return max(titled, LINE * 10 + 3 if factor else 0.0)


def _widest(axis: Axes) -> float:
    """Return the approximate width of the title or label, whichever is longer."""
    texts = (axis.title, axis.xaxis.label)
    return max(0.58 * len(text.get_text()) * float(text.get_fontsize()) for text in texts)


def _legends(fig: Figure) -> tuple[float, float]:
    """Return the height of the figure's legends at its upper and at its lower edge."""
    rooms, scale = [0.0, 0.0], 72 / fig.dpi
    for legend in fig.legends:
        box = legend.get_window_extent()
        room = scale * box.height + LABEL
        at = 0 if box.y0 + box.y1 > fig.bbox.height else 1
        rooms[at] = max(rooms[at], room)
    return rooms[0], rooms[1]
