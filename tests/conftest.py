"""Every test starts from the same state: float64, seeded, one thread."""

import numpy as np
import pytest
import torch

torch.set_num_threads(1)  # at these sizes a second thread costs more than it brings

# Files that take longest come first, so that of several workers none is left with one at the end.
SLOWEST = ["test_train", "test_processes", "test_browser", "test_chaos", "test_checkpoint"]


def pytest_collection_modifyitems(items):
    places = {name: place for place, name in enumerate(SLOWEST)}
    items.sort(key=lambda item: places.get(item.path.stem, len(places)))


@pytest.fixture(autouse=True)
def _exact_and_seeded():
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002 - for code that draws from the global generator
    yield
    torch.set_default_dtype(before)
