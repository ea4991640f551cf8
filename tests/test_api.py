"""Every public name is documented, its example runs, and a user's type checker accepts it."""

import contextlib
import doctest
import inspect
import pkgutil
import re
import shlex
import subprocess
import sys
import textwrap
from pathlib import Path

import programs
import pytest
import torch

import sinrnn

ROOT = Path(__file__).parent.parent
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()
SECTION = re.compile(r"^(Args|Attributes|Returns|Raises|Source|Example):\n((?: +.*\n|\n)+)", re.M)
NAMES = [name for name in sinrnn.__all__ if name != "__version__"]


def members(cls):
    """The public methods and properties of a class and of its bases that are not public."""
    private = [c for c in cls.__mro__[1:] if c.__module__.startswith("sinrnn.nn._")]
    return {
        name: member
        for name, member in [item for c in (cls, *private) for item in vars(c).items()]
        if not name.startswith("_") and (inspect.isroutine(member) or isinstance(member, property))
    }


MEMBERS = {
    f"{name}.{part}": member
    for name in NAMES
    if inspect.isclass(getattr(sinrnn, name))
    for part, member in members(getattr(sinrnn, name)).items()
}
EVERYTHING = {name: getattr(sinrnn, name) for name in NAMES} | MEMBERS
# Those that shall have an example; repr shows what extra_repr gives.
SHOWN = NAMES + [name for name in MEMBERS if name.startswith("SinRNN.") and "extra" not in name]
# What Lightning says to everybody.
LIGHTNING = [
    ".*does not have many workers.*",
    ".*isinstance.treespec, LeafSpec.*",  # Lightning 2.6.6 with torch 2.13
]


def examples(name):
    """The doctest of one docstring, in the names that a user has."""
    known = {"torch": torch} | {public: getattr(sinrnn, public) for public in NAMES}
    # Not by the finder, which leaves out what was imported, and goes on into members.
    text = inspect.getdoc(EVERYTHING[name]) or ""
    return doctest.DocTestParser().get_doctest(text, known, name, None, 0)


@pytest.mark.parametrize("name", EVERYTHING)
@pytest.mark.filterwarnings(*(f"ignore:{said}" for said in LIGHTNING))
def test_every_name_has_a_docstring_whose_example_prints_what_it_says(name, tmp_path):
    assert EVERYTHING[name].__doc__, f"{name} has no docstring"
    assert examples(name).examples or name not in SHOWN, f"{name} needs an Example: with >>> lines"
    torch.set_default_dtype(torch.float32)  # as a user has it
    said = []
    with contextlib.chdir(tmp_path):
        failed, _ = doctest.DocTestRunner(verbose=False).run(examples(name), out=said.append)
    assert not failed, f"the example of {name}:\n" + "".join(said)


@pytest.mark.parametrize("name", EVERYTHING)
def test_args_are_those_of_the_signature(name):
    member = EVERYTHING[name]
    blocks = dict(SECTION.findall(f"{inspect.getdoc(member)}\n"))
    if name == "Trace" or isinstance(member, property) or ("Args" not in blocks and "." in name):
        return  # fields are Attributes, and a hook's arguments are Lightning's
    own = (
        vars(member).get("__init__")
        if inspect.isclass(member)
        else inspect.unwrap(getattr(member, "__func__", member))
    )
    given = inspect.signature(own).parameters.values() if own else ()
    wanted = [str(p).split(":")[0] for p in given if p.name not in ("self", "cls")]
    named = re.findall(r"^(\S[^:]*): ", textwrap.dedent(blocks.get("Args", "")), re.M)
    assert named == wanted, f"Args of {name} are not its arguments"


@pytest.mark.extra
def test_pages_have_every_public_module_and_name(tmp_path):
    pytest.importorskip("pdoc", reason="pages are made by pdoc: sinrnn[docs]")
    (line,) = re.findall(r"^python -W error -m pdoc ([^`]*) -o \S+$", CONTRIBUTING, re.MULTILINE)
    strict = "import runpy, warnings; warnings.simplefilter('error'); "
    strict += "runpy.run_module('pdoc', run_name='__main__')"
    args = shlex.split(line.replace("\\\n", ""))
    done = programs.run("-c", strict, *args, "-o", tmp_path, cwd=ROOT)
    assert (done.returncode, done.stderr) == (0, "")
    pages = {
        ".".join(path.relative_to(tmp_path).with_suffix("").parts): path.read_text()
        for path in tmp_path.rglob("*.html")
    }
    modules = [name for _, name, _ in pkgutil.walk_packages(sinrnn.__path__, "sinrnn.")]
    assert {*pages} == {name for name in modules if "._" not in name} | {"index"}
    homes = {name: getattr(sinrnn, name).__module__ for name in NAMES}
    assert not [name for name, home in homes.items() if f'id="{name}"' not in pages[home]]


