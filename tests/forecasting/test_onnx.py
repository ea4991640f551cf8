"""The ONNX file beside the network it was made of, run by ONNX Runtime."""

import doctest
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import programs
import pytest
import torch
from cases import BITS, B, D, H, O, T, predictor, refuses

import sinrnn
from sinrnn import Predictor, SinRNN
from sinrnn.cli.export import main
from sinrnn.forecasting import onnx

onnx_package = pytest.importorskip("onnx", reason="ONNX files need onnx: sinrnn[onnx]")
runtime = pytest.importorskip("onnxruntime", reason="they are run by onnxruntime: sinrnn[onnx]")

pytestmark = pytest.mark.extra
ROOT = Path(__file__).parents[2]
STEPS = 1000
NEAR = {"rtol": 0, "atol": 1e-6}  # some roundings of float32 at values up to 1
BIAS = pytest.mark.parametrize("bias", [True, False])


def network(D=D, H=H, O=O, *, bias=True, dtype=torch.float32, shrink=0.9):  # noqa: E741
    """A network in float32 whose states, where shrink is below 1, forget what rounding did."""
    net = SinRNN(D, H, O, bias=bias, dtype=dtype).requires_grad_(False)
    net.Whh *= shrink
    if bias:
        net.bh.normal_(std=0.3)
        net.bo.normal_()
    return net


def session(net):
    """The network's graph in ONNX Runtime."""
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    content = onnx.model(net).SerializeToString()
    return runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def run(session, x, h0):
    """y (B, O) and h_n (B, H), as tensors."""
    given = {"x": x.numpy(), "h0": h0.numpy()}
    return [torch.from_numpy(found) for found in session.run(["y", "h_n"], given)]


def series(B, T, D):
    """Sines of all phases, (B, T, D)."""
    return torch.sin(torch.arange(T)[:, None] / 5 + torch.rand(B, 1, D) * 6).float()


# The graph


@BIAS
def test_graph_is_one_rnn_and_one_gemm(bias):
    made = onnx.model(network(bias=bias))
    onnx_package.checker.check_model(made, full_check=True)
    nodes = [node.op_type for node in made.graph.node]
    assert nodes == ["Transpose", "Unsqueeze", "RNN", "Squeeze", "Gemm"]
    stored = {tensor.name for tensor in made.graph.initializer}
    assert stored == {"W", "R", "Who", "axis"} | ({"B", "bo"} if bias else set())
    assert (made.ir_version, [(o.domain, o.version) for o in made.opset_import]) == (10, [("", 17)])


def test_graph_tells_names_shapes_and_units():
    made = onnx.model(network())
    told = {
        value.name: (
            [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim],
            value.doc_string,
        )
        for value in [*made.graph.input, *made.graph.output]
    }
    assert told == {
        "x": (["batch", "time", D], "Samples, in the series' own units, (batch, time, 2)"),
        "h0": (["batch", H], "State before the first sample; zeros at the start, (batch, 5)"),
        "y": (["batch", O], "Output after the last sample, in the series' own units, (batch, 3)"),
        "h_n": (["batch", H], "State after the last sample: the h0 of the next call, (batch, 5)"),
    }
    assert {value.type.tensor_type.elem_type for value in made.graph.input} == {1}  # float32


def test_metadata_tells_how_the_network_is_used():
    net = predictor(network(D=1, O=1), 11, 2, stateful=True, scaling=(3.0, 0.25))
    made = onnx.model(net)
    assert (made.producer_name, made.producer_version) == ("sinrnn", sinrnn.__version__)
    (entry,) = made.metadata_props
    assert entry.key == "sinrnn"
    about = {"window": 11, "horizon": 2, "stateful": True, "mean": 3.0, "scale": 0.25}
    assert json.loads(entry.value) == about
    assert session(net).get_modelmeta().custom_metadata_map == {"sinrnn": entry.value}


# What it computes


@BIAS
def test_one_graph_reads_any_batch_and_window(bias):
    net = network(bias=bias)
    ran = session(net)
    for batch in (1, B, 32):
        for steps in (1, 2, T, 100, STEPS):
            x, h0 = series(batch, steps, D), torch.rand(batch, H).float() - 0.5
            y, h_n = run(ran, x, h0)
            h, outputs = net.unroll(x, h0)
            torch.testing.assert_close(y, outputs[:, -1], **NEAR)
            torch.testing.assert_close(h_n, h[:, -1], **NEAR)


