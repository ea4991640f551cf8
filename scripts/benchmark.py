"""How fast sinrnn is beside what else there is: python scripts/benchmark.py --help.

Everything is measured in one process, by turns, in blocks of calls; a figure is the median of
all calls of one kind, and a ratio compares two such medians of the same run.
"""

import argparse
import functools
import importlib.util
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import chdir
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from torch.utils.data import DataLoader, TensorDataset

from sinrnn import SinRNN, Windows, tanh_rnn
from sinrnn.data.samplers import WindowBatchSampler
from sinrnn.data.windows import predict
from sinrnn.nn import _reference
from sinrnn.nn.functional import half_mse

# (T, B, D, H), from the notebook's one window to what only arithmetic decides.
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
Call = Callable[[], object]
Array = np.ndarray[Any, np.dtype[np.float64]]
Row = dict[str, float | str]


def medians(calls: dict[str, Call], seconds: float) -> dict[str, float]:
    """Median time of each call, in microseconds, measured by turns for about `seconds` in all."""
    for call in calls.values():
        call()
    started = time.perf_counter()
    for call in calls.values():
        call()
    once = time.perf_counter() - started
    block = max(1, min(50, int(0.05 / once)))
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(max(3, int(seconds / (once * block)))):
        for name, call in calls.items():
            for _ in range(block):
                started = time.perf_counter()
                call()
                times[name].append(time.perf_counter() - started)
    return {name: 1e6 * statistics.median(found) for name, found in times.items()}


def geometric_mean(values: list[float]) -> float:
    """The mean for ratios."""
    return statistics.geometric_mean(values)


class TorchRNN(nn.Module):
    """nn.RNN with its nn.Linear, many-to-one as SinRNN is."""

    def __init__(self, rnn: nn.RNN, head: nn.Linear) -> None:
        super().__init__()
        self.rnn, self.head = rnn, head

    def forward(self, x: Tensor) -> Tensor:
        """The last output, (B, O)."""
        states: Tensor = self.rnn(x)[0]
        last: Tensor = self.head(states[:, -1])
        return last


class Chunks(nn.Module):
    """A SinRNN that reads chunks of n steps, and keeps nothing but the state between them."""

    def __init__(self, net: SinRNN, n: int) -> None:
        super().__init__()
        self.net, self.n = net, n

    def _read(self, x: Tensor, h: Tensor | None) -> Tensor:
        return tanh_rnn(x, h, self.net.Wih, self.net.Whh)[:, -1].clone()

    def forward(self, x: Tensor) -> Tensor:
        """The last output, (B, O)."""
        h: Any = None
        for part in x.split(self.n, 1):
            h = checkpoint(self._read, part, h, use_reentrant=False)
        last: Tensor = h @ self.net.Who.t()
        return last


def one_step(network: nn.Module, x: Tensor) -> Call:
    """Forward and backward with a gradient 1/B for each output."""
    grad, weights = torch.full((len(x), 1), 1 / len(x)), list(network.parameters())

    def call() -> None:
        for weight in weights:
            weight.grad = None
        network(x).backward(grad)

    return call


class AutogradLoop(nn.Module):
    """SinRNN's weights in a plain loop, its gradient left to autograd."""

    def __init__(self, net: SinRNN) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        """The last output, (B, O)."""
        h = _reference.states(x, None, self.net.Wih, self.net.Whh)[:, -1]
        return h @ self.net.Who.t()


def training(T: int, B: int, D: int, H: int) -> dict[str, Call]:
    """Forward and backward of one batch: gradients of all weights from the last output."""
    net, x = SinRNN(D, H), torch.randn(B, T, D)
    calls = {
        "nn.RNN": one_step(TorchRNN(*net.to_torch()), x),
        "sinrnn": one_step(net, x),
        "autograd loop": one_step(AutogradLoop(net), x),
    }
    return calls | jax_training(x, [net.Wih, net.Whh, net.Who])


def jax_training(x: Tensor, weights: Sequence[Tensor]) -> dict[str, Call]:
    """The same in JAX, jit(grad(scan)), where it is installed."""
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


