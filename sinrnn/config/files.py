"""Config files: reading, and checks of the YAML before any value is used."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from sinrnn.filesystem import local, refuse_url
from sinrnn.run_folder import CONFIG, SERIES, no_run

SECTIONS = ("data", "model", "monitor", "trainer")
LONGEST = 10**6  # characters
NOT_STORED = "not stored: "  # prefix of the notes with which `dump_config` replaces code
MOST_NODES = 100_000  # with aliases expanded; a dumped config has about 200


def check(path: str, *, code: bool = False) -> None:
    """Check a config file for errors that the parser would ignore or describe in its own terms.

    A missing file is left to the parser.

    Raises:
        ValueError: `check_text` refuses the config, or the file is not UTF-8 text.
        OSError: The path is not a regular file, or cannot be read.
    """
    if not path.strip():
        raise ValueError(f"config must name a file, got {path!r}")
    if not Path(path).exists():
        return
    try:
        text = local(path).read_text("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} cannot be read as UTF-8 text, write it again: {error}") from error
    check_text(text, path, code=code)


def read(folder: Path) -> dict[str, Any]:
    """Read the config of a run as plain values.

    Raises:
        OSError: The config does not exist or cannot be read.
        ValueError: It is not a valid config.
    """
    path = local(folder / CONFIG)
    check(str(path), code=True)
    config: dict[str, Any] = yaml.safe_load(path.read_text("utf-8"))
    return config


def resuming(folder: Path) -> list[str]:
    """Return the command-line arguments that read a run's config and the series stored with it.

    Raises:
        FileNotFoundError: The folder holds no config.
    """
    if not (folder / CONFIG).is_file():
        raise FileNotFoundError(f"--resume: {no_run(folder)}")
    arguments = ["--config", str(folder / CONFIG)]
    if (folder / SERIES).is_file():
        return [*arguments, f"--data.series.path={folder / SERIES}"]
    check(str(folder / CONFIG), code=True)
    settings = dict(flatten(yaml.safe_load((folder / CONFIG).read_text("utf-8"))))
    path = settings.get("data.series.init_args.path")
    if isinstance(path, str) and not Path(path).exists():
        found = seen_from_here(folder, path)
        arguments += [f"--data.series.path={found}"] * (found != path)
    return arguments


def seen_from_here(folder: Path, path: str) -> str:
    """Return a path of a run's config, found in the folder in which the run was trained.

    Args:
        folder: The run's folder, runs/NAME/VERSION in that folder.
        path: The path; it is returned as it is where there is no such file.
    """
    found = folder.absolute().parents[2:3]
    there = found[0] / path if found else Path(path)
    if Path(path).is_absolute() or not there.is_file():
        return path
    return path if there == Path(path).absolute() else str(there)


def flatten(settings: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the settings of a nested config with their dotted names."""
    if isinstance(settings, dict) and settings:
        for name, value in settings.items():
            yield from flatten(value, f"{key}.{name}" if key else f"{name}")
    else:
        yield key, settings


def check_text(text: str, path: str, *, code: bool = False) -> None:
    """Check the text of a config.

    Args:
        text: The text.
        path: The name of the file for error messages.
        code: Allow the notes that replace code, for a config that is only read.

    Raises:
        ValueError: The text is not YAML with keys and values, repeats a key, names a URL or another
            config, or is too large.
    """
    if len(text) > LONGEST:
        raise ValueError(f"{path} must have at most {LONGEST:,} characters, got {len(text):,}")
    try:
        root = yaml.compose(text, yaml.SafeLoader)
        if not isinstance(root, yaml.MappingNode):
            raise ValueError(
                f"{path} must hold keys and values like 'name: run', got {_kind(root)}"
            )
        nodes = _check_nodes(path, root, code, [], {})
    except RecursionError as error:
        raise ValueError(f"{path} is nested too deeply: write it again") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = f", line {mark.line + 1}" if mark else ""
        tabs = ": indent with spaces" if "'\\t'" in str(error.problem) else ""
        raise ValueError(f"{path}{line} is not YAML: {error.problem}{tabs}") from error
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    if nodes > MOST_NODES:
        raise ValueError(
            f"{path} expands to {nodes:,} values, since its aliases repeat one another: it must be "
            f"at most {MOST_NODES:,}"
        )
    for key, value in root.value:
        where = f"{path}, line {key.start_mark.line + 1}"
        if key.value == "config":
            raise ValueError(
                f"{where}: a config cannot name another: give both on the command line, --config "
                "ONE --config TWO"
            )
        if key.value in SECTIONS and not isinstance(value, yaml.MappingNode):
            raise ValueError(f"{where}: {key.value} must hold keys and values, got {_kind(value)}")


def _check_nodes(
    path: str, node: yaml.Node, code: bool, above: list[yaml.Node], done: dict[int, int]
) -> int:
    """Check a YAML node and return its number of nodes with aliases expanded."""
    line = node.start_mark.line + 1
    if node in above:
        raise ValueError(f"{path}, line {line}: an alias contains itself: write it out")
    if id(node) in done:
        return done[id(node)]
    if isinstance(node, yaml.ScalarNode):
        try:
            refuse_url(node.value)
        except ValueError as error:
            raise ValueError(f"{path}, line {line}: {error}") from error
        if node.value.startswith(NOT_STORED) and not code:
            raise ValueError(
                f"{path}, line {line}: the run used code, which no config can hold "
                f"({node.value.removeprefix(NOT_STORED)}): train it from Python"
            )
        return 1
    children = node.value
    if isinstance(node, yaml.MappingNode):
        lines: dict[str, int] = {}
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            line = key.start_mark.line + 1
            if key.value in lines:
                raise ValueError(
                    f"{path}, line {line}: {key.value} is already set in line "
                    f"{lines[key.value]}: remove one of them"
                )
            lines[key.value] = line
        children = [part for pair in node.value for part in pair]
    above = [*above, node]
    done[id(node)] = 1 + sum(_check_nodes(path, child, code, above, done) for child in children)
    return done[id(node)]


def _kind(node: yaml.Node | None) -> str:
    if isinstance(node, yaml.SequenceNode):
        return "a list"
    return repr(node.value[:40]) if isinstance(node, yaml.ScalarNode) and node.value else "nothing"
