"""The package is built as it was drawn: who may import whom, and what stands where.

Imports are read from the source, so that those within functions and those for types alone count,
too.
"""

import ast
import functools
import graphlib
import importlib
import inspect
import itertools
import re
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "sinrnn"
FILES = [path.relative_to(PACKAGE).as_posix() for path in sorted(PACKAGE.rglob("*.py"))]

# A file may import from its own folder and from the layers below; those of one layer do not know
# each other.
LAYERS = [
    ["__init__.py", "__main__.py"],
    ["cli"],
    ["fitting.py"],
    ["seeds.py"],
    ["run.py", "listing.py"],
    ["job.py"],
    ["config"],
    ["callbacks"],
    ["training", "evaluation"],
    ["forecasting"],
    ["nn", "data"],
    ["run_folder.py"],
    ["filesystem.py"],
    ["_suggest.py", "_status.py", "_version.py", "_private.py", "_numbers.py"],
]
HEIGHT = {part: -i for i, layer in enumerate(LAYERS) for part in layer}

# Where what is slow to import, or to be kept out of a program that embeds the network, may stand.
HEAVY = {
    "lightning": (
        "data/datamodule.py",
        "training/",
        "callbacks/",
        "job.py",
        "fitting.py",
        "config/",
        "cli/",
    ),
    "torchmetrics": ("training/",),
    "matplotlib": tuple(
        f"evaluation/{name}.py"
        for name in (
            "_drawing",
            "_layout",
            "plots",
            "loss_plots",
            "residual_plots",
            "figures",
            "picture",
        )
    ),
    "pandas": ("data/", "forecasting/forecast.py", "evaluation/results.py", "listing.py"),
    "pyarrow": ("data/_parquet.py",),
    "jsonargparse": ("_private.py", "config/", "cli/"),
    "tensorboard": ("callbacks/", "training/loggers.py", "training/event_file.py"),
    "torch.utils.tensorboard": ("callbacks/", "training/loggers.py"),
}
# These are imported where a file or an object of theirs is read, within the function.
AT_USE = ("pandas", "pyarrow", "onnx", "safetensors")

MOST = 300  # lines of a file


@functools.cache
def trees():
    """What each file says, parsed where a test asks for it: each run of the tests collects this."""
    return {file: ast.parse((PACKAGE / file).read_text()) for file in FILES}


def part(file):
    """The folder or, at the top, the file that a file belongs to."""
    return file.partition("/")[0]


def imported(tree):
    """Dotted names that a file imports: modules, and what is taken from them."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            dots = "." * node.level  # which no file of ours has, and no rule knows
            yield from (f"{dots}{node.module}.{alias.name}" for alias in node.names)


def file_of(name):
    """The file of ours that an imported name stands in, or None where it is not ours."""
    if name.partition(".")[0] != "sinrnn":
        return None
    places = name.split(".")[1:]
    while True:
        stem = "/".join(places)
        for file in (f"{stem}.py", f"{stem}/__init__.py" if stem else "__init__.py"):
            if file in FILES:
                return file
        places.pop()


def arrows():
    """The files that each file imports from."""
    return {
        file: {found for found in map(file_of, imported(tree)) if found} - {file}
        for file, tree in trees().items()
    }


def test_every_part_of_the_package_has_its_layer():
    assert {part(file) for file in FILES} == set(HEIGHT)


def test_imports_are_absolute():
    assert not [file for file, tree in trees().items() if any(n[0] == "." for n in imported(tree))]


def test_files_import_from_their_own_folder_and_from_below():
    wrong = [
        f"{file} imports {other}"
        for file, others in arrows().items()
        for other in sorted(others)
        if part(file) != part(other) and HEIGHT[part(file)] <= HEIGHT[part(other)]
    ]
    assert not wrong


def test_no_file_imports_itself_by_way_of_others():
    cycle = []
    try:
        graphlib.TopologicalSorter(arrows()).prepare()
    except graphlib.CycleError as error:
        cycle = error.args[1]
    assert not cycle


@pytest.mark.parametrize("library", HEAVY)
def test_heavy_library_stays_in_its_place(library):
    found = [
        file
        for file, tree in trees().items()
        if any(f"{name}.".startswith(f"{library}.") for name in imported(tree))
    ]
    assert found
    assert not [file for file in found if not file.startswith(HEAVY[library])]


@pytest.mark.parametrize("library", AT_USE)
def test_optional_library_is_imported_where_it_is_used(library):
    for file, tree in trees().items():
        first = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
        names = imported(ast.Module(first, []))
        assert not [name for name in names if name.partition(".")[0] == library], file


@functools.cache
def own_names():
    """Every name that the package gives to something of its own."""
    found = set()
    for node in itertools.chain.from_iterable(map(ast.walk, trees().values())):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            found |= {node.attr} if ast.unparse(node.value) == "self" else set()
    return found


def is_private(name):
    return name.startswith("_") and not name.startswith("__")


def overridden(file):
    """Private methods of a file's classes that take the place of another library's."""
    name = "sinrnn." + file.removesuffix(".py").replace("/", ".")
    for cls in vars(importlib.import_module(name)).values():
        if inspect.isclass(cls) and cls.__module__ == name:
            theirs = [base for base in cls.__mro__ if not base.__module__.startswith("sinrnn")]
            for method, value in vars(cls).items():
                if inspect.isfunction(value) and any(method in vars(base) for base in theirs):
                    yield method


def private_names(file):
    """Other libraries' private names in a file: imported, looked up, set or overridden."""
    for node in ast.walk(trees()[file]):
        private = isinstance(node, ast.Attribute) and is_private(node.attr)
        if private and node.attr not in own_names():
            of = node.value
            if not (isinstance(of, ast.Name) and of.id in sys.stdlib_module_names):
                yield node.attr
    for name in imported(trees()[file]):
        if file_of(name) is None:
            yield from filter(is_private, name.split("."))
    yield from filter(is_private, overridden(file))


@pytest.mark.parametrize("file", FILES)
def test_private_names_of_other_libraries_stand_in_one_file(file):
    assert bool(set(private_names(file))) is (file == "_private.py")


def test_files_are_short_enough_to_be_read():
    lines = {file: (PACKAGE / file).read_text().count("\n") for file in FILES}
    assert not {file: count for file, count in lines.items() if count > MOST}


def test_architecture_page_shows_these_layers():
    page = (PACKAGE.parent / "docs" / "architecture.md").read_text()
    diagram = page.partition("```text\n")[2].partition("```")[0]
    rows = [re.findall(r"\w+(?:/|\.py)", line) for line in diagram.splitlines()]
    assert [{name.rstrip("/") for name in row} for row in rows] == list(map(set, LAYERS[1:]))


def test_no_program_takes_options_that_are_abbreviated():
    scripts = sorted((PACKAGE.parent / "scripts").glob("*.py"))
    sources = [*trees().values(), *(ast.parse(path.read_text()) for path in scripts)]
    calls = [
        {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
        for tree in sources
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "argparse.ArgumentParser"
    ]
    assert len(calls) == 4
    assert all(call.get("allow_abbrev") == "False" for call in calls)
