"""Training that is interrupted again and again, in a short form."""

import os
from pathlib import Path

import programs
import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.process
@pytest.mark.skipif(not hasattr(os, "fork"), reason="the script forks")
def test_interrupted_runs_end_with_the_same_bits(tmp_path):
    short = "--kinds 2 --runs 2 --times 2 --saves 10".split()
    done = programs.run(ROOT / "scripts" / "chaos.py", *short, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    *runs, last = done.stdout.splitlines()
    assert last == "19 of 19 runs have the same bits; 0 of 18 files torn"
    assert len([line for line in runs if line.endswith(": equal")]) == 19
    assert not list(tmp_path.iterdir())
