"""docs/forecasting.md runs, and the sunspots are forecast as well as it says."""

import contextlib
import statistics
from pathlib import Path

import markdown
import torch

from sinrnn import FileSeries, Predictor
from sinrnn.cli.train import main
from sinrnn.data.windows import Windows, predict
from sinrnn.filesystem import CONFIGS
from sinrnn.nn.functional import half_mse

DOCUMENT = Path(__file__).parent.parent / "docs" / "forecasting.md"
SUNSPOTS = CONFIGS / "sunspots.csv"


def test_document_prints_what_it_says(tmp_path):
    assert len(markdown.blocks(DOCUMENT)) == 1
    markdown.run(DOCUMENT, tmp_path)


def test_sunspots_are_forecast_as_well_as_promised(tmp_path):
    torch.set_default_dtype(torch.float32)  # as in a run
    values = FileSeries(SUNSPOTS).values()
    learnt, test = values[:207], values[247:]  # two thirds of 309 years, and the last fifth
    args = ["--config", str(CONFIGS / "series.yaml"), "--figures=false"]
    args += ["--data.series.path", str(SUNSPOTS)]
    found = []
    with contextlib.chdir(tmp_path):
        for seed in range(5):
            assert main([*args, "--seed_everything", f"{seed}"]) == 0
            net = Predictor.load(f"runs/series/version_{seed}/model.safetensors")
            windows = Windows(test, net.window)
            mse = 2 * half_mse(predict(net, windows).double(), windows.targets)
            found.append(mse / learnt.var(correction=0))
    assert statistics.median(found) <= 0.27, found
