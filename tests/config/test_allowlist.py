"""The rules on what a config may import are in force whenever they are asked for."""

import pytest
from jsonargparse import ArgumentError, ArgumentParser, set_parsing_settings

from sinrnn._private import kept_parser_settings
from sinrnn.config.allowlist import restrict_imports
from sinrnn.data.series import Series


def refuses(path):
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--x", type=Series)
    with pytest.raises(ArgumentError, match="not allowed"):
        parser.parse_object({"x": {"class_path": path}})


@pytest.mark.parametrize("before", [(), ("fractions",)])
def test_rules_hold_again_after_they_were_lifted(before):
    for trusted in (before, ()):
        with kept_parser_settings():  # as each Run does
            restrict_imports(trusted)
            restrict_imports(trusted)  # nothing to change
            if not trusted:
                refuses("fractions.Fraction")


def test_rules_replace_those_of_another_program():
    with kept_parser_settings():
        restrict_imports()
        set_parsing_settings(import_path_allowlist=["fractions"])
        restrict_imports()
        refuses("fractions.Fraction")
