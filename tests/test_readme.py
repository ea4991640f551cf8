"""The Python of the README runs and does what it says."""

import re
from pathlib import Path

README = (Path(__file__).parent.parent / "README.md").read_text()


def test_python_of_the_readme_trains_forecasts_and_differentiates(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in re.findall(r"```python\n(.*?)```", README, re.DOTALL):
        exec(block, names)
    assert names["forecast"].prediction.isfinite().all()
    assert (tmp_path / "rollout.png").stat().st_size > 10_000
    assert names["y"].shape == (8, 1)
    assert all(weight.grad.abs().max() > 0 for weight in names["net"].parameters())
