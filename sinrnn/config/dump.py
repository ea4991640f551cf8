"""Dump the config of a model and data that were built in Python."""

import inspect
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
import yaml
from lightning.pytorch import Trainer
from torch.optim import lr_scheduler

from sinrnn._numbers import plain
from sinrnn.callbacks.monitor import Monitor
from sinrnn.config.files import NOT_STORED
from sinrnn.data import synthetic
from sinrnn.data.arrays import ArraySeries
from sinrnn.data.datamodule import WindowDataModule
from sinrnn.data.series import FileSeries, Series
from sinrnn.run_folder import SERIES
from sinrnn.training.forecaster import Forecaster

# Defaults of the Trainer's arguments that differ from Lightning's.
TRAINER_DEFAULTS = {"enable_model_summary": False, "num_sanity_val_steps": 0}


def dump_config(
    model: Forecaster,
    data: WindowDataModule,
    monitor: Monitor,
    trainer: dict[str, Any],
    folder: Path,
    **options: Any,
) -> str:
    """Return the config of a run, as `scripts/train.py --config` reads it.

    A config can hold sinrnn's classes and torch's optimizers and schedulers. Any other object is
    replaced by a note, which the parser refuses.

    Args:
        model: The model.
        data: The data.
        monitor: The monitor.
        trainer: Arguments of Lightning's Trainer, by name.
        folder: The run's folder, in which an `ArraySeries` is stored.
        **options: The other options of `scripts/train.py`, by name.

    Returns:
        YAML text that contains all defaults.
    """
    config = _plain(options) | {
        "trainer": {n: _plain(value) for n, value in (_defaults(Trainer) | trainer).items()},
        "model": _model(model),
        "data": _data(data, folder),
        "monitor": _attributes(monitor),
    }
    text: str = yaml.safe_dump(config, sort_keys=False)
    return text


def _model(model: Forecaster) -> dict[str, Any]:
    if type(model) is not Forecaster:
        return {"class": _not_stored(model)}
    section = {name: _plain(value) for name, value in model.hparams.items()}
    for name, module in {"optimizer": torch.optim, "scheduler": lr_scheduler}.items():
        section[name] = _class_and_arguments(getattr(model, name), module)
    return {name: section[name] for name in inspect.signature(Forecaster).parameters}


def _data(data: WindowDataModule, folder: Path) -> dict[str, Any]:
    if type(data) is not WindowDataModule:
        return {"class": _not_stored(data)}
    given = data.splits | {"window": data.given_window}
    section = _attributes(data, given) | {"series": _series(data.series, folder)}
    section.pop("seed")  # set by seed_everything
    return section


def _defaults(function: Callable[..., Any]) -> dict[str, Any]:
    """Return the default values of the arguments by name."""
    return {
        name: parameter.default
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.default is not parameter.empty
    }


def _attributes(instance: object, more: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return the constructor arguments of a sinrnn object, which stores them as attributes."""
    known = vars(instance) | (more or {})
    bases = [base for base in type(instance).__mro__ if base.__module__.startswith("sinrnn.")]
    names = [name for base in bases for name in inspect.signature(base).parameters]
    return {name: _plain(known[name]) for name in names if name in known}


def _series(series: Series, folder: Path) -> Any:
    if isinstance(series, ArraySeries):
        series = FileSeries(folder / SERIES)
    name = type(series).__name__
    if type(series) not in (FileSeries, *vars(synthetic).values()):
        return _not_stored(series)
    return {"class_path": f"sinrnn.{name}", "init_args": _attributes(series)}


def _class_and_arguments(factory: Callable[..., Any] | None, module: Any) -> Any:
    """Return the class_path and init_args of a class of the module, or of a partial of one."""
    if factory is None:
        return None
    factory = factory if isinstance(factory, partial) else partial(factory)
    cls = factory.func
    name = getattr(cls, "__name__", "")
    if getattr(module, name, None) is not cls or factory.args:
        return _not_stored(cls)
    arguments = {n: _plain(value) for n, value in (_defaults(cls) | factory.keywords).items()}
    return {"class_path": f"{module.__name__}.{name}", "init_args": arguments}


def _plain(value: Any) -> Any:
    """Return a value that YAML can hold, or a note if there is none."""
    value = plain(value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, torch.Tensor) and value.dim() == 0:
        return value.item()
    return _not_stored(value)


def _not_stored(value: Any) -> str:
    cls = value if inspect.isclass(value) or inspect.isfunction(value) else type(value)
    return f"{NOT_STORED}{cls.__module__}.{cls.__qualname__}"
