"""numpy scalars are taken as the Python numbers that they are, wherever a number is asked for."""

from functools import partial

import numpy as np
import pytest
import torch
from cases import BITS, cell
from fitting import EXPECTED, trainer
from torch.optim import SGD

from sinrnn import (
    Chirp,
    Damped,
    FileSeries,
    Forecaster,
    MackeyGlass,
    Predictor,
    Sine,
    SinRNN,
    Square,
    SumOfSines,
    WindowDataModule,
    Windows,
    fit,
    tanh_rnn,
)
from sinrnn._numbers import plain
from sinrnn.training.checkpoint_io import AtomicCheckpointIO

pytestmark = EXPECTED
PLAIN = (int, float, bool, str, type(None))


def of_numpy(value):
    """A Python number, or several, as numpy has it."""
    if isinstance(value, list | tuple):
        return type(value)(map(of_numpy, value))
    scalar = {bool: np.bool_, int: np.int64, float: np.float64}.get(type(value), lambda same: same)
    return scalar(value)


def both(make, options):
    """What a constructor makes of the Python numbers, and of numpy's."""
    torch.manual_seed(3)
    own = make(**options)
    torch.manual_seed(3)
    return own, make(**{name: of_numpy(value) for name, value in options.items()})


def numbers(thing):
    """Attributes that are numbers, or lists of them; as text, since numpy's equal Python's."""
    for name, value in vars(thing).items():
        for each in value if isinstance(value, list | tuple) else [value]:
            if isinstance(each, PLAIN) or type(each).__module__ == "numpy":
                yield name, type(each), each


@pytest.mark.parametrize("value", [3, 0.1, True, None, "text", (0.0, 1), [1, [2.5, False]]])
def test_plain_gives_the_python_number(value):
    assert repr(plain(of_numpy(value))) == repr(value)
    assert plain(value) is value


def test_plain_leaves_everything_else_as_it_is():
    for value in (np.arange(3), torch.tensor(1), np.dtype("f4"), [object()]):
        assert plain(value) is value
    assert type(plain(np.array(2))) is int
    assert type(plain(np.float32(0.5))) is float


NET = {"input_size": 1, "hidden_size": 5, "output_size": 1, "bias": True, "bptt_steps": 3}
DATA = {"window": 4, "horizon": 1, "train": (0.0, 0.5), "val": [0.5, 0.7], "test": (0.7, 1.0)}
DATA |= {"batch_size": 16, "shuffle": True, "steps": 1, "num_streams": 0, "seed": 3}
COMMON = {"points": 60, "noise": 0.1, "seed": 2}


@pytest.mark.parametrize(
    ("make", "options"),
    [
        (SinRNN, NET),
        (
            partial(Predictor, SinRNN()),
            {"window": 4, "horizon": 2, "standardise": True, "linear": False, "stateful": True},
        ),
        (WindowDataModule, DATA),
        (partial(Windows, torch.arange(9.0)), {"window": 3, "horizon": 2, "steps": 2}),
        (Sine, COMMON | {"stop": 30.0, "divisor": 2.0}),
        (Damped, COMMON | {"period": 5.0, "decay": 9.0}),
        (SumOfSines, COMMON | {"periods": (4.0, 12.0), "amplitudes": [1.0, 0.5]}),
        (Chirp, COMMON | {"first": 20.0, "last": 9.0}),
        (Square, COMMON | {"period": 5.0}),
        (MackeyGlass, COMMON | {"tau": 9, "beta": 0.3, "gamma": 0.2, "n": 8.0}),
        (partial(FileSeries, "x.csv"), {"column": 1, "header": True, "max_megabytes": 3}),
    ],
)
def test_what_is_stored_is_the_python_number(make, options):
    own, numpys = both(make, options)
    assert list(numbers(numpys)) == list(numbers(own))
    assert all(kind in PLAIN for _, kind, _ in numbers(numpys))


