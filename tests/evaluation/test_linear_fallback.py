"""A network is kept where validation says so surely, and else the linear forecast it began as."""

import pytest
import torch
from cases import BITS, predictor

from sinrnn import Predictor, SinRNN, Windows
from sinrnn.evaluation.linear_fallback import MIN_GAIN, MIN_WINDOWS, keep_if_better, linear_start

T = 4
STARTED = "the forecast is that of the linear part"


def given(points=80):
    """Repeats x -> 1 - 1.9 x^2, of which a linear forecast knows nothing."""
    x = [0.3]
    for _ in range(points - 1):
        x.append(1 - 1.9 * x[-1] ** 2)
    return Windows(torch.tensor(x), T)


def trained(windows, share, bias=True):
    """A linear predictor whose readout was solved for what that leaves over, in part."""
    made = Predictor(SinRNN(hidden_size=16, bias=bias, init="torch"), window=T, linear=True)
    made.calibrate(windows)
    x, y = windows[:]
    made.net.fit_readout(*made.encode(x, y))
    with torch.no_grad():
        made.net.Who.mul_(share)
        if bias:
            made.net.bo.mul_(share)
    return made


@pytest.mark.parametrize("bias", [True, False])
def test_sure_gain_is_kept(bias):
    made = trained(given(), 0.5, bias)
    assert keep_if_better(made, given()) == (made, "")


@pytest.mark.parametrize("bias", [True, False])
def test_loss_gives_the_linear_start(bias):
    windows = given()
    made = trained(windows, -0.5, bias)
    found, said = keep_if_better(made, windows)
    x, _ = windows[:]
    start = Predictor(SinRNN(hidden_size=16, bias=bias), window=T, linear=True)
    start.calibrate(windows)
    torch.testing.assert_close(found(x), start(x), **BITS)
    torch.testing.assert_close(linear_start(made)(x), start(x), **BITS)
    assert made.net.Who.any()  # what was trained is left as it is
    assert said == f"left out: on the validation split it gained nothing; {STARTED}"
    torch.testing.assert_close(found.net.Whh, made.net.Whh, **BITS)


def test_gain_counts_from_half_a_standard_error():
    windows, found = given(), {}
    x, y = windows[:]
    for share in torch.linspace(-0.1, 2.5, 105).tolist():
        made = trained(windows, share)
        before, after = ((each(x) - y[:, 0]).square() for each in (linear_start(made), made))
        gain = before - after
        error = gain.std() / len(x) ** 0.5
        wanted = gain.mean() > MIN_GAIN * error
        found.setdefault((gain.mean() > 0).item(), set()).add(wanted.item())
        predictor, said = keep_if_better(made, windows)
        assert (predictor is made) == wanted
        if 0 < gain.mean() <= MIN_GAIN * error:
            share, doubt = (part / before.mean() for part in (gain.mean(), error))
            assert f" it gained {share:.1%}, with a standard error of {doubt:.1%}; the " in said
    assert found == {True: {True, False}, False: {False}}


@pytest.mark.parametrize("count", [MIN_WINDOWS - 1, MIN_WINDOWS])
def test_few_windows_cannot_tell(count):
    made, few = trained(given(), 0.5), given(count + T)
    assert len(few) == count
    found, said = keep_if_better(made, few)
    assert (found is made) == (count == MIN_WINDOWS)
    assert said.startswith(f"left out: {count} validation windows cannot tell") == (
        count < MIN_WINDOWS
    )


@pytest.mark.parametrize("count", [5, 80])
def test_predictor_without_a_linear_part_is_kept(count):
    made = predictor(SinRNN(hidden_size=5), T)
    assert keep_if_better(made, given(count)) == (made, "")
