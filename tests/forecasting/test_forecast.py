"""scripts/forecast.py as people use it, and the forecast behind it beside the network's rollout."""

import contextlib
import csv
import math
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import programs
import pytest
import torch
from cases import BITS, TOLERANCE, assert_close, predictor, refuses

from sinrnn import ArraySeries, FileSeries, Predictor, SinRNN
from sinrnn.cli import train as cli
from sinrnn.cli.forecast import main
from sinrnn.data.time_index import TimeIndex
from sinrnn.evaluation import picture, plots
from sinrnn.filesystem import CONFIGS
from sinrnn.forecasting.forecast import Forecast
from sinrnn.forecasting.intervals import recent_error

ROOT = Path(__file__).parents[2]
NAN, INF = math.nan, math.inf
VALUES = torch.sin(torch.arange(30, dtype=torch.float64) / 3)


def network(window=4, horizon=1, *, stateful=False, scaling=(0.0, 1.0), radius=None, **options):
    net = SinRNN(hidden_size=5, bias=True, **options)
    return predictor(net, window, horizon, stateful=stateful, scaling=scaling, radius=radius)


def forecast(made, values, steps):
    return made.forecast(values, steps)


# The forecast


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize(
    ("window", "stateful"), [(4, False), (4, True), (None, False), (None, True)]
)
def test_forecast_is_the_rollout_from_the_end(window, stateful, dtype):
    net = network(window, stateful=stateful, dtype=dtype)
    read = VALUES[-(window or 30) :]
    made = forecast(net, VALUES, 7)
    sliding = None if stateful else window or 30
    rolled = net.net.rollout(read[:, None].to(dtype), 7, window=sliding)[:, 0].detach()
    assert made.start == 30
    torch.testing.assert_close(made.read, read, **BITS)
    torch.testing.assert_close(made.prediction, rolled.double(), **BITS)
    assert made.prediction.dtype == made.lower.dtype == made.upper.dtype == torch.float64
    assert not made.prediction.requires_grad


def test_forecast_slides_or_carries_as_the_network_was_taught():
    net = network()
    known = VALUES[-4:].tolist()
    for _ in range(5):
        known.append(net(torch.tensor([known[-4:]])).item())
    assert_close(forecast(net, VALUES, 5).prediction, torch.tensor(known[4:]))
    h, known = None, []
    for x in VALUES[-4:]:
        h, y = net.net.step(x[None, None], h)
    for _ in range(5):
        known.append(y.item())
        h, y = net.net.step(y, h)
    net.stateful = True
    assert_close(forecast(net, VALUES, 5).prediction, torch.tensor(known))


def test_forecast_reads_a_series_of_either_precision():
    net, single = network(), VALUES.float()
    one, other = forecast(net, single, 5), forecast(net, single.double(), 5)
    assert one.read.dtype == other.read.dtype == torch.float64
    torch.testing.assert_close(one.prediction, other.prediction, **BITS)


def test_what_a_forecast_has_read_may_be_written_to():
    values = VALUES.clone()
    forecast(network(), values, 5).read.zero_()
    torch.testing.assert_close(values, VALUES, **BITS)


def test_forecast_is_in_the_units_of_the_series():
    net = network(radius=[0.5, 0.75])
    other = predictor(net.net, 4, scaling=(50.0, 10.0), radius=[5.0, 7.5])
    inner, outer = forecast(net, VALUES, 5), forecast(other, 50 + 10 * VALUES, 5)
    torch.testing.assert_close(outer.prediction, 50 + 10 * inner.prediction, rtol=1e-12, atol=0)
    assert_close((outer.upper - outer.lower)[:2], torch.tensor([10.0, 15.0]))