def test_series_of_numpy_numbers_has_the_same_values(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.csv").write_text("1,2\n3,4\n")
    for make, options in (
        (partial(FileSeries, "x.csv"), {"column": 1, "header": False}),
        (MackeyGlass, COMMON),
        (SumOfSines, COMMON),
    ):
        own, numpys = both(make, options)
        torch.testing.assert_close(numpys.values(), own.values(), **BITS)


MODEL = {"hidden_size": 5, "bias": True, "bptt_steps": 3, "standardise": True, "log": False}
MODEL |= {"relative": False, "linear": False, "readout_epoch": 1, "readout_rcond": 1e-8}
MODEL |= {"input_size": 1, "output_size": 1, "stateful": False, "input_noise": 0.1}


class Named(Forecaster):
    """One with a number of its own."""

    def __init__(self, size):
        super().__init__(hidden_size=size)


@pytest.mark.parametrize(("make", "options"), [(Forecaster, MODEL), (Named, {"size": 5})])
@pytest.mark.parametrize("plugins", [[], [AtomicCheckpointIO()]], ids=["plain", "durable"])
def test_checkpoint_of_numpy_numbers_is_the_same_and_can_be_read(tmp_path, make, options, plugins):
    own, numpys = both(make, options)
    own.optimizer = numpys.optimizer = partial(SGD, lr=0.05)
    for model, data in zip((own, numpys), both(WindowDataModule, DATA), strict=True):
        torch.manual_seed(0)
        done = trainer(plugins=plugins)
        done.fit(model, data)
        done.save_checkpoint(tmp_path / "last.ckpt")
    torch.testing.assert_close(numpys.state_dict(), own.state_dict(), **BITS)
    again = make.load_from_checkpoint(tmp_path / "last.ckpt")
    assert again.hparams == own.hparams
    assert all(type(value) in PLAIN for value in numpys.hparams.values())
    torch.testing.assert_close(again.net.state_dict(), own.net.state_dict(), **BITS)
    numpys.predictor.save(tmp_path / "model.safetensors")
    assert Predictor.load(tmp_path / "model.safetensors").net.bptt_steps == own.net.bptt_steps


def test_run_of_numpy_numbers_has_the_config_of_pythons(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.set_default_dtype(torch.float32)
    options = {"max_epochs": 1, "seed": 7, "threads": 1, "figures": False}
    options |= {"enable_progress_bar": False, "gradient_clip_val": 0.5, "accelerator": "cpu"}
    for given in (options, {name: of_numpy(value) for name, value in options.items()}):
        model, data = both(Forecaster, {"hidden_size": 5})[1], both(WindowDataModule, DATA)[1]
        run = fit(model, data, **given)
    first, second = (run.folder.parent / f"version_{i}" / "config.yaml" for i in (0, 1))
    assert first.read_text() == second.read_text()
    assert run.forecast(np.int64(3)).prediction.shape == (3,)


def test_calls_take_numpy_numbers():
    net, x = SinRNN(hidden_size=5, bptt_steps=3), torch.randn(2, 6, 1)
    steps, three = np.int64(2), np.int64(3)
    torch.testing.assert_close(net.rollout(x, steps, window=three), net.rollout(x, 2, window=3))
    torch.testing.assert_close(net.unroll(x, ahead=steps), net.unroll(x, ahead=2))
    inputs = cell()
    found = tanh_rnn(**inputs, bptt_steps=three)
    torch.testing.assert_close(found, tanh_rnn(**inputs, bptt_steps=3), **BITS)
    predictor, values = Predictor(net, window=4), torch.randn(9)
    torch.testing.assert_close(predictor.rollout(values, steps), predictor.rollout(values, 2))


def test_network_whose_bptt_steps_are_set_later_is_saved(tmp_path):
    net = SinRNN(hidden_size=5)
    net.bptt_steps = np.int64(3)
    net(torch.randn(2, 6, 1)).sum().backward()
    net.save(tmp_path / "net.safetensors")
    assert type(SinRNN.load(tmp_path / "net.safetensors").bptt_steps) is int
