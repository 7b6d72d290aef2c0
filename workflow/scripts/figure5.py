"""Rule `nn_direction`: the numbers of both parts in one table, and Figure 5 as PNG and PDF."""

import numpy as np
import pandas as pd

from common.console import script
from common.files import write_text
from workflow.rendering import figure5

with script(snakemake.log[0]):
    numbers = pd.concat(map(pd.read_csv, snakemake.input.numbers))
    arrays: dict[str, np.ndarray] = {}
    for path in snakemake.input.samples:
        with np.load(path) as file:
            arrays |= dict(file)
    write_text(snakemake.output.numbers, numbers.to_csv(index=False))
    write_text(snakemake.output.table, figure5.markdown(numbers))
    figure5.draw(numbers, arrays, snakemake.output.png, snakemake.output.pdf)
