"""How wrong a predictor has been of late, beside a loop; and intervals that widen with it."""

import pytest
import torch
from cases import BITS, assert_close
from ramp import Given, data

from sinrnn import Predictor, SinRNN, Windows
from sinrnn.evaluation.backtest import evaluate_backtest
from sinrnn.forecasting.intervals import PRIOR, RECENT, recent_error, typical_error

T = 4


def series(burst=0.0, points=120):
    """Above 0; its last ten values are disturbed."""
    values = 10 + torch.sin(0.3 * torch.arange(points)) + 0.2 * torch.randn(points)
    values[-10:] *= torch.exp(burst * torch.randn(10))
    return values


def made(**options):
    predictor = Predictor(SinRNN(hidden_size=3), window=T, **options)
    windows = Windows(series()[:72], T)
    predictor.calibrate(windows)
    predictor.typical_error.fill_(typical_error(predictor, windows))
    predictor.radius = torch.tensor([0.1, 0.2])
    predictor.coverage = torch.tensor([0.9, 0.8])
    return predictor


def by_loop(predictor, values, end):
    typical, squares = predictor.typical_error.item(), []
    for at in range(max(T, end - RECENT), end):
        prediction = predictor(values[None, at - T : at])[0]
        squares.append(predictor.error(prediction, values[at]).item() ** 2)
    mean = (sum(squares) + PRIOR * typical**2) / (len(squares) + PRIOR)
    return mean**0.5 / typical


@pytest.mark.parametrize("options", [{}, {"linear": True, "log": True}], ids=["plain", "log"])
def test_recent_error_is_that_of_a_loop(options):
    predictor, values = made(**options), series(0.5)
    # None is known before the first window's target; then ever more, up to RECENT; the end.
    ends = torch.tensor([120, T, T + 1, 9, 3, T + RECENT, 64, 64, 119])
    wanted = torch.tensor([by_loop(predictor, values, end) for end in ends.tolist()])
    typical = predictor.typical_error.item()
    found = recent_error(predictor, values, ends, typical)
    assert_close(found, wanted)
    assert found[1] == found[4] == 1
    later = values.clone()
    later[64:] += 5  # what is not known yet
    torch.testing.assert_close(
        recent_error(predictor, later, ends, typical)[6:8], found[6:8], **BITS
    )


@pytest.mark.parametrize("change", ["typical", "window", "short"])
def test_recent_error_is_1_where_nothing_is_known(change):
    predictor, values = made(), series()
    typical = 0.0 if change == "typical" else 0.1
    if change == "window":
        predictor.window = None
    elif change == "short":
        values = values[:T]
    ends = torch.tensor([len(values)] * 3)
    torch.testing.assert_close(
        recent_error(predictor, values, ends, typical), torch.ones(3), **BITS
    )


def test_typical_error_is_the_root_mean_square_of_the_split():
    predictor, values = made(log=True), series()
    x, y = Windows(values, T)[:]
    wanted = (predictor(x).log() - y[:, 0].log()).square().mean().sqrt().item()
    assert typical_error(predictor, Windows(values, T)) == pytest.approx(wanted)


@pytest.mark.parametrize("options", [{"linear": True}, {"linear": True, "log": True}])
def test_forecasts_intervals_are_wider_after_a_burst_of_errors(options):
    predictor, calm, wild = made(**options), series(), series(0.5)
    factors = [by_loop(predictor, values, 120) for values in (calm, wild)]
    assert factors[1] > 2 * factors[0]
    for values, factor in zip((calm, wild), factors, strict=True):
        found = predictor.forecast(values, 3)
        ends = predictor.interval(found.prediction[:2], factor * predictor.radius)
        assert_close((found.lower[:2], found.upper[:2]), ends)
        assert found.lower[2].isnan()
        assert found.upper[2].isnan()


@pytest.mark.parametrize(("at", "known"), [(-T - 1, 0), (-T - 9, 8), (-T - 90, RECENT)])
def test_what_has_no_logarithm_is_not_looked_back_over(at, known):
    predictor, values = made(linear=True, log=True), series(0.2)
    values[at], values[5] = 0, -1
    found = predictor.forecast(values, 2)
    later = values[at + 1 :]
    ends = predictor.interval(
        found.prediction, by_loop(predictor, later, len(later)) * predictor.radius
    )
    assert_close((found.lower, found.upper), ends)
    assert min(len(later) - T, RECENT) == known


def test_typical_error_is_saved(tmp_path):
    predictor, values = made(linear=True), series(0.5)
    predictor.save(tmp_path / "a.safetensors")
    other = Predictor.load(tmp_path / "a.safetensors")
    assert other.typical_error.item() == predictor.typical_error.item() > 0
    one, two = (each.forecast(values, 2) for each in (predictor, other))
    torch.testing.assert_close((two.lower, two.upper), (one.lower, one.upper), **BITS)


def test_backtest_measures_with_the_error_before_each_origin():
    cut = data(Given(series(0.5)), window=T)
    predictor = made(linear=True)
    found = evaluate_backtest(predictor, cut, 1)
    typical = typical_error(predictor, cut.windows["train"])
    assert found.typical_error == typical
    predictor.typical_error.fill_(typical)
    wide = [by_loop(predictor, cut.values, at) for at in found.test.origins.tolist()]
    errors = (found.test.prediction - found.test.truth).abs()[:, 0]
    held = errors <= torch.tensor(wide) * found.radius
    assert 0 < held.double().mean() < 1
    assert_close(found.coverage[0], held.double().mean())