def layer(seconds: float) -> list[Row]:
    """Forward and backward."""
    return [
        {"T,B,D,H": ",".join(map(str, shape))} | medians(training(*shape), seconds)
        for shape in SHAPES
    ]


def inference(seconds: float) -> list[Row]:
    """Forward alone, without gradients."""
    rows: list[Row] = []
    for T, B, D, H in SHAPES:
        net, x = SinRNN(D, H), torch.randn(B, T, D)
        with torch.no_grad():
            calls: dict[str, Call] = {
                "nn.RNN": functools.partial(TorchRNN(*net.to_torch()), x),
                "sinrnn": functools.partial(net, x),
            }
            rows.append({"T,B,D,H": f"{T},{B},{D},{H}"} | medians(calls, seconds))
    return rows


def streaming(seconds: float) -> list[Row]:
    """One sample at a time: `step` beside nn.RNNCell and nn.Linear."""
    rows: list[Row] = []
    for B, H in ((1, 50), (32, 50), (32, 256)):
        cell, head, net = nn.RNNCell(1, H, bias=False), nn.Linear(H, 1, bias=False), SinRNN(1, H)
        x, h = torch.randn(B, 1), torch.zeros(B, H)
        with torch.no_grad():
            calls: dict[str, Call] = {
                "nn.RNNCell": lambda: head(cell(x, h)),  # noqa: B023
                "sinrnn": lambda: net.step(x, h),  # noqa: B023
            }
            rows.append({"B,H": f"{B},{H}"} | medians(calls, seconds))
    return rows


def vanishing(seconds: float) -> list[Row]:
    """Gradients that vanish (torch's initialisation, 200 steps) beside some that do not."""
    T, B, D, H = 200, 32, 8, 256
    calls: dict[str, Call] = {}
    for init in ("orthogonal", "torch"):
        net = SinRNN(D, H, init=init)
        x = torch.randn(B, T, D)
        calls[f"nn.RNN, {init}"] = one_step(TorchRNN(*net.to_torch()), x)
        calls[f"sinrnn, {init}"] = one_step(net, x)
    return [{"T,B,D,H": f"{T},{B},{D},{H}"} | medians(calls, seconds)]


MEMORY = """
import sys, torch
from sinrnn import SinRNN, tanh_rnn
from torch.utils.checkpoint import checkpoint
torch.set_num_threads(1)
kind, T, B, H, bptt_steps = sys.argv[1], *map(int, sys.argv[2:])
net = SinRNN(1, H, bptt_steps=bptt_steps or None)
rnn, head = net.to_torch()
x = torch.randn(B, T, 1)
def chunk(x, h):
    return tanh_rnn(x, h, net.Wih, net.Whh)[:, -1].clone()
def run(x):
    if kind == "chunks":
        h = None
        for part in x.split(int(T**0.5), 1):
            h = checkpoint(chunk, part, h, use_reentrant=False)
        y = h @ net.Who.t()
    else:
        y = head(rnn(x)[0][:, -1]) if kind == "nn.RNN" else net(x)
    y.sum().backward()
def of(name):
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(name))
run(x[:, :1])
open("/proc/self/clear_refs", "w").write("5")  # forget the peak that importing left
before = of("VmRSS")
run(x)
print(of("VmHWM") - before)
"""


def memory(seconds: float) -> list[Row]:
    """Peak memory of forward and backward beyond the input, MB, each in a process of its own."""
    rows: list[Row] = []
    for T, B, H, bptt_steps in ((2000, 32, 128, 0), (1_000_000, 1, 50, 100)):
        row: Row = {"T,B,H,bptt_steps": f"{T},{B},{H},{bptt_steps or 'full'}"}
        for kind in ("nn.RNN", "sinrnn", "chunks") if not bptt_steps else ("sinrnn",):
            command = [sys.executable, "-c", MEMORY, kind, *map(str, (T, B, H, bptt_steps))]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            row[kind] = float(done.stdout)
        rows.append(row)
    return rows


def recomputing(seconds: float) -> list[Row]:
    """Forward and backward in chunks of n = sqrt(T) under torch's checkpoint, beside one piece."""
    rows: list[Row] = []
    for T, B, H in ((1000, 16, 64), (2000, 32, 128), (400, 32, 256)):
        net, x, n = SinRNN(1, H), torch.randn(B, T, 1), int(T**0.5)
        calls = {"chunks": one_step(Chunks(net, n), x), "sinrnn": one_step(net, x)}
        found = medians(calls, seconds)
        rows.append({"T,B,H,n": f"{T},{B},{H},{n}"} | found)
    return rows


