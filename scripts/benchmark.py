"""Benchmarks of sinrnn: python scripts/benchmark.py --help.

The implementations in a row are measured in turns, in blocks of calls, in one process. A figure is
the median over the blocks: CPU time on one core, so that other work on the machine does not count,
or wall time with --threads or --unpinned.
"""

import argparse
import importlib.util
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import chdir
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.benchmark import Timer

from sinrnn import SinRNN
from sinrnn.nn import _reference
from sinrnn.nn.functional import half_mse

# (T, B, D, H), from one window of the notebook to sizes limited by arithmetic.
SHAPES = [
    (4, 1, 1, 50),
    (4, 32, 1, 50),
    (4, 247, 1, 50),
    (50, 32, 1, 64),
    (100, 64, 1, 128),
    (1000, 16, 1, 64),
    (200, 32, 8, 256),
    (100, 64, 64, 512),
]
SECONDS = 2.0  # per row
Call = Callable[[], object]
Array = np.ndarray[Any, np.dtype[np.float64]]
Row = dict[str, float | str]
clock = time.process_time


def medians(calls: dict[str, Call]) -> Row:
    """Return the median time of each call in microseconds, measured in turns."""
    threads = torch.get_num_threads()
    timers = {
        name: Timer("call()", globals={"call": call}, timer=clock, num_threads=threads)
        for name, call in calls.items()
    }
    for timer in timers.values():
        timer.timeit(1)
    once = sum(timer.timeit(3).mean for timer in timers.values())
    block = max(1, min(50, int(0.05 / once)))
    rounds = range(max(3, int(SECONDS / (once * block))))
    times = [[timer.timeit(block).mean for timer in timers.values()] for _ in rounds]
    return _medians(timers, times, 1e6)


def in_turns(rounds: int, calls: dict[str, Callable[[], float]]) -> Row:
    """Return the median in milliseconds of the seconds that each call returns, after a warm-up."""
    times = [[call() for call in calls.values()] for _ in range(rounds + 1)]
    return _medians(calls, times[1:], 1e3)


def _medians(names: Iterable[str], times: list[list[float]], unit: float) -> Row:
    found = (unit * statistics.median(column) for column in zip(*times, strict=True))
    return dict(zip(names, found, strict=True))


class TorchRNN(nn.ModuleList):
    """nn.RNN with nn.Linear, many-to-one like SinRNN."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the last output, (B, O)."""
        rnn, head = self
        last: Tensor = head(rnn(x)[0][:, -1])
        return last


class AutogradLoop(nn.ModuleList):
    """SinRNN's weights in a plain loop, with autograd's gradient."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the last output, (B, O)."""
        net: Any = self[0]
        last: Tensor = _reference.states(x, None, net.Wih, net.Whh)[:, -1] @ net.Who.t()
        return last


def one_step(network: Any, x: Tensor) -> Call:
    """Forward and backward with a gradient 1/B for each output."""
    grad, weights = torch.full((len(x), 1), 1 / len(x)), list(network.parameters())

    def call() -> None:
        for weight in weights:
            weight.grad = None
        network(x).backward(grad)

    return call


def jax_step(x: Tensor, weights: Sequence[Tensor]) -> dict[str, Call]:
    """Return the same in JAX, jit(grad(scan)), if it is installed."""
    if importlib.util.find_spec("jax") is None:
        return {}
    jax: Any = importlib.import_module("jax")
    jnp = jax.numpy

    def loss(w: Any, x: Any) -> Any:
        def cell(h: Any, x_t: Any) -> tuple[Any, None]:
            return jnp.tanh(x_t @ w[0].T + h @ w[1].T), None

        start = jnp.zeros((x.shape[0], w[1].shape[0]))
        h, _ = jax.lax.scan(cell, start, x.swapaxes(0, 1))
        return (h @ w[2].T).mean()

    gradient = jax.jit(jax.grad(loss))
    w, given = [jnp.asarray(weight.detach().numpy()) for weight in weights], jnp.asarray(x.numpy())
    return {"JAX": lambda: jax.block_until_ready(gradient(w, given))}


