import datetime

import numpy as np
import pandas as pd
import pytest
import torch
from cases import BITS, refuses
from ramp import same

from sinrnn import ArraySeries, FileSeries, Sine, WindowDataModule
from sinrnn.data.series import digest


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
    "pandas": pd.Series([1.0, 2.5, 4.0]),
    "pandas' numbers that may be missing": pd.Series([1, 2.5, 4], dtype="Float64"),
    "column of pandas": pd.DataFrame({"a": [1.0, 2.5, 4.0]}),
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
    (pd.Series([1.0, None]), ValueError, r"nan at index 1 \(1 in all\)"),
    (pd.Series(["1", "2"]), TypeError, "real numbers, got str '1'"),
    (pd.DataFrame({"a": [1], "b": [2]}), ValueError, r"one column, got 2 \(a, b\)"),
    (Frame(a=[1.0], b=[2.0]), ValueError, r"one column, got 2 \(a, b\)"),
    ([1.0, float("nan"), float("inf")], ValueError, r"nan at index 1 \(2 in all\)"),
    (MASKED, ValueError, r"nan at index 1 \(1 in all\)"),
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


Y = [1.0, 2.5, 4.0]
DAYS = ["2024-02-28", "2024-02-29", "2024-03-01"]
# what is given, and the times of the values and after them
TIMES = {
    "pandas' own count": (pd.Series(Y), None),
    "rows of a part": (pd.Series([9, *Y])[1:], None),
    "labels": (pd.Series(Y, index=["a", "b", "c"]), None),
    "days": (pd.Series(Y, index=pd.to_datetime(DAYS)), [*DAYS, "2024-03-02"]),
    "newest first": (pd.Series(Y[::-1], index=pd.to_datetime(DAYS[::-1])), [*DAYS, "2024-03-02"]),
    "days as text": (pd.Series(Y, index=DAYS), [*DAYS, "2024-03-02"]),
    "one column": (pd.DataFrame({"v": Y}, index=pd.to_datetime(DAYS)), [*DAYS, "2024-03-02"]),
    "months": (
        pd.Series(Y, index=pd.period_range("2024-01", periods=3, freq="M")),
        ["2024-01-01", "2024-02-01", "2024-03-01", "2024-04-01"],
    ),
    "years": (pd.Series(Y, index=[1998, 1999, 2000]), ["1998", "1999", "2000", "2001"]),
    "years that pandas counts": (
        pd.Series(Y, index=pd.RangeIndex(1998, 2001, name="year")),
        ["1998", "1999", "2000", "2001"],
    ),
    "numbers": (pd.Series(Y, index=[0, 0.5, 1]), ["0", "0.5", "1", "1.5"]),
    "a zone": (
        pd.Series(Y, index=pd.date_range("2024-03-31", periods=3, freq="h", tz="Europe/Berlin")),
        [f"2024-03-31 0{hour}:00:00+0{zone}:00" for hour, zone in ((0, 1), (1, 1), (3, 2), (4, 2))],
    ),
    "days of a zone": (
        pd.Series(Y, index=pd.date_range("2024-03-30", periods=3, tz="Europe/Berlin")),
        ["2024-03-30", "2024-03-31", "2024-04-01", "2024-04-02"],
    ),
}


@pytest.mark.parametrize("name", TIMES)
def test_pandas_brings_its_times(name):
    given, times = TIMES[name]
    series = ArraySeries(given)
    same(series.values(), torch.tensor(Y))
    if times is None:
        assert series.index is None
    else:
        assert series.index.text(np.append(series.index.values, series.index.after(1))) == times


INDEXES = {
    "text": DAYS,
    "days": [datetime.date(2024, 2, 28), datetime.date(2024, 2, 29), datetime.date(2024, 3, 1)],
    "NumPy": np.array(DAYS, dtype="datetime64[D]"),
    "an index": ArraySeries(Y, index=DAYS).index,
}


@pytest.mark.parametrize("name", INDEXES)
def test_index_is_given_beside_the_values(name):
    index = ArraySeries(Y, index=INDEXES[name]).index
    assert index.text(index.after(2)) == ["2024-03-02", "2024-03-03"]


WAYS = (
    "fill them, for example with series.asfreq('D').interpolate(), or pass the values without "
    "times, series.to_numpy()"
)
WRONG = {
    "gap": (
        [1, 2, 4],
        ValueError,
        "index, row 2 (counted from 0): 4 comes 2 after 2, but the step is 1, the only gap (1 "
        f"missing in all): {WAYS}",
    ),
    "twice": (
        [1, 2, 2],
        ValueError,
        "index, row 2 (counted from 0): the time 2 occurs twice: sort the values, or choose one "
        "series",
    ),
    "too few": ([1, 2], ValueError, "index must have a time for each value, got 2 and 3"),
    "no times": (
        ["a", "b", "c"],
        ValueError,
        "index, row 0 (counted from 0): must be a time like 2000-12-31, got 'a'",
    ),
    "a missing one": (
        ["2024-01-01", "2024-01-02", "x"],
        ValueError,
        "index, row 2 (counted from 0): must be a time like 2000-12-31, got 'x'",
    ),
    "truth": ([True, False, True], TypeError, "index must hold times or numbers, got bool"),
    "day or month": (
        ["1/1/2024", "2/1/2024", "3/1/2024"],
        ValueError,
        "index must hold times like 2000-12-31, got '1/1/2024': day or month?",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_index_is_refused(name):
    index, error, said = WRONG[name]
    with refuses(error, said):
        ArraySeries(Y, index=index)


def test_index_of_levels_is_refused():
    levels = pd.MultiIndex.from_product([["a"], [1, 2, 3]])
    with pytest.raises(ValueError, match="an index of 2 levels"):
        ArraySeries(pd.Series(Y, index=levels))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", [name for name, (_, times) in TIMES.items() if times])
def test_stored_series_has_its_bits_and_times_again(tmp_path, name, dtype):
    series = ArraySeries(TIMES[name][0].astype(dtype))
    (tmp_path / "a.npy").write_bytes(series.npy())
    found = FileSeries(tmp_path / "a.npy")
    torch.testing.assert_close(found.values(), series.values(), **BITS)
    assert digest(found.values()) == digest(series.values())
    assert found.index.text(found.index.values) == series.index.text(series.index.values)
    assert (found.index.step, found.index.zone) == (series.index.step, series.index.zone)
    np.load(tmp_path / "a.npy", allow_pickle=False)


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


def test_data_module_shares_the_memory_of_its_series(tmp_path):
    np.save(tmp_path / "a.npy", np.arange(40.0))
    for series in (FileSeries(tmp_path / "a.npy"), ArraySeries(np.arange(40.0))):
        data = WindowDataModule(series)
        data.setup()
        for shared in (data.values, series.continued(40), series.noise_free(40)):
            assert shared.data_ptr() == series.view().data_ptr() != series.values().data_ptr()


def test_too_few_values_are_refused_as_a_file_is():
    data = WindowDataModule([1.0, 2.0])
    with pytest.raises(ValueError, match="train split"):
        data.setup()