def configured(name: str, *args: str) -> Any:
    """Model, data and settings of a shipped config, without Lightning's remarks."""
    from sinrnn.cli.train import TrainCLI
    from sinrnn.filesystem import CONFIGS
    from sinrnn.training.quiet import quiet

    quiet()
    return TrainCLI(["--config", str(CONFIGS / f"{name}.yaml"), *args])


def bare_loop(*more: str) -> float:
    """Seconds that a plain torch loop takes for configs/sine.yaml: same batches and optimizer."""
    config = configured("sine", *more)
    config.datamodule.setup()
    net, optimizer = config.model.net, config.model.configure_optimizers()
    batches, windows = config.datamodule.train_dataloader(), config.datamodule.windows

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = half_mse(net(x), y)
        loss.backward()
        return loss

    started = time.perf_counter()
    for epoch in range(config.config.trainer.max_epochs):
        batches.sampler.set_epoch(epoch)
        if epoch == config.model.readout_epoch:
            net.fit_readout(*(values.float() for values in windows["train"][:]))
        for batch in batches:
            x, y = (values.float() for values in batch)
            optimizer.step(closure)
        for name in ("val", "train"):
            half_mse(predict(config.model, windows[name]), windows[name].targets)
    return time.perf_counter() - started


def whole_run(name: str = "sine", monitor: bool = True, more: Sequence[str] = ()) -> float:
    """Seconds of scripts/train.py with a config, from the first step to the last checkpoint."""
    job = configured(name, "--trainer.enable_progress_bar=false", *more).job()
    job.trainer.callbacks.remove(job.final_report)
    if not monitor:
        job.trainer.callbacks.remove(job.final_report.monitor)
    started = time.perf_counter()
    job.trainer.fit(job.model, job.data)
    return time.perf_counter() - started


def training_loop(seconds: float) -> list[Row]:
    """A bare torch loop that logs and saves nothing, and `scripts/train.py`."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        for what, more in (("sine.yaml", ""), ("sine.yaml with mini-batches", f"{ADAM} {MINI}")):
            given = more.split()
            times = [(bare_loop(*given), whole_run(more=given)) for _ in range(8)][1:]
            bare, ours = (1e3 * statistics.median(found) for found in zip(*times, strict=True))
            rows.append({"config": what, "bare loop": bare, "sinrnn": ours})
    return rows


ADAM = """--model.optimizer torch.optim.Adam --model.optimizer.lr 0.003 --data.batch_size 32
--model.readout_epoch null --trainer.max_epochs 400"""
# 1,920 steps: 64 of them between two validations.
MINI = "--data.series.init_args.points 3400 --trainer.max_epochs 30"


def monitoring(seconds: float) -> list[Row]:
    """Training with and without the monitoring, side by side; the median of the ratios."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        whole_run()
        for what, name, more, runs in (
            ("sine.yaml", "sine", "", 15),
            ("sine.yaml with Adam, 400 epochs", "sine", ADAM, 5),
            ("notebook.yaml", "notebook", "", 5),
        ):
            pairs = [
                (
                    whole_run(name, False, more.split()),
                    whole_run(name, True, more.split()),
                )
                for _ in range(runs)
            ]
            without, ours = (1e3 * statistics.median(times) for times in zip(*pairs, strict=True))
            ratio = statistics.median(on / off for off, on in pairs)
            rows.append({"what": what, "off": without, "on": ours, "on / off": ratio})
    return rows


def data(seconds: float) -> list[Row]:
    """Shuffled batches of 1024 windows of 64 from a million samples, per batch."""
    series = torch.randn(1_000_000)
    windows = Windows(series, 64)
    rows = windows._rows
    default = DataLoader(TensorDataset(rows[:, :-1], rows[:, -1:]), batch_size=1024, shuffle=True)
    order = WindowBatchSampler(len(windows), 1024)
    ours = DataLoader(windows, sampler=order, batch_size=None)
    theirs_at, ours_at = iter(default), iter(ours)
    calls: dict[str, Call] = {
        "TensorDataset": lambda: next(theirs_at),
        "sinrnn": lambda: next(ours_at),
    }
    found = medians(calls, min(seconds, 3))
    return [{"series": "10^6 in memory"} | found, {"series": "10^8 .npy, mapped"} | mapped()]


