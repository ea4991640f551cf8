"""Memory that is lent again: never seen by callers, never read before it is written."""

import weakref

import pytest
import torch
from cases import B, D, H, K, O, T, assert_close, cell, gradients, network

from sinrnn.nn import _reference, _workspace, bptt, functional

FAST = {"states": functional.tanh_rnn, "last_output": functional.last_output}
PLAIN = {"states": _reference.states, "last_output": _reference.last_output}
MAKE = {"states": cell, "last_output": network}


@pytest.fixture(autouse=True)
def _nothing_idle(monkeypatch):
    monkeypatch.setattr(_workspace, "_idle", {})


@pytest.fixture
def poisoned(monkeypatch):
    """Every block that comes back is filled with NaN before it waits."""
    release, seen = _workspace.release, []

    def poison(block):
        block.block.fill_(float("nan"))
        block.spare.fill_(float("nan"))
        seen.append(block)
        release(block)

    monkeypatch.setattr(_workspace, "release", poison)
    monkeypatch.setattr(bptt, "release", poison)
    return seen


@pytest.mark.parametrize("name", FAST)
@pytest.mark.parametrize("bptt_steps", [None, K, 1])
@pytest.mark.parametrize(("batch", "steps"), [(B, T), (1, T), (B, 1), (0, T), (B, 2), (3, 70)])
@pytest.mark.parametrize("h0", [True, False])
def test_stale_memory_is_never_read(poisoned, name, bptt_steps, batch, steps, h0):
    inputs = MAKE[name](batch, steps, h0=h0)
    expected = gradients(PLAIN[name], inputs, bptt_steps=bptt_steps)
    for _ in range(3):
        assert_close(gradients(FAST[name], inputs, bptt_steps=bptt_steps), expected)
    assert poisoned


def test_block_of_another_shape_or_dtype_is_never_lent():
    like = torch.zeros(1)
    block = _workspace.acquire(T, B, H, like)
    _workspace.release(block)
    assert _workspace.acquire(T, B, D, like).block.shape == (T, B, D)
    assert _workspace.acquire(T, O, H, like).block.shape == (T, O, H)
    assert _workspace.acquire(T, B, H, like.float()).block.dtype == torch.float32
    assert _workspace.acquire(T, B, H, like) is block
    assert _workspace.acquire(T, B, H, like) is not block


def test_blocks_larger_than_all_that_may_wait_are_not_kept(monkeypatch):
    monkeypatch.setattr(_workspace, "KEPT", T * B * H)
    like = torch.zeros(1)
    block = _workspace.acquire(T, B, H, like)
    _workspace.release(block)
    assert _workspace.acquire(T, B, H, like) is not block
    assert not _workspace._idle


def idle():
    """Bytes of the numbers of all idle blocks, and their views."""
    blocks = [block for home in _workspace._idle.values() for block in home]
    numbers = sum(block.block.nbytes + block.spare.nbytes for block in blocks)
    return numbers, sum(len(block.steps) for block in blocks)


@pytest.mark.slow
@pytest.mark.parametrize(("batch", "hidden", "lengths"), [(32, 256, range(500, 508)), (2, 1, None)])
def test_idle_blocks_are_small_beside_the_process(batch, hidden, lengths):
    for steps in lengths or range(40_000, 40_004):
        inputs = network(batch, steps, 1, hidden, 1)
        gradients(functional.last_output, inputs)
        numbers, views = idle()
        assert 0 < numbers + 750 * views <= 2**26


def test_shapes_used_last_stay_idle(monkeypatch):
    size = 10 * B * H * 8 + 9 * _workspace.VIEW
    monkeypatch.setattr(_workspace, "KEPT", 3 * _workspace.EACH * size)
    like, made = torch.zeros(1), {}
    for steps in (7, 8, 9, 7, 8, 7, 6):
        made[steps] = _workspace.acquire(steps, B, H, like)
        _workspace.release(made[steps])
    assert {key[0] for key in _workspace._idle} == {6, 7, 8}
    assert _workspace.acquire(7, B, H, like) is made[7]
    assert _workspace.acquire(8, B, H, like) is made[8]


def test_block_that_is_lent_while_its_shape_is_forgotten_is_freed(monkeypatch):
    monkeypatch.setattr(_workspace, "SHAPES", 1)
    like = torch.zeros(1)
    lent, idle = (_workspace.acquire(T, B, H, like) for _ in range(2))
    _workspace.release(idle)
    _workspace.acquire(K, B, H, like)
    seen = [weakref.ref(block.block) for block in (lent, idle)]
    _workspace.release(lent)
    del lent, idle
    assert [ref() for ref in seen] == [None, None]


def test_blocks_made_in_inference_mode_are_not_kept():
    with torch.inference_mode():
        block = _workspace.acquire(T, B, H, torch.zeros(1))
        _workspace.release(block)
    assert _workspace.acquire(T, B, H, torch.zeros(1)) is not block


def test_idle_blocks_are_few():
    like = torch.zeros(1)
    for steps in range(1, 5 * _workspace.SHAPES):
        for block in [_workspace.acquire(steps, B, H, like) for _ in range(2 * _workspace.EACH)]:
            _workspace.release(block)
    assert len(_workspace._idle) <= _workspace.SHAPES
    assert max(map(len, _workspace._idle.values())) <= _workspace.EACH


def test_numpy_sees_the_memory_of_each_step():
    block = torch.zeros(T, B, H)
    for t, array in enumerate(_workspace.as_arrays(block)):
        array += t
    assert block[:, 0, 0].tolist() == list(range(T))


class Special(torch.Tensor):
    """A class that may have no memory."""


@pytest.mark.parametrize(
    "block",
    [
        *(torch.ones(T, B, H, dtype=dtype) for dtype in (torch.float16, torch.bfloat16)),
        torch.ones(T, B, H, device="meta"),
        torch.ones(T, B, H).as_subclass(Special),
    ],
    ids=["float16", "bfloat16", "meta", "subclass"],
)
def test_other_steps_are_not_for_numpy(block):
    assert list(_workspace.as_arrays(block)) == [None] * T


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_tanh_of_numpy_is_that_of_torch_within_rounding(dtype):
    a = torch.cat([torch.linspace(-20, 20, 4001), torch.logspace(-44, 1, 4001)]).to(dtype)
    one, other = a.clone()[None], a.clone()[None]
    bptt.forward_states([one], _workspace.as_arrays(one), None, one)
    bptt.forward_states([other], [None], None, other)
    eps = torch.finfo(dtype).eps
    torch.testing.assert_close(one, other, rtol=2 * eps, atol=torch.finfo(dtype).tiny)
    assert torch.equal(one[0].sign(), a.sign())
