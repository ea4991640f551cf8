"""A Predictor: its units by hand, and that nothing of it is lost however it is stored or sent."""

import copy
import multiprocessing
import pickle
from functools import partial
from itertools import combinations

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from cases import BITS, assert_close, refuses
from lightning.pytorch.strategies import DDPStrategy
from torch.nn.utils import parametrizations, prune

from sinrnn import Forecaster, Predictor, SinRNN, WindowDataModule, Windows
from sinrnn.data.series import Series
from sinrnn.evaluation.backtest import evaluate_backtest
from sinrnn.evaluation.evaluate import predictions
from sinrnn.forecasting.units import UNITS
from sinrnn.training.checkpoint_io import CorruptCheckpointError, pack, read

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:GPU available but not used"),
    pytest.mark.filterwarnings("ignore:.*isinstance.treespec, LeafSpec"),
    pytest.mark.filterwarnings("ignore:.*no checkpoint callbacks.*"),
]
T = 6
OPTIONS = [
    dict.fromkeys(names, True)
    for count in range(len(UNITS) + 1)
    for names in combinations(UNITS, count)
]
EACH = pytest.mark.parametrize("options", OPTIONS, ids=lambda o: "-".join(o) or "own units")


class Wave(Series):
    """A sine with something beside it, far from zero where `mean` says so."""

    def __init__(self, mean=5.0, scale=1.0, points=200):
        self.mean, self.scale, self.points = mean, scale, points

    def values(self):
        i = torch.arange(self.points, dtype=torch.float64)
        return self.mean + self.scale * (torch.sin(0.3 * i) + torch.cos(i**2) / 10)


def windows(**options):
    return Windows(Wave(**options).values(), T)


def made(dtype=torch.float64, horizon=1, **options):
    """A calibrated predictor whose network says something."""
    net = SinRNN(hidden_size=7, bias=True, init="torch", dtype=dtype)
    predictor = Predictor(net, window=T, horizon=horizon, **options)
    predictor.calibrate(Windows(Wave().values(), T, horizon))
    net.set_readout(torch.randn(1, 7, dtype=dtype) / 3, torch.full((1,), 0.1, dtype=dtype))
    predictor.radius = torch.tensor([1.0, 2.0, torch.inf], dtype=torch.float64)
    predictor.coverage = torch.tensor([0.5, 0.75, 1.0], dtype=torch.float64)
    predictor.tested = torch.tensor([0.25, 0.5], dtype=torch.float64)
    return predictor


# Units


@EACH
def test_interval_is_around_what_error_is_from(options):
    predictor, center = made(**options), torch.tensor([0.5, 2.0, 7.0], dtype=torch.float64)
    radius = torch.tensor([0.1, 1.0, 9.0], dtype=torch.float64)
    for end in predictor.interval(center, radius):
        assert_close(predictor.error(end, center), radius)
        assert_close(predictor.error(center, end), radius)
    assert bool((predictor.interval(center, radius)[0] > 0).all()) is predictor.log


@EACH
def test_prediction_by_hand(options):
    predictor, found = made(**options), windows()
    x, _ = found[:5]
    v = x[..., 0].log() if predictor.log else x[..., 0]
    last = v[:, -1:] if predictor.relative else torch.zeros(5, 1)
    z = (v - last - predictor.mean) / predictor.scale
    y = predictor.net(z[..., None])[:, 0]
    if predictor.linear:
        y = y + z @ predictor.coefficients + predictor.intercept
    y = predictor.mean + predictor.scale * y + last[:, 0]
    assert_close(predictor(x), y.exp() if predictor.log else y)
    assert_close(predictor(x[..., 0]), predictor(x))


@EACH
def test_rollout_feeds_predictions_back(options):
    predictor, values = made(**options), Wave().values()[:50]
    known = values.tolist()
    for _ in range(9):
        known.append(predictor(torch.tensor([known[-T:]])).item())
    assert_close(predictor.rollout(values, 9), torch.tensor(known[50:]))
    both = predictor.rollout(torch.stack([values, values + 1]), 9)
    assert_close(both[0], predictor.rollout(values, 9))


