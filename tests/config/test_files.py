"""A run's config, read from another folder than the one in which the run was trained."""

from pathlib import Path

import pytest

from sinrnn.config.files import resuming, seen_from_here

CONFIG = "data: {series: {class_path: sinrnn.FileSeries, init_args: {path: data/x.csv}}}\n"


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run of home/data/x.csv, as seen from a folder elsewhere."""
    folder = tmp_path / "home" / "runs" / "a" / "version_0"
    elsewhere = tmp_path / "elsewhere"
    for made in (folder, tmp_path / "home" / "data", elsewhere):
        made.mkdir(parents=True)
    (tmp_path / "home" / "data" / "x.csv").write_text("1\n2\n")
    (folder / "config.yaml").write_text(CONFIG)
    monkeypatch.chdir(elsewhere)
    return Path("..", "home", "runs", "a", "version_0")


def test_series_is_found_where_the_run_was_trained(run, monkeypatch):
    there = str(Path.cwd() / run.parents[2] / "data" / "x.csv")
    assert Path(seen_from_here(run, "data/x.csv")).samefile(there)
    assert resuming(run)[2:] == [f"--data.series.path={seen_from_here(run, 'data/x.csv')}"]
    assert seen_from_here(run, "nowhere.csv") == "nowhere.csv"
    assert seen_from_here(run, there) == there
    monkeypatch.chdir(run.parents[2])
    at_home = Path("runs", "a", "version_0")
    assert seen_from_here(at_home, "data/x.csv") == "data/x.csv"
    assert len(resuming(at_home)) == 2
