"""README and docs: their Python prints what they say, links lead somewhere, options exist."""

import re
import shlex
from pathlib import Path

import markdown
import pytest

ROOT = Path(__file__).parents[1]
DOCS = sorted((ROOT / "docs").glob("*.md"))
PAGES = [*sorted(ROOT.glob("*.md")), *DOCS]
LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]*))?\)")
TRAIN = re.compile(r"^python scripts/train\.py((?:.*\\\n)*.*)$", re.MULTILINE)


def anchors(text):
    """What GitHub calls each heading, in a link."""
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def commands():
    """Arguments of each train.py in a block, but for those that need a file or print help."""
    found = {}
    for page in PAGES:
        for block in re.findall(r"^```sh\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE):
            for args in TRAIN.findall(block):
                args = shlex.split(args.replace("\\\n", " "))
                if not {"--resume", "my.yaml", "--data.series.help"} & {*args}:
                    found[shlex.join(args) or "default"] = args
    return found


# derivation.md, interop.md and notebook.md have tests of their own.
@pytest.mark.parametrize("name", ["forecasting", "performance", "training"])
def test_python_of_the_document_prints_what_it_says(name, tmp_path):
    document = ROOT / "docs" / f"{name}.md"
    assert markdown.blocks(document)
    markdown.run(document, tmp_path)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_relative_links_lead_to_files_and_headings(page):
    for name, anchor in LINK.findall(page.read_text()):
        target = page.parent / name if name else page
        assert target.exists(), name
        assert not anchor or anchor in anchors(target.read_text()), f"{name}#{anchor}"


COMMANDS = commands()


@pytest.mark.parametrize("args", COMMANDS.values(), ids=COMMANDS)
def test_train_takes_the_options_of_the_document(args, tmp_path, monkeypatch):
    from sinrnn.cli.arguments import take_seeds, with_config
    from sinrnn.cli.train import TrainCLI

    monkeypatch.chdir(tmp_path)
    take_seeds(args)
    assert TrainCLI(with_config(args)).model.net.hidden_size > 0