@EACH
def test_backtest_and_forecast_are_in_the_series_units(options):
    predictor, values = made(**options), Wave().values()
    cut = WindowDataModule(Wave(), window=T)
    cut.setup()
    found = evaluate_backtest(predictor, cut, 3)
    at = found.test.origins
    rolled = predictor.rollout(values[at[:, None] + torch.arange(-T, 0)], 3)
    assert_close(found.test.prediction, rolled)
    predictor.radius, predictor.coverage = found.radius, found.coverage
    predictor.typical_error.fill_(found.typical_error)
    ends = [predictor.forecast(values[:end], 3) for end in at.tolist()]
    lower, upper = (torch.stack([getattr(e, name) for e in ends]) for name in ("lower", "upper"))
    came = values[at[:, None] + torch.arange(3)]
    held = ((lower <= came) & (came <= upper)).double().mean(0)
    assert_close(held, found.coverage)
    assert (lower < rolled).all()
    assert (rolled < upper).all()


@EACH
def test_encode_and_decode_are_each_others_inverse(options):
    predictor, (x, y) = made(**options), windows()[:5]
    _, target = predictor.encode(x, y)
    assert_close(predictor.decode(target, x), y)


def test_statistics_are_those_of_the_training_split():
    values = Wave().values()
    predictor = Predictor(SinRNN(), window=T, standardise=True)
    predictor.calibrate(Windows(values, T))
    assert_close((predictor.mean, predictor.scale), (values.mean(), values.std(correction=0)))


@pytest.mark.parametrize("value", [0.0, 2.0, 0.1, 0.7])  # of 0.1 the mean is not exactly 0.1
def test_constant_split_cannot_be_standardised(value):
    with refuses(ValueError, "standardise: the train split is constant, its deviation is 0"):
        Predictor(SinRNN(), window=T, standardise=True).calibrate(
            Windows(torch.full((60,), value), T)
        )


def test_deviation_that_float32_cannot_divide_by_is_refused():
    message = (
        "standardise: the train split's deviation is 1e-31, too small for float32: give the series "
        "in a smaller unit"
    )
    values = 1e-31 * (-1.0) ** torch.arange(100, dtype=torch.float64)
    with refuses(ValueError, message):
        Predictor(SinRNN(), window=T, standardise=True).calibrate(Windows(values, T))


def test_linear_part_is_the_forecast_that_the_network_starts_at_zero_beside():
    predictor, found = Predictor(SinRNN(hidden_size=7), window=T, linear=True), windows()
    predictor.calibrate(found)
    x, _ = found[:]
    expected = x[..., 0] @ predictor.coefficients + predictor.intercept
    assert_close(predictor(x), expected)
    predictor.calibrate(found)  # again, and not what is left over by the first time
    assert_close(predictor(x), expected)


def test_relative_lets_level_pass():
    predictor, (x, _) = made(relative=True, standardise=True), windows()[:5]
    assert_close(predictor(x + 1000) - 1000, predictor(x))


@pytest.mark.parametrize("linear", [False, True])
def test_relative_windows_are_read_within_the_reach_of_the_training_split(linear):
    predictor, (x, _) = made(relative=True, linear=linear), windows()[:]
    low, high = predictor.reach
    assert_close(predictor.reach, torch.stack((x - x[:, -1:]).aminmax()))
    wild, tame = x[:5].clone(), x[:5].clone()
    wild[:, 0], wild[:, 2] = 1e6, -1e6
    tame[:, 0], tame[:, 2] = x[:5, -1] + high, x[:5, -1] + low
    assert_close(predictor(wild), predictor(tame))
    assert (predictor(wild) - predictor(x[:5])).abs().max() > 1e-3
    assert not len(made(linear=linear).reach)


def test_log_lets_scale_pass_where_relative():
    predictor, (x, _) = made(relative=True, log=True), windows()[:5]
    assert_close(predictor(x * 7) / 7, predictor(x))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_prediction_has_the_dtype_of_the_windows(dtype):
    assert made(standardise=True)(windows()[:5][0].to(dtype)).dtype == dtype


