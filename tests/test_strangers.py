"""Files from strangers: none runs code or imports what is not listed; none is read spoilt."""

import contextlib
import functools
import importlib
import inspect
import itertools
import json
import os
import pkgutil
import random
import re
import socket
import sys
import typing
from collections.abc import Callable
from pathlib import Path

import lightning.pytorch as pl
import numpy as np
import programs
import pytest
import torch
from jsonargparse import ArgumentError, ArgumentParser
from jsonargparse._common import denying_import_path_entry
from lightning.pytorch.accelerators import Accelerator
from lightning.pytorch.plugins import Precision
from lightning.pytorch.profilers import Profiler
from lightning.pytorch.strategies import Strategy
from strangers import SMALL, changed, forge, seal
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from sinrnn import Forecaster, Predictor, Series, SinRNN
from sinrnn.cli import diagnose, export, forecast
from sinrnn.cli import train as cli
from sinrnn.config import allowlist
from sinrnn.training.checkpoint_io import (
    TRAILER,
    AtomicCheckpointIO,
    CorruptCheckpointError,
    read,
)

MUTANTS = 2_000
CHECKPOINT_READERS = (read, AtomicCheckpointIO().load_checkpoint, Forecaster.load_from_checkpoint)
# A module that sings where it is imported, and again where something of it is called.
CANARY = """
from pathlib import Path

from sinrnn import Sine

SONG = Path({song!r})
SONG.write_text("imported")


def sing(*args, **options):
    SONG.write_text("called")


class Bird(Sine):
    def __init__(self, *args, **options):
        sing()
        super().__init__(*args, **options)
"""


@pytest.fixture(autouse=True)
def song(tmp_path, monkeypatch, no_pictures):
    """Where the canary, which can be imported by its name, and every call to a network write.

    What is `refused` leaves no such file, as it leaves all as it was.
    """
    path = tmp_path / "song"
    (tmp_path / "canary.py").write_text(CANARY.format(song=str(path)))
    (tmp_path / "small.yaml").write_text(SMALL)
    monkeypatch.syspath_prepend(tmp_path)
    for call in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, call, lambda *args: path.write_text("network"))
    yield path
    sys.modules.pop("canary", None)


@pytest.fixture
def config_refused(refused):
    """Train with a config's text that is refused in one line, and give it."""

    def call(text):
        Path("theirs.yaml").write_text(text)
        return refused("--config", "theirs.yaml")

    return call


@pytest.fixture
def not_read(song):
    """Read a file that is refused in one sentence, and give it."""

    def call(reader, path, error=ValueError):
        with pytest.raises(error) as caught:
            reader(path)
        assert not song.exists()
        assert re.fullmatch(r"[^\n]+", str(caught.value))
        return str(caught.value)

    return call


def test_canary_sings_where_it_is_imported_and_called(song):
    import canary

    assert song.read_text() == "imported"
    canary.Bird()
    assert song.read_text() == "called"


# What a config names

BIRD, SING = {"class_path": "canary.Bird"}, {"class_path": "canary.sing"}
LAMBDA = "lightning.pytorch.callbacks.LambdaCallback"
BY_RATE = "torch.optim.lr_scheduler.LambdaLR"
TRAINERS = [f"trainer.{name}" for name in ("strategy", "accelerator", "profiler")]
TAKE_ONE = ["data.series", "model.optimizer", "model.scheduler", *TRAINERS]
TAKE_LISTS = ["trainer.callbacks", "trainer.logger"]
UNLISTED = [
    *((key, BIRD, "canary.Bird") for key in (*TAKE_ONE, *TAKE_LISTS)),
    *((key, [BIRD], "canary.Bird") for key in (*TAKE_LISTS, "trainer.plugins")),
    ("data.series", "canary.Bird", "canary.Bird"),
    *(("model.optimizer", path, path) for path in ("canary.sing", "os.system", "builtins.eval")),
    ("model.optimizer", "sinrnn.run.os.system", "sinrnn.run.os.system"),
    ("model.optimizer", SING | {"init_args": {"command": "ls"}}, "canary.sing"),
    ("model.scheduler", {"class_path": BY_RATE, "init_args": {"lr_lambda": "canary.sing"}}, ""),
    ("trainer.callbacks", [{"class_path": LAMBDA, "init_args": {"setup": "canary.sing"}}], ""),
    ("trainer.callbacks", [{"class_path": LAMBDA, "init_args": {"setup": "os.system"}}], ""),
]


