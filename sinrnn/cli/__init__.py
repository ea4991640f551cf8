"""The programs: parse, run, print.

- `sinrnn.cli.train`, `sinrnn.cli.forecast`, `sinrnn.cli.diagnose`, `sinrnn.cli.export`: one each;
- `sinrnn.cli.arguments`, `sinrnn.cli.config`: what was typed, and the config files;
- `sinrnn.cli.allowed`, `sinrnn.cli.stored`: what a config may name, and what a run's config says;
- `sinrnn.cli.messages`: what is printed.
"""

import os

# Pictures are drawn without a backend, and an unknown one would stop each import of matplotlib.
os.environ.pop("MPLBACKEND", None)