def layer(T: int, B: int, D: int, H: int) -> dict[str, Call]:
    """Forward and backward: gradients of all weights from the last output."""
    net, x = SinRNN(D, H), torch.randn(B, T, D)
    calls = {
        "nn.RNN": one_step(TorchRNN(net.to_torch()), x),
        "sinrnn": one_step(net, x),
        "loop": one_step(AutogradLoop([net]), x),
    }
    return calls | jax_step(x, [net.Wih, net.Whh, net.Who])


def forward(T: int, B: int, D: int, H: int) -> dict[str, Call]:
    """Forward, without gradients."""
    net, x = SinRNN(D, H), torch.randn(B, T, D)
    rnn = TorchRNN(net.to_torch())
    return {"nn.RNN": torch.no_grad()(lambda: rnn(x)), "sinrnn": torch.no_grad()(lambda: net(x))}


def streaming(B: int, H: int) -> dict[str, Call]:
    """One sample at a time: `step`, and nn.RNNCell with nn.Linear."""
    cell, head, net = nn.RNNCell(1, H, bias=False), nn.Linear(H, 1, bias=False), SinRNN(1, H)
    x, h = torch.randn(B, 1), torch.zeros(B, H)
    calls: dict[str, Call] = {
        "nn.RNNCell": lambda: head(cell(x, h)),
        "sinrnn": lambda: net.step(x, h),
    }
    return {name: torch.no_grad()(call) for name, call in calls.items()}


def vanishing(init: str) -> dict[str, Call]:
    """Forward and backward at 200,32,8,256: with init torch the gradients vanish."""
    net, x = SinRNN(8, 256, init=init), torch.randn(32, 200, 8)
    return {"nn.RNN": one_step(TorchRNN(net.to_torch()), x), "sinrnn": one_step(net, x)}


def compiled(T: int, B: int, D: int, H: int) -> dict[str, Call]:
    """Forward and backward, the others under torch.compile."""
    net, x = SinRNN(D, H), torch.randn(B, T, D)
    return {
        "nn.RNN": one_step(torch.compile(TorchRNN(net.to_torch())), x),
        "loop": one_step(torch.compile(AutogradLoop([net])), x),
        "sinrnn": one_step(net, x),
    }


def timed(calls: Callable[..., dict[str, Call]], label: str, *sizes: Any) -> list[Row]:
    """Return a row for each size."""
    rows: list[Row] = []
    for size in sizes:
        row: Row = {label: ",".join(map(str, size))}
        rows.append(row | medians(calls(*size)))
    return rows


PEAK = """
import sys, torch
from benchmark import SinRNN, TorchRNN, one_step
def of(name):
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(name))
kind, T, B, H, k = sys.argv[1], *map(int, sys.argv[2:])
net, x = SinRNN(1, H, bptt_steps=k or None), torch.randn(B, T, 1)
net = TorchRNN(net.to_torch()) if kind == "nn.RNN" else net
one_step(net, x[:, :1])()
open("/proc/self/clear_refs", "w").write("5")  # reset the peak of the imports
before = of("VmRSS")
one_step(net, x)()
print(of("VmHWM") - before)
"""


def memory() -> list[Row]:
    """Peak memory of forward and backward without the input, each in its own process."""
    rows: list[Row] = []
    for T, B, H, k in ((2000, 32, 128, 0), (1_000_000, 1, 50, 100)):
        row: Row = {"T,B,H,bptt_steps": f"{T},{B},{H},{k or 'all'}"}
        for kind in ("nn.RNN", "sinrnn") if not k else ("sinrnn",):
            command = [sys.executable, "-c", PEAK, kind, *map(str, (T, B, H, k))]
            here = Path(__file__).parent
            done = subprocess.run(command, cwd=here, stdout=subprocess.PIPE, check=True)
            row[kind] = float(done.stdout)
        rows.append(row)
    return rows


def configured(name: str, *args: str) -> Any:
    """Return model, data and settings of a shipped config, without Lightning's messages."""
    from sinrnn.cli.train import TrainCLI
    from sinrnn.filesystem import CONFIGS
    from sinrnn.training.quiet import quiet

    quiet()
    return TrainCLI(["--config", str(CONFIGS / f"{name}.yaml"), *args])