@pytest.mark.parametrize(("key", "value", "named"), UNLISTED, ids=lambda x: str(x)[:60])
def test_class_off_the_list_is_refused_without_being_imported(
    refused, config_refused, key, value, named
):
    said = config_refused(changed(SMALL, key, value))
    assert said.startswith(key)
    assert f" names {named}" in said
    assert "is not on the list of what a config may name: add --trust MODULE" in said
    assert refused("--config", "small.yaml", f"--{key}", json.dumps(value)) != ""


# Where no class belongs, functions by names that Lightning knows, and trust in oneself.
MISPLACED = [
    *((key, BIRD) for key in ("data.window", "data.series.init_args.points", "model.hidden_size")),
    *((key, BIRD) for key in ("model.optimizer.init_args.lr", "monitor.histograms")),
    ("trainer.max_time", BIRD),
    ("data.series.dict_kwargs", {"more": BIRD}),
    *((key, "canary.sing") for key in ("_instantiator", "model._instantiator")),
    *((key, "canary.Bird") for key in ("model._class_path", "model.class_path")),
    *(("trust", value) for value in ("canary", ["canary"])),
]
TAGS = ["object/apply:canary.sing []", "object/new:canary.Bird []", "object:canary.Bird {}"]
TAGS += ["name:canary.sing", "module:canary", "object/apply:os.system [touch song]"]
WITHOUT = {key: re.sub(f"(?m)^{key}:.*\n", "", SMALL) for key in ("name", "data", "more")}


@pytest.mark.parametrize(
    "text",
    [changed(SMALL, key, value) for key, value in MISPLACED]
    + [f"{text}{key}: !!python/{tag}\n" for key, text in WITHOUT.items() for tag in TAGS],
)
def test_class_where_none_belongs_and_tags_of_yaml_are_refused(config_refused, text):
    config_refused(text)


@pytest.mark.parametrize(
    ("key", "listed"),
    [
        ("strategy", "strategies.SingleDeviceStrategy"),
        ("accelerator", "accelerators.CPUAccelerator"),
        ("plugins", "plugins.DoublePrecision"),
        ("callbacks", "callbacks.ModelCheckpoint"),
        ("profiler", "profilers.SimpleProfiler"),
        ("callbacks", "callbacks.LearningRateMonitor"),
    ],
)
def test_class_on_the_list_is_made(key, listed):
    given = {"class_path": f"lightning.pytorch.{listed}"}
    given = [given] if key in ("plugins", "callbacks") else given
    Path("mine.yaml").write_text(changed(SMALL, f"trainer.{key}", given))
    made = cli.TrainCLI(["--config", "mine.yaml"]).config_init.trainer[key]
    made = made[0] if isinstance(made, list) else made
    assert type(made).__name__ == listed.rpartition(".")[2]


# Functions, methods and instances, at each place of a config that can name something

LISTED = ["sinrnn", "torch.optim", "lightning.fabric.plugins"]
LISTED += [f"lightning.pytorch.{name}" for name in ("accelerators", "callbacks", "plugins")]
LISTED += ["lightning.pytorch.profilers", "lightning.pytorch.strategies"]
MODEL, TRAINER = (typing.get_type_hints(cls.__init__) for cls in (Forecaster, pl.Trainer))
PLACES = {
    "data.series": Series,
    "model.optimizer": MODEL["optimizer"],
    "model.scheduler": MODEL["scheduler"],
    **{f"trainer.{name}": TRAINER[name] for name in ("accelerator", "callbacks", "plugins")},
    **{f"trainer.{name}": TRAINER[name] for name in ("logger", "profiler", "strategy")},
    "a callback's hook": typing.get_type_hints(pl.callbacks.LambdaCallback.__init__)["setup"],
    "a scheduler's function": Callable[[float], float] | None,
}


