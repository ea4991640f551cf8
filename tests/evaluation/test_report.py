"""The closing table word for word."""

import math
from dataclasses import replace

import pytest
import torch

from sinrnn.evaluation.backtest import Backtest, BacktestReport
from sinrnn.evaluation.report import backtest_facts, closing, table
from sinrnn.evaluation.results import Results, Rollout


def row(train, val, test):
    return {"train": train, "val": val, "test": test}


def healthy(**changes):
    """Results with which nothing is wrong."""
    good = Results(
        half_mse={
            "network": row(1e-7, 2e-7, 3e-7),
            "persistence": row(1e-2, 2e-2, 1e-2),
            "linear extrapolation": row(1e-6, 1e-6, 4e-7),
            "autoregression AR(4)": row(1e-31, 1e-31, 1e-27),
        },
        variance=row(0.5, 0.6, 0.4),
        saturated=0.1,
        spectral_radius=0.9,
        rollout=loop([1.5, 2.5, 2.5, 3.5]),
        seconds=1.26,
        where={"run": "runs/sine/version_0"},
    )
    return replace(good, **changes)


def loop(prediction):
    """A rollout beside 1, 2, 3, 4."""
    return Rollout(7, torch.zeros(2), torch.tensor(prediction), torch.tensor([1.0, 2.0, 3.0, 4.0]))


def backtest_report(made, radius=(1.0,), coverage=(0.75,), tolerance=0.4, **changes):
    """Forecasts of 2, 4, 2, 4, ... whatever is asked; the last value before was 0."""
    made = torch.tensor(made)
    truth = changes.pop("truth", torch.tensor([2.0, 4.0]).repeat(50)[: made.shape[1]])
    test = Backtest(torch.arange(len(made)), made, truth.expand_as(made), torch.zeros(len(made)))
    return BacktestReport(test, torch.tensor(radius), torch.tensor(coverage), tolerance, 1.0)


def with_loss(name, **losses):
    """Healthy results but for these losses of one forecaster."""
    before = healthy().half_mse
    return healthy(half_mse=before | {name: before[name] | losses})


# The table


def test_table_word_for_word():
    assert table(healthy()) == "\n".join(
        [
            "half_mse              train     val       test      skill on test",
            "------------------------------------------------------------------------",
            "network               1.00e-07  2.00e-07  3.00e-07",
            "persistence           1.00e-02  2.00e-02  1.00e-02  > 0.9999",
            "linear extrapolation  1.00e-06  1.00e-06  4.00e-07  0.250",
            "autoregression AR(4)  1.00e-31  1.00e-31  1.00e-27  exact up to rounding",
        ]
    )


@pytest.mark.parametrize(
    ("ours", "persistence", "note"),
    [
        (9e-7, 1e-2, "> 0.9999"),
        (2e-6, 1e-2, "0.9998"),
        (9e-6, 1e-2, "0.9991"),
        (2e-4, 1e-2, "0.980"),
        (0.0, 1e-2, "> 0.9999"),
        (1e-2, 1e-2, "0.000"),
        (3e-2, 1e-2, "-2.000"),
        (5.00101, 1e-2, "-499.101"),
        (50.0, 1e-2, "-5.0e+03"),
        (1e-2, 4e-27, "exact up to rounding"),
        (1e-2, 0.0, "exact up to rounding"),
    ],
)
def test_table_says_how_much_better_the_network_is(ours, persistence, note):
    results = with_loss("network", test=ours)
    results.half_mse["persistence"]["test"] = persistence
    line = table(results).splitlines()[3]
    assert line == f"persistence           1.00e-02  2.00e-02  {persistence:.2e}  {note}"


def test_table_calls_exact_what_is_small_beside_the_variance():
    results = with_loss("persistence", test=1e-21)
    assert "exact" not in table(results).splitlines()[3]
    results.variance["test"] = 1e6
    assert table(results).splitlines()[3].endswith("exact up to rounding")


LOOP = "RMSE 5.00e-01 over 4 closed-loop steps from the test split on"
SKILL = "0.250 on test against the best baseline, linear extrapolation"
ERROR = "mean squared error 1.5e-06 times the variance of the test split"
LEGEND = "half_mse: mean squared error / 2; skill: 1 - half_mse / the baseline's."
NONE = "not run: it needs horizon 1 and samples after the first window"


@pytest.mark.parametrize(("loop", "said"), [(healthy().rollout, LOOP), (None, NONE)])
def test_closing_word_for_word(loop, said):
    results = healthy(rollout=loop)
    facts = f"skill     {SKILL}\nerror     {ERROR}\nrollout   {said}\ntraining  1.3 s"
    facts += "\nrun       runs/sine/version_0"
    assert closing(results) == f"{table(results)}\n{LEGEND}\n\n{facts}"
    heading = "\n\nProblems and suggestions:\n- "
    ill = closing(results, ["It is too cold.", "It is too late."])
    assert ill == closing(results) + heading + "It is too cold.\n- It is too late."
    seen = closing(results, notes=["It rains."])
    assert seen == closing(results) + "\n\nObservations:\n- It rains."