@pytest.mark.parametrize(
    ("radius", "steps", "found"),
    [
        ([0.5, 0.75, 1.0], 2, [0.5, 0.75]),
        ([0.5, 0.75, 1.0], 3, [0.5, 0.75, 1.0]),
        ([0.5, 0.75, 1.0], 5, [0.5, 0.75, 1.0, NAN, NAN]),
        ([0.5, INF, INF], 4, [0.5, NAN, NAN, NAN]),
        ([INF, INF], 2, [NAN, NAN]),
        (None, 2, [NAN, NAN]),
    ],
)
def test_intervals_end_where_they_are_not_known(radius, steps, found):
    made = forecast(network(radius=radius), VALUES, steps)
    for end, sign in ((made.lower, -1), (made.upper, 1)):
        wanted = made.prediction + sign * torch.tensor(found)
        torch.testing.assert_close(end, wanted, equal_nan=True, **BITS)


FAR = (
    "the network was trained on values around 50 with standard deviation 2, the last 4 values lie "
    "around {}: check the series and its unit"
)


@pytest.mark.parametrize(
    ("options", "values", "steps", "message"),
    [
        ({"input_size": 2}, VALUES, 5, "a forecast needs a network that reads 1 series, got 2"),
        (
            {"output_size": 3},
            VALUES,
            5,
            "a rollout feeds outputs back as inputs: output_size must equal input_size, 1, got 3",
        ),
        ({}, VALUES[:3], 5, "the network reads 4 points, the series has 3"),
        ({"horizon": 3}, VALUES, 5, "a rollout needs a network of horizon 1, got 3"),
        ({}, VALUES, 0, "steps must be at least 1, got 0"),
        ({"scaling": (50.0, 2.0)}, torch.full((9,), 70.5), 5, FAR.format("70.5")),
        ({"scaling": (50.0, 2.0)}, torch.full((9,), 29.5), 5, FAR.format("29.5")),
    ],
)
def test_forecast_refuses(options, values, steps, message):
    with refuses(ValueError, message):
        forecast(network(**options), values, steps)


@pytest.mark.parametrize(
    ("scaling", "values"),
    [
        ((50.0, 2.0), [0.0] * 5 + [70.0] * 4),  # what lies before is not read
        ((50.0, 2.0), [30.0] * 4),
        ((50.0, 2.0), [50.0, 1e6, 51.0, 49.0]),  # the middle counts
        ((0.0, 1.0), [1e6] * 4),  # it does not say what it has learnt from
    ],
)
def test_forecast_takes_what_is_like_the_training_split(scaling, values):
    assert len(forecast(network(scaling=scaling), torch.tensor(values), 5).prediction) == 5


# The table


def test_csv_word_for_word(tmp_path):
    ends = torch.tensor([1.25, -1.9, NAN]), torch.tensor([1.75, 2.1, NAN])
    made = Forecast(7, VALUES[:2], torch.tensor([1.5, 0.1, -2e-20]), *ends)
    made.to_csv(tmp_path / "a.csv")
    assert (tmp_path / "a.csv").read_text() == (
        "index,prediction,lower,upper\n7,1.5,1.25,1.75\n8,0.1,-1.9,2.1\n9,-2e-20,,\n"
    )


MONTHS = ArraySeries(VALUES, index=pd.date_range("2024-01-31", periods=len(VALUES), freq="ME"))
CLOCK = ArraySeries(
    VALUES, index=pd.date_range("2024-03-30", periods=len(VALUES), freq="6h", tz="CET")
)


def test_table_has_times_where_the_series_has_them(tmp_path):
    """Here and in pandas; and indices where it has none, or no regular step."""
    made = forecast(network(), MONTHS, 2)
    made.to_csv(tmp_path / "a.csv")
    ends = [str(day.date()) for day in pd.date_range(MONTHS.index.values[-1], periods=3, freq="ME")]
    assert table(tmp_path / "a.csv", "time") == ends[1:]
    frame = made.to_pandas()
    assert [*frame.columns] == ["time", "prediction", "lower", "upper"]
    assert [str(time.date()) for time in frame["time"]] == ends[1:]
    assert frame["prediction"].tolist() == made.prediction.tolist()
    for index in (None, TimeIndex(MONTHS.index.values, None)):
        without = forecast(network(), ArraySeries(VALUES, index=None), 2)
        without.past = index
        assert without.time is None
        assert without.to_pandas()["index"].tolist() == [*without.index]
        without.to_csv(tmp_path / "a.csv")
        assert (tmp_path / "a.csv").read_text().startswith("index,prediction,")


