import numpy as np
import pytest
import torch
from ramp import same

from sinrnn import ArraySeries, Sine, WindowDataModule


class Frame:
    """What a DataFrame of pandas or polars shows of itself."""

    def __init__(self, **columns):
        self.columns = list(columns)
        self.table = np.array(list(columns.values())).T

    def __array__(self, dtype=None, copy=None):
        return self.table


MASKED = np.ma.masked_array([1.0, 2.0, 3.0], mask=[False, True, False])
TAKEN = {
    "list": [1, 2.5, 4],
    "tuple": (1.0, 2.5, 4.0),
    "array": np.array([1.0, 2.5, 4.0]),
    "reversed array": np.array([4.0, 2.5, 1.0])[::-1],
    "tensor": torch.tensor([1.0, 2.5, 4.0], dtype=torch.float64, requires_grad=True),
    "column of a frame": Frame(a=[1.0, 2.5, 4.0]),
    "array of other bytes": np.array([1, 2.5, 4], dtype=">f8"),
    "array of half precision": np.array([1, 2.5, 4], dtype=np.float16),
}


@pytest.mark.parametrize("name", TAKEN)
def test_values_are_taken_in_float64(name):
    same(ArraySeries(TAKEN[name]).values(), torch.tensor([1.0, 2.5, 4.0]))


@pytest.mark.parametrize(
    "values",
    [
        np.array([1.5], dtype=np.float32),
        torch.tensor([1.5]).float(),
        torch.tensor([1.5]).bfloat16(),
    ],
)
def test_single_and_half_precision_tensors_are_taken_in_float32(values):
    same(ArraySeries(values).values(), torch.tensor([1.5], dtype=torch.float32))


REFUSED = [
    ([[1, 2], [3]], ValueError, "one number for each step"),
    (np.ones((3, 2)), ValueError, r"one number for each step, got \(3, 2\)"),
    (2.0, ValueError, r"one number for each step, got \(\)"),
    (torch.ones(3, 2), ValueError, r"one number for each step, got \(3, 2\)"),
    (torch.ones(3).to_sparse(), TypeError, "dense tensor of real numbers, got torch.sparse_coo"),
    (Frame(a=[1.0], b=[2.0]), ValueError, r"one column, got 2 \(a, b\)"),
    ([1.0, float("nan"), float("inf")], ValueError, "nan at index 1 and 2 such in all"),
    (MASKED, ValueError, "nan at index 1 and 1 such"),
    ([1.0, "x"], TypeError, "real numbers, got str_ '1.0'"),
    ([1.0, None], TypeError, "real numbers, got NoneType 'None'"),
    ([1j], TypeError, "real numbers, got complex128 '1j'"),
    ([True], TypeError, "real numbers, got bool 'True'"),
    ([10**400], TypeError, "real numbers, got object"),
    (None, TypeError, "real numbers, got NoneType 'None'"),
    (np.array(["2024-01-01"], dtype="datetime64[s]"), TypeError, "got datetime64 '2024-01-01T"),
]


@pytest.mark.parametrize(("values", "error", "said"), REFUSED)
def test_what_is_no_series_is_refused(values, error, said):
    with pytest.raises(error, match=said):
        WindowDataModule(values)


def test_values_are_copied():
    given = np.arange(4.0)
    series = ArraySeries(given)
    given[0] = 9
    series.values()[1] = 9
    same(series.values(), torch.arange(4.0))


def test_data_module_of_values_is_that_of_their_series():
    series = Sine(points=60)
    first, second = WindowDataModule(series.values().numpy()), WindowDataModule(series)
    for data in (first, second):
        data.setup()
    same(first.windows["test"].values, second.windows["test"].values)


def test_too_few_values_are_refused_as_a_file_is():
    data = WindowDataModule([1.0, 2.0])
    with pytest.raises(ValueError, match="train split"):
        data.setup()