def bare_loop(*args: str, rnn: bool = False) -> float:
    """Return the seconds of a plain loop for sine.yaml: same batches, optimizer and losses."""
    config = configured("sine", *args)
    model, data = config.model, config.datamodule
    data.setup()
    net: Any = TorchRNN(model.net.to_torch()) if rnn else model.net
    optimizer, batches = model.optimizer(net.parameters()), data.train_dataloader()

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = half_mse(net(x), y)
        loss.backward()
        return loss

    started = clock()
    for epoch in range(config.config.trainer.max_epochs):
        batches.sampler.set_epoch(epoch)
        if epoch == model.readout_epoch:
            net.fit_readout(*(values.float() for values in data.windows["train"][:]))
        for batch in batches:
            x, y = (values.float() for values in batch)
            optimizer.step(closure)
        with torch.no_grad():
            for split in ("val", "train"):
                for inputs, targets in data.windows[split]:
                    half_mse(net(inputs.float()), targets.float()).item()
    return clock() - started


def whole_run(name: str, *args: str, monitor: bool = True) -> float:
    """Return the seconds of scripts/train.py, from the first step to the last checkpoint."""
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        job = configured(name, "--trainer.enable_progress_bar=false", *args).job()
        job.trainer.callbacks.remove(job.final_report)
        if not monitor:
            job.trainer.callbacks.remove(job.final_report.monitor)
        started = clock()
        job.train()
        return clock() - started


# 20,000 windows, 3 epochs, 1,875 steps of batch 32.
ADAM = """--data.series.points 33340 --model.optimizer torch.optim.Adam --model.optimizer.lr 0.003
--data.batch_size 32 --model.readout_epoch null --trainer.max_epochs 3""".split()


def program() -> list[Row]:
    """scripts/train.py, and a plain torch loop without logs and checkpoints."""
    rows: list[Row] = []
    for label, args in (("Adam, 1,875 steps", ADAM), ("sine.yaml, L-BFGS", [])):
        calls: dict[str, Callable[[], float]] = {
            "loop": partial(bare_loop, *args),
            "no monitor": partial(whole_run, "sine", *args, monitor=False),
            "sinrnn": partial(whole_run, "sine", *args),
        }
        if args:  # without it, the readout is solved, which nn.RNN cannot do
            calls = {"loop, nn.RNN": partial(bare_loop, *args, rnn=True)} | calls
        row: Row = {"what": label}
        rows.append(row | in_turns(5, calls))
    return rows


def numpy_loop(weights: Sequence[Array], x: Array, y: Array, lr: float) -> None:
    """Train like the notebook, corrected: one clipped step of gradient descent per window."""
    Wih, Whh, Who = weights
    steps, h = x.shape[1], np.zeros((x.shape[1] + 1, len(Whh)))
    for window, target in zip(x, y, strict=True):
        for t in range(steps):
            h[t + 1] = np.tanh(Wih @ window[t] + Whh @ h[t])
        error = Who @ h[-1] - target
        grad_Wih, grad_Whh, grad_Who = np.zeros_like(Wih), np.zeros_like(Whh), error * h[-1:]
        grad_h = error @ Who
        for t in range(steps, 0, -1):
            grad_a = grad_h * (1 - h[t] ** 2)
            grad_Whh += np.outer(grad_a, h[t - 1])
            grad_Wih += np.outer(grad_a, window[t - 1])
            grad_h = grad_a @ Whh
        for weight, gradient in zip(weights, (grad_Wih, grad_Whh, grad_Who), strict=True):
            weight -= lr * np.clip(gradient, -1, 1)


