"""The commands start their program, and keep the garbage collector out of imports and exit."""

import gc
import sys
import tomllib
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import pytest

from sinrnn.cli import start

ROOT = Path(__file__).parents[2]
COMMANDS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]


@pytest.fixture
def done(monkeypatch):
    """What is done in turn, with whether the collector runs meanwhile; nothing is frozen."""
    found = []

    def note(name):
        found.append((name, gc.isenabled()))

    def module(name):
        note(name)
        return SimpleNamespace(main=lambda: note("main") or 7)

    monkeypatch.setattr(start, "import_module", module)
    monkeypatch.setattr(gc, "freeze", lambda: note("freeze"))
    before = gc.get_threshold()
    yield found
    assert gc.isenabled()
    assert gc.get_threshold()[0] > before[0]
    gc.set_threshold(*before)


def test_collector_runs_in_a_program_and_not_in_its_imports(done):
    assert start.start("train") == 7
    imported, ended = ("sinrnn.cli.train", False), ("freeze", True)
    assert done == [imported, ("freeze", False), ("main", True), ended]


@pytest.mark.parametrize(("args", "trains"), [([], True), (["runs"], False)])
def test_sinrnn_imports_training_unless_it_lists_runs(done, monkeypatch, args, trains):
    monkeypatch.setattr(sys, "argv", ["sinrnn", *args])
    assert start.main() == 7
    assert (("sinrnn.cli.train", False) in done) is trains


@pytest.mark.parametrize("place", COMMANDS.values(), ids=COMMANDS)
def test_command_of_the_package_starts_a_program_that_is_there(done, place):
    module, name = place.split(":")
    assert getattr(import_module(module), name)() == 7
    assert import_module(done[0][0]).main
