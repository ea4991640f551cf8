"""Windows by hand, the order of batches, and splits that share nothing."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from cases import refuses
from ramp import Given, Ramp, data, same
from torch.utils.data import ConcatDataset, DataLoader, Subset, random_split

from sinrnn import Predictor, SinRNN
from sinrnn.data import windows
from sinrnn.data.datamodule import WindowDataModule
from sinrnn.data.samplers import StreamBatchSampler, WindowBatchSampler
from sinrnn.data.synthetic import Sine
from sinrnn.data.windows import Windows


def order(seed, epoch, count=50, batch_size=8):
    made = WindowBatchSampler(count, batch_size, seed)
    made.set_epoch(epoch)
    return torch.cat(list(made)).tolist()


# Windows of one split


@pytest.mark.parametrize(("window", "size"), [(3, 7), (8, 4), (50, 1)])
def test_iteration_gives_every_window_in_order_of_time_and_few_long_ones_at_once(
    monkeypatch, window, size
):
    monkeypatch.setattr(windows, "GATHERED", 32)
    monkeypatch.setattr(windows, "EVAL_BATCH", 7)
    found = Windows(Ramp(60).values(), window)
    parts = list(found)
    assert [len(x) for x, _ in parts[:-1]] == [size] * (len(parts) - 1)
    assert len(parts[-1][0]) <= size
    same(torch.cat([x[:, 0, 0] for x, _ in parts]), torch.arange(60.0 - window))
    same(torch.cat([y[:, 0] for _, y in parts]), torch.arange(window, 60.0))
    assert len(found.sample(20)[0]) == min(20, 32 // window or 1)


@pytest.mark.parametrize(
    ("horizon", "x", "y"),
    [
        (1, [[10, 20], [20, 30], [30, 40], [40, 50]], [30, 40, 50, 60]),
        (3, [[10, 20], [20, 30]], [50, 60]),
        (4, [[10, 20]], [60]),
    ],
)
def test_windows_are_those_written_by_hand(horizon, x, y):
    split = torch.tensor([10.0, 20.0, 30.0, 40.0, 50.0, 60.0])
    windows = Windows(split, 2, horizon)
    x, y = torch.tensor(x, dtype=split.dtype), torch.tensor(y, dtype=split.dtype)
    assert len(windows) == len(x)
    same(windows[:], (x[:, :, None], y[:, None]))
    same(windows.targets, y)


def test_windows_take_no_memory_of_their_own():
    split = torch.zeros(10_000)
    windows = Windows(split, 100)
    for view in (windows.values, windows._rows, *windows.view(slice(7, 4000))):
        storage = view.untyped_storage()
        assert storage.data_ptr() == split.untyped_storage().data_ptr()
        assert storage.nbytes() == 8 * 10_000


HANDED_OUT = {
    "all": lambda windows: windows[:],
    "a slice": lambda windows: windows[2:5],
    "an index": lambda windows: windows[2],
    "a tensor without dimensions": lambda windows: windows[torch.tensor(2)],
    "indices": lambda windows: windows[torch.tensor([2, 3])],
    "a mask": lambda windows: windows[torch.arange(len(windows)) > 2],
    "iteration": lambda windows: next(iter(windows)),
    "sample": lambda windows: windows.sample(2),
    "targets": lambda windows: (windows.targets,),
}


@pytest.mark.parametrize("name", HANDED_OUT)
def test_what_windows_hand_out_may_be_written_to(name):
    values = torch.arange(12.0)
    windows = Windows(values, 3, 2, 2)
    parts = HANDED_OUT[name](windows)
    expected = [part.clone() - 1 for part in parts]
    for part in parts:
        part -= 1
    same(list(parts), expected)
    same(values, torch.arange(12.0))


@pytest.mark.parametrize("index", [0, 3, -1, np.int64(3), torch.tensor(3)])
def test_index_gives_one_window(index):
    windows = Windows(torch.arange(12.0), 3, 2, 2)
    x, y = windows[index]
    start = int(index) % len(windows)
    same(x, torch.arange(start, start + 3).double()[:, None])
    same(y, torch.arange(start + 4, start + 6).double())


@pytest.mark.parametrize("index", [7, -8])
def test_index_beyond_the_windows_is_an_index_error(index):
    windows = Windows(torch.arange(12.0), 3, 2, 2)
    assert len(windows) == 7
    with pytest.raises(IndexError, match=str(index)):
        windows[index]


SETS = {
    "itself": lambda windows: windows,
    "Subset": lambda windows: Subset(windows, range(len(windows))),
    "ConcatDataset": lambda windows: ConcatDataset([windows]),
    "random_split": lambda windows: random_split(windows, [len(windows)])[0],
}


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("workers", [0, 1])
def test_torch_reads_windows_as_any_map_style_dataset(name, workers):
    windows = Windows(torch.arange(12.0), 3, 2)
    batches = list(DataLoader(SETS[name](windows), batch_size=4, num_workers=workers))
    assert [len(x) for x, _ in batches] == [4, 4]
    x, y = (torch.cat(parts) for parts in zip(*batches, strict=True))
    order = x[:, 0, 0].argsort()
    same((x[order], y[order]), windows[:])


def test_batch_by_indices_is_its_windows_one_by_one():
    windows = Windows(Ramp(10).values(), 3, 2)
    index = torch.tensor([4, 0, 2, 2, 5])
    one_by_one = [windows[int(i) : int(i) + 1] for i in index]
    same(windows[index], tuple(torch.cat(parts) for parts in zip(*one_by_one, strict=True)))


@pytest.mark.parametrize(
    ("count", "most"), [(9, 5), (100, 7), (10, 10), (11, 10), (5000, 2), (6, 100)]
)
def test_sample_is_evenly_spread_from_first_to_last(count, most):
    x, y = Windows(Ramp(count + 2).values(), 2).sample(most)
    first = x[:, 0, 0]
    assert (len(first), first[0], first[-1]) == (min(count, most), 0, count - 1)
    assert first.diff().max() - first.diff().min() <= 1
    same(y[:, 0], first + 2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_sample_includes_the_last_of_17_million_windows_whatever_the_default_dtype(dtype):
    torch.set_default_dtype(dtype)
    windows = Windows(torch.arange(2**24 + 3, dtype=torch.int32), 1)
    assert windows.sample(3)[0].flatten().tolist() == [0, 2**23, 2**24 + 1]


@pytest.mark.parametrize(
    ("window", "horizon", "message"),
    [
        (0, 1, "window must be at least 1 step, got 0"),
        (4, 0, "horizon must be at least 1 step, got 0"),
        (4, 3, "window 4 and horizon 3 need 7 points, got 6"),
    ],
)
def test_windows_refuse_sizes_that_do_not_fit(window, horizon, message):
    with refuses(ValueError, message):
        Windows(torch.zeros(6), window, horizon)


COLUMN = "a series must be (points,), one number for each step, got {}: choose one column"
REAL = "a series must be a dense tensor of real numbers, got {}"
TENSOR = "a series must be a tensor, got {}: use torch.as_tensor"


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        (torch.zeros(20, 2), ValueError, COLUMN.format((20, 2))),
        (torch.zeros(20, 1), ValueError, COLUMN.format((20, 1))),
        (torch.tensor(1.0), ValueError, COLUMN.format(())),
        (torch.zeros(20).to_sparse(), TypeError, REAL.format("torch.sparse_coo of torch.float32")),
        (torch.zeros(20) + 1j, TypeError, REAL.format("torch.strided of torch.complex64")),
        ([0.0] * 20, TypeError, TENSOR.format("list")),
        (np.zeros(20), TypeError, TENSOR.format("ndarray")),
    ],
)
def test_what_is_no_series_is_refused(values, error, message):
    predictor = Predictor(SinRNN(hidden_size=1), window=2)
    for read in (
        lambda: Windows(values, 2),
        lambda: data(Given(values), window=2),
        lambda: predictor.forecast(Given(values), 2),
    ):
        with refuses(error, message):
            read()


# The order of batches


def test_order_depends_on_seed_and_epoch_alone():
    before = torch.get_rng_state()
    expected = order(3, 5)
    same(torch.get_rng_state(), before)
    torch.manual_seed(123)
    assert order(3, 5) == expected
    assert len({tuple(order(*key)) for key in [(3, 5), (3, 6), (4, 5), (5, 3), (0, 0)]}) == 5


def test_order_follows_the_epoch_set_after_the_iterator_was_made():
    late = WindowBatchSampler(50, 8, 3)
    batches = iter(late)
    late.set_epoch(5)
    assert torch.cat(list(batches)).tolist() == order(3, 5)


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("batch_size", [4, 5, 7, 40, 100])
@pytest.mark.parametrize("count", [8, 10, 39, 40, 41])  # of one group, and of several
def test_order_has_every_index_once_in_full_batches(count, batch_size, shuffle, monkeypatch):
    monkeypatch.setattr("sinrnn.data.samplers.GROUP", 10)
    made = WindowBatchSampler(count, batch_size, 1, shuffle)
    made.set_epoch(3)
    batches = list(made)
    sizes = [batch_size] * (count // batch_size) + [count % batch_size]
    assert [len(batch) for batch in batches] == [size for size in sizes if size]
    assert len(made) == len(batches)
    indices = torch.cat(batches).tolist()
    assert sorted(indices) == list(range(count))
    assert (indices == sorted(indices)) is not shuffle  # unshuffled, it is that of time


def test_order_groups_are_shuffled_and_reach_over_the_whole_series(monkeypatch):
    monkeypatch.setattr("sinrnn.data.samplers.GROUP", 10)
    groups = torch.tensor(order(3, 5, 40)).split(10)
    firsts = [group.min().item() for group in groups]
    assert sorted(firsts) == [0, 1, 2, 3]
    assert firsts != [0, 1, 2, 3]
    for group, first in zip(groups, firsts, strict=True):
        same(group.sort().values, torch.arange(first, 40, 4))
        assert group.tolist() != sorted(group.tolist())
    assert len({tuple(order(*key, 40)) for key in [(3, 5), (3, 6), (4, 5), (5, 3)]}) == 4


# Splits of a series


def test_notebook_splits_hold_246_windows_each():
    sine = Sine(1000)
    found = data(sine, window=4, train=[0, 0.25], val=[0.375, 0.625], test=[0.75, 1])
    # 250 points each: 0..249, 375..624, 750..999. Four are read before the first target, so
    # 250 - 4 = 246 windows.
    targets = {"train": slice(4, 250), "val": slice(379, 625), "test": slice(754, 1000)}
    for name, places in targets.items():
        assert len(found.windows[name]) == 246
        same(found.windows[name].targets, sine.values()[places])
    same(found.windows["test"][:1][0][0, :, 0], sine.values()[750:754])


@pytest.mark.parametrize("horizon", [1, 3])
@pytest.mark.parametrize("points", [97, 100, 1000])
@pytest.mark.parametrize(
    "splits",
    [
        {"train": [0, 0.6], "val": [0.6, 0.8], "test": [0.8, 1]},
        {"train": [0, 1 / 3], "val": [1 / 3, 0.515], "test": [0.515, 1]},
        {"train": [0.1, 0.45], "val": [0.5, 0.75], "test": [0.8, 0.95]},
    ],
)
def test_splits_share_no_point_and_no_window_leaves_its_split(splits, points, horizon):
    found = data(Ramp(points), window=4, horizon=horizon, **splits)
    seen = []
    for name, (a, b) in splits.items():
        first, last = found.edges(name)
        assert (first, last) == (round(a * points), round(b * points))
        x, y = found.windows[name][:]
        used = set(x.flatten().tolist()) | set(y.flatten().tolist())
        assert min(used) == first
        assert max(used) == last - 1
        seen += used
    assert len(seen) == len(set(seen))


EDGES = "must be [a, b] with 0 <= a < b <= 1, got"
OVERLAP = "must start at or after the end of"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window": 0}, "window must be at least 1 step, got 0"),
        ({"horizon": 0}, "horizon must be at least 1 step, got 0"),
        ({"batch_size": -1}, "batch_size must be at least 1, or 0 for all, got -1"),
        ({"seed": -1}, "seed must be at least 0, got -1"),
        ({"val": [0.5, 0.8]}, f"val [0.5, 0.8] {OVERLAP} train, 0.6"),
        ({"train": [0.5, 0.8], "val": [0, 0.5]}, f"val [0, 0.5] {OVERLAP} train, 0.8"),
        ({"test": [0.8, 1.2]}, f"test {EDGES} [0.8, 1.2]"),
        ({"train": [-0.1, 0.6]}, f"train {EDGES} [-0.1, 0.6]"),
        ({"val": [0.7, 0.7]}, f"val {EDGES} [0.7, 0.7]"),
        ({"val": [0.8, 0.6]}, f"val {EDGES} [0.8, 0.6]"),
    ],
)
def test_data_refuses_options_that_make_no_sense(options, message):
    with refuses(ValueError, message):
        WindowDataModule(**options)


@pytest.mark.parametrize(
    ("name", "edges"), [("train", (0.0, 0.1)), ("val", (0.6, 0.7)), ("test", (0.9, 1.0))]
)
def test_data_names_the_split_that_is_too_short(name, edges):
    message = f"the {name} split {[*edges]}: window 9 and horizon 2 need 11 points, got 10"
    with refuses(ValueError, message):
        data(Ramp(100), window=9, horizon=2, **{name: edges})


# Loaders


def test_training_loader_gives_each_epoch_its_own_order():
    found = data(Ramp(100), horizon=2, batch_size=16, seed=4)
    loader = found.train_dataloader()
    epochs = []
    for epoch in (0, 1):
        loader.sampler.set_epoch(epoch)
        batches = list(loader)
        # 60 points, the first target at 5: 55 windows.
        assert [tuple(x.shape) for x, _ in batches] == [(16, 4, 1)] * 3 + [(7, 4, 1)]
        assert [tuple(y.shape) for _, y in batches] == [(16, 1)] * 3 + [(7, 1)]
        x, y = (torch.cat(parts) for parts in zip(*batches, strict=True))
        same(x[:, :, 0], y - 5 + torch.arange(4.0))
        same(y[:, 0], torch.tensor(order(4, epoch, 55, 16)) + 5.0)
        epochs.append(y)
    assert not torch.equal(*epochs)


@pytest.mark.parametrize(
    ("batch_size", "shuffle", "batches"),
    [(0, True, 1), (56, True, 1), (1000, True, 1), (16, False, 4)],
)
def test_training_loader_keeps_the_order_of_time_unshuffled_or_with_room_for_all(
    batch_size, shuffle, batches
):
    found = data(Ramp(100), batch_size=batch_size, shuffle=shuffle)
    x, y = zip(*found.train_dataloader(), strict=True)
    assert len(x) == batches
    same((torch.cat(x), torch.cat(y)), found.windows["train"][:])
    same(torch.cat(y)[:, 0], torch.arange(4.0, 60.0))


# Within an epoch


@pytest.mark.parametrize("made", [WindowBatchSampler(50, 8, 3), StreamBatchSampler(93, 4, 3)])
@pytest.mark.parametrize("first", [0, 1, 5])
def test_order_begins_at_first_once(made, first):
    every = list(made)
    made.first = lambda: first
    same(list(made), every[first:])
    same(list(made), every)
    assert len(made) == len(every) > 5


@pytest.mark.parametrize("options", [{"batch_size": 8}, {"num_streams": 3}])
@pytest.mark.parametrize(("training", "skipped"), [(True, 4), (False, 0)])
def test_training_loader_goes_on_within_an_epoch_alone(options, training, skipped):
    made = data(Sine(200), **options)
    whole = [[*map(tuple, made.train_dataloader())] for _ in range(2)]
    same(*whole)
    current = SimpleNamespace(ready=7)
    batches = SimpleNamespace(batch_progress=SimpleNamespace(current=current))
    loop = SimpleNamespace(epoch_loop=batches)
    made.trainer = SimpleNamespace(fit_loop=loop, global_rank=0, world_size=1, training=training)
    loader = made.train_dataloader()
    assert len(loader) == len(whole[0]) > 4
    current.ready = 4  # known only when the epoch begins
    same([*map(tuple, loader)], whole[0][skipped:])
    same([*map(tuple, loader)], whole[0])


def test_evaluation_loaders_give_val_then_train_and_test_in_order_of_time(monkeypatch):
    monkeypatch.setattr("sinrnn.data.datamodule.EVAL_BATCH", 9)
    found = data(Ramp(100), batch_size=2)
    loaders = [*found.val_dataloader(), found.test_dataloader()]
    for loader, first, last in zip(loaders, (64, 4, 84), (80, 60, 100), strict=True):
        batches = list(loader)
        assert [len(x) for x, _ in batches[:-1]] == [9] * (len(batches) - 1)
        assert all(x.shape == (len(y), 4, 1) and y.shape == (len(y), 1) for x, y in batches)
        same(torch.cat([y for _, y in batches])[:, 0], torch.arange(first, last).double())
