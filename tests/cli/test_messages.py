"""What programs print reaches terminals of any encoding."""

import io

import pytest

from sinrnn.cli.messages import say


@pytest.mark.parametrize(
    ("encoding", "printed"),
    [("utf-8", "ü 日"), ("latin-1", "ü \\u65e5"), ("ascii", "\\xfc \\u65e5")],
)
def test_characters_outside_the_encoding_are_escaped(encoding, printed):
    stream = io.TextIOWrapper(io.BytesIO(), encoding)
    say("ü 日", stream, end="")
    stream.flush()
    assert stream.buffer.getvalue().decode(encoding) == printed