@BIAS
@pytest.mark.parametrize("batch", [1, B])
@pytest.mark.parametrize(("D", "H", "O"), [(D, H, O), (1, 50, 1), (4, 64, 2)])
def test_stream_of_single_samples_is_unroll(bias, batch, D, H, O):  # noqa: E741
    net = network(D, H, O, bias=bias)
    ran, x = session(net), series(batch, STEPS, D)
    h = torch.zeros(batch, H, dtype=torch.float32)
    states, outputs = [], []
    for sample in x.split(1, 1):
        y, h = run(ran, sample, h)
        states.append(h)
        outputs.append(y)
    expected_h, expected_y = net.unroll(x)
    torch.testing.assert_close(torch.stack(states, 1), expected_h, **NEAR)
    torch.testing.assert_close(torch.stack(outputs, 1), expected_y, **NEAR)


# A loop that comes to rest forgets what rounding did; one that swings on keeps its shift of phase,
# 5e-6 of what swings between -0.4 and 0.4.
@pytest.mark.parametrize("batch", [1, B])
@pytest.mark.parametrize(
    ("shrink", "bias", "near"), [(0.9, True, 1e-6), (0.9, False, 1e-6), (1.1, False, 5e-5)]
)
def test_closed_loop_is_rollout(shrink, bias, near, batch):
    net, x = network(D, H, D, bias=bias, shrink=shrink), series(batch, 30, D)
    ran = session(net)
    y, h = run(ran, x, torch.zeros(batch, H, dtype=torch.float32))
    outputs = [y]
    for _ in range(STEPS - 1):
        y, h = run(ran, y[:, None], h)
        outputs.append(y)
    rolled = net.rollout(x, STEPS)
    assert (rolled[:, -100:].std(1).max() > 0.1) == (shrink > 1)
    torch.testing.assert_close(torch.stack(outputs, 1), rolled, rtol=0, atol=near)


def test_closed_loop_of_windows_is_rollout():
    net = network(D, H, D)
    ran, x = session(net), series(B, T, D)
    zeros, known = torch.zeros(B, H, dtype=torch.float32), list(x.unbind(1))
    for _ in range(STEPS):
        known.append(run(ran, torch.stack(known[-T:], 1), zeros)[0])
    torch.testing.assert_close(torch.stack(known[T:], 1), net.rollout(x, STEPS, window=T), **NEAR)


def test_scaling_is_in_the_weights():
    net, x = network(1, H, 1), series(B, T, 1)
    ran = session(predictor(net, T, scaling=(3.0, 4.0)))
    found = run(ran, 3 + 4 * x, torch.zeros(B, H, dtype=torch.float32))[0]
    torch.testing.assert_close(found, 3 + 4 * net(x), rtol=0, atol=1e-5)


@pytest.mark.parametrize("standardise", [False, True])
@pytest.mark.parametrize("units", [*"log relative linear".split(), "log relative", "log linear"])
def test_units_that_a_graph_has_not_are_refused_by_name(units, standardise):
    options = dict.fromkeys(units.split(), True)
    made = Predictor(SinRNN(), window=T, standardise=standardise, **options)
    message = f"ONNX export does not support {' and '.join(options)}: train without"
    with refuses(ValueError, message):
        onnx.model(made)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_other_precisions_are_rounded_to_float32(dtype):
    net, x = network(dtype=dtype), series(B, T, D)
    y, _ = run(session(net), x, torch.zeros(B, H, dtype=torch.float32))
    assert y.dtype == torch.float32
    torch.testing.assert_close(y, net.float()(x), **NEAR)


def test_float32_weights_keep_every_bit():
    net = network()
    stored = {t.name: t for t in onnx.model(net).graph.initializer}
    for name, weight in {"W": net.Wih[None], "R": net.Whh[None], "Who": net.Who}.items():
        found = torch.tensor(onnx_package.numpy_helper.to_array(stored[name]))
        torch.testing.assert_close(found, weight, **BITS)


# The file


def test_file_is_small_and_whole(tmp_path):
    path = tmp_path / "net.onnx"
    path.write_text("before")
    net = SinRNN()
    onnx.save(net, path)
    assert 10_000 < path.stat().st_size < 20_000
    assert path.read_bytes() == onnx.model(net).SerializeToString()
    assert [entry.name for entry in tmp_path.iterdir()] == ["net.onnx"]


def test_example_of_the_docstring_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (example,) = doctest.DocTestFinder().find(onnx.save, "save", globs={})
    assert len(example.examples) == 7
    assert doctest.DocTestRunner().run(example).failed == 0
    assert Path("wave.onnx").is_file()


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [("Wih", np.nan, "nan"), ("Whh", np.inf, "inf"), ("Who", 1e39, "1e+39"), ("bo", -1e39, None)],
)
def test_weights_that_are_not_finite_are_refused(tmp_path, name, value, said):
    net = network(dtype=torch.float64)
    getattr(net, name).view(-1)[1] = value
    with refuses(ValueError, f"{name} must be finite in float32, got {said or value}"):
        onnx.save(net, tmp_path / "net.onnx")
    assert not list(tmp_path.iterdir())


