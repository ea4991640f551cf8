"""What a person sees who opens TensorBoard: a real run, a real server, a real browser."""

import contextlib
import importlib.util
import re
import signal
import time
from pathlib import Path
from urllib.parse import quote

import programs
import pytest
from browser import CHROMIUM, browser, tensorboard
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from sinrnn.cli.train import main

ROOT = Path(__file__).parent.parent
pytestmark = [
    pytest.mark.extra,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: apt-get install chromium"),
    pytest.mark.skipif(
        importlib.util.find_spec("playwright") is None,
        reason="no Playwright: pip install -c constraints.txt -e '.[browser]'",
    ),
]


SMALL = ["--data.series.points", "200", "--data.batch_size", "16"]
SMALL += ["--model.optimizer", "torch.optim.Adam", "--model.optimizer.lr", "0.003"]
SMALL += ["--model.readout_epoch", "null", "--trainer.enable_progress_bar", "false"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of a finished run."""
    folder = tmp_path_factory.mktemp("finished")
    with contextlib.chdir(folder):
        more = ["--trainer.max_epochs", "6", "--trainer.gradient_clip_val", "1"]
        assert main([*SMALL, *more]) == 0
    return folder / "runs" / "sine"


@pytest.fixture(scope="module")
def go():
    """(address) -> a page of one browser."""
    with browser() as visit:
        yield visit


@pytest.fixture(scope="module")
def visit(finished, go):
    """(dashboard, tag filter) -> a page of TensorBoard on the finished run."""
    with tensorboard(finished) as address:
        yield lambda dashboard, tags="": go(f"{address}?tagFilter={tags}#{dashboard}")


def scalars(folder, tag):
    """A curve that a run has written so far, if any."""
    events = EventAccumulator(str(folder / "version_0")).Reload()
    return events.Scalars(tag) if tag in events.Tags()["scalars"] else []


def scalar(folder, tag):
    """Last value of a curve, and its step."""
    last = scalars(folder, tag)[-1]
    return last.value, last.step


TAGS = ["log10_half_mse/train", "log10_half_mse/val", "skill/persistence"]
TAGS += ["optimizer/gradient_norm", "optimizer/gradient_clipped_steps"]
TAGS += ["states/saturated", "states/gradient_flow_t_1", "weights/spectral_radius_Whh"]
WEIGHTS = ("Wih", "Whh", "Who")


def test_landing_page_opens_with_the_losses_and_nothing_else(visit):
    page = visit("timeseries")
    page.get_by_title("log10_half_mse/train", exact=True).wait_for()
    groups = page.locator(".group-title").all_inner_texts()
    assert groups[:4] == ["Pinned", "half_mse", "log10_half_mse", "optimizer"]
    assert not {"epoch", "baseline"} & {*groups}
    opened = [card.get_attribute("title") for card in page.locator("card-view .tag").all()]
    losses = [f"{of}half_mse/{name}" for of in ("", "log10_") for name in ("train", "val")]
    assert opened[:4] == losses
    assert {title.partition("/")[0] for title in opened} == {"half_mse", "log10_half_mse"}
    assert page.errors == []


@pytest.fixture(scope="module")
def charts(visit):
    """A page with a chart of each of the tags, all in sight."""
    page = visit("timeseries", quote(f"^({'|'.join(TAGS)})$"))
    page.set_viewport_size({"width": 1280, "height": 3500})
    return page


@pytest.mark.parametrize("tag", TAGS)
def test_scalar_chart_is_drawn_and_ends_where_the_run_did(charts, finished, tag):
    card = charts.locator("scalar-card").filter(has=charts.get_by_title(tag, exact=True))
    shown, at = table(card)
    assert card.count() == 1
    assert card.locator("canvas, svg path").count() > 0
    value, step = scalar(finished, tag)
    assert (shown, at) == (pytest.approx(value, rel=1e-4, abs=1e-4), step)
    assert charts.errors == []


def table(card):
    """What the table below a chart says of the run: the last value and its step."""
    card.get_by_text("version_0").first.wait_for()
    cells = card.inner_text().rpartition("version_0")[2].replace(",", "").split()
    return float(cells[1]), int(cells[2])  # smoothed, value, step, time


def test_train_and_validation_share_a_chart_with_what_they_must_beat(visit):
    page = visit("custom_scalars")
    card = page.locator("tf-custom-scalar-multi-line-chart-card").filter(
        has_text="log10 of half_mse, with the baselines on val"
    )
    card.get_by_text("Matches (4)").wait_for()  # train, val and two baselines: one is exact
    assert card.locator("svg path, canvas").count() > 0
    assert page.locator("tf-custom-scalar-multi-line-chart-card").count() == 5
    assert page.errors == []


def test_every_picture_is_loaded(visit, finished):
    page = visit("images")
    names = {path.stem for path in (finished / "version_0" / "figures").iterdir()}
    assert len(names) == 9
    for name in names:
        page.locator("tf-image-loader").filter(has_text=f"pictures/{name}").first.wait_for()
    page.wait_for_function(
        """count => {
            const all = [];
            const walk = node => {
                if (node.shadowRoot) walk(node.shadowRoot);
                for (const child of node.children || []) {
                    if (child.tagName === 'IMG') all.push(child);
                    walk(child);
                }
            };
            walk(document.body);
            return all.filter(img => img.naturalWidth > 500).length >= count;
        }""",
        arg=len(names),
    )
    assert page.errors == []


def test_histogram_of_every_weight_and_its_gradient_is_drawn(visit):
    page = visit("histograms", quote("weights"))
    page.set_viewport_size({"width": 1280, "height": 3500})
    for name in (f"weights/{weight}{of}" for of in ("", "_gradient") for weight in WEIGHTS):
        loader = page.locator("tf-histogram-loader").filter(has_text=re.compile(rf"{name}\b"))
        loader.locator("svg path").nth(1).wait_for(state="attached")  # the first and the last
    assert page.errors == []


def test_hparams_has_the_run_and_its_validation_loss(visit, finished):
    page = visit("hparams")
    cells = page.locator("vaadin-grid-cell-content")
    cells.get_by_text("version_0").wait_for()
    shown = [text.strip() for text in cells.all_inner_texts()]
    columns = [name for name in shown if name in ("hidden_size", "lr", "optimizer", "window")]
    assert columns == ["hidden_size", "lr", "optimizer", "window"]
    assert {"50.000", "Adam", "4.0000", "val half_mse"} <= set(shown)
    value, _ = scalar(finished, "val half_mse")
    assert any(
        float(text) == pytest.approx(value, rel=1e-4)
        for text in shown
        if re.fullmatch(r"[\d.]+(e-\d+)?", text)
    )
    assert page.errors == []


def test_config_and_closing_table_are_there_as_text_and_the_network_as_a_graph(visit, finished):
    page = visit("text")
    page.get_by_text("autoregression AR(4)").first.wait_for()
    network = (finished / "version_0" / "report.md").read_text().partition("network")[2].split()[:3]
    for number in network:
        page.get_by_text(number).first.wait_for()
    page.get_by_text("hidden_size: 50").first.wait_for()
    graph = visit("graphs")
    graph.locator("svg text").filter(has_text="SinRNN").first.wait_for()
    assert page.errors == graph.errors == []


def test_page_that_is_opened_during_training_moves(tmp_path, go):
    command = [ROOT / "scripts" / "train.py", *SMALL, "--trainer.max_epochs", "100000"]
    process = programs.Program(command, tmp_path)
    try:
        runs = tmp_path / "runs" / "sine"
        wait_for(lambda: list(runs.glob("*/events*")) and scalars(runs, "half_mse/val"))
        process.send_signal(signal.SIGSTOP)  # until somebody looks
        with tensorboard(runs) as address:
            page = go(f"{address}?tagFilter=^half_mse/val$#timeseries")
            card = page.locator("scalar-card")
            _, first = table(card)
            process.send_signal(signal.SIGCONT)

            def moved():
                page.locator("button.reload-button").click()
                return table(card)[1] > first

            assert wait_for(moved)
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()


def wait_for(condition, seconds=60):
    """The first truth that a condition answers with."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        found = condition()
        if found:
            return found
        time.sleep(0.2)
    raise TimeoutError(f"nothing within {seconds} s")
