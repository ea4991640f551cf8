"""Series against NumPy: formulas, their noise, what follows their end; a file as a series."""

import hashlib
import inspect
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from cases import assert_close, refuses
from ramp import Given, same

from sinrnn.cli import train as cli
from sinrnn.data import readers
from sinrnn.data.series import FileSeries, Series, digest
from sinrnn.data.synthetic import Chirp, Damped, MackeyGlass, Sine, Square, SumOfSines


def test_sine_repeats_after_200_points_and_not_before():
    values = Sine().values()
    assert_close(values[200:], values[:-200])
    assert_close(values[100:], -values[:-100])


def test_sine_of_divisor_20_is_a_quarter_of_a_wave():
    values = Sine(divisor=20).values()
    assert (values.diff() > 0).all()
    assert_close(values[-1], torch.tensor(math.sin(0.999 * math.pi / 2)))


def test_sine_is_float64_whatever_the_default():
    torch.set_default_dtype(torch.float32)
    assert Sine().values().dtype == torch.float64


@pytest.mark.parametrize(("points", "known"), [(2, 2), (3, 3), (9, 3)])
def test_continued_series_ends_where_its_values_end(points, known):
    three = Given(torch.tensor([5.0, 6.0, 8.0]))
    same(three.continued(points), three.given[:known])
    same(three.noise_free(points), three.given[:known])


def test_series_without_values_cannot_be_made():
    with pytest.raises(TypeError, match="abstract"):
        Series()


i = np.arange(90)
# Each with values of its own for all that it takes, against its formula for 90 samples.
FORMULAS = {
    "sine": (Sine(40, 6.0, 0.7), np.sin(i * 6 / 40 / 0.7)),
    "sine, back": (Sine(40, 2.5, -3.0), np.sin(i * 2.5 / 40 / -3)),
    "the notebook's": (Sine(), np.sin(i * np.pi / 100)),
    "one point": (Sine(1, 4.0), np.sin(i * 4.0)),
    "damped": (
        Damped(points=40, period=7.5, decay=31.0),
        np.exp(-i / 31) * np.sin(2 * np.pi / 7.5 * i),
    ),
    "sum": (
        SumOfSines(points=40, periods=(7.5, 12.0, 31.0), amplitudes=(2.0, -0.5, 0.0)),
        2 * np.sin(2 * np.pi / 7.5 * i) - np.sin(2 * np.pi / 12 * i) / 2,
    ),
    "chirp": (
        Chirp(points=40, first=32.0, last=8.0),
        np.sin(2 * np.pi * (i / 32 + (3 / 32) * i * i / 80)),
    ),
    "chirp, falling": (
        Chirp(points=40, first=8.0, last=32.0),
        np.sin(2 * np.pi * (i / 8 - (3 / 32) * i * i / 80)),
    ),
    "square": (Square(points=40, period=6), np.tile([1.0, 1, 1, -1, -1, -1], 15)),
    "square, odd": (Square(points=40, period=5), np.tile([1.0, 1, 1, -1, -1], 18)),
    "broken": (Square(points=40, period=4.5), np.tile([1.0, 1, 1, -1, -1, 1, 1, -1, -1], 10)),
}


@pytest.mark.parametrize("case", FORMULAS)
def test_generated_series_matches_numpy(case):
    series, expected = FORMULAS[case]
    assert_close(series.continued(90), torch.from_numpy(expected))
    same(series.noise_free(90), series.continued(90))
    assert_close(series.values()[:90], torch.from_numpy(expected)[: series.points])


def test_chirp_sweeps_from_its_first_period_to_its_last():
    phase = torch.asin(Chirp(points=4000, first=1000.0, last=500.0).continued(4002))
    turns = phase.diff().abs() / (2 * math.pi)
    torch.testing.assert_close(turns[0].item(), 1 / 1000, rtol=1e-3, atol=0)
    torch.testing.assert_close(turns[4000].item(), 1 / 500, rtol=1e-3, atol=0)


