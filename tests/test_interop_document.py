"""Each block of docs/interop.md has a SinRNN's outputs, and notices a wrong weight."""

import contextlib
import os
import re
from pathlib import Path

import markdown
import pytest
import torch

DOCUMENT = Path(__file__).parent.parent / "docs" / "interop.md"
START, *BLOCKS = [code for code, _, _ in markdown.blocks(DOCUMENT)]
LIBRARIES = ("keras", "flax", "jax")

# Keras 3.15 calls np.array on its variables and on torch's tensors, whose __array__ is of NumPy 1.
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)


def libraries(block):
    return [name for name in LIBRARIES if re.search(rf"^(import|from) {name}\b", block, re.M)]


@pytest.fixture(params=BLOCKS, ids=lambda block: "-".join(libraries(block)) or "installed")
def block(request, tmp_path, monkeypatch):
    # Keras would read a backend from the home folder, or write one there.
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setenv("KERAS_BACKEND", os.environ.get("KERAS_BACKEND", "torch"))
    # These are heavy, and not part of the dev install.
    for name in libraries(request.param):
        pytest.importorskip(name)
    return request.param


@pytest.fixture
def names(tmp_path):
    """What the block before the others defines, in torch's default dtype and an empty folder."""
    torch.set_default_dtype(torch.float32)
    names = {}
    exec(START, names)
    with contextlib.chdir(tmp_path):
        yield names


def test_document_has_a_block_for_each_library():
    assert [libraries(block) for block in BLOCKS] == [[], [], ["keras"], ["flax"], ["jax"]]


def test_block_gives_the_same_numbers(block, names):
    exec(block, names)


@pytest.mark.parametrize("name", ["Wih", "Whh", "Who", "bh", "bo"])
def test_block_notices_a_wrong_weight(block, names, name):
    weight = getattr(names["net"], name).data  # the memory of `weights`, too; y is from before
    wrong = weight.t() if name == "Whh" else weight.roll(1, 0)
    weight.copy_(wrong.clone())
    with pytest.raises(AssertionError):
        exec(block, names)


def test_nnx_has_the_layers_that_are_named(names):
    nnx = pytest.importorskip("flax.nnx")
    cell = nnx.SimpleCell(2, 5, rngs=nnx.Rngs(0))
    weights, x, h0 = names["weights"], names["x"].numpy(), names["h0"].numpy()
    cell.dense_i.kernel[...] = weights["Wih"].T
    cell.dense_h.kernel[...] = weights["Whh"].T
    cell.dense_i.bias[...] = weights["bh"]
    states = nnx.RNN(cell)(x, initial_carry=h0)
    assert abs(states @ weights["Who"].T + weights["bo"] - names["y"]).max() < 1e-6
