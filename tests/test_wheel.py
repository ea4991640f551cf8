"""What `python -m build` makes, and what is installed from it, beside the checkout."""

import configparser
import importlib
import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from sinrnn import FileSeries
from sinrnn.cli import arguments
from sinrnn.cli import train as cli
from sinrnn.filesystem import CONFIGS

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The folder of an sdist and of the wheel that was made from it."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def wheel(built):
    with zipfile.ZipFile(next(built.glob("*.whl"))) as file:
        yield file


@pytest.mark.process
def test_wheel_holds_package_and_configs_and_nothing_else(wheel):
    found = {name for name in wheel.namelist() if ".dist-info/" not in name}
    package = [p for p in (ROOT / "sinrnn").rglob("*") if p.is_file() and p.suffix != ".pyc"]
    configs = [path for path in (ROOT / "configs").iterdir() if path.is_file()]
    assert {"py.typed", "__main__.py"} <= {path.name for path in package}
    assert found == {f"{path.relative_to(ROOT)}" for path in package} | {
        f"sinrnn/configs/{path.name}" for path in configs
    }


@pytest.mark.process
def test_sdist_holds_what_the_tests_need_and_nothing_else(built):
    with tarfile.open(next(built.glob("*.tar.gz"))) as file:
        names = {name.partition("/")[2] for name in file.getnames()}
    folders = {"configs", "docs", "examples", "scripts", "sinrnn", "tests"}
    files = {".gitignore", "LICENSE", "PKG-INFO", "constraints.txt", "pyproject.toml"}
    pages = {path.name for path in ROOT.glob("*.md")}
    assert {name.partition("/")[0] for name in names} == folders | files | pages
    tests = [path for path in ROOT.glob("tests/**/*.*") if path.suffix != ".pyc"]
    assert {f"{path.relative_to(ROOT)}" for path in tests} <= names


@pytest.mark.process
def test_every_command_helps(wheel, capsys, monkeypatch):
    (listed,) = (name for name in wheel.namelist() if name.endswith("entry_points.txt"))
    parser = configparser.ConfigParser()
    parser.read_file(io.StringIO(wheel.read(listed).decode()))
    commands = dict(parser["console_scripts"])
    assert set(commands) == {"sinrnn", "sinrnn-diagnose", "sinrnn-export", "sinrnn-forecast"}
    for command, target in commands.items():
        module, _, name = target.partition(":")
        monkeypatch.setattr(sys, "argv", [command, "--help"])
        with pytest.raises(SystemExit) as stop:
            getattr(importlib.import_module(module), name)()
        assert (command, stop.value.code) == (command, 0)
        assert capsys.readouterr().out.startswith("usage: ")


@pytest.mark.process
def test_unpacked_wheel_helps_and_trains_with_what_comes_with_it(wheel, tmp_path):
    site, empty = tmp_path / "site", tmp_path / "empty"
    wheel.extractall(site)
    (site / "configs").mkdir()  # as another package may leave it beside this one
    empty.mkdir()

    def call(*args):
        env = os.environ | {"PYTHONPATH": str(site)}
        options = {"env": env, "capture_output": True, "text": True, "timeout": 120}
        done = subprocess.run([sys.executable, "-m", "sinrnn", *args], cwd=empty, **options)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    said = call("--help")
    assert re.match(r"usage: [^[]* -m sinrnn \[", said)
    assert not [p for p in ROOT.glob("configs/*.yaml") if f"configs/{p.name}" not in said]
    assert not list(empty.iterdir())
    short = ["--trainer.max_epochs", "1", "--trainer.enable_progress_bar", "false"]
    short += ["--figures", "false"]
    call("--config", "configs/series.yaml", *short)
    run = empty / "runs" / "series" / "version_0"
    assert (run / "model.safetensors").is_file()
    saved = (run / "config.yaml").read_text()
    assert "path: configs/sunspots.csv\n" in saved  # not where this machine has it


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """A folder of programs that the shell looks in, and a folder to be in."""
    for name in ("bin/sinrnn", "bin/python", "else/sinrnn", "else/python", "here/train.py"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch(mode=0o755)
    (tmp_path / "here" / "sinrnn").mkdir()
    (tmp_path / "here" / "sinrnn" / "__main__.py").touch()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path


@pytest.mark.parametrize(
    ("python", "script", "typed"),
    [
        ("bin/python", "{}/bin/sinrnn", "sinrnn"),
        ("bin/python", "{}/else/sinrnn", "{}/else/sinrnn"),
        ("bin/python", "train.py", "python train.py"),
        ("else/python", "train.py", "{}/else/python train.py"),
        ("bin/python", "{}/here/sinrnn/__main__.py", "python -m sinrnn"),
        ("bin/python", "-c", "python -m sinrnn"),
    ],
)
def test_command_starts_the_program_again(programs, monkeypatch, python, script, typed):
    monkeypatch.setattr(sys, "executable", str(programs / python))
    monkeypatch.setattr(sys, "argv", [script.format(programs)])
    assert arguments.command() == typed.format(programs).split()


@pytest.mark.parametrize("form", ["--config {}", "--config={}", "-c {}"])
def test_shipped_config_is_found_where_there_is_none_of_that_name(tmp_path, monkeypatch, form):
    monkeypatch.chdir(tmp_path)
    args = form.format("configs/best.yaml").split()
    series = ["--data.series.path", "configs/sunspots.csv"]
    shipped = form.format(CONFIGS / "best.yaml").split()
    assert cli.with_config([*args, *series]) == [*shipped, *series]
    unknown = form.format("configs/nope.yaml").split()
    with pytest.raises(FileNotFoundError, match="there is no such file"):
        cli.with_config(unknown)
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "best.yaml").touch()
    assert cli.with_config(args) == args


def test_shipped_series_is_read_where_there_is_none_of_that_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert len(FileSeries("configs/sunspots.csv").values()) == 309
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    (tmp_path / "configs" / "sunspots.csv").write_text("y\n1\n2\n3\n")
    assert FileSeries("configs/sunspots.csv").values().tolist() == [1, 2, 3]
