"""The figures that a run's folder keeps."""

import json
import math
import re

import pytest
import torch

from sinrnn.evaluation.backtest import Backtest, BacktestReport
from sinrnn.evaluation.results import Results, Rollout
from sinrnn.evaluation.summary import Summary, statistics_table

ONE = {"train": 1.0, "val": 2.0, "test": 3.0}


def results(**changes):
    losses = {"network": ONE, "persistence": ONE | {"test": 6.0}, "AR": ONE | {"test": 1e-30}}
    one = torch.ones(1)
    given = {"half_mse": losses, "variance": ONE, "saturated": 0.0, "spectral_radius": 1.0}
    given["rollout"] = Rollout(0, one, one, one + 0.5)
    given["seconds"] = 1.23456
    return Results(**given | changes)


def backtested(radius):
    test = Backtest(torch.arange(1), *(torch.ones(1, 2) for _ in range(2)), torch.ones(1))
    return BacktestReport(test, torch.tensor(radius), torch.tensor([0.5, 1.0]), 0.4, 1.0)


def test_summary_has_the_figures_and_no_skill_against_what_is_exact():
    found = Summary.of(results(backtest_report=backtested([1.0, 1.0])))
    assert found.figures() == {
        "half_mse train": 1.0,
        "half_mse val": 2.0,
        "half_mse test": 3.0,
        "skill against persistence": 0.5,
        "rollout RMSE": 0.5,
        "coverage of 90%": 0.75,
        "seconds": 1.235,
    }


def test_figures_leave_out_what_was_not_measured():
    found = Summary.of(results(rollout=None, backtest_report=backtested([1.0, math.inf])))
    assert (found.rollout_rmse, found.coverage) == (None, None)
    assert not {"rollout RMSE", "coverage of 90%"} & set(found.figures())


def test_summary_is_read_as_it_was_written(tmp_path):
    path = tmp_path / "results.json"
    found = Summary.of(results(rollout=None, variance=ONE | {"test": math.inf}))
    path.write_bytes(found.content())
    assert Summary.read(path) == found


def test_several_summaries_stand_together():
    found = [
        Summary({"network": ONE}, {"AR": 1 - 2e-5}, 0.5, 0.9, 1.0),
        Summary({"network": ONE | {"val": 5.0}}, {"AR": -3000.0}, None, 0.875, 4.0),
        Summary({"network": ONE}, {"AR": 0.25}, 0.25, 0.95, 2.0),
    ]
    assert statistics_table("3 runs", found) == [
        ["3 runs", "median", "minimum", "maximum"],
        ["half_mse train", *["1.00e+00"] * 3],
        ["half_mse val", "2.00e+00", "2.00e+00", "5.00e+00"],
        ["half_mse test", *["3.00e+00"] * 3],
        ["skill against AR", "0.250", "-3.0e+03", "> 0.9999"],
        ["rollout RMSE (2/3)", "3.75e-01", "2.50e-01", "5.00e-01"],
        ["coverage of 90%", "90.0%", "87.5%", "95.0%"],
        ["seconds", "2.0", "1.0", "4.0"],
    ]


GOOD = json.loads(Summary.of(results()).content())
WRONG = [
    ("{", "Expecting"),
    ("[1]", "argument after .* must be a mapping"),
    ("[" * 100_000, "recursion"),
    (" " * 10**6 + "{}", "at most 1,000,000 bytes"),
    (GOOD | {"seconds": "long"}, "seconds must be a number, got 'long'"),
    (GOOD | {"seconds": True}, "seconds must be a number, got 'True'"),
    (GOOD | {"coverage": []}, r"number must be a number, got '\[\]'"),
    (GOOD | {"half_mse": {"network": {"train": 1.0}}}, "'val'"),
    (GOOD | {"half_mse": [1.0]}, "list indices"),
    (GOOD | {"more": 1}, "unexpected keyword argument 'more'"),
]


@pytest.mark.parametrize(("content", "said"), WRONG)
def test_other_content_is_refused(tmp_path, content, said):
    path = tmp_path / "results.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(ValueError, match=f"^{re.escape(str(path))} .*{said}"):
        Summary.read(path)
