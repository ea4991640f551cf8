"""The command line programs: they parse arguments, call the package and print the result.

- `sinrnn.cli.train`, `sinrnn.cli.forecast`, `sinrnn.cli.diagnose`, `sinrnn.cli.export`,
  `sinrnn.cli.runs`: one program each; `sinrnn.cli.main`: the command sinrnn;
- `sinrnn.cli.start`: starts a program;
- `sinrnn.cli.arguments`: arguments that are read before the config is parsed;
- `sinrnn.cli.help`: the help of training;
- `sinrnn.cli.messages`: output and error messages.
"""

import os

# Figures need no backend, and an unknown one would make the import of matplotlib fail.
os.environ.pop("MPLBACKEND", None)