def test_bad_values_are_refused():
    with refuses(ValueError, "log needs values above 0, got -5"):
        made(log=True)(torch.full((1, T, 1), -5.0))
    with refuses(ValueError, f"windows must be of {T} samples, got (1, 5, 1)"):
        made()(torch.ones(1, 5, 1))
    with refuses(ValueError, "window must be at least 1 step, got 0"):
        Predictor(SinRNN(), window=0)
    with refuses(TypeError, "net must be a SinRNN, got Linear"):
        Predictor(torch.nn.Linear(1, 1), window=4)
    with pytest.raises(
        ValueError, match="linear needs windows, which a stateful predictor does not read"
    ):
        Predictor(SinRNN(), window=4, linear=True, stateful=True)
    with pytest.raises(ValueError, match="input_size and output_size must be 1, got 2 and 1"):
        Predictor(SinRNN(2), window=4, standardise=True)
    with refuses(ValueError, "a rollout needs a network of horizon 1, got 3"):
        made(horizon=3).rollout(Wave().values(), 4)


# However it is stored or sent


def same(one, other):
    """Both predict to the same bits, and know as much."""
    values = Wave().values()[:50]
    torch.testing.assert_close(other.rollout(values, 50), one.rollout(values, 50), **BITS)
    assert other.get_extra_state() == one.get_extra_state()
    torch.testing.assert_close(dict(other.named_buffers()), dict(one.named_buffers()), **BITS)


def through_a_file(predictor, path):
    predictor.save(path)
    return Predictor.load(path)


def through_a_state_dict(predictor, path):
    torch.save(predictor.state_dict(), path)
    other = Predictor(SinRNN(hidden_size=7, bias=True), window=None)
    other.load_state_dict(torch.load(path, weights_only=True))
    return other


WAYS = {
    "safetensors": through_a_file,
    "state_dict": through_a_state_dict,
    "pickle": lambda predictor, path: pickle.loads(pickle.dumps(predictor)),
    "deepcopy": lambda predictor, path: copy.deepcopy(predictor),
    "copy": lambda predictor, path: predictor.copy(),
}


@EACH
@pytest.mark.parametrize("way", WAYS)
def test_nothing_is_lost(tmp_path, way, options):
    predictor = made(**options)
    same(predictor, WAYS[way](predictor, tmp_path / "a"))


def test_units_stay_float64_where_the_network_is_not():
    predictor = made(standardise=True, linear=True)
    mean = predictor.mean.clone()
    predictor.to(torch.bfloat16)
    assert predictor.net.Whh.dtype == torch.bfloat16
    assert {b.dtype for b in predictor.buffers()} == {torch.float64}
    torch.testing.assert_close(predictor.half().mean, mean, **BITS)


def test_cell_reads_a_file_in_its_own_units_and_refuses_another(tmp_path):
    plain, other = made(), made(standardise=True, log=True)
    plain.save(tmp_path / "plain.safetensors")
    found = SinRNN.load(tmp_path / "plain.safetensors")
    torch.testing.assert_close(found.state_dict(), plain.net.state_dict(), **BITS)
    other.save(tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match=r"standardise, log\): use Predictor\.load"):
        SinRNN.load(tmp_path / "other.safetensors")


@pytest.mark.parametrize(
    ("name", "bad", "message"),
    [
        ("scale", torch.tensor(0.0), "its scale must be above 0, its radius at least 0"),
        ("radius", torch.tensor([-1.0]), "its scale must be above 0, its radius at least 0"),
        (
            "coefficients",
            torch.ones(T - 1),
            f"its coefficients must be {T}, one for each sample",
        ),
        ("coverage", torch.tensor([0.9, 1.1, 0.5]), "its coverage must be from 0 to 1"),
        ("coverage", torch.ones(2), "its coverage must have the 3 steps of its radius, got 2"),
        ("seen", torch.ones(3), "its seen must be two numbers, or none"),
    ],
)
def test_state_dict_with_numbers_that_make_no_sense_is_refused(name, bad, message):
    state = made(linear=True).state_dict() | {name: bad}
    with pytest.raises(ValueError, match=message):
        made(linear=True).load_state_dict(state)


# Through training


def trainer(**options):
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False}
    return pl.Trainer(accelerator="cpu", num_sanity_val_steps=0, **quiet | options)


