"""What the README says can be done, done."""

import re
from pathlib import Path

README = (Path(__file__).parent.parent / "README.md").read_text()


def test_python_of_the_readme_learns(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in re.findall(r"```python\n(.*?)```", README, re.DOTALL):
        exec(block, names)
    assert names["forecast"].prediction.isfinite().all()
    assert (tmp_path / "rollout.png").stat().st_size > 10_000
    assert names["loss"].item() < 1e-3
    assert names["net"](names["x"][:, :10, None]).shape == (50, 1)


def test_folders_of_the_package_are_those_that_the_readme_maps():
    package = Path(__file__).parents[1] / "sinrnn"
    listed = re.findall(r"^ {4}sinrnn/(\w+)/ ", README, re.MULTILINE)
    present = [path.parent.name for path in package.glob("*/__init__.py")]
    assert sorted(listed) == sorted(present)