def mackey_glass(points, tau, beta, gamma, n, m):
    """From a past of 1.2, delay by delay: there the equation is linear, and an integral solves it.

    x(t) = e^(-gamma t) (x(0) + integral_0^t e^(gamma s) g(s) ds), by trapezoids of width 1 / m.
    """
    grow = np.exp(gamma * np.arange(tau * m + 1) / m)
    blocks = [np.full(tau * m + 1, 1.2)]
    for _ in range(-(-points // tau)):
        x = blocks[-1]
        g = grow * beta * x / (1 + x**n)
        integral = np.concatenate([[0], np.cumsum((g[1:] + g[:-1]) / 2 / m)])
        blocks.append((x[-1] + integral) / grow)
    return np.concatenate([block[:-1:m] for block in blocks[1:]])[:points]


@pytest.mark.parametrize(
    ("tau", "beta", "gamma", "n"),
    [(17, 0.2, 0.1, 10.0), (11, 0.35, 0.15, 7.5), (2, 0.2, 0.1, 10.0)],
)
def test_mackey_glass_matches_an_integration_in_far_smaller_steps(tau, beta, gamma, n):
    found = MackeyGlass(points=400, tau=tau, beta=beta, gamma=gamma, n=n).values()
    expected = mackey_glass(900, tau, beta, gamma, n, 1000)[500:]
    torch.testing.assert_close(found, torch.from_numpy(expected), rtol=0, atol=2e-6)


def test_mackey_glass_comes_to_rest_or_stays_in_its_range_and_does_not_repeat():
    assert_close(MackeyGlass(points=1000, tau=2).values()[-1], torch.tensor(1.0))
    values = MackeyGlass(points=5000).values()
    assert 0.4 < values.min() < 0.5
    assert 1.25 < values.max() < 1.35
    for lag in range(20, 500):
        assert (values[lag:] - values[:-lag]).abs().max() > 0.2


def every(**common):
    """One of each kind."""
    kinds = (Sine, Damped, SumOfSines, Chirp, Square, MackeyGlass)
    return [kind(points=50, **common) for kind in kinds]


@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_first_samples_do_not_depend_on_how_many_are_asked_for(noise):
    for series in every(noise=noise, seed=3):
        longest = series.continued(170)
        assert longest.dtype == torch.float64
        for points in (1, 2, 49, 50, 51, 169):
            assert_close(series.continued(points), longest[:points])
            assert_close(series.noise_free(points), series.noise_free(170)[:points])
        assert_close(series.values(), longest[:50])


def test_truth_is_the_series_of_the_same_name_without_noise():
    for noisy, clean in zip(every(noise=0.3, seed=3), every(), strict=True):
        same(noisy.noise_free(70), clean.continued(70))
        assert (noisy.continued(70) != clean.continued(70)).all()


def test_noise_is_gaussian_with_its_deviation():
    series = Sine(points=200_000, noise=0.3, seed=5)
    noise = (series.values() - series.noise_free(200_000)) / 0.3
    assert abs(noise.mean()) < 4 / math.sqrt(200_000)
    assert abs(noise.square().mean() - 1) < 4 * math.sqrt(2 / 200_000)
    assert abs((noise[1:] * noise[:-1]).mean()) < 4 / math.sqrt(200_000)
    for within, share in ((1, 0.6827), (2, 0.9545), (3, 0.9973)):
        assert abs((noise.abs() < within).double().mean() - share) < 0.004


def test_seed_fixes_the_noise_and_the_deviation_scales_it():
    def noise(**common):
        return Square(**common).values() - Square().values()

    same(noise(noise=0.3, seed=4), noise(noise=0.3, seed=4))
    assert_close(noise(noise=0.3, seed=4), 3 * noise(noise=0.1, seed=4))
    assert abs((noise(noise=1.0, seed=4) * noise(noise=1.0, seed=5)).mean()) < 0.15
    assert_close(noise(noise=1.0), torch.from_numpy(np.random.default_rng(0).normal(size=1000)))


SAMPLES = "must be a finite number of samples above"
LISTS = "periods and amplitudes must be lists of the same length, at least 1, got"
USER_ERRORS = [
    (Sine, {"noise": -0.1}, "noise must be a finite number, at least 0, got -0.1"),
    (Square, {"noise": math.inf}, "noise must be a finite number, at least 0, got inf"),
    (Chirp, {"noise": math.nan}, "noise must be a finite number, at least 0, got nan"),
    (Sine, {"seed": -1}, "seed must be at least 0, got -1"),
    (MackeyGlass, {"points": 0}, "points must be at least 1, got 0"),
    (Damped, {"period": 2.0}, f"period {SAMPLES} 2, got 2.0"),
    (Damped, {"period": math.inf}, f"period {SAMPLES} 2, got inf"),
    (Damped, {"decay": 0.0}, f"decay {SAMPLES} 0, got 0.0"),
    (Damped, {"decay": math.nan}, f"decay {SAMPLES} 0, got nan"),
    (SumOfSines, {"periods": (5.0,)}, f"{LISTS} 1 and 2"),
    (SumOfSines, {"periods": (), "amplitudes": ()}, f"{LISTS} 0 and 0"),
    (SumOfSines, {"periods": (5.0, 1.5)}, f"periods {SAMPLES} 2, got 1.5"),
    (SumOfSines, {"amplitudes": (1, math.nan)}, "amplitudes must be finite numbers, got [1, nan]"),
    (Chirp, {"first": -5.0}, f"first {SAMPLES} 2, got -5.0"),
    (Chirp, {"last": 1.0}, f"last {SAMPLES} 2, got 1.0"),
    (Square, {"period": 1}, f"period {SAMPLES} 2, got 1"),
    (MackeyGlass, {"tau": 0}, "tau must be at least 1 sample, got 0"),
    (MackeyGlass, {"beta": 1.5}, "beta must be above 0 and at most 1, got 1.5"),
    (MackeyGlass, {"gamma": 0.0}, "gamma must be above 0 and at most 1, got 0.0"),
    (MackeyGlass, {"n": math.nan}, "n must be above 0 and at most 50, got nan"),
    (FileSeries, {"path": ""}, "path must name a file, got ''"),
    *(
        (FileSeries, {"path": "a.csv", name: value}, message)
        for name, value, message in [
            ("max_megabytes", 0, "max_megabytes must be at least 1, got 0"),
            ("skip_rows", -1, "skip_rows must be at least 0, got -1"),
            ("gaps", "skip", "gaps must be refuse, fill or ignore, got 'skip'"),
            ("separator", ", ", "separator must be one character, got ', '"),
            ("thousands", "", "thousands must be one character, got ''"),
            ("decimal", "'", 'decimal must be . or , got "\'"'),
        ]
    ),
    *(
        (Sine, {name: value}, f"{name} must be a finite number other than 0, got {value}")
        for name in ("stop", "divisor")
        for value in (0.0, math.nan, math.inf, -math.inf)
    ),
]


@pytest.mark.parametrize(("kind", "arguments", "message"), USER_ERRORS)
def test_series_refuses(kind, arguments, message):
    with refuses(ValueError, message):
        kind(**arguments)


def test_mackey_glass_takes_its_largest_values():
    for tau in (1, 60):
        values = MackeyGlass(points=300, tau=tau, beta=1.0, gamma=1.0, n=50.0).values()
        assert values.isfinite().all()
        assert values.max() < 1.2


def test_file_is_read_once_and_not_before_it_is_needed(tmp_path):
    path = tmp_path / "wave.csv"
    series = FileSeries(str(path), "wave")
    with refuses(FileNotFoundError, f"{path} does not exist"):
        series.values()
    path.write_text("t,wave,x\n0,5,1\n1,6,1\n2,8,1\n")
    assert series.values().tolist() == [5, 6, 8]
    path.unlink()
    series.values().zero_()  # what is handed out is a copy
    assert series.values().tolist() == [5, 6, 8]
    assert series.continued(2).tolist() == [5, 6]
    assert series.continued(9).tolist() == series.noise_free(9).tolist() == [5, 6, 8]


@pytest.mark.process
def test_series_of_a_file_needs_pandas_for_text_alone(tmp_path):
    (tmp_path / "wave.csv").write_text("5\n6\n")
    np.save(tmp_path / "wave.npy", [5.0, 6.0])
    code = """
import sys, sinrnn
heavy = ("pandas", "lightning", "jsonargparse", "matplotlib")
for name in ("wave.npy", "wave.csv"):
    assert sinrnn.FileSeries(name).values().tolist() == [5, 6]
    print([name for name in heavy if name in sys.modules])
"""
    command = [sys.executable, "-c", code]
    env = os.environ | {"PYTHONPATH": str(Path(cli.__file__).parents[2])}
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("[]\n['pandas']\n", "")


@pytest.fixture
def train(tmp_path, monkeypatch, capsys):
    """Train shortly in a folder with a file: (arguments) -> status, stderr, the series saved."""
    monkeypatch.chdir(tmp_path)
    wave = np.sin(np.arange(200) / 8).tolist()
    text = "t,wave,x\n" + "".join(f"{i},{x!r},0\n" for i, x in enumerate(wave))
    (tmp_path / "wave.csv").write_text(text)
    (tmp_path / "gap.csv").write_text("t,wave\n0,5\n1,NA\n2,6\n")
    threads = torch.get_num_threads()

    def call(*arguments):
        status = cli.main(["--figures=false", "--trainer.max_epochs=1", *arguments])
        saved = [yaml.safe_load(f.read_text()) for f in tmp_path.glob("runs/*/*/config.yaml")]
        return status, capsys.readouterr().err, [config["data"]["series"] for config in saved]

    yield call
    torch.set_num_threads(threads)


@pytest.mark.parametrize("name", ["FileSeries", "sinrnn.FileSeries"])
def test_network_trains_on_a_file_that_the_command_line_names(train, name):
    file = ["--data.series.path", "wave.csv", "--data.series.column", "wave"]
    init_args = dict.fromkeys(inspect.signature(FileSeries).parameters)
    init_args |= {"path": "wave.csv", "column": "wave", "gaps": "refuse", "max_megabytes": 200}
    saved = {"class_path": "sinrnn.FileSeries", "init_args": init_args}
    assert train("--data.series", name, *file) == (0, "", [saved])


def test_network_trains_on_a_generated_series_that_the_command_line_names(train):
    options = ["--data.series.points", "150", "--data.series.noise", "0.1"]
    status, err, (saved,) = train("--data.series", "Chirp", *options)
    assert (status, err, saved["class_path"]) == (0, "", "sinrnn.Chirp")
    init_args = {"first": 100.0, "last": 20.0, "points": 150, "noise": 0.1, "seed": 0}
    assert saved["init_args"] == init_args


def test_what_was_done_to_a_file_is_printed_before_training(train, tmp_path, capsys):
    days = np.datetime64("2020-01-01") + np.arange(200)
    rows = "".join(f"{day},{i % 7}\n" for i, day in enumerate(days) if i != 50)
    (tmp_path / "days.csv").write_text(f"date,v\n{rows}")
    given = ["--data.series=FileSeries", "--data.series.path=days.csv", "--data.series.gaps=fill"]
    assert cli.main([*given, "--figures=false", "--trainer.max_epochs=1"]) == 0
    assert " ".join(capsys.readouterr().out.split()).startswith(
        "note: values interpolated: 1 of 200: 2020-02-21 comes 2 days after 2020-02-19, but the "
        "step is 1 day, the only gap (1 missing in all) TensorBoard: "
    )


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (
            "gap.csv",
            "gap.csv, row 3, column 'wave': the value is missing, got 'NA' (1 in all): fill it in, "
            "or interpolate with --data.series.gaps fill",
        ),
        (
            "wave.csv",
            "wave.csv has 2 columns of numbers: choose one with --data.series.column: 1 "
            "(wave), 2 (x)",
        ),
        ("none.csv", "none.csv does not exist"),
        ("", "path must name a file, got ''"),
        (".", ". is a folder: name a file in it"),
        ("s3://a", "s3://a is a URL, and only local files are read: download it first"),
    ],
)
def test_bad_file_ends_in_one_line_and_leaves_no_run(train, path, message):
    found = train("--data.series", "FileSeries", "--data.series.path", path)
    assert found == (2, f"error: {message}\n", [])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_digest_is_of_every_bit_and_of_no_layout(monkeypatch, dtype):
    monkeypatch.setattr(readers, "CHUNK", 7)
    values = torch.randn(30, dtype=dtype)
    found = digest(values)
    expected = hashlib.sha256(values.numpy().tobytes()).hexdigest()
    assert found == {"points": 30, "dtype": str(dtype).removeprefix("torch."), "sha256": expected}
    strided = torch.stack([values, -values], dim=1)[:, 0]
    assert digest(strided) == found
    for i in range(30):
        other = values.clone()
        other[i] = torch.nextafter(other[i], other[i] + 1)
        assert digest(other) != found