def modules():
    """All modules at and below those whose classes a config may name."""
    for name in LISTED:
        module = importlib.import_module(name)
        yield module
        for found in pkgutil.walk_packages(module.__path__, f"{name}."):
            yield importlib.import_module(found.name)


def reachable():
    """(module, name, object) for all that can be called by a name within those modules, once."""
    seen = set()
    for module in modules():
        for name, value in vars(module).items():
            if callable(value) and not name.startswith("__") and id(value) not in seen:
                seen.add(id(value))
                yield module, name, value


def parsers():
    """A parser for each place, of the type that stands there."""
    allowlist.restrict_imports()
    for place, kind in PLACES.items():
        parser = ArgumentParser(exit_on_error=False)
        parser.add_argument("--x", type=kind, default=None)
        yield place, parser


def made(parser, value):
    """What comes of a value, or None where it is refused, or is a class without what it needs."""
    try:
        return parser.instantiate(parser.parse_object({"x": value}, defaults=False)).x
    except (ArgumentError, TypeError):
        return None


@pytest.mark.slow
def test_nothing_but_listed_classes_is_called_at_any_place(monkeypatch):
    """A canary takes the place of each function and class in turn, under its name: as a text at
    each place, and by turns at one of them in another form."""
    listed, called, tried = allowlist.allowed_classes(), [], 0

    def canary(original):
        @functools.wraps(original)
        def sing(*args, **options):
            called.append(original)

        return sing

    places = dict(parsers()).values()
    turns = itertools.cycle((parser, form) for parser in places for form in ("class_path", ""))
    for module, name, value in list(reachable()):
        path = f"{module.__name__}.{name}"
        if path in listed:
            continue
        tried += 1
        with monkeypatch.context() as patch:
            if not inspect.isclass(value):
                patch.setattr(module, name, canary(value))
            for parser in places:
                assert made(parser, path) in (None, path), path  # as a text, if at all
            parser, form = next(turns)
            assert made(parser, {form: path} if form else [path]) in (None, [path]), path
    assert not called
    assert tried > 600


@pytest.mark.slow
def test_nothing_that_a_class_holds_can_be_named():
    """Methods, properties and all else of every class: at a callback's hook, which takes any
    function, and by turns at each of the other places. What a class off the list inherits is
    refused like all below it, and only looked up."""
    found = {f"{m.__name__}.{n}": v for m, n, v in reachable() if inspect.isclass(v)}
    places = dict(parsers())
    hook, turns = places.pop("a callback's hook"), itertools.cycle(places.values())
    listed, tried = allowlist.allowed_classes(), 0
    for path, cls in (listed | found).items():
        for name in sorted({*dir(cls), *dir(type)}):
            tried += 1
            below = f"{path}.{name}"
            assert denying_import_path_entry(below), below
            if path in listed or name in vars(cls):
                assert made(hook, below) is None, below
                assert made(next(turns), {"class_path": below}) is None, below
    assert made(hook, "sinrnn.Sine.values.__call__") is None
    assert tried > 20_000


def test_listed_classes_are_made_where_their_kind_belongs_and_nowhere_else():
    kinds = {
        "data.series": Series,
        "model.optimizer": Optimizer,
        "model.scheduler": (LRScheduler, ReduceLROnPlateau),
        "trainer.accelerator": Accelerator,
        "trainer.callbacks": pl.Callback,
        "trainer.plugins": Precision,
        "trainer.profiler": Profiler,
        "trainer.strategy": Strategy,
    }
    for place, parser in parsers():
        for path, cls in allowlist.allowed_classes().items():
            with contextlib.suppress(ArgumentError):
                parser.parse_object(
                    {"x": [path] if place == "trainer.callbacks" else {"class_path": path}}
                )
                assert issubclass(cls, kinds[place]), (place, path)


PAYLOADS = [
    {"class_path": "sinrnn.run_folder.clear", "init_args": {"folder": "precious", "lock": -1}},
    {"class_path": "sinrnn.filesystem.write", "init_args": {"path": "precious/a", "content": b"x"}},
    {"class_path": "sinrnn.cli.train.main", "init_args": {"argv": ["--trust", "canary"]}},
    {"class_path": "sinrnn.Sine.values"},
    {"class_path": "torch.optim.Adam.add_param_group"},
    {"class_path": LAMBDA, "init_args": {"setup": "sinrnn.run_folder.clear"}},
]


