"""scripts/diagnose.py as people use it: a run's folder, and what is wrong with it."""

import contextlib
import io
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from sinrnn import Predictor
from sinrnn.callbacks import final_report
from sinrnn.cli.diagnose import main as diagnose
from sinrnn.cli.train import main
from sinrnn.filesystem import CONFIGS

ROOT = Path(__file__).parents[2]
CHECKS = ["saturation", "gradient flow", "clipping", "constant output", "last value"]
CHECKS += ["overfitting", "extrapolation", "rollout"]


def files(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Finished runs of two configs: folder, and what is said of it, of one by the script."""
    home, found = tmp_path_factory.mktemp("runs"), {}
    with contextlib.chdir(home), pytest.MonkeyPatch.context() as patch:
        patch.setattr(final_report, "pictures", lambda *args: {})  # most of a run's time
        for name, epochs in (("notebook", "30"), ("sine", "12")):
            config = str(CONFIGS / f"{name}.yaml")
            assert main(["--config", config, "--trainer.max_epochs", epochs]) == 0
            folder = home / "runs" / name / "version_0"
            before, given = files(folder), str(folder.relative_to(home))
            if name == "notebook":
                command = [sys.executable, str(ROOT / "scripts" / "diagnose.py"), given]
                done = subprocess.run(command, capture_output=True, text=True, timeout=120)
                assert (done.returncode, done.stderr) == (0, "")
                said = done.stdout
            else:
                out, err = io.StringIO(), io.StringIO()
                with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                    assert diagnose([given]) == 0
                assert err.getvalue() == ""
                said = out.getvalue()
            assert files(folder) == before, "diagnosing has changed the run's folder"
            found[name] = folder, said
    return found


@pytest.mark.parametrize("name", ["notebook", "sine"])
def test_diagnose_succeeds_and_names_every_check(runs, name):
    _, said = runs[name]
    named = [line[2:].split("  ")[0] for line in said.splitlines()[: len(CHECKS)]]
    assert named == CHECKS


def test_notebook_is_told_what_was_found_in_it(runs):
    _, said = runs["notebook"]
    sentences = [line for line in said.splitlines() if line.startswith("- ")]
    found = {
        "saturated": r"- 100% of the hidden units .* spectral radius (2[3-6]\.?\d?): start with "
        r"--model\.init orthogonal\.",
        "vanishing": r"- The gradient vanishes: only 1 of 4 steps carry any .*",
        "persistence": r"- Repeating the last value is [\d,]+ times better .* \(half_mse 6\.14e-07 "
        r"against .*\)\.",
        "extrapolating": r"- 100% of the validation targets lie outside the training range "
        r"\(0 to 0\.383\): .*",
        "mean": r"- The training loss .* Cure what is said of its hidden units and its gradient "
        r"first\.",
    }
    for name, pattern in found.items():
        assert any(re.fullmatch(pattern, line) for line in sentences), name


@pytest.mark.parametrize("name", ["notebook", "sine"])
def test_sentences_are_those_of_the_report(runs, name):
    folder, diagnosis = runs[name]
    said, reported = (
        [line for line in text.splitlines() if line.startswith("- ")]
        for text in (diagnosis, (folder / "report.md").read_text())
    )
    assert said == reported
    assert bool(said) is (name == "notebook")


def test_healthy_run_ends_with_nothing_wrong(runs):
    _, said = runs["sine"]
    assert said.endswith("\n\nNothing is wrong with this run.\n")
    assert not [line for line in said.splitlines() if line.startswith("!")]


@pytest.fixture
def copied(runs, tmp_path, capsys):
    """A copy of the healthy run, to spoil, and () -> status, stdout, stderr of its diagnosis."""
    folder, threads = tmp_path / "copy", torch.get_num_threads()
    shutil.copytree(runs["sine"][0], folder)

    def call():
        status = diagnose([str(folder)])
        return status, *capsys.readouterr()

    yield folder, call
    torch.set_num_threads(threads)


def refused(said):
    """The sentence of one line that a bad folder ends in."""
    status, out, err = said
    assert (status, out) == (2, "")
    assert re.fullmatch(r"error: [^\n]+\n", err)
    return err


def test_run_whose_windows_differ_is_refused(copied):
    folder, call = copied
    net = Predictor.load(folder / "model.safetensors")
    for net.window, net.horizon in ((7, 1), (4, 3)):
        net.save(folder / "model.safetensors")
        assert refused(call()) == (
            f"error: {folder}: model.safetensors has window {net.window} and horizon "
            f"{net.horizon}, config.yaml 4 and 1\n"
        )


@pytest.mark.parametrize("name", ["config.yaml", "model.safetensors"])
def test_folder_without_a_file_is_refused(copied, name):
    folder, call = copied
    (folder / name).unlink()
    assert refused(call()) == f"error: {folder / name} does not exist\n"
    shutil.rmtree(folder)
    assert refused(call()) == f"error: {folder / 'model.safetensors'} does not exist\n"


@pytest.mark.parametrize("length", [0, 7, 2000])
def test_corrupt_model_is_refused(copied, length):
    folder, call = copied
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:length])
    assert refused(call()).startswith(f"error: {path} is not a Predictor file: ")


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
def test_corrupt_config_is_refused(copied, text, said):
    folder, call = copied
    (folder / "config.yaml").write_text(text)
    assert said in refused(call())


def last_row(folder):
    """metrics.csv without its last line, and the cells of that line by name."""
    lines = (folder / "metrics.csv").read_text().splitlines()
    head = "".join(f"{line}\n" for line in lines[:-1])
    return head, dict(zip(lines[0].split(","), lines[-1].split(","), strict=True))


# Within the line, within a number (2.2 is one, too), within its exponent (2.2896e- is none).
@pytest.mark.parametrize("cut", [slice(0), slice(3), slice(-2)], ids=["line", "number", "exponent"])
def test_metrics_cut_in_the_middle_of_a_line_are_refused(copied, cut):
    folder, call = copied
    head, cells = last_row(folder)
    names = list(cells)
    cells["half_mse/val"] = cells["half_mse/val"][cut]
    kept = [cells[name] for name in names[: names.index("half_mse/val") + 1]]
    (folder / "metrics.csv").write_text(head + ",".join(kept))
    assert "metrics.csv" in refused(call())


@pytest.mark.parametrize("name", ["epoch", "half_mse/train", "half_mse/val", "gradient/norm"])
def test_metrics_with_text_where_numbers_belong_are_refused(copied, name):
    folder, call = copied
    head, cells = last_row(folder)
    (folder / "metrics.csv").write_text(head + ",".join((cells | {name: "many"}).values()) + "\n")
    assert "metrics.csv" in refused(call())


def test_metrics_without_the_training_loss_are_refused(copied):
    folder, call = copied
    text = (folder / "metrics.csv").read_text()
    (folder / "metrics.csv").write_text(text.replace("half_mse/train", "train"))
    assert "metrics.csv" in refused(call())


def test_run_without_metrics_is_diagnosed_without_its_curves(copied):
    folder, call = copied
    (folder / "metrics.csv").unlink()
    status, out, err = call()
    assert (status, err) == (0, "")
    assert out.endswith("Nothing is wrong with this run.\n")
    named = [line[2:].split("  ")[0] for line in out.splitlines() if line[2:]]
    assert not {"clipping", "overfitting"} & set(named)


def test_help_explains(capsys):
    with pytest.raises(SystemExit) as left:
        diagnose(["--help"])
    assert left.value.code == 0
    out, err = capsys.readouterr()
    assert "What is wrong with a finished run, and what to try." in out
    assert re.search(r"^ +run +The run's folder\.$", out, re.MULTILINE)
    assert err == ""
