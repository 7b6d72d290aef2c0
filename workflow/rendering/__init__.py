"""Tables, figures and report of a preset, drawn from its results alone."""

import os

os.environ["MPLBACKEND"] = "agg"  # before matplotlib is imported: a notebook's setting must not matter
