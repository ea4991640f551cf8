"""The data that a run was trained on, made from its config."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from jsonargparse import ArgumentError, ArgumentParser

from sinrnn._private import kept_parser_settings
from sinrnn.config import allowed, files
from sinrnn.config.messages import one_line
from sinrnn.data.splits import Splits
from sinrnn.evaluation.results import Settings
from sinrnn.forecasting.predictor import Predictor
from sinrnn.run_folder import CONFIG, MODEL, SERIES

if TYPE_CHECKING:
    from sinrnn.data.datamodule import WindowDataModule

Kind = TypeVar("Kind", bound=Splits)

# What a config says of the batches to learn from, which splits have nothing to do with.
BATCHES = ("batch_size", "shuffle", "steps", "num_streams", "seed")


def splits(
    folder: Path, content: dict[str, Any], predictor: Predictor, trusted: Sequence[str] = ()
) -> Splits:
    """The splits of the series that a run was trained on, without Lightning, slow to import.

    Args:
        folder: The run's.
        content: Its config; nothing that it names is made but the series.
        predictor: What it trained.
        trusted: Modules of the user's own that the series may be of.

    Raises:
        ValueError: The data cannot be as the config says, or is not the predictor's.
    """
    section = {n: value for n, value in content.get("data", {}).items() if n not in BATCHES}
    return _made(Splits, folder, section, predictor, trusted)


def data(
    folder: Path, content: dict[str, Any], predictor: Predictor, trusted: Sequence[str] = ()
) -> "WindowDataModule":
    """As `splits`, with the batches that it learnt from."""
    from sinrnn.data.datamodule import WindowDataModule

    return _made(WindowDataModule, folder, content.get("data", {}), predictor, trusted)


def _made(
    kind: type[Kind],
    folder: Path,
    section: dict[str, Any],
    predictor: Predictor,
    trusted: Sequence[str],
) -> Kind:
    for code in (section.get("series"), section.get("class")):
        if isinstance(code, str) and code.startswith(files.NOT_STORED):
            raise ValueError(
                f"{folder / CONFIG} cannot hold the data, which are code "
                f"({code.removeprefix(files.NOT_STORED)}): give a series"
            )
    section = section | {"series": _found(folder, section.get("series"))}
    if section.get("window", 0) is None:
        section["window"] = predictor.window
    with kept_parser_settings():
        allowed.restrict(trusted, trainer=False)
        parser = ArgumentParser(exit_on_error=False)
        parser.add_class_arguments(kind, "data", fail_untyped=False, sub_configs=False)
        try:
            parsed = parser.parse_object({"data": section})
            found: Kind = parser.instantiate(parsed).data
        except ArgumentError as error:
            raise ValueError(f"{folder / CONFIG}: {one_line(str(error))}") from error
    if (predictor.window, predictor.horizon) != (found.window, found.horizon):
        raise ValueError(
            f"{folder}: {MODEL} has window {predictor.window} and horizon "
            f"{predictor.horizon}, {CONFIG} {found.window} and {found.horizon}"
        )
    return found


def _found(folder: Path, series: Any) -> Any:
    """A series as the config has it; the run's own file is that of the folder, wherever it lies."""
    arguments = series.get("init_args") if isinstance(series, dict) else None
    own = folder / SERIES
    if isinstance(arguments, dict) and own.is_file():
        path = arguments.get("path")
        if isinstance(path, str) and Path(path).name == SERIES:
            return series | {"init_args": arguments | {"path": str(own)}}
    return series


def settings(folder: Path, content: dict[str, Any]) -> Settings:
    """What a run was set to, as far as its predictor and its data do not know it.

    Raises:
        ValueError: The config has no number where one belongs, or no name.
    """
    found = {
        "lr": _at(content, "model", "optimizer", "init_args", "lr"),
        "epochs": _at(content, "trainer", "max_epochs"),
        "clip": _at(content, "trainer", "gradient_clip_val"),
        "keep": content.get("keep"),
    }
    names = ("updates", "loss", "input_noise")
    found |= {name: _at(content, "model", name) for name in names}
    for name, value in found.items():
        kind = str if name in ("keep", "updates", "loss") else int | float
        if value is not None and (not isinstance(value, kind) or isinstance(value, bool)):
            wanted = "a name" if kind is str else "a number"
            raise ValueError(f"{folder / CONFIG}: {name} must be {wanted}, got {value!r}")
    return Settings(**{name: value for name, value in found.items() if value is not None})


def _at(content: Any, *path: str) -> Any:
    """What a config has at a place; None where it has no such place."""
    for name in path:
        content = content.get(name) if isinstance(content, dict) else None
    return content