EACH_PAYLOAD = pytest.mark.parametrize(
    "payload", PAYLOADS, ids=lambda payload: payload["class_path"]
)
KEYS_OF_CLASSES = [key for key in PLACES if "." in key]


@pytest.fixture
def poisoned(theirs, capsys):
    """Put a payload at some keys of a run's config; nothing may happen to what is mine."""
    precious, config = Path("precious"), theirs / "config.yaml"
    precious.mkdir()
    (precious / "a").write_text("mine")

    def call(payload, *keys):
        for key in keys:
            value = [payload] if key in ("trainer.callbacks", "trainer.plugins") else payload
            config.write_text(changed(config.read_text(), key, value))

    yield call
    assert "Traceback" not in capsys.readouterr().err
    assert [path.read_text() for path in precious.iterdir()] == ["mine"]


@EACH_PAYLOAD
@pytest.mark.parametrize("key", KEYS_OF_CLASSES)
def test_stranger_s_config_and_run_folder_call_nothing(poisoned, key, payload):
    poisoned(payload, key)
    assert cli.main(["--config", "theirs/config.yaml"]) == 2
    assert cli.main(["--resume", "theirs"]) == 2


@EACH_PAYLOAD
@pytest.mark.parametrize(("keys", "status"), [(["data.series"], 2), (KEYS_OF_CLASSES[1:], 0)])
def test_stranger_s_run_folder_calls_nothing_where_it_is_only_read(poisoned, keys, status, payload):
    """Of its classes the series is read alone."""
    poisoned(payload, *keys)
    assert forecast.main(["theirs", "--steps", "3"]) == status
    assert diagnose.main(["theirs"]) == status
    export.main(["theirs"])  # with onnx or without


@pytest.mark.parametrize("option", ["--data.series.help", "--model.optimizer.help"])
def test_help_for_a_class_off_the_list_is_refused(refused, option):
    assert "names canary.Bird" in refused(option, "canary.Bird")


@pytest.mark.process
def test_module_is_trusted_by_the_command_line_alone(song, tmp_path):
    (tmp_path / "mine.yaml").write_text(changed(SMALL, "data.series", BIRD))
    script = Path(__file__).parent.parent / "scripts" / "train.py"
    command = [script, "--config", "mine.yaml", "--trainer.max_epochs", "0", "--trust", "canary"]
    done = programs.run(*command, cwd=tmp_path)  # as trust lasts as long as a process
    assert done.returncode == 0, done.stderr
    assert song.read_text() == "called"
    assert "trust" not in (tmp_path / "runs/small/version_0/config.yaml").read_text()


@pytest.mark.parametrize("module", ["*", "jsonargparse", "a b"])
def test_what_cannot_be_trusted_is_refused(refused, module):
    refused("--config", "small.yaml", "--trust", module)
    refused("--trust")


# Files that a config names as a part of itself, and configs that grow

PARTS = ["data.series", "model.optimizer", "model.scheduler", "trainer.callbacks"]
PARTS += ["trainer.strategy", "trainer.plugins", "trainer.profiler", "config", "data", "trainer"]


@pytest.mark.parametrize("key", PARTS)
def test_file_that_a_config_names_is_not_read(config_refused, tmp_path, key):
    (tmp_path / "private.yaml").write_text("class_path: my secret\nsecret: 5\n")
    for value in ("private.yaml", ["private.yaml"], str(tmp_path / "private.yaml")):
        assert "secret" not in config_refused(changed(SMALL, key, value))


@pytest.mark.parametrize("form", ["[{}]", "{{<<: [{}]}}"])
def test_aliases_that_repeat_one_another_are_counted_and_not_written_out(config_refused, form):
    """Eight levels of nine are 43 million values."""
    lines = ["a0: &a0 {x: 1}"]
    for level in range(1, 9):
        repeated = form.format(", ".join([f"*a{level - 1}"] * 9))
        lines.append(f"a{level}: &a{level} {repeated}")
    assert "since its aliases repeat one another" in config_refused("\n".join(lines) + "\n")


