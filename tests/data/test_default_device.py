"""torch.set_default_device says where networks are made; series and the order of windows stay."""

import pytest
import torch
from ramp import data, same

from sinrnn import SinRNN, Windows
from sinrnn.data import synthetic
from sinrnn.data.samplers import StreamBatchSampler, WindowBatchSampler
from sinrnn.data.series import FileSeries
from sinrnn.training.loss import add_noise

GENERATED = ("Chirp", "Damped", "MackeyGlass", "Sine", "Square", "SumOfSines")
ORDERS = {
    "shuffled": lambda: WindowBatchSampler(10, 4, 1),
    "in order": lambda: WindowBatchSampler(10, 4, shuffle=False),
    "streams": lambda: StreamBatchSampler(40, 4, 3),
}


@pytest.fixture
def elsewhere():
    """The meta device, which is everywhere, and holds no numbers."""
    with torch.device("meta"):
        yield


def on_the_cpu(call):
    """What it gives without a default device, and with one."""
    with torch.device("cpu"):
        expected = call()
    same(call(), expected)


@pytest.mark.parametrize("noise", [0.0, 0.1])
@pytest.mark.parametrize("name", GENERATED)
def test_generated_series_are_on_the_cpu(elsewhere, name, noise):
    series = getattr(synthetic, name)(points=20, noise=noise)
    on_the_cpu(series.values)
    on_the_cpu(lambda: series.continued(30))
    on_the_cpu(lambda: series.noise_free(30))


@pytest.mark.parametrize("name", ORDERS)
def test_orders_are_on_the_cpu(elsewhere, name):
    on_the_cpu(lambda: torch.cat(list(ORDERS[name]())))


@pytest.mark.parametrize("options", [{}, {"batch_size": 0}, {"num_streams": 3}])
def test_windows_and_batches_are_on_the_cpu(elsewhere, options):
    series = synthetic.Sine(100, noise=0.1)

    def batches():  # a DataLoader draws a number on the default device, and the meta one has none
        made = data(series, **options)
        loaders = made.train_dataloader(), made.test_dataloader()
        return [[*loader.dataset[index]] for loader in loaders for index in loader.sampler]

    on_the_cpu(batches)
    on_the_cpu(lambda: list(Windows(series.values(), 4).sample(9)))


def test_noise_and_copies_of_a_network_are_where_the_network_is(elsewhere):
    with torch.device("cpu"):
        net, x = SinRNN(hidden_size=5, bias=True), torch.randn(9, 4, 1)
        y = torch.randn(9, 1)
    on_the_cpu(lambda: add_noise(x, 0.1, (1, 2)))
    on_the_cpu(lambda: dict(net.to_torch()[0].named_parameters()))
    with torch.device("cpu"):
        rnn, head = net.to_torch()
    on_the_cpu(lambda: dict(SinRNN.from_torch(rnn, head).named_parameters()))
    on_the_cpu(lambda: dict(SinRNN.from_torch(rnn).named_parameters()))

    def fitted():
        net.fit_readout(x, y)
        return net(x), *net.unroll(x, ahead=2), net.rollout(x, 2, window=3)

    on_the_cpu(fitted)


def test_files_are_on_the_cpu(elsewhere, tmp_path):
    (tmp_path / "wave.csv").write_text("5\n6\n7\n")
    on_the_cpu(FileSeries(tmp_path / "wave.csv").values)