def trained(tmp_path, horizon=1, data=None, **options):
    """A model after two epochs, and its checkpoint."""
    adam = partial(torch.optim.Adam, lr=0.01)
    model = Forecaster(hidden_size=7, bias=True, optimizer=adam, **options)
    fit = trainer(max_epochs=2, enable_checkpointing=False)
    fit.fit(model, data or WindowDataModule(Wave(), window=T, horizon=horizon))
    fit.save_checkpoint(tmp_path / "a.ckpt")
    return model, tmp_path / "a.ckpt"


@pytest.mark.parametrize("options", [{}, {"standardise": True}, {"linear": True, "log": True}])
def test_loaded_model_rolls_out_to_the_same_bits(tmp_path, options):
    model, path = trained(tmp_path, **options)
    other = Forecaster.load_from_checkpoint(path)
    same(model.predictor, other.predictor)
    same(model.predictor, copy.deepcopy(model).predictor)
    assert other.predictor.window == T


def test_loaded_model_keeps_its_horizon(tmp_path):
    _, path = trained(tmp_path, horizon=3)
    assert Forecaster.load_from_checkpoint(path).predictor.horizon == 3


@pytest.mark.process
def test_model_trained_in_other_processes_comes_back_whole(tmp_path):
    """As ddp_spawn sends it, pickled, to processes that are forked from one with the imports."""
    multiprocessing.set_forkserver_preload(["sinrnn.training.forecaster"])
    strategy = DDPStrategy(start_method="forkserver")
    torch.set_default_dtype(torch.float32)  # as other processes have it
    model = Forecaster(hidden_size=7, standardise=True)
    data = WindowDataModule(Wave(), window=T)
    made = trainer(max_epochs=1, strategy=strategy, devices=2, enable_checkpointing=False)
    made.fit(model, data)
    data.setup()
    assert model.predictor.window == T
    assert model.predictor.calibrated
    assert_close(model.predictor.mean, data.windows["train"].values.mean())
    assert model.predictor.rollout(Wave().values(), 5).isfinite().all()


def test_testing_on_other_data_changes_nothing(tmp_path):
    model, _ = trained(tmp_path, standardise=True)
    before = copy.deepcopy(model.predictor)
    found = trainer().test(model, WindowDataModule(Wave(50.0), window=T), verbose=False)
    same(before, model.predictor)
    other = WindowDataModule(Wave(50.0), window=T)
    other.setup()
    y = other.windows["test"].targets
    wanted = (predictions(before, other)["test"] - y).square().mean() / 2
    assert found[0]["half_mse/test"] == pytest.approx(wanted.item(), rel=1e-9)
    assert wanted > 1  # nothing is learnt of values there


@pytest.mark.parametrize("options", [{"window": 9}, {"window": T, "horizon": 2}])
def test_data_of_another_kind_is_refused_with_both_numbers(tmp_path, options):
    model, _ = trained(tmp_path)
    data = WindowDataModule(Wave(), **options)
    with pytest.raises(ValueError, match=f"the model has window {T} and horizon 1, the data has "):
        trainer().test(model, data, verbose=False)


def best(model, data):
    """half_mse on the validation split."""
    found = predictions(model.predictor, data, ("val",))["val"]
    return ((found - data.windows["val"].targets).square().mean() / 2).item()


def test_pascals_are_learnt_as_well_as_other_units(tmp_path):
    """0.1 sin + 101325: the mean is taken off in float64, before anything becomes float32."""
    torch.set_default_dtype(torch.float32)
    losses = []
    for mean, scale in ((101_325.0, 0.1), (0.0, 0.1)):
        torch.manual_seed(0)
        data = WindowDataModule(Wave(mean, scale), window=T)
        model, _ = trained(tmp_path, data=data, standardise=True)
        losses.append(best(model, data))
    assert losses[0] == pytest.approx(losses[1], rel=0.01)


