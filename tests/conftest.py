"""Every test starts from the same state: float64, seeded, one thread.

`pytest -m quick` runs the files that need no more than a few seconds each.
"""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

torch.set_num_threads(1)  # at these sizes a second thread costs more than it brings

# Files that train, start processes or draw, longest first, so that of several workers none is left
# with one at the end. All others are quick.
SLOW = [
    *(
        "test_train",
        "test_notebooks",
        "test_processes",
        "test_browser",
        "test_chaos",
        "test_checkpoint",
    ),
    *(
        "test_module",
        "test_setup",
        "test_loop_state",
        "test_strangers",
        "test_forecasting_document",
        "test_documents",
        "test_api",
        "test_bad_input",
    ),
    *("test_wheel", "test_monitor", "test_examples", "test_numerics", "test_forecast"),
    *("test_diagnose", "test_plots", "test_onnx", "test_loggers", "test_diagnosis"),
    *("test_strangers_runs", "test_strangers_files", "test_predictor", "test_readers"),
    *("test_run", "test_seeds", "test_listing", "test_readme", "test_forecaster", "test_modes"),
]


def pytest_collection_modifyitems(items):
    places = {name: place for place, name in enumerate(SLOW)}
    items.sort(key=lambda item: places.get(item.path.stem, len(places)))
    for item in items:
        if item.path.stem not in places:
            item.add_marker("quick")


@pytest.fixture(autouse=True)
def _exact_and_seeded():
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002 - for code that draws from the global generator
    yield
    torch.set_default_dtype(before)


# Programs, called in this process; imported there, as Lightning is slow to come.


@pytest.fixture
def train(tmp_path, monkeypatch, capsys):
    """Train in an empty folder: (arguments) -> status, stdout, stderr."""
    from sinrnn.cli.train import main

    monkeypatch.chdir(tmp_path)

    def call(*args, callbacks=()):
        capsys.readouterr()
        return main(args, callbacks), *capsys.readouterr()

    return call


@pytest.fixture
def no_pictures(tmp_path, monkeypatch):
    from strangers import work_in

    work_in(tmp_path, monkeypatch)


@pytest.fixture
def refused(tmp_path, monkeypatch, capsys):
    """Call a program that refuses in one line and touches no file, and give that line."""
    from strangers import contents

    from sinrnn.cli import train

    monkeypatch.chdir(tmp_path)

    def call(*args, main=train.main):
        before = contents(tmp_path)
        capsys.readouterr()
        assert main(list(args)) == 2
        out, err = capsys.readouterr()
        assert contents(tmp_path) == before
        assert out == ""
        assert re.fullmatch(r"error: [^\n]+\n", err), err
        return err.removeprefix("error: ").rstrip()

    return call


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """The folder of a finished small run, which no test changes."""
    from strangers import small_run

    return small_run(tmp_path_factory.mktemp("trained"))


@pytest.fixture
def theirs(trained, tmp_path, no_pictures):
    """A copy of that folder, from a stranger; its name, as seen from where one is."""
    shutil.copytree(trained, tmp_path / "theirs")
    return Path("theirs")