# Forecasts from many origins


def test_backtest_facts_word_for_word():
    # Errors 0 or 1, so that rmse is 1 / sqrt 2, of 2 at the first step; valid for 4 and 0 steps.
    found = backtest_report(
        [[2.0, 4.0, 2.0, 4.0], [3.0, 5.0, 3.0, 5.0]], coverage=(0.8, 1.0, 0.8, 0.4)
    )
    assert backtest_facts(found) == {
        "backtest": "RMSE 0.71 at 1 step ahead\nskill against persistence 0.88; 2 origins",
        "valid for": "2 of 4 steps (median) within 0.4; amplitude 1.00; 0% diverge",
        "intervals": "90% nominal, 75% coverage on the test split (40% to 100% by step): "
        "too narrow",
    }


@pytest.mark.parametrize(("coverage", "fails"), [(0.8, ""), (0.79, ": too narrow")])
def test_intervals_of_one_step_fail_below_four_fifths(coverage, fails):
    said = backtest_facts(backtest_report([[2.0]], coverage=(coverage,)))["intervals"]
    assert said == f"90% nominal, {coverage:.0%} coverage on the test split{fails}"


def test_closing_has_no_skill_where_every_baseline_is_exact():
    results = healthy()
    for name in list(results.half_mse)[1:]:
        results.half_mse[name]["test"] = 0.0
    assert "best baseline" not in closing(results)


def test_backtest_facts_of_more_than_a_hundred_steps():
    truth, ours = (torch.sin(2 * math.pi * f * torch.arange(100.0)) for f in (0.1, 0.102))
    found = backtest_report([ours.tolist()], truth=truth, tolerance=10.0)
    facts = backtest_facts(found)
    # At the 10th step sin 2 pi 0.918 - sin 2 pi 0.9, at the 100th sin 2 pi 10.098 - sin 2 pi 9.9.
    assert facts["backtest"] == (
        "RMSE 0 at 1, 0.095 at 10, 1.2 at 100 steps ahead\n"
        "skill against persistence nan, 0.97, -2.93; 1 origin"
    )
    assert facts["valid for"] == ("100 of 100 steps (median) within 10; amplitude 1.00; 0% diverge")


def test_backtest_facts_of_forecasts_that_diverge():
    # Around 3, with a deviation of 1: two of the four are beyond 13.
    found = backtest_report([[2.0, 4.0], [202.0, 4.0], [2.0, 4.0], [2.0, math.inf]])
    assert backtest_facts(found)["valid for"] == (
        "2 of 2 steps (median) within 0.4; amplitude nan; 50% diverge"
    )


@pytest.mark.parametrize(
    ("first", "skill"),
    [(2.0, "1.00"), (0.0, "0.00"), (62.0, "-899.00"), (202.0, "-1.0e+04")],
)
def test_backtest_facts_say_a_large_skill_shortly(first, skill):
    said = backtest_facts(backtest_report([[first, 4.0]]))["backtest"]
    assert f"skill against persistence {skill};" in said


def test_backtest_facts_of_too_few_windows():
    found = backtest_report([[2.0, 4.0]], radius=(math.inf, math.inf), coverage=(1.0, 1.0))
    said = backtest_facts(found)["intervals"]
    assert said == "not known: too few validation windows, or forecasts that diverge"


def test_closing_has_the_backtest_after_the_rollout():
    found = backtest_report([[2.0, 4.0, 2.0, 4.0], [3.0, 5.0, 3.0, 5.0]])
    lines = closing(healthy(backtest_report=found)).split("\n")
    names = [line.partition(" ")[0] for line in lines if line[:1] not in ("", " ")][7:]
    assert names == [
        *("skill", "error", "rollout", "backtest", "valid", "intervals", "training", "run")
    ]


def test_closing_says_why_training_ended_early():
    said = closing(healthy(ended="stopped early after epoch 31 of 50: it rains"))
    assert "training  1.3 s, stopped early after epoch 31 of 50: it rains" in said


LONG = "runs/" + "a" * 90 + "/version_0"


def test_no_line_of_the_closing_is_wider_than_a_terminal_but_a_path():
    found = backtest_report([[2.0] * 100], coverage=[0.5] * 100, radius=[1.0] * 100)
    where = {"units": "relative, window 25: a linear forecast's " + "word " * 40, "run": LONG}
    said = closing(healthy(backtest_report=found, where=where), ["It is " * 50], ["Rain " * 50])
    wide = [line for line in said.split("\n") if len(line) > 79]
    assert wide == [f"run        {LONG}"]
    assert [line[:11].strip() for line in said.split("\n") if line[11:15] == "word"] == ["", "", ""]