@pytest.mark.filterwarnings("ignore:.*bf16.*")
def test_half_precision_keeps_the_mean(tmp_path):
    torch.set_default_dtype(torch.float32)
    data = WindowDataModule(Wave(1013.0), window=T)
    adam = partial(torch.optim.Adam, lr=0.02)
    model = Forecaster(hidden_size=7, bias=True, standardise=True, optimizer=adam)
    fit = trainer(max_epochs=8, precision="bf16-true", enable_checkpointing=False)
    fit.fit(model, data)
    assert model.net.Whh.dtype == torch.bfloat16
    assert_close(model.predictor.mean, data.windows["train"].values.mean())
    variance = data.windows["val"].targets.var(correction=0).item() / 2
    assert best(model, data) < variance


def test_checkpoint_with_a_window_that_makes_no_sense_is_refused(tmp_path):
    _, path = trained(tmp_path)
    content = read(path, checked=False)
    content["state_dict"]["predictor._extra_state"]["window"] = "os.system"
    path.write_bytes(pack(content))
    with pytest.raises(CorruptCheckpointError, match=r"its window is .os\.system"):
        Forecaster.load_from_checkpoint(path)


# Hooks and parametrizations


def test_hooks_stay_where_they_are(tmp_path):
    predictor, calls = made(), []
    predictor.net.register_forward_hook(lambda *args: calls.append(1))
    predictor(windows()[:5][0])
    other = predictor.copy()
    other(windows()[:5][0])
    through_a_file(predictor, tmp_path / "a")(windows()[:5][0])
    assert len(calls) == 1


PARAMETRIZED = {
    "weight_norm": lambda net: parametrizations.weight_norm(net, "Wih"),
    "spectral_norm": lambda net: parametrizations.spectral_norm(net, "Whh"),
    "orthogonal": lambda net: parametrizations.orthogonal(net, "Whh"),
    "prune": lambda net: prune.l1_unstructured(net, "Who", 2),
}


@pytest.mark.parametrize("kind", PARAMETRIZED)
def test_effective_weights_are_saved(tmp_path, kind):
    predictor, (x, _) = made(standardise=True), windows()[:5]
    PARAMETRIZED[kind](predictor.net)
    predictor.eval()
    expected = predictor(x)
    assert_close(through_a_file(predictor, tmp_path / "a")(x), expected)
    assert_close(predictor.copy()(x), expected)


def test_readout_is_set_through_a_parametrization_or_refused():
    x, y = windows()[:]
    free = SinRNN(hidden_size=7, bias=True)
    free.fit_readout(x, y)
    for kind in ("weight_norm", "spectral_norm", "prune"):
        net = SinRNN(hidden_size=7, bias=True)
        with torch.no_grad():
            net.load_state_dict(free.state_dict())
            net.Who.fill_(1.0)
        {
            "weight_norm": partial(parametrizations.weight_norm, name="Who"),
            "spectral_norm": partial(parametrizations.spectral_norm, name="Who"),
            "prune": partial(prune.l1_unstructured, name="Who", amount=2),
        }[kind](net)
        before = net.Who.detach().clone()
        if kind == "weight_norm":
            net.fit_readout(x, y)
            assert_close(net.Who.detach(), free.Who.detach())
        else:
            with pytest.raises(ValueError, match=r"Who cannot be set: .*; remove that first"):
                net.fit_readout(x, y)
            torch.testing.assert_close(net.Who.detach(), before, **BITS)


def test_weights_are_drawn_anew_through_a_parametrization():
    net = SinRNN(hidden_size=7)
    parametrizations.weight_norm(net, "Wih")
    before = net.Wih.detach().clone()
    net.reset_parameters()
    assert (net.Wih.detach() - before).norm() > 0.1


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([[0.0] * T], "must be a tensor, got list"),
        (np.zeros((1, T)), "must be a tensor, got ndarray"),
        (torch.zeros(1, T).to_sparse(), "must be a dense tensor of real numbers, got torch.sparse"),
        (torch.zeros(1, T) + 1j, "must be a dense tensor of real numbers, got torch.strided"),
    ],
    ids=["list", "array", "sparse", "complex"],
)
def test_what_is_no_dense_tensor_is_refused(given, said):
    predictor = made()
    with pytest.raises(TypeError, match=f"windows {said}"):
        predictor(given)
    with pytest.raises(TypeError, match=f"values {said}"):
        predictor.rollout(given, 3)
