"""The programs: parse, run, print."""

import os

# Pictures are drawn without a backend, and an unknown one would stop each import of matplotlib.
os.environ.pop("MPLBACKEND", None)