def mapped() -> dict[str, float]:
    """The same on 10^8 samples in a memory-mapped file: time per batch, and memory."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "series.npy"
        file = np.lib.format.open_memmap(path, "w+", dtype=np.float32, shape=(10**8,))
        for start in range(0, 10**8, 10**7):
            file[start : start + 10**7] = np.random.default_rng(start).random(10**7, np.float32)
        file.flush()
        del file
        series = torch.from_numpy(np.load(path, mmap_mode="c"))
        before = resident()
        windows = Windows(series, 64)
        batches = iter(
            DataLoader(windows, sampler=WindowBatchSampler(len(windows), 1024), batch_size=None)
        )
        times = []
        for _ in range(300):
            started = time.perf_counter()
            next(batches)
            times.append(time.perf_counter() - started)
        grown, of_file = (a - b for a, b in zip(resident(), before, strict=True))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        "sinrnn": 1e6 * statistics.median(times),
        "MB grown": grown,
        "MB of file": of_file,
        "MB peak": peak,
    }


def resident() -> tuple[float, float]:
    """Resident memory of this process that is its own, and that is pages of files, in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    kb = {line.split()[0]: line.split()[1] for line in lines if line.startswith("Rss")}
    return int(kb["RssAnon:"]) / 1024, int(kb["RssFile:"]) / 1024


def numpy_loop(weights: Sequence[Array], x: Array, y: Array, lr: float) -> None:
    """The notebook's kind of loop, corrected: one clipped step of gradient descent per window."""
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


def numpy_loss(weights: Sequence[Array], x: Array, y: Array) -> float:
    """half_mse, window by window."""
    (Wih, Whh, Who), total = weights, 0.0
    for window, target in zip(x, y, strict=True):
        h = np.zeros(len(Whh))
        for value in window:
            h = np.tanh(Wih @ value + Whh @ h)
        total += ((Who @ h - target) ** 2).item()
    return total / 2 / len(x)


def notebook(seconds: float) -> list[Row]:
    """The notebook's 247 updates: the loop in NumPy, and sinrnn; then all of its training."""
    from sinrnn.training.online import descend

    config = configured("notebook")
    config.datamodule.setup()
    both = [config.datamodule.windows[name][:] for name in ("train", "val")]
    (x, y), net = both[0], SinRNN(init="notebook", dtype=torch.float64)
    weights: list[Array] = [w.detach().numpy().copy() for w in (net.Wih, net.Whh, net.Who)]
    calls: dict[str, Call] = {
        "NumPy loop": lambda: numpy_loop(weights, x.numpy(), y.numpy(), 5e-5),
        "sinrnn": lambda: descend(net, x, y, 5e-5, 1.0),
    }
    found = {name: time / 1e3 for name, time in medians(calls, seconds).items()}

    epochs, started = config.config.trainer.max_epochs, time.perf_counter()
    for _ in range(epochs):
        numpy_loop(weights, x.numpy(), y.numpy(), 5e-5)
        for inputs, targets in both:
            numpy_loss(weights, inputs.numpy(), targets.numpy())
    whole = {"NumPy loop": 1e3 * (time.perf_counter() - started)}
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        whole["sinrnn"] = 1e3 * whole_run("notebook")
    alone = {"NumPy loop": epochs * found["NumPy loop"], "sinrnn": whole["sinrnn"]}
    return [
        {"what": "247 updates"} | found,
        {"what": f"all {epochs} epochs, both losses"} | whole,
        {"what": f"all {epochs} epochs, in NumPy the updates alone"} | alone,
    ]


PARTS: dict[str, Callable[[float], list[Row]]] = {
    "layer": layer,
    "inference": inference,
    "streaming": streaming,
    "vanishing": vanishing,
    "memory": memory,
    "recomputing": recomputing,
    "loop": training_loop,
    "monitoring": monitoring,
    "data": data,
    "notebook": notebook,
}
UNITS = {"memory": "MB", "notebook": "ms", "loop": "ms", "monitoring": "ms"}


