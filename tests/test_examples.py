"""The examples run as people run them, and learn what they say they learn."""

import re
from pathlib import Path

import programs
import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"


@pytest.fixture
def printed(tmp_path):
    """What an example prints, in an empty folder that it leaves empty."""

    def run(name):
        done = programs.run(EXAMPLES / name, cwd=tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
        assert not list(tmp_path.iterdir())
        return done.stdout

    return run


def number(pattern, text):
    (found,) = re.findall(pattern, text)
    return float(found)


def test_examples_are_these_and_short():
    lines = {path.name: path.read_text().count("\n") for path in EXAMPLES.glob("*.py")}
    assert set(lines) == {"own_loop.py", "inside_a_model.py"}
    assert max(lines.values()) < 40


@pytest.mark.process
def test_own_loop_beats_what_is_known_without_it(printed):
    text = printed("own_loop.py")
    mse = number(r"held-out samples: mse (\S+)", text)
    assert 30 * mse < number(r"persistence: +mse (\S+)", text)
    assert 2 * mse < number(r"linear extrapolation: mse (\S+)", text)


@pytest.mark.process
def test_encoder_inside_a_model_tells_waves_apart(printed):
    text = printed("inside_a_model.py")
    assert number(r"accuracy (\S+)%", text) > 97
    assert number(r"majority class (\S+)%", text) < 53
