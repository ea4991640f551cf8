"""The examples run as people run them, and learn what they say they learn."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"


@pytest.fixture
def printed(tmp_path):
    """What an example prints, in an empty folder that it leaves empty."""

    def run(name):
        command = [sys.executable, str(EXAMPLES / name)]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
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


def test_own_loop_beats_what_is_known_without_it(printed):
    text = printed("own_loop.py")
    mse = number(r"held-out samples: mse (\S+)", text)
    assert 30 * mse < number(r"persistence: +mse (\S+)", text)
    assert 2 * mse < number(r"linear extrapolation: mse (\S+)", text)


def test_encoder_inside_a_model_tells_waves_apart(printed):
    text = printed("inside_a_model.py")
    assert number(r"held-out waves (\S+)%", text) > 97
    assert number(r"majority class (\S+)%", text) < 53