def numbers(path):
    """A file of 0, 1, 2, ..., and the series that has read it."""
    np.save(path, np.arange(1000.0))
    series = FileSeries(path)
    series.values()
    series.check_unchanged()
    return series


def altered(path, change):
    """Change a file as somebody else might."""
    if change == "truncated":
        os.truncate(path, path.stat().st_size - 800)
    elif change == "overwritten":
        with path.open("r+b") as file:
            file.seek(200)
            file.write(b"\x01" * 80)
        os.utime(path, ns=(1, 1))
    elif change == "replaced":
        numbers(path.with_name("b.npy"))
        path.with_name("b.npy").replace(path)
    else:
        path.unlink()


@pytest.mark.parametrize("change", ["truncated", "overwritten", "replaced", "removed"])
def test_mapped_file_that_changes_is_noticed(tmp_path, monkeypatch, change):
    monkeypatch.setattr(readers, "COPIED", 100)
    series = numbers(tmp_path / "a.npy")
    altered(tmp_path / "a.npy", change)
    with pytest.raises(ValueError, match=r"a\.npy has changed during training: start a new run"):
        series.check_unchanged()


def test_file_that_fits_is_copied_and_may_change(tmp_path):
    series = numbers(tmp_path / "a.npy")
    altered(tmp_path / "a.npy", "truncated")
    series.check_unchanged()
    assert series.values()[-1] == 999


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("Month,Sales\n2024-01,5\n2024-02,6\n", ("Sales", "Month")),
        ("Sales\n5\n6\n", ("Sales", "time")),
        ("5\n6\n", ("value", "time")),
    ],
)
def test_names_of_the_columns_are_those_of_the_file(tmp_path, text, names):
    path = tmp_path / "a.csv"
    path.write_text(text)
    assert FileSeries(path).names == names
    assert Sine().names == ("value", "time")
