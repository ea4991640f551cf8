"""What people get wrong, and the one sentence that they get for it: tests/cli/bad_input.txt.

There, `$` stands before arguments, `%` before a config, `@` before a file of a series; the line
below, which is indented, is what the program says.
"""

import csv
import io
import math
from pathlib import Path

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from hypothesis.configuration import set_hypothesis_home_dir

from sinrnn import FileSeries, Windows

set_hypothesis_home_dir("/dev/null")  # or it leaves a folder
QUICK = settings(derandomize=True, deadline=None, database=None, max_examples=150)
LINES = (Path(__file__).parent / "bad_input.txt").read_text().splitlines()
CASES = list(zip(LINES[::2], (line.removeprefix("    ") for line in LINES[1::2]), strict=True))


def arguments(given):
    """What the program is called with; the file that a case needs is written."""
    kind, text = given[0], given[2:].replace("\\n", "\n").replace("\\t", "\t")
    if kind == "$":
        return ["--data.series.points", "120", *text.split()]
    name, content = ("c.yaml", text) if kind == "%" else text.split(": ", 1)
    Path(name).write_text(content + "\n" if content else "")
    if kind == "%":
        return ["--config", name]
    return ["--data.series", "FileSeries", "--data.series.path", name]


def test_table_is_long_and_has_no_case_twice():
    assert len(CASES) == len({case[0] for case in CASES}) >= 60
    assert {case[0][:2] for case in CASES} == {"$ ", "% ", "@ "}


@pytest.mark.parametrize(("given", "said"), CASES, ids=[case[0] for case in CASES])
def test_bad_input_gets_its_sentence_and_leaves_nothing(refused, given, said):
    assert refused(*arguments(given)) == said


def attempt(what):
    """What comes of it, or None and the sentence."""
    try:
        return what(), ""
    except ValueError as error:
        return None, str(error)


def number(cell):
    """The number in a cell, nan where there is none."""
    try:
        return float(cell.replace(",", "."))
    except ValueError:
        return math.nan


numbers = st.floats(-1e6, 1e6, width=32).map(str)
cells = numbers | st.sampled_from(["", " ", "nan", "inf", "1e999", "x", "1;2", '"', "1,5", "NA"])


@QUICK
@given(st.lists(st.lists(cells, min_size=1, max_size=2), min_size=1, max_size=6), st.booleans())
def test_csv_gives_each_number_of_each_row_or_a_sentence(tmp_path_factory, rows, head):
    path = tmp_path_factory.getbasetemp() / "any.csv"
    text = io.StringIO()
    csv.writer(text).writerows([["a", "b"][: len(rows[0])], *rows] if head else rows)
    path.write_text(text.getvalue())
    found, said = attempt(FileSeries(path, column=0).values)
    if found is None:
        assert str(path) in said
        assert "\n" not in said
        return
    expected = [number(row[0]) for row in rows]
    while math.isnan(expected[0]):  # a name, a title, or a blank line
        expected.pop(0)
    while math.isnan(expected[-1]):  # rows of empty cells
        expected.pop()
    assert found.tolist() == expected


@QUICK
@given(*(st.integers(-1, 9) for _ in range(4)))
def test_windows_are_those_of_a_loop_or_a_sentence(points, window, horizon, steps):
    values = torch.arange(max(points, 0), dtype=torch.float64) ** 2
    found, said = attempt(lambda: Windows(values, window, horizon, steps)[:])
    if found is None:
        assert min(window, horizon, steps) < 1 or window + horizon + steps - 1 > len(values)
        assert "\n" not in said
        return
    x, y = found
    starts = range(len(values) - (window + horizon + steps - 1) + 1)
    ends = [start + window + horizon - 1 for start in starts]
    assert x[..., 0].tolist() == [values[start : start + window].tolist() for start in starts]
    assert y.tolist() == [values[end : end + steps].tolist() for end in ends]
