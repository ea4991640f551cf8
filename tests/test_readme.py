"""What the README says can be done, done."""

import re
from pathlib import Path

README = (Path(__file__).parent.parent / "README.md").read_text()


def test_python_of_the_readme_learns():
    (block,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    names = {}
    exec(block, names)
    assert names["loss"].item() < 1e-3
    assert names["net"](names["x"][:, :10, None]).shape == (50, 1)


def test_files_that_the_readme_maps_are_there():
    root = Path(__file__).parent.parent
    listed = re.findall(r"(?:sinrnn|scripts|configs)/[\w/]+\.(?:py|yaml)", README)
    present = [
        str(path.relative_to(root))
        for pattern in ("sinrnn/**/*.py", "scripts/*.py", "configs/*.yaml")
        for path in root.glob(pattern)
        if not path.name.startswith("__")
    ]
    assert set(listed) == set(present)