def notebook() -> list[Row]:
    """An epoch of notebook.yaml: 247 updates, and with losses, logs and checkpoints."""
    from sinrnn.training.online import descend

    data, net = configured("notebook").datamodule, SinRNN(init="notebook").double()
    data.setup()
    x, y = data.windows["train"][:]
    weights: list[Array] = [w.detach().numpy().copy() for w in (net.Wih, net.Whh, net.Who)]

    def repeated(call: Call) -> float:
        started = clock()
        for _ in range(25):
            call()
        return (clock() - started) / 25

    calls = {
        "NumPy loop": lambda: repeated(lambda: numpy_loop(weights, x.numpy(), y.numpy(), 5e-5)),
        "updates": lambda: repeated(lambda: descend(net, x, y, 5e-5, 1.0)),
        "sinrnn": lambda: whole_run("notebook", "--trainer.max_epochs=100") / 100,
    }
    return [in_turns(3, calls)]


# For each part: the function that measures it, its unit, and its approximate seconds.
PARTS: dict[str, tuple[Callable[[], list[Row]], str, int]] = {
    "layer": (partial(timed, layer, "T,B,D,H", *SHAPES), "us", 35),
    "forward": (partial(timed, forward, "T,B,D,H", *SHAPES), "us", 18),
    "streaming": (partial(timed, streaming, "B,H", (1, 50), (32, 50), (32, 256)), "us", 7),
    "vanishing": (partial(timed, vanishing, "init", ("orthogonal",), ("torch",)), "us", 6),
    "compiled": (partial(timed, compiled, "T,B,D,H", *SHAPES[:2]), "us", 40),
    "memory": (memory, "MB", 15),
    "program": (program, "ms", 40),
    "notebook": (notebook, "ms", 20),
}


def show(name: str, rows: list[Row]) -> None:
    """Print a table with the ratio of each implementation to sinrnn."""
    others = [key for key, value in rows[0].items() if isinstance(value, float) and key != "sinrnn"]
    for row in rows:
        shared = [key for key in others if key in row]
        row |= {f"{key} / sinrnn": float(row[key]) / float(row["sinrnn"]) for key in shared}
    keys = list(dict.fromkeys(key for row in rows for key in row))
    about = (globals()[name].__doc__ or "").splitlines()[0]
    print(f"\n{name}: {about} ({PARTS[name][1]})")
    cells = [keys] + [[_cell(key, row.get(key, "")) for key in keys] for row in rows]
    widths = [max(len(line[i]) for line in cells) for i in range(len(keys))]
    for line in cells:
        print("  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)))
    for key in [f"{key} / sinrnn" for key in others] if len(rows) > 3 else []:
        ratios = [float(row[key]) for row in rows]
        mean = statistics.geometric_mean(ratios)
        print(f"{key}: geometric mean {mean:.2f}, minimum {min(ratios):.2f}")


def _cell(key: str, value: float | str) -> str:
    if isinstance(value, str):
        return value
    return f"{value:.2f}" if "/" in key or value < 10 else f"{value:,.0f}"


def main() -> int:
    """Measure the chosen parts, print tables and return the exit status."""
    parser = argparse.ArgumentParser(allow_abbrev=False, description="Benchmarks of sinrnn.")
    parser.add_argument("parts", nargs="*", help=f"any of {', '.join(PARTS)} (default: all)")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch (default: 1)")
    parser.add_argument("--unpinned", action="store_true", help="all cores, wall time")
    given = parser.parse_args()
    if unknown := set(given.parts) - set(PARTS):
        parser.error(f"unknown part {', '.join(sorted(unknown))}: choose from {', '.join(PARTS)}")
    global clock
    if given.unpinned or given.threads > 1 or not hasattr(os, "sched_setaffinity"):
        clock = time.perf_counter
    else:
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
        os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
    torch.manual_seed(0)
    torch.set_num_threads(given.threads)
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, "
        f"threads {given.threads}, {'wall' if clock is time.perf_counter else 'CPU'} time, "
        f"torch {torch.__version__}, Python {platform.python_version()}"
    )
    parts = given.parts or list(PARTS)
    started, slower = time.perf_counter(), 1.0
    for i, name in enumerate(parts):
        left = slower * sum(PARTS[each][2] for each in parts[i:])
        print(f"{name} ... about {left:.0f} s left", file=sys.stderr)
        show(name, PARTS[name][0]())
        done = sum(PARTS[each][2] for each in parts[: i + 1])
        slower = (time.perf_counter() - started) / done
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
