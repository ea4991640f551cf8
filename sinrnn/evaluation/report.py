"""What a run is worth, as text: the closing table, and the words for numbers."""

from collections.abc import Sequence

from sinrnn.evaluation import columns
from sinrnn.evaluation.backtest import BacktestReport
from sinrnn.evaluation.metrics import skill
from sinrnn.evaluation.results import Results
from sinrnn.filesystem import escaped, filled
from sinrnn.forecasting.caution import FAILS

LEGEND = "half_mse: mean squared error / 2; skill: 1 - half_mse / the baseline's."
WHOLE = ("run", "TensorBoard")  # to be copied


def table(results: Results) -> str:
    """The closing table, as lines of text."""
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
    """What forecasts from many origins are worth, a few facts by name."""
    test, steps = found.test, found.test.truth.shape[1]
    shown = [h for h in (1, 10, 100) if h <= steps]
    origins, one = len(test.origins), shown == [1]
    rmse = ", ".join(f"{test.rmse[h - 1]:.2g} at {h}" for h in shown)
    skills = ", ".join(number(test.skill[h - 1].item()) for h in shown)
    away = test.diverged(found.spread)
    return {
        "backtest": f"RMSE {rmse} step{'' if one else 's'} ahead, skill against persistence "
        f"{skills} (from {origins} place{'' if origins == 1 else 's'})",
        "holds for": f"{test.valid(found.tolerance):.0f} of {steps} steps within "
        f"{found.tolerance:.2g} (median); amplitude {test.amplitude:.2f}; "
        + (f"{away:.0%} diverge" if away else "none diverges"),
        "intervals": _intervals(found),
    }


def _intervals(found: BacktestReport) -> str:
    if found.radius.isinf().any():
        return "not known: too few validation windows, or forecasts that diverge"
    held, steps = found.coverage, len(found.coverage)
    each = f" ({held.min():.0%} to {held.max():.0%} at each of {steps} steps)" * (steps > 1)
    fails = ": too narrow" if held.mean() < FAILS else ""
    return f"90% asked, {held.mean():.0%} held on test{each}{fails}"


def number(value: float) -> str:
    """Two decimals, or two digits of what is large."""
    return f"{value:.2f}" if abs(value) < 1000 else f"{value:.1e}"


def times(factor: float) -> str:
    """A factor in words: two digits, and no exponent as long as anybody can read it."""
    return f"{float(f'{factor:.2g}'):,.15g} times" if factor < 1e9 else f"{factor:.0e} times"


def in_steps(count: int) -> str:
    """A number of steps."""
    return f"{count:,} step{'' if count == 1 else 's'}"


def shown_skill(value: float) -> str:
    """A skill as tables have it: three decimals, or four next to 1, which it may come close to."""
    if value > 0.9999:
        return "> 0.9999"
    if value > 0.99:
        return f"{value:.4f}"
    return f"{value:.3f}" if abs(value) < 1000 else number(value)


def closing(results: Results, problems: Sequence[str] = (), notes: Sequence[str] = ()) -> str:
    """The table, the rollout, where everything is, and what is wrong with the run.

    Args:
        results: The run's.
        problems: What is wrong, a sentence each.
        notes: What was observed and is no fault, a sentence each.
    """
    lines = [table(results), LEGEND, ""]
    facts, ours = {}, results.half_mse["network"]["test"]
    if best := results.best_baseline("test"):
        against = shown_skill(skill(ours, best[1]))
        facts["skill"] = f"{against} on test, against the best baseline: {best[0]}"
    if results.variance["test"] > 0:
        share = 2 * ours / results.variance["test"]
        facts["error"] = f"mean squared error {share:.2g} times the variance of the test split"
    if results.rollout is None:
        facts["rollout"] = "not run: it needs horizon 1 and samples after the test split's start"
    else:
        steps = in_steps(len(results.rollout.truth))
        facts["rollout"] = (
            f"RMSE {results.rollout.rmse:.2e} over {steps} in closed loop, from test on"
        )
    if results.backtest_report is not None:
        facts |= backtest_facts(results.backtest_report)
    ended = f", {results.ended}" if results.ended else ""
    facts["training"] = f"{results.seconds:.1f} s{ended}"
    facts |= {name: escaped(where) for name, where in results.where.items()}
    width = max(map(len, facts))
    for name, fact in facts.items():
        line = f"{name.ljust(width)}  {fact}"
        lines.append(line if name in WHOLE else filled(line, " " * (width + 2)))
    return "\n".join(lines + advice(problems, notes))


def advice(problems: Sequence[str], notes: Sequence[str] = ()) -> list[str]:
    """What is wrong and what to try, and what is no fault, as lines, if there is anything."""
    lines = []
    for head, found in (("What is wrong, and what to try:", problems), ("Observations:", notes)):
        lines += ["", head, *(filled(f"- {each}") for each in found)] if found else []
    return lines
