"""docs/notebook.md: every error has its section, every block runs."""

import re
from pathlib import Path

import markdown

DOCUMENT = Path(__file__).parent.parent / "docs" / "notebook.md"
FLAGS = re.MULTILINE | re.DOTALL


def test_document_prints_what_it_says(tmp_path):
    markdown.run(DOCUMENT, tmp_path)
    assert not list(tmp_path.iterdir())


def test_document_says_what_each_block_prints():
    for code, said, line in markdown.blocks(DOCUMENT):
        assert ("print(" in code) == (said is not None), f"line {line}"


def test_each_of_the_ten_errors_has_a_section_with_its_number_shown():
    sections = re.findall(r"^### ([\d, and]+) (.*?)(?=^##|\Z)", DOCUMENT.read_text(), FLAGS)
    numbers = [int(n) for named, _ in sections for n in re.findall(r"\d+", named)]
    assert numbers == list(range(1, 11))
    for named, section in sections:
        assert re.search("^(```text|\\| .*[0-9])", section, re.MULTILINE), named
