"""What a config file must be before its values are looked at."""

from pathlib import Path

import yaml

SECTIONS = ("data", "model", "monitor", "trainer")


def check(path: str) -> None:
    """Refuse what a parser would take in silence, or describe in its own terms.

    A file that is not there is left to the parser.

    Raises:
        ValueError: The file is not YAML of keys and values, or gives a key twice.
    """
    if not path.strip():
        raise ValueError(f"config must name a file, got {path!r}")
    if not Path(path).is_file():
        return
    try:
        root = yaml.compose(Path(path).read_text("utf-8"), yaml.SafeLoader)
        if root is None or not isinstance(root, yaml.MappingNode):
            raise ValueError(
                f"{path} must hold keys and values like 'name: run', got {_kind(root)}"
            )
        _check_keys(path, root, [], set())
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} cannot be read as UTF-8 text, write it again: {error}") from error
    except RecursionError as error:
        raise ValueError(f"{path} is nested too deeply: write it again") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = f", line {mark.line + 1}" if mark else ""
        tabs = ": indent with spaces" if "'\\t'" in str(error.problem) else ""
        raise ValueError(f"{path}{line} is not YAML: {error.problem}{tabs}") from error
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    for key, value in root.value:
        if key.value in SECTIONS and not isinstance(value, yaml.MappingNode):
            raise ValueError(
                f"{path}, line {key.start_mark.line + 1}: {key.value} must hold keys and values, "
                f"got {_kind(value)}"
            )


def _check_keys(path: str, node: yaml.Node, above: list[yaml.Node], done: set[int]) -> None:
    if node in above:
        line = node.start_mark.line + 1
        raise ValueError(f"{path}, line {line}: what stands there holds itself: write it out")
    if id(node) in done or isinstance(node, yaml.ScalarNode):
        return
    done.add(id(node))
    children = list(node.value)
    if isinstance(node, yaml.MappingNode):
        lines: dict[object, int] = {}
        for key, _ in node.value:
            line = key.start_mark.line + 1
            if isinstance(key, yaml.ScalarNode) and key.value in lines:
                raise ValueError(
                    f"{path}, line {line}: {key.value} is there already, in line "
                    f"{lines[key.value]}: remove one of them"
                )
            lines[key.value if isinstance(key, yaml.ScalarNode) else id(key)] = line
        children = [value for _, value in node.value]
    for child in children:
        _check_keys(path, child, [*above, node], done)


def _kind(node: yaml.Node | None) -> str:
    if isinstance(node, yaml.SequenceNode):
        return "a list"
    return repr(node.value) if isinstance(node, yaml.ScalarNode) and node.value else "nothing"
