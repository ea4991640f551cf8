"""Training from Python: the files and bits of the command line, and a run's folder opened again."""

import html
import logging
import re
import shutil
import signal
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pandas as pd
import programs
import pytest
import torch
import yaml
from lightning.pytorch import Callback
from ramp import Ramp
from torch.optim import LBFGS, SGD, Adam
from torch.optim.lr_scheduler import CosineAnnealingLR

import sinrnn
from sinrnn import FileSeries, Forecaster, Run, Sine, WindowDataModule, fit
from sinrnn.callbacks.monitor import Monitor
from sinrnn.cli.train import TrainCLI
from sinrnn.config import restore
from sinrnn.config.dump import TRAINER_DEFAULTS, dump_config
from sinrnn.evaluation.results import History
from sinrnn.filesystem import CONFIGS

QUIET = {"accelerator": "cpu", "enable_progress_bar": False, "figures": False}
LINE_SEARCH = {"lr": 1.0, "max_iter": 16, "history_size": 10, "line_search_fn": "strong_wolfe"}


@pytest.fixture(autouse=True)
def _where_one_works(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.set_default_dtype(torch.float32)  # as in a process of its own


def small(**options):
    model = Forecaster(hidden_size=5, optimizer=partial(Adam, lr=0.01), **options)
    return model, WindowDataModule(Sine(points=120))


def bits(run):
    weights = {
        name: w.numpy().tobytes()
        for name, w in run.predictor.state_dict().items()
        if isinstance(w, torch.Tensor)
    }
    return weights, (run.folder / "metrics.csv").read_bytes()


def sine():
    model = Forecaster(
        readout_epoch=11,
        optimizer=partial(LBFGS, tolerance_grad=0.0, tolerance_change=0.0, **LINE_SEARCH),
    )
    return model, WindowDataModule(batch_size=0), {"keep": "best"}


def limit_cycle():
    model = Forecaster(
        hidden_size=32,
        bias=True,
        input_noise=0.05,
        optimizer=partial(Adam, lr=0.003),
        scheduler=partial(CosineAnnealingLR, T_max=360),
    )
    options = {"keep": "last", "check_val_every_n_epoch": 10, "gradient_clip_val": 1.0}
    return model, WindowDataModule(Sine(noise=0.05), window=50, batch_size=64), options


def series():
    model = Forecaster(
        hidden_size=16,
        bias=True,
        bptt_steps=50,
        init="torch",
        units="auto",
        optimizer=partial(Adam, lr=0.001),
    )
    data = WindowDataModule(FileSeries("configs/sunspots.csv"), window=None)
    return model, data, {"max_steps": 6000}


@pytest.mark.slow
@pytest.mark.parametrize(("built", "epochs"), [(sine, 13), (limit_cycle, 10), (series, 2)])
def test_fit_has_the_files_and_bits_of_the_command_line(train, built, epochs):
    name = built.__name__
    args = [
        "--trainer.enable_progress_bar=false",
        f"--trainer.max_epochs={epochs}",
        "--figures=false",
    ]
    if built is series:
        args.append("--trainer.callbacks=null")
    assert train("--config", str(CONFIGS / f"{name}.yaml"), *args)[0] == 0
    model, data, options = built()
    found = fit(model, data, name=name, seed=0, max_epochs=epochs, **QUIET, **options)
    wanted = Run(f"runs/{name}/version_0")
    assert found.folder == wanted.folder.with_name("version_1")
    assert bits(found) == bits(wanted)
    assert found.config == wanted.config
    files = [{path.name for path in run.folder.rglob("*")} for run in (found, wanted)]
    assert len(set.symmetric_difference(*files)) == 2  # the files of events, with the time in it
    reports = [run.report.partition("\nProblems and")[0] for run in (found, wanted)]
    without_names = [re.sub(r"(?m)^(training|run) .*\n", "", report) for report in reports]
    assert without_names[0] == without_names[1]


@pytest.mark.slow
def test_run_opens_what_training_has_left():
    model, data = small()
    run = Run(fit(model, data, max_epochs=2, **QUIET | {"figures": True}).folder)
    assert run.results.half_mse["network"]["val"] == run.history.losses["val"][-1]
    assert {path.stem for path in (run.folder / "figures").iterdir()} == set(run.figures)
    assert run.figures["rollout"] is run.figures["rollout"]
    assert run.figures["rollout"]._repr_png_().startswith(b"\x89PNG")  # as notebooks ask
    assert "\n  scale " in f"{run.diagnose()}"
    assert "--" not in f"{run.diagnose()}{run.report.partition('Problems and')[2]}"
    assert "--" in f"{run.diagnose(command_line=True)}"
    torch.testing.assert_close(
        run.forecast(3).prediction, run.predictor.rollout(Sine(points=120).values(), 3)
    )
    assert run.forecast(3, torch.arange(9.0)).start == 9
    assert repr(run) == f"Run('{run.folder}')\n\n{run.report}"
    assert html.escape(run.report) in run._repr_html_()
    assert "font-family: monospace" in run._repr_html_()
    assert 'src="data:image/png;base64,' in run._repr_html_()


def test_history_is_a_table():
    table = fit(*small(), max_epochs=2, **QUIET).history.to_pandas()
    assert list(table) == ["epoch", "train", "val", "norm", "norm_max"]
    assert table["epoch"].tolist() == [0, 1, 2]
    assert table["norm"].isna().tolist() == [True, False, False]
    run = fit(*small(), max_epochs=1, gradient_clip_val=1.0, **QUIET)
    assert list(run.history.to_pandas())[-1] == "clipped_steps"
    assert list(History().to_pandas()) == ["epoch", "train", "val"]


def test_latest_is_the_run_of_the_highest_number(tmp_path):
    for name in ("version_2", "version_10", "version_11", "version_12x"):
        Path("runs/sine", name).mkdir(parents=True)
        Path("runs/sine", name, "config.yaml").write_text("name: sine")
    Path("runs/sine/version_11/config.yaml").unlink()  # no run
    assert Run.latest("runs/sine").folder == Path("runs/sine/version_10")
    with pytest.raises(FileNotFoundError, match="runs holds no run: name the folder that has"):
        Run.latest("runs")


FINISHED = """
import calendar, sys
from jsonargparse import ArgumentParser
from sinrnn import Run
from sinrnn.cli import diagnose, forecast

folder, out = sys.argv[1], sys.stdout
sys.stdout = sys.stderr
assert forecast.main([folder, "--steps=3"]) == diagnose.main([folder]) == 0
print(*Run(folder).figures["losses"].axes)
heavy = ("lightning", "torchmetrics", "tensorboard", "torch._dynamo", "sympy", "pandas")
print([name for name in heavy if name in sys.modules], file=out)

parser = ArgumentParser()
parser.add_argument("--calendar", type=calendar.Calendar)
given = parser.parse_args(["--calendar=calendar.TextCalendar"])
print(Run(folder).data.window, given, file=out)
"""


@pytest.mark.process
def test_finished_run_is_read_without_lightning_and_leaves_parsers_of_the_users_own_alone():
    run = fit(*small(), max_epochs=1, **QUIET)
    command = [sys.executable, "-c", FINISHED, str(run.folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    imported, read = done.stdout.splitlines()
    assert imported == "[]"
    assert read.startswith("4 Namespace(calendar=Namespace(class_path='calendar.Text")


def test_resumed_fit_has_the_bits_of_one_that_was_not_stopped():
    run = fit(*small(), seed=3, max_epochs=2, **QUIET)
    again = fit(*small(), seed=3, max_epochs=4, resume=run, **QUIET)
    assert again.folder == run.folder
    assert bits(again) == bits(fit(*small(), seed=3, max_epochs=4, **QUIET))


RESUMING = """
import sys
from sinrnn import Run
run = Run(sys.argv[1]).resume(max_epochs=4, enable_progress_bar=False)
print(run.history.epochs)
"""


@pytest.mark.process
@pytest.mark.parametrize("values", [False, True], ids=["generated", "stored"])
def test_resume_needs_the_folder_alone_and_has_the_bits_of_the_command_line(
    train, tmp_path, values
):
    model, data = small()
    data = WindowDataModule(data.series.values().tolist()) if values else data
    run = fit(model, data, seed=3, max_epochs=2, **QUIET)
    results = run.results
    again = [Path(shutil.copytree(run.folder, f"again_{i}/version_0")) for i in range(2)]
    assert train("--resume", str(again[0]), "--trainer.max_epochs=4")[0] == 0
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    done = programs.run("-c", RESUMING, again[1].absolute(), cwd=elsewhere)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "[0.0, 1.0, 2.0, 3.0, 4.0]\n"
    assert not list(elsewhere.iterdir())
    assert run.resume(max_epochs=4) is run
    assert run.results != results  # read anew
    whole = bits(fit(*small(), seed=3, max_epochs=4, **QUIET))
    for each in (run, *map(Run, again)):
        assert bits(each) == whole


def test_resume_refuses_what_may_not_change_and_code():
    run = fit(*small(), max_epochs=1, **QUIET)
    with pytest.raises(ValueError, match=r"trainer\.precision is None in .* cannot become 64-true"):
        run.resume(precision="64-true")
    with pytest.raises(ValueError, match=r"config\.yaml: .*trainer\.max_epochs cannot be many"):
        run.resume(max_epochs="many")
    with pytest.raises(ValueError, match=r"config\.yaml: .*no_such"):
        run.resume(no_such=1)
    run = fit(small()[0], WindowDataModule(Ramp(60)), max_epochs=1, **QUIET)
    with pytest.raises(ValueError, match=r"code, which no config can hold \(ramp\.Ramp\)"):
        run.resume(max_epochs=2)


def test_fit_refuses_to_resume_another_run():
    run = fit(*small(), max_epochs=1, **QUIET)
    with pytest.raises(ValueError, match=r"model\.input_noise is 0\.0 in .* cannot become 0\.1"):
        fit(*small(input_noise=0.1), max_epochs=2, resume=run.folder, **QUIET)


class Interrupting(Callback):
    """Presses Ctrl-C during a step."""

    def on_train_batch_end(self, trainer, *args):
        if trainer.global_step == 5:
            signal.raise_signal(signal.SIGINT)


def test_fit_trains_outside_the_main_thread():
    with ThreadPoolExecutor() as pool:
        options = {"max_epochs": 1, "figures": False, "enable_progress_bar": False}
        run = pool.submit(fit, Forecaster(hidden_size=4), WindowDataModule(), **options).result()
    assert run.predictor.calibrated


def test_interrupted_fit_leaves_a_run_that_can_be_resumed(capsys):
    before = signal.getsignal(signal.SIGINT)
    run = fit(*small(), seed=3, max_epochs=4, **QUIET, callbacks=Interrupting())
    assert signal.getsignal(signal.SIGINT) is before
    assert f"saved; resume with: fit(model, data, resume='{run.folder}')" in capsys.readouterr().out
    assert run.forecast(3).prediction.isfinite().all()
    assert not (run.folder / "report.md").exists()
    assert repr(run) == f"Run('{run.folder}')"
    with pytest.raises(FileNotFoundError, match="training has not ended"):
        run.report  # noqa: B018 - it raises
    again = fit(*small(), seed=3, max_epochs=4, resume=run, **QUIET, callbacks=Interrupting())
    assert bits(again) == bits(fit(*small(), seed=3, max_epochs=4, **QUIET))


def test_fit_leaves_the_process_as_it_was():
    torch.set_num_threads(2)
    lightning, filters = logging.getLogger("lightning.pytorch"), [*warnings.filters]
    level = lightning.level
    try:
        lightning.setLevel(logging.ERROR)
        first, second = (fit(*small(), seed=1, max_epochs=1, **QUIET) for _ in range(2))
        assert torch.get_num_threads() == 2
        assert lightning.level == logging.ERROR
        assert first.results.half_mse == second.results.half_mse
        assert warnings.filters == filters
    finally:
        torch.set_num_threads(1)
        lightning.setLevel(level)
    assert first.config["threads"] == 1
    assert bits(first) == bits(second)


@pytest.mark.process
def test_fit_says_nothing_that_nobody_can_act_on(tmp_path):
    code = "import sinrnn; sinrnn.fit(sinrnn.Forecaster(), sinrnn.WindowDataModule([*range(99)]), "
    code += "max_epochs=1, figures=False, enable_progress_bar=False)"
    done = programs.run("-c", code, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_fit_without_a_seed_goes_on_from_the_weights_as_they_are():
    model, data = small()
    fit(model, data, max_epochs=1, **QUIET)
    trained = model.net.Whh.clone()
    run = fit(model, data, max_epochs=0, **QUIET)
    assert torch.equal(run.predictor.net.Whh, trained)


def test_fit_refuses_what_is_no_model_or_data():
    model, data = small()
    with pytest.raises(TypeError, match="model must be a Forecaster, got SinRNN"):
        fit(model.net, data)
    with pytest.raises(TypeError, match="data must be a WindowDataModule, got Sine"):
        fit(model, data.series)
    with pytest.raises(ValueError, match="name must be a folder name without /"):
        fit(model, data, name="../elsewhere")


def test_code_trains_and_is_named_where_it_would_be_needed():
    model = Forecaster(hidden_size=5, optimizer=lambda weights: SGD(weights, lr=0.1))
    run = Run(fit(model, WindowDataModule(Ramp(60)), max_epochs=1, **QUIET).folder)
    assert re.fullmatch(r"not stored: test_run\..*<lambda>", run.config["model"]["optimizer"])
    with pytest.raises(ValueError, match=r"does not hold the data, which are code \(ramp\.Ramp\)"):
        run.forecast(3)
    assert run.forecast(3, Ramp(60)).start == 60
    with pytest.raises(ValueError, match=r"code, which no config can hold \(test_run\.test_code"):
        TrainCLI(["--config", str(run.folder / "config.yaml")])


def test_run_on_values_has_them_in_its_folder(tmp_path, monkeypatch):
    model, values = small()[0], Sine(points=120).values()
    run = fit(model, WindowDataModule(values.tolist()), seed=3, max_epochs=2, **QUIET)
    assert bits(run) == bits(fit(*small(), seed=3, max_epochs=2, **QUIET))
    run.folder.rename(tmp_path / "moved")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    moved = Run("../moved")
    assert torch.equal(moved.series.values(), values)
    again = fit(small()[0], WindowDataModule(values), seed=3, max_epochs=4, resume=moved, **QUIET)
    assert bits(again) == bits(fit(*small(), seed=3, max_epochs=4, **QUIET))
    values[60] += 1e-9
    with pytest.raises(ValueError, match=r"the series is not the one .* its values differ"):
        fit(small()[0], WindowDataModule(values), seed=3, max_epochs=5, resume=moved, **QUIET)


def test_run_on_a_series_of_pandas_goes_on_in_its_time():
    values = Sine(points=120).values().numpy()
    months = pd.Series(values, index=pd.date_range("2000-01-31", periods=120, freq="ME"))
    run = fit(small()[0], WindowDataModule(months), seed=3, max_epochs=1, **QUIET)
    made = Run(run.folder).forecast(2)
    assert [str(time.date()) for time in made.to_pandas()["time"]] == ["2010-01-31", "2010-02-28"]
    assert torch.equal(made.prediction, run.forecast(2, values).prediction)


def test_notes_of_a_series_are_printed(capsys):
    days = pd.date_range("2000-01-01", periods=120)[::-1]
    fit(
        small()[0],
        WindowDataModule(pd.Series(Sine(points=120).values().numpy(), index=days)),
        max_epochs=1,
        **QUIET,
    )
    said = "note: the newest row comes first: the order is reversed\n"
    assert capsys.readouterr().out.startswith(said)


GIVEN = {"points": 77, "noise": 0.25, "seed": 3}
SERIES = [
    Sine(divisor=3.0, stop=7.0, **GIVEN),
    sinrnn.SumOfSines(periods=[5.0, 8.5], **GIVEN),
    sinrnn.Damped(period=11.0, **GIVEN),
    sinrnn.Chirp(**GIVEN),
    sinrnn.Square(period=13.0, **GIVEN),
    sinrnn.MackeyGlass(tau=18, **GIVEN),
    FileSeries("configs/sunspots.csv", column=1, header=True, max_megabytes=7),
    FileSeries("configs/sunspots.csv", time="year", gaps="fill", decimal=".", separator=","),
]


@pytest.mark.parametrize("made", SERIES, ids=lambda made: type(made).__name__)
def test_config_of_a_series_makes_it_again(tmp_path, made):
    model, data = small()[0], WindowDataModule(made, window=7, seed=4)
    text = dump_config(
        model, data, Monitor(pictures=False), dict(TRAINER_DEFAULTS), tmp_path, seed_everything=4
    )
    (tmp_path / "again.yaml").write_text(f"# not stored: a comment is no note\n{text}")
    again = TrainCLI(["--config", "again.yaml"])
    assert type(again.datamodule.series) is type(made)
    assert vars(again.datamodule.series) == vars(made)
    assert (again.datamodule.window, again.datamodule.seed) == (7, 4)
    dumped = yaml.safe_load(again.parser.dump(again.config, skip_unset=False))
    described = yaml.safe_load(text)
    assert {name: dumped[name] for name in described} == described


def test_advice_knows_what_the_run_was_set_to():
    model, data = small()
    run = fit(model, data, max_epochs=2, gradient_clip_val=0.5, keep="last", **QUIET)
    found = run.results.settings
    assert (found.lr, found.epochs, found.clip, found.keep) == (0.01, 2, 0.5, "last")
    assert (found.window, found.updates, found.loss) == (data.window, "batch", "last")


@pytest.mark.parametrize(
    ("name", "bad", "wanted"), [("max_epochs", "many", "a number"), ("keep", 3, "a name")]
)
def test_config_whose_settings_make_no_sense_is_refused(name, bad, wanted):
    run = fit(*small(), max_epochs=1, **QUIET)
    content = (
        run.config | {"keep": bad} if name == "keep" else run.config | {"trainer": {name: bad}}
    )
    name = "epochs" if name == "max_epochs" else name
    with pytest.raises(ValueError, match=f"config.yaml: {name} must be {wanted}, got {bad!r}"):
        restore.restore_settings(run.folder, content)
