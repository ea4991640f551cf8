"""Tables as text and for notebooks."""

from sinrnn.evaluation import columns

ROWS = [["name", "loss", ""], ["a <b>", "1", "x"], ["c\x1b", "", ""]]


def test_columns_line_up():
    assert columns.text(ROWS) == "\n".join(
        ["name   loss", "--------------", "a <b>  1     x", "c\x1b"]
    )


def test_html_escapes_what_stands_in_it():
    assert columns.as_html(ROWS) == (
        "<table><thead><tr><th>name</th><th>loss</th><th></th></tr></thead><tbody>"
        "<tr><td>a &lt;b&gt;</td><td>1</td><td>x</td></tr>"
        "<tr><td>c\\x1b</td><td></td><td></td></tr></tbody></table>"
    )
