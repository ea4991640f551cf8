"""What a config file must be before its values are looked at."""

from pathlib import Path
from typing import Any

import yaml

from sinrnn.filesystem import local, refuse_url
from sinrnn.run_folder import CONFIG, SERIES, no_run

SECTIONS = ("data", "model", "monitor", "trainer")
LONGEST = 10**6  # characters
NOT_STORED = "not stored: "  # and the name of code that `describe` found in its place
MOST_NODES = 100_000  # that a config may stand for; a dumped one has about 200


def check(path: str, *, code: bool = False) -> None:
    """Refuse what a parser would take in silence, or describe in its own terms.

    A file that is not there is left to the parser.

    Raises:
        ValueError: As `check_text`; or the file is not UTF-8 text.
        OSError: It is no regular file, or may not be read.
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
    """A run's config, as plain values.

    Raises:
        OSError: The folder has none, or it may not be read.
        ValueError: It cannot be a config.
    """
    path = local(folder / CONFIG)
    check(str(path), code=True)
    found: dict[str, Any] = yaml.safe_load(path.read_text("utf-8"))
    return found


def resuming(folder: Path) -> list[str]:
    """The arguments that read a run's own config; its values are in the folder, wherever it is.

    Raises:
        FileNotFoundError: There is no config in it.
    """
    if not (folder / CONFIG).is_file():
        raise FileNotFoundError(f"--resume: {no_run(folder)}")
    series = [f"--data.series.path={folder / SERIES}"] if (folder / SERIES).is_file() else []
    return ["--config", str(folder / CONFIG), *series]


def check_text(text: str, path: str, *, code: bool = False) -> None:
    """Refuse a config that no parser should see.

    Args:
        text: The config.
        path: Where it stands.
        code: Whether it is only read, so that notes in place of code do no harm.

    Raises:
        ValueError: It is not YAML of keys and values, gives a key twice, names a URL or another
            config, or stands for more than a config ever holds.
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
            f"{path} stands for {nodes:,} values, as its aliases repeat one another: it must be at "
            f"most {MOST_NODES:,}"
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
    """Refuse a node for what is in it; gives the nodes that it stands for, aliases written out."""
    line = node.start_mark.line + 1
    if node in above:
        raise ValueError(f"{path}, line {line}: what stands there holds itself: write it out")
    if id(node) in done:
        return done[id(node)]
    if isinstance(node, yaml.ScalarNode):
        try:
            refuse_url(node.value)
        except ValueError as error:
            raise ValueError(f"{path}, line {line}: {error}") from error
        if node.value.startswith(NOT_STORED) and not code:
            raise ValueError(
                f"{path}, line {line}: the run used code which no config can hold "
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
                    f"{path}, line {line}: {key.value} is there already, in line "
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
