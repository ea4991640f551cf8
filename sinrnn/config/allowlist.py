"""The allowlist: the classes that a config may name.

A config may come from an untrusted source. It can therefore name classes but no functions, and only
classes that do not call their arguments and write only into the run's folder.
"""

import inspect
import sys
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path, PurePath
from types import ModuleType
from typing import Any

import torch
from jsonargparse import set_parsing_settings
from torch.optim import Optimizer, lr_scheduler

from sinrnn._private import import_verdicts
from sinrnn.data import series, synthetic
from sinrnn.data.series import Series

CALL_ARGUMENTS = (lr_scheduler.LambdaLR, lr_scheduler.MultiplicativeLR)

_trusted: set[str] = set()  # modules trusted so far: jsonargparse keeps them until they are denied
_last: list[object] = []  # the last call's arguments and rules


def allowed_classes(trainer: bool = True) -> dict[str, type]:
    """Return all classes that a config may name by import path, both public and of definition.

    Args:
        trainer: Include the classes of a trainer, which are Lightning's and slow to import.
    """
    classes = chain(_classes(), _trainer_classes() if trainer else [])
    found = {f"{module}.{cls.__name__}": cls for module, cls in classes}
    return found | {f"{cls.__module__}.{cls.__qualname__}": cls for cls in found.values()}


def _classes() -> Iterator[tuple[str, type]]:
    """Yield each class with the public module that it is in."""
    homes: list[tuple[str, ModuleType, type]] = [
        ("sinrnn", series, Series),
        ("sinrnn", synthetic, Series),
        ("torch.optim", torch.optim, Optimizer),
        ("torch.optim.lr_scheduler", lr_scheduler, lr_scheduler.LRScheduler),
    ]
    for home, module, kind in homes:
        for name, cls in inspect.getmembers(module, inspect.isclass):
            if issubclass(cls, kind) and cls not in CALL_ARGUMENTS and not name.startswith("_"):
                yield home, cls


def _trainer_classes() -> Iterator[tuple[str, type]]:
    """Yield the classes that a trainer takes, in the same form.

    Not allowed: classes that take functions (LambdaCallback), read or write at a given path
    (OnExceptionCheckpoint, DeepSpeedStrategy), or replace how checkpoints are saved (CheckpointIO).
    """
    from lightning.pytorch import accelerators, callbacks, profilers, strategies
    from lightning.pytorch.plugins import precision

    for cls in (
        accelerators.CPUAccelerator,
        accelerators.CUDAAccelerator,
        accelerators.MPSAccelerator,
        callbacks.DeviceStatsMonitor,
        callbacks.EarlyStopping,
        callbacks.EMAWeightAveraging,
        callbacks.GradientAccumulationScheduler,
        callbacks.LearningRateMonitor,
        callbacks.ModelCheckpoint,
        callbacks.ModelSummary,
        callbacks.RichModelSummary,
        callbacks.RichProgressBar,
        callbacks.StochasticWeightAveraging,
        callbacks.Timer,
        callbacks.TQDMProgressBar,
        callbacks.WeightAveraging,
        precision.DoublePrecision,
        precision.HalfPrecision,
        precision.MixedPrecision,
        precision.Precision,
        profilers.AdvancedProfiler,
        profilers.PassThroughProfiler,
        profilers.PyTorchProfiler,
        profilers.SimpleProfiler,
        strategies.DDPStrategy,
        strategies.FSDPStrategy,
        strategies.SingleDeviceStrategy,
    ):
        yield ".".join(cls.__module__.split(".")[:3]), cls  # as in lightning.pytorch.callbacks


def restrict_imports(trusted: Sequence[str] = (), trainer: bool = True) -> None:
    """Restrict the imports of jsonargparse to the allowed classes and the trusted modules.

    An entry of jsonargparse's lists also covers everything below it, so the attributes and methods
    of each allowed class are denied by name.

    Args:
        trusted: Names of additional modules.
        trainer: As in `allowed_classes`.

    Raises:
        ValueError: A name is not valid.
    """
    if trusted:  # they may be in the current folder, as for python -m
        sys.path.append(str(Path.cwd()))
    set_parsing_settings(
        instantiate_subclass_spec_in_any=False,
        config_read_mode_urls_enabled=False,
        config_read_mode_fsspec_enabled=False,
    )
    call = frozenset(trusted), trainer
    if _last == [call, import_verdicts()]:
        return  # in force already; setting thousands of names takes half of the time to parse
    allowed = allowed_classes(trainer)
    below = [f"{path}.{name}" for path, cls in allowed.items() for name in {*dir(cls), *dir(type)}]
    set_parsing_settings(
        import_path_denylist=["*", *below, *_trusted],
        import_path_allowlist=[*allowed, *trusted],
    )
    _trusted.update(trusted)
    _last[:] = call, import_verdicts()


def check_paths(value: Any, key: str) -> None:
    """Check that the trainer's callbacks write into the run's folder and replace none of its files.

    Args:
        value: A part of the trainer's section of a config.
        key: The dotted name of that part.

    Raises:
        ValueError: An argument names a folder, or a checkpoint that the run itself writes.
    """
    if isinstance(value, list):
        for each in value:
            check_paths(each, key)
    if not isinstance(value, dict):
        return
    for name, inner in value.items():
        where = key if name in ("init_args", "dict_kwargs") else f"{key}.{name}"
        if name in ("dirpath", "default_root_dir") and inner is not None:
            raise ValueError(f"{where} must be left out: a run writes only into its own folder")
        in_folder = isinstance(inner, str) and (PurePath(inner).name != inner or "\\" in inner)
        if name == "filename" and in_folder:
            raise ValueError(f"{where} must be the name of a file, without a folder, got {inner!r}")
        if (name == "filename" and inner in ("best", "last")) or (name == "save_last" and inner):
            raise ValueError(
                f"{where} {inner!r} would replace checkpoints/{{best,last}}.ckpt, which the run "
                "itself writes: leave it out"
            )
        check_paths(inner, where)
