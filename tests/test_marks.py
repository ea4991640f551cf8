"""Every test is in the README's line or in the second run of .ci/run, and none in neither."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_second_run_is_all_that_the_first_leaves_out():
    options = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]
    marks = " or ".join(mark.partition(":")[0] for mark in options["markers"])
    assert re.findall(r"-m '(.*)'", options["addopts"]) == [f"not ({marks})"]
    script, readme = ((ROOT / name).read_text() for name in (".ci/run", "README.md"))
    runs = re.findall(r"^pytest (.*?)(?: +#.*)?$", script, re.MULTILINE)
    assert runs == [f"-n 2 -m '{marks}' -rs"]
    (line,) = re.findall(r"^pip install .*\[dev\].* && (pytest.*)$", readme, re.MULTILINE)
    assert line == "pytest -n 2"
    assert 'eval "$line"' in script
