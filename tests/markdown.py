"""Run the Python of a Markdown document.

`python tests/markdown.py docs/derivation.md` does so in the folder where it is started: what the
document draws is written there.
"""

import contextlib
import io
import re
import sys
from pathlib import Path

# A python block, and the text block that follows with nothing but blank lines between.
PYTHON = re.compile(
    r"^```python\n(.*?)^```$(?:\n\s*^```text\n(.*?)^```$)?", re.DOTALL | re.MULTILINE
)


def blocks(path):
    """The python blocks: code, what it says it prints (None: nothing), line of its fence."""
    text = Path(path).read_text()
    return [(m[1], m[2], text.count("\n", 0, m.start(1))) for m in PYTHON.finditer(text)]


def run(path, folder):
    """Run the python blocks in order, in one namespace, in the folder; gives the namespace.

    What a block prints must be what it says.
    """
    path, names = Path(path).resolve(), {"__name__": "document"}
    with contextlib.chdir(folder):
        for code, said, line in blocks(path):
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed):
                # Blank lines, so that a traceback shows the document's own.
                exec(compile("\n" * line + code, path, "exec"), names)
            where = f"{path.name}, line {line}: the block prints\n{printed.getvalue()}"
            assert said in (None, printed.getvalue()), where
    return names


if __name__ == "__main__":
    run(sys.argv[1], ".")