def show(name: str, rows: list[Row]) -> list[Row]:
    """Print one table with the ratios to sinrnn, and what may be concluded."""
    rivals = [key for key in rows[0] if key != "sinrnn" and isinstance(rows[0][key], float)]
    rivals = rivals if "sinrnn" in rows[0] else []
    for row in rows:
        for rival in rivals:
            if row.get("sinrnn") and rival in row:
                row[f"{rival} / sinrnn"] = float(row[rival]) / float(row["sinrnn"])
    keys = list(dict.fromkeys(key for row in rows for key in row))
    print(f"\n{name}: {(PARTS[name].__doc__ or '').splitlines()[0]} ({UNITS.get(name, 'us')})")
    cells = [keys] + [[_cell(key, row.get(key, "")) for key in keys] for row in rows]
    widths = [max(len(line[i]) for line in cells) for i in range(len(keys))]
    for line in cells:
        print("  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)))
    for rival in rivals:
        ratios = [float(row[key]) for row in rows if (key := f"{rival} / sinrnn") in row]
        if ratios:
            print(
                f"{rival} / sinrnn: geometric mean {geometric_mean(ratios):.2f}, "
                f"least {min(ratios):.2f}"
            )
    return rows


def _cell(key: str, value: float | str) -> str:
    if isinstance(value, str):
        return value
    if value < 0.5:
        return "< 1" if "/" not in key else f"{value:.2f}"
    return f"{value:.2f}" if "/" in key else f"{value:,.0f}"


def draw(rows: list[Row], path: Path) -> None:
    """The layer's table as a picture: how many times sinrnn's time each rival takes."""
    figure = Figure(figsize=(9, 5), dpi=110, layout="constrained")
    axis = figure.subplots()
    rivals = [key for key in rows[0] if key.endswith("/ sinrnn")]
    for i, rival in enumerate(rivals):
        at = [j + 0.8 * (i - (len(rivals) - 1) / 2) / len(rivals) for j in range(len(rows))]
        name = rival.partition(" /")[0]
        axis.bar(at, [float(r[rival]) for r in rows], 0.75 / len(rivals), label=name)
    axis.axhline(1, color="#222222", lw=1)
    axis.set_xticks(range(len(rows)), [str(r["T,B,D,H"]) for r in rows], fontsize=8)
    axis.set_xlabel("T, B, D, H")
    axis.set_ylabel("time / sinrnn's time (above the line: sinrnn is faster)")
    axis.set_title(f"forward and backward, float32, threads: {torch.get_num_threads()}")
    axis.legend()
    figure.savefig(path)


def main() -> int:
    """Measure what is asked for and print it."""
    parser = argparse.ArgumentParser(
        allow_abbrev=False, description="How fast sinrnn is beside what else there is."
    )
    parser.add_argument("parts", nargs="*", help=f"any of {', '.join(PARTS)}; all by default")
    parser.add_argument("--threads", type=int, default=1, help="torch's threads (default: 1)")
    parser.add_argument("--seconds", type=float, default=4, help="per row (default: 4)")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    parser.add_argument("--figure", type=Path, help="draw the layer's table into this PNG")
    given = parser.parse_args()
    unknown = set(given.parts) - set(PARTS)
    if unknown:
        parser.error(f"unknown part {', '.join(sorted(unknown))}: choose from {', '.join(PARTS)}")
    torch.manual_seed(0)
    torch.set_num_threads(given.threads)
    machine = {
        "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores",
        "load": " ".join(f"{load:.2f}" for load in os.getloadavg()),
        "threads": given.threads,
        "torch": torch.__version__,
        "python": platform.python_version(),
    }
    print(", ".join(f"{key} {value}" for key, value in machine.items()))
    found = {name: show(name, PARTS[name](given.seconds)) for name in given.parts or PARTS}
    if given.json:
        given.json.write_text(json.dumps({"about": machine, "tables": found}, indent=1))
    if given.figure and "layer" in found:
        draw(found["layer"], given.figure)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