def test_times_of_a_zone_are_those_of_its_clocks(tmp_path):
    made = forecast(network(), CLOCK, 1)
    made.to_csv(tmp_path / "a.csv")
    (time,) = made.to_pandas()["time"]
    assert table(tmp_path / "a.csv", "time") == [str(time)]
    assert time == pd.Timestamp("2024-03-30", tz="CET") + len(VALUES) * pd.Timedelta("6h")


def test_csv_keeps_every_bit(tmp_path):
    y, radius = torch.randn(40) * torch.logspace(-300, 300, 40), torch.rand(40)
    Forecast(3, VALUES, y, y - radius, y + radius).to_csv(tmp_path / "a.csv")
    with (tmp_path / "a.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["index"]) for row in rows] == list(range(3, 43))
    columns = {"prediction": y, "lower": y - radius, "upper": y + radius}
    for name, values in columns.items():
        assert [float(row[name]) for row in rows] == values.tolist(), name


# The script


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A series, the folder of a run on it, and its model in a folder of its own."""
    home = tmp_path_factory.mktemp("home")
    shutil.copy(CONFIGS / "sunspots.csv", home)
    with contextlib.chdir(home):
        short = ["--figures=false", "--trainer.max_epochs=3", "--data.series.path=sunspots.csv"]
        short += ["--data.window=11", "--model.units=given", "--model.linear=false"]
        assert cli.main(["--config", str(CONFIGS / "series.yaml"), *short]) == 0
        Path("runs/series/version_0").rename("run")
        shutil.rmtree("runs")
        Path("alone").mkdir()
        shutil.copy("run/model.safetensors", "alone")
        spots = "".join(f"{t + (t > 11)},{t % 7}\n" for t in range(20))
        Path("gaps.csv").write_text(f"t,v\n{spots}")
    return home


@pytest.fixture
def place(trained, tmp_path, monkeypatch):
    """A copy of all that, to work in."""
    shutil.copytree(trained, tmp_path / "place")
    monkeypatch.chdir(tmp_path / "place")
    return tmp_path / "place"


@pytest.fixture
def call(place, capsys):
    """(arguments) -> status, stdout, stderr of the script."""
    threads = torch.get_num_threads()

    def made(arguments):
        status = main(arguments.split())
        return status, *capsys.readouterr()

    yield made
    torch.set_num_threads(threads)


def files(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def table(path, column=None):
    """A forecast's columns, nan where a cell is empty; or one as text."""
    with Path(path).open() as file:
        rows = list(csv.DictReader(file))
    if column:
        return [row[column] for row in rows]
    names = ["index", "prediction", "lower", "upper"]
    return [torch.tensor([float(row[name] or NAN) for row in rows]) for name in names]


@pytest.mark.process
def test_process_goes_on_where_the_series_ends(place):
    before = files(place)
    done = programs.run(ROOT / "scripts" / "forecast.py", "run", "--steps", "50")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        "forecast   50 steps from sample 309 on; the network reads the last 11\n"
        "intervals  90% nominal, 85% coverage on the test split, for the first 15 steps\n"
        "tested     half_mse 1.25e+03 on the test split, skill -7.09 against the best\n"
        "           baseline, autoregression AR(11)\n"
        "table      run/forecast.csv\n"
        "picture    run/forecast.png\n"
        "warning    autoregression AR(11) was better on the test split: half_mse\n"
        "           1.54e+02, the network's 1.25e+03\n"
    )
    after = files(place)
    assert set(after) - set(before) == {"run/forecast.csv", "run/forecast.png"}
    assert before.items() <= after.items()
    assert after["run/forecast.png"].startswith(b"\x89PNG")
    net = Predictor.load("run/model.safetensors")
    spots = torch.from_numpy(np.loadtxt("sunspots.csv", delimiter=",", skiprows=1)[-11:, 1:])
    expected = net.rollout(spots[:, 0], 50).detach()
    assert net.radius.shape == (15,)
    assert table("run/forecast.csv", "time") == [*map(str, range(2009, 2059))]
    index, prediction, lower, upper = table("run/forecast.csv")
    assert index.tolist() == list(range(309, 359))
    torch.testing.assert_close(prediction, expected, **TOLERANCE[torch.float32])
    end = torch.tensor([309])
    late = recent_error(net, FileSeries("sunspots.csv").values(), end, net.typical_error.item())
    radius = torch.full((50,), NAN)
    radius[:15] = late * net.radius
    assert late != 1
    for ends, sign in ((lower, -1), (upper, 1)):
        wanted = expected + sign * radius
        torch.testing.assert_close(ends, wanted, equal_nan=True, **TOLERANCE[torch.float32])


