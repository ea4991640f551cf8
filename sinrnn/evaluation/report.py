"""The closing table of a run, and the format of its numbers."""

from collections.abc import Sequence

from sinrnn.evaluation import columns
from sinrnn.evaluation.backtest import BacktestReport
from sinrnn.evaluation.metrics import skill
from sinrnn.evaluation.results import Results
from sinrnn.filesystem import escaped, filled
from sinrnn.forecasting.caution import FAILS

LEGEND = "half_mse: mean squared error / 2; skill: 1 - half_mse / the baseline's."
WHOLE = ("run", "TensorBoard")  # never wrapped, so that they can be copied


def table(results: Results) -> str:
    """Return the losses of the network and of all baselines as a table of text."""
    splits = list(results.variance)
    head = ["half_mse", *splits, "skill on test"]
    rows, ours = [], results.half_mse["network"]["test"]
    for name, row in results.half_mse.items():
        if name == "network":
            note = ""
        elif results.exact(name, "test"):
            note = "exact up to rounding"
        else:
            note = shown_skill(skill(ours, row["test"]))
        rows.append([name, *(f"{row[split]:.2e}" for split in splits), note])
    return columns.text([head, *rows])


def backtest_facts(found: BacktestReport) -> dict[str, str]:
    """Return errors, skill, valid time and coverage of a backtest, by the name of the line."""
    test, steps = found.test, found.test.truth.shape[1]
    shown = [h for h in (1, 10, 100) if h <= steps]
    origins = len(test.origins)
    rmse = ", ".join(f"{test.rmse[h - 1]:.2g} at {h}" for h in shown)
    skills = ", ".join(number(test.skill[h - 1].item()) for h in shown)
    away = test.diverged(found.spread)
    return {
        "backtest": f"RMSE {rmse} step{'' if shown == [1] else 's'} ahead\n"
        f"skill against persistence {skills}; {origins} origin{'' if origins == 1 else 's'}",
        "valid for": f"{test.valid(found.tolerance):.0f} of {steps} steps (median) within "
        f"{found.tolerance:.2g}; amplitude {test.amplitude:.2f}; {away:.0%} diverge",
        "intervals": _intervals(found),
    }


def _intervals(found: BacktestReport) -> str:
    if found.radius.isinf().any():
        return "not known: too few validation windows, or forecasts that diverge"
    coverage = found.coverage
    by_step = f" ({coverage.min():.0%} to {coverage.max():.0%} by step)" * (len(coverage) > 1)
    fails = ": too narrow" if coverage.mean() < FAILS else ""
    return f"90% nominal, {coverage.mean():.0%} coverage on the test split{by_step}{fails}"


def number(value: float) -> str:
    """Return a number with two decimals, or a large one with two digits."""
    return f"{value:.2f}" if abs(value) < 1000 else f"{value:.1e}"


def times(factor: float) -> str:
    """Return a factor with two digits, as "1,300 times", from 1e9 on with an exponent."""
    return f"{float(f'{factor:.2g}'):,.15g} times" if factor < 1e9 else f"{factor:.0e} times"


def in_steps(count: int) -> str:
    """Return a number of steps, as "1,000 steps"."""
    return f"{count:,} step{'' if count == 1 else 's'}"


def shown_skill(value: float) -> str:
    """Return a skill with three decimals, or four if it is close to 1."""
    if value > 0.9999:
        return "> 0.9999"
    if value > 0.99:
        return f"{value:.4f}"
    return f"{value:.3f}" if abs(value) < 1000 else number(value)


def closing(results: Results, problems: Sequence[str] = (), notes: Sequence[str] = ()) -> str:
    """Return the closing table: losses, facts, paths, problems and observations.

    Args:
        results: The results of the run.
        problems: The problems of the diagnosis.
        notes: The observations of the diagnosis.
    """
    lines = [table(results), LEGEND, ""]
    facts, ours = {}, results.half_mse["network"]["test"]
    if best := results.best_baseline("test"):
        against = shown_skill(skill(ours, best[1]))
        facts["skill"] = f"{against} on test against the best baseline, {best[0]}"
    if results.variance["test"] > 0:
        share = 2 * ours / results.variance["test"]
        facts["error"] = f"mean squared error {share:.2g} times the variance of the test split"
    if results.rollout is None:
        facts["rollout"] = "not run: it needs horizon 1 and samples after the first window"
    else:
        steps = in_steps(len(results.rollout.truth)).replace(" ", " closed-loop ")
        facts["rollout"] = f"RMSE {results.rollout.rmse:.2e} over {steps} from the test split on"
    if results.backtest_report is not None:
        facts |= backtest_facts(results.backtest_report)
    ended = f", {results.ended}" if results.ended else ""
    facts["training"] = f"{results.seconds:.1f} s{ended}"
    facts |= {name: escaped(where) for name, where in results.where.items()}
    width = max(map(len, facts))
    for name, fact in facts.items():
        for i, part in enumerate(fact.split("\n")):
            line = f"{'' if i else name:{width}}  {part}"
            lines.append(line if name in WHOLE else filled(line, " " * (width + 2)))
    return "\n".join(lines + advice(problems, notes))


def advice(problems: Sequence[str], notes: Sequence[str] = ()) -> list[str]:
    """Return the problems and the observations as lines of text, each under its heading."""
    lines = []
    for head, found in (("Problems and suggestions:", problems), ("Observations:", notes)):
        lines += ["", head, *(filled(f"- {each}") for each in found)] if found else []
    return lines
