"""The notebooks in examples/ run from a clean kernel, and show what is stored in them."""

import functools
import json
import re
import shutil
from pathlib import Path

import pytest

pytestmark = pytest.mark.extra
nbformat = pytest.importorskip("nbformat", reason="no notebooks: sinrnn[notebook]")
nbclient = pytest.importorskip("nbclient", reason="no notebooks: sinrnn[notebook]")

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"
NAMES = ["sine", "own_series"]
FIT = "sinrnn.fit(sinrnn.Forecaster(), sinrnn.WindowDataModule(), max_epochs=1, figures=False{});"
# What trains with a seed takes the results of a run that has ended.
FAKE = "import shutil, sys; shutil.copy('runs/run/version_0/results.json', sys.argv[3])"
MORE = [f"import sinrnn.seeds; sinrnn.seeds.WORKER = {FAKE!r}"]
MORE += [FIT.format(end) for end in (", enable_progress_bar=False", "", ", seeds=1")]
NUMBER = re.compile(r"-?\d+\.?\d*(?:e[+-]?\d+)?")


def stored(name):
    return nbformat.read(EXAMPLES / f"{name}.ipynb", as_version=4)


@pytest.fixture(scope="module")
def notebooks(tmp_path_factory):
    """By name, a notebook as it is stored, as it comes out of a clean kernel, and MORE."""

    @functools.cache
    def both(name):
        home = tmp_path_factory.mktemp("notebook")
        shutil.copytree(ROOT / "configs", home / "configs")
        (home / "examples").mkdir()
        run = stored(name)
        for cell in run.cells:
            if cell.cell_type == "code":
                cell.outputs, cell.execution_count = [], None
        more = [*map(nbformat.v4.new_code_cell, MORE)]
        place = {"metadata": {"path": str(home / "examples")}}
        options = {"timeout": 60, "kernel_name": "python3", "coalesce_streams": True}
        run.cells += more
        nbclient.NotebookClient(run, resources=place, **options).execute()
        run.cells = run.cells[: -len(more)]
        return stored(name), run, nbformat.v4.new_notebook(cells=more)

    return both


def outputs(notebook):
    return [output for cell in notebook.cells for output in cell.get("outputs", [])]


def kinds(notebook):
    """What each cell shows: the streams that it writes to, the types of what it displays."""
    return [
        [output.get("name") or sorted(output["data"]) for output in cell.outputs]
        for cell in notebook.cells
        if cell.cell_type == "code"
    ]


def said(notebook):
    return "".join(output.text for output in outputs(notebook) if output.output_type == "stream")


@pytest.mark.parametrize("name", NAMES)
def test_notebook_shows_the_figures_that_are_stored(notebooks, name):
    before, after, _ = notebooks(name)
    assert kinds(after) == kinds(before)
    assert "stderr" not in str(kinds(after))
    pictures = [each for cell in kinds(after) for each in cell if "image/png" in each]
    assert len(pictures) >= 2


def numbers(row, text):
    """The numbers after some words."""
    (line,) = re.findall(rf"^{re.escape(row)}(.*)$", text, re.MULTILINE)
    return [float(number) for number in NUMBER.findall(line)]


def test_sine_says_the_numbers_that_it_is_about(notebooks):
    for text in map(said, notebooks("sine")[:2]):
        assert numbers("train ", text)[0] == 596
        assert [numbers(name, text)[0] for name in ("val  ", "test ")] == [196, 196]
        assert "by hand: y[200] differs by less than 1e-5: True" in text
        assert "as autograd's, to 1e-5 of its norm: True" in text
        cosines = numbers("cosine with the full gradient:", text)
        assert cosines == sorted(cosines)
        assert (cosines[0] < 0.7, cosines[-1]) == (True, 1)
        untrained, last = (
            numbers(f"{name:21}val", text)[0] for name in ("untrained network", "last value")
        )
        assert untrained == pytest.approx(0.283, rel=0.02)
        assert last == pytest.approx(2.42e-4, rel=0.01)
        assert max(numbers("network ", text)) < 1e-13  # 1.7e-15; seeds differ by a factor of 4
        assert numbers("RMSE ", text)[0] < 1e-3  # 9.7e-5


def test_own_series_forecasts_in_its_units(notebooks):
    for each in notebooks("own_series")[:2]:
        tables = [
            o.data["text/plain"] for o in outputs(each) if "data" in o and "text/html" in o.data
        ]
        run, forecast, listed = tables
        network, persistence = (numbers(name, run)[2] for name in ("network ", "persistence "))
        assert 2 * network < persistence
        first = [float(number) for number in NUMBER.findall(forecast.splitlines()[1])][-3:]
        assert first == pytest.approx([17.3, -4.0, 38.6], abs=3)
        assert first[1] < first[0] < first[2]
        assert "version_0" in listed


def test_fit_shows_a_bar_in_a_notebook_and_says_nothing_else(notebooks):
    *_, run = notebooks("sine")
    bar = ["application/vnd.jupyter.widget-view+json", "text/plain"]
    assert kinds(run) == [[], [], [bar], [bar]]


@pytest.mark.parametrize("name", NAMES)
def test_notebook_is_stored_with_its_outputs_and_nothing_of_a_machine(name):
    text = (EXAMPLES / f"{name}.ipynb").read_text()
    assert not re.search(r"/tmp/|/home/|/root/|/Users/", text)
    content = json.loads(text)
    assert set(content["metadata"]) == {"kernelspec", "language_info"}
    codes = [cell for cell in content["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in codes] == [*range(1, len(codes) + 1)]
    assert not [cell for cell in content["cells"] if cell["metadata"]]
    assert not [cell for cell in codes if not cell["outputs"]]


def test_sine_follows_the_notebook_that_the_project_began_from():
    texts = [cell.source for cell in stored("sine").cells if cell.cell_type == "markdown"]
    headings = re.findall(r"^## \d (.*)$", "\n".join(texts), re.MULTILINE)
    assert headings == [
        *("Data", "The cell", "Splits", "Losses", "Backpropagation through time"),
        *("Training", "Predictions"),
    ]
