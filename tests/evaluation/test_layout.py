"""Labels lie within the picture, and none over another axes, though none is drawn to find out."""

import itertools

import pytest

from sinrnn.evaluation._drawing import blank, caption
from sinrnn.evaluation._layout import PlainLogFormatter
from sinrnn.evaluation.picture import png

LONG = "a label that is wider than its axes"


def filled(rows, columns, low, high, scale="linear", x="", **caption_of):
    """A figure with a curve from low to high in each axes, the last with a label below."""
    figure, axes = blank(rows, columns, 4, sharex=rows > 1)
    for axis in axes:
        axis.set_yscale(scale)
        axis.plot([0, 9], [low, high], label="curve")
        axis.set_ylabel("quantity")
    caption(axes[-1], x, "quantity", **caption_of)
    return figure


FIGURES = {
    "one": lambda: filled(1, 1, 0, 1),
    "one curve of few decades": lambda: filled(1, 1, 2e-3, 7e-3, "log"),
    "one curve of many decades": lambda: filled(1, 1, 1e-300, 1e4, "log"),
    "negative": lambda: filled(1, 2, -1.0625e5, -1.0626e5),
    "a factor": lambda: filled(2, 1, -1e-9, 1e-9, title="title"),
    "stacked, with a legend above": lambda: filled(2, 1, 0, 1, loc="outside upper center"),
    "stacked, with a legend below": lambda: filled(2, 1, 0, 1, loc="outside lower center"),
    "a grid": lambda: filled(2, 4, 0.123456, 0.123457),
    "labels that are too wide": lambda: filled(1, 3, 0, 1, x=LONG),
    "lines of a title": lambda: filled(2, 2, 0, 1, title="one\ntwo\nthree"),
}


@pytest.mark.parametrize("name", FIGURES)
def test_nothing_leaves_the_figure_and_no_axes_overlap(name):
    figure = FIGURES[name]()
    assert png(figure)
    boxes = [axis.get_tightbbox() for axis in figure.axes]
    boxes += [legend.get_window_extent() for legend in figure.legends]
    for box in boxes:
        assert box.x0 >= 0
        assert box.y0 >= 0
        assert box.x1 <= figure.bbox.width
        assert box.y1 <= figure.bbox.height
    for one, two in itertools.combinations(boxes, 2):
        assert not one.overlaps(two)


def test_axes_take_most_of_the_figure():
    figure = FIGURES["one"]()
    png(figure)
    box = figure.axes[0].get_position()
    assert box.width > 0.85
    assert box.height > 0.8


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (1e-3, 1e2, {"10⁻³", "10²"}),
        (2e-11, 7e-11, {"2\N{MULTIPLICATION SIGN}10⁻¹¹", "6\N{MULTIPLICATION SIGN}10⁻¹¹"}),
    ],
)
def test_powers_of_ten_are_those_of_matplotlib_without_tex(low, high, expected):
    figure = filled(1, 1, low, high, "log")
    png(figure)
    axis = figure.axes[0].yaxis
    texts = {*axis.get_major_formatter().format_ticks(axis.get_majorticklocs())}
    texts |= {*axis.get_minor_formatter().format_ticks(axis.get_minorticklocs())}
    assert expected <= texts
    assert not [text for text in texts if "$" in text or "^" in text]


def test_formatter_keeps_empty_labels_and_negative_numbers():
    plain = PlainLogFormatter(labelOnlyBase=True)
    assert plain(3.0) == ""
    assert plain(-100.0) == "\N{MINUS SIGN}10²"
    assert plain(0.0) == "0"
