"""Several seeds: each run as by itself, their table, and what happens where one does not end."""

import copy
import re
import signal
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import programs
import pytest
import torch
from torch.optim import SGD, Adam
from torch.optim.lr_scheduler import LambdaLR

import sinrnn.seeds
from sinrnn import FileSeries, Forecaster, Run, Sine, WindowDataModule, fit
from sinrnn.cli.train import main
from sinrnn.evaluation.summary import Summary

QUIET = {"accelerator": "cpu", "enable_progress_bar": False}


@pytest.fixture(autouse=True)
def _where_one_works(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.set_default_dtype(torch.float32)  # as in a process of its own


def small(**options):
    model = Forecaster(hidden_size=5, **{"optimizer": partial(Adam, lr=0.01)} | options)
    return model, WindowDataModule(Sine(points=120).values())


def bits(folder):
    weights = (folder / "model.safetensors").read_bytes()
    return weights, (folder / "metrics.csv").read_bytes()


@pytest.mark.process
def test_runs_are_as_by_themselves_and_stand_in_one_table():
    options = {"name": "many", "max_epochs": 2, "figures": False, **QUIET}
    found = fit(*small(), seed=3, seeds=2, **options)
    assert [run.folder for run in found.runs] == [Path(f"runs/many/version_{i}") for i in range(2)]
    for seed, run in zip((3, 4), found.runs, strict=True):
        alone = fit(*small(), seed=seed, **options)
        assert bits(run.folder) == bits(alone.folder)
        configs = [copy.deepcopy(each.config) for each in (run, alone)]
        for config in configs:
            config["data"]["series"].pop("init_args")  # where its values are
        assert configs[0] == configs[1]
    losses = [run.results.half_mse["network"]["test"] for run in found.runs]
    head, _, *rows = found.table.splitlines()
    assert head.split("  ")[0] == "2 seeds, 3 to 4"
    assert re.split("  +", rows[2]) == [
        "half_mse test",
        *(f"{x:.2e}" for x in (sum(losses) / 2, min(losses), max(losses))),
    ]
    assert (found.failed, found.finished) == ({}, found.runs)
    assert not list(Path().rglob("*.png"))
    assert repr(found) == found.table
    assert "<th>2 seeds, 3 to 4</th>" in found._repr_html_()
    assert 'src="data:image/png;base64,' in found._repr_html_()


def here(folder, trusted):
    """In place of a process, this one."""
    status = main(["--resume", str(folder)])
    return SimpleNamespace(has_ended=lambda: True, failure=lambda: status or "")


def test_command_line_trains_with_several_seeds(train, monkeypatch):
    monkeypatch.setattr(sinrnn.seeds, "Worker", here)
    args = ["--trainer.max_epochs=1", "--figures=false", "--data.series.points=120"]
    status, said, _ = train("--seeds", "2", "--seed_everything=1", *args)
    assert status == 0
    assert "2/2" in said
    assert "\n2 seeds, 1 to 2 " in said
    train("--seed_everything=2", *args)
    folders = [Path("runs/sine", f"version_{i}") for i in (1, 2)]
    assert bits(folders[0]) == bits(folders[1])
    assert not (folders[0] / "figures" / "seeds.png").exists()


@pytest.mark.process
def test_ctrl_c_stops_all_and_each_can_be_resumed():
    command = ["-m", "sinrnn", "--seeds", "3", "--figures=false"]
    command += [
        "--data.series.points=120",
        "--trainer.max_epochs=100000",
        "--model.readout_epoch=1",
    ]
    process = programs.Program(command)
    cores = min(3, sinrnn.seeds._cores())
    begun = [Path("runs/sine", f"version_{i}", "checkpoints/last.ckpt") for i in range(cores)]
    while not all(path.exists() for path in begun):
        assert process.poll() is None
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    runs = [Path("runs/sine", f"version_{i}") for i in range(3)]
    for folder in runs:
        assert f"stopped and saved: {folder}: resume it separately" in said
    for folder in runs[1:]:
        epochs = Run(folder).history.epochs
        run = Run(folder).resume(max_epochs=len(epochs) + 1, enable_progress_bar=False)
        assert run.report
    with pytest.raises(ValueError, match=r"you have set Trainer\(max_epochs=1\)"):
        Run(runs[0]).resume(max_epochs=1)


FAKE = """
import pathlib, shutil, sys
folder = pathlib.Path(sys.argv[3])
text = (folder / "config.yaml").read_text()
for seed, code in CODE.items():
    if f"seed_everything: {seed}" in text:
        exec(code)
"""


def fake(monkeypatch, code):
    """Put code, by seed, in place of the processes that train."""
    monkeypatch.setattr(sinrnn.seeds, "WORKER", FAKE.replace("CODE", repr(code)))


@pytest.mark.process
def test_one_that_fails_is_named_and_the_others_are_kept(monkeypatch, tmp_path):
    done = Summary({"network": {"train": 1, "val": 2, "test": 3}}, {}, None, None, 1.5)
    (tmp_path / "results.json").write_bytes(done.content())
    began = 'open(folder / "checkpoints" / "last.ckpt", "x")'
    code = {
        0: 'shutil.copy("results.json", folder)',
        1: 'print("a warning\\nerror: too \x1b large", file=sys.stderr); sys.exit(2)',
        2: f'(folder / "checkpoints").mkdir(); {began}; import os; os.kill(os.getpid(), 9)',
    }
    fake(monkeypatch, code)
    found = fit(*small(), seeds=3, max_epochs=1, **QUIET)
    assert found.failed == {1: "too \x1b large", 2: "its process ended with status -9"}
    assert [run.folder.name for run in found.runs] == ["version_0", "version_2"]
    assert [run.config["figures"] for run in found.runs] == [True, True]
    assert [*Path().rglob("*.png")] == [Path("runs/run/version_0/figures/seeds.png")]
    assert not Path("runs/run/version_1").exists()  # it never began
    table = found.table.splitlines()
    assert re.split("  +", table[0]) == ["1 of 3 seeds, 0 to 2", "median", "minimum", "maximum"]
    assert re.split("  +", table[-5]) == ["seconds", "1.5", "1.5", "1.5"]
    assert table[-3:] == [
        "seed 1 failed: too \\x1b large",
        "seed 2 failed: its process ended with status -9",
        "stopped and saved: runs/run/version_2: resume it separately",
    ]


@pytest.mark.process
def test_where_none_begins_the_first_says_why_and_nothing_is_left(monkeypatch):
    fake(monkeypatch, dict.fromkeys(range(2), 'sys.exit("error: the series is too short")'))
    with pytest.raises(ValueError, match=r"^the series is too short$"):
        fit(*small(), seeds=2, max_epochs=1, **QUIET)
    assert not Path("runs").exists()


def test_what_was_done_to_the_series_is_said_once(monkeypatch, capsys):
    rows = "".join(f"{year},{year % 7}\n" for year in range(2099, 1999, -1))
    Path("newest_first.csv").write_text(f"year,value\n{rows}")
    monkeypatch.setattr(sinrnn.seeds, "_processes", lambda *args: {})
    model, _ = small()
    fit(model, WindowDataModule(FileSeries("newest_first.csv")), seeds=2, figures=False, **QUIET)
    (note,) = re.findall("^note: (.*)$", capsys.readouterr().out, re.MULTILINE)
    assert "newest" in note


def test_code_and_what_cannot_be_is_refused():
    with pytest.raises(
        ValueError, match=r"a config, which cannot hold code \(test_seeds\.test_code"
    ):
        fit(*small(optimizer=lambda weights: SGD(weights, lr=0.1)), seeds=2)
    with pytest.raises(ValueError, match=r"code \(builtins\.float\)"):
        fit(*small(scheduler=partial(LambdaLR, lr_lambda=float)), seeds=2)
    with pytest.raises(ValueError, match="seeds must be at least 1"):
        fit(*small(), seeds=0)
    with pytest.raises(ValueError, match="seeds and resume exclude each other"):
        fit(*small(), seeds=2, resume="runs/run/version_0")
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--seeds", "two"], "--seeds must be a number"),
        (["--seeds"], "--seeds needs a value"),
        (["--seeds=0"], "--seeds must be at least 1, got 0"),
        (["--seeds=2", "--resume", "runs/a"], "--seeds and --resume exclude each other"),
    ],
)
def test_command_line_refuses_such_seeds(refused, args, said):
    assert refused(*args).startswith(said)
