"""The name that was meant."""

import pytest

from sinrnn import _suggest

OPTIONS = ["trainer", "trainer.max_epochs", "model.hidden_size", "monitor.flow", "keep"]


@pytest.mark.parametrize(
    ("word", "option"),
    [
        ("model.hiden_size", "model.hidden_size"),
        ("modl.hidden_size", "model.hidden_size"),
        ("hidden_size", "model.hidden_size"),
        ("kep", "keep"),
        ("epochs", "trainer.max_epochs"),
        ("monitor.foo", ""),  # which has no more than its section in common with monitor.flow
        ("foo", ""),
    ],
)
def test_option_is_the_one_that_is_like_it(word, option):
    assert _suggest.option(word, OPTIONS, {"epochs": "trainer.max_epochs"}) == option


def test_name_is_like_another_whatever_its_case():
    assert _suggest.closest("PRICE", ["date", "price"]) == "price"
    assert not _suggest.closest("c", ["a", "b"])


def test_file_is_the_one_beside_it_with_a_name_like_it(tmp_path):
    (tmp_path / "sunspots.csv").touch()
    assert _suggest.file(tmp_path / "sunspot.csv") == str(tmp_path / "sunspots.csv")
    assert not _suggest.file(tmp_path / "gone.csv")
    assert not _suggest.file(tmp_path / "nowhere" / "sunspot.csv")
