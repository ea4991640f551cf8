"""scripts/diagnose.py as people use it: a run's folder, and its diagnosis."""

import contextlib
import io
import re
import shutil
from pathlib import Path

import programs
import pytest
from strangers import contents, work_in

from sinrnn import Predictor
from sinrnn.cli.diagnose import main as diagnose
from sinrnn.cli.train import main
from sinrnn.filesystem import CONFIGS

ROOT = Path(__file__).parents[2]
CHECKS = ["epochs", "scale", "saturation", "gradient flow", "clipping", "constant output"]
CHECKS += ["extrapolation", "baselines", "overfitting", "rollout", "intervals"]


def sentences(text):
    """The points below the facts, each in one line."""
    return [line for line in text.replace("\n  ", " ").splitlines() if line.startswith("- ")]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Finished runs of two configs: folder, and what is said of it."""
    home, found = tmp_path_factory.mktemp("runs"), {}
    with pytest.MonkeyPatch.context() as patch:
        work_in(home, patch)
        for name, epochs in (("notebook", "30"), ("sine", "12")):
            config = str(CONFIGS / f"{name}.yaml")
            assert main(["--config", config, "--trainer.max_epochs", epochs]) == 0
            folder = home / "runs" / name / "version_0"
            before, given = contents(folder), str(folder.relative_to(home))
            out, errors = io.StringIO(), io.StringIO()
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
                status = diagnose([given])
            said, err = out.getvalue(), errors.getvalue()
            assert (status, err) == (0, "")
            assert contents(folder) == before, "diagnosing has changed the run's folder"
            found[name] = folder, said
    return found


@pytest.mark.parametrize("name", ["notebook", "sine"])
def test_diagnose_names_every_check_and_says_what_the_report_says(runs, name):
    folder, said = runs[name]
    facts = [line[2:] for line in said.partition("\n\n")[0].splitlines()]
    assert [fact.split("  ")[0] for fact in facts if fact[0] != " "] == CHECKS
    assert sentences(said) == sentences((folder / "report.md").read_text())
    assert bool(sentences(said)) is (name == "notebook")


@pytest.mark.process
def test_script_says_the_same(runs):
    folder, said = runs["notebook"]
    done = programs.run(
        ROOT / "scripts" / "diagnose.py",
        folder.relative_to(folder.parents[2]),
        cwd=folder.parents[2],
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, said, "")


def test_notebook_is_told_what_was_found_in_it(runs):
    _, said = runs["notebook"]
    found = {
        "saturated": r"- 100% of the hidden units .* spectral radius (2[3-6]\.?\d?): start with "
        r"--model\.init orthogonal\.",
        "vanishing": r"- The gradient vanishes: only 1 of 4 steps receive gradient .*",
        "baseline": r"- Linear extrapolation is .* times better .* \(half_mse 1\.53e-12 "
        r"against .*\) and .* times better on the test split .*",
        "extrapolating": r"- 100% of the test targets lie outside the training range "
        r"\(0 to 0\.383\), .*",
        "mean": r"- The training loss .* First fix the problem of the scale, the hidden units or "
        r"the gradient\.",
    }
    for name, pattern in found.items():
        assert any(re.fullmatch(pattern, line) for line in sentences(said)), name


def test_healthy_run_ends_with_nothing_wrong(runs):
    _, said = runs["sine"]
    assert said.endswith("\n\nNo problems found.\n")
    assert not [line for line in said.splitlines() if line.startswith("!")]


@pytest.fixture
def copied(runs, tmp_path, monkeypatch):
    """A copy of the healthy run, to spoil; its name, as seen from where one is."""
    shutil.copytree(runs["sine"][0], tmp_path / "copy")
    work_in(tmp_path, monkeypatch)
    return Path("copy")


@pytest.fixture
def refused(refused):
    return lambda: refused("copy", main=diagnose)


def test_run_whose_windows_differ_is_refused(refused, copied):
    net = Predictor.load(copied / "model.safetensors")
    for net.window, net.horizon in ((7, 1), (4, 3)):
        net.save(copied / "model.safetensors")
        assert refused() == (
            f"copy: model.safetensors has window {net.window} and horizon {net.horizon}, "
            "and config.yaml has window 4 and horizon 1"
        )


def test_folder_without_its_files_is_refused(refused, copied):
    shutil.rmtree(copied / "checkpoints")
    (copied / "model.safetensors").unlink()
    assert refused() == "copy/model.safetensors does not exist"
    (copied / "config.yaml").unlink()
    assert refused() == "copy is not a run's folder: no config.yaml in it"


@pytest.mark.parametrize("length", [0, 7, 2000])
def test_corrupt_model_is_refused(refused, copied, length):
    path = copied / "model.safetensors"
    path.write_bytes(path.read_bytes()[:length])
    assert refused().startswith("copy/model.safetensors is not a Predictor file: ")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("data: [1, 2\n", "config.yaml, line 2 is not YAML: expected ',' or ']'"),
        ("\0\1", "config.yaml is not YAML: unacceptable character #x0000"),
        ("hello", "config.yaml must hold keys and values like 'name: run', got 'hello'"),
        ("data: {widow: 3}\n", "'widow'"),
        ("data: {window: many}\n", "data.window cannot be many: expected int"),
        ("data: {window: 0}\n", "window must be at least 1 step, got 0"),
    ],
)
def test_corrupt_config_is_refused(refused, copied, text, said):
    (copied / "config.yaml").write_text(text)
    assert said in refused()


# The last row is cut within the line, within a number (2.2 is one, too), within its exponent
# (2.2896e- is none); or text stands where a number belongs.
CUTS = [slice(0), slice(3), slice(-2)]
NAMES = ["epoch", "half_mse/train", "half_mse/val", "gradient/norm"]


@pytest.mark.parametrize(
    ("name", "cut"), [*(("half_mse/val", cut) for cut in CUTS), *((name, None) for name in NAMES)]
)
def test_metrics_whose_last_row_is_corrupt_are_refused(refused, copied, name, cut):
    *head, last = (copied / "metrics.csv").read_text().splitlines()
    place, cells = head[0].split(",").index(name), last.split(",")
    cells[place] = "many" if cut is None else cells[place][cut]
    row = ",".join(cells) + "\n" if cut is None else ",".join(cells[: place + 1])
    (copied / "metrics.csv").write_text("\n".join([*head, row]))
    assert "metrics.csv" in refused()


def test_metrics_without_the_training_loss_are_refused(refused, copied):
    path = copied / "metrics.csv"
    path.write_text(path.read_text().replace("half_mse/train", "train"))
    assert "metrics.csv" in refused()


def test_run_without_metrics_is_diagnosed_without_its_curves(copied, capsys):
    (copied / "metrics.csv").unlink()
    assert diagnose(["copy"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert out.endswith("No problems found.\n")
    named = [line[2:].split("  ")[0] for line in out.splitlines() if line[2:]]
    assert not {"clipping", "overfitting"} & set(named)


def test_help_explains(capsys):
    with pytest.raises(SystemExit) as left:
        diagnose(["--help"])
    assert left.value.code == 0
    out, err = capsys.readouterr()
    assert "Print the diagnosis of a finished run" in out
    assert re.search(r"^ +run +Folder of the run\.$", out, re.MULTILINE)
    assert err == ""