LIES = ["config: small.yaml", "a: http://x", "a: [1, &a {b: *a}]", "- 1"]
# Off the list: a module that is not there by itself, and a function of ours.
NAMED = ["canary.Bird", "sinrnn.run_folder.clear"]


@pytest.mark.parametrize(
    ("config", "said"),
    [(lie, "{}: its config") for lie in LIES]
    + [(changed(SMALL, "data.series", name), f"data.series is {name} in {{}}") for name in NAMED],
)
def test_config_within_a_checkpoint_is_looked_at_like_a_file(refused, theirs, config, said):
    path = forge(theirs, lambda content: content.update(config=config))
    assert refused("--resume", "theirs").startswith(said.format(path))


@pytest.mark.parametrize("name", NAMED)
def test_config_of_a_finished_run_is_held_to_the_list(refused, theirs, name):
    config = theirs / "config.yaml"
    config.write_text(changed(config.read_text(), "data.series", name))
    for said in (
        refused("theirs", main=diagnose.main),
        refused("theirs", "--steps", "3", main=forecast.main),
        refused("--resume", "theirs"),
    ):
        assert f"data.series names {name}" in said


# Files that are not here

URLS = ["http://localhost:9/x", "https://localhost:9/x", "file:///{}", "memory://x", "ftp://x/y"]


@pytest.mark.parametrize("url", URLS)
@pytest.mark.parametrize("option", ["--resume", "--config", "--data", "--model"])
def test_urls_on_the_command_line_are_refused(refused, trained, url, option):
    url = url.format(trained / "checkpoints" / "last.ckpt")
    for args in ([option, url], [f"{option}={url}"]):
        assert "is a URL, and only local files are read" in refused(*args)


FILE = {"class_path": "sinrnn.FileSeries", "init_args": {"path": "URL"}}
KEYS = [(key, "URL") for key in ("resume", "data", "data.series", "model", "config")]


@pytest.mark.parametrize("url", URLS)
@pytest.mark.parametrize(("key", "value"), [*KEYS, ("data.series", FILE)])
def test_urls_in_a_config_are_refused(config_refused, trained, url, key, value):
    text = changed(SMALL, key, value).replace("URL", url.format(trained / "config.yaml"))
    assert "is a URL" in config_refused(text)


@pytest.mark.parametrize("url", URLS)
def test_models_at_a_url_are_not_read(not_read, trained, url):
    url = url.format(trained / "checkpoints" / "last.ckpt")
    for reader in (*CHECKPOINT_READERS, SinRNN.load):
        assert "is a URL" in not_read(reader, url)


# Pickles


