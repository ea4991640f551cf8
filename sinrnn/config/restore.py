"""Restore the data and the settings of a run from its config."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from jsonargparse import ArgumentError, ArgumentParser

from sinrnn._private import kept_parser_settings
from sinrnn.config import allowlist, files, ineffective
from sinrnn.config.ineffective import get_nested
from sinrnn.config.messages import one_line
from sinrnn.data.splits import Splits
from sinrnn.evaluation.results import Settings
from sinrnn.forecasting.predictor import Predictor
from sinrnn.run_folder import CONFIG, MODEL, SERIES

if TYPE_CHECKING:
    from sinrnn.data.datamodule import WindowDataModule

Kind = TypeVar("Kind", bound=Splits)

# Settings of the training batches, which `Splits` does not have.
BATCHES = ("batch_size", "shuffle", "steps", "num_streams", "seed")


def restore_splits(
    folder: Path, content: dict[str, Any], predictor: Predictor, trusted: Sequence[str] = ()
) -> Splits:
    """Return the splits that a run was trained on. Unlike `restore_data`, import no Lightning.

    Args:
        folder: The run's folder.
        content: The run's config. The model and the trainer are not created.
        predictor: The run's predictor.
        trusted: Additional modules that the class of the series may be from.

    Raises:
        ValueError: The config is not valid, or window or horizon differ from the predictor's.
    """
    section = {n: value for n, value in content.get("data", {}).items() if n not in BATCHES}
    return _restore(Splits, folder, section, predictor, trusted)


def restore_data(
    folder: Path, content: dict[str, Any], predictor: Predictor, trusted: Sequence[str] = ()
) -> "WindowDataModule":
    """Return the data module that a run was trained on. See `restore_splits`."""
    from sinrnn.data.datamodule import WindowDataModule

    return _restore(WindowDataModule, folder, content.get("data", {}), predictor, trusted)


def _restore(
    kind: type[Kind],
    folder: Path,
    section: dict[str, Any],
    predictor: Predictor,
    trusted: Sequence[str],
) -> Kind:
    for code in (section.get("series"), section.get("class")):
        if isinstance(code, str) and code.startswith(files.NOT_STORED):
            raise ValueError(
                f"{folder / CONFIG} does not hold the data, which are code "
                f"({code.removeprefix(files.NOT_STORED)}): give a series"
            )
    section = section | {"series": _series(folder, section.get("series"))}
    if section.get("window", 0) is None:
        section["window"] = predictor.window
    with kept_parser_settings():
        allowlist.restrict_imports(trusted, trainer=False)
        parser = ArgumentParser(exit_on_error=False)
        parser.add_class_arguments(kind, "data", fail_untyped=False, sub_configs=False)
        try:
            parsed = parser.parse_object({"data": section})
            data: Kind = parser.instantiate(parsed).data
        except ArgumentError as error:
            raise ValueError(f"{folder / CONFIG}: {one_line(str(error))}") from error
    if (predictor.window, predictor.horizon) != (data.window, data.horizon):
        raise ValueError(
            f"{folder}: {MODEL} has window {predictor.window} and horizon {predictor.horizon}, and "
            f"{CONFIG} has window {data.window} and horizon {data.horizon}"
        )
    return data


def _series(folder: Path, series: Any) -> Any:
    """Return the config's series, with the path of its file as seen from here.

    A series stored in the run's folder is read from there, and a relative path starts in the folder
    in which the run was trained.
    """
    arguments = series.get("init_args") if isinstance(series, dict) else None
    own = folder / SERIES
    if isinstance(arguments, dict) and own.is_file():
        path = arguments.get("path")
        if isinstance(path, str) and Path(path).name == SERIES:
            return series | {"init_args": arguments | {"path": str(own)}}
    if isinstance(arguments, dict) and isinstance(path := arguments.get("path"), str):
        return series | {"init_args": arguments | {"path": files.seen_from_here(folder, path)}}
    return series


def restore_settings(folder: Path, content: dict[str, Any]) -> Settings:
    """Return the settings of a run that neither its predictor nor its data hold.

    Raises:
        ValueError: A setting in the config is not of the expected type.
    """
    found = {
        "lr": get_nested(content, "model", "optimizer", "init_args", "lr"),
        "epochs": get_nested(content, "trainer", "max_epochs"),
        "clip": get_nested(content, "trainer", "gradient_clip_val"),
        "keep": content.get("keep"),
    }
    names = ("updates", "loss", "input_noise")
    found |= {name: get_nested(content, "model", name) for name in names}
    for name, value in found.items():
        kind = str if name in ("keep", "updates", "loss") else int | float
        if value is not None and (not isinstance(value, kind) or isinstance(value, bool)):
            wanted = "a name" if kind is str else "a number"
            raise ValueError(f"{folder / CONFIG}: {name} must be {wanted}, got {value!r}")
    known = {name: value for name, value in found.items() if value is not None}
    return Settings(**known, needs=ineffective.needs(content), unused=ineffective.unused(content))
