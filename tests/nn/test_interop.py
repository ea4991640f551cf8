"""A SinRNN as a file, and as torch's own modules."""

import json

import pytest
import torch
from cases import BITS, B, D, H, K, O, T, assert_close, refuses
from safetensors.torch import save_file
from torch import nn

from sinrnn import Predictor, SinRNN
from sinrnn.nn._interop import checksum

BIAS = pytest.mark.parametrize("bias", [True, False])
ABOUT = {"format": 3, "bptt_steps": None, "init": "orthogonal"}


def sealed(tensors, about):
    """The metadata's text, with a checksum that fits."""
    return json.dumps(about | {"sha256": checksum(tensors, about)})


@BIAS
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("bptt_steps", "init"),
    [(None, "orthogonal"), (K, "torch"), (1, "notebook")],
)
def test_load_gives_back_what_save_took(tmp_path, bias, dtype, bptt_steps, init):
    net = SinRNN(D, H, O, bias=bias, bptt_steps=bptt_steps, init=init, dtype=dtype)
    net.save(tmp_path / "net.safetensors")
    other = SinRNN.load(tmp_path / "net.safetensors")

    torch.testing.assert_close(other.state_dict(), net.state_dict(), **BITS)
    assert repr(other) == repr(net)
    x = torch.randn(B, T, D, dtype=dtype)
    torch.testing.assert_close(other(x), net(x), **BITS)


def test_save_puts_a_new_file_in_place_of_the_old(tmp_path):
    path, old = tmp_path / "net.safetensors", tmp_path / "old.safetensors"
    SinRNN(D, H, O).save(path)
    before = path.read_bytes()
    old.hardlink_to(path)  # sees whatever is written into the old file
    net = SinRNN(D, H, O)
    net.save(str(path))
    torch.testing.assert_close(SinRNN.load(str(path)).state_dict(), net.state_dict(), **BITS)
    assert old.read_bytes() == before
    assert {entry.name for entry in tmp_path.iterdir()} == {path.name, old.name}


def test_subclass_loads_as_itself(tmp_path):
    class Mine(SinRNN):
        pass

    SinRNN(D, H, O).save(tmp_path / "net.safetensors")
    assert type(Mine.load(tmp_path / "net.safetensors")) is Mine


def test_load_of_a_missing_file_says_so(tmp_path):
    path = tmp_path / "none.safetensors"
    with refuses(FileNotFoundError, f"{path} does not exist"):
        SinRNN.load(path)


def test_load_of_a_folder_says_so(tmp_path):
    with refuses(ValueError, f"{tmp_path} is a folder: name a file in it"):
        SinRNN.load(tmp_path)


def refused(path):
    """Why load refuses the file at path: what it says after the file's name."""
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the message is taken apart below
        SinRNN.load(path)
    message = str(caught.value)
    assert caught.type is ValueError
    assert "\n" not in message
    found = message.removeprefix(f"{path} is not a SinRNN file: ")
    assert found not in ("", message)
    return found


@pytest.mark.parametrize("keep", [0, 4, 100, -1], ids="keeps {}".format)
def test_load_of_a_truncated_file_is_refused(tmp_path, keep):
    path = tmp_path / "net.safetensors"
    SinRNN(D, H, O).save(path)
    path.write_bytes(path.read_bytes()[:keep])
    refused(path)