class Touches:
    """Pickled, it is a call that makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("forced", [False, True])
@pytest.mark.parametrize("where", ["state_dict", "hyper_parameters", "more", "whole"])
def test_pickled_call_is_refused(refused, not_read, theirs, song, monkeypatch, where, forced):
    if forced:
        monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    path = forge(theirs, lambda content: content.update({where: {"x": Touches(song)}}))
    if where == "whole":
        torch.save(Touches(song), path)
        path.write_bytes(seal(path.read_bytes()))
    for reader in CHECKPOINT_READERS:
        not_read(reader, path, CorruptCheckpointError)
    not_read(SinRNN.load, path)
    assert refused("--resume", "theirs").startswith(str(path))


def test_pickled_call_without_a_checksum_is_refused(not_read, song):
    torch.save({"state_dict": Touches(song)}, "theirs.ckpt")
    assert "its checksum is missing" in not_read(read, "theirs.ckpt", CorruptCheckpointError)


def test_pickled_call_in_place_of_a_model_or_a_series_is_refused(refused, theirs, song):
    torch.save(Touches(song), theirs / "model.safetensors")
    refused("theirs", main=diagnose.main)
    refused("theirs", "--steps", "3", main=forecast.main)
    np.save("theirs.npy", np.array([Touches(song)]), allow_pickle=True)
    refused("--data.series", "FileSeries", "--data.series.path", "theirs.npy")


# What a checkpoint or a finished run names

CALLS = [
    {"_instantiator": "canary.sing"},
    {"_instantiator": "lightning.pytorch.cli.instantiate_module", "_class_path": "canary.Bird"},
    {"_class_path": "canary.Bird"},
    {"bptt_steps": {"class_path": "canary.Bird"}},
    {"optimizer": [{"class_path": "canary.Bird", "init_args": {}}]},
]


@pytest.mark.parametrize("call", CALLS, ids=str)
@pytest.mark.parametrize("key", ["hyper_parameters", "datamodule_hyper_parameters"])
def test_checkpoint_that_names_code_is_refused(refused, not_read, theirs, call, key):
    path = forge(theirs, lambda content: content.setdefault(key, {}).update(call))
    for said in (
        not_read(Forecaster.load_from_checkpoint, path, CorruptCheckpointError),
        refused("--resume", "theirs"),
    ):
        assert re.match(f"{path}.* which names code", said)


@pytest.mark.parametrize("value", [{1: torch.ones(1)}, [torch.ones(1)], 5, "text", None])
def test_checkpoint_whose_hyper_parameters_do_not_fit_is_refused(not_read, theirs, value):
    path = forge(theirs, lambda content: content.update(hyper_parameters=value))
    not_read(Forecaster.load_from_checkpoint, path, CorruptCheckpointError)


@pytest.mark.parametrize(
    "lie", [{"hidden_size": 6}, {"hidden_size": "os.system"}, {"bptt_steps": 0}, {"more": 1}]
)
def test_checkpoint_whose_sizes_lie_is_refused(not_read, theirs, lie):
    path = forge(theirs, lambda content: content["hyper_parameters"].update(lie))
    said = not_read(Forecaster.load_from_checkpoint, path, CorruptCheckpointError)
    assert "is not a checkpoint of Forecaster" in said


def test_checkpoint_of_a_run_names_no_code_and_loads(trained):
    path = trained / "checkpoints" / "best.ckpt"
    found = read(path)["hyper_parameters"]
    assert not {"_instantiator", "_class_path", "optimizer", "scheduler"} & set(found)
    model = Forecaster.load_from_checkpoint(path)
    net = Predictor.load(trained / "model.safetensors")
    x = torch.randn(3, 4, 1, dtype=torch.float32)
    torch.testing.assert_close(model.to(torch.float32)(x), net(x))


# Damaged files


def mutants(whole):
    """These bytes flipped, cut, swapped, overwritten, spliced."""
    draw, n = random.Random(0), len(whole)
    for i in range(MUTANTS):
        made = bytearray(whole)
        a, b = sorted(draw.sample(range(n), 2))
        match i % 6:
            case 0:
                made[a] ^= 1 << draw.randrange(8)
            case 1:
                del made[a:]
            case 2:
                made[a], made[b] = made[b], made[a]
            case 3:
                made[a : a + 8] = draw.randbytes(8)
            case 4:
                del made[a:b]
            case 5:
                made[a:a] = made[a:b]
        yield bytes(made)


@pytest.mark.parametrize("name", ["checkpoints/last.ckpt", "model.safetensors"])
def test_mutated_file_is_refused_or_whole(trained, tmp_path, name):
    whole, path = (trained / name).read_bytes(), tmp_path / "mutant"
    reader, error = (SinRNN.load, ValueError) if "safe" in name else (read, CorruptCheckpointError)
    loaded = 0
    for made in mutants(whole):
        path.write_bytes(made)
        if made == whole:
            reader(path)
            loaded += 1
            continue
        with pytest.raises(error) as caught:
            reader(path)
        assert caught.type is error
        assert re.fullmatch(rf"{re.escape(str(path))} is not [^\n]+", str(caught.value))
    assert loaded < MUTANTS / 10


@pytest.mark.slow
def test_mutated_checkpoint_whose_checksum_fits_runs_nothing(trained, tmp_path):
    """Bytes of any kind may come with a checksum: what torch makes of them is a dict or refused."""
    whole = (trained / "checkpoints" / "last.ckpt").read_bytes()[:-TRAILER]
    path, refused = tmp_path / "mutant", 0
    for made in mutants(whole):
        path.write_bytes(seal(made))
        try:
            found = read(path)
        except CorruptCheckpointError:
            refused += 1
        else:
            assert "state_dict" in found
    assert refused > MUTANTS / 2
