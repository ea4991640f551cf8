"""Every test starts from the same state: float64, seeded, one thread.

`pytest -m quick` runs the files that need no more than a few seconds each.
"""

import numpy as np
import pytest
import torch

torch.set_num_threads(1)  # at these sizes a second thread costs more than it brings

# Files that train, start processes or draw, longest first, so that of several workers none is left
# with one at the end. All others are quick.
SLOW = [
    *("test_train", "test_processes", "test_browser", "test_chaos", "test_checkpoint"),
    *("test_module", "test_strangers", "test_forecasting_document", "test_api", "test_bad_input"),
    *("test_wheel", "test_monitor", "test_examples", "test_numerics", "test_forecast"),
    *("test_diagnose", "test_plots", "test_onnx", "test_loggers", "test_diagnosis"),
    *("test_strangers_runs", "test_strangers_files", "test_predictor", "test_readers"),
]


def pytest_collection_modifyitems(items):
    places = {name: place for place, name in enumerate(SLOW)}
    items.sort(key=lambda item: places.get(item.path.stem, len(places)))
    for item in items:
        if item.path.stem not in places:
            item.add_marker("quick")


@pytest.fixture(autouse=True)
def _exact_and_seeded():
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002 - for code that draws from the global generator
    yield
    torch.set_default_dtype(before)
