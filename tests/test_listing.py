"""The table of the runs in a folder; and `sinrnn runs`, which prints it."""

import re
import sys
from functools import partial
from pathlib import Path

import pytest
import torch
from torch.optim import SGD, Adam

from sinrnn import Forecaster, Run, Sine, WindowDataModule, fit, runs
from sinrnn.cli import main as cli

QUIET = {"accelerator": "cpu", "enable_progress_bar": False, "figures": False}
PARTS = ["name", "version", "state", "val", "test", "seconds"]


ADAM = partial(Adam, lr=0.01)


def trained(name, hidden_size=5, optimizer=ADAM, epochs=1):
    model = Forecaster(hidden_size=hidden_size, optimizer=optimizer)
    data = WindowDataModule(Sine(points=120).values())
    return fit(model, data, name=name, seed=3, max_epochs=epochs, **QUIET)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two names: of the first two finished runs, one unfinished and one broken run."""
    home = tmp_path_factory.mktemp("listed")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        torch.set_default_dtype(torch.float32)
        trained("b", hidden_size=6)
        trained("b", epochs=2)
        unfinished = trained("b").folder
        for name in ("results.json", "report.md"):
            (unfinished / name).unlink()
        trained("a", optimizer=partial(SGD, lr=0.1))
    broken = home / "runs" / "b" / "version_10"
    broken.mkdir()
    (broken / "config.yaml").write_text("a: [\x1b")
    (home / "runs" / "notes").mkdir()
    return home / "runs"


def test_runs_have_their_losses_and_the_settings_that_differ(folder):
    table = runs(folder).to_pandas()
    assert list(table) == [
        *PARTS,
        "model.hidden_size",
        "model.optimizer.class_path",
        "trainer.max_epochs",
    ]
    versions = ["a/version_0", *(f"b/version_{i}" for i in (0, 1, 2, 10))]
    assert (table["name"] + "/" + table["version"]).tolist() == versions
    losses = Run(folder / "b" / "version_1").results.half_mse["network"]
    assert table.loc[2, ["val", "test"]].tolist() == [losses["val"], losses["test"]]
    assert (table["seconds"][:3] > 0).all()
    assert table["model.hidden_size"].tolist()[:4] == [5, 6, 5, 5]


def test_unfinished_and_broken_runs_have_what_is_known(folder):
    unfinished, broken = runs(folder / "b").rows[2:]
    known = Run(unfinished.folder).history.losses["val"]
    assert (unfinished.state, unfinished.val) == ("unfinished", min(known))
    assert (unfinished.test, unfinished.seconds) == (None, None)
    assert broken.state.startswith(f"broken: {broken.folder / 'config.yaml'} is not YAML")
    assert (broken.val, broken.settings) == (None, {})


def test_table_shows_itself(folder):
    found = runs(folder)
    head, _, *lines = repr(found).splitlines()
    assert head.split() == ["run", *PARTS[3:], "hidden_size", "optimizer"]
    assert [line.split()[0] for line in lines[:5]] == [
        *("a/version_0", "b/version_0", "b/version_1", "b/version_2", "b/version_10")
    ]
    assert lines[0].split()[4:] == ["5", "SGD"]
    assert lines[3].split()[2] == "unfinished"
    assert lines[4].split()[1] == "broken"
    assert lines[5] == "1 more setting differs: see .to_pandas()"
    assert " ".join(line.strip() for line in lines[6:]).startswith(
        f"{folder}/b/version_10 is broken: {folder}/b/version_10"
    )
    assert max(map(len, [head, *lines[:6]])) <= 79
    assert "\x1b" not in repr(found)
    assert "<td>SGD</td>" in found._repr_html_()
    (folder / "nothing").mkdir(exist_ok=True)
    assert repr(runs(folder / "nothing")) == runs(folder / "nothing")._repr_html_() == "no runs"
    assert runs(folder / "nothing").to_pandas().empty


def test_settings_beyond_those_that_have_room_are_counted(folder):
    found = runs(folder)
    for i, row in enumerate(found.rows[:-1]):  # the last is broken
        row.settings |= {f"trainer.z{j}": i for j in range(9)}
    assert re.search(r"\n1\d more settings differ: see \.to_pandas\(\)\n", repr(found))
    assert "z8" not in repr(found)
    assert "trainer.z8" in found.to_pandas()


def test_command_lists_runs(folder, capsys, monkeypatch):
    monkeypatch.chdir(folder.parent)
    assert cli.main(["runs"]) == 0
    assert capsys.readouterr().out == f"{runs(Path('runs'))}\n"
    assert cli.main(["runs", "elsewhere"]) == 2
    assert capsys.readouterr().err.startswith("error: there is no folder elsewhere: name one")
    monkeypatch.setattr(sys, "argv", ["-c"])
    with pytest.raises(SystemExit, match="0"):
        cli.main(["runs", "--help"])
    assert " -m sinrnn runs [-h] [folder]" in capsys.readouterr().out