def test_missing_onnx_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with refuses(ImportError, "ONNX files need onnx: pip install onnx"):
        onnx.save(SinRNN(), tmp_path / "net.onnx")
    assert not list(tmp_path.iterdir())


def test_import_does_not_bring_onnx():
    code = "import sys, sinrnn, sinrnn.forecasting.onnx; print('onnx' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, "False\n", "")


# The script


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder as a run leaves it, and a float64 model outside of any."""
    monkeypatch.chdir(tmp_path)
    Path("run/checkpoints").mkdir(parents=True)
    network(1, 50, 1, bias=False).save("run/model.safetensors")
    network(dtype=torch.float64).save("wide.safetensors")
    return tmp_path


def test_process_writes_what_the_model_computes(place):
    done = programs.run(ROOT / "scripts" / "export.py", "run")
    assert (done.returncode, done.stderr) == (0, "")
    out = " ".join(done.stdout.split())
    assert out.endswith("h0 (batch, 50), outputs y (batch, 1) and h_n (batch, 50)")
    model = onnx.model(SinRNN.load("run/model.safetensors"))
    assert Path("run/model.onnx").read_bytes() == model.SerializeToString()


@pytest.mark.parametrize(
    ("arguments", "path", "said"),
    [
        (["run"], "run/model.onnx", "h0 (batch, 50), outputs y (batch, 1) and h_n (batch, 50)"),
        (["run/model.safetensors"], "run/model.onnx", "outputs y (batch, 1) and h_n (batch, 50)"),
        (["run", "--onnx", "made.ONNX"], "made.ONNX", "outputs y (batch, 1) and h_n (batch, 50)"),
        (
            ["wide.safetensors"],
            "model.onnx",
            "outputs y (batch, 3) and h_n (batch, 5) (float64 weights are rounded to float32)",
        ),
    ],
)
def test_file_holds_what_the_model_computes(place, capsys, arguments, path, said):
    assert main(arguments) == 0
    out, err = capsys.readouterr()
    size = Path(path).stat().st_size / 1000
    assert err == ""
    out = " ".join(out.split())
    assert out.startswith(f"{path}: {size:.1f} kB, inputs x (batch, ")
    assert out.endswith(said)
    run_or_file = Path(arguments[0])
    source = run_or_file / "model.safetensors" if run_or_file.is_dir() else run_or_file
    assert Path(path).read_bytes() == onnx.model(SinRNN.load(source)).SerializeToString()


BAD = {
    "nowhere": "nowhere does not exist",
    "http://a.b/run": "http://a.b/run is a URL, and only local files are read: download it first",
    "run/checkpoints": "run/checkpoints is not a run's folder: no config.yaml in it",
    "notes.txt": "notes.txt is not a Predictor file: ",
    "run --onnx run/model.safetensors": "--onnx run/model.safetensors would replace the model: "
    "give it another name",
    "same.onnx --onnx run/../same.onnx": "--onnx run/../same.onnx would replace the model: "
    "give it another name",
    "run --onnx run": "--onnx run is a folder: name a file in it",
    "run --onnx notes.txt": "--onnx must end in .onnx, got notes.txt",
    "run --onnx no/made.onnx": "--onnx no/made.onnx: there is no folder no",
    "huge.safetensors": "Who must be finite in float32, got 1e+39",
}


@pytest.mark.parametrize("arguments", BAD)
def test_bad_argument_ends_in_one_line_and_writes_nothing(place, capsys, arguments):
    Path("notes.txt").write_text("a few notes\n")
    network().save("same.onnx")
    net = network(dtype=torch.float64)
    net.Who[0, 0] = 1e39
    net.save("huge.safetensors")
    before = files(place)
    refused(capsys, arguments, BAD[arguments])
    assert files(place) == before


def test_process_without_onnx_says_what_to_install(place, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    before = files(place)
    refused(capsys, "run", "ONNX files need onnx: pip install onnx")
    assert files(place) == before


def files(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def refused(capsys, arguments, said):
    """The script ends in this sentence, of which a space says that more follows."""
    assert main(arguments.split()) == 2
    out, err = capsys.readouterr()
    assert out == ""
    more = "[^\n]+" if said.endswith(" ") else ""
    assert re.fullmatch(f"error: {re.escape(said)}{more}\n", err)


def test_help_explains(capsys):
    with pytest.raises(SystemExit) as left:
        main(["--help"])
    assert left.value.code == 0
    text = capsys.readouterr().out
    for option in ("model", "--onnx ONNX"):
        assert re.search(rf"^ +{option}\s+[A-Z]", text, re.MULTILINE), option
