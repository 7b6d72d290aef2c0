"""Rule `figure1`: Figure 1 as PNG and PDF."""

import numpy as np
import pandas as pd

from common.console import script
from workflow.rendering import figure1

with script(snakemake.log[0]):
    with np.load(snakemake.input.samples) as file:
        arrays = dict(file)
    coverage = pd.read_csv(snakemake.input.coverage)
    figure1.draw(coverage, arrays, snakemake.output.png, snakemake.output.pdf)