def test_another_model_in_a_runs_folder_is_held_to_its_config(call):
    """It may be a copy, whatever has become of the run's own model."""
    model = Predictor.load("run/model.safetensors")
    Path("run/model.safetensors").rename("run/other.safetensors")
    assert call("run/other.safetensors --steps 5")[0] == 0
    Predictor(model.net, window=7).save("run/other.safetensors")
    assert "has window 7 and horizon 1, and config.yaml has window 11" in refused(
        call("run/other.safetensors --steps 5")
    )


@pytest.mark.parametrize("model", ["alone", "alone/model.safetensors"])
@pytest.mark.parametrize("column", ["", " --column sunspots", " --column 1"])
def test_named_file_is_forecast_as_that_of_the_run(call, place, model, column):
    assert call("run --steps 40")[0] == 0
    status, out, err = call(f"{model} --steps 40 --input sunspots.csv{column}")
    assert (status, err) == (0, "")
    assert "\ntable      alone/forecast.csv\npicture    alone/forecast.png\n" in out
    after = files(place)
    for name in ("forecast.csv", "forecast.png"):
        assert after[f"alone/{name}"] == after[f"run/{name}"]


def test_file_is_read_as_its_options_say_and_its_notes_are_printed(call):
    status, out, err = call("alone --steps 2 --input gaps.csv --gaps fill --header true --time 0")
    assert (status, err) == (0, "")
    assert out.startswith("note: values interpolated: 1 of 21: 13 comes 2 after 11, but the step")
    assert table("alone/forecast.csv", "time") == ["21", "22"]


def test_output_lies_where_it_is_asked_for_and_replaces_what_was_there(call, place):
    Path("made.CSV").write_text("before")
    assert call("run --steps 4 --output made.CSV")[::2] == (0, "")
    assert len(table("made.CSV")[0]) == 4
    assert files(place)["made.png"].startswith(b"\x89PNG")
    assert not list(place.glob("run/forecast.*"))


@pytest.mark.parametrize(
    ("steps", "known", "said"),
    [
        (15, True, "90% nominal, 85% coverage on the test split, for all steps"),
        (16, True, "90% nominal, 85% coverage on the test split, for the first 15 steps"),
        (3, False, "none in the model file"),
    ],
)
def test_intervals_are_told(call, steps, known, said):
    if not known:
        net = Predictor.load("run/model.safetensors")
        net.radius, net.coverage = net.radius[:0], net.coverage[:0]
        net.save("run/model.safetensors")
    status, out, _ = call(f"run --steps {steps}")
    assert (status, out.splitlines()[1]) == (0, f"intervals  {said}")


@pytest.mark.parametrize(("steps", "shown"), [(5, 33), (50, 50), (400, 309)])
def test_picture_shows_as_much_as_was_read_three_times_or_as_is_to_come(
    call, monkeypatch, steps, shown
):
    seen = []
    monkeypatch.setattr(plots, "forecast", lambda *args: seen.extend(args))
    monkeypatch.setattr(picture, "png", lambda figure: b"")
    assert call(f"run --steps {steps}")[0] == 0
    spots = torch.from_numpy(np.loadtxt("sunspots.csv", delimiter=",", skiprows=1)[-shown:, 1])
    torch.testing.assert_close(seen[0], spots, **BITS)
    assert (seen[1].start, len(seen[1].prediction)) == (309, steps)


