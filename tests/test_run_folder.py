"""What is said of a path that is no run's folder."""

from pathlib import Path

import pytest

from sinrnn.run_folder import no_run


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """Seven runs of a name, and one of another."""
    monkeypatch.chdir(tmp_path)
    for name, count in (("sine", 7), ("series", 1)):
        for version in range(count):
            folder = tmp_path / "runs" / name / f"version_{version}"
            folder.mkdir(parents=True)
            (folder / "config.yaml").touch()
    return Path("runs")


def test_folder_of_versions_lists_them(runs):
    listed = "runs/sine/version_0, runs/sine/version_1, runs/sine/version_2, runs/sine/version_3"
    assert no_run(runs / "sine") == (
        "runs/sine is not a run's folder, it holds runs: name one of "
        f"{listed}, runs/sine/version_4, ... runs/sine/version_6"
    )
    assert no_run(runs).startswith("runs is not a run's folder, it holds runs: name one of runs/se")


def test_folder_that_is_not_there_is_likened_to_one_that_is(runs):
    said = "runs/sin is not a run's folder: no config.yaml in it: did you mean runs/sine?"
    assert no_run(runs / "sin") == said
    assert no_run(Path("nope")) == "nope is not a run's folder: no config.yaml in it"
    config = runs / "sine" / "version_0" / "config.yaml"
    assert no_run(config) == f"{config} is a file: name the folder of a run"