def test_load_of_what_is_no_safetensors_file_is_refused(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("a few notes\non several lines\n")
    refused(path)
    torch.save(SinRNN(D, H, O).state_dict(), path)
    refused(path)


@pytest.mark.parametrize(
    ("tensors", "about"),
    [
        ({"weight": torch.zeros(3)}, None),
        ({"weight": torch.zeros(3)}, json.dumps(ABOUT)),
        (SinRNN(D, H, O).state_dict(), None),
        (SinRNN(D, H, O).state_dict(), "not json"),
        (SinRNN(D, H, O).state_dict(), "[1, 2]"),
        (SinRNN(D, H, O).state_dict() | {"bh": torch.zeros(H)}, json.dumps(ABOUT)),
        (SinRNN(D, H, O).state_dict() | {"Whh": torch.zeros(H, D)}, json.dumps(ABOUT)),
        (SinRNN(D, H, O).state_dict() | {"Wih": torch.zeros(H)}, json.dumps(ABOUT)),
    ],
)
def test_load_of_another_safetensors_file_is_refused(tmp_path, tensors, about):
    path = tmp_path / "other.safetensors"
    if about == json.dumps(ABOUT):
        about = sealed(tensors, ABOUT)
    save_file(tensors, path, metadata=None if about is None else {"sinrnn": about})
    assert "checksum" not in refused(path)


@pytest.mark.parametrize(
    "lie",
    [{"format": None}, {"bptt_steps": 0}, {"bptt_steps": 2.5}, {"init": "he"}, {"units": "log"}],
    ids=lambda lie: json.dumps(lie)[:30],
)
def test_load_of_a_file_that_no_save_wrote_is_refused(tmp_path, lie):
    path, weights = tmp_path / "net.safetensors", SinRNN(D, H, O).state_dict()
    save_file(weights, path, metadata={"sinrnn": sealed(weights, ABOUT | lie)})
    assert "checksum" not in refused(path)


@pytest.mark.parametrize("number", [2, 4])
def test_load_of_another_format_says_which(tmp_path, number):
    path, weights = tmp_path / "net.safetensors", SinRNN(D, H, O).state_dict()
    about = sealed(weights, ABOUT | {"format": number})
    save_file(weights, path, metadata={"sinrnn": about})
    assert refused(path) == (
        f"its format is {number}, this sinrnn reads 3: train it again, or use the version that "
        "wrote it"
    )


@pytest.mark.parametrize("name", ["Wih", "Whh", "Who"])
def test_load_notices_one_bit_of_one_weight(tmp_path, name):
    path, weights = tmp_path / "net.safetensors", SinRNN(D, H, O).state_dict()
    about = sealed(weights, ABOUT)
    save_file(weights, path, metadata={"sinrnn": about})
    SinRNN.load(path)
    weights[name].view(torch.int64).view(-1)[-1] ^= 1
    save_file(weights, path, metadata={"sinrnn": about})
    assert refused(path) == "its checksum does not match"


@pytest.mark.parametrize("change", [{"bptt_steps": 3}, {"units": "log"}, {"more": 1}])
def test_load_notices_changed_metadata(tmp_path, change):
    path, weights = tmp_path / "net.safetensors", SinRNN(D, H, O).state_dict()
    about = json.loads(sealed(weights, ABOUT)) | change
    save_file(weights, path, metadata={"sinrnn": json.dumps(about)})
    assert refused(path) == "its checksum does not match"


def test_load_without_a_checksum_is_refused(tmp_path):
    path, weights = tmp_path / "net.safetensors", SinRNN(D, H, O).state_dict()
    save_file(weights, path, metadata={"sinrnn": json.dumps(ABOUT)})
    assert refused(path) == "its checksum is missing"


# torch's own modules


@BIAS
@pytest.mark.parametrize("head", [None, True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_from_torch_is_the_same_function(bias, head, dtype):
    rnn = nn.RNN(D, H, bias=bias, batch_first=True, dtype=dtype)
    readout = None if head is None else nn.Linear(H, O, bias=head, dtype=dtype)
    net = SinRNN.from_torch(rnn, readout)

    x, h0 = torch.randn(B, T, D, dtype=dtype), torch.randn(B, H, dtype=dtype)
    h, _ = rnn(x, h0[None])
    assert_close(net.unroll(x, h0), (h, h if readout is None else readout(h)))


@BIAS
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_to_torch_is_the_same_function_and_comes_back_to_the_bit(bias, dtype):
    net = SinRNN(D, H, O, bias=bias, init="torch", dtype=dtype)
    rnn, head = net.to_torch()

    x, h0 = torch.randn(B, T, D, dtype=dtype), torch.randn(B, H, dtype=dtype)
    h, _ = rnn(x, h0[None])
    assert_close((h, head(h)), net.unroll(x, h0))
    back = SinRNN.from_torch(rnn, head)
    torch.testing.assert_close(back.state_dict(), net.state_dict(), **BITS)


def test_torch_modules_are_copies():
    net = SinRNN(D, H, O, bias=True, init="torch")
    modules = net.to_torch()
    back = SinRNN.from_torch(*modules)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.zero_()
        for parameter in back.parameters():
            assert parameter.any()
            parameter.zero_()
    for module in modules:
        assert all(p.any() for n, p in module.named_parameters() if n != "bias_hh_l0")


@pytest.mark.parametrize(
    ("other", "named"),
    [
        (nn.RNN(D, H, num_layers=2), "num_layers=2"),
        (nn.RNN(D, H, bidirectional=True), "bidirectional=True"),
        (nn.RNN(D, H, nonlinearity="relu"), "nonlinearity='relu'"),
        (nn.RNN(D, H, 2, bidirectional=True), "num_layers=2, bidirectional=True"),
        (nn.GRU(D, H), "GRU"),
        (nn.LSTM(D, H), "LSTM"),
        (nn.LSTM(D, H, proj_size=2), "LSTM, proj_size=2"),
    ],
)
def test_from_torch_refuses_other_networks_by_name(other, named):
    with refuses(ValueError, f"SinRNN is one tanh layer in one direction, got {named}"):
        SinRNN.from_torch(other)


def test_from_torch_refuses_what_is_no_module_of_that_kind():
    with refuses(TypeError, "rnn must be a torch.nn.RNN, got RNNCell"):
        SinRNN.from_torch(nn.RNNCell(D, H))
    with refuses(TypeError, "head must be a torch.nn.Linear or None, got Sequential"):
        SinRNN.from_torch(nn.RNN(D, H), nn.Sequential(nn.Linear(H, O)))


def test_torch_bits_survive_the_way_there_and_back():
    # Two biases become their sum, so it is the sums that come back.
    rnn, head = nn.RNN(D, H, batch_first=True), nn.Linear(H, O)
    there, readout = SinRNN.from_torch(rnn, head).to_torch()
    state, back = rnn.state_dict(), there.state_dict()
    for name in ("weight_ih_l0", "weight_hh_l0"):
        torch.testing.assert_close(back[name], state[name], **BITS)
    sums = [biases["bias_ih_l0"] + biases["bias_hh_l0"] for biases in (state, back)]
    torch.testing.assert_close(sums[1], sums[0], **BITS)
    torch.testing.assert_close(readout.state_dict(), head.state_dict(), **BITS)


def test_loaded_tensors_are_aligned_whatever_the_header_says(tmp_path):
    net, path = SinRNN(D, H, O), tmp_path / "net.safetensors"
    for init in ("torch", "notebook", "orthogonal"):  # headers of other lengths
        net.init = init
        net.save(path)
        for weight in SinRNN.load(path).parameters():
            assert weight.data_ptr() % 64 == 0, init


def test_from_torch_refuses_a_head_that_does_not_fit():
    with refuses(ValueError, "head must read the 5 hidden units, got 6"):
        SinRNN.from_torch(nn.RNN(D, H), nn.Linear(H + 1, O))


def test_load_draws_no_random_numbers(tmp_path):
    path = tmp_path / "net.safetensors"
    SinRNN().save(path)
    before = torch.get_rng_state()
    net = SinRNN.load(path)
    assert torch.equal(torch.get_rng_state(), before)
    assert all(weight.requires_grad for weight in net.parameters())


STORED = {
    "transposed": lambda w: w.t().contiguous().t(),
    "strided": lambda w: torch.stack([w, -w], -1)[..., 0],
    "expanded": lambda w: w[:1, :1].expand(w.shape),
    "a part of more": lambda w: torch.cat([w, w])[: len(w)],
}


@pytest.mark.parametrize("name", STORED)
@pytest.mark.parametrize("kind", [SinRNN, Predictor])
def test_weights_are_saved_however_they_lie_in_memory(tmp_path, name, kind):
    net = SinRNN(hidden_size=H)
    net.Whh = torch.nn.Parameter(STORED[name](net.Whh.detach()))
    saved = net if kind is SinRNN else Predictor(net, window=T)
    saved.save(tmp_path / "net.safetensors")
    loaded = kind.load(tmp_path / "net.safetensors")
    torch.testing.assert_close(dict(loaded.state_dict()), dict(saved.state_dict()), **BITS)


def test_tied_weights_are_saved_as_they_act(tmp_path):
    net = SinRNN(hidden_size=H, output_size=H)
    net.Who = net.Whh
    net.save(tmp_path / "net.safetensors")
    loaded = SinRNN.load(tmp_path / "net.safetensors")
    torch.testing.assert_close(loaded.Who, net.Whh, **BITS)
    torch.testing.assert_close(loaded.Whh, net.Whh, **BITS)