BAD = {
    "run --steps 0": "--steps must be at least 1, got 0",
    "run --steps 5 --output made.txt": "--output must end in .csv, got made.txt",
    "run --steps 5 --output no/made.csv": "--output no/made.csv: there is no folder no",
    "run --steps 5 --output sunspots.csv": "--output sunspots.csv would replace the input: give it "
    "another name",
    "alone --steps 5 --input sunspots.csv --output run/../sunspots.csv": "--output "
    "run/../sunspots.csv would replace the input: give it another name",
    "nowhere --steps 5": "nowhere does not exist",
    "no/where --steps 5": "no/where does not exist",
    "run/checkpoints --steps 5": "run/checkpoints is not a run's folder: no config.yaml in it",
    "run/config.yaml --steps 5": "run/config.yaml is not a Predictor file: ",
    "alone --steps 5": "alone is not in the folder of a run: name the file of the series with "
    "--input",
    "run --steps 5 --column value": "--column needs a file: name it with --input",
    "run --steps 5 --gaps fill": "--gaps needs a file: name it with --input",
    "alone --steps 5 --input gaps.csv": "gaps.csv, row 14: 13 comes 2 after 11, but the step is "
    "1, the only gap (1 missing in all): interpolate with --gaps fill, or ignore them with --gaps "
    "ignore",
    "run --steps 5 --input gone.csv": "gone.csv does not exist",
    "run --steps 5 --input http://a.b/c.csv": "http://a.b/c.csv is a URL, and only local files "
    "are read: download it first",
    "http://a.b/run --steps 5": "http://a.b/run is a URL, and only local files are read: "
    "download it first",
    "run --steps 5 --input sunspots.csv --column spots": "sunspots.csv has no column 'spots' "
    "(did you mean sunspots?): choose one with --column: 0 (year), 1 (sunspots)",
    "run --steps 5 --input sunspots.csv --column year": "the network was trained on values around ",
}


@pytest.mark.parametrize("arguments", BAD)
def test_bad_argument_ends_in_one_line_and_writes_nothing(call, place, arguments):
    before, said = files(place), BAD[arguments]
    end = "" if said.endswith(" ") else "\n"  # a space: more follows
    assert refused(call(arguments)).startswith(f"error: {said}{end}")
    assert files(place) == before


def refused(said):
    """The sentence of one line that a bad argument ends in."""
    status, out, err = said
    assert (status, out) == (2, "")
    assert re.fullmatch(r"error: [^\n]+\n", err)
    return err


@pytest.mark.parametrize("length", [0, 7, 2000])
def test_corrupt_model_is_refused(call, place, length):
    path = place / "run" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:length])
    before = files(place)
    said = refused(call("run --steps 5"))
    assert said.startswith("error: run/model.safetensors is not a Predictor file: ")
    assert files(place) == before


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "window: 11",
            "window: 12",
            "run: model.safetensors has window 11 and horizon 1, and config.yaml has window 12 and "
            "horizon 1\n",
        ),
        ("window: 11", "window: many", "run/config.yaml: data.window cannot be many: expected int"),
        ("window: 11", "widow: 11", "run/config.yaml: "),
        ("window: 11", "window: [", "run/config.yaml, line "),
        ("path: sunspots.csv", "path: gone.csv", "gone.csv does not exist\n"),
    ],
)
def test_config_that_is_not_the_model_s_is_refused(call, place, old, new, said):
    path = place / "run" / "config.yaml"
    assert path.read_text().count(old) == 1
    path.write_text(path.read_text().replace(old, new))
    before = files(place)
    assert refused(call("run --steps 5")).startswith(f"error: {said}")
    assert files(place) == before


def test_help_explains(capsys):
    with pytest.raises(SystemExit) as left:
        main(["--help"])
    assert left.value.code == 0
    text = capsys.readouterr().out
    for option in ("model", "--steps STEPS", "--input INPUT", "--column COLUMN", "--output OUTPUT"):
        assert re.search(rf"^ +{option}\s+[A-Z]\w+", text, re.MULTILINE), option
