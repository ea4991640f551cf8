"""The programs: parse, run, print.

- `sinrnn.cli.train`, `sinrnn.cli.forecast`, `sinrnn.cli.diagnose`, `sinrnn.cli.export`,
  `sinrnn.cli.runs`: one each; `sinrnn.cli.main`: the command sinrnn;
- `sinrnn.cli.start`: what starts them;
- `sinrnn.cli.arguments`: what was typed;
- `sinrnn.cli.messages`: what is printed.
"""

import os

# Pictures are drawn without a backend, and an unknown one would stop each import of matplotlib.
os.environ.pop("MPLBACKEND", None)
