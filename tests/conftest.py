"""Every test starts from the same state: float64, seeded, one thread.

What needs an extra, a process of its own or seconds is marked so, and left out by default:
`pytest -m ""` runs everything.
"""

import functools
import importlib.metadata
import re
import shutil
import sys
from pathlib import Path

import pytest

# Each Trainer of Lightning looks through the metadata of all that is installed.
importlib.metadata.entry_points = functools.cache(importlib.metadata.entry_points)

# The files that take longest, longest first, so that no worker ends with one of them.
LONG = "train chaos strangers seeds loop_state forecasting_document notebooks run api processes"
LONG += " browser module wheel bad_input checkpoint strangers_runs predictor monitor forecaster"


def pytest_collection_modifyitems(items):
    import torch  # here, as the process that only hands tests to others does without

    torch.set_num_threads(1)  # at these sizes a second thread costs more than it brings
    places = {f"test_{name}": place for place, name in enumerate(LONG.split())}
    items.sort(key=lambda item: places.get(item.path.stem, len(places)))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    _marks.append({mark.name for mark in item.iter_markers()})
    try:
        return (yield)
    finally:
        _marks.pop()


def pytest_sessionfinish():
    if "programs" in sys.modules:
        sys.modules["programs"].close()


_marks = []  # of the test that runs


def _python_is_started_where_a_mark_says_so(event, args):
    if event in ("program", "subprocess.Popen") and args[0] == sys.executable and _marks:
        assert {"extra", "process", "slow"} & _marks[-1], "it needs pytest.mark.process"


sys.addaudithook(_python_is_started_where_a_mark_says_so)


@pytest.fixture(autouse=True)
def _exact_and_seeded():
    import numpy as np
    import torch

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