USER = """\
from pathlib import Path

import torch
from torch import Tensor, nn

import sinrnn
from sinrnn import Chirp, FileSeries, Forecaster, Generated, MackeyGlass, Predictor, Series, Sine
from sinrnn import Forecast, Run, SinRNN, WindowDataModule, Windows, fit, runs, tanh_rnn, trace
from sinrnn.seeds import Seeds

net = SinRNN(input_size=1, hidden_size=8, bptt_steps=3, dtype=torch.float64)
x: Tensor = torch.zeros(2, 5, 1)
y: Tensor = net(x)
h: Tensor
h, y = net.unroll(x)
h, y = net.step(x[:, 0], None)
y = net.rollout(x, 3)
wider: SinRNN = SinRNN.from_torch(nn.RNN(1, 8, batch_first=True), nn.Linear(8, 1))
rnn: nn.RNN
head: nn.Linear
rnn, head = wider.to_torch()
net.save(Path("net.safetensors"))
net = SinRNN.load("net.safetensors")
Wih: nn.Parameter = net.Wih
bias: nn.Parameter | None = net.bh
h = tanh_rnn(x, None, net.Wih, net.Whh, net.bh, bptt_steps=2)
seen = trace(net, x, y)
flow: Tensor = seen.flow
Whh: Tensor = seen.shares["Whh"]
angle: float = seen.cosine(bptt_steps=2)


class Ramp(Generated):
    def _formula(self, i: Tensor) -> Tensor:
        return i


every: list[Series] = [Sine(points=9), Chirp(noise=0.1), MackeyGlass(), Ramp(), FileSeries("a.csv")]
data = WindowDataModule(every[0], window=4, train=(0.0, 0.5), val=(0.5, 0.7), test=(0.7, 1.0))
data = WindowDataModule([1.0, 2.0, 3.0], window=1)
windows: Windows = data.windows["test"]
x, y = windows[:2]
model = Forecaster(hidden_size=8, optimizer=torch.optim.Adam, loss="every")
predictor: Predictor = model.predictor
y = predictor(x)
y = predictor.rollout(x[:, :, 0], steps=5)
ahead: Tensor = predictor.forecast(every[0], 9).prediction
predictor = Predictor.load("model.safetensors")
model = Forecaster.load_from_checkpoint("last.ckpt")
run: Run = fit(model, data, name="wave", seed=0, max_epochs=2)
made: Forecast = Run(run.folder).forecast(9, every[0])
ahead = made.upper - made.lower
made.to_csv("ahead.csv")
loss: float = run.results.half_mse["network"]["test"]
run.figures["rollout"].savefig("rollout.png")
run = Run.latest("runs/wave").resume(max_epochs=4)
val: list[float] = run.history.losses["val"]
print(run.history.to_pandas(), runs("runs").to_pandas(), runs())
many: Seeds = fit(model, data, seeds=5, max_epochs=2)
print(many.runs[0].report + many.table)
version: str = sinrnn.__version__


class Own(SinRNN):
    pass


own: Own = Own.load("own.safetensors")
own = Own.from_torch(rnn)
"""
# Every line from the fifth on is wrong.
WRONG = """\
import torch
import sinrnn
from sinrnn import Run, SinRNN, Windows, fit, runs, tanh_rnn, trace

net = SinRNN(hidden_size="8")
h: torch.Tensor = net.unroll(torch.zeros(2, 5, 1))
y = net.rollout(torch.zeros(2, 5, 1))
tanh_rnn(torch.zeros(2, 5, 1), None, net.Wih)
trace(net, torch.zeros(2, 5, 1), 1.0)
Windows([1.0, 2.0], window=1)
sinrnn.Sinus()
fit(net, None)
Run("a").resume(max_epochs="more")
runs(1)
"""


@pytest.mark.process
def test_types_accept_a_users_code_and_refuse_wrong_calls(tmp_path):
    """As mypy --strict sees a user's files, in a folder that is not the package's."""
    (tmp_path / "good.py").write_text(USER)
    (tmp_path / "wrong.py").write_text(WRONG)
    # With the project's settings and cache, where `mypy` there has read all of torch already.
    known = ["--config-file", ROOT / "pyproject.toml", "--cache-dir", ROOT / ".mypy_cache"]
    command = [sys.executable, "-m", "mypy", "--strict", *known, "good.py", "wrong.py"]
    said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True).stdout
    assert "checked 2 source files" in said, said  # it ran to its end
    assert not (wrong := re.findall(r"^good\.py.*", said, re.M)), "\n".join(wrong)
    found = re.findall(r"^wrong\.py:(\d+): error: .*\[(.*)\]$", said, re.M)
    assert [int(line) for line, _ in found] == [*range(5, 15)], said
    assert {kind for _, kind in found} == {
        *("arg-type", "assignment", "attr-defined", "call-arg", "call-overload")
    }
